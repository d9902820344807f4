//! Leaves: what a ledger reads before it knows who signed them.
#![no_main]

use ledger_block::ingest::SignedTransaction;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(read) = SignedTransaction::parse(bytes) {
        let _ = read.is_signed_by("ledger.example", &[7; 32]);
    }
});
