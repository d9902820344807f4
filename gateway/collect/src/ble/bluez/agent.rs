//! Codes while pairing. Only enrolled devices are answered, and only as their enrolment says; the default of BlueZ, which
//! accepts anybody, never applies, for this agent is the host's.

use std::sync::Arc;
use std::time::Duration;

use bluer::Address;
use bluer::agent::{Agent, ReqError, ReqResult};
use pitchside_model::Pairing;
use tokio::time::timeout;

use super::super::radio::Targets;
use super::address;

/// How long somebody has to read a code off the device. The Security Manager gives up after 30 s (Core 5.4, vol. 3 part H,
/// 3.4).
const READ_OFF_WITHIN: Duration = Duration::from_secs(27);

/// The host's agent, able to show and to enter codes.
pub(super) fn agent(targets: Targets) -> Agent {
    let targets = Arc::new(targets);
    let entered = Arc::clone(&targets);
    let compared = Arc::clone(&targets);
    Agent {
        request_default: true,
        request_passkey: Some(Box::new(move |ask| {
            let targets = (*entered).clone();
            Box::pin(async move { enter(targets, ask.device).await })
        })),
        request_confirmation: Some(Box::new(move |ask| {
            let targets = (*compared).clone();
            Box::pin(async move { compare(targets, ask.device, ask.passkey).await })
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
fn pairing(targets: &Targets, device: Address) -> Option<(String, Pairing)> {
    let targets = targets.borrow();
    let target = targets.iter().find(|target| target.is_at(address(device)))?;
    Some((target.id.to_string(), target.bonding?.pairing))
}

/// The device has a code, printed or shown: enter it.
async fn enter(mut targets: Targets, device: Address) -> ReqResult<u32> {
    match pairing(&targets, device) {
        Some((_, Pairing::Code(Some(code)))) => Ok(code),
        Some((id, Pairing::Code(None))) => {
            tracing::warn!(
                device = id,
                "BLE: the device shows a code: type it into `pitchside device code {id}` within 25 s"
            );
            read_off(&mut targets, device, |_| true).await
        }
        _ => Err(refused(device, "it asks for a code and none was enrolled")),
    }
}

/// Both sides show a code: whoever holds the device says which one it shows, and it must be ours.
async fn compare(mut targets: Targets, device: Address, ours: u32) -> ReqResult<()> {
    match pairing(&targets, device) {
        Some((_, Pairing::Code(Some(code)))) if code == ours => Ok(()),
        Some((id, Pairing::Code(_))) => {
            // Not ours to show: whoever copies it from the log has compared nothing.
            tracing::warn!(
                device = id,
                "BLE: the device shows a code to compare: type it into `pitchside device code {id}` within 25 s"
            );
            read_off(&mut targets, device, |code| code == ours).await.map(|_| ())
        }
        _ => Err(refused(device, "it wants codes compared and was enrolled without")),
    }
}

async fn read_off(targets: &mut Targets, device: Address, fits: impl Fn(u32) -> bool) -> ReqResult<u32> {
    let wait = async {
        loop {
            targets.changed().await.map_err(|_| ReqError::Canceled)?;
            match pairing(targets, device) {
                Some((_, Pairing::Code(Some(code)))) if fits(code) => return Ok(code),
                Some((_, Pairing::Code(Some(_)))) => return Err(refused(device, "the codes differ")),
                Some((_, Pairing::Code(None))) => {}
                _ => return Err(refused(device, "it is no longer enrolled")),
            }
        }
    };
    timeout(READ_OFF_WITHIN, wait).await.unwrap_or_else(|_| Err(refused(device, "nobody told its code in time")))
}
