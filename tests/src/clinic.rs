//! What a clinic is to be: sentences, until [`Clinic::start`].

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use gatewayd::adapters::keys::row;
use gatewayd::cli::args::ClassArg;
use gatewayd::cli::device::{Handed, Plan, enrol};
use gatewayd::cli::{InitPlan, add_athlete, make_box};
use gatewayd::clock::Clock;
use gatewayd::identity::Identity;
use pitchside_config::{
    Delivery, Every, Gateway, Http, Ledger as LedgerSettings, Library, Loaded, Mqtt, SerialPort, Settings, Source,
};
use pitchside_model::{AthleteId, DeviceId, PluginName};
use pitchside_store::{RootKey, Tables};
use pitchside_wire::Credential;
use tempfile::TempDir;

use crate::ledger::Ledger;
use crate::program::{Answer, program, repository, run, run_fed};
use crate::running::Running;
use crate::stored::Stored;

/// A device to be enrolled.
struct Enrolled {
    id: String,
    class: ClassArg,
    athlete: Option<String>,
    decoder: Option<String>,
    filters: Vec<String>,
}

/// A word on the settings.
type Tweak = Box<dyn FnOnce(&mut Settings)>;

/// A clinic in the making.
pub struct Clinic {
    dir: TempDir,
    devices: Vec<Enrolled>,
    serial: Vec<String>,
    ledger: bool,
    tls: bool,
    tweaks: Vec<Tweak>,
}

impl Default for Clinic {
    fn default() -> Self {
        Self::new()
    }
}

impl Clinic {
    /// An empty one: no devices, no rules, no plugins, no ledger.
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("clinic-").tempdir().expect("a temporary folder");
        for folder in ["rules", "plugins"] {
            std::fs::create_dir(dir.path().join(folder)).expect("a new folder");
        }
        Self { dir, devices: Vec::new(), serial: Vec::new(), ledger: false, tls: false, tweaks: Vec::new() }
    }

    /// Its folder: settings, `data`, `keys`, `rules`, `plugins`, `ledger`, `tty`.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn device(mut self, id: &str, class: ClassArg) -> Self {
        let (id, athlete, decoder, filters) = (id.to_owned(), None, None, Vec::new());
        self.devices.push(Enrolled { id, class, athlete, decoder, filters });
        self
    }

    fn last(&mut self) -> &mut Enrolled {
        self.devices.last_mut().expect("name a device first")
    }

    /// A chest strap of class P1.
    pub fn strap(self, id: &str) -> Self {
        self.device(id, ClassArg::P1)
    }

    /// A sensor with a pre-shared key only.
    pub fn tiny(self, id: &str) -> Self {
        self.device(id, ClassArg::P0)
    }

    /// A sensor with a key pair of its own.
    pub fn patch(self, id: &str) -> Self {
        self.device(id, ClassArg::P2)
    }

    /// Whatever is on a serial line that the settings name.
    pub fn wired(self, id: &str) -> Self {
        self.device(id, ClassArg::Wired)
    }

    /// A hub with a password.
    pub fn hub(mut self, id: &str) -> Self {
        self.tls = true;
        self.device(id, ClassArg::Password)
    }

    /// A program that reads what its filters allow.
    pub fn app(mut self, id: &str, filters: &[&str]) -> Self {
        self = self.device(id, ClassArg::App);
        self.last().filters = filters.iter().map(|filter| (*filter).to_owned()).collect();
        self
    }

    /// The device named last measures this athlete.
    pub fn athlete(mut self, athlete: &str) -> Self {
        self.last().athlete = Some(athlete.to_owned());
        self
    }

    /// The device named last is decoded by this plugin.
    pub fn decoder(mut self, plugin: &str) -> Self {
        self.last().decoder = Some(plugin.to_owned());
        self
    }

    /// The device named last is on a serial line.
    pub fn on_a_cable(mut self) -> Self {
        let id = self.last().id.clone();
        self.serial.push(id);
        self
    }

    /// A ledger to sync with.
    pub fn ledger(mut self) -> Self {
        self.ledger = true;
        self
    }

    /// Rules of the repository's library.
    pub fn library(self, rules: &[&str]) -> Self {
        for rule in rules {
            copy(&repository().join("rules").join(rule), &self.dir.path().join("rules").join(rule));
        }
        self
    }

    /// A rule of high priority on heart rates, of which `script` says when it is raised.
    pub fn rule(self, name: &str, script: &str) -> Self {
        write_rule(&self.dir.path().join("rules"), name, script);
        self
    }

    /// A rule on a quantity.
    pub fn rule_on(self, name: &str, quantity: &str, script: &str) -> Self {
        let rules = self.dir.path().join("rules");
        write_rule(&rules, name, script);
        let manifest = rules.join(name).join("rule.toml");
        let text = std::fs::read_to_string(&manifest).expect("the manifest just written");
        write(&manifest, &text.replace("\"heart_rate\"", &format!("{quantity:?}")));
        self
    }

    /// A plugin of the library.
    pub fn library_plugin(self, name: &str) -> Self {
        copy(&repository().join("plugins").join(name), &self.dir.path().join("plugins").join(name));
        self
    }

    /// A plugin whose decoder is `script`.
    pub fn plugin(self, name: &str, script: &str) -> Self {
        write_plugin(&self.dir.path().join("plugins"), name, script);
        self
    }

    /// A word on the settings; paths are relative to the clinic's folder.
    pub fn with(mut self, tweak: impl FnOnce(&mut Settings) + 'static) -> Self {
        self.tweaks.push(Box::new(tweak));
        self
    }

    /// Makes the box, enrols everybody, starts everything.
    pub async fn start(self) -> Running {
        Running::start_new(self.make().await).await
    }

    /// Makes the box, enrols everybody and starts the ledger, but not the gateway.
    pub async fn make(self) -> Made {
        let Self { dir, devices, serial, ledger, tls, tweaks } = self;
        let ledger = if ledger { Some(Ledger::start(&dir.path().join("ledger")).await) } else { None };
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut plan = Settings {
            gateway: Gateway {
                name: DeviceId::parse("box").expect("a name"),
                data_dir: "data".into(),
                key_dir: "keys".into(),
                ..Gateway::default()
            },
            mqtt: Mqtt { tcp: vec![loopback], tls: tls.then_some(loopback), ..Mqtt::default() },
            serial: serial.iter().map(|id| port(id)).collect(),
            http: Http { address: loopback, ..Http::default() },
            ledger: ledger.as_ref().map(|ledger| LedgerSettings {
                address: ledger.ingest.to_string(),
                public_key: ledger.channel.clone(),
                policy: "ledger/policy".into(),
            }),
            rules: Library { dir: Some("rules".into()) },
            plugins: Library { dir: Some("plugins".into()) },
            // A scenario turns the clock by hours; a drill then would be one more thing that happens.
            delivery: Delivery { drill_every: Every(None), ..Delivery::default() },
            ..Settings::default()
        };
        tweaks.into_iter().for_each(|tweak| tweak(&mut plan));
        let made = make_box(&InitPlan { dir: dir.path().to_owned(), settings: plan }).expect("a new box");
        gatewayd::files::write_secret(&dir.path().join("recovery.key"), made.recovery.as_bytes()).expect("a key file");
        let file = Source::File(dir.path().join("pitchside.toml"));
        let settings = Loaded::load_with(&file, &[], &[]).expect("the box's own settings are right").settings;
        let identity = Identity::load(&settings.gateway.key_dir).expect("the box's keys");
        if let Some(ledger) = &ledger {
            ledger.enrol("box", &settings.gateway.key_dir);
        }
        let root = RootKey::new(*identity.derive("pitchside/1/store").expect("a key"));
        let tables = Tables::init(&settings.gateway.data_dir, root).expect("the database opens");
        let (mut cards, mut passwords) = (BTreeMap::new(), BTreeMap::new());
        for device in devices {
            enrol_one(&tables, &identity, &device, &mut cards, &mut passwords);
        }
        let stored = Stored::new(tables, settings.gateway.key_dir.clone());
        Made { settings, ledger, stored, cards, passwords, dir }
    }
}

/// A clinic whose gateway does not run yet.
pub struct Made {
    /// The gateway's settings.
    pub settings: Settings,
    /// Its ledger, running.
    pub ledger: Option<Ledger>,
    /// Its database.
    pub stored: Stored,
    cards: BTreeMap<String, Credential>,
    /// Of hubs and apps.
    pub(crate) passwords: BTreeMap<String, String>,
    /// Its folder.
    pub dir: TempDir,
}

impl Made {
    /// The secret of a device.
    pub fn card(&self, id: &str) -> Credential {
        self.cards.get(id).unwrap_or_else(|| panic!("{id} is not enrolled with keys")).clone()
    }

    /// `pitchside ... --config` on this clinic.
    pub fn pitchside(&self, args: &[&str]) -> Answer {
        let config = self.config();
        run(&program("pitchside"), args.iter().map(OsStr::new).chain([OsStr::new("--config"), config.as_os_str()]))
    }

    /// As [`Made::pitchside`], with this on its standard input.
    pub fn pitchside_fed(&self, args: &[&str], input: &str) -> Answer {
        let config = self.config();
        let args = args.iter().map(OsStr::new).chain([OsStr::new("--config"), config.as_os_str()]);
        run_fed(&program("pitchside"), args, input)
    }

    /// The settings file, in the box's folder.
    pub fn config(&self) -> PathBuf {
        let data = &self.settings.gateway.data_dir;
        data.parent().expect("the data lies in the box's folder").join("pitchside.toml")
    }

    /// The box lies in another folder from now on.
    pub(crate) fn moved_to(&mut self, dir: &Path) {
        let file = Source::File(dir.join("pitchside.toml"));
        self.settings = Loaded::load_with(&file, &[], &[]).expect("the box's own settings are right").settings;
        let keys = &self.settings.gateway.key_dir;
        let root = Identity::load(keys).expect("the box's keys").derive("pitchside/1/store").expect("a key");
        let tables = Tables::attach(&self.settings.gateway.data_dir, RootKey::new(*root)).expect("a database");
        self.stored = Stored::new(tables, keys.clone());
    }
}

fn enrol_one(
    tables: &Tables,
    identity: &Identity,
    device: &Enrolled,
    cards: &mut BTreeMap<String, Credential>,
    passwords: &mut BTreeMap<String, String>,
) {
    let id = DeviceId::parse(&device.id).expect("a device id");
    let plan = Plan {
        id: id.clone(),
        class: device.class,
        own_key: None,
        decoder: device.decoder.as_deref().map(|name| PluginName::parse(name).expect("a plugin's name")),
        filters: device.filters.clone(),
    };
    let (record, handed) = enrol(identity, &plan).expect("the device is enrolled");
    tables.add_device(row(record)).expect("the device is stored");
    match handed {
        Handed::Card(card) => {
            cards.insert(device.id.clone(), card.credential().expect("a card with all keys"));
        }
        Handed::Password(password) => {
            passwords.insert(device.id.clone(), password.to_string());
        }
        Handed::Nothing => {}
    }
    if let Some(athlete) = &device.athlete {
        let athlete = AthleteId::parse(athlete).expect("an athlete's pseudonym");
        if tables.athlete(&athlete).expect("the database answers").is_none() {
            add_athlete(tables, identity, &athlete).expect("the athlete is added");
        }
        tables.assign(&id, &athlete, Clock::System.now()).expect("the device is assigned");
    }
}

fn port(id: &str) -> SerialPort {
    SerialPort::ps1(format!("tty/{id}").into())
}

/// Writes a rule of high priority on heart rates into a folder of rules.
pub fn write_rule(rules: &Path, name: &str, script: &str) {
    let folder = rules.join(name);
    std::fs::create_dir_all(&folder).expect("a new folder");
    let manifest = format!(
        "name = \"{name}\"\nversion = \"1.0.0\"\nsummary = \"A test.\"\npriority = \"high\"\ninputs = [\"heart_rate\"]\n[state]\nn = 0\n"
    );
    write(&folder.join("rule.toml"), &manifest);
    write(&folder.join("rule.rhai"), script);
    write(&folder.join("cases.txt"), "case none\n  +0s heart_rate 1 /min ->\n");
    write(&folder.join("README.md"), "# A test\n");
}

/// Writes a plugin for heart rates into a folder of plugins.
pub fn write_plugin(plugins: &Path, name: &str, script: &str) {
    let folder = plugins.join(name);
    std::fs::create_dir_all(&folder).expect("a new folder");
    let manifest = format!(
        "name = \"{name}\"\nversion = \"1.0.0\"\nsummary = \"A test.\"\nkind = \"decoder\"\noutputs = [\"heart_rate\"]\n"
    );
    write(&folder.join("plugin.toml"), &manifest);
    write(&folder.join("decode.rhai"), script);
    write(&folder.join("cases.txt"), "case none\n  00 -> error none\n");
    write(&folder.join("README.md"), "# A test\n");
}

/// Writes an output into a folder of plugins.
pub fn write_output(plugins: &Path, name: &str, capabilities: &[&str], script: &str) {
    let folder = plugins.join(name);
    std::fs::create_dir_all(&folder).expect("a new folder");
    write(&folder.join("output.rhai"), script);
    write(&folder.join("cases.txt"), "case none\n  raised low x ->\n");
    write(&folder.join("README.md"), "# A test\n");
    // Last: with it the folder is a plugin.
    let manifest = format!(
        "name = \"{name}\"\nversion = \"1.0.0\"\nsummary = \"A test.\"\nkind = \"output\"\ncapabilities = {capabilities:?}\n"
    );
    write(&folder.join("plugin.toml"), &manifest);
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).expect("a file is written");
}

/// Copies a folder.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a new folder");
    let mode = std::fs::metadata(from).expect("a folder").permissions();
    std::fs::set_permissions(to, mode).expect("a folder of our own");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let (from, to) = (entry.as_ref().expect("an entry").path(), to.join(entry.expect("an entry").file_name()));
        if from.is_dir() { copy(&from, &to) } else { std::fs::copy(&from, &to).map(drop).expect("a file is copied") }
    }
}
