use super::*;
use alloc::vec;
use proptest::prelude::*;

fn receipt() -> impl Strategy<Value = Receipt> {
    let range = (any::<u64>(), any::<u64>(), 1u16..).prop_map(|(epoch, first, count)| Range {
        epoch: Epoch(epoch),
        first: Seq(first),
        count,
    });
    let refusal =
        (any::<u64>(), any::<u64>(), any::<u8>(), "[a-zäöü ]{0,40}").prop_map(|(epoch, seq, reason, text)| Refusal {
            epoch: Epoch(epoch),
            seq: Seq(seq),
            reason: Reason(reason),
            text,
        });
    let level = prop_oneof![Just(Level::R0), Just(Level::R1), Just(Level::R2), Just(Level::R3)];
    (level, proptest::collection::vec(range, 0..1200), proptest::collection::vec(refusal, 0..300))
        .prop_map(|(level, ranges, refused)| Receipt { level, ranges, refused })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn pages_read_back_in_order_and_each_fits_a_frame(receipt in receipt()) {
        let mut whole = Receipt { level: receipt.level, ..Receipt::default() };
        for page in receipt.pages() {
            prop_assert!(page.len() <= PLAIN_BYTES_MAX);
            let read = Receipt::parse(&page).unwrap();
            prop_assert!(!read.is_empty());
            whole.ranges.extend(read.ranges);
            whole.refused.extend(read.refused);
        }
        prop_assert_eq!(whole, receipt);
    }

    #[test]
    fn any_bytes_are_a_receipt_or_refused(plain in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(receipt) = Receipt::parse(&plain) && !receipt.is_empty() {
            prop_assert_eq!(receipt.pages().collect::<Vec<_>>(), vec![plain]);
        }
    }
}

#[test]
fn messages_in_order_become_one_range() {
    let mut receipt = Receipt::default();
    for seq in [5u64, 6, 7, 9, 10] {
        receipt.add(1u64, seq);
    }
    receipt.add(2u64, 11u64);
    let counts: Vec<_> = receipt.ranges.iter().map(|r| (r.epoch.0, r.first.0, r.count)).collect();
    assert_eq!(counts, [(1, 5, 3), (1, 9, 2), (2, 11, 1)]);
}

#[test]
fn a_long_text_is_cut_at_a_character() {
    let mut receipt = Receipt::default();
    receipt.refuse(1u64, 1u64, Reason::OTHER, &"aä".repeat(60));
    assert_eq!(receipt.refused[0].text.len(), 96);
    receipt.refuse(1u64, 2u64, Reason::OTHER, &"äa".repeat(60));
    let page = receipt.pages().next().unwrap();
    assert_eq!(Receipt::parse(&page), Ok(receipt));
}

#[test]
fn a_receipt_cut_anywhere_is_refused() {
    let mut receipt = Receipt::default();
    receipt.add(1u64, 1u64);
    receipt.refuse(1u64, 2u64, Reason::MALFORMED, "no base time");
    let page = receipt.pages().next().unwrap();
    for end in 0..page.len() {
        assert_eq!(Receipt::parse(&page[..end]), Err(ReceiptError::Length), "{end}");
    }
}
