//! Quiet hours of outputs, and what comes in between; routes for which there is no output.

use pitchside_config::{Every, QuietHours, Route};
use pitchside_model::{AlertEvent, PluginName};
use pitchside_store::{DeliveryKind, DeliveryStepId};
use pitchside_tests::clinic::write_output;
use pitchside_tests::{Clinic, Running, until};

use crate::delivery::{beats, output_of, post};
use crate::receiver::Webhook;

fn name() -> PluginName {
    PluginName::parse("phone").unwrap()
}

/// The numbers of the steps that are held.
fn held(clinic: &Running) -> Vec<DeliveryStepId> {
    clinic.tables().held_for_plugin(&name(), 9).unwrap().iter().map(|step| step.id).collect()
}

#[tokio::test]
async fn what_was_told_before_a_cut_and_is_read_again_in_quiet_hours_counts_as_told_and_its_end_is_told_after_them() {
    let phone = Webhook::start().await;
    let minute = gatewayd::clock::Clock::System.now().millis().div_euclid(60_000);
    let at = |minute: i64| u16::try_from(minute.rem_euclid(1_440)).unwrap();
    let route = Route { quiet: Some(QuietHours { from: at(minute + 60), to: at(minute + 120) }), ..Route::default() };
    let clinic = Clinic::new().strap("s7").athlete("ada").rule("warm", "value > 150.0");
    let warm = clinic.dir().join("rules/warm/rule.toml");
    let manifest = std::fs::read_to_string(&warm).unwrap();
    std::fs::write(&warm, manifest.replace("\"high\"", "\"medium\"")).unwrap();
    let clinic = clinic.with(move |settings| {
        settings.delivery.routes = [(name(), route)].into();
        settings.delivery.drill_every = Every(None);
    });
    let mut clinic = clinic.start().await;
    output_of(&clinic, "phone", &[&phone], &["raised", "cleared"], &format!("[{}]", post(&phone))).await;
    let mut s7 = clinic.sensor("s7").await;
    beats(&clinic, &mut s7, &[160]).await;
    phone.told_so_many(1).await;
    let told = |clinic: &Running| clinic.tables().plugin_told(&name()).unwrap();
    let raised = |clinic: &Running| clinic.tables().delivery_steps_after(DeliveryStepId(0), 1).unwrap()[0].id;
    until("it to count as told", || (told(&clinic) == Some(raised(&clinic))).then_some(())).await;
    clinic.kill().await;
    // As if it had been cut off before that was written down.
    let before = DeliveryStepId(raised(&clinic).0 - 1);
    clinic.tables().set_plugin_told(&name(), before).unwrap();
    clinic.advance(70 * 60);
    let end = AlertEvent::Cleared { id: clinic.alerts()[0].alert.id, event_time: clinic.now() };
    clinic.tables().record_alerts(&[end], clinic.now()).unwrap();
    let cleared = clinic.tables().last_delivery_step().unwrap();
    clinic.start().await;
    until("both to be read", || (told(&clinic) >= Some(cleared)).then_some(())).await;
    assert_eq!(held(&clinic), [cleared], "the end alone");
    clinic.advance(60 * 60);
    assert_eq!(phone.told_so_many(2).await, ["raised 0 warm", "cleared 0 warm"]);
    until("nothing to be held any more", || held(&clinic).is_empty().then_some(())).await;
    assert_eq!(phone.got().len(), 2, "each once");
}

#[tokio::test]
async fn after_quiet_hours_nobody_is_told_that_an_alert_escalated_which_somebody_has_acknowledged() {
    let (phone, chief) = (Webhook::start().await, Webhook::start().await);
    let minute = gatewayd::clock::Clock::System.now().millis().div_euclid(60_000);
    let at = |minute: i64| u16::try_from(minute.rem_euclid(1_440)).unwrap();
    let quiet = Some(QuietHours { from: at(minute - 10), to: at(minute + 40) });
    let level_one = Route { from_level: 1, quiet, ..Route::default() };
    let route = Route { quiet, ..Route::default() };
    let chief_name = PluginName::parse("chief").unwrap();
    let clinic = Clinic::new().strap("s7").athlete("ada").rule("warm", "value > 150.0");
    let warm = clinic.dir().join("rules/warm/rule.toml");
    let manifest = std::fs::read_to_string(&warm).unwrap();
    std::fs::write(&warm, manifest.replace("\"high\"", "\"medium\"")).unwrap();
    let routes = [(name(), route), (chief_name.clone(), level_one)].into();
    let clinic = clinic.with(move |settings| {
        settings.delivery.routes = routes;
        settings.delivery.drill_every = Every(None);
    });
    let clinic = clinic.start().await;
    let all = &["raised", "escalated", "acknowledged", "cleared"];
    output_of(&clinic, "phone", &[&phone], all, &format!("[{}]", post(&phone))).await;
    output_of(&clinic, "chief", &[&chief], all, &format!("[{}]", post(&chief))).await;
    let kinds = |name: &PluginName| -> Vec<DeliveryKind> {
        clinic.tables().held_for_plugin(name, 9).unwrap().iter().map(|step| step.kind).collect()
    };
    let mut s7 = clinic.sensor("s7").await;
    beats(&clinic, &mut s7, &[160]).await;
    until("an alert to be watched", || (clinic.metric("alerts_watched") == 1).then_some(())).await;
    // Medium priority: a quarter of an hour a level, unless the settings say otherwise.
    clinic.advance(15 * 60);
    until("it to escalate", || (!clinic.alerts()[0].escalations.is_empty()).then_some(())).await;
    clinic.tables().acknowledge_alert(clinic.alerts()[0].alert.id, "ann", clinic.now()).unwrap();
    let (acknowledged, escalated) = (DeliveryKind::Acknowledged, DeliveryKind::Escalated(1));
    let for_phone = [DeliveryKind::Raised, escalated, acknowledged];
    until("all to be held", || {
        (kinds(&name()) == for_phone && kinds(&chief_name) == [escalated, acknowledged]).then_some(())
    })
    .await;

    clinic.advance(3_600);
    assert_eq!(phone.told_so_many(2).await, ["raised 0 warm", "acknowledged 1 warm"]);
    until("nothing to be held for the phone", || kinds(&name()).is_empty().then_some(())).await;
    beats(&clinic, &mut s7, &[100]).await;
    assert_eq!(phone.told_so_many(3).await[2], "cleared 1 warm");
    until("nothing to be held for the chief", || kinds(&chief_name).is_empty().then_some(())).await;
    assert!(chief.got().is_empty(), "of what came to nothing for it, it hears no end: {:?}", chief.got());
    assert_eq!(phone.got().len(), 3, "each once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_for_which_there_is_no_output_is_told_until_there_is_one() {
    let phnoe = PluginName::parse("phnoe").unwrap();
    let routes = [(name(), Route::default()), (phnoe, Route::default())].into();
    let clinic = Clinic::new().strap("s7").athlete("ada").rule("warm", "value > 150.0");
    let clinic = clinic.with(move |settings| settings.delivery.routes = routes).start().await;
    let told = || {
        let said = clinic.pitchside(&["doctor"]).out;
        let told = said.lines().filter(|line| line.contains("[delivery.routes."));
        told.map(|line| (line.starts_with("!!"), line.contains(".phnoe]"))).collect::<Vec<_>>()
    };
    assert_eq!(told(), [(true, true), (true, false)]);
    write_output(&clinic.dir().join("plugins"), "phone", &[], "[]");
    assert_eq!(told(), [(true, true)]);
    write_output(&clinic.dir().join("plugins"), "phnoe", &[], "[]");
    assert!(told().is_empty(), "{:?}", told());
}
