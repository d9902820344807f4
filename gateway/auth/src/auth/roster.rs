//! Who is enrolled: reading it, revoking, and taking stored sessions up again.

use std::sync::Arc;

use pitchside_model::{Assurance, DeviceId, LinkId, Timestamp};
use pitchside_wire::control::Close;
use pitchside_wire::session::{Role, Snapshot};
use pitchside_wire::{Class, Counter, Kind, Psk, PublicKey, Session, SessionId};
use sha2::{Digest, Sha256};

use super::table::{Binding, Live, Stage};
use super::{Auth, OpenError, Seat, millis};
use crate::enrol::{self, DeviceKeys};
use crate::kek::{Context, Kek, UnwrapError};
use crate::keystore::KeyStoreError;
use crate::record::{DeviceClass, DeviceRecord, SessionRow};

/// A link whose device is no longer let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Close it.
    pub link: LinkId,
    /// Whose it was.
    pub device: DeviceId,
    /// A CLOSE frame to send before that.
    pub goodbye: Option<Vec<u8>>,
}

/// Records of nobody, one a class, and keys nobody has: a HELLO in a name that is not known costs what any other does.
pub(super) struct Decoys {
    records: [DeviceRecord; 3],
    psk: [u8; 32],
    public: [u8; 32],
}

impl Decoys {
    pub fn new(kek: &Kek) -> Result<Self, OpenError> {
        let secret = kek.decoy::<64>("device");
        let (mut psk, mut public) = ([0; 32], [0; 32]);
        psk.copy_from_slice(&secret[..32]);
        public.copy_from_slice(&secret[32..]);
        let record = |class: Class| -> Result<DeviceRecord, OpenError> {
            let id = DeviceId::parse("nobody").map_err(|_| UnwrapError::Form)?;
            let mut record = enrol::wired(id, None, Timestamp(0));
            record.class = class.into();
            let bytes = if class == Class::P2 { &secret[..] } else { &secret[..32] };
            record.secret = enrol::wrap(&record, kek, bytes)?;
            Ok(record)
        };
        Ok(Self { records: [record(Class::P0)?, record(Class::P1)?, record(Class::P2)?], psk, public })
    }

    pub const fn of(&self, class: Class) -> &DeviceRecord {
        let [p0, p1, p2] = &self.records;
        match class {
            Class::P0 => p0,
            Class::P1 => p1,
            Class::P2 => p2,
        }
    }

    pub const fn keys(&self) -> DeviceKeys {
        DeviceKeys { psk: Psk::new(self.psk), public: PublicKey(self.public) }
    }
}

pub(super) fn binding(record: &DeviceRecord) -> Binding {
    Sha256::digest(&record.secret).into()
}

impl Auth {
    /// Revokes a device for good and ends whatever it has open.
    pub fn revoke(&self, device: &DeviceId, now: Timestamp) -> Result<Vec<Ended>, KeyStoreError> {
        let _one = self.changes.lock();
        self.keys.revoke(device, now)?;
        if let Some(record) = self.roster.write().get_mut(device.as_str()) {
            let mut revoked = DeviceRecord::clone(record);
            revoked.revoked_at.get_or_insert(now);
            *record = Arc::new(revoked);
        }
        Ok(self.end(device, Close::Revoked, now))
    }

    /// Reads the devices again, which another process may have changed: new ones are let in, and what a device that was
    /// revoked, removed or given another secret has open ends.
    pub fn refresh(&self, now: Timestamp) -> Result<Vec<Ended>, KeyStoreError> {
        let _one = self.changes.lock();
        let devices = self.keys.devices()?;
        let after = devices.into_iter().map(|record| (record.id.clone(), Arc::new(record))).collect();
        let before = std::mem::replace(&mut *self.roster.write(), after);
        let mut ended = Vec::new();
        for (device, old) in before {
            let still = |new: &DeviceRecord| {
                new.revoked_at.is_none()
                    && new.class == old.class
                    && new.secret == old.secret
                    && new.filters == old.filters
            };
            if old.revoked_at.is_none() && !self.record(device.as_str()).is_some_and(|new| still(&new)) {
                ended.extend(self.end(&device, Close::Revoked, now));
            }
        }
        Ok(ended)
    }

    /// Everything a device has open ends, begun handshakes and logins included.
    fn end(&self, device: &DeviceId, reason: Close, now: Timestamp) -> Vec<Ended> {
        let seat = self.seat(device);
        let mut seat = seat.lock();
        let mut ended = Vec::new();
        for live in self.table.of_device(device) {
            let mut state = live.state.lock();
            let goodbye = state.session.seal(Kind::Close, &reason.encode(), millis(now)).ok();
            let was_live = state.stage == Stage::Live;
            state.stage = Stage::Ended;
            if let Some(link) = state.link.take().filter(|_| was_live) {
                ended.push(Ended { link, device: device.clone(), goodbye });
            }
            drop(state);
            self.forget(&mut seat, &live);
        }
        let mut logins = self.logins.lock();
        logins.retain(|login| login.upgrade().is_some_and(|login| !login.ended()));
        for login in logins.iter().filter_map(std::sync::Weak::upgrade).filter(|login| login.device == *device) {
            ended.extend(login.end().map(|link| Ended { link, device: device.clone(), goodbye: None }));
        }
        ended
    }

    /// Takes an ended session from the table, the device's seat and the store.
    pub(super) fn forget(&self, seat: &mut Seat, live: &Arc<Live>) {
        self.table.remove(live.id);
        if seat.current.as_ref().is_some_and(|current| current.id == live.id) {
            seat.current = None;
            self.drop_row(live.id);
        }
    }

    /// A row that stays behind is dropped at the next start, when a newer one is found or its device is revoked.
    pub(super) fn drop_row(&self, id: SessionId) {
        if let Err(error) = self.keys.drop_session(id.0.to_le_bytes()) {
            tracing::warn!(%error, "an ended session could not be removed from the store");
        }
    }

    pub(super) fn restore_sessions(&self) -> Result<(), OpenError> {
        for row in self.keys.sessions()? {
            match self.restored(&row) {
                Ok(live) => {
                    let seat = self.seat(&row.device);
                    let mut seat = seat.lock();
                    self.table.insert(&live);
                    if let Some(older) = seat.current.replace(live) {
                        self.table.remove(older.id);
                        self.drop_row(older.id);
                    }
                }
                Err(why) => {
                    tracing::warn!(device = %row.device, why, "a stored session is not taken up again: the device must make a new handshake");
                    self.drop_row(SessionId(u64::from_le_bytes(row.id)));
                }
            }
        }
        Ok(())
    }

    fn restored(&self, row: &SessionRow) -> Result<Arc<Live>, &'static str> {
        let record = self.record(row.device.as_str()).ok_or("its device is not enrolled")?;
        if record.revoked_at.is_some() {
            return Err("its device is revoked");
        }
        let assurance = match record.class {
            DeviceClass::P0 => Assurance::Psk,
            DeviceClass::P1 | DeviceClass::P2 => Assurance::Noise,
            DeviceClass::Hub | DeviceClass::App | DeviceClass::Wired | DeviceClass::Bonded => {
                return Err("its device no longer speaks PS/1");
            }
        };
        let binding = binding(&record);
        let context = Context { purpose: "session", parts: &[row.device.as_str().as_bytes(), &row.id, &binding] };
        let body = self
            .kek
            .unwrap(context, &row.body)
            .map_err(|_| "it was changed, wrapped under another key, or its device was enrolled anew")?;
        let mut stored = Snapshot::parse(&body).map_err(|_| "another version wrote it")?;
        if stored.id.0.to_le_bytes() != row.id {
            return Err("its number does not fit");
        }
        stored.ceilings.receive = stored.ceilings.receive.max(Counter(row.ceiling));
        Ok(Live::new(Session::restore(Role::Gateway, stored), row.device.clone(), assurance, binding, Stage::Live))
    }
}
