//! An evidence file from a stranger.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    const POLICY: &str = "log example.com/log+2b0f2f0b+AZ0Y3yKkKcVTm0CRqUqDrSrqZJvcz3yvpJMQ7ZX7h0jv\nquorum none\n";
    if let Ok(policy) = ledger_block::policy::Policy::parse(POLICY) {
        let _ = ledger_block::evidence::verify(bytes, &policy);
    }
});
