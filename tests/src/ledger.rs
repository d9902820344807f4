//! The ledger, on and off, always at the same address.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ledger_block::GatewayKey;
use ledger_block::channel::Keypair;
use ledgerd::{Config, Enrolment};

use gatewayd::identity::Identity;

/// A ledger in a folder.
pub struct Ledger {
    dir: PathBuf,
    /// Its X25519 key, hexadecimal.
    pub channel: String,
    /// Where gateways connect, running or not.
    pub ingest: SocketAddr,
    /// Where readers connect, running or not.
    pub http: SocketAddr,
    running: Option<ledgerd::Running>,
}

impl Ledger {
    /// Makes one and starts it.
    pub async fn start(dir: &Path) -> Self {
        let identity = ledgerd::init(dir, "pitchside.example/test").expect("a new ledger");
        let mut ledger = Self {
            dir: dir.to_owned(),
            channel: identity.channel.to_string(),
            ingest: SocketAddr::from(([127, 0, 0, 1], 0)),
            http: SocketAddr::from(([127, 0, 0, 1], 0)),
            running: None,
        };
        ledger.on().await;
        ledger
    }

    /// Lets a gateway in.
    pub fn enrol(&self, gateway: &str, keys: &Path) {
        ledgerd::enrol_gateway(&self.dir, &enrolment(gateway, keys)).expect("the gateway is let in");
    }

    /// Lets a publisher in.
    pub fn enrol_publisher(&self, name: &str, keys: &Path) {
        ledgerd::enrol_publisher(&self.dir, &enrolment(name, keys)).expect("the publisher is let in");
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Enters who signs releases.
    pub fn release_policy(&self, file: &Path) {
        ledgerd::firmware::release_policy(&self.dir, file).expect("the log takes the release policy");
    }

    /// Starts it again.
    pub async fn on(&mut self) {
        let config = Config { ingest: self.ingest, http: self.http, batch_ms: 5, ..Config::default() };
        let running = ledgerd::serve(&self.dir, config).await.expect("the ledger starts");
        (self.ingest, self.http) = (running.ingest, running.http);
        self.running = Some(running);
    }

    /// Stops it.
    pub async fn off(&mut self) {
        self.running.take().expect("the ledger runs").shutdown().await;
    }

    /// Checks everything it holds, with its public key alone.
    pub fn fsck(&self) -> ledger_log::Report {
        ledgerd::fsck(&self.dir, None).expect("a ledger to check")
    }

    /// The C2SP policy that names it.
    pub fn policy(&self) -> PathBuf {
        self.dir.join("policy")
    }
}

fn enrolment(name: &str, keys: &Path) -> Enrolment {
    let identity = Identity::load(keys).expect("its keys");
    Enrolment {
        gateway: name.to_owned(),
        signing: data_encoding::HEXLOWER.encode(&GatewayKey::new(&identity.sign).id().0),
        channel: Keypair::from_secret(identity.noise.clone()).expect("a key").public().to_string(),
        psk_file: keys.join("ledger.psk"),
    }
}
