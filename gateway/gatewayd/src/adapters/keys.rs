//! Devices and sessions for `auth`, kept by `store`.

use pitchside_auth::{DeviceClass, DeviceRecord, KeyStore, KeyStoreError, SessionRow};
use pitchside_model::{DeviceId, Timestamp};
use pitchside_store::{Device, DeviceSession, StoreError, Tables};

use crate::blocking;

/// The store as `auth` sees it.
pub struct StoreKeys(pub Tables);

fn failed(error: StoreError) -> KeyStoreError {
    KeyStoreError(error.to_string())
}

/// A stored device in `auth`'s form.
pub fn record(device: Device) -> Result<DeviceRecord, KeyStoreError> {
    let class = DeviceClass::parse(&device.class)
        .ok_or_else(|| KeyStoreError(format!("device {} has the unknown class '{}'", device.id, device.class)))?;
    Ok(DeviceRecord {
        id: device.id,
        class,
        secret: device.secret,
        decoder: device.decoder,
        filters: device.filters,
        enrolled_at: device.enrolled_at,
        revoked_at: device.revoked_at,
    })
}

/// A device in the store's form.
pub fn row(record: DeviceRecord) -> Device {
    Device {
        id: record.id,
        class: record.class.word().to_owned(),
        secret: record.secret,
        decoder: record.decoder,
        filters: record.filters,
        enrolled_at: record.enrolled_at,
        revoked_at: record.revoked_at,
    }
}

impl KeyStore for StoreKeys {
    fn devices(&self) -> Result<Vec<DeviceRecord>, KeyStoreError> {
        blocking::here(|| self.0.devices()).map_err(failed)?.into_iter().map(record).collect()
    }

    fn revoke(&self, device: &DeviceId, at: Timestamp) -> Result<(), KeyStoreError> {
        blocking::here(|| self.0.revoke_device(device, at)).map_err(failed)
    }

    fn sessions(&self) -> Result<Vec<SessionRow>, KeyStoreError> {
        let rows = blocking::here(|| self.0.sessions()).map_err(failed)?;
        rows.into_iter()
            .map(|row| {
                let id =
                    row.id.try_into().map_err(|_| KeyStoreError("a session's number has not 8 bytes".to_owned()))?;
                Ok(SessionRow { id, device: row.device, ceiling: row.ceiling, body: row.body })
            })
            .collect()
    }

    fn put_session(&self, row: &SessionRow) -> Result<(), KeyStoreError> {
        let (id, device) = (row.id.to_vec(), row.device.clone());
        let session = DeviceSession { id, device, ceiling: row.ceiling, body: row.body.clone() };
        blocking::here(|| self.0.put_session(session)).map_err(failed)
    }

    fn drop_session(&self, id: [u8; 8]) -> Result<(), KeyStoreError> {
        blocking::here(|| self.0.drop_session(&id)).map_err(failed)
    }

    fn p2_stamp(&self, device: &DeviceId) -> Result<Option<u64>, KeyStoreError> {
        let Some(bytes) = blocking::here(|| self.0.p2_timestamp(device)).map_err(failed)? else { return Ok(None) };
        let bytes = bytes.try_into().map_err(|_| KeyStoreError("a stored stamp has not 8 bytes".to_owned()))?;
        Ok(Some(u64::from_be_bytes(bytes)))
    }

    fn set_p2_stamp(&self, device: &DeviceId, stamp: u64) -> Result<(), KeyStoreError> {
        blocking::here(|| self.0.set_p2_timestamp(device, &stamp.to_be_bytes())).map_err(failed)
    }
}
