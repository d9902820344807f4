//! Notes and policies: text from a ledger or an auditor.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = ledger_block::note::SignedNote::parse(bytes);
    let _ = ledger_block::policy::Policy::parse(bytes);
});
