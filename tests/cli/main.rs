//! Command lines as data: each `*.trycmd` file beside this is a conversation with `pitchside`, with its output and exit
//! codes. `TRYCMD=overwrite cargo test -p pitchside-tests --test cli` writes down what it says now.

use pitchside_tests::program::program;

#[test]
fn commands_say_what_is_written_down() {
    trycmd::TestCases::new().register_bin("pitchside", program("pitchside")).case("cli/*.trycmd");
}
