//! The database: is it whole, what waits in it, what was set aside; rules and plugins; copies of keys.

use std::path::Path;
use std::time::Duration;

use data_encoding::HEXLOWER;
use pitchside_decode::plugin::Folder;
use pitchside_model::Timestamp;
use pitchside_rules::RuleSet;
use pitchside_store::{Integrity, Refused, StoreError, UnreadableCopies};

use super::Finding;
use super::chain::chain;
use super::ledger::UNREADABLE_COPIES;
use crate::backup::RecoveryPublicFile;
use crate::backup::restore::staging;
use crate::backup::settings::Carried;
use crate::backup::walk::{Walk, walk};
use crate::cli::context::Context;
use crate::pipeline::health::LedgerFault;
use crate::pipeline::undecoded::troubles;
use crate::plugins::deaf::{self, Deaf};
use crate::plugins::wanted::Inventory;
use crate::rulebook::standing::{self, Standing};

/// How long the look at every page may take.
const INTEGRITY_BUDGET: Duration = Duration::from_secs(10);
/// What is durable and not sealed for so long beyond the interval is late.
const SEALING_LATE_US: i64 = 60_000_000;

/// Refused payloads that are looked through, and how long one is worth a word.
const REFUSED_ROWS: u32 = 1_000;
const REFUSED_US: i64 = 7 * 86_400_000_000;

pub(super) type Looked = Result<Finding, StoreError>;

/// Everything about the data. `fault` is what the ledger has against this box, or this box against it.
pub fn findings(context: &Context, fault: Option<LedgerFault>, now: Timestamp) -> Vec<Finding> {
    let looked: [(&'static str, Looked); 8] = [
        ("database", integrity(context)),
        ("sealing", sealing(context, now)),
        ("devices", devices(context)),
        ("refused payloads", refused(context, now)),
        ("undecoded payloads", undecoded(context)),
        ("journal", set_aside(context)),
        ("copies of keys", copies(context)),
        ("chain", chain(context, fault)),
    ];
    let mut findings: Vec<Finding> = looked
        .into_iter()
        .map(|(what, looked)| {
            let unread = |error: StoreError| Finding::new(what, false, error.to_string(), "pitchside doctor --health");
            looked.unwrap_or_else(unread)
        })
        .collect();
    findings.extend(unreadable_copies(context.tables.unreadable_copies()));
    findings.extend(foreign_key(context));
    findings.push(rules(context.settings.rules.dir.as_deref()));
    findings.extend(rules_at_work(context));
    findings.push(plugins(context.settings.plugins.dir.as_deref()));
    findings.push(plugins_at_work(context));
    findings.push(backup(context));
    findings.extend(leftover(context));
    findings
}

/// A signing key that is not the chain's: the gateway does not start with it.
fn foreign_key(context: &Context) -> Option<Finding> {
    let error = context.identity.check_chain(&context.tables).err()?;
    let mend = "put the right sign.key back, or: pitchside backup restore FILE --dir DIR --recovery-key FILE";
    Some(Finding::new("keys", false, format!("{error:#}"), mend))
}

fn integrity(context: &Context) -> Looked {
    let restore = "pitchside backup restore FILE --dir DIR --recovery-key FILE";
    Ok(match context.tables.integrity(INTEGRITY_BUDGET)? {
        Integrity::Sound => Finding::well("database", "every page is sound"),
        Integrity::Unfinished => {
            Finding::well("database", format!("sound as far as {} s of reading reached", INTEGRITY_BUDGET.as_secs()))
        }
        Integrity::Broken(problems) => Finding::new("database", false, problems.join("; "), restore),
    })
}

fn sealing(context: &Context, now: Timestamp) -> Looked {
    let backlog = context.tables.unsealed_backlog()?;
    let oldest = backlog.oldest.map_or_else(|| "none".to_owned(), |at| at.to_string());
    let interval = i64::try_from(context.settings.blocks.interval_ms.saturating_mul(1_000)).unwrap_or(i64::MAX);
    let late = backlog.oldest.is_some_and(|at| now.micros_since(at) > interval.saturating_add(SEALING_LATE_US));
    Ok(Finding::new(
        "sealing",
        !late,
        format!("{} journal row(s) in no block yet, the oldest of {oldest}", backlog.rows),
        "pitchside doctor --health; systemctl restart pitchside",
    ))
}

fn devices(context: &Context) -> Looked {
    let devices = context.tables.devices()?;
    let active = devices.iter().filter(|device| device.revoked_at.is_none()).count();
    Ok(Finding::new("devices", active > 0, format!("{active} enrolled"), "pitchside device enrol ID"))
}

fn refused(context: &Context, now: Timestamp) -> Looked {
    Ok(refused_lately(&context.tables.quarantined(REFUSED_ROWS)?, now))
}

/// What was refused in the last days, the latest first: what was mended before is no finding any more.
fn refused_lately(kept: &[Refused], now: Timestamp) -> Finding {
    const WHAT: &str = "refused payloads";
    let lately: Vec<&Refused> = kept.iter().filter(|one| now.micros_since(one.at) <= REFUSED_US).collect();
    let Some(newest) = lately.first() else {
        return Finding::well(WHAT, format!("none in the last 7 days; {} older kept", kept.len()));
    };
    let device = newest.device.as_ref().map_or_else(|| "a device nobody knows".to_owned(), ToString::to_string);
    let evidence =
        format!("{} in the last 7 days, the newest of {device} at {}: {}", lately.len(), newest.at, newest.reason);
    Finding::new(WHAT, false, evidence, "pitchside plugin test, or ask the device's maker")
}

fn undecoded(context: &Context) -> Looked {
    let waiting = context.tables.undecoded_waiting()?;
    let since = waiting.oldest.map_or_else(String::new, |at| format!(", the oldest since {at}"));
    Ok(Finding::new(
        "undecoded payloads",
        waiting.payloads == 0,
        format!("{} wait for their plugin{since}", waiting.payloads),
        "pitchside plugin install or update PACKAGE: they are decoded then",
    ))
}

fn set_aside(context: &Context) -> Looked {
    let aside = context.tables.rows_set_aside()?;
    Ok(Finding::new(
        "journal",
        aside == 0,
        format!("{aside} row(s) set aside in journal_damaged"),
        "keep a copy of the data folder and see the log; their messages are in no block",
    ))
}

fn copies(context: &Context) -> Looked {
    let counts = context.tables.key_copy_counts()?;
    let recovery = RecoveryPublicFile::read(&context.settings.gateway.key_dir);
    let new_key = "pitchside backup key --out FILE";
    // Recovering tells a restored box which copies the ledger holds: no other recovery key is needed for those.
    let copy = match context.tables.chain_start()? {
        Some(_) => {
            "pitchside athlete recover --recovery-key FILE; of keys that stay without: pitchside backup key --out FILE"
        }
        None => new_key,
    };
    Ok(match recovery {
        Err(error) => Finding::new("copies of keys", false, format!("{error:#}"), new_key),
        Ok(None) => Finding::new("copies of keys", false, "this box has no recovery key: lost, it is lost", new_key),
        Ok(Some(_)) if counts.missing > 0 => {
            Finding::new("copies of keys", false, format!("{} athletes' keys have no copy", counts.missing), copy)
        }
        Ok(Some(_)) => Finding::well(
            "copies of keys",
            format!(
                "{} held by the ledger, {} on their way, {} to be deleted",
                counts.held, counts.waiting, counts.leaving
            ),
        ),
    })
}

/// Copies in the ledger's list that it could not read when it was last gone through.
fn unreadable_copies(found: Result<UnreadableCopies, StoreError>) -> Option<Finding> {
    let found = match found {
        Ok(found) => found,
        Err(error) => {
            return Some(Finding::new(UNREADABLE_COPIES, false, error.to_string(), "pitchside doctor --health"));
        }
    };
    let first = HEXLOWER.encode(found.first.first()?);
    let evidence =
        format!("the ledger cannot read {} of the copies of keys that it has, the first {first}", found.count);
    let mend = "ask who runs the ledger: its log names the files; copies of the keys that are here, made anew: pitchside backup key --out FILE";
    Some(Finding::new(UNREADABLE_COPIES, false, evidence, mend))
}

fn rules(dir: Option<&Path>) -> Finding {
    let Some(dir) = dir else {
        return Finding::new("rules", false, "none configured", "pitchside config explain rules.dir");
    };
    match RuleSet::load(dir) {
        Ok(set) => Finding::well("rules", format!("{} in {}", set.rules().len(), dir.display())),
        Err(problems) => {
            let first = problems.first().map_or_else(String::new, ToString::to_string);
            let evidence = format!("{} problem(s) in {}, first: {first}", problems.len(), dir.display());
            Finding::new("rules", false, evidence, "pitchside rules check")
        }
    }
}

/// Rules that were switched off for their faults, each with the last; and those that hear nothing of an input, for no plugin that makes
/// it runs.
fn rules_at_work(context: &Context) -> Option<Finding> {
    let looked = || -> anyhow::Result<(Vec<Standing>, Vec<Deaf>)> {
        let off = standing::read(&context.tables)?.into_iter().filter(|row| row.off).collect();
        Ok((off, deaf::on_box(context)?))
    };
    match looked() {
        Ok((off, deaf)) => not_at_work(&off, &deaf),
        Err(error) => Some(Finding::new(
            "rules at work",
            false,
            format!("{error:#}"),
            "pitchside rules status; pitchside plugin list",
        )),
    }
}

fn not_at_work(off: &[Standing], deaf: &[Deaf]) -> Option<Finding> {
    let told = |row: &Standing| format!("{} ({})", row.rule, row.last_fault.as_deref().unwrap_or("no fault kept"));
    let (mut evidence, mut mends) = (Vec::new(), Vec::new());
    if let Some(first) = off.first() {
        evidence.push(format!("switched off: {}", off.iter().map(told).collect::<Vec<_>>().join("; ")));
        let comes = if first.stream { "install" } else { "publish" };
        mends.push(format!("mend its script and {comes} it, or: pitchside rules again {}", first.rule));
    }
    if !deaf.is_empty() {
        evidence.extend(deaf.iter().map(|deaf| format!("{} {deaf}", deaf.rule)));
        mends.push("pitchside plugin list; pitchside plugin enable NAME".to_owned());
    }
    (!evidence.is_empty()).then(|| Finding::new("rules at work", false, evidence.join("; "), mends.join("; ")))
}

fn plugins(dir: Option<&Path>) -> Finding {
    let Some(dir) = dir else {
        return Finding::new("plugins", false, "none configured", "pitchside config explain plugins.dir");
    };
    let read = match Folder::read_all(dir) {
        Ok(read) => read,
        Err(error) => return Finding::new("plugins", false, error.to_string(), "pitchside config explain plugins.dir"),
    };
    let (count, broken) = (read.len(), read.iter().filter_map(|one| one.as_ref().err()).collect::<Vec<_>>());
    let evidence = match broken.first() {
        None => format!("{count} in {}", dir.display()),
        Some(first) => format!("{} of {count} are off, first: {first}", broken.len()),
    };
    Finding::new("plugins", broken.is_empty(), evidence, "pitchside plugin check")
}

/// How plugins were when the gateway last looked.
fn plugins_at_work(context: &Context) -> Finding {
    let mut troubles = troubles(&context.tables);
    match Inventory::read(context.settings.plugins.dir.as_deref(), &context.tables) {
        Ok(inventory) => troubles.extend(inventory.unfit().into_iter().map(|(name, why)| {
            format!(
                "plugin {name} does not run as it is set: {why}: pitchside plugin set {name} KEY VALUE, or pitchside plugin unset {name} KEY"
            )
        })),
        Err(error) => troubles.push(format!("the plugins cannot be read: {error:#}")),
    }
    let evidence = if troubles.is_empty() { "all that devices need run".to_owned() } else { troubles.join("; ") };
    let mend = "pitchside plugin logs; pitchside plugin update PACKAGE, or pitchside plugin enable NAME";
    Finding::new("plugins at work", troubles.is_empty(), evidence, mend)
}

/// Whether a backup would be made, of files and settings. What it would leave out is read by nobody.
fn backup(context: &Context) -> Finding {
    let tried = Carried::of(&context.settings, &context.files).and_then(|carried| {
        let Walk { files, left_out, .. } = walk(&carried.libraries)?;
        Ok((files.len(), [carried.left_out, left_out].concat()))
    });
    match tried {
        Ok((files, left_out)) if left_out.is_empty() => {
            Finding::well("backup", format!("takes {files} file(s) of rules and plugins"))
        }
        Ok((_, left_out)) => Finding::well("backup", format!("leaves out {}", left_out.join("; "))),
        Err(error) => {
            let mend = "put right what it names, in the settings or the folders of rules and plugins; then pitchside backup create FILE";
            Finding::new("backup", false, format!("none can be made: {error:#}"), mend)
        }
    }
}

/// What a broken-off `restore --force` left of the box it replaced.
fn leftover(context: &Context) -> Option<Finding> {
    let home = context.settings.gateway.data_dir.parent()?;
    let left = staging(home).ok().filter(|left| left.exists())?;
    let mend = format!("find {0} -type f -exec shred -u {{}} + ; rm -r {0}", left.display());
    let evidence = format!("{} was left by a restore that was cut off; it may hold keys", left.display());
    Some(Finding::new("leftover", false, evidence, mend))
}

#[cfg(test)]
mod tests {
    use pitchside_model::DeviceId;

    use super::*;

    const DAY: i64 = 86_400_000_000;

    #[test]
    fn a_refused_payload_is_a_finding_for_a_week_with_its_device_and_time() {
        let refused = |at: i64, device: Option<&str>| Refused {
            at: Timestamp(at),
            device: device.map(|id| DeviceId::parse(id).unwrap()),
            reason: "too short".to_owned(),
            bytes: 1,
            kept: vec![0],
        };
        let kept = [refused(2 * DAY, Some("strap-7")), refused(DAY, None), refused(0, None)];
        let found = refused_lately(&kept, Timestamp(8 * DAY));
        let newest = format!("2 in the last 7 days, the newest of strap-7 at {}: too short", Timestamp(2 * DAY));
        assert_eq!((found.ok, found.evidence), (false, newest));
        let found = refused_lately(&kept, Timestamp(9 * DAY + 1));
        assert_eq!((found.ok, found.evidence.as_str()), (true, "none in the last 7 days; 3 older kept"));
        assert!(refused_lately(&[], Timestamp(0)).ok);
    }

    #[test]
    fn rules_that_hear_nothing_are_a_finding_beside_those_that_were_switched_off() {
        let off = Standing {
            rule: "shaky".to_owned(),
            version: "1.0.0".to_owned(),
            off: true,
            stream: false,
            last_fault: Some("too slow".to_owned()),
        };
        let deaf =
            Deaf { rule: "hot".to_owned(), quantity: "heat_index", why: vec!["felt is switched off".to_owned()] };
        assert!(not_at_work(&[], &[]).is_none());
        let found = not_at_work(&[], std::slice::from_ref(&deaf)).unwrap();
        assert_eq!((found.ok, found.evidence.as_str()), (false, "hot hears no heat_index: felt is switched off"));
        assert!(found.mend.is_some_and(|mend| mend.contains("plugin enable")));
        let found = not_at_work(&[off], &[deaf]).unwrap();
        assert_eq!(found.evidence, "switched off: shaky (too slow); hot hears no heat_index: felt is switched off");
        assert!(found.mend.is_some_and(|mend| mend.contains("rules again shaky") && mend.contains("plugin enable")));
    }

    #[test]
    fn copies_that_the_ledger_cannot_read_are_a_finding_with_the_first_ones_name() {
        let copies = UnreadableCopies { count: 3, first: vec![[0xab; 32], [0xcd; 32]] };
        let found = unreadable_copies(Ok(copies)).unwrap();
        assert!(!found.ok && found.evidence.contains("cannot read 3 of") && found.evidence.contains(&"ab".repeat(32)));
        assert!(unreadable_copies(Ok(UnreadableCopies::default())).is_none());
    }
}
