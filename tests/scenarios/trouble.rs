//! A ledger that is down, or not one. Nothing is lost; what waited goes when it can.

use pitchside_store::Level;
use pitchside_tests::{Clinic, until};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

#[tokio::test]
async fn thirty_blocks_wait_for_a_ledger_that_is_down_and_then_catch_up_while_more_come() {
    let mut clinic = Clinic::new().strap("s7").athlete("ada").ledger().start().await;
    let mut s7 = clinic.sensor("s7").await;
    s7.heart_rate(60).await;
    clinic.seal().await;
    clinic.synced().await;
    clinic.ledger().off().await;
    for rate in 61..=90 {
        s7.heart_rate(rate).await;
        clinic.seal().await;
    }
    let waiting = clinic.blocks().iter().filter(|block| block.level == Level::R0).count();
    assert!(waiting >= 30, "{waiting} wait");
    clinic.ledger().on().await;
    let mut rate = 91;
    while clinic.blocks().iter().any(|block| block.level < Level::R2) {
        if rate < 100 {
            s7.heart_rate(rate).await;
            clinic.seal().await;
            rate += 1;
        } else {
            clinic.synced().await;
        }
    }
    clinic.stop().await;
    clinic.pitchside(&["blocks", "verify"]).ok();
    let report = clinic.ledger().fsck();
    assert!(report.is_sound(), "{:?}", report.faults);
    assert!(clinic.values("s7").len() >= 31);
}

#[tokio::test]
async fn a_ledger_that_answers_garbage_is_believed_in_nothing_and_costs_nothing() {
    let mut clinic = Clinic::new().strap("s7").athlete("ada").ledger().start().await;
    clinic.ledger().off().await;
    let address = clinic.ledger().ingest;
    let mut s7 = clinic.sensor("s7").await;
    let listener = TcpListener::bind(address).await.unwrap();
    let (called, mut calls) = tokio::sync::mpsc::channel(64);
    let liar = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut heard = [0; 512];
            let _ = stream.read(&mut heard).await;
            let _ = stream.write_all(&[0x2a; 4_096]).await;
            let _ = called.try_send(());
        }
    });
    for rate in 60..65 {
        s7.heart_rate(rate).await;
        clinic.seal().await;
    }
    for _ in 0..2 {
        pitchside_tests::soon("the gateway to try the liar", calls.recv()).await.unwrap();
    }
    assert!(clinic.blocks().iter().all(|block| block.level == Level::R0));
    s7.heart_rate(65).await;
    liar.abort();
    let _ = liar.await;
    clinic.ledger().on().await;
    clinic.seal().await;
    clinic.synced().await;
    assert_eq!(clinic.values("s7").len(), 6);
}

#[tokio::test]
async fn a_box_whose_ledger_policy_cannot_be_read_collects_says_so_and_sends_what_waited_once_it_can() {
    let mut clinic = Clinic::new().strap("s7").athlete("ada").ledger().start().await;
    clinic.stop().await;
    let policy = clinic.ledger().policy();
    let sound = std::fs::read_to_string(&policy).unwrap();
    // Gone, empty, as an editor saves it.
    for (rate, bad) in [(61, None), (62, Some(String::new())), (63, Some(format!("\u{feff}{sound}")))] {
        std::fs::remove_file(&policy).unwrap();
        bad.iter().for_each(|bad| std::fs::write(&policy, bad).unwrap());
        let checked = clinic.pitchside(&["config", "check"]);
        assert!(checked.code == 1 && checked.err.contains("ledger.policy: the ledger's policy"), "{checked:?}");
        clinic.start().await;
        clinic.sensor("s7").await.heart_rate(rate).await;
        clinic.seal().await;
        assert_eq!(clinic.blocks().last().unwrap().level, Level::R0, "it is sealed, and waits");
        let healthy = || Some(clinic.pitchside(&["--json", "doctor", "--health"])).filter(|answer| answer.code == 0);
        let health = until("the gateway to be healthy", healthy).await.json();
        assert!(health["checks"].to_string().contains("the ledger policy cannot be read"), "{health}");
        let findings = clinic.pitchside(&["--json", "doctor"]).json();
        let of = |what: &str| findings.as_array().unwrap().iter().filter(|found| found["what"] == what).count();
        assert_eq!((of("ledger policy"), of("release policy"), of("way to the ledger")), (1, 0, 0), "{findings}");
        clinic.stop().await;
        std::fs::write(&policy, &sound).unwrap();
    }
    clinic.pitchside(&["config", "check"]).ok();
    clinic.start().await;
    clinic.synced().await;
    let values = clinic.values("s7");
    assert!(
        ["heart_rate 61", "heart_rate 62", "heart_rate 63"].iter().all(|one| values.iter().any(|value| value == one))
    );
    clinic.stop().await;
}

#[tokio::test]
async fn a_ledger_with_another_key_gets_nothing() {
    let clinic = Clinic::new().strap("s7").athlete("ada").ledger();
    let clinic = clinic.with(|settings| settings.ledger.as_mut().unwrap().public_key = "11".repeat(32)).start().await;
    clinic.sensor("s7").await.heart_rate(72).await;
    clinic.seal().await;
    until("blocks to wait", || (clinic.metric("blocks_waiting") >= 1).then_some(())).await;
    assert!(clinic.blocks().iter().all(|block| block.level == Level::R0));
}
