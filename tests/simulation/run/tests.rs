use std::path::Path;
use std::sync::atomic::Ordering;

use super::*;
use crate::bench::{self, Bench};
use crate::hub;
use crate::load::{self, Load};
use crate::template::Shape;

fn spec(text: &str) -> Spec {
    let recordings = Path::new(env!("CARGO_MANIFEST_DIR")).join("recordings");
    toml::from_str(&text.replace("DIR", &recordings.to_string_lossy())).unwrap()
}

fn mqtt(device: &str, card: &Path, address: &str) -> String {
    format!(
        "device = \"{device}\"\n[link]\nover = \"mqtt\"\nsecret_file = {card:?}\nto = {{ address = \"{address}\" }}\n"
    )
}

const STRAP: &str = "[sensor]\nkind = \"chest-strap\"\nrecording = \"DIR/run-1hz.csv\"\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strap_over_mqtt_has_every_reading_receipted() {
    let (dir, bench) = (tempfile::tempdir().unwrap(), Bench::new(None));
    let (gate, address) = bench::gate(&bench).await;
    let card = bench::card(dir.path(), "strap-1", "P1");
    let text = format!("{}{STRAP}[replay]\nspeed = 100\nduration_s = 1", mqtt("strap-1", &card, &address));
    let counts = run(&spec(&text), pending()).await.unwrap();
    assert_eq!((counts.messages, counts.unknown(), counts.refused), (100, 0, 0));
    assert!(counts.readings > 200 && counts.acknowledged == counts.readings, "{counts:?}");
    assert_eq!(bench.arrived().len(), 100);
    gate.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_the_gateway_lost_are_sent_again() {
    let (dir, bench) = (tempfile::tempdir().unwrap(), Bench::new(None));
    bench.lose.store(5, Ordering::Relaxed);
    let (gate, address) = bench::gate(&bench).await;
    let card = bench::card(dir.path(), "strap-1", "P1");
    let text = format!("{}{STRAP}[replay]\nspeed = 100\nduration_s = 0.2", mqtt("strap-1", &card, &address));
    let counts = run(&spec(&text), pending()).await.unwrap();
    assert_eq!((counts.messages, counts.unknown()), (20, 0));
    assert_eq!(bench.arrived().len(), 20);
    gate.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_message_is_counted_and_the_rest_goes_on() {
    let (dir, bench) = (tempfile::tempdir().unwrap(), Bench::new(Some(3)));
    let (gate, address) = bench::gate(&bench).await;
    let card = bench::card(dir.path(), "meter-1", "P1");
    let sensor = "[sensor]\nkind = \"power-meter\"\nrecording = \"DIR/ride-1hz.csv\"\n";
    let text = format!("{}{sensor}[replay]\nspeed = 100\nduration_s = 0.1", mqtt("meter-1", &card, &address));
    let counts = run(&spec(&text), pending()).await.unwrap();
    assert_eq!((counts.readings, counts.acknowledged, counts.refused), (30, 27, 3));
    gate.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_comes_late_costs_no_reading() {
    let (dir, bench) = (tempfile::tempdir().unwrap(), Bench::new(None));
    let (gate, address) = bench::gate(&bench).await;
    gate.shutdown().await;
    let card = bench::card(dir.path(), "strap-1", "P1");
    let text = format!("{}{STRAP}[replay]\nspeed = 100\nduration_s = 0.3", mqtt("strap-1", &card, &address));
    let spec = spec(&text);
    let (counts, gate) = tokio::join!(run(&spec, pending()), async {
        tokio::time::sleep(Duration::from_millis(600)).await;
        let config = pitchside_collect::mqtt::GateConfig { tcp: vec![address.parse().unwrap()], ..Default::default() };
        let intake = std::sync::Arc::clone(&bench) as std::sync::Arc<dyn pitchside_collect::Intake>;
        pitchside_collect::mqtt::Gate::start(config, intake).await.unwrap()
    });
    assert_eq!((counts.as_ref().unwrap().messages, counts.unwrap().unknown()), (30, 0));
    gate.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_never_comes_is_said_by_the_count() {
    let (dir, bench) = (tempfile::tempdir().unwrap(), Bench::new(None));
    let (gate, address) = bench::gate(&bench).await;
    gate.shutdown().await;
    let card = bench::card(dir.path(), "strap-1", "P1");
    let text =
        format!("{}{STRAP}[replay]\nspeed = 100\nduration_s = 0.1\nlinger_s = 0.3", mqtt("strap-1", &card, &address));
    let counts = run(&spec(&text), pending()).await.unwrap();
    assert_eq!((counts.messages, counts.acknowledged), (10, 0));
    assert!(counts.unknown() > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strap_on_a_cable_survives_being_unplugged() {
    let (dir, bench) = (tempfile::tempdir().unwrap(), Bench::new(None));
    let path = dir.path().join("strap");
    let stop = bench::serial(&bench, &path);
    let card = bench::card(dir.path(), "strap-0", "P0");
    let link = format!("device = \"strap-0\"\n[link]\nover = \"serial\"\nsecret_file = {card:?}\npath = {path:?}\n");
    // A second and a half are enough for the first connection, whatever else the machine does.
    let text =
        format!("{link}{STRAP}[replay]\nspeed = 20\nduration_s = 5\n[faults]\nunplugged = {{ at_s = 30, for_s = 20 }}");
    let counts = run(&spec(&text), pending()).await.unwrap();
    assert_eq!((counts.messages, counts.unknown()), (100, 0));
    assert_eq!(bench.arrived().len(), 100);
    assert!(counts.connected >= 2, "{counts:?}");
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_patch_sends_waveforms() {
    let (dir, bench) = (tempfile::tempdir().unwrap(), Bench::new(None));
    let (gate, address) = bench::gate(&bench).await;
    let card = bench::card(dir.path(), "patch-1", "P1");
    let sensor = "[sensor]\nkind = \"ecg-patch\"\nrecording = \"DIR/ecg-360hz.csv\"\n";
    let text = format!("{}{sensor}[replay]\nspeed = 50\nduration_s = 1", mqtt("patch-1", &card, &address));
    let counts = run(&spec(&text), pending()).await.unwrap();
    assert_eq!((counts.readings, counts.samples, counts.acknowledged), (50, 18_000, 50));
    gate.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn told_to_stop_it_stops_measuring_and_waits_for_its_receipts() {
    let (dir, bench) = (tempfile::tempdir().unwrap(), Bench::new(None));
    let (gate, address) = bench::gate(&bench).await;
    let card = bench::card(dir.path(), "strap-1", "P1");
    let text = format!("{}{STRAP}[replay]\nspeed = 20\nduration_s = 1000", mqtt("strap-1", &card, &address));
    let counts = run(&spec(&text), tokio::time::sleep(Duration::from_millis(500))).await.unwrap();
    assert!((1..100).contains(&counts.messages), "{counts:?}");
    assert_eq!(counts.unknown(), 0);
    gate.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_needs_tls_and_its_password_and_counts_pubacks() {
    let (dir, bench) = (tempfile::tempdir().unwrap(), Bench::new(None));
    let (gate, address, ca_file) = bench::tls_gate(&bench, dir.path()).await;
    let password_file = dir.path().join("password");
    std::fs::write(&password_file, format!("{}\n", bench::PASSWORD)).unwrap();
    let text = |to: &str, linger_s: &str| {
        format!(
            "device = \"hub-1\"\n[link]\nover = \"password\"\npassword_file = {password_file:?}\nto = {to}\n\
             [sensor]\nkind = \"hub\"\nrecording = \"DIR/run-1hz.csv\"\n[replay]\nspeed = 100\nduration_s = 0.5\nlinger_s = {linger_s}"
        )
    };
    let tls = format!("{{ address = \"{address}\", ca_file = {ca_file:?} }}");
    // It ends with the last acknowledgement: how fast this machine is decides nothing.
    let counts = hub::run(&spec(&text(&tls, "30.0")), pending()).await.unwrap();
    assert_eq!((counts.messages, counts.readings, counts.acknowledged), (50, 200, 200));
    assert!(bench.arrived().iter().all(|(topic, ..)| topic == "live"));
    let plain = hub::run(&spec(&text(&format!("{{ address = \"{address}\" }}"), "0.5")), pending()).await;
    assert!(plain.unwrap_err().to_string().contains("TLS"));
    std::fs::write(&password_file, "wrong").unwrap();
    let counts = hub::run(&spec(&text(&tls, "0.5")), pending()).await.unwrap();
    assert_eq!((counts.connected, counts.messages, counts.acknowledged), (0, 50, 0));
    gate.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_every_message_is_receipted_and_acknowledged_once() {
    let (dir, bench) = (tempfile::tempdir().unwrap(), Bench::new(None));
    let (gate, address) = bench::gate(&bench).await;
    let to = crate::mqtt::stream::Address { address, ca_file: None, server_name: None };
    // It ends by count: how fast this machine is decides nothing.
    let (length, at_most, linger) = (Duration::from_secs(60), Some(96), Duration::from_secs(60));
    for (shape, rate, readings) in
        [(Shape::Single, None, 1), (Shape::Pack16, Some(200.0), 16), (Shape::Wave, Some(50.0), 1)]
    {
        let load = Load { to: to.clone(), shape, window: 64, rate, length, at_most, linger };
        let (ready, _) = tokio::sync::watch::channel(0);
        let (_go, started) = tokio::sync::watch::channel(true);
        let runs = (0..5).map(|i| {
            let device = format!("load-{i}-{shape:?}");
            let (_, credential) = card::read(&bench::card(dir.path(), &device, "P1")).unwrap();
            let (load, ready, started) = (&load, &ready, started.clone());
            async move { load::run(load, &device, credential, ready, started).await.unwrap() }
        });
        let mut total = load::Outcome::default();
        futures_util::future::join_all(runs).await.into_iter().for_each(|outcome| total.add(outcome));
        assert_eq!(total.messages, 5 * 96, "{total:?}");
        assert_eq!((total.receipted, total.refused, total.readings), (total.messages, 0, total.messages * readings));
        // HELLO and CONFIRM are acknowledged too.
        assert_eq!(total.pubacks, total.messages + 2 * 5, "{shape:?}");
        assert!(total.latency_us(0.5).is_some());
    }
    gate.shutdown().await;
}
