//! The ways alerts take out of the box, by the plugins of the library as an admin sets them up: a signed webhook, a push, a mail.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use data_encoding::BASE64;
use futures_util::FutureExt as _;
use pitchside_tests::clinic::copy;
use pitchside_tests::program::{Answer, repository};
use pitchside_tests::pty::Plug;
use pitchside_tests::{Clinic, Running, soon, until};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

use super::outputs::{log, rises_and_falls, webhook};

/// The clinic of these tests: a strap of ada's, a rule on her heart rate, and some of the library's plugins.
async fn clinic(plugins: &[&str]) -> Running {
    let clinic = Clinic::new().strap("s7").athlete("ada").rule("fast", "value > 180.0").start().await;
    for name in plugins {
        copy(&repository().join("plugins").join(name), &clinic.dir().join("plugins").join(name));
    }
    clinic
}

fn plugin(clinic: &Running, args: &[&str]) -> Answer {
    clinic.pitchside(&[&["plugin"], args].concat())
}

fn set(clinic: &Running, name: &str, settings: &[(&str, &str)]) {
    settings.iter().for_each(|(key, value)| drop(plugin(clinic, &["set", name, key, value]).ok()));
}

async fn begun(clinic: &Running, name: &str) {
    let name = pitchside_model::PluginName::parse(name).unwrap();
    until("the output runs", || clinic.tables().plugin_told(&name).unwrap()).await;
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// HMAC-SHA256 by the letter of RFC 2104, so that what is checked does not check itself.
fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut block = [0u8; 64];
    block[..key.len()].copy_from_slice(key);
    let pad = |with: u8| block.map(|byte| byte ^ with);
    let inner = Sha256::digest([&pad(0x36)[..], text].concat());
    Sha256::digest([&pad(0x5c)[..], &inner[..]].concat()).to_vec()
}

/// Whether the receiver of a webhook would take it, with this key (Standard Webhooks).
fn is_signed(key: &str, head: &str, body: &str) -> bool {
    let key = BASE64.decode(key.strip_prefix("whsec_").unwrap().as_bytes()).unwrap();
    let of = |name: &str| header(head, name).unwrap_or_else(|| panic!("{name} is missing: {head}"));
    let signed = hmac(&key, format!("{}.{}.{body}", of("webhook-id"), of("webhook-timestamp")).as_bytes());
    of("webhook-signature") == format!("v1,{}", BASE64.encode(&signed))
}

#[tokio::test]
async fn a_webhook_is_signed_anew_each_time_under_one_id_and_its_key_is_nowhere_to_be_read() {
    let (port, got) = webhook(1).await;
    let clinic = clinic(&["webhook-out"]).await;
    let port = port.to_string();
    set(&clinic, "webhook-out", &[("host", "127.0.0.1"), ("port", &port), ("tls", "0")]);
    let capability = format!("http:127.0.0.1:{port}");
    plugin(&clinic, &["grant", "webhook-out", &capability]).ok();
    let state = || plugin(&clinic, &["list"]).ok().out;
    assert!(state().contains("the secret signing is not set"), "{}", state());

    let bad = clinic.pitchside_fed(&["plugin", "secret", "webhook-out", "signing"], "hunter2\n");
    assert!(bad.code == 2 && bad.err.contains("whsec_") && !bad.err.contains("hunter2"), "{bad:?}");
    let made = clinic.pitchside(&["--json", "plugin", "secret", "webhook-out", "signing", "--generate"]).ok().json();
    let key = made["value"].as_str().unwrap().to_owned();
    for (bad, shown) in [("Bearer tk_verily\n", "verily"), ("tk_v\u{f6}rily\n", "rily")] {
        let refused = clinic.pitchside_fed(&["plugin", "secret", "webhook-out", "token"], bad);
        assert!(
            refused.code == 2 && refused.err.contains("bearer token") && !refused.err.contains(shown),
            "{refused:?}"
        );
    }
    clinic.pitchside_fed(&["plugin", "secret", "webhook-out", "token"], "tk_very_secret\n").ok();
    begun(&clinic, "webhook-out").await;

    let mut s7 = clinic.sensor("s7").await;
    rises_and_falls(&clinic, &mut s7).await;
    let sent = until("both steps arrive", || Some(got.lock().unwrap().clone()).filter(|got| got.len() == 3)).await;
    for (head, body) in &sent {
        assert!(is_signed(&key, head, body), "{head}");
        assert!(!is_signed(&key, head, &body.replace("ada", "bea")), "a changed body is found");
        assert_eq!(header(head, "authorization"), Some("Bearer tk_very_secret"));
        assert!(body.contains("\"athlete\":\"ada\"") && !body.contains("value"), "no value by default: {body}");
    }
    let id = |at: usize| header(&sent[at].0, "webhook-id").unwrap();
    assert_eq!(id(0), id(1), "tried again, it has the same id");
    assert_ne!(id(1), id(2));

    let shown =
        [plugin(&clinic, &["settings", "webhook-out"]), plugin(&clinic, &["logs", "webhook-out"])].map(|a| a.ok().out);
    assert!(shown[0].contains("signing") && shown[1].contains("the secret signing was set"), "{shown:?}");
    for secret in [key.as_str(), "tk_very_secret"] {
        assert!(shown.iter().all(|text| !text.contains(secret)), "a secret is shown");
        assert!(!stored(&clinic, secret), "a secret is readable on the disk");
    }

    clinic.pitchside(&["plugin", "secret", "webhook-out", "signing", "--remove"]).ok();
    until("without its key it does not run", || {
        log(&clinic, "webhook-out").contains("signing is not set").then_some(())
    })
    .await;
}

/// Whether a text stands in any file of the box's data. Another process reads them: SQLite's locks are this process's, and
/// closing a file it has open would give them up.
fn stored(clinic: &Running, text: &str) -> bool {
    let found = std::process::Command::new("grep").args(["-rqaF", "--", text]).arg(clinic.dir()).status().unwrap();
    assert!(found.code() < Some(2), "grep could not read everything");
    found.success()
}

#[tokio::test]
async fn a_push_goes_where_it_is_set_to_go_and_what_is_set_otherwise_counts_within_a_second() {
    let (port, got) = webhook(0).await;
    let (other, elsewhere) = webhook(0).await;
    let clinic = clinic(&["ntfy-push"]).await;
    let refused = |args: &[&str]| plugin(&clinic, &[&["set", "ntfy-push"], args].concat());
    for (args, why) in [
        (["least", "urgent"], "is none of low, medium, high"),
        (["port", "0"], "is not within 1 and 65535"),
        (["port", "many"], "is no number"),
        (["host", ""], "not empty"),
        (["colour", "red"], "there is no `colour`"),
    ] {
        let answer = refused(&args);
        assert!(answer.code == 2 && answer.err.contains(why), "{answer:?}");
    }
    let port = port.to_string();
    set(&clinic, "ntfy-push", &[("host", "127.0.0.1"), ("port", &port), ("tls", "0"), ("topic", "squad-3fa9c1e0")]);
    plugin(&clinic, &["grant", "ntfy-push", &format!("http:127.0.0.1:{port}")]).ok();
    clinic.pitchside_fed(&["plugin", "secret", "ntfy-push", "token"], "tk_1").ok();
    begun(&clinic, "ntfy-push").await;
    let mut s7 = clinic.sensor("s7").await;
    rises_and_falls(&clinic, &mut s7).await;
    let sent = until("both steps arrive", || Some(got.lock().unwrap().clone()).filter(|got| got.len() == 2)).await;
    let body: serde_json::Value = serde_json::from_str(&sent[0].1).unwrap();
    assert!(sent[0].0.starts_with("POST / HTTP/1.1") && header(&sent[0].0, "authorization") == Some("Bearer tk_1"));
    assert_eq!((&body["topic"], &body["priority"]), (&"squad-3fa9c1e0".into(), &5.into()));
    assert_eq!(body["message"], "fast, athlete ada", "a pseudonym and no value");
    // What is cut off before its answer is written down goes out again.
    let name = pitchside_model::PluginName::parse("ntfy-push").unwrap();
    until("all to be written down", || clinic.tables().requests_waiting(&name).unwrap().is_empty().then_some(())).await;

    // Another port is another capability: nobody granted it.
    plugin(&clinic, &["set", "ntfy-push", "port", &other.to_string()]).ok();
    until("it stops", || log(&clinic, "ntfy-push").contains("it runs no more").then_some(())).await;
    rises_and_falls(&clinic, &mut s7).await;
    clinic.alerted(2).await;
    plugin(&clinic, &["grant", "ntfy-push", &format!("http:127.0.0.1:{other}")]).ok();
    until("it goes there", || (elsewhere.lock().unwrap().len() == 2).then_some(())).await;
    assert_eq!(got.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_choice_that_keeps_an_output_from_sending_is_refused_with_what_its_script_says() {
    let clinic = clinic(&["mail-out", "webhook-out", "ntfy-push"]).await;
    let nine = ["a@b.test"; 9].join(",");
    for (name, key, value, why) in [
        ("mail-out", "sender", "Clinic <box@clinic.test>", "raised of medium priority: its script fails: "),
        ("mail-out", "recipients", nine.as_str(), "at most 8"),
        ("mail-out", "recipients", "a@b.test,,c@d.test", "its script refuses it: bad_recipients"),
        ("webhook-out", "path", "/a b", "is no URL"),
        ("ntfy-push", "topic", "a b", "its script refuses it: bad_topic"),
        ("ntfy-push", "topic", "docs", "its script refuses it: reserved_topic"),
    ] {
        let answer = plugin(&clinic, &["set", name, key, value]);
        assert!(answer.code == 2 && answer.err.contains(why), "{name} {key}: {answer:?}");
        let settings = plugin(&clinic, &["settings", name]).ok().out;
        assert!(!settings.contains(value), "{settings}");
    }
    set(&clinic, "mail-out", &[("sender", "box@clinic.test"), ("recipients", "a@b.test,c@d.test")]);

    // What another choice keeps from sending is told, and no reason against this one.
    let broken = ("recipients".to_owned(), nine);
    let name = pitchside_model::PluginName::parse("mail-out").unwrap();
    let sealed = clinic.tables().seal_plugin_setting(&name, &broken.0, &broken.1, false).unwrap();
    let change = pitchside_store::PluginChange::Set(sealed);
    clinic.tables().change_plugin(&name, change, "set before it was tried out", pitchside_model::Timestamp(1)).unwrap();
    let said = plugin(&clinic, &["set", "mail-out", "sender", "pitch@clinic.test"]).ok();
    assert!(said.err.contains("mail-out still sends nothing of ") && said.err.contains("at most 8"), "{said:?}");
    let worse = plugin(&clinic, &["set", "mail-out", "sender", "Clinic <box@clinic.test>"]);
    assert!(worse.code == 2, "{worse:?}");
    let mended = plugin(&clinic, &["set", "mail-out", "recipients", "a@b.test"]).ok();
    assert!(!mended.err.contains("still"), "{mended:?}");

    // Of secrets a token must be one; a password is any line.
    let secret = |name: &str, key: &str, value: &str| clinic.pitchside_fed(&["plugin", "secret", name, key], value);
    let token = secret("ntfy-push", "token", "tk 1\n");
    assert!(token.code == 2 && token.err.contains("bearer token"), "{token:?}");
    secret("mail-out", "password", "p\u{e4}ss word\n").ok();
}

#[tokio::test]
async fn a_display_that_was_away_ends_up_showing_the_last_alert() {
    let clinic = Clinic::new().strap("s7").athlete("ada").rule("fast", "value > 180.0").rule("slow", "value < 60.0");
    let clinic = clinic.start().await;
    copy(&repository().join("plugins/serial-lcd"), &clinic.dir().join("plugins/serial-lcd"));
    // Ports are below /dev, and so is what everybody may write to.
    let link = std::path::PathBuf::from(format!("/dev/shm/pitchside-lcd-{}", std::process::id()));
    let port = link.to_str().unwrap();
    set(&clinic, "serial-lcd", &[("path", port), ("columns", "20")]);
    plugin(&clinic, &["grant", "serial-lcd", &format!("serial:{port}")]).ok();
    begun(&clinic, "serial-lcd").await;
    let name = pitchside_model::PluginName::parse("serial-lcd").unwrap();
    let waiting = || clinic.tables().requests_waiting(&name).unwrap().len();
    let mut s7 = clinic.sensor("s7").await;
    rises_and_falls(&clinic, &mut s7).await;
    until("the port to be missed", || log(&clinic, "serial-lcd").contains("does not go out yet").then_some(())).await;
    clinic.advance(61);
    until("both steps to wait aside", || (waiting() == 2).then_some(())).await;

    let mut plug = Plug::plug_in(&link).unwrap();
    for rate in [50, 100] {
        clinic.advance(1);
        s7.heart_rate(rate).await;
    }
    let is_over = || clinic.alerts().get(1).is_some_and(|alert| alert.cleared.is_some());
    let all = || clinic.tables().plugin_told(&name).unwrap() == Some(clinic.tables().last_delivery_step().unwrap());
    until("all four steps to be told", || (is_over() && all()).then_some(())).await;
    clinic.advance(61);
    until("nothing to wait any more", || (waiting() == 0).then_some(())).await;
    // Whatever was written is there to be read: a screen is 2 characters to clear and 40 to show.
    let (mut bytes, mut read) = (vec![0; 4_096], 0);
    soon("screens to be read", async {
        while !screens(&bytes[..read]).iter().any(|(word, rule)| word == "over" && rule == "slow") {
            read += plug.read(&mut bytes[read..]).await.unwrap();
        }
        // What is there already, and no more.
        while let Some(more) = plug.read(&mut bytes[read..]).now_or_never() {
            read += more.unwrap();
        }
    })
    .await;
    let shown = screens(&bytes[..read]);
    assert_eq!(shown.last().map(|(word, rule)| (word.as_str(), rule.as_str())), Some(("over", "slow")), "{shown:?}");
}

/// What a display of two lines of 20 was told to show: its first word, and its second line.
fn screens(bytes: &[u8]) -> Vec<(String, String)> {
    let text = std::str::from_utf8(bytes).unwrap();
    let whole = text.split("|-").filter(|screen| screen.len() == 40);
    whole.map(|screen| (screen[..4].trim().to_owned(), screen[20..].trim().to_owned())).collect()
}

/// Mails as a server took them: the envelope's recipient, and the text.
type Mails = Arc<Mutex<Vec<(String, String)>>>;

/// Somebody's mail server (RFC 5321), in clear. The first mail it asks to be sent again; `nobody@…` it does not know, and `full@…` takes
/// nothing while it is full.
async fn mail_server(full: Arc<AtomicBool>) -> (u16, Mails) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, mails) = (listener.local_addr().unwrap().port(), Mails::default());
    let kept = Arc::clone(&mails);
    tokio::spawn(async move {
        let mut patience = false;
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = BufReader::new(stream);
            stream.write_all(b"220 mail.test ESMTP\r\n").await.unwrap();
            let (mut to, mut text, mut in_text, mut line) = (String::new(), String::new(), false, String::new());
            while stream.read_line(&mut line).await.unwrap_or(0) > 0 {
                let said = std::mem::take(&mut line);
                let word = said.trim_end().split(' ').next().unwrap_or_default().to_ascii_uppercase();
                let answer = match word.as_str() {
                    "." if in_text => {
                        in_text = false;
                        kept.lock().unwrap().push((to.clone(), std::mem::take(&mut text)));
                        if std::mem::replace(&mut patience, true) { "250 kept" } else { "451 4.3.0 again, please" }
                    }
                    _ if in_text => {
                        text.push_str(&said);
                        continue;
                    }
                    "RCPT" if said.contains("nobody@") => "550 5.1.1 nobody of that name",
                    "RCPT" if said.contains("full@") && full.load(Ordering::Relaxed) => "452 4.2.2 mailbox full",
                    "RCPT" => {
                        to = said.trim_end().to_owned();
                        "250 ok"
                    }
                    "DATA" => {
                        in_text = true;
                        "354 go on"
                    }
                    "QUIT" => "221 bye",
                    _ => "250 ok",
                };
                stream.write_all(format!("{answer}\r\n").as_bytes()).await.unwrap();
            }
        }
    });
    (port, mails)
}

/// The clinic of these tests, with mail by this server.
async fn clinic_that_mails(port: u16, recipients: &str) -> Running {
    let clinic = clinic(&["mail-out"]).await;
    let settings = [
        ("server", "127.0.0.1"),
        ("port", &*port.to_string()),
        ("security", "clear"),
        ("sender", "box@clinic.test"),
        ("recipients", recipients),
    ];
    set(&clinic, "mail-out", &settings);
    plugin(&clinic, &["grant", "mail-out", &format!("smtp:127.0.0.1:{port}")]).ok();
    begun(&clinic, "mail-out").await;
    clinic
}

#[tokio::test]
async fn a_mail_goes_to_each_recipient_at_least_once_under_one_id_and_one_that_is_unknown_keeps_nobody_waiting() {
    let (port, mails) = mail_server(Arc::default()).await;
    let clinic = clinic_that_mails(port, "nobody@clinic.test, doctor@clinic.test").await;
    let mut s7 = clinic.sensor("s7").await;
    rises_and_falls(&clinic, &mut s7).await;
    let kept = until("the mails arrive", || Some(mails.lock().unwrap().clone()).filter(|kept| kept.len() == 3)).await;
    assert!(kept.iter().all(|(to, _)| to == "RCPT TO:<doctor@clinic.test>"), "{kept:?}");
    let line = |at: usize, name: &str| {
        let text: &str = &kept[at].1;
        text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name}: {text}")).to_owned()
    };
    assert_eq!(line(0, "Message-ID: "), line(1, "Message-ID: "), "tried again, it is the same mail");
    assert_ne!(line(1, "Message-ID: "), line(2, "Message-ID: "));
    assert_eq!(line(1, "References: "), line(2, "References: "), "one alert is one thread");
    assert_eq!(line(1, "Subject: "), "[Pitchside] high alert raised: fast, athlete ada");
    assert!(
        line(1, "Concerns: ") == "athlete ada" && !kept[1].1.contains(" 190"),
        "no value by default: {}",
        kept[1].1
    );
    let log = log(&clinic, "mail-out");
    assert!(log.contains("nobody of that name") && log.contains("went out after all"), "{log}");
}

#[tokio::test]
async fn a_mailbox_that_is_full_keeps_no_other_from_its_mail_and_gets_its_own_in_order_once_there_is_room() {
    let full = Arc::new(AtomicBool::new(true));
    let (port, mails) = mail_server(Arc::clone(&full)).await;
    let clinic = clinic_that_mails(port, "full@clinic.test, doctor@clinic.test").await;
    let to = |whom: &str| {
        let kept = mails.lock().unwrap();
        let mut subjects: Vec<String> = Vec::new();
        for (_, text) in kept.iter().filter(|(to, _)| to.contains(whom)) {
            let subject = text.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap_or_default().to_owned();
            // The first mail of all is asked for twice.
            if subjects.last() != Some(&subject) {
                subjects.push(subject);
            }
        }
        subjects
    };
    let mut s7 = clinic.sensor("s7").await;
    rises_and_falls(&clinic, &mut s7).await;
    let name = pitchside_model::PluginName::parse("mail-out").unwrap();
    let waiting = || clinic.tables().requests_waiting(&name).unwrap().len();
    // The clock stands still: nobody waits for how long the other is tried.
    until("the doctor hears of both", || (to("doctor@").len() == 2).then_some(())).await;
    let aside = "what does not go out is put aside, and what comes after it on the same way";
    until(aside, || (waiting() == 2).then_some(())).await;
    assert!(to("full@").is_empty());

    full.store(false, Ordering::Relaxed);
    clinic.advance(61);
    until("the other hears of both", || (to("full@").len() == 2).then_some(())).await;
    assert_eq!(to("full@"), to("doctor@"));
    until("nothing waits", || (waiting() == 0).then_some(())).await;
}

#[tokio::test]
async fn who_is_written_to_instead_gets_what_waits_under_an_id_of_their_own_and_no_other_gets_it_again() {
    let (port, mails) = mail_server(Arc::new(AtomicBool::new(true))).await;
    let clinic = clinic_that_mails(port, "full@clinic.test, doctor@clinic.test").await;
    let ids = |whom: &str| -> Vec<String> {
        let id = |text: &str| text.lines().find_map(|line| line.strip_prefix("Message-ID: ")).unwrap().to_owned();
        mails.lock().unwrap().iter().filter(|(to, _)| to.contains(whom)).map(|(_, text)| id(text)).collect()
    };
    let mut s7 = clinic.sensor("s7").await;
    rises_and_falls(&clinic, &mut s7).await;
    // The first mail of all is asked for twice.
    until("the doctor hears of both", || (ids("doctor@").len() == 3).then_some(())).await;
    let name = pitchside_model::PluginName::parse("mail-out").unwrap();
    let waiting = || clinic.tables().requests_waiting(&name).unwrap().len();
    until("what does not go out to wait", || (waiting() == 2).then_some(())).await;

    set(&clinic, "mail-out", &[("recipients", "doctor@clinic.test, nurse@clinic.test")]);
    until("nothing to wait any more", || (waiting() == 0).then_some(())).await;
    let alert = clinic.alerts()[0].alert.id;
    let told = ["raised", "cleared"].map(|step| format!("<{alert}-{step}-2@clinic.test>"));
    assert_eq!(ids("nurse@"), told, "neither under the number of the full mailbox nor under the doctor's");
    assert_eq!(ids("doctor@").len(), 3, "who has it is not told again");
}
