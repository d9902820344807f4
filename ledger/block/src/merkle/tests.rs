use data_encoding::HEXLOWER;
use proptest::prelude::*;

use super::*;

/// The eight leaves and roots of the Certificate Transparency reference implementation.
const PUBLISHED: &str = include_str!("../../vectors/rfc6962.txt");

fn hex(text: &str) -> Vec<u8> {
    HEXLOWER.decode(text.as_bytes()).unwrap()
}

#[test]
fn the_published_roots_come_out() {
    let mut leaves = Vec::new();
    let mut seen = 0;
    for line in PUBLISHED.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (kind, rest) = line.split_once(' ').unwrap();
        match kind {
            "leaf" => leaves.push(leaf_hash(&hex(rest.trim_matches('"')))),
            "root" => {
                let (size, root_hex) = rest.split_once(' ').unwrap();
                let size: usize = size.parse().unwrap();
                assert_eq!(HEXLOWER.encode(&root(&leaves[..size])), root_hex, "size {size}");
                seen += 1;
            }
            "inclusion" => {
                let mut words = rest.split(' ');
                let (index, size): (u64, usize) =
                    (words.next().unwrap().parse().unwrap(), words.next().unwrap().parse().unwrap());
                let want: Vec<String> = words.map(str::to_owned).collect();
                let have: Vec<String> =
                    inclusion_proof(&leaves[..size], index).unwrap().iter().map(|h| HEXLOWER.encode(h)).collect();
                assert_eq!(have, want, "inclusion of {index} in {size}");
                seen += 1;
            }
            "consistency" => {
                let mut words = rest.split(' ');
                let (old, new): (u64, usize) =
                    (words.next().unwrap().parse().unwrap(), words.next().unwrap().parse().unwrap());
                let want: Vec<String> = words.map(str::to_owned).collect();
                let have: Vec<String> =
                    consistency_proof(&leaves[..new], old).unwrap().iter().map(|h| HEXLOWER.encode(h)).collect();
                assert_eq!(have, want, "consistency of {old} and {new}");
                seen += 1;
            }
            other => panic!("unknown line {other}"),
        }
    }
    assert_eq!(seen, 17);
}

/// RFC 6962's recursive definition, word for word, to compare with.
fn slow_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [one] => *one,
        many => {
            let k = many.len().next_power_of_two() / 2;
            node_hash(&slow_root(&many[..k]), &slow_root(&many[k..]))
        }
    }
}

fn numbered(n: usize) -> Vec<Hash> {
    (0..n).map(|i| leaf_hash(&i.to_be_bytes())).collect()
}

#[test]
fn every_leaf_of_every_small_tree_is_proven_and_no_other_place_is() {
    for n in 1..40usize {
        let leaves = numbered(n);
        let root = root(&leaves);
        assert_eq!(root, slow_root(&leaves));
        for i in 0..n {
            let path = inclusion_proof(&leaves, i as u64).unwrap();
            for other in 0..n as u64 {
                let verdict = verify_inclusion(&leaves[i], other, n as u64, &path, &root);
                assert_eq!(verdict.is_ok(), other == i as u64, "leaf {i} told as {other} of {n}");
            }
        }
        assert_eq!(
            verify_inclusion(&leaves[0], n as u64, n as u64, &[], &root),
            Err(ProofError::OutOfTree { index: n as u64, size: n as u64 })
        );
    }
}

#[test]
fn every_prefix_of_every_small_tree_is_consistent_and_no_forked_one_is() {
    for n in 0..33usize {
        let leaves = numbered(n);
        let mut forked = leaves.clone();
        if let Some(first) = forked.first_mut() {
            *first = leaf_hash(b"forked");
        }
        for m in 0..=n {
            let path = consistency_proof(&leaves, m as u64).unwrap();
            let (old, new) = (root(&leaves[..m]), root(&leaves));
            assert_eq!(verify_consistency(m as u64, n as u64, &old, &new, &path), Ok(()), "{m} to {n}");
            if m > 0 {
                let bad = root(&forked[..m]);
                assert!(verify_consistency(m as u64, n as u64, &bad, &new, &path).is_err(), "fork {m} to {n}");
            }
            for i in 0..path.len() {
                let mut broken = path.clone();
                broken[i][0] ^= 1;
                assert!(verify_consistency(m as u64, n as u64, &old, &new, &broken).is_err());
            }
        }
    }
}

#[test]
fn a_counted_root_differs_by_count() {
    let hash = leaf_hash(b"x");
    assert_ne!(counted_root(1, &hash), counted_root(2, &hash));
}

proptest! {
    #[test]
    fn a_frontier_knows_the_root_of_all_it_was_given(n in 0usize..300) {
        let leaves = numbered(n);
        let mut frontier = Frontier::new();
        for leaf in &leaves {
            frontier.push(*leaf);
        }
        prop_assert_eq!(frontier.root(), root(&leaves));
        prop_assert_eq!(Frontier::from_parts(n as u64, frontier.edge().to_vec()), Ok(frontier));
    }

    #[test]
    fn ranges_fold_to_the_hashes_of_the_proof(n in 2usize..200, at in any::<prop::sample::Index>()) {
        let leaves = numbered(n);
        let index = at.index(n);
        let whole = |part: &Subtree| {
            let (start, width) = ((part.index as usize) << part.level, 1usize << part.level);
            root(&leaves[start..start + width])
        };
        let hashes: Vec<Hash> = inclusion_ranges(index as u64, n as u64)
            .into_iter()
            .map(|range| fold(&subtrees(range).iter().map(whole).collect::<Vec<_>>()))
            .collect();
        prop_assert_eq!(&hashes, &inclusion_proof(&leaves, index as u64).unwrap());
        let hashes: Vec<Hash> = consistency_ranges(index as u64, n as u64)
            .into_iter()
            .map(|range| fold(&subtrees(range).iter().map(whole).collect::<Vec<_>>()))
            .collect();
        prop_assert_eq!(&hashes, &consistency_proof(&leaves, index as u64).unwrap());
    }
}
