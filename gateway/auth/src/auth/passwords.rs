//! Those who only have a password, or a cable.

use std::sync::Arc;

use pitchside_model::{Assurance, DeviceId, Timestamp};

use super::Auth;
use crate::door::{Cause, Refusal};
use crate::enrol::{HASH_BYTES, PASSWORD_BYTES_MAX, same_work, unwrap, verify};
use crate::login::{PasswordLogin, Role};
use crate::record::{DeviceClass, DeviceRecord};

impl Auth {
    /// Checks a name and password that came from `peer`, an address with or without its port. Takes as long for a name that
    /// is not known. Slow on purpose, and it may wait for others: call it on a thread that may block, never on the way of a
    /// frame.
    pub fn admit_password(
        &self,
        name: &str,
        password: &[u8],
        peer: &str,
        now: Timestamp,
    ) -> Result<PasswordLogin, Refusal> {
        let guess = self.guesses.take(name, peer, now).ok_or(Refusal::silent(Cause::RateLimited))?;
        let known = self.password_record(name);
        // A password too long to be anyone's costs no more than another.
        let tried = &password[..password.len().min(PASSWORD_BYTES_MAX + 1)];
        let verified = self.turnstile.pass(|| match &known {
            Some((_, stored)) => verify(stored, tried),
            None => {
                same_work(self.limits.password_cost, tried);
                false
            }
        });
        let Some(fits) = verified else {
            guess.forgive();
            return Err(Refusal::silent(Cause::Busy));
        };
        match known {
            Some((record, _)) if fits && password.len() <= PASSWORD_BYTES_MAX => {
                guess.forgive();
                let role = match record.class {
                    DeviceClass::App => Role::App { filters: record.filters.clone() },
                    _ => Role::Hub,
                };
                self.log_in(&record, role, Assurance::Password)
            }
            _ => Err(Refusal::silent(Cause::Password)),
        }
    }

    /// Lets in what is on a cable the admin named, if it was enrolled as that.
    pub fn admit_wired(&self, device: &DeviceId) -> Result<PasswordLogin, Refusal> {
        let record = self.record(device.as_str()).ok_or(Refusal::silent(Cause::UnknownDevice))?;
        if record.class != DeviceClass::Wired {
            return Err(Refusal::silent(Cause::WrongClass));
        }
        self.log_in(&record, Role::Hub, Assurance::Wired)
    }

    pub(super) fn log_in(
        &self,
        record: &DeviceRecord,
        role: Role,
        assurance: Assurance,
    ) -> Result<PasswordLogin, Refusal> {
        let login = PasswordLogin::new(record.id.clone(), role, assurance);
        let mut logins = self.logins.lock();
        logins.retain(|login| login.strong_count() > 0);
        logins.push(Arc::downgrade(&login.state));
        drop(logins);
        // Only now, so that a revocation either finds the login or is found by it.
        let current = self.record(record.id.as_str());
        match current {
            Some(current) if current.revoked_at.is_none() && current.secret == record.secret => Ok(login),
            _ => Err(Refusal::silent(Cause::Revoked)),
        }
    }

    /// The record of a hub or app in good standing, and its hash. A row that was changed is nobody's.
    fn password_record(&self, name: &str) -> Option<(Arc<DeviceRecord>, zeroize::Zeroizing<Vec<u8>>)> {
        let record = self.record(name)?;
        if record.revoked_at.is_some() || !matches!(record.class, DeviceClass::Hub | DeviceClass::App) {
            return None;
        }
        match unwrap(&record, &self.kek) {
            Ok(stored) if stored.len() == HASH_BYTES => Some((record, stored)),
            _ => {
                tracing::error!(device = name, "a stored password hash cannot be used; set the password anew");
                None
            }
        }
    }
}
