//! Outputs: alerts leave the box as an admin granted, at least once and under one key, and a script that misbehaves sends nothing
//! and stops nobody.

use std::sync::{Arc, Mutex};

use pitchside_tests::clinic::write_output;
use pitchside_tests::{Clinic, Running, Sensor, until};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;

/// What a webhook got: the head and the body of each request.
pub(super) type Got = Arc<Mutex<Vec<(String, String)>>>;

/// Somebody's webhook, which fails so many times before it answers well.
pub(super) async fn webhook(mut failures: usize) -> (u16, Got) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, got) = (listener.local_addr().unwrap().port(), Got::default());
    let heard = Arc::clone(&got);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let status = if failures > 0 { "503 Busy" } else { "204 No Content" };
            failures = failures.saturating_sub(1);
            let request = answer(stream, status, &heard).await;
            request.unwrap();
        }
    });
    (port, got)
}

/// One request, answered.
async fn answer<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, status: &str, heard: &Got) -> std::io::Result<()> {
    let mut text = String::new();
    let (head, body) = loop {
        let mut bytes = [0; 4_096];
        let count = stream.read(&mut bytes).await?;
        text.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        if body.len() >= length.parse().unwrap() || count == 0 {
            break (head.to_owned(), body.to_owned());
        }
    };
    heard.lock().unwrap().push((head, body));
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(answer.as_bytes()).await?;
    stream.flush().await
}

/// Somebody's webhook in the clinic's own network: its certificate is of the clinic's own authority, which comes with it in PEM.
async fn webhook_of_the_clinic() -> (u16, Got, String) {
    let authority = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = params.self_signed(&authority).unwrap().pem();
    let issuer = Issuer::new(params, authority);
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let (acceptor, listener) = (TlsAcceptor::from(Arc::new(config)), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let (port, got) = (listener.local_addr().unwrap().port(), Got::default());
    let heard = Arc::clone(&got);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // Whoever does not trust it says goodbye before there is a request.
            if let Ok(stream) = acceptor.accept(stream).await {
                let _cut_off = answer(stream, "204 No Content", &heard).await;
            }
        }
    });
    (port, got, root)
}

fn post(port: u16) -> String {
    format!(
        "[http_post(\"http://127.0.0.1:{port}/a\", \"application/json\", json_text(#{{ step: event.step, value: event.value }}))]"
    )
}

pub(super) fn log(clinic: &Running, name: &str) -> String {
    clinic.pitchside(&["plugin", "logs", name]).ok().out
}

pub(super) async fn rises_and_falls(clinic: &Running, s7: &mut Sensor) {
    for rate in [190, 100] {
        clinic.advance(1);
        s7.heart_rate(rate).await;
    }
}

#[tokio::test]
async fn an_alert_is_posted_at_least_once_under_one_key_and_only_where_it_was_granted() {
    let (port, got) = webhook(1).await;
    let (other, never) = webhook(0).await;
    let clinic = Clinic::new().strap("s7").athlete("ada").rule("fast", "value > 180.0").start().await;
    let library = clinic.dir().join("plugins");
    write_output(&library, "hook", &[&format!("http:127.0.0.1:{port}")], &post(port));
    write_output(&library, "greedy", &[&format!("http:127.0.0.1:{port}")], &post(other));
    write_output(&library, "broken", &["mqtt:hall"], "let list = [1];\nlist[7]\n");
    let grant = |name: &str| clinic.pitchside(&["plugin", "grant", name, &format!("http:127.0.0.1:{port}")]);
    grant("hook").ok();
    grant("greedy").ok();
    clinic.pitchside(&["plugin", "grant", "broken", "mqtt:hall"]).ok();
    let refused = clinic.pitchside(&["plugin", "grant", "hook", &format!("http:127.0.0.1:{other}")]);
    assert!(refused.code == 2 && refused.err.contains("does not ask for"), "{refused:?}");
    // Each begins with what comes after it: until all three have begun.
    let begun = |name: &str| {
        let name = pitchside_model::PluginName::parse(name).unwrap();
        clinic.tables().plugin_told(&name).unwrap().is_some()
    };
    until("the outputs run", || ["hook", "greedy", "broken"].iter().all(|name| begun(name)).then_some(())).await;

    let mut s7 = clinic.sensor("s7").await;
    rises_and_falls(&clinic, &mut s7).await;
    let sent = until("both steps arrive", || Some(got.lock().unwrap().clone()).filter(|got| got.len() == 3)).await;
    let key = |(head, _): &(String, String)| {
        head.lines().find_map(|line| line.strip_prefix("idempotency-key: ").map(str::to_owned)).unwrap()
    };
    assert_eq!(key(&sent[0]), key(&sent[1]), "tried again, it has the same key");
    assert!(sent[1].1 == "{\"step\":\"raised\",\"value\":190}" && key(&sent[1]).ends_with("-raised-0\""), "{sent:?}");
    assert!(sent[2].1.contains("cleared") && key(&sent[2]) != key(&sent[1]), "{sent:?}");
    assert!(
        log(&clinic, "hook").contains("does not go out yet") && log(&clinic, "hook").contains("went out after all")
    );

    until("what was not granted is refused", || log(&clinic, "greedy").contains("was not granted").then_some(())).await;
    until("what failed is told with its line", || log(&clinic, "broken").contains("line 2").then_some(())).await;
    assert!(never.lock().unwrap().is_empty());
    let fails = || clinic.pitchside(&["doctor"]).out.contains("output broken: its script fails on ");
    until("the doctor names who fails", || fails().then_some(())).await;
    clinic.pitchside(&["plugin", "disable", "broken"]).ok();
    let gave_up = || clinic.pitchside(&["doctor"]).out.contains("output greedy gave up ");
    until("the doctor names who gave up", || gave_up().then_some(())).await;

    clinic.pitchside(&["plugin", "revoke", "hook", &format!("http:127.0.0.1:{port}")]).ok();
    until("a grant that was taken back counts", || log(&clinic, "hook").contains("it runs no more").then_some(()))
        .await;
    rises_and_falls(&clinic, &mut s7).await;
    clinic.alerted(2).await;
    assert_eq!(got.lock().unwrap().len(), 3, "nothing goes out that is not granted");
    grant("hook").ok();
    until("what happened meanwhile is told", || (got.lock().unwrap().len() == 5).then_some(())).await;
}

#[tokio::test]
async fn what_an_older_version_was_granted_is_no_grant_for_one_that_does_not_ask_for_it() {
    let (port, got) = webhook(0).await;
    let (other, never) = webhook(0).await;
    let mut clinic = Clinic::new().strap("s7").athlete("ada").rule("fast", "value > 180.0").start().await;
    let library = clinic.dir().join("plugins");
    let [asked, dropped] = [port, other].map(|port| format!("http:127.0.0.1:{port}"));
    let one = |port: u16| format!("http_post(\"http://127.0.0.1:{port}/\", \"text/plain\", event.step)");
    let script = format!("[{}, {}]", one(port), one(other));
    write_output(&library, "spy", &[&asked, &dropped], &script);
    for capability in [&asked, &dropped] {
        clinic.pitchside(&["plugin", "grant", "spy", capability]).ok();
    }
    let name = pitchside_model::PluginName::parse("spy").unwrap();
    until("the output runs", || clinic.tables().plugin_told(&name).unwrap()).await;
    clinic.stop().await;
    // Another version, which asks for less and does the same.
    write_output(&library, "spy", &[&asked], &script);
    clinic.start().await;
    let mut s7 = clinic.sensor("s7").await;
    rises_and_falls(&clinic, &mut s7).await;
    until("both steps to arrive", || (got.lock().unwrap().len() == 2).then_some(())).await;
    until("what it no longer asks for to be refused", || log(&clinic, "spy").contains("was not granted").then_some(()))
        .await;
    assert!(never.lock().unwrap().is_empty());
    let list = clinic.pitchside(&["plugin", "list"]).ok().out;
    assert!(list.contains(&format!("{dropped} (granted, not asked for)")), "{list}");
    clinic.pitchside(&["plugin", "revoke", "spy", &dropped]).ok();
    let list = clinic.pitchside(&["plugin", "list"]).ok().out;
    assert!(list.contains(&asked) && !list.contains(&dropped), "{list}");
}

#[tokio::test]
async fn what_was_not_told_before_the_end_is_told_after_it_and_the_topic_is_the_one_that_was_granted() {
    let mut clinic =
        Clinic::new().strap("s7").athlete("ada").rule("fast", "value > 180.0").app("lamp", &["hall/#"]).start().await;
    let script = "[mqtt_publish(\"hall/lamp\", event.step)]";
    write_output(&clinic.dir().join("plugins"), "lamp", &["mqtt:hall/lamp"], script);
    clinic.pitchside(&["plugin", "grant", "lamp", "mqtt:hall/lamp"]).ok();
    let name = pitchside_model::PluginName::parse("lamp").unwrap();
    let told = |clinic: &Running| clinic.tables().plugin_told(&name).unwrap();
    until("the output runs", || told(&clinic)).await;
    let mut lamp = clinic.app("lamp").await;
    assert!(lamp.subscribe("hall/#").await.unwrap() < 0x80);
    let mut s7 = clinic.sensor("s7").await;
    rises_and_falls(&clinic, &mut s7).await;
    for step in ["raised", "cleared"] {
        let (topic, payload) = lamp.message().await;
        assert_eq!((topic.as_str(), payload.as_slice()), ("hall/lamp", step.as_bytes()));
    }
    let done = |clinic: &Running| told(clinic).filter(|told| *told == clinic.tables().last_delivery_step().unwrap());
    let before = until("both count as told", || done(&clinic)).await;
    clinic.pitchside(&["plugin", "revoke", "lamp", "mqtt:hall/lamp"]).ok();
    until("it runs no more", || log(&clinic, "lamp").contains("it runs no more").then_some(())).await;
    rises_and_falls(&clinic, &mut s7).await;
    clinic.alerted(2).await;
    clinic.kill().await;
    clinic.start().await;
    assert_eq!(told(&clinic), Some(before), "it was told of nothing");
    let mut lamp = clinic.app("lamp").await;
    assert!(lamp.subscribe("hall/#").await.unwrap() < 0x80);
    clinic.pitchside(&["plugin", "grant", "lamp", "mqtt:hall/lamp"]).ok();
    for step in ["raised", "cleared"] {
        assert_eq!(lamp.message().await.1.as_slice(), step.as_bytes());
    }
}

#[tokio::test]
async fn a_webhook_of_the_clinics_own_authority_is_refused_until_the_settings_name_that_authority() {
    let (port, got, authority) = webhook_of_the_clinic().await;
    let mut clinic = Clinic::new().strap("s7").athlete("ada").rule("fast", "value > 180.0").start().await;
    let capability = format!("http:localhost:{port}");
    let script = format!("[http_post(\"https://localhost:{port}/\", \"text/plain\", event.step)]");
    write_output(&clinic.dir().join("plugins"), "hook", &[&capability], &script);
    clinic.pitchside(&["plugin", "grant", "hook", &capability]).ok();
    let name = pitchside_model::PluginName::parse("hook").unwrap();
    until("the output runs", || clinic.tables().plugin_told(&name).unwrap()).await;
    let mut s7 = clinic.sensor("s7").await;
    rises_and_falls(&clinic, &mut s7).await;
    until("a stranger's certificate is refused", || log(&clinic, "hook").contains("UnknownIssuer").then_some(())).await;
    assert!(got.lock().unwrap().is_empty(), "nothing was said to whom nobody vouches for");
    clinic.stop().await;

    let file = clinic.dir().join("clinic-ca.pem");
    clinic.settings().delivery.authorities = Some(file.clone());
    clinic.start().await;
    // Named and not there: told, and nothing goes out by the way.
    until("the missing file is told", || log(&clinic, "hook").contains("clinic-ca.pem").then_some(())).await;
    assert!(got.lock().unwrap().is_empty());
    std::fs::write(&file, authority).unwrap();
    clinic.advance(61);
    let bodies = || -> Vec<String> { got.lock().unwrap().iter().map(|(_, body)| body.clone()).collect() };
    until("what waited to be told", || (bodies() == ["raised", "cleared"]).then_some(())).await;
}
