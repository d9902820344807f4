//! The chain: where it begins, whether it waits, whether its end is gone.

use pitchside_store::{Beyond, ChainStart, LostEnd};

use super::Finding;
use super::data::Looked;
use super::ledger::{CHAIN_WAITS, FIRST_THE_LEDGER};
use crate::cli::context::Context;
use crate::past;
use crate::pipeline::health::LedgerFault;

/// What a chain is told as whose end was deleted.
const LOST_END: &str = "end of the chain";

pub(super) fn chain(context: &Context, fault: Option<LedgerFault>) -> Looked {
    if let Some(lost) = lost_end(context.tables.lost_end()?, context.tables.went_on_beyond()?) {
        return Ok(lost);
    }
    Ok(match context.tables.chain_start()? {
        None => Finding::well("chain", "from this box's first block on"),
        Some(ChainStart::After { incarnation, after }) => {
            let after = after.map_or_else(|| "no block".to_owned(), |after| format!("block {}", after.index));
            let missing = past::not_here(&context.tables)?.map_or_else(String::new, |missing| format!("; {missing}"));
            Finding::well("chain", format!("restored; goes on after {after} under incarnation {incarnation}{missing}"))
        }
        Some(ChainStart::Waiting { .. }) => waits(fault),
    })
}

/// A chain whose end is gone though receipts say that it was there, and one that went on since with that hole in it.
fn lost_end(lost: Option<LostEnd>, beyond: Option<Beyond>) -> Option<Finding> {
    let evidence = match (lost, beyond) {
        (Some(lost), _) => {
            let goes_on = if lost.settled {
                ""
            } else {
                "; nothing is sealed before the ledger has said where the chain goes on"
            };
            format!(
                "ends before block {}, of which a receipt of the ledger lies here: it was deleted{goes_on}",
                lost.key
            )
        }
        (None, Some(Beyond { incarnation, after })) => format!(
            "blocks up to {} were deleted here, which the ledger has; goes on after it under incarnation {incarnation}",
            after.index
        ),
        (None, None) => return None,
    };
    let mend = "pitchside blocks verify; keep a copy of the data folder, with the ledger in reach the box goes on; to have no hole in it: pitchside \
                backup create FILE, then pitchside backup restore FILE --dir DIR --recovery-key FILE";
    Some(Finding::new(LOST_END, false, evidence, mend))
}

/// The chain of a restored box. To go on without a ledger that is there would be to contradict it.
fn waits(fault: Option<LedgerFault>) -> Finding {
    let evidence = "restored; nothing is sealed before the ledger has said where the chain goes on";
    if fault.is_some() {
        return Finding::new(CHAIN_WAITS, false, evidence, FIRST_THE_LEDGER);
    }
    let mend = "systemctl restart pitchside, with the ledger in reach (only if it is gone for good: take [ledger] out of the settings)";
    Finding::new("chain", false, evidence, mend)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_whose_end_was_deleted_is_a_finding_and_stays_one_when_it_has_gone_on() {
        let key = pitchside_store::BlockKey { incarnation: 0, index: 7 };
        let lost = |settled| Some(LostEnd { key, receipt: Vec::new(), settled });
        let after = pitchside_store::Anchor { incarnation: 0, index: 8, hash: [1; 32] };
        let beyond = Some(Beyond { incarnation: 1, after });
        let told = |lost, beyond| lost_end(lost, beyond).map(|found| (found.ok, found.evidence));
        let (ok, evidence) = told(lost(false), None).unwrap();
        assert!(!ok && evidence.contains("before block 0/7") && evidence.contains("nothing is sealed"), "{evidence}");
        let (ok, evidence) = told(lost(true), beyond).unwrap();
        assert!(!ok && !evidence.contains("nothing is sealed"), "{evidence}");
        let (ok, evidence) = told(None, beyond).unwrap();
        assert!(!ok && evidence.contains("goes on after it under incarnation 1"), "{evidence}");
        assert!(lost_end(None, None).is_none());
    }

    #[test]
    fn the_ledger_is_not_to_be_taken_out_of_the_settings_while_it_refuses_or_is_not_believed() {
        for fault in [LedgerFault::SecondBox, LedgerFault::Refused, LedgerFault::NotBelieved] {
            let found = waits(Some(fault));
            assert!(found.what == CHAIN_WAITS && found.mend.is_some_and(|mend| mend.contains("leave [ledger]")));
        }
        assert!(waits(None).mend.is_some_and(|mend| mend.contains("in reach")));
    }
}
