//! Who is told of alerts, and when: escalation, routes, quiet hours, the dead-man's switch; each step under one key, also across
//! the end of the gateway in the middle.

use pitchside_config::{Every, QuietHours, Route, Span};
use pitchside_model::{AlertEvent, PluginName, Priority};
use pitchside_store::Came;
use pitchside_tests::clinic::write_output;
use pitchside_tests::{Clinic, Running, Sensor, until};

use crate::outputs::log;
use crate::receiver::Webhook;

const ALL: &[&str] = &["raised", "escalated", "acknowledged", "cleared", "drill"];
/// How long a drill may take: long enough for a machine that does ten other things. One that fails goes on for nearly as long.
const DRILL_WITHIN_S: u32 = 10;

/// An output that posts every step it hears of, and has begun.
async fn output(clinic: &Running, name: &str, hook: &Webhook, hears: &[&str]) {
    output_of(clinic, name, &[hook], hears, &format!("[{}]", post(hook))).await;
}

/// A request of such an output.
pub(super) fn post(hook: &Webhook) -> String {
    let port = hook.port;
    format!(
        "http_post(\"http://127.0.0.1:{port}/\", \"text/plain\", `${{event.step}} ${{event.level}} ${{event.rule}}`)"
    )
}

/// An output with this script, which may post to these webhooks, and has begun.
pub(super) async fn output_of(clinic: &Running, name: &str, hooks: &[&Webhook], hears: &[&str], script: &str) {
    let plugins = clinic.dir().join("plugins");
    let capabilities: Vec<String> = hooks.iter().map(|hook| format!("http:127.0.0.1:{}", hook.port)).collect();
    write_output(&plugins, name, &capabilities.iter().map(String::as_str).collect::<Vec<_>>(), script);
    let file = plugins.join(name).join("plugin.toml");
    let manifest = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{manifest}hears = {hears:?}\n")).unwrap();
    for capability in &capabilities {
        clinic.pitchside(&["plugin", "grant", name, capability]).ok();
    }
    let name = PluginName::parse(name).unwrap();
    until("the output runs", || clinic.tables().plugin_told(&name).unwrap()).await;
}

pub(super) async fn beats(clinic: &Running, s7: &mut Sensor, rates: &[i64]) {
    for rate in rates {
        clinic.advance(1);
        s7.heart_rate(*rate).await;
    }
}

/// So many alerts, fewer than ten in ten minutes: raised more often they would count as one that flaps.
pub(super) async fn apart(clinic: &Running, s7: &mut Sensor, rate: i64, alerts: usize) {
    for _ in 0..alerts {
        clinic.advance(70);
        beats(clinic, s7, &[rate, 100]).await;
    }
}

/// Waits until so many alerts are due to escalate: from then on the time counts.
async fn watched(clinic: &Running, alerts: u64) {
    until("alerts to be watched", || (clinic.metric("alerts_watched") == alerts).then_some(())).await;
}

#[tokio::test]
async fn an_alert_nobody_acknowledges_escalates_once_a_level_and_an_acknowledgement_ends_it() {
    let hook = Webhook::start().await;
    let clinic = Clinic::new().strap("s7").athlete("ada").rule("fast", "value > 180.0").start().await;
    output(&clinic, "hook", &hook, ALL).await;
    let mut s7 = clinic.sensor("s7").await;
    beats(&clinic, &mut s7, &[190]).await;
    hook.told_so_many(1).await;
    watched(&clinic, 1).await;
    for level in 1..=2 {
        // High priority: five minutes a level, two levels, unless the settings say otherwise.
        clinic.advance(300);
        let told = hook.told_so_many(1 + level).await;
        assert_eq!(told[level], format!("escalated {level} fast"));
    }
    let id = clinic.alerts()[0].alert.id;
    assert_eq!(hook.got()[2].key, format!("{id}-escalated-2-0"));
    assert_eq!(clinic.alerts()[0].escalations.len(), 2);
    clinic.advance(3_000);
    clinic.tables().acknowledge_alert(id, "ann", clinic.now()).unwrap();
    assert_eq!(hook.told_so_many(4).await[3], "acknowledged 2 fast");
    // Of a second alert somebody takes note in time.
    beats(&clinic, &mut s7, &[100, 190]).await;
    let second = clinic.alerted(2).await[1].alert.id;
    clinic.tables().acknowledge_alert(second, "bob", clinic.now()).unwrap();
    clinic.advance(3_000);
    beats(&clinic, &mut s7, &[100]).await;
    let told = hook.told_so_many(8).await;
    assert_eq!(told[4..], ["cleared 2 fast", "raised 0 fast", "acknowledged 0 fast", "cleared 0 fast"]);
    assert_eq!(clinic.metric("alert_escalations_total"), 2);
}

#[tokio::test]
async fn what_was_raised_or_escalated_before_the_end_is_delivered_after_it_under_the_same_key() {
    let hook = Webhook::start().await;
    let mut clinic = Clinic::new().strap("s7").athlete("ada").rule("fast", "value > 180.0").start().await;
    output(&clinic, "hook", &hook, ALL).await;
    let mut s7 = clinic.sensor("s7").await;
    hook.breaks(true);
    beats(&clinic, &mut s7, &[190]).await;
    let raised = hook.refused_one(0).await;
    clinic.kill().await;
    hook.breaks(false);
    clinic.start().await;
    hook.told_so_many(1).await;
    assert_eq!(hook.got().last().unwrap().key, raised.key, "raised before the end, delivered after it");

    hook.breaks(true);
    let before = hook.got().len();
    clinic.advance(300);
    let escalated = hook.refused_one(before).await;
    clinic.kill().await;
    hook.breaks(false);
    // The box is off for a while: the next level is due when it is back, and comes once.
    clinic.advance(900);
    clinic.start().await;
    let told = hook.told_so_many(3).await;
    assert_eq!(told, ["raised 0 fast", "escalated 1 fast", "escalated 2 fast"]);
    assert!(escalated.key.ends_with("-escalated-1-0"), "{escalated:?}");
    assert!(hook.got().iter().any(|got| got.well && got.key == escalated.key));
    assert_eq!(clinic.alerts().len(), 1, "one alert, recorded once");
    assert_eq!(clinic.alerts()[0].escalations.len(), 2);
}

/// Hours that are quiet now and for at least half an hour more, in UTC.
fn quiet_now(now: pitchside_model::Timestamp) -> QuietHours {
    let minute = now.millis().div_euclid(60_000).rem_euclid(1_440);
    let at = |minute: i64| u16::try_from(minute.rem_euclid(1_440)).unwrap();
    QuietHours { from: at(minute - 10), to: at(minute + 40) }
}

#[tokio::test]
async fn each_output_hears_what_its_route_says_and_quiet_hours_hold_all_but_high_priority() {
    let (phone, chief) = (Webhook::start().await, Webhook::start().await);
    let now = gatewayd::clock::Clock::System.now();
    let quiet = Route { quiet: Some(quiet_now(now)), ..Route::default() };
    let level_one = Route { from_level: 1, min_priority: Priority::High, ..Route::default() };
    let name = |name| PluginName::parse(name).unwrap();
    let clinic = Clinic::new().strap("s7").athlete("ada").rule("warm", "value > 150.0").rule("hot", "value > 180.0");
    let warm = clinic.dir().join("rules/warm/rule.toml");
    let manifest = std::fs::read_to_string(&warm).unwrap();
    std::fs::write(&warm, manifest.replace("\"high\"", "\"medium\"")).unwrap();
    let clinic = clinic
        .with(move |settings| {
            settings.delivery.routes = [(name("phone"), quiet), (name("chief"), level_one)].into();
            settings.delivery.escalate_levels = 1;
        })
        .start()
        .await;
    output(&clinic, "phone", &phone, &["raised", "cleared"]).await;
    output(&clinic, "chief", &chief, &["raised", "cleared"]).await;
    let mut s7 = clinic.sensor("s7").await;
    // One comes and goes, one comes and stays, and one is high.
    beats(&clinic, &mut s7, &[160, 100, 160, 190]).await;
    assert_eq!(phone.told_so_many(1).await, ["raised 0 hot"]);
    let held = || clinic.tables().held_for_plugin(&name("phone"), 9).unwrap();
    until("three steps to be held", || (held().len() == 3).then_some(())).await;
    assert!(chief.got().is_empty(), "nothing has escalated");
    watched(&clinic, 2).await;
    clinic.advance(300);
    assert_eq!(
        chief.told_so_many(1).await,
        ["raised 1 hot"],
        "one that knows no escalations is told that it is raised"
    );
    clinic.advance(3_600);
    assert_eq!(phone.told_so_many(2).await[1], "raised 0 warm");
    until("nothing to be held any more", || held().is_empty().then_some(())).await;
    beats(&clinic, &mut s7, &[100]).await;
    assert_eq!(phone.told_so_many(4).await.len(), 4, "of the one that came and went in quiet hours nothing was told");
    assert_eq!(chief.told_so_many(2).await[1], "cleared 1 hot");
}

#[tokio::test]
async fn an_alert_that_ends_once_quiet_hours_are_over_is_told_from_its_beginning_or_not_at_all() {
    let (phone, lamp) = (Webhook::start().await, Webhook::start().await);
    let quiet = Route { quiet: Some(quiet_now(gatewayd::clock::Clock::System.now())), ..Route::default() };
    let name = |name| PluginName::parse(name).unwrap();
    let clinic = Clinic::new().strap("s7").athlete("ada").rule("warm", "value > 150.0");
    let warm = clinic.dir().join("rules/warm/rule.toml");
    let manifest = std::fs::read_to_string(&warm).unwrap();
    std::fs::write(&warm, manifest.replace("\"high\"", "\"medium\"")).unwrap();
    let mut clinic = clinic
        .with(move |settings| {
            settings.delivery.routes = [(name("phone"), quiet.clone()), (name("lamp"), quiet)].into();
        })
        .start()
        .await;
    output(&clinic, "phone", &phone, &["raised", "cleared"]).await;
    output(&clinic, "lamp", &lamp, &["raised"]).await;
    let held = |clinic: &Running, of| clinic.tables().held_for_plugin(&name(of), 9).unwrap().len();
    let mut s7 = clinic.sensor("s7").await;
    beats(&clinic, &mut s7, &[160]).await;
    let both = || (held(&clinic, "phone") == 1 && held(&clinic, "lamp") == 1).then_some(());
    until("both to be held", both).await;
    clinic.kill().await;
    clinic.advance(3_600);
    let end = AlertEvent::Cleared { id: clinic.alerts()[0].alert.id, event_time: clinic.now() };
    clinic.tables().record_alerts(&[end], clinic.now()).unwrap();
    clinic.start().await;
    assert_eq!(phone.told_so_many(2).await, ["raised 0 warm", "cleared 0 warm"]);
    until("nothing to be held any more", || (held(&clinic, "lamp") == 0).then_some(())).await;
    assert!(lamp.got().is_empty(), "nobody would tell it that it is over");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drill_proves_the_alert_path_every_hour_and_a_broken_one_is_told_every_other_way() {
    let (watcher, phone) = (Webhook::start().await, Webhook::start().await);
    let clinic = Clinic::new()
        .strap("s7")
        .athlete("ada")
        .rule("fast", "value > 180.0")
        .with(|settings| {
            settings.delivery.drill_every = Every(Some(Span(3_600)));
            settings.delivery.drill_within_s = DRILL_WITHIN_S;
        })
        .start()
        .await;
    output(&clinic, "watcher", &watcher, &["drill"]).await;
    output(&clinic, "phone", &phone, &["raised", "cleared"]).await;
    // It hears of drills and sends nothing of them: what lies beyond it may be broken.
    output_of(&clinic, "quiet", &[&phone], &["drill"], "[]").await;

    let drill = clinic.pitchside(&["alerts", "drill", "--json"]).ok().json();
    let legs: Vec<&str> = drill["legs"].as_array().unwrap().iter().map(|leg| leg["leg"].as_str().unwrap()).collect();
    assert_eq!(legs, ["rules", "recorded", "mqtt", "output watcher"]);
    assert_eq!(drill["unproven"], serde_json::json!(["phone", "quiet"]));
    assert_eq!(watcher.told(), ["drill 0 alert-path-drill"]);
    // Counted once it is on the record, which is what the command waits for.
    let proved_since = |before: u64| {
        let at = clinic.metric("alert_path_last_proved_timestamp_seconds");
        (at > before).then_some(at)
    };
    let proved = until("it to be proven", || proved_since(0)).await;
    assert_eq!(clinic.metric("alert_path_failures_total"), 0);

    // By the clock, and nothing of it is anybody's reading.
    clinic.advance(3_700);
    watcher.told_so_many(2).await;
    until("it to be proven again", || proved_since(proved)).await;
    assert!(clinic.entries().is_empty() && clinic.alerts().is_empty() && phone.got().is_empty());

    watcher.breaks(true);
    let failed = clinic.pitchside(&["alerts", "drill"]);
    assert!(failed.code == 1 && failed.out.contains("output watcher") && failed.out.contains("503"), "{failed:?}");
    assert_eq!(phone.told_so_many(1).await, ["raised 0 alert-path"], "whoever can still be told is");
    let broken = &clinic.alerted(1).await[0];
    assert_eq!((broken.alert.rule.as_str(), broken.alert.athlete.as_ref()), ("alert-path", None));
    assert!(broken.alert.message.contains("output watcher"), "{broken:?}");
    until("it to be counted", || (clinic.metric("alert_path_failures_total") == 1).then_some(())).await;
    let doctor = clinic.pitchside(&["doctor"]);
    let line = doctor.out.lines().find(|line| line.contains("alert path")).unwrap();
    assert!(line.starts_with("!!") && line.contains("pitchside plugin logs watcher"), "{line}");

    watcher.breaks(false);
    clinic.pitchside(&["alerts", "drill"]).ok();
    assert_eq!(phone.told_so_many(2).await[1], "cleared 0 alert-path");
    let doctor = clinic.pitchside(&["doctor"]);
    let line = doctor.out.lines().find(|line| line.contains("alert path")).unwrap();
    assert!(line.starts_with("ok") && line.contains("proven at"), "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_output_that_was_set_up_and_stopped_fails_the_drill_until_it_runs_again_or_is_switched_off() {
    let (watcher, lamp) = (Webhook::start().await, Webhook::start().await);
    let clinic = Clinic::new()
        .strap("s7")
        .athlete("ada")
        .rule("fast", "value > 180.0")
        .with(|settings| settings.delivery.drill_within_s = DRILL_WITHIN_S)
        .start()
        .await;
    output(&clinic, "watcher", &watcher, &["drill"]).await;
    output(&clinic, "lamp", &lamp, &["raised"]).await;
    let drill = || clinic.pitchside(&["alerts", "drill"]);
    let doctor = || {
        let said = clinic.pitchside(&["doctor"]).out;
        said.lines().find(|line| line.contains("alert path")).unwrap().to_owned()
    };
    // The gateway looks four times a second: a drill may be before that.
    let fails = |why: &str| {
        let said = drill();
        (said.code == 1 && said.out.contains("output lamp") && said.out.contains(why)).then_some(())
    };
    drill().ok();
    assert!(doctor().starts_with("ok"), "{}", doctor());

    let capability = format!("http:127.0.0.1:{}", lamp.port);
    clinic.pitchside(&["plugin", "revoke", "lamp", &capability]).ok();
    assert!(doctor().starts_with("!!") && doctor().contains("output lamp does not run"), "{}", doctor());
    until("a lost grant to fail the drill", || fails("it does not run: http:")).await;
    assert!(clinic.alerted(1).await[0].alert.message.contains("output lamp"), "{:?}", clinic.alerts());

    std::fs::remove_dir_all(clinic.dir().join("plugins/lamp")).unwrap();
    until("a deleted folder to fail it", || fails("it is there no more")).await;
    clinic.pitchside(&["plugin", "disable", "lamp"]).ok();
    until("one that is switched off to be missed no more", || (drill().code == 0).then_some(())).await;
    assert!(doctor().starts_with("ok"), "{}", doctor());
}

#[tokio::test]
async fn an_output_that_was_off_for_days_is_told_of_the_last_day() {
    let hook = Webhook::start().await;
    let clinic = Clinic::new().strap("s7").athlete("ada").rule("fast", "value > 180.0").start().await;
    output(&clinic, "hook", &hook, &["raised", "cleared"]).await;
    let capability = format!("http:127.0.0.1:{}", hook.port);
    clinic.pitchside(&["plugin", "revoke", "hook", &capability]).ok();
    // The gateway looks four times a second: until then it runs.
    until("it to run no more", || log(&clinic, "hook").contains("it runs no more").then_some(())).await;
    let mut s7 = clinic.sensor("s7").await;
    // One comes and goes, and one comes, before the day; it goes, and another comes, in it.
    beats(&clinic, &mut s7, &[190, 100, 190]).await;
    clinic.alerted(2).await;
    clinic.advance(25 * 3_600);
    let mut s7 = clinic.sensor("s7").await;
    beats(&clinic, &mut s7, &[100, 190]).await;
    clinic.alerted(3).await;
    clinic.pitchside(&["plugin", "grant", "hook", &capability]).ok();
    let name = PluginName::parse("hook").unwrap();
    let tables = clinic.tables();
    until("all that happened to be taken up", || {
        (tables.plugin_told(&name).unwrap() == Some(tables.last_delivery_step().unwrap())).then_some(())
    })
    .await;
    assert_eq!(hook.told(), ["raised 0 fast"], "no end of what nobody was told, and nothing older than a day");
    let requests = |at: usize| tables.requests_of(clinic.alerts()[at].alert.id).unwrap();
    let gave_up = |at: usize| requests(at).iter().all(|request| request.came == Came::GivenUp);
    assert!(!requests(0).is_empty() && gave_up(0) && gave_up(1), "what was left out is written down");
}

#[tokio::test]
async fn what_a_webhook_takes_for_wrong_is_given_up_after_ten_minutes_and_the_next_alert_goes_out() {
    let hook = Webhook::start().await;
    let clinic = Clinic::new().strap("s7").athlete("ada").rule("fast", "value > 180.0").start().await;
    output(&clinic, "hook", &hook, &["raised"]).await;
    let mut s7 = clinic.sensor("s7").await;
    let mut so_far = 0;
    for status in
        ["400 Bad Request", "413 Content Too Large", "415 Unsupported Media Type", "422 Unprocessable Content"]
    {
        hook.answers(status);
        let before = hook.got().len();
        beats(&clinic, &mut s7, &[190, 100]).await;
        let refused = hook.refused_one(before).await;
        // Nine minutes on it is still tried: whoever looks after the receiver may mend it.
        clinic.advance(9 * 60);
        let again = hook.refused_one(before + 1).await;
        assert_eq!(again.key, refused.key, "{status}");
        clinic.advance(2 * 60);
        let given_up = format!("{} is given up after its time: the answer is {}", refused.key, &status[..3]);
        until("the log to tell that it is given up", || log(&clinic, "hook").contains(&given_up).then_some(())).await;
        let tried = hook.got().len();
        hook.breaks(false);
        beats(&clinic, &mut s7, &[190, 100]).await;
        so_far += 1;
        hook.told_so_many(so_far).await;
        let keys: Vec<String> = hook.got()[tried..].iter().map(|got| got.key.clone()).collect();
        assert!(keys.len() == 1 && keys[0] != refused.key, "only the next alert goes out: {keys:?}");
    }
    // What may well be mended by waiting is not given up so soon.
    hook.answers("503 Busy");
    let before = hook.got().len();
    beats(&clinic, &mut s7, &[190]).await;
    let busy = hook.refused_one(before).await;
    clinic.advance(11 * 60);
    hook.refused_one(before + 1).await;
    let name = PluginName::parse("hook").unwrap();
    let aside = || (!clinic.tables().requests_waiting(&name).unwrap().is_empty()).then_some(());
    until("it to be put aside", aside).await;
    hook.breaks(false);
    clinic.advance(61);
    assert_eq!(hook.told_so_many(so_far + 1).await.len(), so_far + 1);
    assert_eq!(hook.got().last().unwrap().key, busy.key);
}

#[tokio::test]
async fn while_nothing_can_be_written_down_nothing_goes_out_twice_and_then_it_goes_on() {
    let hook = Webhook::start().await;
    let clinic = Clinic::new().strap("s7").athlete("ada").rule("fast", "value > 180.0").start().await;
    output(&clinic, "hook", &hook, &["raised"]).await;
    let mut s7 = clinic.sensor("s7").await;
    // What a full disk does to this one record, and to no other.
    let database = rusqlite::Connection::open(clinic.dir().join("data/pitchside.db")).unwrap();
    database.busy_timeout(std::time::Duration::from_secs(30)).unwrap();
    let full = "CREATE TRIGGER full BEFORE INSERT ON delivery_requests BEGIN SELECT RAISE(ABORT, 'disk is full'); END;";
    database.execute_batch(full).unwrap();
    beats(&clinic, &mut s7, &[190, 100]).await;
    hook.told_so_many(1).await;
    beats(&clinic, &mut s7, &[190, 100]).await;
    let more = tokio::time::timeout(std::time::Duration::from_secs(2), hook.told_so_many(2)).await;
    assert!(more.is_err(), "sent while nobody could write it down: {more:?}");
    database.execute_batch("DROP TRIGGER full;").unwrap();
    hook.told_so_many(2).await;
    let keys: std::collections::BTreeSet<String> = hook.got().into_iter().map(|got| got.key).collect();
    assert_eq!((keys.len(), hook.got().len()), (2, 2), "two alerts, each once");
}
