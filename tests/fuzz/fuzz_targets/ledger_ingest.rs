//! What a gateway and a ledger say to each other.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = ledger_block::ingest::Request::parse(bytes);
    let _ = ledger_block::ingest::Reply::parse(bytes);
});
