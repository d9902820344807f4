//! Receivers that are away or stall: they hold up no other and no later alert, and hear of everything, in order, once they are back.

use pitchside_config::Every;
use pitchside_model::PluginName;
use pitchside_tests::{Clinic, Running, until};

use crate::delivery::{apart, beats, output_of, post};
use crate::outputs::log;
use crate::receiver::Webhook;

#[tokio::test]
async fn a_receiver_that_is_away_keeps_no_other_from_new_alerts() {
    let (there, away) = (Webhook::start().await, Webhook::start().await);
    away.breaks(true);
    let clinic = Clinic::new().strap("s7").athlete("ada").rule("fast", "value > 180.0").start().await;
    let script = format!("[{}, {}]", post(&there), post(&away));
    output_of(&clinic, "both", &[&there, &away], &["raised"], &script).await;
    let mut s7 = clinic.sensor("s7").await;
    beats(&clinic, &mut s7, &[190, 100]).await;
    away.refused_one(0).await;
    clinic.advance(61);
    let name = PluginName::parse("both").unwrap();
    let waiting = || clinic.tables().requests_waiting(&name).unwrap().len();
    until("the first to stand in the record", || (waiting() == 1).then_some(())).await;
    away.refused_one(1).await;
    // Each next one is tried once and waits, too: the clock stands still, so nobody waited a minute for it.
    for count in 2..5 {
        beats(&clinic, &mut s7, &[190, 100]).await;
        there.told_so_many(count).await;
        away.refused_one(count).await;
        until("the next to stand in the record", || (waiting() == count).then_some(())).await;
    }
    away.breaks(false);
    // Whatever is said to wait was tried no later than now: a minute on it is due, or is just being tried.
    clinic.advance(61);
    assert_eq!(away.told_so_many(4).await.len(), 4);
}

#[tokio::test]
async fn a_try_that_comes_to_nothing_after_the_clock_went_on_is_followed_by_the_next_as_if_it_had_been_told_at_once() {
    let hook = Webhook::start().await;
    hook.breaks(true);
    let clinic = Clinic::new().strap("s7").athlete("ada").rule("fast", "value > 180.0").start().await;
    output_of(&clinic, "hook", &[&hook], &["raised"], &format!("[{}]", post(&hook))).await;
    let mut s7 = clinic.sensor("s7").await;
    beats(&clinic, &mut s7, &[190, 100]).await;
    until("the first to wait aside, and to be tried again in vain", || {
        clinic.advance(10);
        log(&clinic, "hook").contains("-raised-0 still does not go out").then_some(())
    })
    .await;
    hook.stalls(true);
    beats(&clinic, &mut s7, &[190, 100]).await;
    let alerts = clinic.alerted(2).await;
    let [first, second] = [0, 1].map(|at: usize| alerts[at].alert.id);
    let is_asked = || hook.got().iter().any(|got| got.key.starts_with(&second.to_string()));
    until("the second to be under way", || is_asked().then_some(())).await;
    hook.stalls(false);
    clinic.advance(601);
    // By now it was looked for what is due: the first was tried once more, and the second, which is under way, was passed over.
    let is_tried = || clinic.tables().requests_of(first).unwrap()[0].at == clinic.now();
    until("the first to be tried once more", || is_tried().then_some(())).await;
    hook.breaks(false);
    hook.lets_go();
    // The clock stands still: the second is due since its own try began, and once it has come, so is the first.
    assert_eq!(hook.told_so_many(2).await, ["raised 0 fast", "raised 0 fast"]);
    let name = PluginName::parse("hook").unwrap();
    until("nothing to wait any more", || clinic.tables().requests_waiting(&name).unwrap().is_empty().then_some(()))
        .await;
}

#[tokio::test]
async fn a_receiver_that_stalls_holds_up_nobody_and_after_the_end_hears_of_everything_in_order() {
    let (there, stalls) = (Webhook::start().await, Webhook::start().await);
    stalls.stalls(true);
    let mut clinic = Clinic::new().strap("s7").athlete("ada").rule("fast", "value > 180.0").start().await;
    let script = format!("[{}, {}]", post(&there), post(&stalls));
    output_of(&clinic, "both", &[&there, &stalls], &["raised", "cleared"], &script).await;
    let mut s7 = clinic.sensor("s7").await;
    beats(&clinic, &mut s7, &[190, 100, 190, 100]).await;
    // Each request may take 30 s, and the clock stands still: had anybody waited for one, this would not be in time.
    let told = there.told_so_many(4).await;
    assert_eq!(told, ["raised 0 fast", "cleared 0 fast", "raised 0 fast", "cleared 0 fast"]);
    let name = PluginName::parse("both").unwrap();
    let waiting = |clinic: &Running| clinic.tables().requests_waiting(&name).unwrap();
    until("what stalls to stand in the record", || (waiting(&clinic).len() == 4).then_some(())).await;
    assert!(waiting(&clinic).iter().all(|(_, number)| *number == 1), "{:?}", waiting(&clinic));

    clinic.kill().await;
    stalls.stalls(false);
    clinic.start().await;
    stalls.told_so_many(4).await;
    until("nothing to wait any more", || waiting(&clinic).is_empty().then_some(())).await;
    let keys: Vec<String> = stalls.got().into_iter().filter(|got| got.well).map(|got| got.key).collect();
    for alert in clinic.alerts() {
        let id = alert.alert.id.to_string();
        let mut of_alert: Vec<&str> = keys.iter().filter_map(|key| key.strip_prefix(&id)).collect();
        of_alert.dedup();
        assert_eq!(of_alert, ["-raised-1", "-cleared-1"], "{keys:?}");
    }
}

#[tokio::test]
async fn what_waits_for_one_receiver_is_tried_again_beside_one_that_stalls() {
    let (back, stalls) = (Webhook::start().await, Webhook::start().await);
    back.breaks(true);
    stalls.stalls(true);
    let clinic = Clinic::new().strap("s7").athlete("ada").rule("fast", "value > 180.0").start().await;
    let script = format!("[{}, {}]", post(&stalls), post(&back));
    output_of(&clinic, "both", &[&back, &stalls], &["raised"], &script).await;
    let mut s7 = clinic.sensor("s7").await;
    beats(&clinic, &mut s7, &[190, 100, 190, 100, 190, 100]).await;
    let name = PluginName::parse("both").unwrap();
    let waiting = || clinic.tables().requests_waiting(&name).unwrap().len();
    until("all to stand in the record", || (waiting() == 6).then_some(())).await;
    back.breaks(false);
    clinic.advance(61);
    // Behind the other, each would come 30 s after the one before.
    back.told_so_many(3).await;
    until("what stalls to wait on", || (waiting() == 3).then_some(())).await;
}

#[tokio::test]
async fn a_receiver_that_stalls_and_has_another_address_for_each_alert_holds_up_no_later_one() {
    let (there, stalls) = (Webhook::start().await, Webhook::start().await);
    stalls.stalls(true);
    let clinic = Clinic::new().strap("s7").athlete("ada").rule("fast", "value > 180.0").start().await;
    let of_its_own = format!("http_post(`http://127.0.0.1:{}/${{event.id}}`, \"text/plain\", event.step)", stalls.port);
    let script = format!("[{}, {of_its_own}]", post(&there));
    output_of(&clinic, "both", &[&there, &stalls], &["raised"], &script).await;
    let mut s7 = clinic.sensor("s7").await;
    beats(&clinic, &mut s7, &[190, 100]).await;
    let name = PluginName::parse("both").unwrap();
    let waiting = || clinic.tables().requests_waiting(&name).unwrap().len();
    until("the first to stand in the record", || (waiting() == 1).then_some(())).await;
    apart(&clinic, &mut s7, 190, 14).await;
    // A moment for each of them is longer than anybody waits here.
    there.told_so_many(15).await;
    until("all to stand in the record", || (waiting() == 15).then_some(())).await;
}

#[tokio::test]
async fn what_waits_is_tried_as_soon_as_it_is_due_whenever_others_were() {
    let hook = Webhook::start().await;
    hook.breaks(true);
    let mut clinic = Clinic::new().strap("s7").athlete("ada").rule("fast", "value > 180.0").start().await;
    output_of(&clinic, "hook", &[&hook], &["raised"], &format!("[{}]", post(&hook))).await;
    let mut s7 = clinic.sensor("s7").await;
    beats(&clinic, &mut s7, &[190, 100]).await;
    hook.refused_one(0).await;
    // Started again, what waits is tried once, and then a minute after that.
    clinic.kill().await;
    clinic.start().await;
    let first = clinic.alerts()[0].alert.id;
    let is_tried = || clinic.tables().requests_of(first).unwrap()[0].at == clinic.now();
    until("the first to be tried once more", || is_tried().then_some(())).await;
    clinic.advance(30);
    s7.connect().await;
    let before = hook.got().len();
    beats(&clinic, &mut s7, &[190]).await;
    hook.refused_one(before).await;
    clinic.advance(29);
    until("the first to be tried again after its minute", || is_tried().then_some(())).await;
    hook.breaks(false);
    // The minute of the second is over half a minute after that of the first.
    clinic.advance(31);
    hook.told_so_many(2).await;
}

#[tokio::test]
async fn what_a_receiver_takes_for_wrong_is_tried_for_ten_minutes_however_long_it_was_off_before() {
    let hook = Webhook::start().await;
    hook.answers("400 Bad Request");
    let mut clinic = Clinic::new().strap("s7").athlete("ada").rule("fast", "value > 180.0").start().await;
    output_of(&clinic, "hook", &[&hook], &["raised"], &format!("[{}]", post(&hook))).await;
    let mut s7 = clinic.sensor("s7").await;
    beats(&clinic, &mut s7, &[190]).await;
    hook.refused_one(0).await;
    clinic.kill().await;
    clinic.advance(3_600);
    let before = hook.got().len();
    clinic.start().await;
    hook.refused_one(before).await;
    clinic.advance(61);
    hook.refused_one(before + 1).await;
    clinic.advance(600);
    until("it to be given up", || log(&clinic, "hook").contains(" is given up after its time: ").then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_receiver_may_refuse_for_its_signature_is_tried_on() {
    let hook = Webhook::start().await;
    hook.answers("400 Bad Request");
    let clinic = Clinic::new().strap("s7").athlete("ada").rule("fast", "value > 180.0").library_plugin("webhook-out");
    let clinic = clinic.with(|settings| settings.delivery.drill_every = Every(None)).start().await;
    let plugin = |args: &[&str]| drop(clinic.pitchside(&[&["plugin"][..], args].concat()).ok());
    let port = hook.port.to_string();
    for (key, value) in [("host", "127.0.0.1"), ("port", port.as_str()), ("tls", "0")] {
        plugin(&["set", "webhook-out", key, value]);
    }
    plugin(&["secret", "webhook-out", "signing", "--generate"]);
    plugin(&["grant", "webhook-out", &format!("http:127.0.0.1:{port}")]);
    let name = PluginName::parse("webhook-out").unwrap();
    until("the output runs", || clinic.tables().plugin_told(&name).unwrap()).await;
    let mut s7 = clinic.sensor("s7").await;
    beats(&clinic, &mut s7, &[190, 100]).await;
    let refused = hook.refused_one(0).await;
    until("it to wait aside, and to be tried again in vain", || {
        clinic.advance(10);
        log(&clinic, "webhook-out").contains("-raised-0 still does not go out").then_some(())
    })
    .await;
    // Ten minutes after the first try, nobody is sure any more that it is wrong for good.
    let tried = hook.got().len();
    clinic.advance(601);
    hook.refused_one(tried).await;
    hook.breaks(false);
    clinic.advance(601);
    hook.told_so_many(1).await;
    let first = hook.got().into_iter().find(|got| got.well).unwrap();
    assert_eq!(first.key, refused.key);
    assert!(!log(&clinic, "webhook-out").contains("given up"), "{}", log(&clinic, "webhook-out"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drill_that_goes_out_has_what_waits_for_its_receiver_tried_at_once() {
    let hook = Webhook::start().await;
    hook.breaks(true);
    let clinic = Clinic::new().strap("s7").athlete("ada").rule("fast", "value > 180.0").start().await;
    output_of(&clinic, "hook", &[&hook], &["raised", "drill"], &format!("[{}]", post(&hook))).await;
    let mut s7 = clinic.sensor("s7").await;
    beats(&clinic, &mut s7, &[190, 100]).await;
    until("the first to wait aside, and to be tried again in vain", || {
        clinic.advance(10);
        log(&clinic, "hook").contains("-raised-0 still does not go out").then_some(())
    })
    .await;
    hook.breaks(false);
    // The clock stands still: by itself it is not due for minutes.
    clinic.pitchside(&["alerts", "drill"]).ok();
    let mut told = hook.told_so_many(2).await;
    told.sort();
    assert_eq!(told, ["drill 0 alert-path-drill", "raised 0 fast"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drill_is_tried_until_its_time_is_nearly_over() {
    let hook = Webhook::start().await;
    hook.breaks(true);
    let clinic = Clinic::new()
        .strap("s7")
        .athlete("ada")
        .rule("fast", "value > 180.0")
        .with(|settings| settings.delivery.drill_within_s = 14)
        .start()
        .await;
    output_of(&clinic, "hook", &[&hook], &["drill"], &format!("[{}]", post(&hook))).await;
    // Tried at once, after a second, after three and after seven: the next pause is longer than what is left, whoever is slow.
    let mends = hook.clone();
    tokio::spawn(async move {
        mends.refused_one(3).await;
        mends.breaks(false);
    });
    clinic.pitchside(&["alerts", "drill"]).ok();
    assert_eq!(hook.told(), ["drill 0 alert-path-drill"]);
}
