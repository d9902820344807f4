//! What boxes and ledgers ask and answer about contents.
#![no_main]

use ledger_block::content::{Ask, ContentId, Decoder, Groups, Shape, Span};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let (path, query) = text.split_once('?').map_or((text, None), |(path, query)| (path, Some(query)));
        // There is one spelling of each request.
        if let Ok(ask) = Ask::parse(path, query) {
            assert_eq!(ask.to_string(), text);
        }
    }
    let Some((head, rest)) = bytes.split_at_checked(12) else { return };
    let word = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let Some(shape) = Shape::new(u64::from(word(0)) % (1 << 22)) else { return };
    if let Ok(groups) = Groups::decode(shape, rest) {
        assert_eq!(groups.encode(), rest);
        assert_eq!(groups.missing().count() as u32 + groups.count(), shape.groups());
    }
    // Nobody finds bytes that hash to this name: nothing is ever verified, however it is cut.
    let Some(span) = Span::new(word(4) % 300, word(8) % 300) else { return };
    let Some(mut decoder) = Decoder::new(ContentId([7; 32]), shape, span) else { return };
    for piece in rest.chunks(97) {
        let mut piece = piece;
        while let Ok(Some(item)) = decoder.push(&mut piece) {
            panic!("verified: {item:?}");
        }
    }
    assert!(decoder.finish().is_err());
});
