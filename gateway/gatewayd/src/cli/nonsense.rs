//! What enrolling and assigning can be asked for and can never be: told before anything is kept, with what to do instead.

use pitchside_auth::DeviceClass;
use pitchside_collect::mqtt::is_filter;
use pitchside_model::{BleAddress, DeviceId, PluginName};
use pitchside_rules::drill::DRILL_DEVICE;
use pitchside_script::manifest::PluginKind;
use pitchside_store::Tables;

use super::args::{ClassArg, RadioArgs};
use super::context::Context;
use super::{Failure, Outcome};
use crate::plugins::wanted::Inventory;

/// What is asked for of a device that is enrolled.
pub(super) struct Asked<'a> {
    pub id: &'a DeviceId,
    pub class: ClassArg,
    pub has_own_key: bool,
    pub decoder: Option<&'a PluginName>,
    pub read: &'a [String],
    pub radio: &'a RadioArgs,
}

fn usage(text: impl Into<String>) -> Failure {
    Failure::Usage(text.into())
}

/// Refuses an enrolment that can never work. Of one that works later: what it waits for.
pub(super) fn enrolment(context: &Context, asked: &Asked<'_>) -> Result<Option<String>, Failure> {
    if asked.id.as_str() == DRILL_DEVICE {
        return Err(usage(format!("{} is the name of the gateway's own drills: choose another", asked.id)));
    }
    if asked.has_own_key && asked.class != ClassArg::P2 {
        return Err(usage("--public-key is for --class p2: the other classes have no key pair of their own"));
    }
    filters(asked)?;
    if asked.radio.address.is_some() && matches!(asked.class, ClassArg::Password | ClassArg::Wired | ClassArg::App) {
        return Err(usage("--address is for what is reached by Bluetooth: bonded, p0, p1, p2"));
    }
    if let Some(address) = asked.radio.address.filter(|address| is_nobodys(*address)) {
        let text = format!("{address} is nobody's address: a sensor's own is on its label, or a scanner shows it");
        return Err(usage(text));
    }
    match (asked.class, asked.decoder) {
        (_, None) => Ok(None),
        (ClassArg::App, Some(_)) => Err(usage("an app listens and has nothing to decode: leave --decoder out")),
        (ClassArg::Bonded, Some(_)) => Err(usage(
            "a bonded device is read by its Bluetooth profiles, and no decoder is ever asked: leave --decoder out",
        )),
        (_, Some(decoder)) => is_decoder(context, asked.id, decoder),
    }
}

fn filters(asked: &Asked<'_>) -> Outcome {
    match (asked.class, asked.read) {
        (ClassArg::App, []) => {
            Err(usage("an app that may read nothing is of no use: name what it may, e.g. --read 'alerts/#'"))
        }
        (ClassArg::App, read) => match read.iter().find(|filter| !is_filter(filter)) {
            Some(wrong) => {
                Err(usage(format!("{wrong:?} is no topic filter; those are e.g. 'alerts/#', 'live/+/power'")))
            }
            None => Ok(()),
        },
        (_, []) => Ok(()),
        (_, _) => Err(usage("--read is for --class app: a device says what it measures and reads nothing")),
    }
}

fn is_nobodys(BleAddress(bytes): BleAddress) -> bool {
    bytes == [0; 6] || bytes == [0xff; 6]
}

/// A device keeps its decoder for good: a name that was mistyped could never be mended.
fn is_decoder(context: &Context, id: &DeviceId, name: &PluginName) -> Result<Option<String>, Failure> {
    let inventory = Inventory::read(context.settings.plugins.dir.as_deref(), &context.tables)?;
    let waits = |why: String| Some(format!("{why}; what {id} says until then is kept, and decoded then"));
    if let Some(wanted) = inventory.plugins.get(name) {
        let kind = wanted.folder.manifest.kind;
        return match (kind, wanted.enabled) {
            (PluginKind::Decoder, true) => Ok(None),
            (PluginKind::Decoder, false) => {
                Ok(waits(format!("plugin {name} is switched off: pitchside plugin enable {name}")))
            }
            _ => Err(usage(format!("plugin {name} decodes nothing, its kind is {kind}; {}", decoders(&inventory)))),
        };
    }
    let of_it = format!("plugin {name}: ");
    if let Some(problem) = inventory.problems.iter().find(|problem| problem.starts_with(&of_it)) {
        return Ok(waits(format!("{problem}: mend it, see pitchside plugin list")));
    }
    let there = decoders(&inventory);
    Err(usage(format!(
        "there is no plugin {name}; {there}. Another one is installed before its devices: pitchside plugin install PACKAGE"
    )))
}

fn decoders(inventory: &Inventory) -> String {
    let decoders = inventory.plugins.iter().filter(|(_, wanted)| wanted.folder.manifest.kind == PluginKind::Decoder);
    let names: Vec<&str> = decoders.map(|(name, _)| name.as_str()).collect();
    if names.is_empty() { "this box has no decoder".to_owned() } else { format!("decoders are: {}", names.join(", ")) }
}

/// Refuses to bind a device that measures nobody. One that nobody knows the store refuses.
pub(super) fn assignment(tables: &Tables, device: &DeviceId) -> Outcome {
    let text = match tables.device(device)? {
        Some(row) if row.revoked_at.is_some() => {
            format!("{device} is revoked, for good: enrol it anew under another id, and assign that one")
        }
        Some(row) if row.class == DeviceClass::App.word() => {
            format!("{device} is an app: it listens and measures nobody")
        }
        _ => return Ok(()),
    };
    Err(usage(text))
}
