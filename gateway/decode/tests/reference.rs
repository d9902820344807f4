//! The reference in `plugins/` is what the engine has, and its examples are true.
//! `UPDATE=1 cargo test -p pitchside-decode --test reference` writes it anew.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::path::Path;

use pitchside_decode::plugin::engine::Decoder;
use pitchside_decode::plugin::message::{Ask, Outcome};
use pitchside_decode::plugin::reference;
use pitchside_script::builtin;
use pitchside_script::cases::parse_output_cases;
use pitchside_script::output::{self, Output};
use pitchside_script::reference::Entry;

#[test]
fn the_committed_reference_is_the_generated_one() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins");
    for (name, text) in reference::files() {
        let path = folder.join(name);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(committed == text, "plugins/{name} is old; run `{}` and commit it", reference::COMMAND);
    }
}

/// A script that throws unless the example is true.
fn script(example: &str) -> String {
    format!("let shown = {{ {example} }};\nif shown != true {{ throw \"untrue\" }}\n[]")
}

#[test]
fn every_example_of_a_decoder_is_true() {
    for entry in [reference::decoders(), builtin::entries()].concat() {
        let decoder = Decoder::load("decode.rhai", &script(&entry.example), &[], &[]);
        let (payload, topic) = (reference::EXAMPLE_PAYLOAD.to_vec(), reference::EXAMPLE_TOPIC.to_owned());
        let ask = Ask { payload, topic, ..Ask::default() };
        let decoded = decoder.unwrap_or_else(|e| panic!("{}: {e:?}", entry.name)).decode(&ask);
        assert_eq!(decoded.outcome, Outcome::Readings(Vec::new()), "{}: {}", entry.name, entry.example);
    }
}

#[test]
fn every_example_of_an_output_is_true() {
    let cases = parse_output_cases("the example", output::reference::EXAMPLE_CASE).unwrap();
    let event = &cases[0].steps[0].event;
    for entry in [output::reference::entries(), builtin::entries()].concat() {
        let output = Output::load("output.rhai", &script(&entry.example), &[]);
        let outcome = output.unwrap_or_else(|e| panic!("{}: {e:?}", entry.name)).tell(event);
        assert_eq!(outcome, output::Outcome::Requests(Vec::new()), "{}: {}", entry.name, entry.example);
    }
}

#[test]
fn every_function_is_named() {
    let named = |name: &String, entries: &[Entry]| {
        assert!(entries.iter().any(|entry| entry.name == *name), "`{name}` is in no table");
    };
    let of_decoders = [reference::decoders(), builtin::entries()].concat();
    let decoder = Decoder::load("decode.rhai", "[]", &[], &[]).unwrap();
    decoder.function_names().iter().for_each(|name| named(name, &of_decoders));
    let of_outputs = [output::reference::entries(), builtin::entries()].concat();
    output::engine::sandbox().function_names().iter().for_each(|name| named(name, &of_outputs));
}
