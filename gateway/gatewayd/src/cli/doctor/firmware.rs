//! Firmware: whether what the ledger says of releases is believed and up to date, whether their contents come, how the box's own update went.
//! Nothing to say where the settings name nobody to believe.

use ledger_block::ClockState;
use pitchside_model::Timestamp;
use pitchside_release::known::{Anchors, Known};
use pitchside_release::policy::{Clock as PolicyClock, Limits, Refused, may_decide};
use pitchside_store::Tables;

use super::Finding;
use super::machine::set_clock;
use crate::adapters::releases;
use crate::adapters::releases::trouble::{self, Trouble, Whose};
use crate::cli::context::Context;
use crate::named::policy_of;
use crate::pipeline::firmware::missing::{Missing, missing};
use crate::pipeline::firmware::own::{self, Tried, WAIT_MAX_US};
use crate::pipeline::firmware::shelf;

/// What is believed of releases, and whether that can go on: named by who can mend it.
const RELEASES: &str = "firmware releases";
const POLICY: &str = "release policy";
const LOG: &str = "firmware log";
const NEWS: &str = "firmware news";
/// What a clock that cannot be right keeps from being decided.
pub const CLOCK: &str = "firmware clock";
const SIGNATURES: &str = "firmware signatures";
const CONTENTS: &str = "firmware contents";
/// The time of the last confirmation is kept once an hour, and the ledger may be asked as seldom.
const KEPT_LATE_US: i64 = 2 * 3_600_000_000;
/// A content that is wanted is here after a day, over whatever line.
const CONTENT_LATE_US: i64 = 24 * 3_600_000_000;

/// Everything about firmware.
pub fn findings(context: &Context, now: Timestamp) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    match anchors(context) {
        Ok(None) => {}
        Ok(Some(anchors)) => {
            findings.push(releases(context, &anchors, now));
            findings.push(match missing(&context.tables) {
                Ok(missing) => contents(&missing, now),
                Err(error) => Finding::new(CONTENTS, false, format!("{error:#}"), "systemctl restart pitchside"),
            });
        }
        Err(unread) => findings.push(unread),
    }
    findings.extend(own_update(context));
    findings.extend(own_update_waits(context, now));
    findings
}

/// Whom the settings believe. A ledger's policy that cannot be read is a finding of the ledger's, and release policies none.
fn anchors(context: &Context) -> Result<Option<Anchors>, Finding> {
    let Some(policy) = context.settings.ledger.as_ref().and_then(|ledger| policy_of(ledger).ok()) else {
        return Ok(None);
    };
    releases::anchors(&context.settings.firmware, policy).map_err(|error| {
        let mend = "put the first release policy there, as its signers made it, or name it in firmware.release_policy; pitchside config check, \
             then systemctl restart pitchside";
        Finding::new(POLICY, false, format!("firmware is off: {error:#}"), mend)
    })
}

/// Whether what was kept about releases can be read, and goes on.
fn releases(context: &Context, anchors: &Anchors, now: Timestamp) -> Finding {
    let known = match releases::kept(&context.tables, anchors) {
        Ok(known) => known,
        Err(error) => {
            let mend = "pitchside firmware relearn, then systemctl restart pitchside";
            return Finding::new(RELEASES, false, format!("firmware is off: {error:#}"), mend);
        }
    };
    match stands_still(&context.tables, anchors) {
        Ok(None) => {}
        Ok(Some((off, trouble))) => return stuck(off, &trouble),
        Err(error) => return Finding::new(RELEASES, false, format!("{error:#}"), "systemctl restart pitchside"),
    }
    let limits = shelf::limits(&context.settings.firmware);
    let asked = known.policy().map(|policy| policy.threshold);
    heard(&known, limits, now)
        .or_else(|| weak(asked?, limits))
        .unwrap_or_else(|| Finding::well(RELEASES, format!("{} known", known.releases().len())))
}

/// Why firmware was off at the last start, or is not believed since.
fn stands_still(tables: &Tables, anchors: &Anchors) -> anyhow::Result<Option<(bool, Trouble)>> {
    if let Some(off) = trouble::off(tables)? {
        return Ok(Some((true, off)));
    }
    Ok(trouble::refused(tables, anchors)?.map(|refused| (false, refused)))
}

fn stuck(off: bool, trouble: &Trouble) -> Finding {
    let Trouble { why, since, whose } = trouble;
    let so = if off { "firmware is off" } else { "nothing of what the ledger says about firmware is taken" };
    let (what, mend) = match whose {
        Whose::Settings if off => (POLICY, "systemctl restart pitchside (what it could not read is sound now)"),
        Whose::Settings => (POLICY, "pitchside config explain firmware.release_policy"),
        Whose::Ledger => {
            (LOG, "tell the ledger's operator: `ledgerd fsck`, and the newest copy of its folder back in its place")
        }
        Whose::Program => (LOG, "tell the maker of this program: it keeps no more"),
        Whose::Disk => (
            CONTENTS,
            "mend or remove the folder it names (contents are fetched again), then systemctl restart pitchside",
        ),
    };
    Finding::new(what, false, format!("{so} since {since}: {why}"), mend)
}

/// Whether the ledger was heard of late, and all it had to say was read.
fn heard(known: &Known, limits: Limits, now: Timestamp) -> Option<Finding> {
    let checkpoint_age_us_max = limits.checkpoint_age_us_max.saturating_add(KEPT_LATE_US);
    // What the clock is worth is a finding of its own.
    let clock = PolicyClock { now, state: ClockState::Free };
    let refused = may_decide(known, &Limits { checkpoint_age_us_max, ..limits }, clock).err()?;
    let why = match &refused {
        Refused::StaleCheckpoint { confirmed_at } if *confirmed_at == Timestamp::default() => {
            "the ledger has not spoken of releases since this box was restored, or forgot what it knew".to_owned()
        }
        refused => refused.to_string(),
    };
    let (what, mend) = match refused {
        Refused::ClockUnset { .. } | Refused::ClockBehind { .. } => (CLOCK, set_clock()),
        _ => (NEWS, "pitchside doctor --health (is the ledger in reach?); journalctl -u pitchside -g firmware"),
    };
    Some(Finding::new(what, false, format!("nothing is updated: {why}"), mend))
}

/// Whether this box asks for more signatures than the release policy in force does: then it takes none of the releases under it.
fn weak(have: u8, limits: Limits) -> Option<Finding> {
    let want = limits.threshold_min;
    let mend = "pitchside config explain firmware.signatures_min, or ask the publisher for a policy of more signers";
    let evidence = || format!("nothing is updated: {}", Refused::ThresholdTooLow { have, want });
    (have < want).then(|| Finding::new(SIGNATURES, false, evidence(), mend))
}

/// Contents that are wanted and do not come: at once if the store refuses them, after a day if nobody gives them.
fn contents(missing: &[Missing], now: Timestamp) -> Finding {
    let late = |row: &&Missing| row.why.is_some() || now.micros_since(row.since) > CONTENT_LATE_US;
    let Some(first) = missing.iter().find(late) else {
        return Finding::well(CONTENTS, format!("{} on their way", missing.len()));
    };
    let why = first.why.as_deref().unwrap_or("neither boxes on the LAN nor the ledger's store give it");
    let evidence =
        format!("{} late, first {} since {}: {why}", missing.iter().filter(late).count(), first.content, first.since);
    let mend = "pitchside firmware status; pitchside config explain firmware.ledger_store; journalctl -u pitchside -g firmware";
    Finding::new(CONTENTS, false, evidence, mend)
}

/// How the box's own last update went, if it ever tried one.
fn own_update(context: &Context) -> Option<Finding> {
    const WHAT: &str = "box update";
    let mend = "pitchside firmware status (what only was cut short, and a later release, are tried by themselves)";
    Some(match own::tried(&context.tables).transpose()? {
        Ok(tried @ Tried { failed: Some(_), .. }) => {
            let again = tried.again_at().map_or_else(String::new, |at| format!("; tried again after {at}"));
            let Tried { version, release, failed, gave_way, .. } = tried;
            let (came, why) = (if gave_way { "does not run" } else { "was not installed" }, failed.unwrap_or_default());
            Finding::new(WHAT, false, format!("{version} (release {release}) {came}: {why}{again}"), mend)
        }
        Ok(Tried { version, in_place_of: Some(newer), failed: None, .. }) => {
            Finding::new(WHAT, false, format!("{version} was asked for in place of {newer}"), mend)
        }
        Ok(Tried { version, release, failed: None, .. }) => {
            Finding::well(WHAT, format!("the last one asked for was {version} (release {release})"))
        }
        Err(error) => Finding::new(WHAT, false, format!("{error:#}"), mend),
    })
}

/// A release that waits for a pause in training; off once that has lasted longer than any clinic's day off.
fn own_update_waits(context: &Context, now: Timestamp) -> Option<Finding> {
    let waiting = own::waiting(&context.tables).ok().flatten()?;
    let evidence = format!("release {} waits since {} until nobody trains", waiting.release, waiting.since());
    let mend = "take every sensor off for three minutes, or update from a stick";
    Some(Finding::new("box update waits", now.micros_since(waiting.since()) < WAIT_MAX_US, evidence, mend))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000_000;

    #[test]
    fn a_content_that_does_not_come_is_a_finding_after_a_day_and_one_that_is_refused_at_once() {
        let row = |since: i64, why: Option<&str>| Missing {
            content: "ab".repeat(32),
            since: Timestamp(since),
            why: why.map(str::to_owned),
        };
        assert!(contents(&[], Timestamp(0)).ok);
        assert!(contents(&[row(0, None)], Timestamp(DAY)).ok, "it may be on its way");
        let late = contents(&[row(1, None), row(0, None)], Timestamp(DAY + 1));
        assert!(!late.ok && late.evidence.contains("1 late") && late.evidence.contains("neither boxes"), "{late:?}");
        let refused = contents(&[row(0, Some("raise firmware.store_bytes_max"))], Timestamp(1));
        assert!(!refused.ok && refused.evidence.ends_with(": raise firmware.store_bytes_max"), "{refused:?}");
    }

    #[test]
    fn a_ledger_that_never_spoke_is_a_finding() {
        let limits = Limits::usual(Timestamp(0));
        let finding = heard(&Known::default(), limits, Timestamp(DAY)).unwrap();
        assert!(!finding.ok && finding.evidence.contains("has not shown a checkpoint yet"), "{finding:?}");
    }

    #[test]
    fn a_clock_that_was_never_set_is_mended_by_setting_it_not_by_the_ledger() {
        let unset = heard(&Known::default(), Limits::usual(Timestamp(DAY)), Timestamp(0)).unwrap();
        assert_eq!((unset.ok, unset.what, unset.mend.as_deref()), (false, CLOCK, Some(set_clock())));
        let never_spoke = heard(&Known::default(), Limits::usual(Timestamp(0)), Timestamp(DAY)).unwrap();
        assert_eq!(never_spoke.what, NEWS);
    }

    #[test]
    fn a_policy_of_fewer_signatures_than_this_box_asks_for_is_a_finding() {
        let limits = Limits::usual(Timestamp(0));
        assert!(weak(2, limits).is_none());
        let finding = weak(1, limits).unwrap();
        assert!(!finding.ok && finding.evidence.ends_with("asks for 1 signature(s), this box for 2"), "{finding:?}");
    }

    #[test]
    fn whatever_is_not_believed_is_named_after_who_can_mend_it() {
        let trouble = |whose| Trouble { why: "so it is".to_owned(), since: Timestamp(0), whose };
        let found = |off, whose| stuck(off, &trouble(whose)).what;
        assert_eq!(
            [Whose::Settings, Whose::Ledger, Whose::Program].map(|whose| found(false, whose)),
            [POLICY, LOG, LOG]
        );
        assert_eq!([Whose::Settings, Whose::Disk].map(|whose| found(true, whose)), [POLICY, CONTENTS]);
        let said = stuck(true, &trouble(Whose::Disk));
        assert!(!said.ok && said.evidence.starts_with("firmware is off") && said.evidence.contains("so it is"));
    }
}
