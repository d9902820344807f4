//! What decoders keep of devices, over a restart of the gateway. The gateway holds it in memory and writes down what changed;
//! here it is bytes nobody looks into, sealed, one row a plugin and device.
//!
//! A row goes with its plugin, with its device, and when the device begins or ends to measure somebody.

use pitchside_model::{DeviceId, PluginName};
use rusqlite::{Connection, params};

use crate::devices::device_id;
use crate::error::StoreError;
use crate::sql;
use crate::tables::Tables;

/// The most bytes of one row, before they are sealed.
const STATE_BYTES_MAX: usize = 64 * 1024;

/// A row of one plugin: whose, and what was kept of it, unless it does not open.
pub type DecoderState = (DeviceId, Result<Vec<u8>, StoreError>);

fn context(plugin: &PluginName, device: &DeviceId) -> Vec<u8> {
    [b"decoder-state", plugin.as_str().as_bytes(), &[0], device.as_str().as_bytes()].concat()
}

/// Within the transaction that ends what a device was.
pub(crate) fn forget_device(connection: &Connection, device: &DeviceId) -> Result<(), StoreError> {
    connection.prepare_cached(sql!("states/drop_of_device"))?.execute([device.as_str()])?;
    Ok(())
}

/// Within the transaction that takes a plugin out.
pub(crate) fn forget_plugin(connection: &Connection, plugin: &PluginName) -> Result<(), StoreError> {
    connection.prepare_cached(sql!("states/drop_of_plugin"))?.execute([plugin.as_str()])?;
    Ok(())
}

impl Tables {
    /// What a plugin kept of its devices. One row that does not open does not hide the others.
    pub fn decoder_states(&self, plugin: &PluginName) -> Result<Vec<DecoderState>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql!("states/of_plugin"))?;
            let mut rows = statement.query([plugin.as_str()])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                let (device, sealed): (String, Vec<u8>) = (row.get(0)?, row.get(1)?);
                let device = device_id(&device, "decoder_states")?;
                let damaged = || StoreError::Damaged { table: "decoder_states", row: format!("{plugin} {device}") };
                let opened = self.vault().meta.open(&context(plugin, &device), &sealed).map_err(|_| damaged());
                found.push((device, opened));
            }
            Ok(found)
        })
    }

    /// Writes down what a plugin keeps of devices now, or that it keeps nothing, all of it or none.
    pub fn put_decoder_states(
        &self,
        plugin: &PluginName,
        changes: &[(DeviceId, Option<Vec<u8>>)],
    ) -> Result<(), StoreError> {
        let mut rows = Vec::with_capacity(changes.len());
        for (device, state) in changes {
            let sealed = match state {
                Some(state) if state.len() > STATE_BYTES_MAX => {
                    let (size, max) = (state.len() as u64, STATE_BYTES_MAX as u64);
                    return Err(StoreError::TooLarge { what: "what a decoder keeps of a device", size, max });
                }
                Some(state) => Some(self.vault().meta.seal_copy(self.boot(), &context(plugin, device), state)?),
                None => None,
            };
            rows.push((device.clone(), sealed));
        }
        let plugin = plugin.clone();
        self.write(move |connection| {
            for (device, sealed) in &rows {
                match sealed {
                    Some(sealed) => connection.prepare_cached(sql!("states/put"))?.execute(params![
                        plugin.as_str(),
                        device.as_str(),
                        sealed
                    ])?,
                    None => {
                        connection.prepare_cached(sql!("states/drop"))?.execute([plugin.as_str(), device.as_str()])?
                    }
                };
            }
            Ok(())
        })
    }
}
