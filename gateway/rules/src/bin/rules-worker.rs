//! The rules worker by itself, for the tests: `rules-worker [spin|abort RULE]` hangs or dies where that rule would run, and
//! `rules-worker burn RULE MICROSECONDS` takes that long there.

use std::time::{Duration, Instant};

fn main() -> std::process::ExitCode {
    let mut args = std::env::args().skip(1);
    let (deed, rule) = (args.next().unwrap_or_default(), args.next());
    let long = Duration::from_micros(args.next().and_then(|micros| micros.parse().ok()).unwrap_or_default());
    let mut probe = |name: &pitchside_model::RuleName| {
        if rule.as_deref() == Some(name.as_str()) {
            match deed.as_str() {
                "spin" => loop {
                    std::hint::spin_loop();
                },
                "burn" => {
                    let begun = Instant::now();
                    while begun.elapsed() < long {
                        std::hint::spin_loop();
                    }
                }
                _ => std::process::abort(),
            }
        }
    };
    match pitchside_rules::protocol::worker_main_probed(&mut probe) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(_) => std::process::ExitCode::FAILURE,
    }
}
