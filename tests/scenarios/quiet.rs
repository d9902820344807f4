//! Quiet hours of outputs, and what comes in between.

use pitchside_config::{Every, QuietHours, Route};
use pitchside_model::{AlertEvent, PluginName};
use pitchside_store::DeliveryStepId;
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
