//! The way to the ledger, as the running gateway sees it. A ledger that refuses this box, or that is not believed, is in reach: what mends a
//! network would mend nothing, and taking it out of the settings would make it worse.

use pitchside_config::{Ledger, Settings};
use pitchside_model::Timestamp;
use pitchside_store::{Level, StoreError};

use super::Finding;
use crate::cli::context::Context;
use crate::pipeline::health::{Check, LedgerFault};

/// What each is told as.
pub const WAY: &str = "way to the ledger";
pub const SECOND_BOX: &str = "second box";
pub const REFUSED: &str = "ledger that refuses";
pub const NOT_BELIEVED: &str = "ledger that is not believed";
pub const OWN: &str = "blocks of this box";
pub const UNREADABLE_COPIES: &str = "copies the ledger cannot read";
/// What only waits until one of those is mended.
pub const BLOCKS_WAIT: &str = "blocks that wait";
/// The same, of a restored box.
pub const CHAIN_WAITS: &str = "chain that waits";

/// What mends what waits until then.
pub const FIRST_THE_LEDGER: &str = "what is said of the ledger above, and nothing else: leave [ledger] in the settings";
/// Blocks that wait for the ledger for longer are worth a word.
const WAITING_US: i64 = 3_600_000_000;

/// How the running gateway stands with the ledger, if there is one.
pub fn way(settings: &Settings, link: Option<&Check>) -> Option<Finding> {
    Some(of(settings.ledger.as_ref()?, link?))
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
    use super::*;

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
