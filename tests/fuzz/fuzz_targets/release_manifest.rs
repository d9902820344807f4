//! Signed manifests and release policies, as they come from files, the ledger and gateways.
#![no_main]

use ledger_block::cbor::Deterministic as _;
use ledger_block::release::{Endorsed, Manifest, ReleasePolicy, SIGNED_BYTES_MAX, SignedManifest, SignedPolicy};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // What reads at all reads back to the same bytes.
    if let Ok(read) = Manifest::parse(bytes) {
        assert_eq!(read.to_cbor(), bytes);
    }
    if let Ok(read) = ReleasePolicy::parse(bytes) {
        assert_eq!(read.to_cbor(), bytes);
        if let Ok(signed) = SignedManifest::parse(bytes) {
            let _ = signed.verify(&read);
        }
    }
    if let Ok(read) = Endorsed::parse(bytes, SIGNED_BYTES_MAX) {
        assert_eq!(read.to_cbor(), bytes);
    }
    if let Ok(read) = SignedManifest::parse(bytes) {
        assert_eq!(read.to_bytes(), bytes);
    }
    if let Ok(read) = SignedPolicy::parse(bytes) {
        let _ = read.verify(None);
    }
});
