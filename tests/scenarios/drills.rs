//! The dead-man's switch while something stays broken: what breaks beside it is told, too.

use pitchside_config::Every;
use pitchside_store::AlertRow;
use pitchside_tests::{Clinic, Running, until};

use crate::delivery::{beats, output_of, post};
use crate::receiver::Webhook;

/// The alerts of a broken path so far, oldest first.
fn of_path(clinic: &Running) -> Vec<AlertRow> {
    clinic.alerts().into_iter().filter(|row| row.alert.rule.as_str() == "alert-path").collect()
}

/// The one that is raised: how many there were before it, and what it says.
fn raised(clinic: &Running) -> (usize, String) {
    let mut alerts = of_path(clinic);
    let last = alerts.pop().unwrap();
    assert!(last.cleared.is_none() && alerts.iter().all(|row| row.cleared.is_some()), "only the last stands");
    (alerts.len(), last.alert.message)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_way_that_stays_broken_hides_no_other_and_what_is_raised_names_those_that_are() {
    let (watcher, phone, lamp) = (Webhook::start().await, Webhook::start().await, Webhook::start().await);
    let mut clinic = Clinic::new()
        .strap("s7")
        .athlete("ada")
        .rule("fast", "value > 180.0")
        .with(|settings| {
            settings.delivery.drill_every = Every(None);
            settings.delivery.drill_within_s = 10;
        })
        .start()
        .await;
    let script = |hook: &Webhook| format!("[{}]", post(hook));
    output_of(&clinic, "watcher", &[&watcher], &["drill"], &script(&watcher)).await;
    output_of(&clinic, "phone", &[&phone], &["raised", "cleared"], &script(&phone)).await;
    output_of(&clinic, "lamp", &[&lamp], &["raised"], &script(&lamp)).await;
    let fails = |clinic: &Running| clinic.pitchside(&["alerts", "drill"]).code == 1;

    let capability = format!("http:127.0.0.1:{}", lamp.port);
    clinic.pitchside(&["plugin", "revoke", "lamp", &capability]).ok();
    // The gateway looks four times a second: a drill may be before that.
    until("a lost grant to fail the drill", || fails(&clinic).then_some(())).await;
    assert_eq!(phone.told_so_many(1).await, ["raised 0 alert-path"]);
    let (before, message) = raised(&clinic);
    assert!(before == 0 && message.starts_with("The alert path failed a drill (output lamp): it does not run"));
    assert!(fails(&clinic));
    assert_eq!(raised(&clinic), (0, message), "that was told");

    watcher.breaks(true);
    assert!(fails(&clinic));
    let (before, message) = raised(&clinic);
    assert!(before == 1 && message.contains("(output lamp, output watcher): "), "{message}");
    let mut told = phone.told_so_many(3).await[1..].to_vec();
    told.sort();
    assert_eq!(told, ["cleared 0 alert-path", "raised 0 alert-path"]);

    // A start knows what was told.
    clinic.kill().await;
    clinic.start().await;
    let mut s7 = clinic.sensor("s7").await;
    beats(&clinic, &mut s7, &[190]).await;
    until("the outputs to run", || phone.told().iter().any(|told| told == "raised 0 fast").then_some(())).await;
    assert!(fails(&clinic));
    assert_eq!(raised(&clinic), (1, message));

    watcher.breaks(false);
    assert!(fails(&clinic));
    let (before, message) = raised(&clinic);
    assert!(before == 2 && message.contains("(output lamp): "), "{message}");

    clinic.pitchside(&["plugin", "grant", "lamp", &capability]).ok();
    until("all to be proven", || (!fails(&clinic)).then_some(())).await;
    assert_eq!(of_path(&clinic).len(), 3);
    assert!(of_path(&clinic).iter().all(|row| row.cleared.is_some()), "{:?}", of_path(&clinic));
}
