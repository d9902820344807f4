use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn any_up() -> impl Strategy<Value = Up> {
    let battery = prop_oneof![(0u8..=100).prop_map(Battery::Percent), Just(Battery::Unknown), Just(Battery::Mains)];
    let phase = (0u8..4).prop_map(|code| Phase::from_code(code).unwrap());
    let name = || "[A-Za-z0-9][A-Za-z0-9._-]{0,31}";
    let status = (
        (any::<bool>(), battery, 64u16..=4_096, any::<[u32; 4]>(), phase),
        (any::<u32>(), any::<[u8; 32]>(), name(), name()),
    )
        .prop_map(
            |((willing, battery, chunk_bytes_max, [a, b, c, counter], phase), (have, release, hardware, component))| {
                let version = Version::new(a, b, c);
                Up::Status(Status {
                    willing,
                    battery,
                    chunk_bytes_max,
                    version,
                    counter,
                    phase,
                    have,
                    release,
                    hardware,
                    component,
                })
            },
        );
    let pull = (any::<[u8; 32]>(), any::<u32>(), 64u16..=4_096)
        .prop_map(|(digest, offset, length)| Up::Pull(Pull { digest, offset, length }));
    let report = (any::<u32>(), any::<[u8; 32]>(), 1u8..=5, 1u8.., "[ -~]{0,64}").prop_map(
        |(number, release, stage, reason, text)| {
            let stage = Stage::from_code(stage).unwrap();
            let reason = if stage == Stage::Failed { Reason(reason) } else { Reason::NONE };
            Up::Report(Report { number, release, stage, reason, text })
        },
    );
    prop_oneof![status, pull, report]
}

fn any_down() -> impl Strategy<Value = Down> {
    let code = prop_oneof![
        Just(WaitCode::Nothing),
        Just(WaitCode::Stopped),
        Just(WaitCode::NotNow),
        Just(WaitCode::BeyondEnd)
    ];
    prop_oneof![
        vec(any::<u8>(), 1..300).prop_map(Down::Offer),
        (any::<[u8; 32]>(), any::<u32>(), vec(any::<[u8; 32]>(), 0..=PROOF_HASHES_MAX), vec(any::<u8>(), 1..300))
            .prop_map(|(digest, offset, proof, bytes)| Down::Chunk(Chunk { digest, offset, proof, bytes })),
        (code, any::<u32>(), any::<[u8; 32]>()).prop_map(|(code, after_s, digest)| Down::Wait(Wait {
            code,
            after_s,
            digest
        })),
        (any::<u32>(), any::<bool>(), any::<u32>()).prop_map(|(number, go, after_s)| Down::Noted(Noted {
            number,
            go,
            after_s
        })),
    ]
}

proptest! {
    #[test]
    fn words_of_devices_read_back(up in any_up()) {
        prop_assert_eq!(Up::parse(&up.encode().unwrap()), Ok(up));
    }

    #[test]
    fn words_of_gateways_read_back(down in any_down()) {
        prop_assert_eq!(Down::parse(&down.encode().unwrap()), Ok(down));
    }

    #[test]
    fn any_bytes_are_a_word_or_refused(mut plain in vec(any::<u8>(), 0..160), kind in prop_oneof![1u8..4, 0x81u8..0x85]) {
        if let [form, second, ..] = plain.as_mut_slice() { (*form, *second) = (FORM, kind); }
        // What reads at all has no second spelling.
        if let Ok(up) = Up::parse(&plain) { prop_assert_eq!(up.encode().unwrap(), plain.clone()); }
        if let Ok(down) = Down::parse(&plain) { prop_assert_eq!(down.encode().unwrap(), plain); }
    }

    #[test]
    fn a_cut_word_is_refused(up in any_up(), cut in any::<prop::sample::Index>()) {
        let plain = up.encode().unwrap();
        prop_assert!(Up::parse(&plain[..cut.index(plain.len())]).is_err());
    }
}

#[test]
fn each_bound_is_held_on_both_sides() {
    let status = |hardware: &str, chunk_bytes_max| {
        Up::Status(Status {
            willing: true,
            battery: Battery::Mains,
            chunk_bytes_max,
            version: Version::default(),
            counter: 0,
            phase: Phase::Idle,
            have: 0,
            release: [0; 32],
            hardware: hardware.to_string(),
            component: "c".to_string(),
        })
    };
    for bad in [status("", 64), status("a b", 64), status(&"h".repeat(33), 64), status("h", 63), status("h", 4_097)] {
        assert!(matches!(bad.encode(), Err(FirmwareError::Field(_))), "{bad:?}");
    }
    let long = Report { number: 1, release: [0; 32], stage: Stage::Booted, reason: Reason::NONE, text: "x".repeat(65) };
    assert_eq!(Up::Report(long).encode(), Err(FirmwareError::Field("text")));
    let chunk = |hashes, bytes| {
        Down::Chunk(Chunk {
            digest: [0; 32],
            offset: 0,
            proof: alloc::vec![[0; 32]; hashes],
            bytes: alloc::vec![0; bytes],
        })
    };
    assert_eq!(chunk(19, 1).encode(), Err(FirmwareError::Field("proof")));
    assert_eq!(chunk(0, 0).encode(), Err(FirmwareError::Field("bytes")));
    assert_eq!(chunk(0, 4_097).encode(), Err(FirmwareError::Field("bytes")));
    assert_eq!(Down::Offer(Vec::new()).encode(), Err(FirmwareError::Field("manifest")));
    assert_eq!(Down::Offer(alloc::vec![0; 4_097]).encode(), Err(FirmwareError::Field("manifest")));
    // The longest word fits a frame with room to spare.
    assert!(chunk(18, 4_096).encode().unwrap().len() < crate::PLAIN_BYTES_MAX);
    // A success with a reason, and a failure without one, are neither.
    let mut failed =
        Report { number: 1, release: [0; 32], stage: Stage::Failed, reason: Reason::NONE, text: String::new() };
    assert_eq!(Up::parse(&Up::Report(failed.clone()).encode().unwrap()), Err(FirmwareError::Field("reason")));
    failed.reason = Reason::FLASH;
    assert!(Up::parse(&Up::Report(failed).encode().unwrap()).is_ok());
}

#[test]
fn words_are_told_apart_by_side_form_and_kind() {
    assert_eq!(Up::parse(&[2, 1]), Err(FirmwareError::Form(2)));
    assert_eq!(Up::parse(&[1, 0x81, 0]), Err(FirmwareError::Kind(0x81)));
    assert_eq!(Down::parse(&[1, 1]), Err(FirmwareError::Kind(1)));
    assert_eq!(Down::parse(&[1]), Err(FirmwareError::Length(1)));
}
