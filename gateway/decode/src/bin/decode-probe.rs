//! A decoder's worker process and nothing else, for the tests.

fn main() -> std::process::ExitCode {
    match pitchside_decode::worker_main() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(_) => std::process::ExitCode::FAILURE,
    }
}
