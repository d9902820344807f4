//! Cases of rules and plugins of any text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pitchside_script::cases::{parse_derived_cases, parse_output_cases, parse_plugin_cases, parse_rule_cases};

fuzz_target!(|text: &str| {
    let _ = parse_rule_cases("cases.txt", text);
    let _ = parse_derived_cases("cases.txt", text);
    let _ = parse_plugin_cases("cases.txt", text);
    let _ = parse_output_cases("cases.txt", text);
});
