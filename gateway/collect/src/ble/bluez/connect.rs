//! Connect, bond, and find out what is known of the bond.
//!
//! BlueZ encrypts the link to a bonded device before it reads the first attribute (its ATT channel asks for that security), so
//! "bonded before or during this connection, and still bonded" means encrypted. Unless the other side speaks before: then the kernel
//! opens that channel at once, and only an answer tells ([`super::early`]). What kind of bond it is [`keys`] tells.

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bluer::{Adapter, Address, AddressType, Device, DeviceEvent, DeviceProperty, ErrorKind};
use futures_util::{FutureExt as _, StreamExt as _};
use pitchside_model::ble::RandomAddress;
use pitchside_model::{BleAddress, Bond};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::super::core::AdapterName;
use super::super::doubt;
use super::super::keys::{self, KeysError};
use super::super::memory::{Made, Memory};
use super::super::radio::{RadioError, Target};
use super::early::Early;
use super::peer::BluezPeer;
use super::{Bluez, Life, address};

/// How long a device may take to answer.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How long pairing may take, somebody reading a code off included.
const PAIR_WITHIN: Duration = Duration::from_secs(40);
/// How long after saying that a device is paired BlueZ may take to answer that it was.
const ANSWERED_WITHIN: Duration = Duration::from_secs(1);
/// How long BlueZ may take to write a new bond down, and the copy of what it wrote to show that an old one is gone.
const STORED_WITHIN: Duration = Duration::from_secs(3);
const STORED_EVERY: Duration = Duration::from_millis(100);
/// How long taking a link down may take.
const DISCONNECT_WITHIN: Duration = Duration::from_secs(5);

/// An active scan pauses while this lives.
struct Busy(watch::Sender<bool>);

impl Busy {
    fn set(busy: watch::Sender<bool>) -> Self {
        busy.send_replace(true);
        Self(busy)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.send_replace(false);
    }
}

/// Takes an attempt down that was given up, also when its future is dropped.
struct Attempt(Option<Device>);

impl Attempt {
    fn succeeded(mut self) {
        self.0 = None;
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if let Some(device) = self.0.take() {
            tokio::spawn(async move { disconnect(&device).await });
        }
    }
}

/// Takes a link down; whoever does not answer is left to BlueZ.
pub(super) async fn disconnect(device: &Device) {
    if let Ok(Err(error)) = timeout(DISCONNECT_WITHIN, device.disconnect()).await {
        tracing::debug!(address = %device.address(), %error, "BLE: not disconnected");
    }
}

impl Bluez {
    /// Connects and bonds, and tells a device that has lost its side of the bond from one that is merely away.
    pub(super) async fn attempt(
        &self,
        life: &Life,
        name: &AdapterName,
        target: &Target,
    ) -> Result<BluezPeer, RadioError> {
        let adapter = life.session.adapter(name).map_err(failed)?;
        let own = address(adapter.address().await.map_err(failed)?);
        self.without_old_bond(&life.session, own, target).await?;
        let (device, paired) = known(&adapter, target).await?;
        if target.bonding.is_some() && !paired {
            self.not_elsewhere(&life.session, own, target).await?;
        }
        // Not before: what is refused until here may be asked for often, and would keep a scan from hearing anybody.
        let _busy = Busy::set(self.busy(name));
        let attempt = Attempt(Some(device.clone()));
        let reached = self.reach(life, &adapter, device, target, paired).await;
        if target.bonding.is_some() {
            let how = match &reached {
                Ok(_) => doubt::Attempt::Encrypted,
                // Without a bond there is none to have lost.
                Err(_) if !paired => doubt::Attempt::Untold,
                Err(ended) => ended.how,
            };
            let is_lost = self.doubts.lock().hear(&target.id, how);
            if let Err(Ended { error, .. }) = &reached
                && is_lost
            {
                return Err(RadioError::BondLost(format!("{error}; {}", doubt::advice(&target.id))));
            }
        }
        let peer = reached.map_err(|ended| ended.error)?;
        attempt.succeeded();
        Ok(peer)
    }

    /// From the link to a peer whose services BlueZ calls resolved.
    async fn reach(
        &self,
        life: &Life,
        adapter: &Adapter,
        device: Device,
        target: &Target,
        paired: bool,
    ) -> Result<BluezPeer, Ended> {
        let listening = Early::new(target.id.clone(), Arc::clone(&self.common.unheard));
        if let Some(bonding) = target.bonding.filter(|_| paired) {
            listening.listen(&device, bonding.profiles, &life.objects).await;
        }
        link(&device).await?;
        let bond = match target.bonding {
            Some(_) => Some(self.bond(adapter, &device, target, paired).await?),
            None => None,
        };
        let early = |error| Ended { error, how: doubt::Attempt::Early };
        let (common, over) = (self.common.clone(), life.over.clone());
        let peer = BluezPeer::new(device, target.clone(), bond, common, listening, over).await.map_err(early)?;
        if bond.is_some()
            && let Err(error) = peer.named().await
        {
            return Err(if peer.is_up().await { error.into() } else { early(error) });
        }
        Ok(peer)
    }

    /// The bond there is, or a new one if there is none.
    async fn bond(
        &self,
        adapter: &Adapter,
        device: &Device,
        target: &Target,
        paired: bool,
    ) -> Result<Bond, RadioError> {
        if !paired {
            // Of another bond, and maybe of another device at this address.
            self.common.settled.lock().remove(&target.id);
            self.common.unheard.lock().remove(&target.id);
            lasting(device, target).await?;
            let place = Place::of(adapter, device, &self.bonds).await?;
            gone(&place).await?;
            pair_anew(device, target, &*self.memory, place.made.adapter).await?;
            if !device.is_paired().await.map_err(failed)? {
                return Err(RadioError::Refused("it paired without a bond".to_owned()));
            }
            self.codes.bonded(&target.id);
        }
        // Only now, since a device that changes its address told its identity address while bonding.
        let place = Place::of(adapter, device, &self.bonds).await?;
        let bond = bond_of(&place).await?;
        remember(&self.memory, target, &place).await;
        Ok(bond)
    }
}

/// The device as BlueZ knows it, and whether it is paired. One that changes its address is known by the one it paired under until
/// bluetoothd is restarted, and by its identity then.
async fn known(adapter: &Adapter, target: &Target) -> Result<(Device, bool), RadioError> {
    for address in target.addresses() {
        let device = adapter.device(Address(address.0)).map_err(failed)?;
        // Until it has advertised BlueZ knows no such device.
        if let Ok(paired) = device.is_paired().await {
            return Ok((device, paired));
        }
    }
    Err(RadioError::Unreachable("not heard yet".to_owned()))
}

/// Whether it can be bonded with under its address: there is no way back from one that it changes and nobody can resolve.
async fn lasting(device: &Device, target: &Target) -> Result<(), RadioError> {
    let is_random = device.address_type().await.map_err(failed)? == AddressType::LeRandom;
    if is_random && target.address.if_random() == RandomAddress::NonResolvable {
        return Err(RadioError::Refused(
            "its address is a non-resolvable private one, which it changes: enrol its public, static or identity address".to_owned(),
        ));
    }
    Ok(())
}

/// An attempt that ended, and what that says of the device's bond.
struct Ended {
    error: RadioError,
    how: doubt::Attempt,
}

impl From<RadioError> for Ended {
    fn from(error: RadioError) -> Self {
        Self { error, how: doubt::Attempt::Untold }
    }
}

/// Connects; if that fails, whether there was a link for a moment.
async fn link(device: &Device) -> Result<(), Ended> {
    let mut said = pin!(device.events().await.map_err(failed)?);
    let error = match timeout(CONNECT_WITHIN, device.connect()).await {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) if error.kind == ErrorKind::AlreadyConnected => return Ok(()),
        Ok(Err(error)) => error,
        Err(_) => return Err(RadioError::Unreachable("no answer in time".to_owned()).into()),
    };
    let mut was_up = false;
    // What has been said by now: nothing is waited for.
    while let Some(Some(DeviceEvent::PropertyChanged(property))) = said.next().now_or_never() {
        was_up |= matches!(property, DeviceProperty::Connected(true));
    }
    let how = if doubt::says_key_missing(&format!("{:?} {error}", error.kind)) {
        doubt::Attempt::KeyMissing
    } else if was_up {
        doubt::Attempt::Early
    } else {
        doubt::Attempt::Untold
    };
    Err(Ended { error: not_connected(&error), how })
}

/// Where a bond is shown.
#[derive(Clone)]
struct Place {
    bonds: PathBuf,
    made: Made,
}

impl Place {
    async fn of(adapter: &Adapter, device: &Device, bonds: &Path) -> Result<Self, RadioError> {
        let adapter = address(adapter.address().await.map_err(failed)?);
        let device = address(device.remote_address().await.map_err(failed)?);
        Ok(Self { bonds: bonds.to_owned(), made: Made { adapter, device } })
    }

    async fn look(
        &self,
        how: fn(&Path, BleAddress, BleAddress) -> Result<Bond, KeysError>,
    ) -> Result<Result<Bond, KeysError>, RadioError> {
        let Self { bonds, made } = self.clone();
        let looked = tokio::task::spawn_blocking(move || how(&bonds, made.adapter, made.device)).await;
        looked.map_err(|error| RadioError::Failed(error.to_string()))
    }
}

/// Waits until no bond is shown that BlueZ does not have: what is shown may be a copy half a second old, and a weaker bond made
/// meanwhile must not pass for the old one.
async fn gone(place: &Place) -> Result<(), RadioError> {
    let until = Instant::now() + STORED_WITHIN;
    while place.look(keys::bond).await?.is_ok() {
        if Instant::now() >= until {
            let folder = place.bonds.display();
            return Err(RadioError::Failed(format!(
                "{folder} shows a bond that BlueZ does not have; does `pitchside device bonds --out {folder} --follow` run?"
            )));
        }
        sleep(STORED_EVERY).await;
    }
    Ok(())
}

/// Pairs; with a device that believes in a bond this box has lost, says so.
async fn pair_anew(
    device: &Device,
    target: &Target,
    memory: &dyn Memory,
    adapter: BleAddress,
) -> Result<(), RadioError> {
    if memory.made(&target.id).iter().all(|made| made.adapter != adapter) {
        return pair(device, target).await;
    }
    tracing::warn!(device = %target.id, address = %target.address, "BLE: it was bonded, and this box has lost that bond: pairing anew");
    let advice = "this box has lost its bond with it: make the sensor forget this box, and let it pair anew";
    pair(device, target).await.map_err(|error| match error {
        RadioError::Refused(why) => RadioError::Refused(format!("{why}; {advice}")),
        RadioError::Failed(why) => RadioError::Failed(format!("{why}; {advice}")),
        error @ (RadioError::Unreachable(_) | RadioError::BondLost(_)) => error,
    })
}

/// That it is bonded is worth knowing later; without it a loss is only told later.
async fn remember(memory: &Arc<dyn Memory>, target: &Target, place: &Place) {
    let (memory, id, made) = (Arc::clone(memory), target.id.clone(), place.made);
    match tokio::task::spawn_blocking(move || memory.bonded(&id, made)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(device = %target.id, error, "BLE: that it is bonded was not remembered"),
        Err(error) => tracing::warn!(device = %target.id, %error, "BLE: that it is bonded was not remembered"),
    }
}

async fn pair(device: &Device, target: &Target) -> Result<(), RadioError> {
    tracing::info!(device = %target.id, address = %target.address, "BLE: pairing");
    let mut events = pin!(device.events().await.map_err(failed)?);
    let told = async {
        loop {
            match events.next().await {
                Some(DeviceEvent::PropertyChanged(DeviceProperty::Paired(true))) => return,
                Some(_) => {}
                None => std::future::pending().await,
            }
        }
    };
    let asked = device.clone();
    // Dropped, it takes the pairing down. Should the task itself fail: whether the device is paired is asked afterwards.
    let mut answer = AbortOnDropHandle::new(tokio::spawn(async move { asked.pair().await }));
    let paired = async {
        tokio::select! {
            answer = &mut answer => return answer.unwrap_or(Ok(())),
            () = told => {}
        }
        // BlueZ forgets to answer if it is discovering the device's services when the bond is made. That the device is paired
        // it says all the same, and a moment before it answers: taking the question back then would cut the link.
        timeout(ANSWERED_WITHIN, &mut answer).await.map_or(Ok(()), |answer| answer.unwrap_or(Ok(())))
    };
    let paired = timeout(PAIR_WITHIN, paired).await;
    if matches!(paired, Ok(Ok(()))) {
        // Ends by itself when D-Bus gives up waiting.
        answer.detach();
    }
    match paired {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => match error.kind {
            ErrorKind::AlreadyExists => Ok(()),
            ErrorKind::AuthenticationFailed
            | ErrorKind::AuthenticationRejected
            | ErrorKind::AuthenticationCanceled
            | ErrorKind::AuthenticationTimeout => Err(RadioError::Refused(format!(
                "pairing failed ({error}): tell its code to `pitchside device code {}`, and that it is ready to pair",
                target.id
            ))),
            _ => Err(failed(error)),
        },
        Err(_) => Err(RadioError::Refused("pairing was not finished in time".to_owned())),
    }
}

/// What BlueZ wrote down of the bond, once that outlives a power cut; it may write a moment after it says that it is bonded.
async fn bond_of(place: &Place) -> Result<Bond, RadioError> {
    let until = Instant::now() + STORED_WITHIN;
    loop {
        match place.look(keys::durable_bond).await? {
            Ok(bond) => return Ok(bond),
            Err(KeysError::Unreadable { .. } | KeysError::NoKey(_)) if Instant::now() < until => {}
            Err(error) => return Err(RadioError::Refused(error.to_string())),
        }
        sleep(STORED_EVERY).await;
    }
}

fn not_connected(error: &bluer::Error) -> RadioError {
    match error.kind {
        ErrorKind::DoesNotExist | ErrorKind::NotFound => RadioError::Unreachable("not heard yet".to_owned()),
        ErrorKind::ConnectionAttemptFailed => RadioError::Unreachable(error.to_string()),
        // BlueZ gives the kernel's reason as text alone.
        _ if error.message.contains("le-connection-abort-by-local") => RadioError::Unreachable(error.to_string()),
        _ => RadioError::Failed(error.to_string()),
    }
}

pub(super) fn failed(error: bluer::Error) -> RadioError {
    RadioError::Failed(error.to_string())
}
