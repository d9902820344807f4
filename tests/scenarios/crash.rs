//! kill -9 at random moments under load. `make nightly` does it 200 times.

use pitchside_tests::program::{program, run};

#[test]
fn eight_kills_under_load_lose_double_and_break_nothing() {
    let answer = run(&program("pitchside-crash"), ["--kills", "8"]);
    print!("{}", answer.out);
    answer.ok();
}
