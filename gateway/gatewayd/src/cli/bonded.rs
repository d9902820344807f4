//! Devices reached by Bluetooth: their enrolment, and the codes they show while pairing.

use std::io::BufRead as _;

use anyhow::Context as _;
use pitchside_auth::{DeviceClass, DeviceRecord, Kek, enrol};
use pitchside_collect::ble::profile;
use pitchside_model::ble::{CODE_MAX, RandomAddress};
use pitchside_model::{BleAddress, Bonding, DeviceId, Pairing, Profiles};
use serde::Serialize;

use super::args::RadioArgs;
use super::context::Context;
use super::output::{Output, note};
use super::{Failure, Outcome};
use crate::adapters::bonds;
use crate::adapters::keys::{record, row};
use crate::clock::Clock;
use crate::identity::Identity;
use crate::pipeline::AUTH_KEK;

#[derive(Serialize)]
struct Enrolled<'a> {
    id: &'a DeviceId,
    class: &'static str,
    address: String,
    pairing: &'static str,
    profiles: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'static str>,
}

/// What is to be known of an address that may be one its device changes. A public address looks the same.
fn note_on(address: BleAddress) -> Option<&'static str> {
    match address.if_random() {
        RandomAddress::Static | RandomAddress::Reserved => None,
        RandomAddress::Resolvable => Some(
            "if this address is not public, the device changes it: have it paired before it does; it then tells its identity address, by which it is found from then on",
        ),
        RandomAddress::NonResolvable => Some(
            "if this address is not public, the device changes it and it cannot be kept: it is then refused, and its public, static or identity address is to be enrolled",
        ),
    }
}

fn kek(identity: &Identity) -> anyhow::Result<Kek> {
    Ok(Kek::new(*identity.derive(AUTH_KEK)?))
}

/// Enrols a bonded device.
pub fn enrol(context: &Context, id: &DeviceId, radio: &RadioArgs, output: &Output) -> Outcome {
    let address = radio.address.ok_or_else(|| Failure::Usage("a bonded device needs --address".to_owned()))?;
    let (pairing, word) = match (radio.just_works, radio.code_stdin) {
        (true, _) => (Pairing::JustWorks, "without a code"),
        (false, true) => (Pairing::Code(Some(read_code()?)), "with the code given"),
        (false, false) => (Pairing::Code(None), "with a code, to be told to `pitchside device code`"),
    };
    let profiles = radio.profiles.unwrap_or(Profiles::all());
    let kek = kek(&context.identity)?;
    let bonding = Bonding { pairing, profiles };
    let record =
        enrol::bonded(id.clone(), address, bonding, None, &kek, Clock::System.now()).map_err(anyhow::Error::from)?;
    refuse_twice(context, &kek, &record, id)?;
    context.tables.add_device(row(record)).map_err(anyhow::Error::from)?;
    let enrolled = Enrolled {
        id,
        class: "bonded",
        address: address.to_string(),
        pairing: word,
        profiles: profile::words(profiles),
        note: note_on(address),
    };
    output.print(&enrolled, |e| {
        format!(
            "enrolled {} (bonded) at {}; it pairs {}; a running gateway looks for it at once",
            e.id, e.address, e.pairing
        )
    })?;
    if let Some(text) = enrolled.note {
        note(text);
    }
    Ok(())
}

/// One address is one device: whose readings would they be?
fn refuse_twice(context: &Context, kek: &Kek, new: &DeviceRecord, id: &DeviceId) -> anyhow::Result<()> {
    let Some(wanted) = enrol::radio_device(new, kek)? else { return Ok(()) };
    for device in context.tables.devices()? {
        if device.revoked_at.is_some() || device.id == *id {
            continue;
        }
        // A row that does not open is nobody's.
        let Ok(Some(other)) = enrol::radio_device(&record(device)?, kek) else { continue };
        anyhow::ensure!(
            other.address != wanted.address,
            "{} is the address of {}; revoke that first: pitchside device revoke {}",
            wanted.address,
            other.id,
            other.id
        );
    }
    Ok(())
}

/// Gives a PS/1 device its address, if one was given.
pub fn reach(context: &Context, record: DeviceRecord, radio: &RadioArgs) -> Result<DeviceRecord, Failure> {
    if radio.just_works || radio.code_stdin || radio.profiles.is_some() {
        return Err(Failure::Usage("--just-works, --code-stdin and --profiles are for --class bonded".to_owned()));
    }
    let Some(address) = radio.address else { return Ok(record) };
    let kek = kek(&context.identity)?;
    let record = enrol::with_address(&record, address, &kek).map_err(anyhow::Error::from)?;
    refuse_twice(context, &kek, &record, &record.id)?;
    Ok(record)
}

/// Tells the code a device shows, or forgets it.
pub fn code(context: &Context, id: &DeviceId, forget: bool, output: &Output) -> Outcome {
    let code = if forget { None } else { Some(read_code()?) };
    let kek = kek(&context.identity)?;
    let device = context.tables.device(id).map_err(anyhow::Error::from)?;
    let device = device.with_context(|| format!("no device {id}; see: pitchside device list"))?;
    if device.revoked_at.is_some() {
        return Err(Failure::Usage(format!(
            "{id} is revoked, for good, and pairs no more: enrol it anew under another id"
        )));
    }
    let fresh =
        enrol::with_code(&record(device).map_err(anyhow::Error::from)?, code, &kek).map_err(anyhow::Error::from)?;
    context.tables.put_device(row(fresh)).map_err(anyhow::Error::from)?;
    output.print(id, |id| {
        if forget { format!("{id} pairs with a code to be told") } else { format!("{id} pairs with the code told now") }
    })?;
    Ok(())
}

/// Asks for the bond with a device to be removed, on whose side it is lost or not trusted any more. The code that it showed goes with it.
pub fn forget(context: &Context, id: &DeviceId, output: &Output) -> Outcome {
    let device = context.tables.device(id).map_err(anyhow::Error::from)?;
    let device = device.with_context(|| format!("no device {id}; see: pitchside device list"))?;
    if device.class != DeviceClass::Bonded.word() || device.revoked_at.is_some() {
        let text =
            format!("{id} is revoked, or of a class that has no bond; a revoked device's bond is removed by itself");
        return Err(Failure::Failed(anyhow::anyhow!(text)));
    }
    // First: the gateway may pair anew within a second, and what the sensor then shows may be another code.
    let record = record(device).map_err(anyhow::Error::from)?;
    let fresh = enrol::without_told_code(&record, &kek(&context.identity)?).map_err(anyhow::Error::from)?;
    if let Some(fresh) = fresh {
        context.tables.put_device(row(fresh)).map_err(anyhow::Error::from)?;
    }
    bonds::forget(&context.tables, id).map_err(anyhow::Error::from)?;
    output.print(id, |id| {
        format!("the gateway removes its bond with {id} and pairs anew: make the sensor ready to pair (its own pairing mode)")
    })?;
    Ok(())
}

/// Six digits from the first line of standard input: a code on the command line would be in the shell's history.
fn read_code() -> Result<u32, Failure> {
    let mut line = zeroize::Zeroizing::new(String::new());
    std::io::stdin().lock().read_line(&mut line).context("reading the code").map_err(Failure::Failed)?;
    let digits = line.trim();
    let is_code = digits.len() == 6 && digits.bytes().all(|digit| digit.is_ascii_digit());
    digits
        .parse()
        .ok()
        .filter(|code| is_code && *code <= CODE_MAX)
        .ok_or_else(|| Failure::Usage("a pairing code has six digits, on one line of standard input".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_its_device_may_change_is_noted_and_one_that_lasts_is_not() {
        let on = |text: &str| note_on(text.parse().unwrap());
        assert!(on("4A:F1:F2:F3:F4:01").unwrap().contains("identity address"));
        assert!(on("3A:F1:F2:F3:F4:01").unwrap().contains("cannot be kept"));
        assert_eq!((on("F0:F1:F2:F3:F4:01"), on("8C:F1:F2:F3:F4:01")), (None, None));
    }
}
