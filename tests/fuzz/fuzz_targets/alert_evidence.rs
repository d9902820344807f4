//! The evidence file of an alert, from a stranger; and the statement in one, which is read before its signature is checked.
#![no_main]

use ledger_block::cbor::Writer;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    const POLICY: &str = "log pitchside.example/demo+3bb53851+AQS9ERHjfZ0UB4A0EFtsJKe2I1zcatQIeZQyRCxw+jDi\nquorum none\n";
    if let Ok(policy) = ledger_block::policy::Policy::parse(POLICY.as_bytes()) {
        let (mut envelope, mut file) = (Writer::default(), Writer::default());
        envelope.tag(18).array(4).bytes(&[0xa1, 0x01, 0x27]).map(0).bytes(bytes).bytes(&[0; 64]);
        file.tag(55_799).map(2).uint(1).uint(2).uint(2).bytes(envelope.as_bytes());
        for bytes in [bytes, file.as_bytes()] {
            let _ = ledger_block::evidence::alert::verify(bytes, &policy);
        }
    }
});
