//! Bonds that are given up, removed from BlueZ: of devices that were revoked, and of those somebody asked to be forgotten. Only what
//! the memory names is removed: the bonds of others on this host are none of our business.

use std::collections::HashSet;
use std::sync::Arc;

use bluer::{Adapter, Address, ErrorKind, Session};
use pitchside_model::{BleAddress, DeviceId};
use tokio::task::spawn_blocking;

use super::super::memory::{Elsewhere, Made, elsewhere};
use super::super::radio::{RadioError, Target};
use super::connect::failed;
use super::{Bluez, address};

/// What became of a bond.
enum Removal {
    Gone,
    /// The adapter that holds it is not there.
    NoAdapter,
}

async fn remove(session: &Session, made: Made) -> bluer::Result<Removal> {
    for name in session.adapter_names().await? {
        let adapter = session.adapter(&name)?;
        if address(adapter.address().await?) != made.adapter {
            continue;
        }
        for known in adapter.device_addresses().await? {
            if !is_same(&adapter, known, made).await? {
                continue;
            }
            if let Err(error) = adapter.remove_device(known).await
                && !matches!(error.kind, ErrorKind::DoesNotExist | ErrorKind::NotFound)
            {
                return Err(error);
            }
        }
        return Ok(Removal::Gone);
    }
    Ok(Removal::NoAdapter)
}

/// Whether what BlueZ knows by this address is the bonded device: one that changes its address keeps the name it was bonded under.
/// An error says no only of what is gone: else a bond would stay that is said to be removed.
async fn is_same(adapter: &Adapter, known: Address, made: Made) -> bluer::Result<bool> {
    if address(known) == made.device {
        return Ok(true);
    }
    match adapter.device(known)?.remote_address().await {
        Ok(now) => Ok(address(now) == made.device),
        Err(error) if matches!(error.kind, ErrorKind::DoesNotExist | ErrorKind::NotFound) => Ok(false),
        Err(error) => {
            let is_there = adapter.device_addresses().await?.contains(&known);
            if is_there { Err(error) } else { Ok(false) }
        }
    }
}

impl Bluez {
    async fn given_up(&self) -> Result<Vec<(DeviceId, Made)>, String> {
        let memory = Arc::clone(&self.memory);
        spawn_blocking(move || memory.given_up()).await.map_err(|error| error.to_string())?
    }

    async fn remove_bond(&self, session: &Session, device: &DeviceId, made: Made) -> Result<(), String> {
        match remove(session, made).await {
            Ok(Removal::Gone) => {}
            Ok(Removal::NoAdapter) => return Err(format!("the adapter {} that holds it is not there", made.adapter)),
            Err(error) => return Err(error.to_string()),
        }
        self.doubts.lock().forget(device);
        self.common.settled.lock().remove(device);
        self.common.unheard.lock().remove(device);
        let (memory, id) = (Arc::clone(&self.memory), device.clone());
        spawn_blocking(move || memory.removed(&id, made)).await.map_err(|error| error.to_string())??;
        tracing::info!(%device, address = %made.device, adapter = %made.adapter, "BLE: its bond is removed");
        Ok(())
    }

    /// Removes whatever is given up; of what cannot be removed yet `kept` remembers that it was told.
    pub(super) async fn remove_given_up(&self, session: &Session, kept: &mut HashSet<DeviceId>) {
        let given_up = match self.given_up().await {
            Ok(given_up) => given_up,
            Err(error) => {
                tracing::debug!(error, "BLE: which bonds are given up is not known");
                return;
            }
        };
        kept.retain(|device| given_up.iter().any(|(other, _)| other == device));
        for (device, made) in given_up {
            if let Err(error) = self.remove_bond(session, &device, made).await
                && kept.insert(device.clone())
            {
                tracing::warn!(%device, address = %made.device, error, "BLE: its bond is not removed yet; it is tried again");
            }
        }
    }

    /// Before a device is connected by the adapter `own`: a bond given up, its own or that of whoever had its address, must not let it in.
    pub(super) async fn without_old_bond(
        &self,
        session: &Session,
        own: BleAddress,
        target: &Target,
    ) -> Result<(), RadioError> {
        for (device, made) in self.given_up().await.map_err(RadioError::Failed)? {
            if device != target.id && !target.is_at(made.device) {
                continue;
            }
            // One that another adapter holds lets nobody in here; it goes once that is there.
            if let Err(why) = self.remove_bond(session, &device, made).await
                && made.adapter == own
            {
                return Err(RadioError::Failed(format!("its bond is given up, and could not be removed: {why}")));
            }
        }
        Ok(())
    }

    /// Before a device is paired with the adapter `own`: one whose bond is with another is not, whoever plays its address near this one
    /// would wait for that. Nor by itself if that other adapter is gone.
    pub(super) async fn not_elsewhere(
        &self,
        session: &Session,
        own: BleAddress,
        target: &Target,
    ) -> Result<(), RadioError> {
        let made = self.memory.made(&target.id);
        let given_up = self.given_up().await.map_err(RadioError::Failed)?;
        let present = self.present(session).await.map_err(failed)?;
        let is_there = |adapter: BleAddress| present.iter().any(|(_, there, _)| *there == adapter);
        match elsewhere(&made, &given_up, own, is_there) {
            None => Ok(()),
            Some(Elsewhere::There(adapter)) => Err(RadioError::Unreachable(format!("its bond is with {adapter}"))),
            Some(Elsewhere::Gone(adapter)) => Err(RadioError::BondLost(format!(
                "its bond is with the adapter {adapter}, which is not there; it is not paired anew by itself. If that adapter is gone \
                 for good: `pitchside device forget {}`, and make it ready to pair",
                target.id
            ))),
        }
    }
}
