//! Codes while pairing. Only enrolled devices are answered, and only as their enrolment says; the default of BlueZ, which
//! accepts anybody, never applies, for this agent is the host's.
//!
//! A code may be printed on a device, or shown by it and another one each time. Which of the two it is nobody says; so a code with which
//! pairing failed is not entered again before there was time to tell another.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bluer::Address;
use bluer::agent::{Agent, ReqError, ReqResult};
use parking_lot::Mutex;
use pitchside_model::{DeviceId, Pairing};
use tokio::time::timeout;

use super::super::radio::Targets;
use super::address;

/// How long somebody has to read a code off the device. The Security Manager gives up after 30 s (Core 5.4, vol. 3 part H,
/// 3.4).
const READ_OFF_WITHIN: Duration = Duration::from_secs(27);

/// The code that was entered last for each device with which no pairing has succeeded since.
#[derive(Clone, Default)]
pub(super) struct Codes(Arc<Mutex<HashMap<DeviceId, u32>>>);

impl Codes {
    fn enter(&self, device: DeviceId, code: u32) -> u32 {
        self.0.lock().insert(device, code);
        code
    }

    fn has_failed(&self, device: &DeviceId, code: u32) -> bool {
        self.0.lock().get(device) == Some(&code)
    }

    /// Pairing has succeeded, or is tried in another way: the code there is counts again.
    pub(super) fn bonded(&self, device: &DeviceId) {
        self.0.lock().remove(device);
    }
}

/// The host's agent, able to show and to enter codes.
pub(super) fn agent(targets: Targets, codes: Codes) -> Agent {
    let targets = Arc::new(targets);
    let entered = Arc::clone(&targets);
    let compared = Arc::clone(&targets);
    Agent {
        request_default: true,
        request_passkey: Some(Box::new(move |ask| {
            let (targets, codes) = ((*entered).clone(), codes.clone());
            Box::pin(async move { enter(targets, &codes, ask.device, READ_OFF_WITHIN).await })
        })),
        request_confirmation: Some(Box::new(move |ask| {
            let targets = (*compared).clone();
            Box::pin(async move { compare(targets, ask.device, ask.passkey, READ_OFF_WITHIN).await })
        })),
        request_authorization: Some(Box::new(move |ask| {
            let targets = (*targets).clone();
            Box::pin(async move {
                match pairing(&targets, ask.device) {
                    Some((_, Pairing::JustWorks)) => Ok(()),
                    _ => Err(refused(ask.device, "it is not enrolled to pair without a code")),
                }
            })
        })),
        // Codes of classic Bluetooth, codes for the device's keyboard, and services a device wants of us: refused.
        ..Agent::default()
    }
}

fn refused(device: Address, why: &str) -> ReqError {
    tracing::warn!(address = %device, why, "BLE: pairing refused");
    ReqError::Rejected
}

/// An enrolled device's name and how it is bonded.
fn pairing(targets: &Targets, device: Address) -> Option<(DeviceId, Pairing)> {
    let targets = targets.borrow();
    let target = targets.iter().find(|target| target.is_at(address(device)))?;
    Some((target.id.clone(), target.bonding?.pairing))
}

/// The device has a code, printed or shown: enter it.
async fn enter(mut targets: Targets, codes: &Codes, device: Address, within: Duration) -> ReqResult<u32> {
    let (id, known) = match pairing(&targets, device) {
        Some((id, Pairing::Code(Some(code)))) if !codes.has_failed(&id, code) => return Ok(codes.enter(id, code)),
        Some((id, Pairing::Code(known))) => (id, known),
        _ => return Err(refused(device, "it asks for a code and none was enrolled")),
    };
    match known {
        None => tracing::warn!(
            device = %id,
            "BLE: the device shows a code: type it into `pitchside device code {id}` within 25 s"
        ),
        Some(_) => tracing::warn!(
            device = %id,
            "BLE: pairing failed with the code there is: if the device shows another, type it into `pitchside device code {id}` within 25 s"
        ),
    }
    // A sensor that is gone before the wait is over is entered its code at once the next time: a link may have failed, not the code.
    codes.bonded(&id);
    match told(&mut targets, device, known, within).await?.or(known) {
        Some(code) => Ok(codes.enter(id, code)),
        None => Err(refused(device, "nobody told its code in time")),
    }
}

/// Both sides show a code: whoever holds the device says which one it shows, and it must be ours.
async fn compare(mut targets: Targets, device: Address, ours: u32, within: Duration) -> ReqResult<()> {
    let (id, known) = match pairing(&targets, device) {
        Some((_, Pairing::Code(Some(code)))) if code == ours => return Ok(()),
        Some((id, Pairing::Code(known))) => (id, known),
        _ => return Err(refused(device, "it wants codes compared and was enrolled without")),
    };
    // Not ours to show: whoever copies it from the log has compared nothing.
    tracing::warn!(
        device = %id,
        "BLE: the device shows a code to compare: type it into `pitchside device code {id}` within 25 s"
    );
    match told(&mut targets, device, known, within).await? {
        Some(code) if code == ours => Ok(()),
        Some(_) => Err(refused(device, "the codes differ")),
        None => Err(refused(device, "nobody told its code in time")),
    }
}

/// The code that is told for this device while it waits, another than the one there was; none if nobody does. What is told of other
/// devices is no word on this one.
async fn told(targets: &mut Targets, device: Address, known: Option<u32>, within: Duration) -> ReqResult<Option<u32>> {
    let wait = async {
        loop {
            // A clone has seen nothing yet: what changed may have changed long ago, or of another device.
            match pairing(targets, device) {
                Some((_, Pairing::Code(code))) if code.is_none() || code == known => {}
                Some((_, Pairing::Code(code))) => return Ok(code),
                _ => return Err(refused(device, "it is no longer enrolled")),
            }
            targets.changed().await.map_err(|_| ReqError::Canceled)?;
        }
    };
    timeout(within, wait).await.unwrap_or(Ok(None))
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use pitchside_model::{BleAddress, Bonding, Profiles};
    use tokio::sync::watch;
    use tokio::task::yield_now;

    use super::super::super::radio::Target;
    use super::*;

    const DEVICE: Address = Address([0xF0, 1, 2, 3, 4, 5]);
    const OLD: u32 = 111_111;
    const NEW: u32 = 222_222;

    /// The strap with this code, and another sensor that tells what it does.
    fn enrolled(code: Option<u32>, other: Option<u32>) -> Arc<[Target]> {
        let target = |id: &str, address, code| {
            let bonding = Bonding { pairing: Pairing::Code(code), profiles: Profiles::HEART_RATE };
            let id = DeviceId::parse(id).unwrap();
            Target { id, address, identity: None, bonding: Some(bonding), home: None }
        };
        Arc::from([target("strap", BleAddress(DEVICE.0), code), target("other", BleAddress([1; 6]), other)])
    }

    /// Somebody enrols, a while after the gateway began to listen: what its receivers have not seen is no news.
    fn watched(code: Option<u32>) -> (watch::Sender<Arc<[Target]>>, Targets) {
        let (sender, targets) = watch::channel(Arc::from([]));
        sender.send_replace(enrolled(code, None));
        (sender, targets)
    }

    /// Another sensor's code is told, then this one's.
    async fn tell(sender: &watch::Sender<Arc<[Target]>>, before: Option<u32>, code: u32) {
        for news in [enrolled(before, Some(NEW)), enrolled(Some(code), Some(NEW))] {
            yield_now().await;
            sender.send_replace(news);
        }
    }

    fn strap() -> DeviceId {
        DeviceId::parse("strap").unwrap()
    }

    #[tokio::test]
    async fn a_code_that_is_told_while_the_sensor_shows_it_is_entered_whatever_else_happens() {
        let ((sender, targets), codes) = (watched(None), Codes::default());
        let wait = enter(targets.clone(), &codes, DEVICE, READ_OFF_WITHIN);
        assert_eq!(tokio::join!(wait, tell(&sender, None, NEW)).0, Ok(NEW));
        let (_kept, targets) = watched(None);
        assert_eq!(enter(targets, &codes, DEVICE, Duration::ZERO).await, Err(ReqError::Rejected), "nobody told one");
    }

    #[tokio::test]
    async fn a_code_that_failed_is_asked_for_again_and_entered_again_only_if_nobody_tells_another() {
        let ((sender, targets), codes) = (watched(Some(OLD)), Codes::default());
        let at_once = || enter(targets.clone(), &codes, DEVICE, READ_OFF_WITHIN).now_or_never();
        assert_eq!(at_once(), Some(Ok(OLD)));
        // It was mistyped, or the sensor shows another each time: pairing failed.
        assert_eq!(at_once(), None);
        assert_eq!(at_once(), Some(Ok(OLD)), "the wait was broken off: the link may have failed, not the code");
        let waited = enter(targets.clone(), &codes, DEVICE, Duration::ZERO).await;
        assert_eq!(waited, Ok(OLD), "it may be printed");
        let wait = enter(targets.clone(), &codes, DEVICE, READ_OFF_WITHIN);
        assert_eq!(tokio::join!(wait, tell(&sender, Some(OLD), NEW)).0, Ok(NEW));
        assert_eq!(at_once(), None, "that one failed, too");
        codes.bonded(&strap());
        assert_eq!(at_once(), Some(Ok(NEW)));
    }

    #[tokio::test]
    async fn codes_are_compared_with_the_one_that_is_told_now_and_not_with_an_older_one() {
        for (told, is_ours) in [(NEW, Ok(())), (NEW + 1, Err(ReqError::Rejected))] {
            let (sender, targets) = watched(Some(OLD));
            let wait = compare(targets, DEVICE, NEW, READ_OFF_WITHIN);
            assert_eq!(tokio::join!(wait, tell(&sender, Some(OLD), told)).0, is_ours);
        }
        let (_kept, targets) = watched(Some(OLD));
        assert_eq!(compare(targets.clone(), DEVICE, OLD, Duration::ZERO).await, Ok(()), "told before it was asked for");
        assert_eq!(compare(targets, DEVICE, NEW, Duration::ZERO).await, Err(ReqError::Rejected));
    }

    #[tokio::test]
    async fn a_sensor_that_is_revoked_while_it_pairs_is_refused() {
        let ((sender, targets), codes) = (watched(None), Codes::default());
        let revoke = async {
            yield_now().await;
            sender.send_replace(Arc::from([]));
        };
        let wait = enter(targets, &codes, DEVICE, READ_OFF_WITHIN);
        assert_eq!(tokio::join!(wait, revoke).0, Err(ReqError::Rejected));
    }
}
