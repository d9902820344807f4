//! Devices and their secure sessions. Secrets arrive wrapped by `auth`; what is in them is not our business.

use pitchside_model::{DeviceId, PluginName, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::error::StoreError;
use crate::sql;
use crate::tables::Tables;

/// The most devices one gateway enrols, revoked ones included.
pub const DEVICES_MAX: u64 = 10_000;
/// The most secure sessions kept for one device: the oldest make room.
pub const SESSIONS_PER_DEVICE_MAX: i64 = 4;
/// The most bytes a wrapped secret or session may have.
pub const BODY_BYTES_MAX: usize = 4 << 10;

/// An enrolled device.
#[derive(Clone, PartialEq, Eq)]
pub struct Device {
    /// Its name.
    pub id: DeviceId,
    /// How it proves itself: a word of `auth`.
    pub class: String,
    /// Its secret, wrapped by `auth`.
    pub secret: Vec<u8>,
    /// The plugin that decodes its payloads; none for standard formats.
    pub decoder: Option<PluginName>,
    /// For apps: topic filters they may read.
    pub filters: Vec<String>,
    /// Since when it is trusted.
    pub enrolled_at: Timestamp,
    /// Since when it no longer is.
    pub revoked_at: Option<Timestamp>,
}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { id, class, decoder, filters, enrolled_at, revoked_at, .. } = self;
        write!(f, "Device({id}, {class}, {decoder:?}, {filters:?}, enrolled {enrolled_at}, revoked {revoked_at:?})")
    }
}

/// A device's secure session, so that it survives a restart of the gateway.
#[derive(Clone, PartialEq, Eq)]
pub struct DeviceSession {
    /// The session's number.
    pub id: Vec<u8>,
    /// Whose it is.
    pub device: DeviceId,
    /// Frame counters below this may have been used: stored in strides, ahead of use.
    pub ceiling: u64,
    /// Keys and the rest, wrapped by `auth`.
    pub body: Vec<u8>,
}

impl std::fmt::Debug for DeviceSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DeviceSession({}, up to {})", self.device, self.ceiling)
    }
}

fn damaged(table: &'static str, row: impl Into<String>) -> StoreError {
    StoreError::Damaged { table, row: row.into() }
}

/// A name as stored; parsed again, for the file may have been changed.
pub(crate) fn device_id(text: &str, table: &'static str) -> Result<DeviceId, StoreError> {
    DeviceId::parse(text).map_err(|_| damaged(table, text))
}

pub(crate) fn limit(what: &'static str, bytes: &[u8], max: usize) -> Result<(), StoreError> {
    if bytes.len() > max {
        return Err(StoreError::TooLarge { what, size: bytes.len() as u64, max: max as u64 });
    }
    Ok(())
}

pub(crate) fn device(row: &Row<'_>) -> Result<Device, StoreError> {
    let id = device_id(&row.get::<_, String>(0)?, "devices")?;
    let decoder: Option<String> = row.get(3)?;
    let decoder =
        decoder.map(|name| PluginName::parse(&name)).transpose().map_err(|_| damaged("devices", id.as_str()))?;
    Ok(Device {
        id,
        class: row.get(1)?,
        secret: row.get(2)?,
        decoder,
        filters: row.get::<_, String>(4)?.lines().map(str::to_owned).collect(),
        enrolled_at: Timestamp(row.get(5)?),
        revoked_at: row.get::<_, Option<i64>>(6)?.map(Timestamp),
    })
}

pub(crate) fn put(connection: &Connection, device: &Device, statement: &'static str) -> Result<usize, StoreError> {
    Ok(connection.prepare_cached(statement)?.execute(params![
        device.id.as_str(),
        device.class,
        device.secret,
        device.decoder.as_ref().map(PluginName::as_str),
        device.filters.join("\n"),
        device.enrolled_at.0,
        device.revoked_at.map(|at| at.0),
    ])?)
}

fn unknown(device: &DeviceId) -> StoreError {
    StoreError::Unknown { what: "device", name: device.to_string() }
}

impl Tables {
    /// Enrols a device; the name must be free.
    pub fn add_device(&self, device: Device) -> Result<(), StoreError> {
        self.put_device_with(device, sql!("devices/add"))
    }

    /// Enrols a device or replaces what is known of it, its revocation included.
    pub fn put_device(&self, device: Device) -> Result<(), StoreError> {
        self.put_device_with(device, sql!("devices/put"))
    }

    fn put_device_with(&self, device: Device, statement: &'static str) -> Result<(), StoreError> {
        limit("a wrapped secret", &device.secret, BODY_BYTES_MAX)?;
        limit("a device's filters", device.filters.join("\n").as_bytes(), BODY_BYTES_MAX)?;
        if device.filters.iter().any(|filter| filter.contains(['\n', '\r'])) {
            return Err(StoreError::Conflict("a filter is one line".to_owned()));
        }
        self.write(move |connection| {
            let count: i64 = connection
                .prepare_cached(sql!("devices/count_others"))?
                .query_row([device.id.as_str()], |row| row.get(0))?;
            if count.cast_unsigned() >= DEVICES_MAX {
                return Err(StoreError::TooLarge {
                    what: "the number of devices",
                    size: DEVICES_MAX + 1,
                    max: DEVICES_MAX,
                });
            }
            match put(connection, &device, statement)? {
                0 => Err(StoreError::Exists { what: "device", name: device.id.to_string() }),
                _ => Ok(()),
            }
        })
    }

    /// One device, revoked or not.
    pub fn device(&self, id: &DeviceId) -> Result<Option<Device>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql!("devices/get"))?;
            let mut rows = statement.query([id.as_str()])?;
            rows.next()?.map(device).transpose()
        })
    }

    /// All devices by name, revoked ones included.
    pub fn devices(&self) -> Result<Vec<Device>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql!("devices/all"))?;
            let mut rows = statement.query([])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                found.push(device(row)?);
            }
            Ok(found)
        })
    }

    /// Ends the trust in a device and its sessions. Once revoked, the first time stays.
    pub fn revoke_device(&self, id: &DeviceId, at: Timestamp) -> Result<(), StoreError> {
        let id = id.clone();
        self.write(move |connection| {
            if connection.prepare_cached(sql!("devices/revoke"))?.execute(params![id.as_str(), at.0])? == 0 {
                return Err(unknown(&id));
            }
            connection.prepare_cached(sql!("sessions/drop_of_device"))?.execute([id.as_str()])?;
            crate::states::forget_device(connection, &id)
        })
    }

    /// The highest handshake timestamp accepted from a device (PS/1 class P2), as `auth` wrote it.
    pub fn p2_timestamp(&self, id: &DeviceId) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql!("devices/p2_timestamp"))?;
            Ok(statement.query_row([id.as_str()], |row| row.get(0)).optional()?.flatten())
        })
    }

    /// Sets the highest handshake timestamp accepted from a device.
    pub fn set_p2_timestamp(&self, id: &DeviceId, timestamp: &[u8]) -> Result<(), StoreError> {
        limit("a handshake timestamp", timestamp, 64)?;
        let (id, timestamp) = (id.clone(), timestamp.to_owned());
        self.write(move |connection| {
            match connection
                .prepare_cached(sql!("devices/set_p2_timestamp"))?
                .execute(params![id.as_str(), timestamp])?
            {
                0 => Err(unknown(&id)),
                _ => Ok(()),
            }
        })
    }

    /// Stores a secure session; beyond [`SESSIONS_PER_DEVICE_MAX`] a device's oldest are dropped.
    pub fn put_session(&self, session: DeviceSession) -> Result<(), StoreError> {
        limit("a session", &session.body, BODY_BYTES_MAX)?;
        limit("a session's number", &session.id, 64)?;
        self.write(move |connection| {
            let device = session.device.as_str();
            connection.prepare_cached(sql!("sessions/put"))?.execute(params![
                session.id,
                device,
                session.ceiling.cast_signed(),
                session.body
            ])?;
            connection
                .prepare_cached(sql!("sessions/drop_oldest"))?
                .execute(params![device, SESSIONS_PER_DEVICE_MAX])?;
            Ok(())
        })
    }

    /// Raises a session's ceiling. Returns once that is durable: only then may counters below it be used. A session
    /// that is gone is an error; a ceiling never falls.
    pub fn set_session_ceiling(&self, id: &[u8], ceiling: u64) -> Result<(), StoreError> {
        let id = id.to_owned();
        self.write(move |connection| {
            match connection
                .prepare_cached(sql!("sessions/raise_ceiling"))?
                .execute(params![id, ceiling.cast_signed()])?
            {
                0 => Err(StoreError::Unknown { what: "session", name: "of that number".to_owned() }),
                _ => Ok(()),
            }
        })
    }

    /// All sessions, a device's oldest first.
    pub fn sessions(&self) -> Result<Vec<DeviceSession>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql!("sessions/all"))?;
            let mut rows = statement.query([])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                let device = device_id(&row.get::<_, String>(1)?, "device_sessions")?;
                let ceiling = row.get::<_, i64>(2)?.cast_unsigned();
                found.push(DeviceSession { id: row.get(0)?, device, ceiling, body: row.get(3)? });
            }
            Ok(found)
        })
    }

    /// Forgets a session.
    pub fn drop_session(&self, id: &[u8]) -> Result<(), StoreError> {
        let id = id.to_owned();
        self.write(move |connection| {
            connection.prepare_cached(sql!("sessions/drop"))?.execute([&id])?;
            Ok(())
        })
    }
}
