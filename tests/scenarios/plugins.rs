//! Decoders that misbehave, or are not there: what they can't read is kept whole, acknowledged and read once they can; what
//! they refuse the device hears; the others go on.

use pitchside_tests::clinic::copy;
use pitchside_tests::program::repository;
use pitchside_tests::{Clinic, Running, Told, until};
use pitchside_wire::{Content, Reason};

use crate::goes_on;

const GOOD: &str = "[reading(\"heart_rate\", payload.u8(1), \"/min\")]";

fn waiting(clinic: &Running) -> u64 {
    clinic.tables().undecoded_waiting().expect("the database answers").payloads
}

#[tokio::test]
async fn decoders_that_return_nonsense_loop_throw_or_grow_harm_nobody_else() {
    // Those at fault themselves lose nothing of what a device says; those that find fault with it say so.
    let hostile = [
        ("nonsense", "[gap(\"heart_rate\", \"gone_fishing\")]", None),
        ("no-reading", "42", None),
        ("undeclared", "[reading(\"power\", 72, \"W\")]", None),
        ("loops", "loop {}", None),
        ("grows", "let s = \"x\"; loop { s += s; }", None),
        ("passes-on", "[reading(\"heart_rate\", 72, \"Cel\")]", Some(Reason::UNKNOWN_UNIT)),
        ("throws", "throw \"bad_day\"", Some(Reason::MALFORMED)),
        ("short", "[reading(\"heart_rate\", payload.u8(99), \"/min\")]", Some(Reason::MALFORMED)),
    ];
    let mut clinic = Clinic::new().strap("s7").athlete("ada").plugin("good", GOOD).strap("fine").decoder("good");
    for (name, script, _) in hostile {
        clinic = clinic.plugin(name, script).strap(name).decoder(name);
    }
    let clinic = clinic.strap("lonely").decoder("not-installed").start().await;
    let (mut s7, mut fine) = (clinic.sensor("s7").await, clinic.sensor("fine").await);
    for (name, _, expected) in hostile {
        let before = waiting(&clinic);
        let mut sensor = clinic.sensor(name).await;
        // More often than it takes to switch a plugin off.
        for _ in 0..12 {
            match expected {
                None => assert_eq!(sensor.says(Content::Vendor, [0, 72]).await, Told::Stored, "{name}"),
                Some(expected) => {
                    let (reason, text) = sensor.is_refused(Content::Vendor, [0, 72]).await;
                    assert_eq!(reason, expected, "{name}: {text}");
                }
            }
        }
        assert_eq!(waiting(&clinic) - before, if expected.is_none() { 12 } else { 0 }, "{name}");
        assert!(clinic.values(name).is_empty());
        assert_eq!(fine.says(Content::Vendor, [0, 99]).await, Told::Stored, "beside {name}");
        goes_on(&clinic, &mut s7).await;
    }
    assert_eq!(clinic.sensor("lonely").await.says(Content::Vendor, [0, 72]).await, Told::Stored);
    assert_eq!(waiting(&clinic), 5 * 12 + 1);
    assert_eq!(clinic.values("fine"), vec!["heart_rate 99"; hostile.len()]);
}

#[tokio::test]
async fn a_unit_or_a_number_that_a_plugin_passes_on_is_refused_and_what_is_good_comes_through_after_it() {
    const BY_NAME: &str = "let m = json(payload);\n[reading(\"heart_rate\", m.hr, \"/min\")]";
    let clinic = Clinic::new().strap("s7").decoder("json-mapper").plugin("by-name", BY_NAME);
    let clinic = clinic.strap("s8").decoder("by-name");
    copy(&repository().join("plugins/json-mapper"), &clinic.dir().join("plugins/json-mapper"));
    let clinic = clinic.start().await;
    let cases = [
        ("s7", r#"{"heart_rate":{"value":72,"unit":"bpm"}}"#, Reason::UNKNOWN_UNIT, r#"{"heart_rate":72}"#),
        ("s8", r#"{"hr":1e400}"#, Reason::BAD_VALUE, r#"{"hr":72}"#),
    ];
    for (strap, bad, expected, good) in cases {
        let mut sensor = clinic.sensor(strap).await;
        // More often than it takes to switch a plugin off.
        for _ in 0..10 {
            let (reason, text) = sensor.is_refused(Content::Vendor, bad).await;
            assert_eq!(reason, expected, "{strap}: {text}");
        }
        assert_eq!(sensor.says(Content::Vendor, good).await, Told::Stored);
        assert_eq!(clinic.values(strap), ["heart_rate 72"]);
    }
    assert_eq!(waiting(&clinic), 0, "nothing waits for its plugin");
    assert_eq!(clinic.tables().quarantined(100).expect("the database answers").len(), 20);
}

#[tokio::test]
async fn what_a_broken_or_missing_plugin_could_not_read_is_read_when_it_is_there_again() {
    let mut clinic = Clinic::new()
        .plugin("broken", "[1][7]")
        .strap("s7")
        .decoder("broken")
        .strap("s8")
        .decoder("missing")
        .start()
        .await;
    for (strap, offset) in [("s7", 60), ("s8", 80)] {
        let mut sensor = clinic.sensor(strap).await;
        for at in 0..7 {
            assert_eq!(sensor.says(Content::Vendor, [0, offset + at]).await, Told::Stored);
        }
    }
    // How the plugins are is written down by whoever looks after them, by and by.
    for word in ["plugin missing is not loaded", "14 wait for their plugin"] {
        let says = || Some(clinic.pitchside(&["doctor"])).filter(|doctor| doctor.out.contains(word));
        assert_eq!(until(&format!("the doctor to say: {word}"), says).await.code, 1);
    }
    clinic.kill().await;
    for plugin in ["broken", "missing"] {
        clinic.write_plugin(plugin, GOOD);
    }
    clinic.start().await;
    until("all that waited is read", || (waiting(&clinic) == 0).then_some(())).await;
    for (strap, offset) in [("s7", 60), ("s8", 80)] {
        let all: Vec<String> = (0..7).map(|at| format!("heart_rate {}", offset + at)).collect();
        assert_eq!(clinic.values(strap), all, "each once, under the number of its message");
    }
}
