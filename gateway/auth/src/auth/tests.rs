//! A gateway's door, a store in memory that can fail, and devices that speak `wire`.

mod attack;
mod bonded;
mod life;
mod logins;
mod restart;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use pitchside_model::{Assurance, Authentic, DeviceId, LinkId, Payload, Timestamp};
use pitchside_wire::message::{Content, MessageHeader};
use pitchside_wire::{
    Class, Credential, Epoch, Initiator, Kind, Message, Millis, PrivateKey, RandomFailed, Receipt, Session, Stamp,
};

use super::*;
use crate::door::Cause;
use crate::enrol::{self, Card, NewDevice};
use crate::record::SessionRow;

pub(super) const ALL: [Class; 3] = [Class::P0, Class::P1, Class::P2];
pub(super) const LINK: LinkId = LinkId(1);
pub(super) const OTHER: LinkId = LinkId(2);

/// A counting source: different in every call, the same in every run.
pub(super) fn random() -> impl FnMut(&mut [u8]) -> Result<(), RandomFailed> {
    static STATE: AtomicU64 = AtomicU64::new(1);
    |bytes: &mut [u8]| {
        for byte in bytes {
            let step = |x: u64| x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let before = STATE.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |x| Some(step(x))).unwrap();
            *byte = (before >> 56) as u8;
        }
        Ok(())
    }
}

#[derive(Default)]
pub(super) struct Memory {
    pub devices: Mutex<BTreeMap<DeviceId, DeviceRecord>>,
    pub sessions: Mutex<Vec<SessionRow>>,
    pub stamps: Mutex<BTreeMap<DeviceId, u64>>,
    pub broken: AtomicBool,
    pub writes: AtomicU64,
}

impl Memory {
    fn works(&self) -> Result<(), KeyStoreError> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        if self.broken.load(Ordering::Relaxed) { Err(KeyStoreError("no space left".to_owned())) } else { Ok(()) }
    }
}

impl KeyStore for Memory {
    fn devices(&self) -> Result<Vec<DeviceRecord>, KeyStoreError> {
        Ok(self.devices.lock().values().cloned().collect())
    }
    fn revoke(&self, device: &DeviceId, at: Timestamp) -> Result<(), KeyStoreError> {
        self.works()?;
        let mut devices = self.devices.lock();
        let record = devices.get_mut(device.as_str()).ok_or_else(|| KeyStoreError("unknown".to_owned()))?;
        record.revoked_at.get_or_insert(at);
        self.sessions.lock().retain(|row| row.device != *device);
        Ok(())
    }
    fn sessions(&self) -> Result<Vec<SessionRow>, KeyStoreError> {
        Ok(self.sessions.lock().clone())
    }
    fn put_session(&self, row: &SessionRow) -> Result<(), KeyStoreError> {
        self.works()?;
        let mut rows = self.sessions.lock();
        match rows.iter_mut().find(|old| old.id == row.id) {
            Some(old) => *old = row.clone(),
            None => rows.push(row.clone()),
        }
        Ok(())
    }
    fn drop_session(&self, id: [u8; 8]) -> Result<(), KeyStoreError> {
        self.works()?;
        self.sessions.lock().retain(|row| row.id != id);
        Ok(())
    }
    fn p2_stamp(&self, device: &DeviceId) -> Result<Option<u64>, KeyStoreError> {
        Ok(self.stamps.lock().get(device).copied())
    }
    fn set_p2_stamp(&self, device: &DeviceId, stamp: u64) -> Result<(), KeyStoreError> {
        self.works()?;
        self.stamps.lock().insert(device.clone(), stamp);
        Ok(())
    }
}

pub(super) fn name(text: &str) -> DeviceId {
    DeviceId::parse(text).unwrap()
}

/// A gateway and its clock.
pub(super) struct Gateway {
    pub auth: Auth,
    pub store: Arc<Memory>,
    pub now: Timestamp,
    pub limits: Limits,
}

impl Gateway {
    pub fn new() -> Self {
        Self::with(Limits { password_cost: PASSWORD_COST, ..Limits::default() })
    }

    pub fn with(limits: Limits) -> Self {
        let store = Arc::new(Memory::default());
        let auth = open(&store, limits);
        Self { auth, store, now: Timestamp::from_seconds(1_700_000_000), limits }
    }

    /// Power cut: what is in memory is gone.
    pub fn restart(&mut self) {
        self.auth = open(&self.store, self.limits);
    }

    /// Without any limit on rates.
    pub fn patient() -> Self {
        let endless = Rate { burst: 1_000_000, refill_ms: 1 };
        Self::with(Limits {
            link: endless,
            device: endless,
            password: endless,
            password_peer: endless,
            password_all: endless,
            ceiling: endless,
            password_cost: PASSWORD_COST,
            ..Limits::default()
        })
    }

    pub fn enrol(&mut self, id: &str, class: Class) -> Device {
        let new = NewDevice { id: name(id), class, own_key: None, decoder: None };
        let (record, card) = enrol::device(new, &identity(), &kek(), &mut random(), self.now).unwrap();
        self.store.devices.lock().insert(record.id.clone(), record);
        self.auth.refresh(self.now).unwrap();
        Device { card, session: None, stamp: 100, seq: 0 }
    }

    pub fn take(&self, link: LinkId, claimed: Option<&str>, frame: &[u8]) -> Result<Accepted, Refusal> {
        let claimed = claimed.map(name);
        self.auth.accept(link, claimed.as_ref(), frame, self.now, &mut random())
    }

    pub fn cause(&self, link: LinkId, frame: &[u8]) -> Cause {
        self.take(link, None, frame).map(|accepted| panic!("{accepted:?}")).unwrap_err().cause().clone()
    }

    pub fn message(&self, link: LinkId, frame: &[u8]) -> (SessionKey, Authentic<Payload>, u64) {
        match self.take(link, None, frame) {
            Ok(Accepted::Message { session, message, seq, .. }) => (session, message, seq.0),
            other => panic!("{other:?}"),
        }
    }
}

pub(super) const PASSWORD_COST: enrol::PasswordCost = enrol::PasswordCost { memory_kib: 8, passes: 1 };

pub(super) fn kek() -> Kek {
    Kek::new([0xE5; 32])
}

pub(super) fn identity() -> GatewayIdentity {
    GatewayIdentity::from_private(PrivateKey::new([0x77; 32]))
}

fn open(store: &Arc<Memory>, limits: Limits) -> Auth {
    Auth::open(Arc::clone(store) as Arc<dyn KeyStore>, kek(), identity(), limits).unwrap()
}

/// A device that speaks `wire`.
pub(super) struct Device {
    pub card: Card,
    pub session: Option<Session>,
    pub stamp: u64,
    pub seq: u64,
}

impl Device {
    pub fn id(&self) -> &str {
        self.card.device.as_str()
    }

    pub fn initiator(&mut self) -> Initiator {
        self.stamp += 1;
        self.initiator_with(&self.card.credential().unwrap())
    }

    pub fn initiator_with(&self, credential: &Credential) -> Initiator {
        Initiator::start(self.id(), credential, Stamp(self.stamp), &mut random()).unwrap()
    }

    fn millis(gateway: &Gateway) -> Millis {
        Millis(gateway.now.millis().unsigned_abs())
    }

    /// HELLO and REPLY: the CONFIRM to send.
    pub fn begin(&mut self, gateway: &Gateway, link: LinkId) -> Vec<u8> {
        let mut initiator = self.initiator();
        let Ok(Accepted::Reply(reply)) = gateway.take(link, Some(self.id()), initiator.hello()) else { panic!() };
        let mut session = initiator.finish(&reply, Self::millis(gateway)).unwrap();
        let confirm = session.seal(Kind::Confirm, &[], Self::millis(gateway)).unwrap();
        self.session = Some(session);
        confirm
    }

    /// A whole handshake: the link it supersedes.
    pub fn connect(&mut self, gateway: &Gateway, link: LinkId) -> Option<LinkId> {
        let confirm = self.begin(gateway, link);
        self.expect_ready(gateway, link, &confirm)
    }

    pub fn expect_ready(&mut self, gateway: &Gateway, link: LinkId, confirm: &[u8]) -> Option<LinkId> {
        match gateway.take(link, Some(self.id()), confirm) {
            Ok(Accepted::Established { device, reply, supersedes }) => {
                assert_eq!(device, self.card.device);
                assert_eq!(self.open(gateway, &reply.unwrap()).0, Kind::Ready);
                supersedes
            }
            other => panic!("{other:?}"),
        }
    }

    pub fn open(&mut self, gateway: &Gateway, frame: &[u8]) -> (Kind, Vec<u8>) {
        let (header, plain) = self.session.as_mut().unwrap().open(frame, Self::millis(gateway)).unwrap();
        (header.kind, plain)
    }

    pub fn seal(&mut self, gateway: &Gateway, kind: Kind, plain: &[u8]) -> Vec<u8> {
        self.session.as_mut().unwrap().seal(kind, plain, Self::millis(gateway)).unwrap()
    }

    pub fn data(&mut self, gateway: &Gateway, body: &[u8]) -> Vec<u8> {
        let header = MessageHeader { epoch: Epoch(9), seq: pitchside_wire::Seq(self.seq), content: Content::Vendor };
        self.seq += 1;
        let plain = Message { header, body: body.to_vec() }.encode().unwrap();
        self.seal(gateway, Kind::Data, &plain)
    }
}

#[test]
fn a_device_of_every_class_is_let_in_and_told_what_became_of_its_message() {
    for class in ALL {
        let mut gateway = Gateway::new();
        let mut device = gateway.enrol("strap-07", class);
        assert_eq!(device.connect(&gateway, LINK), None);
        let (session, message, seq) = gateway.message(LINK, &device.data(&gateway, b"72 /min"));
        assert_eq!((message.device().as_str(), message.link(), seq), ("strap-07", LINK, 0));
        assert_eq!(message.assurance(), if class == Class::P0 { Assurance::Psk } else { Assurance::Noise });
        assert_eq!(message.content().bytes, b"72 /min");
        let mut receipt = Receipt::default();
        receipt.add(9u64, 0u64);
        let frames = gateway.auth.receipt(session, &receipt, gateway.now).unwrap();
        let (kind, plain) = device.open(&gateway, &frames[0]);
        assert_eq!((kind, Receipt::parse(&plain)), (Kind::Receipt, Ok(receipt)));
    }
}

#[test]
fn the_store_is_asked_once_in_a_stride_and_never_for_a_frame() {
    let mut gateway = Gateway::new();
    let mut device = gateway.enrol("strap-07", Class::P0);
    device.connect(&gateway, LINK);
    let before = gateway.store.writes.load(Ordering::Relaxed);
    for _ in 0..70_000 {
        let frame = device.data(&gateway, b"72");
        gateway.message(LINK, &frame);
    }
    assert_eq!(gateway.store.writes.load(Ordering::Relaxed) - before, 1, "70,000 counters are more than one stride");
}
