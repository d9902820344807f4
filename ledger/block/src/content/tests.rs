use proptest::prelude::*;

use super::*;

fn bytes(size: u64) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(size).unwrap()];
    blake3::Hasher::new().update(&size.to_be_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

struct Made {
    bytes: Vec<u8>,
    shape: Shape,
    content: ContentId,
    outboard: Vec<u8>,
}

fn made(size: u64) -> Made {
    let (bytes, shape) = (bytes(size), Shape::new(size).unwrap());
    let (content, outboard) = slice::outboard(shape, bytes.as_slice()).unwrap();
    Made { bytes, shape, content, outboard }
}

impl Made {
    fn slice(&self, span: Span) -> Vec<u8> {
        slice::encode(self.content, self.shape, span, &self.bytes[..], &self.outboard[..]).unwrap()
    }

    /// What is taken of a slice that comes in pieces.
    fn read(&self, span: Span, slice: &[u8], piece: usize) -> (Vec<Item>, Result<(), SliceError>) {
        let mut decoder = Decoder::new(self.content, self.shape, span).unwrap();
        let mut items = Vec::new();
        for mut bytes in slice.chunks(piece) {
            loop {
                match decoder.push(&mut bytes) {
                    Ok(Some(item)) => items.push(item),
                    Ok(None) => break,
                    Err(error) => return (items, Err(error)),
                }
            }
        }
        let finished = decoder.finish();
        (items, finished)
    }
}

/// Sizes around every edge of the tree.
fn size() -> impl Strategy<Value = u64> {
    (0u64..40, prop_oneof![Just(0u64), Just(1), Just(1_023), Just(1_024), Just(1_025), Just(16_383), 0u64..16_384])
        .prop_map(|(groups, more)| (groups * GROUP_BYTES + more).max(1))
}

fn span(shape: Shape) -> impl Strategy<Value = Span> {
    (0..shape.groups(), 0..shape.groups()).prop_map(|(a, b)| Span::new(a.min(b), a.max(b)).unwrap())
}

proptest! {
    #[test]
    fn a_slice_gives_its_groups_and_nodes_however_it_is_cut((size, span, piece) in size().prop_flat_map(|size| {
        (Just(size), span(Shape::new(size).unwrap()), 1usize..40_000)
    })) {
        let made = made(size);
        prop_assert_eq!(made.content.0, *blake3::hash(&made.bytes).as_bytes());
        prop_assert_eq!(made.outboard.len() as u64, made.shape.outboard_bytes());
        let slice = made.slice(span);
        prop_assert_eq!(Some(slice.len() as u64), slice::encoded_bytes(made.shape, span));
        let (items, finished) = made.read(span, &slice, piece);
        prop_assert_eq!(finished, Ok(()));
        let mut groups = Vec::new();
        for item in items {
            match item {
                Item::Node { offset, pair } => {
                    let at = usize::try_from(offset).unwrap();
                    prop_assert_eq!(&made.outboard[at..at + 64], &pair);
                }
                Item::Group { index, bytes } => {
                    let at = usize::try_from(made.shape.offset(index)).unwrap();
                    prop_assert_eq!(&made.bytes[at..at + bytes.len()], &bytes[..]);
                    prop_assert_eq!(bytes.len() as u64, made.shape.group_bytes(index));
                    groups.push(index);
                }
            }
        }
        prop_assert_eq!(groups, span.groups().collect::<Vec<_>>());
    }

    #[test]
    fn one_changed_bit_is_found_and_nothing_after_it_is_taken((size, span, at) in size().prop_flat_map(|size| {
        (Just(size), span(Shape::new(size).unwrap()), any::<prop::sample::Index>())
    })) {
        let made = made(size);
        let mut slice = made.slice(span);
        let at = at.index(slice.len());
        slice[at] ^= 1;
        let (items, finished) = made.read(span, &slice, 4_096);
        prop_assert!(matches!(finished, Err(SliceError::WrongBytes(_) | SliceError::WrongHashes(_))), "{:?}", finished);
        for item in items {
            if let Item::Group { index, bytes } = item {
                let at = usize::try_from(made.shape.offset(index)).unwrap();
                prop_assert_eq!(&made.bytes[at..at + bytes.len()], &bytes[..]);
            }
        }
    }

    #[test]
    fn groups_read_as_written(size in size(), picked in prop::collection::vec(any::<u16>(), 0..60)) {
        let shape = Shape::new(size).unwrap();
        let mut groups = Groups::none(shape);
        picked.iter().for_each(|group| groups.insert(GroupIndex(u32::from(*group) % shape.groups())));
        prop_assert_eq!(Groups::decode(shape, &groups.encode()).unwrap(), groups.clone());
        for first in 0..shape.groups().min(20) {
            for span in (first..shape.groups()).filter_map(|last| Span::new(first, last)) {
                prop_assert_eq!(groups.covers(span), span.groups().all(|group| groups.contains(group)));
            }
        }
        prop_assert_eq!(groups.missing().count() as u32 + groups.count(), shape.groups());
    }

    #[test]
    fn no_bytes_make_the_readers_stumble(noise in prop::collection::vec(any::<u8>(), 0..600), size in size()) {
        let made = made(size);
        let whole = Span::new(0, made.shape.groups() - 1).unwrap();
        let (items, _) = made.read(whole, &noise, 7);
        prop_assert!(items.is_empty());
        if let Ok(groups) = Groups::decode(made.shape, &noise) {
            prop_assert_eq!(groups.encode(), noise);
        }
    }
}

#[test]
fn a_slice_that_ends_early_or_goes_on_is_refused() {
    let made = made(100_000);
    let span = Span::new(1, 3).unwrap();
    let mut slice = made.slice(span);
    let (_, finished) = made.read(span, &slice[..slice.len() - 1], 1_000);
    assert_eq!(finished, Err(SliceError::Truncated(1)));
    slice.push(0);
    assert_eq!(made.read(span, &slice, 1_000).1, Err(SliceError::Endless));
    let other = made.slice(Span::new(2, 4).unwrap());
    assert!(made.read(span, &other, 1_000).1.is_err(), "groups that were not asked for");
}

#[test]
fn a_store_whose_bytes_rotted_is_not_served() {
    let mut made = made(100_000);
    made.bytes[40_000] ^= 1;
    let rotten = slice::encode(made.content, made.shape, Span::new(2, 2).unwrap(), &made.bytes[..], &made.outboard[..]);
    assert!(rotten.is_err());
    assert!(!made.slice(Span::new(3, 3).unwrap()).is_empty(), "its neighbour is");
}

#[test]
fn a_bitmap_of_another_size_or_with_groups_beyond_the_end_is_refused() {
    let shape = Shape::new(GROUP_BYTES * 9).unwrap();
    let mut bytes = Groups::all(shape).encode();
    assert!(Groups::decode(shape, &bytes).unwrap().is_all());
    assert_eq!(Groups::decode(Shape::new(5).unwrap(), &bytes), Err(GroupsError::Size(GROUP_BYTES * 9)));
    assert_eq!(Groups::decode(shape, &bytes[..10]), Err(GroupsError::Form));
    *bytes.last_mut().unwrap() |= 2;
    assert_eq!(Groups::decode(shape, &bytes), Err(GroupsError::Beyond));
    assert_eq!((Shape::new(0), Shape::new(SIZE_MAX + 1)), (None, None));
}

#[test]
fn a_request_has_one_spelling() {
    let content = ContentId([0xab; 32]);
    for ask in [Ask::Held(content), Ask::Slice(content, Span::new(7, 70).unwrap())] {
        let text = ask.to_string();
        let (path, query) = text.split_once('?').map_or((text.as_str(), None), |(path, query)| (path, Some(query)));
        assert_eq!(Ask::parse(path, query), Ok(ask));
    }
    let path = format!("/content/{content}");
    for query in
        ["", "groups=", "groups=1", "groups=01-2", "groups=+1-2", "groups=2-1", "groups=0-64", "groups=1-2&x=1"]
    {
        assert_eq!(Ask::parse(&path, Some(query)), Err(AskError::Groups), "{query}");
    }
    assert_eq!(Ask::parse(&path, None), Err(AskError::Path));
    assert_eq!(Ask::parse(&format!("{path}/held"), Some("x")), Err(AskError::Path));
    assert!(Ask::parse(&path.to_uppercase().replace("/CONTENT", "/content"), Some("groups=1-2")).is_err());
    assert!(Ask::parse("/content/../keys/held", None).is_err());
}
