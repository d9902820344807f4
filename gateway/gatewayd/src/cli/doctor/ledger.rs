//! The way to the ledger, as the running gateway sees it. A ledger that refuses this box, or that is not believed, is in reach: what mends a
//! network would mend nothing, and taking it out of the settings would make it worse.

use pitchside_config::{Ledger, Settings};
use pitchside_model::Timestamp;
use pitchside_store::{Level, StoreError};

use super::Finding;
use crate::cli::context::Context;
use crate::named;
use crate::pipeline::health::{Check, LedgerFault};

/// What each is told as.
pub const WAY: &str = "way to the ledger";
pub const SECOND_BOX: &str = "second box";
pub const REFUSED: &str = "ledger that refuses";
pub const NOT_BELIEVED: &str = "ledger that is not believed";
pub const OWN: &str = "blocks of this box";
pub const POLICY: &str = "ledger policy";
pub const KEY: &str = "ledger key";
pub const UNREADABLE_COPIES: &str = "copies the ledger cannot read";
/// What only waits until one of those is mended.
pub const BLOCKS_WAIT: &str = "blocks that wait";
/// The same, of a restored box.
pub const CHAIN_WAITS: &str = "chain that waits";

/// What mends what waits until then.
pub const FIRST_THE_LEDGER: &str = "what is said of the ledger above, and nothing else: leave [ledger] in the settings";
/// Blocks that wait for the ledger for longer are worth a word.
const WAITING_US: i64 = 3_600_000_000;

/// What the settings say of the ledger and is of no use; how the running gateway stands with it.
pub fn way(settings: &Settings, link: Option<&Check>) -> Vec<Finding> {
    let Some(ledger) = &settings.ledger else { return Vec::new() };
    let mut findings: Vec<Finding> =
        unusable(ledger).into_iter().map(|(fault, why)| not_known(ledger, fault, &why)).collect();
    // What the gateway could not read at its start is told once.
    let told = |link: &&Check| !findings.is_empty() && link.fault.is_some_and(LedgerFault::is_of_the_settings);
    let way = link.filter(|link| !told(link)).map(|link| of(ledger, link));
    findings.extend(way);
    findings
}

/// What the ledger has against this box, or this box against it, or against what the settings say of it: whatever waits for the ledger
/// waits for that to be mended, not for the network.
pub fn fault(settings: &Settings, link: Option<&Check>) -> Option<LedgerFault> {
    let named = settings.ledger.as_ref().and_then(|ledger| unusable(ledger).first().map(|(fault, _)| *fault));
    named.or_else(|| link?.fault.filter(|fault| *fault != LedgerFault::Unreachable))
}

/// What the settings say of the ledger and is of no use, as it is now, and why.
fn unusable(ledger: &Ledger) -> Vec<(LedgerFault, String)> {
    let key = named::key_of(ledger).err().map(|error| (LedgerFault::Key, error));
    let policy = named::policy_of(ledger).err().map(|error| (LedgerFault::Policy, error));
    key.into_iter().chain(policy).map(|(fault, error)| (fault, format!("{error:#}"))).collect()
}

fn not_known(ledger: &Ledger, fault: LedgerFault, why: &str) -> Finding {
    let evidence = format!("{}: {why}; blocks stay on this box", fault.words());
    if fault == LedgerFault::Key {
        let mend = "ledger.public_key in the settings, as in the channel.pub of who runs the ledger; pitchside config check, then \
             systemctl restart pitchside";
        return Finding::new(KEY, false, evidence, mend);
    }
    let mend = format!(
        "put the ledger's policy into {} (who runs the ledger has it: the file policy in its folder), or name it in ledger.policy; \
             pitchside config check, then systemctl restart pitchside",
        ledger.policy.display()
    );
    Finding::new(POLICY, false, format!("{evidence}, and firmware is off"), mend)
}

fn of(ledger: &Ledger, link: &Check) -> Finding {
    let network = || {
        let (host, port) = ledger.address.rsplit_once(':').unwrap_or((ledger.address.as_str(), ""));
        format!("ip route get {host}; pitchside config show (is ledger.address right, and port {port} open?)")
    };
    let (what, mend) = match link.fault {
        None => return Finding::new(WAY, link.evidence.starts_with("connected"), link.evidence.clone(), network()),
        Some(LedgerFault::Unreachable) => (WAY, network()),
        Some(LedgerFault::SecondBox) => (
            SECOND_BOX,
            "another box of this name runs or ran: stop one of the two for good; if this one is to go on: pitchside backup create FILE, then \
             pitchside backup restore FILE --dir DIR --recovery-key FILE"
                .to_owned(),
        ),
        Some(LedgerFault::Refused) => {
            (REFUSED, "tell the ledger's operator what it says; it is tried again by itself".to_owned())
        }
        Some(LedgerFault::NotBelieved) => (
            NOT_BELIEVED,
            "tell the ledger's operator (`ledgerd fsck`, and the newest copy of its folder back in its place); change nothing here".to_owned(),
        ),
        Some(LedgerFault::Own) => (OWN, "pitchside blocks verify; journalctl -u pitchside -g ledger".to_owned()),
        Some(fault @ (LedgerFault::Policy | LedgerFault::Key)) => (
            if fault == LedgerFault::Key { KEY } else { POLICY },
            "systemctl restart pitchside (what it could not read is sound now)".to_owned(),
        ),
    };
    Finding::new(what, false, link.evidence.clone(), mend)
}

/// Blocks that wait, and for how long. `fault` is what the ledger has against this box, or this box against it.
pub fn waiting(context: &Context, fault: Option<LedgerFault>, now: Timestamp) -> Vec<Finding> {
    const WHAT: &str = "ledger";
    let Some(ledger) = &context.settings.ledger else {
        let evidence = "none configured: blocks stay on this box";
        return vec![Finding::new(WHAT, false, evidence, "pitchside config explain ledger.address")];
    };
    let looked = || -> Result<Finding, StoreError> {
        let backlog = context.tables.backlog()?;
        let oldest = backlog.oldest.map_or_else(|| "none".to_owned(), |at| at.to_string());
        let waiting = backlog.oldest.is_some_and(|at| now.micros_since(at) > WAITING_US);
        // A block refused for good waits for ever at R0, with later ones behind it.
        let confirmed = context.tables.blocks_at(Level::R1, 1)?.len();
        let evidence = format!(
            "{} block(s) wait for {}, the oldest since {oldest}{}",
            backlog.blocks,
            ledger.address,
            if confirmed > 0 { "; some are sequenced, not yet published" } else { "" }
        );
        Ok(match fault {
            Some(_) => Finding::new(BLOCKS_WAIT, !waiting, evidence, FIRST_THE_LEDGER),
            None => Finding::new(WHAT, !waiting, evidence, "pitchside blocks list; journalctl -u pitchside -g ledger"),
        })
    };
    vec![looked().unwrap_or_else(|error| Finding::new(WHAT, false, error.to_string(), "pitchside doctor"))]
}

#[cfg(test)]
mod tests {
    use ledger_block::note::{KeyKind, SignerKey};

    use super::*;

    #[test]
    fn a_policy_that_cannot_be_read_is_named_with_its_file_and_one_that_is_sound_again_wants_a_start() {
        let dir = tempfile::tempdir().unwrap();
        let policy = dir.path().join("ledger.policy");
        let ledger =
            Ledger { address: "ledger.example:7200".to_owned(), public_key: "0a".repeat(32), policy: policy.clone() };
        let settings = Settings { ledger: Some(ledger), ..Settings::default() };
        let at_start = Check {
            what: "ledger".to_owned(),
            ok: true,
            evidence: "not asked".to_owned(),
            fault: Some(LedgerFault::Policy),
        };
        for link in [None, Some(&at_start)] {
            let found = way(&settings, link);
            let [found] = found.as_slice() else { panic!("told once: {found:?}") };
            assert!(!found.ok && found.what == POLICY && found.evidence.contains("No such file"), "{found:?}");
            let mend = found.mend.as_deref().unwrap_or_default();
            assert!(mend.contains(&policy.display().to_string()) && !mend.contains("release_policy"), "{mend}");
            assert_eq!(fault(&settings, link), Some(LedgerFault::Policy));
        }
        let log = SignerKey::new("log.example/1", KeyKind::Ed25519, &[1; 32]).unwrap();
        std::fs::write(&policy, format!("log {}\nquorum none\n", log.verifier())).unwrap();
        assert!(way(&settings, None).is_empty(), "nothing is wrong with the file any more");
        assert_eq!(fault(&settings, None), None);
        let found = way(&settings, Some(&at_start));
        let mend = found.first().and_then(|found| found.mend.as_deref()).unwrap_or_default();
        assert!(found.len() == 1 && mend.starts_with("systemctl restart pitchside"), "{found:?}");
    }

    #[test]
    fn a_ledger_that_refuses_or_is_not_believed_is_not_mended_by_the_network() {
        let ledger =
            Ledger { address: "ledger.example:7200".to_owned(), public_key: String::new(), policy: "policy".into() };
        let found = |fault, evidence: &str| {
            of(&ledger, &Check { what: "ledger".to_owned(), ok: true, evidence: evidence.to_owned(), fault })
        };
        assert!(found(None, "connected since noon; 0 to send").ok);
        for fault in [None, Some(LedgerFault::Unreachable)] {
            let away = found(fault, "known offline since noon");
            assert!(!away.ok && away.what == WAY && away.mend.unwrap().contains("ip route get ledger.example;"));
        }
        let (faults, names) = (
            [LedgerFault::SecondBox, LedgerFault::Refused, LedgerFault::NotBelieved, LedgerFault::Own],
            [SECOND_BOX, REFUSED, NOT_BELIEVED, OWN],
        );
        for (fault, what) in faults.into_iter().zip(names) {
            let there = found(Some(fault), "it says so");
            let mend = there.mend.unwrap();
            assert!(!there.ok && there.what == what && !mend.contains("ip route"), "{what}: {mend}");
        }
        assert!(found(Some(LedgerFault::SecondBox), "").mend.unwrap().contains("stop one"));
        assert!(found(Some(LedgerFault::NotBelieved), "").mend.unwrap().contains("change nothing"));
    }
}
