//! Steps of alerts that an output's script fails on, or that find no room to wait: none is lost, and none holds up another alert.

use std::collections::BTreeSet;

use futures_util::FutureExt as _;
use pitchside_config::{Every, QuietHours, Route};
use pitchside_model::PluginName;
use pitchside_store::{Came, KeptFor};
use pitchside_tests::clinic::write_output;
use pitchside_tests::pty::Plug;
use pitchside_tests::{Clinic, Running, Sensor, soon, until};
use tokio::io::AsyncReadExt as _;

use crate::delivery::{apart, beats, output_of, post};
use crate::outputs::log;
use crate::receiver::Webhook;

const FAILS: &str = "let list = [1];\nlist[7]\n";

/// The output is corrected while it runs.
fn correct(clinic: &Running, script: &str) {
    let new = clinic.dir().join("new.rhai");
    std::fs::write(&new, script).unwrap();
    std::fs::rename(new, clinic.dir().join("plugins/hook/output.rhai")).unwrap();
}

fn name() -> PluginName {
    PluginName::parse("hook").unwrap()
}

/// One rule whose alerts are low, and one whose are high.
fn with_a_low_rule() -> Clinic {
    let clinic = Clinic::new().strap("s7").athlete("ada").rule("warm", "value > 150.0").rule("hot", "value > 180.0");
    let warm = clinic.dir().join("rules/warm/rule.toml");
    let manifest = std::fs::read_to_string(&warm).unwrap();
    std::fs::write(&warm, manifest.replace("\"high\"", "\"low\"")).unwrap();
    clinic
}

fn kept(clinic: &Running) -> Vec<KeptFor> {
    clinic.tables().kept_for_plugin(&name()).unwrap().into_iter().map(|(_, why)| why).collect()
}

/// Requests that wait to be tried again.
fn waiting(clinic: &Running) -> usize {
    clinic.tables().requests_waiting(&name()).unwrap().len()
}

/// Alerts of that rate, whose receiver refuses them, until all its places to wait are taken and so many found none. The strap that raised
/// them.
async fn until_its_places_are_taken(clinic: &Running, away: &Webhook, rate: i64, left: usize) -> Sensor {
    let mut s7 = clinic.sensor("s7").await;
    beats(clinic, &mut s7, &[rate, 100]).await;
    away.refused_one(0).await;
    clinic.advance(61);
    away.refused_one(1).await;
    apart(clinic, &mut s7, rate, 31 + left).await;
    let taken = || (waiting(clinic) == 32 && kept(clinic).len() == left).then_some(());
    until("all places to be taken", taken).await;
    s7
}

fn is_named_by_the_doctor(clinic: &Running) -> bool {
    clinic.pitchside(&["doctor"]).out.contains("output hook: its script fails on 1 step of alerts")
}

#[tokio::test]
async fn what_a_script_fails_on_goes_out_in_order_once_it_is_mended_and_the_doctor_names_it_until_then() {
    let hook = Webhook::start().await;
    let mut clinic = Clinic::new().strap("s7").athlete("ada").rule("fast", "value > 180.0").start().await;
    output_of(&clinic, "hook", &[&hook], &["raised", "cleared"], FAILS).await;
    let mut s7 = clinic.sensor("s7").await;
    beats(&clinic, &mut s7, &[190, 100]).await;
    // The end stands behind its beginning.
    until("both steps to be kept", || (kept(&clinic) == [KeptFor::Failed, KeptFor::ItsTurn]).then_some(())).await;
    let said = log(&clinic, "hook");
    assert!(said.contains("line 2") && said.contains("it is kept and its script asked again"), "{said}");
    assert!(is_named_by_the_doctor(&clinic));
    clinic.kill().await;
    clinic.start().await;
    assert!(is_named_by_the_doctor(&clinic), "for as long as it stands");
    correct(&clinic, &format!("[{}]", post(&hook)));
    assert_eq!(hook.told_so_many(2).await, ["raised 0 fast", "cleared 0 fast"]);
    until("nothing to be kept", || kept(&clinic).is_empty().then_some(())).await;
    assert!(!is_named_by_the_doctor(&clinic));
    assert_eq!(hook.got().len(), 2, "each once");
}

#[tokio::test]
async fn what_a_script_never_comes_to_an_end_with_holds_up_no_other_alert_and_is_given_up_after_a_day() {
    let hook = Webhook::start().await;
    let clinic = Clinic::new().strap("s7").athlete("ada").rule("fast", "value > 180.0").rule("slow", "value < 60.0");
    let clinic = clinic.start().await;
    let script = format!("if event.rule == \"fast\" {{ let n = 0; while n >= 0 {{ n += 1; }} }}\n[{}]", post(&hook));
    output_of(&clinic, "hook", &[&hook], &["raised", "cleared"], &script).await;
    let mut s7 = clinic.sensor("s7").await;
    beats(&clinic, &mut s7, &[190, 100, 50, 100]).await;
    assert_eq!(hook.told_so_many(2).await, ["raised 0 slow", "cleared 0 slow"]);
    until("the others to be kept", || (kept(&clinic).len() == 2).then_some(())).await;
    clinic.advance(23 * 3_600);
    let fast = clinic.alerts().into_iter().find(|alert| alert.alert.rule.as_str() == "fast").unwrap().alert.id;
    let came = || -> Vec<Came> {
        clinic.tables().requests_of(fast).unwrap().into_iter().map(|request| request.came).collect()
    };
    assert!(came().is_empty(), "nothing of it is over");
    clinic.advance(2 * 3_600);
    // Time goes on: a script that was just being asked as it was moved is asked again in a while.
    until("them to be given up", || {
        clinic.advance(1);
        kept(&clinic).is_empty().then_some(())
    })
    .await;
    assert_eq!(came(), [Came::GivenUp, Came::GivenUp]);
    assert_eq!(hook.told().len(), 2);
}

#[tokio::test]
async fn an_end_waits_half_a_minute_for_a_beginning_that_the_script_fails_on_and_is_not_followed_by_it() {
    let hook = Webhook::start().await;
    let clinic = Clinic::new().strap("s7").athlete("ada").rule("fast", "value > 180.0").start().await;
    let well = format!("[{}]", post(&hook));
    let script = format!("if event.step == \"raised\" {{ let list = [1]; list[7]; }}\n{well}");
    output_of(&clinic, "hook", &[&hook], &["raised", "cleared"], &script).await;
    let mut s7 = clinic.sensor("s7").await;
    beats(&clinic, &mut s7, &[190, 100]).await;
    until("the end to stand behind", || (kept(&clinic).len() == 2).then_some(())).await;
    assert!(hook.got().is_empty());
    until("the end to go by itself", || {
        clinic.advance(1);
        (hook.told() == ["cleared 0 fast"]).then_some(())
    })
    .await;
    until("the beginning alone to be kept", || (kept(&clinic) == [KeptFor::Failed]).then_some(())).await;
    correct(&clinic, &well);
    until("it to be left out", || log(&clinic, "hook").contains("is left out").then_some(())).await;
    until("nothing to be kept", || kept(&clinic).is_empty().then_some(())).await;
    assert_eq!(hook.told(), ["cleared 0 fast"], "nobody is told of what is over");
}

#[tokio::test]
async fn a_script_that_is_mended_while_the_end_waits_for_its_receiver_tells_the_beginning_first() {
    let hook = Webhook::start().await;
    hook.breaks(true);
    let clinic = Clinic::new().strap("s7").athlete("ada").rule("fast", "value > 180.0").start().await;
    let well = format!("[{}]", post(&hook));
    let script = format!("if event.step == \"raised\" {{ let list = [1]; list[7]; }}\n{well}");
    output_of(&clinic, "hook", &[&hook], &["raised", "cleared"], &script).await;
    let mut s7 = clinic.sensor("s7").await;
    beats(&clinic, &mut s7, &[190, 100]).await;
    until("the end to go by itself, in vain, and to be tried again", || {
        clinic.advance(5);
        log(&clinic, "hook").contains("-cleared-0 still does not go out").then_some(())
    })
    .await;
    assert!(hook.got().iter().all(|got| got.body == "cleared 0 fast"), "{:?}", hook.got());
    hook.breaks(false);
    correct(&clinic, &well);
    assert_eq!(hook.told_so_many(2).await, ["raised 0 fast", "cleared 0 fast"]);
    until("nothing to be kept", || kept(&clinic).is_empty().then_some(())).await;
    assert_eq!(hook.told().len(), 2);
}

#[tokio::test]
async fn a_receiver_that_is_away_for_ever_so_many_alerts_holds_up_no_other_and_hears_of_all_once_it_is_back() {
    const ALERTS: usize = 261;
    let (there, away) = (Webhook::start().await, Webhook::start().await);
    away.breaks(true);
    let clinic = Clinic::new().strap("s7").athlete("ada").rule("fast", "value > 180.0").start().await;
    let script = format!("[{}, {}]", post(&away), post(&there));
    output_of(&clinic, "hook", &[&there, &away], &["raised"], &script).await;
    let mut s7 = clinic.sensor("s7").await;
    let waiting = || waiting(&clinic);
    beats(&clinic, &mut s7, &[190, 100]).await;
    away.refused_one(0).await;
    clinic.advance(61);
    until("the first to wait aside", || (waiting() == 1).then_some(())).await;
    for count in (21..=ALERTS).step_by(20) {
        apart(&clinic, &mut s7, 190, 20).await;
        there.told_so_many(count).await;
    }
    let told = || clinic.tables().plugin_told(&name()).unwrap() == clinic.tables().last_delivery_step().ok();
    until("all steps to be told", || told().then_some(())).await;
    // One or two of the other may be on their way to be written down.
    assert!(waiting() <= 40 && waiting() + kept(&clinic).len() >= ALERTS, "{} and {}", waiting(), kept(&clinic).len());
    away.breaks(false);
    let keys = || -> BTreeSet<String> { away.got().into_iter().filter(|got| got.well).map(|got| got.key).collect() };
    for count in (21..=ALERTS).step_by(20) {
        until(&format!("the other to hear of {count}"), || {
            clinic.advance(1);
            (keys().len() >= count).then_some(())
        })
        .await;
    }
    until("nothing to wait or be kept", || {
        clinic.advance(1);
        (waiting() == 0 && kept(&clinic).is_empty()).then_some(())
    })
    .await;
    let tried = away.got();
    assert!(tried.iter().all(|got| got.key.ends_with("-raised-0")), "each alert under one key, from its first try on");
    assert!(there.got().iter().all(|got| got.key.ends_with("-raised-1")), "{:?}", there.got().last());
}

#[tokio::test]
async fn what_found_no_room_for_a_day_is_given_up_and_the_doctor_says_so_until_something_newer_goes_out_there() {
    let (there, away) = (Webhook::start().await, Webhook::start().await);
    away.breaks(true);
    let clinic = Clinic::new().strap("s7").athlete("ada").rule("fast", "value > 180.0");
    let clinic = clinic.with(|settings| settings.delivery.drill_every = Every(None)).start().await;
    let script = format!("[{}, {}]", post(&there), post(&away));
    output_of(&clinic, "hook", &[&there, &away], &["raised"], &script).await;
    let _s7 = until_its_places_are_taken(&clinic, &away, 190, 2).await;
    clinic.advance(25 * 3_600);
    until("all to be given up", || {
        clinic.advance(1);
        (waiting(&clinic) == 0 && kept(&clinic).is_empty()).then_some(())
    })
    .await;
    let gave_up = || clinic.pitchside(&["doctor"]).out.contains("output hook gave up 34 requests");
    assert!(gave_up(), "{}", clinic.pitchside(&["doctor"]).out);
    away.breaks(false);
    let mut s7 = clinic.sensor("s7").await;
    beats(&clinic, &mut s7, &[190, 100]).await;
    assert_eq!(away.told_so_many(1).await, ["raised 0 fast"]);
    until("the doctor to be content", || (!gave_up()).then_some(())).await;
    let said = clinic.pitchside(&["doctor"]).out;
    assert!(!said.contains("output hook gave up"), "{said}");
}

#[tokio::test]
async fn an_urgent_alert_goes_out_in_quiet_hours_though_what_is_held_back_in_them_takes_all_places_of_its_receiver() {
    let away = Webhook::start().await;
    away.breaks(true);
    let minute = gatewayd::clock::Clock::System.now().millis().div_euclid(60_000);
    let at = |minute: i64| u16::try_from(minute.rem_euclid(1_440)).unwrap();
    let quiet = QuietHours { from: at(minute + 60), to: at(minute + 60 + 8 * 60) };
    let route = Route { quiet: Some(quiet), ..Route::default() };
    let clinic = with_a_low_rule().with(move |settings| settings.delivery.routes = [(name(), route)].into());
    let clinic = clinic.start().await;
    output_of(&clinic, "hook", &[&away], &["raised"], &format!("[{}]", post(&away))).await;
    let mut s7 = until_its_places_are_taken(&clinic, &away, 160, 1).await;
    clinic.advance(71 * 60);
    beats(&clinic, &mut s7, &[190, 100]).await;
    let is_hot = |bodies: &[String]| bodies.iter().any(|body| body == "raised 0 hot");
    let tried = || away.got().into_iter().map(|got| got.body).collect::<Vec<_>>();
    until("the urgent one to be tried", || is_hot(&tried()).then_some(())).await;
    away.breaks(false);
    until("it to come though it has no place", || {
        clinic.advance(1);
        is_hot(&away.told()).then_some(())
    })
    .await;
    assert_eq!(away.told(), ["raised 0 hot"], "nothing else in quiet hours");
}

#[tokio::test]
async fn an_address_that_is_changed_and_changed_back_while_a_step_waits_is_told() {
    let (first, second) = (Webhook::start().await, Webhook::start().await);
    first.breaks(true);
    second.breaks(true);
    let clinic = Clinic::new().strap("s7").athlete("ada").rule("fast", "value > 180.0").start().await;
    let script = |hook: &Webhook| format!("[{}]", post(hook));
    output_of(&clinic, "hook", &[&first, &second], &["raised"], &script(&first)).await;
    let mut s7 = clinic.sensor("s7").await;
    beats(&clinic, &mut s7, &[190]).await;
    let waits = |number: u32| {
        let waiting = clinic.tables().requests_waiting(&name()).unwrap();
        (waiting.iter().map(|(_, number)| *number).collect::<Vec<_>>() == [number]).then_some(())
    };
    until("it to wait", || waits(0)).await;
    correct(&clinic, &script(&second));
    until("it to wait for the other", || waits(1)).await;
    correct(&clinic, &script(&first));
    until("it to wait for the first again", || waits(0)).await;
    first.breaks(false);
    clinic.advance(61);
    assert_eq!(first.told_so_many(1).await, ["raised 0 fast"]);
    assert!(first.got().iter().all(|got| got.key.ends_with("-raised-0")), "under its own key: {:?}", first.got());
    until("nothing to wait", || clinic.tables().requests_waiting(&name()).unwrap().is_empty().then_some(())).await;
}

#[tokio::test]
async fn an_output_that_is_set_otherwise_while_a_step_goes_out_tells_nobody_under_another_key() {
    let (there, stalls) = (Webhook::start().await, Webhook::start().await);
    stalls.stalls(true);
    let clinic = Clinic::new().strap("s7").athlete("ada").rule("fast", "value > 180.0").start().await;
    let script = |one: &Webhook, other: &Webhook| format!("[{}, {}]", post(one), post(other));
    output_of(&clinic, "hook", &[&there, &stalls], &["raised"], &script(&there, &stalls)).await;
    let mut s7 = clinic.sensor("s7").await;
    beats(&clinic, &mut s7, &[190]).await;
    there.told_so_many(1).await;
    until("the other to be asked, too", || (!stalls.got().is_empty()).then_some(())).await;
    stalls.stalls(false);
    // Well within the three seconds that a step waits for what it asks for.
    correct(&clinic, &script(&stalls, &there));
    stalls.told_so_many(1).await;
    until("nothing to wait", || clinic.tables().requests_waiting(&name()).unwrap().is_empty().then_some(())).await;
    for (hook, number) in [(&there, "-raised-0"), (&stalls, "-raised-1")] {
        assert!(hook.got().iter().all(|got| got.key.ends_with(number)), "{number}: {:?}", hook.got());
    }
}

#[tokio::test]
async fn what_was_kept_replaces_nothing_newer_on_a_display_though_the_output_was_started_again() {
    let clinic = Clinic::new().strap("s7").athlete("ada").rule("fast", "value > 180.0").rule("slow", "value < 60.0");
    let clinic = clinic.start().await;
    // Ports are below /dev, and so is what everybody may write to.
    let link = std::path::PathBuf::from(format!("/dev/shm/pitchside-shown-{}", std::process::id()));
    let port = link.to_str().unwrap();
    let mut plug = Plug::plug_in(&link).unwrap();
    let well = format!("[serial_write(\"{port}\", 9600, `${{event.step}} ${{event.rule}};`).latest()]");
    let script = format!("if event.rule == \"fast\" {{ let list = [1]; list[7]; }}\n{well}");
    write_output(&clinic.dir().join("plugins"), "hook", &[&format!("serial:{port}")], &script);
    clinic.pitchside(&["plugin", "grant", "hook", &format!("serial:{port}")]).ok();
    until("the output runs", || clinic.tables().plugin_told(&name()).unwrap()).await;
    let mut s7 = clinic.sensor("s7").await;
    beats(&clinic, &mut s7, &[190, 100, 50, 100]).await;
    let came = |rule: &str| -> Vec<Came> {
        let of_rule = clinic.alerts().into_iter().find(|row| row.alert.rule.as_str() == rule);
        let requests = of_rule.map(|row| clinic.tables().requests_of(row.alert.id).unwrap());
        requests.unwrap_or_default().into_iter().map(|request| request.came).collect()
    };
    until("the newer to be shown", || (came("slow") == [Came::Done, Came::Done]).then_some(())).await;
    assert_eq!(kept(&clinic), [KeptFor::Failed, KeptFor::ItsTurn]);
    correct(&clinic, &well);
    until("nothing to be kept", || kept(&clinic).is_empty().then_some(())).await;
    until("the older to be given up", || (came("fast") == [Came::GivenUp, Came::GivenUp]).then_some(())).await;
    let (mut bytes, mut read) = (vec![0; 4_096], 0);
    let shown = b"raised slow;cleared slow;";
    soon("all of the newer to be read", async {
        while read < shown.len() {
            read += plug.read(&mut bytes[read..]).await.unwrap();
        }
        // What is there already, and no more.
        while let Some(more) = plug.read(&mut bytes[read..]).now_or_never() {
            read += more.unwrap();
        }
    })
    .await;
    assert_eq!(String::from_utf8_lossy(&bytes[..read]), String::from_utf8_lossy(shown));
}

#[tokio::test]
async fn of_many_alerts_that_wait_for_an_output_the_most_urgent_goes_first_and_then_the_oldest() {
    let hook = Webhook::start().await;
    let clinic = with_a_low_rule().start().await;
    output_of(&clinic, "hook", &[&hook], &["raised", "cleared"], &format!("[{}]", post(&hook))).await;
    let capability = format!("http:127.0.0.1:{}", hook.port);
    clinic.pitchside(&["plugin", "revoke", "hook", &capability]).ok();
    until("it to run no more", || log(&clinic, "hook").contains("it runs no more").then_some(())).await;
    let mut s7 = clinic.sensor("s7").await;
    beats(&clinic, &mut s7, &[160, 100, 160, 100, 190, 100]).await;
    assert_eq!(clinic.alerted(4).await.len(), 4);
    until("all to be over", || clinic.alerts().iter().all(|alert| alert.cleared.is_some()).then_some(())).await;
    clinic.pitchside(&["plugin", "grant", "hook", &capability]).ok();
    let told = hook.told_so_many(8).await;
    assert_eq!(told[..2], ["raised 0 hot", "cleared 0 hot"], "before what came first: {told:?}");
    assert_eq!(told[2..], ["raised 0 warm", "cleared 0 warm"].repeat(3), "each in its own order");
}
