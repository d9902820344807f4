//! For tests: a gateway made of the real gate, the real serial port and the real responder of PS/1, with a list in place of
//! the journal, and a few ways to misbehave.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use pitchside_collect::mqtt::{Gate, GateConfig};
use pitchside_collect::serial::{self, PortConfig, Speaks};
use pitchside_collect::{Admission, Channel, Inbound, Intake, Link, Outbound, Refused, Rights, Settled};
use pitchside_model::LinkId;
use pitchside_wire::control::Ready;
use pitchside_wire::frame::Header;
use pitchside_wire::receipt::{Reason, Refusal};
use pitchside_wire::{
    Ceilings, GatewayKeys, Hello, Kind, Message, Millis, PrivateKey, Psk, PublicKey, RandomFailed, Receipt, Session,
    SessionId,
};
use tokio_util::sync::CancellationToken;

pub const PASSWORD: &str = "correct horse";
const PSK: [u8; 32] = [7; 32];

/// What arrived: device, message number, body.
pub type Arrived = (String, u64, Vec<u8>);

#[derive(Default)]
struct State {
    sessions: HashMap<u64, (String, Session)>,
    arrived: Vec<Arrived>,
}

/// The gateway.
pub struct Bench {
    state: Mutex<State>,
    /// DATA frames to lose before answering one.
    pub lose: AtomicUsize,
    /// Message number to refuse.
    pub refuse: Option<u64>,
    next_session: AtomicUsize,
}

impl Bench {
    pub fn new(refuse: Option<u64>) -> Arc<Self> {
        let (lose, next_session) = (AtomicUsize::new(0), AtomicUsize::new(1));
        Arc::new(Self { state: Mutex::default(), lose, refuse, next_session })
    }

    /// What arrived, each message once.
    pub fn arrived(&self) -> Vec<Arrived> {
        self.state.lock().arrived.clone()
    }

    fn frame(&self, frame: &[u8]) -> Option<(Vec<u8>, bool)> {
        let mut random = |bytes: &mut [u8]| getrandom::fill(bytes).map_err(|_| RandomFailed);
        let (mut state, now) = (self.state.lock(), Millis(0));
        if let Ok(hello) = Hello::parse(frame) {
            let keys =
                GatewayKeys { psk: &Psk::new(PSK), device: &PublicKey([0; 32]), private: &PrivateKey::new([9; 32]) };
            let id = SessionId(self.next_session.fetch_add(1, Ordering::Relaxed) as u64);
            let mut answer = hello.answer(keys, id, now, &mut random).unwrap();
            answer.session.grant(Ceilings::VOLATILE);
            state.sessions.insert(id.0, (hello.device.to_owned(), answer.session));
            return Some((answer.reply, false));
        }
        let header = Header::parse(frame).unwrap();
        let State { sessions, arrived } = &mut *state;
        let (device, session) = sessions.get_mut(&header.session.0)?;
        let (_, plain) = session.open(frame, now).ok()?;
        match header.kind {
            Kind::Confirm => {
                Some((session.seal(Kind::Ready, &Ready { gateway_time_us: 1 }.encode(), now).unwrap(), true))
            }
            Kind::Data => {
                if self.lose.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok() {
                    return None;
                }
                let Message { header, body } = Message::parse(plain).unwrap();
                let mut receipt = Receipt::default();
                if self.refuse == Some(header.seq.0) {
                    let (epoch, seq, reason) = (header.epoch, header.seq, Reason::BAD_VALUE);
                    receipt.refused.push(Refusal { epoch, seq, reason, text: "not that one".to_owned() });
                } else {
                    receipt.add(header.epoch, header.seq);
                    if !arrived.iter().any(|(who, seq, _)| who == device && *seq == header.seq.0) {
                        arrived.push((device.clone(), header.seq.0, body));
                    }
                }
                Some((session.seal(Kind::Receipt, &receipt.pages().next().unwrap(), now).unwrap(), true))
            }
            _ => None,
        }
    }
}

#[async_trait]
impl Intake for Bench {
    async fn admit(&self, ask: Admission) -> Result<Rights, Refused> {
        match (&ask.username, &ask.password) {
            (None, None) => Ok(Rights::Ps1 { device: ask.client }),
            (Some(_), Some(password)) if password.as_slice() == PASSWORD.as_bytes() => {
                Ok(Rights::Hub { device: ask.client })
            }
            _ => Err(Refused::BadCredentials),
        }
    }

    async fn opened(&self, _: Link) {}

    async fn take(&self, link: &Link, inbound: Vec<Inbound>) {
        for Inbound { ticket, channel, bytes, .. } in inbound {
            if let Channel::Topic(topic) = channel {
                self.state.lock().arrived.push((topic.to_string(), 0, bytes.to_vec()));
            } else if let Some((frame, known)) = self.frame(&bytes) {
                if known {
                    link.authenticated();
                }
                let _ = link.send(Outbound::Frame(Bytes::from(frame)));
            }
            let _ = link.send(Outbound::Settled(vec![(ticket, Settled::Stored)]));
        }
    }

    async fn closed(&self, _: LinkId) {}
}

/// Listens on TCP: the gate and its address.
pub async fn gate(bench: &Arc<Bench>) -> (Gate, String) {
    let config = GateConfig { tcp: vec!["127.0.0.1:0".parse().unwrap()], ..GateConfig::default() };
    let gate = Gate::start(config, Arc::clone(bench) as Arc<dyn Intake>).await.unwrap();
    let address = gate.local_addrs().tcp[0].to_string();
    (gate, address)
}

/// Listens on TLS with an authority of its own: the gate, its address, the authority's file.
pub async fn tls_gate(bench: &Arc<Bench>, dir: &Path) -> (Gate, String, PathBuf) {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let ca_file = dir.join("ca.pem");
    std::fs::write(&ca_file, certificate.pem()).unwrap();
    let key = rustls_pki_types::PrivatePkcs8KeyDer::from(key.serialize_der());
    let server = tokio_rustls::rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key.into())
        .unwrap();
    let config = GateConfig { tls: Some(("127.0.0.1:0".parse().unwrap(), Arc::new(server))), ..GateConfig::default() };
    let gate = Gate::start(config, Arc::clone(bench) as Arc<dyn Intake>).await.unwrap();
    let port = gate.local_addrs().tls.unwrap().port();
    (gate, format!("localhost:{port}"), ca_file)
}

/// Serves a serial port until the token fires.
pub fn serial(bench: &Arc<Bench>, path: &Path) -> CancellationToken {
    let stop = CancellationToken::new();
    let config = PortConfig::new(path, 115_200, Speaks::Ps1);
    let _port = serial::start(config, Arc::clone(bench) as Arc<dyn Intake>, stop.clone());
    stop
}

/// Writes an enrolment file this gateway knows.
pub fn card(dir: &Path, device: &str, class: &str) -> PathBuf {
    let hex = data_encoding::HEXLOWER.encode(&PSK);
    let path = dir.join(format!("{device}.toml"));
    let text =
        format!("schema = \"pitchside/enrolment/1\"\ndevice = \"{device}\"\nclass = \"{class}\"\npsk = \"{hex}\"\n");
    std::fs::write(&path, text).unwrap();
    path
}
