//! A script of any text, through the words and tokens that are read before and beside Rhai's own parser.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pitchside_script::lint::{Known, mentions, unknown_names};
use pitchside_script::scan::words;

fuzz_target!(|text: &str| {
    let known = [Known::named("value"), Known::named("limit")];
    for problem in unknown_names("r.rhai", text, &known) {
        assert!(problem.line >= 1 && problem.column >= 1);
    }
    for word in words(text) {
        assert!(word.line >= 1 && word.column >= 1);
    }
    let _ = mentions(text, "value");
});
