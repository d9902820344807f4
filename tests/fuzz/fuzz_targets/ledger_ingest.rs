//! What a gateway and a ledger say to each other.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = ledger_block::ingest::Request::decode(bytes);
    let _ = ledger_block::ingest::Reply::decode(bytes);
});
