use ledger_block::ingest::{Code, Refusal};
use pitchside_store::RootKey;
use pitchside_sync::Fault;
use tempfile::TempDir;
use tokio::sync::watch;

use super::*;
use crate::pipeline::sealing::tests::sealing;
use crate::tls;

/// A box whose ledger is looked after like this.
fn health(dir: &TempDir, ledger: Way) -> Health {
    tls::ensure_authority(dir.path(), "box").unwrap();
    let hosts = ["box.local".to_owned()];
    let (_, certificate) = tls::serving(dir.path(), "box", Clock::System, &hosts, &[]).unwrap();
    let store = Store::open(&dir.path().join("data"), RootKey::new([1; 32])).unwrap();
    Health::new(HealthParts {
        seals: sealing(&store),
        store,
        rules: None,
        ledger,
        drills: false,
        clock: Clock::System,
        interval_us: 1,
        reserve_bytes: 0,
        certificate,
    })
}

#[test]
fn a_ledger_whose_policy_cannot_be_read_is_a_fault_that_makes_no_box_unhealthy() {
    let dir = tempfile::tempdir().unwrap();
    let off = Way::Off { fault: LedgerFault::Policy, why: "the ledger's policy: reading /policy".to_owned() };
    let seen = health(&dir, off).ledger();
    assert!(seen.ok, "the box works without, and an older version would read no more: {seen:?}");
    assert_eq!(seen.fault, Some(LedgerFault::Policy));
    assert!(
        seen.evidence.contains("the ledger policy cannot be read: the ledger's policy: reading /policy"),
        "{seen:?}"
    );
}

#[test]
fn only_a_ledger_that_does_not_answer_is_known_offline() {
    let dir = tempfile::tempdir().unwrap();
    let (sender, receiver) = watch::channel(SyncStatus::default());
    let health = health(&dir, Way::Sync(receiver));
    let seen = |fault: Option<Fault>| {
        let link = Link::Waiting { until: Timestamp(2) };
        sender.send_replace(SyncStatus {
            link,
            fault: fault.map(|fault| (Timestamp(1), fault)),
            ..SyncStatus::default()
        });
        let seen = health.ledger();
        assert!(seen.ok, "the box works without: {seen:?}");
        (seen.fault, seen.evidence.starts_with("known offline since"))
    };
    let refused = |code| Some(Fault::Refused(Refusal::plain(code)));
    let unreachable = Fault::Unreachable { address: "ledger:1".to_owned(), why: "refused".to_owned() };
    assert_eq!(seen(None), (Some(LedgerFault::Unreachable), true));
    assert_eq!(seen(Some(unreachable)), (Some(LedgerFault::Unreachable), true));
    for code in [Code::Conflict, Code::Fork, Code::OldIncarnation] {
        assert_eq!(seen(refused(code)), (Some(LedgerFault::SecondBox), false), "{code:?}");
    }
    assert_eq!(seen(refused(Code::NotEnrolled)), (Some(LedgerFault::Refused), false));
    for fault in [Fault::RolledBack { shown: 1, seen: 2 }, Fault::Forked { shown: 3, seen: 2 }] {
        assert_eq!(seen(Some(fault)), (Some(LedgerFault::NotBelieved), false));
    }
    assert_eq!(seen(Some(Fault::Payload(7))), (Some(LedgerFault::Own), false));
    sender.send_replace(SyncStatus { link: Link::Connected { since: Timestamp(3) }, ..SyncStatus::default() });
    assert_eq!(health.ledger().fault, None);
}
