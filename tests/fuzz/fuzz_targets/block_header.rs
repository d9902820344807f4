//! A block header: whatever is accepted is written back to the same bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(header) = ledger_block::SignedHeader::verify(bytes) {
        assert_eq!(header.bytes(), bytes);
    }
    let _ = ledger_block::receipt::Receipt::parse(bytes);
});
