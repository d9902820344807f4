//! Enrolment: the decision to trust a device, and what it is handed.

mod card;
mod password;
mod qr;
mod radio;
#[cfg(test)]
mod tests;

pub use card::{Card, CardError};
pub(crate) use password::{HASH_BYTES, hash, same_work, verify};
pub use password::{PASSWORD_BYTES_MAX, PASSWORD_BYTES_MIN, PasswordCost, make_password};
pub use qr::QrError;
pub use radio::{RadioDevice, bonded, radio_device, with_address, with_code, without_told_code};

use pitchside_model::{DeviceId, PluginName, Timestamp};
use pitchside_wire::{Class, PrivateKey, Psk, PublicKey, Random, RandomFailed};
use zeroize::Zeroizing;

use crate::kek::{Context, GatewayIdentity, Kek, UnwrapError};
use crate::login::Role;
use crate::record::{DeviceClass, DeviceRecord};

/// Why a device could not be enrolled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EnrolError {
    /// No randomness.
    #[error(transparent)]
    Random(#[from] RandomFailed),
    /// A device's own key was given for a class that has none.
    #[error("only class P2 has a key of its own: leave the key out, or enrol as P2")]
    OwnKey,
    /// A device's own key that is nobody's.
    #[error(
        "this public key is of low order: every secret comes to the same with it, so it proves nothing; give the one that belongs to the device's own private key, or leave it out"
    )]
    LowOrder,
    /// Too short or too long.
    #[error("a password has {PASSWORD_BYTES_MIN} to {PASSWORD_BYTES_MAX} bytes, this one {0}")]
    PasswordLength(usize),
    /// Argon2 refused its parameters.
    #[error("the password's cost is out of range: at least 8 KiB and 1 pass")]
    Cost,
    /// A code of more than six digits.
    #[error("a pairing code has six digits")]
    Code,
    /// Nothing to ask the device for.
    #[error("name at least one profile the device is asked for")]
    NoProfiles,
    /// A code for a device that has none.
    #[error("only a device enrolled as bonded, with a code, takes a code")]
    NotBonded,
    /// An address for something that is not reached by Bluetooth.
    #[error("only bonded devices and PS/1 devices have a Bluetooth address")]
    NoAddress,
    /// The secret could not be wrapped.
    #[error(transparent)]
    Wrap(#[from] UnwrapError),
}

/// A device to be enrolled.
#[derive(Debug, Clone)]
pub struct NewDevice {
    /// Its name; must be free.
    pub id: DeviceId,
    /// How it will prove itself.
    pub class: Class,
    /// Class P2: the public key of a device that made its own pair. Without it a pair is made, and its private half is on
    /// the card.
    pub own_key: Option<PublicKey>,
    /// The plugin that decodes its vendor payloads.
    pub decoder: Option<PluginName>,
}

/// Makes a device's secret of 256 bits: the record for the store, and the card for the device. The card is not kept.
pub fn device(
    new: NewDevice,
    gateway: &GatewayIdentity,
    kek: &Kek,
    random: &mut dyn Random,
    now: Timestamp,
) -> Result<(DeviceRecord, Card), EnrolError> {
    if new.own_key.is_some() && new.class != Class::P2 {
        return Err(EnrolError::OwnKey);
    }
    if new.own_key.is_some_and(|key| key.is_low_order()) {
        return Err(EnrolError::LowOrder);
    }
    let psk = Psk::generate(random)?;
    let (private, public, gateway) = match (new.class, new.own_key) {
        (Class::P0 | Class::P1, _) => (None, None, None),
        (Class::P2, Some(public)) => (None, Some(public), Some(gateway.public())),
        (Class::P2, None) => {
            let private = PrivateKey::generate(random)?;
            let public = private.public();
            (Some(private), Some(public), Some(gateway.public()))
        }
    };
    let mut secret = Zeroizing::new(Vec::with_capacity(64));
    secret.extend_from_slice(psk.expose());
    if let Some(public) = public {
        secret.extend_from_slice(&public.0);
    }
    let mut record = blank(new.id.clone(), new.class.into(), new.decoder, Vec::new(), now);
    record.secret = wrap(&record, kek, &secret)?;
    Ok((record, Card { device: new.id, class: new.class, psk, gateway, private }))
}

/// Enrols a hub or an app by a password, which is kept only as an argon2id hash (RFC 9106), and that wrapped. Slow on
/// purpose: call it where waiting is allowed.
pub fn password(
    id: DeviceId,
    role: Role,
    password: &[u8],
    decoder: Option<PluginName>,
    cost: PasswordCost,
    kek: &Kek,
    random: &mut dyn Random,
    now: Timestamp,
) -> Result<DeviceRecord, EnrolError> {
    let (class, filters) = match role {
        Role::Hub => (DeviceClass::Hub, Vec::new()),
        Role::App { filters } => (DeviceClass::App, filters),
    };
    let secret = hash(password, cost, random)?;
    let mut record = blank(id, class, decoder, filters, now);
    record.secret = wrap(&record, kek, &*secret)?;
    Ok(record)
}

/// Enrols whatever is on a cable the admin names: no secret, and the weakest assurance.
pub fn wired(id: DeviceId, decoder: Option<PluginName>, now: Timestamp) -> DeviceRecord {
    blank(id, DeviceClass::Wired, decoder, Vec::new(), now)
}

fn blank(
    id: DeviceId,
    class: DeviceClass,
    decoder: Option<PluginName>,
    filters: Vec<String>,
    now: Timestamp,
) -> DeviceRecord {
    DeviceRecord { id, class, secret: Vec::new(), decoder, filters, enrolled_at: now, revoked_at: None }
}

/// A record's secret is bound to its name, its class and, for apps, to what they may read.
fn with_context<T>(record: &DeviceRecord, act: impl FnOnce(Context<'_>) -> T) -> T {
    let mut parts: Vec<&[u8]> = vec![record.class.word().as_bytes(), record.id.as_str().as_bytes()];
    parts.extend(record.filters.iter().map(|filter| filter.as_bytes()));
    act(Context { purpose: "device", parts: &parts })
}

/// The secret of a record, out from under the box's key: for a backup, which wraps it anew. Empty for a cable.
pub fn unwrapped(record: &DeviceRecord, kek: &Kek) -> Result<Zeroizing<Vec<u8>>, UnwrapError> {
    if record.secret.is_empty() { Ok(Zeroizing::default()) } else { unwrap(record, kek) }
}

/// Puts a secret under (another) box's key into the record it belongs to.
pub fn rewrap(record: &mut DeviceRecord, kek: &Kek, secret: &[u8]) -> Result<(), UnwrapError> {
    record.secret = if secret.is_empty() { Vec::new() } else { wrap(record, kek, secret)? };
    Ok(())
}

pub(crate) fn wrap(record: &DeviceRecord, kek: &Kek, secret: &[u8]) -> Result<Vec<u8>, UnwrapError> {
    with_context(record, |context| kek.wrap(context, secret))
}

pub(crate) fn unwrap(record: &DeviceRecord, kek: &Kek) -> Result<Zeroizing<Vec<u8>>, UnwrapError> {
    with_context(record, |context| kek.unwrap(context, &record.secret))
}

/// What the gateway needs for a handshake.
pub(crate) struct DeviceKeys {
    pub psk: Psk,
    /// Zero for classes without one.
    pub public: PublicKey,
}

pub(crate) fn device_keys(record: &DeviceRecord, kek: &Kek) -> Result<DeviceKeys, UnwrapError> {
    let secret = unwrap(record, kek)?;
    let (psk, rest) = secret.split_first_chunk::<32>().ok_or(UnwrapError::Form)?;
    let public = match record.class {
        // An address may follow, where the device is reached by Bluetooth.
        DeviceClass::P0 | DeviceClass::P1 if matches!(rest.len(), 0 | radio::ADDRESS_BYTES) => [0; 32],
        DeviceClass::P2 => match rest.split_first_chunk::<32>() {
            Some((public, address)) if matches!(address.len(), 0 | radio::ADDRESS_BYTES) => *public,
            _ => return Err(UnwrapError::Form),
        },
        _ => return Err(UnwrapError::Form),
    };
    Ok(DeviceKeys { psk: Psk::new(*psk), public: PublicKey(public) })
}
