//! A gateway of one device, on `wire`: a disk that survives a power cut, and a memory that does not.

use std::collections::BTreeMap;
use std::vec::Vec;

use pitchside_wire::control::{Advance, Close, Ready};
use pitchside_wire::frame::{Header, Refused};
use pitchside_wire::session::{Role, SNAPSHOT_BYTES, Snapshot};
use pitchside_wire::{
    Ceilings, Class, Credential, GatewayKeys, Hello, Kind, Message, Millis, OpenError, PrivateKey, Psk, Random,
    RandomFailed, Reason, Receipt, SealError, Session, SessionId,
};

/// A counting source: different in every call, the same in every run.
pub struct Counting(pub u64);

impl Counting {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 11
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }
}

impl Random for Counting {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), RandomFailed> {
        bytes.iter_mut().for_each(|byte| *byte = (self.next() >> 20) as u8);
        Ok(())
    }
}

pub fn credential(class: Class) -> Credential {
    let (psk, private) = (Psk::new([3; 32]), PrivateKey::new([7; 32]));
    match class {
        Class::P0 => Credential::P0 { psk },
        Class::P1 => Credential::P1 { psk },
        Class::P2 => Credential::P2 { psk, private, gateway: PrivateKey::new([9; 32]).public() },
    }
}

/// What a power cut leaves.
#[derive(Default)]
pub struct Disk {
    pub session: Option<[u8; SNAPSHOT_BYTES]>,
    pub stamp: Option<u64>,
    /// By epoch and number; `None` was refused.
    pub journal: BTreeMap<(u64, u64), Option<Vec<u8>>>,
}

pub struct Gateway {
    pub disk: Disk,
    pub live: Option<Session>,
    pending: Vec<(Session, Option<u64>)>,
    pub random: Counting,
    pub handshakes: u32,
    pub confirmed: u32,
    /// Deaf to new handshakes, as one that was told to revoke the device.
    pub revoked: bool,
}

impl Gateway {
    pub fn new(seed: u64) -> Self {
        let (disk, random) = (Disk::default(), Counting(seed));
        Self { disk, live: None, pending: Vec::new(), random, handshakes: 0, confirmed: 0, revoked: false }
    }

    pub fn restart(&mut self) {
        self.pending.clear();
        self.live = self.disk.session.map(|bytes| Session::restore(Role::Gateway, Snapshot::parse(&bytes).unwrap()));
    }

    pub fn forget(&mut self) {
        self.disk.session = None;
        self.restart();
    }

    fn seal(&mut self, kind: Kind, plain: &[u8], now: Millis) -> Option<Vec<u8>> {
        let session = self.live.as_mut()?;
        match session.seal(kind, plain, now) {
            Err(SealError::CeilingNotStored(wanted)) => {
                self.store(wanted);
                self.live.as_mut()?.seal(kind, plain, now).ok()
            }
            sealed => sealed.ok(),
        }
    }

    fn store(&mut self, wanted: Ceilings) {
        let session = self.live.as_mut().unwrap();
        self.disk.session = Some(*session.snapshot(wanted).to_bytes());
        session.grant(wanted);
    }

    /// Ends the session, as a revocation does.
    pub fn revoke(&mut self, now: Millis) -> Option<Vec<u8>> {
        self.revoked = true;
        let goodbye = self.seal(Kind::Close, &Close::Revoked.encode(), now);
        self.forget();
        goodbye
    }

    pub fn take(&mut self, frame: &[u8], now: Millis) -> Vec<Vec<u8>> {
        let taken = match Kind::of(frame) {
            Ok(Kind::Hello) => self.hello(frame, now),
            Ok(_) => self.sealed(frame, now),
            Err(_) => None,
        };
        taken.unwrap_or_default()
    }

    fn hello(&mut self, frame: &[u8], now: Millis) -> Option<Vec<Vec<u8>>> {
        if self.revoked {
            return Some(Vec::from([Refused::answer(frame, 2)?.encode()]));
        }
        let (psk, private, device) = (Psk::new([3; 32]), PrivateKey::new([9; 32]), PrivateKey::new([7; 32]).public());
        let keys = GatewayKeys { psk: &psk, device: &device, private: &private };
        let id = SessionId(self.random.next());
        let answer = Hello::parse(frame).ok()?.answer(keys, id, now, &mut self.random).ok()?;
        let stamp = answer.stamp.map(|stamp| stamp.0);
        if stamp.is_some() && stamp <= self.disk.stamp {
            return None;
        }
        self.handshakes += 1;
        self.pending.push((answer.session, stamp));
        Some(Vec::from([answer.reply]))
    }

    fn sealed(&mut self, frame: &[u8], now: Millis) -> Option<Vec<Vec<u8>>> {
        let header = Header::parse(frame).ok()?;
        if header.kind == Kind::Confirm
            && let Some(at) = self.pending.iter().position(|(session, _)| session.id() == header.session)
        {
            self.confirm(at, frame, now);
        }
        if self.live.as_ref().is_none_or(|session| session.id() != header.session) {
            return Some(Vec::from([Refused::answer(frame, 2)?.encode()]));
        }
        let session = self.live.as_mut()?;
        let opened = match session.open(frame, now) {
            Err(OpenError::CeilingNotStored(wanted)) => {
                self.store(wanted);
                self.live.as_mut()?.open(frame, now)
            }
            opened => opened,
        };
        match opened {
            Ok((header, plain)) => self.opened(header.kind, plain, now),
            Err(OpenError::BelowFloor(next)) => {
                Some(Vec::from([self.seal(Kind::Advance, &Advance { next }.encode(), now)?]))
            }
            Err(OpenError::Expired) => Some(Vec::from([Refused::answer(frame, 2)?.encode()])),
            Err(_) => None,
        }
    }

    fn confirm(&mut self, at: usize, frame: &[u8], now: Millis) {
        if !matches!(self.pending[at].0.open(frame, now), Err(OpenError::CeilingNotStored(_))) {
            return;
        }
        let (session, stamp) = self.pending.remove(at);
        if stamp.is_some() && stamp <= self.disk.stamp {
            return;
        }
        self.disk.stamp = stamp.or(self.disk.stamp);
        self.confirmed += 1;
        self.live = Some(session);
        let first = self.live.as_ref().unwrap().next_ceilings();
        self.store(first);
    }

    fn opened(&mut self, kind: Kind, plain: Vec<u8>, now: Millis) -> Option<Vec<Vec<u8>>> {
        match kind {
            Kind::Confirm => {
                let ready = Ready { gateway_time_us: now.0.cast_signed() * 1_000 };
                Some(Vec::from([self.seal(Kind::Ready, &ready.encode(), now)?]))
            }
            Kind::Data => {
                let message = Message::parse(plain).ok()?;
                let (epoch, seq) = (message.header.epoch, message.header.seq);
                let mut receipt = Receipt::default();
                let refused = message.body.first() == Some(&0xBA);
                if refused {
                    receipt.refuse(epoch, seq, Reason::MALFORMED, "begins with 0xBA");
                } else {
                    receipt.add(epoch, seq);
                }
                let before = self.disk.journal.insert((epoch.0, seq.0), (!refused).then(|| message.body.clone()));
                assert!(
                    before.is_none_or(|before| before.is_none_or(|body| body == message.body)),
                    "a number used twice"
                );
                let page = receipt.pages().next()?;
                Some(Vec::from([self.seal(Kind::Receipt, &page, now)?]))
            }
            Kind::Close => {
                self.forget();
                None
            }
            _ => None,
        }
    }
}
