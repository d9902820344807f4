//! The evidence file of an alert, from a stranger.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    const POLICY: &str = "log pitchside.example/demo+3bb53851+AQS9ERHjfZ0UB4A0EFtsJKe2I1zcatQIeZQyRCxw+jDi\nquorum none\n";
    if let Ok(policy) = ledger_block::policy::Policy::parse(POLICY.as_bytes()) {
        let _ = ledger_block::evidence::alert::verify(bytes, &policy);
    }
});
