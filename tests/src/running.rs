//! The clinic at work: its clock, its gateway, its sensors.

use std::net::SocketAddr;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use gatewayd::clock::Clock;
use gatewayd::pipeline::firmware::Shelf;
use pitchside_config::Settings;
use pitchside_model::{PluginName, Timestamp};
use pitchside_wire::Credential;

use crate::client::Client;
use crate::clinic::{Made, copy, write_plugin, write_rule};
use crate::house::House;
use crate::ledger::Ledger;
use crate::page::Visitor;
use crate::program::{Answer, repository};
use crate::sensor::Sensor;
use crate::site::Site;
use crate::stored::Stored;

/// A running clinic: what it has [`Stored`], and what it does. Everything vanishes with it.
pub struct Running {
    house: Option<House>,
    made: Made,
    clock: Arc<AtomicI64>,
    site: Arc<Site>,
}

impl Deref for Running {
    type Target = Stored;
    fn deref(&self) -> &Stored {
        &self.made.stored
    }
}

impl Running {
    /// Starts the gateway of a clinic that was made.
    pub async fn start_new(made: Made) -> Self {
        let clock = Arc::new(AtomicI64::new(Clock::System.now().millis()));
        let manual = Clock::Manual(Arc::clone(&clock));
        let house = House::start(made.settings.clone(), manual.clone()).await.expect("the gateway starts");
        let site = Arc::new(Site::new(made.dir.path(), house.gateway().mqtt_addresses().tcp[0], manual));
        Self { house: Some(house), made, clock, site }
    }

    /// The clinic's folder.
    pub fn dir(&self) -> &Path {
        self.made.dir.path()
    }

    /// The settings in force; a change counts from the next start.
    pub const fn settings(&mut self) -> &mut Settings {
        &mut self.made.settings
    }

    /// The ledger.
    pub fn ledger(&mut self) -> &mut Ledger {
        self.made.ledger.as_mut().expect("a clinic with a ledger")
    }

    fn house(&self) -> &House {
        self.house.as_ref().expect("the gateway runs")
    }

    /// Waits until the gateway itself has heard something of the ledger.
    pub async fn heard_of(&self, mut wanted: impl FnMut(&pitchside_release::known::Known) -> bool) {
        let shelf = Arc::clone(self.house().gateway().shelf().expect("firmware is on"));
        crate::until("the gateway to hear of it", || wanted(&shelf.known()).then_some(())).await;
    }

    /// Waits until the gateway knows a release.
    pub async fn knows(&self, signed: &ledger_block::release::SignedManifest) {
        self.heard_of(|known| known.release(&signed.id()).is_some()).await;
    }

    /// Puts an image on the shelf, as a download does.
    pub fn shelve(&self, image: &[u8]) {
        use pitchside_release::content::{Content, ContentId, Shape};
        let file = self.dir().join("image.bin");
        std::fs::write(&file, image).expect("a file is written");
        let names = pitchside_release::manifest::ContentNames::of(image).expect("a small image");
        let shape = Shape::new(names.size).expect("a small image");
        let content = Content { id: ContentId(names.blake3), sha256: names.sha256, shape };
        let shelf = self.house().gateway().shelf().expect("firmware is on");
        shelf.contents().import(&file, &content, &[]).expect("the shelf takes it");
    }

    /// The clinic's clock.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.site.now_ms())
    }

    /// Turns the clock.
    pub fn advance(&self, seconds: i64) {
        self.clock.fetch_add(seconds * 1_000, Ordering::AcqRel);
    }

    /// Where the gate listens without TLS.
    pub fn mqtt(&self) -> SocketAddr {
        self.site.mqtt()
    }

    /// Where the gate listens with TLS, and the certificate authority clients trust.
    pub fn mqtt_tls(&self) -> (SocketAddr, PathBuf) {
        let address = self.house().gateway().mqtt_addresses().tls.expect("a clinic with TLS");
        (address, self.made.settings.gateway.key_dir.join("ca.pem"))
    }

    /// The secret of a device.
    pub fn card(&self, id: &str) -> Credential {
        self.made.card(id)
    }

    /// The password of a hub or app.
    pub fn password(&self, id: &str) -> &str {
        self.made.passwords.get(id).unwrap_or_else(|| panic!("{id} is not enrolled with a password"))
    }

    /// A device as it was enrolled, not connected.
    pub fn device(&self, id: &str) -> Sensor {
        self.device_with(id, self.card(id))
    }

    /// A device of that name with keys of somebody's choice, not connected.
    pub fn device_with(&self, id: &str, credential: Credential) -> Sensor {
        let cable = self.made.settings.serial.iter().any(|port| port.path == self.site.cable(id));
        Sensor::new(Arc::clone(&self.site), id, credential, cable)
    }

    /// A device as it was enrolled, in session.
    pub async fn sensor(&self, id: &str) -> Sensor {
        let mut sensor = self.device(id);
        sensor.connect().await;
        sensor
    }

    /// A hub, signed in over TLS.
    pub async fn hub(&self, id: &str) -> Client {
        let (address, authority) = self.mqtt_tls();
        let mut client = Client::tls(address, authority).await;
        assert_eq!(client.hello(id, Some((id, self.password(id)))).await, Ok(0), "{id} signs in");
        client
    }

    /// An app, signed in.
    pub async fn app(&self, id: &str) -> Client {
        let mut client = Client::plain(self.mqtt()).await.expect("the gate listens");
        assert_eq!(client.hello(id, Some((id, self.password(id)))).await, Ok(0), "{id} signs in");
        client
    }

    /// Somebody signed in at the page.
    pub async fn visitor(&self, name: &str, password: &str) -> Visitor {
        let address = self.house().gateway().http_address();
        let authority = self.made.settings.gateway.key_dir.join("ca.pem");
        Visitor::signed_in(address, authority, name, password).await
    }

    /// Puts a rule into the clinic's folder, while it runs.
    pub fn write_rule(&self, name: &str, script: &str) {
        write_rule(&self.dir().join("rules"), name, script);
    }

    /// Puts a plugin into the clinic's folder, while it runs or not.
    pub fn write_plugin(&self, name: &str, script: &str) {
        write_plugin(&self.dir().join("plugins"), name, script);
    }

    /// Gives the box a plugin of the repository.
    pub fn library_plugin(&self, name: &str) {
        copy(&repository().join("plugins").join(name), &self.dir().join("plugins").join(name));
    }

    /// Ends the process of a plugin from outside, as the kernel would one that takes too much.
    pub fn kill_plugin(&self, name: &str) {
        let name = PluginName::parse(name).expect("a plugin's name");
        let plugin = self.house().gateway().decoders().plugin(&name).expect("the plugin runs");
        let process = plugin.status().process.expect("its process runs").to_string();
        let killed = std::process::Command::new("kill").args(["-9", &process]).status().expect("a shell's kill");
        assert!(killed.success(), "{name} is ended");
    }

    /// Seals what is open.
    pub async fn seal(&self) {
        self.house().seal().await;
    }

    /// The firmware that stands ready.
    pub fn shelf(&self) -> &Arc<Shelf> {
        self.house().gateway().shelf().expect("a clinic with a release policy")
    }

    /// Stops the gateway as an admin does.
    pub async fn stop(&mut self) {
        self.house.take().expect("the gateway runs").stop().await;
    }

    /// Ends the gateway wherever it is.
    pub async fn kill(&mut self) {
        self.house.take().expect("the gateway runs").kill().await;
    }

    /// Starts the gateway again on what it left.
    pub async fn start(&mut self) {
        assert!(self.house.is_none(), "the gateway runs");
        // No box starts twice in the same millisecond; the ledger would take it for a handshake sent again.
        self.clock.fetch_add(1, Ordering::AcqRel);
        let clock = Clock::Manual(Arc::clone(&self.clock));
        let house = House::start(self.made.settings.clone(), clock).await.expect("the gateway starts");
        self.site.moved(house.gateway().mqtt_addresses().tcp[0]);
        self.house = Some(house);
    }

    /// The box lies in another folder from now on, e.g. where it was restored; start it there.
    pub fn moved_to(&mut self, dir: &Path) {
        assert!(self.house.is_none(), "the gateway runs");
        self.made.moved_to(dir);
    }

    /// `pitchside ... --config` on this clinic.
    pub fn pitchside(&self, args: &[&str]) -> Answer {
        self.made.pitchside(args)
    }

    /// As [`Running::pitchside`], with this on its standard input.
    pub fn pitchside_fed(&self, args: &[&str], input: &str) -> Answer {
        self.made.pitchside_fed(args, input)
    }

    /// One of the counters of `/metrics`, e.g. `refusals_total{reason="forged"}`; 0 if it was never counted.
    pub fn metric(&self, name: &str) -> u64 {
        let text = self.house().gateway().metrics().text().expect("metrics are text");
        let line = format!("pitchside_{name} ");
        let value = text.lines().find_map(|l| l.strip_prefix(&line));
        value.map_or(0, |value| value.parse().expect("a whole number"))
    }

    /// How often something was refused for that reason.
    pub fn refused(&self, reason: &str) -> u64 {
        self.metric(&format!("refusals_total{{reason=\"{reason}\"}}"))
    }

    /// How often anything was refused.
    pub fn refusals(&self) -> u64 {
        let text = self.house().gateway().metrics().text().expect("metrics are text");
        let of_refusals = text.lines().filter(|line| line.starts_with("pitchside_refusals_total{"));
        of_refusals
            .map(|line| line.rsplit(' ').next().and_then(|n| n.parse::<u64>().ok()).expect("a whole number"))
            .sum()
    }

    /// Why the store cannot write, if it cannot.
    pub fn trouble(&self) -> Option<String> {
        self.house().gateway().store().health().problem.map(|problem| problem.to_string())
    }
}
