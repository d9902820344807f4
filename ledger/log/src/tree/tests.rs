use super::*;
use crate::objects::MemoryObjects;
use ledger_block::merkle::{consistency_proof, inclusion_proof, leaf_hash, root};
use proptest::prelude::*;

fn entry(place: u64) -> Vec<u8> {
    let length = usize::try_from(place % 7).unwrap();
    [place.to_be_bytes().as_slice(), &[9u8; 8][..length]].concat()
}

fn grow(objects: &MemoryObjects, from: u64, to: u64) -> Hash {
    let mut growth = Growth::new(objects, from);
    for place in from..to {
        growth.push(entry(place), leaf_hash(&entry(place))).unwrap();
    }
    let root = growth.root().unwrap();
    let tiles = growth.objects().unwrap();
    objects.put_all(&tiles).unwrap();
    root
}

fn leaves(size: u64) -> Vec<Hash> {
    (0..size).map(|place| leaf_hash(&entry(place))).collect()
}

fn index(n: u64) -> usize {
    usize::try_from(n).unwrap()
}

#[test]
fn a_tree_of_more_than_65_536_leaves_reaches_the_second_level_of_tiles() {
    let objects = MemoryObjects::default();
    let size = 65_536 + 300;
    grow(&objects, 0, 65_000);
    let top = grow(&objects, 65_000, size);
    let all = leaves(size);
    assert_eq!(top, root(&all));
    let mut tree = TileTree::new(&objects, size);
    assert_eq!(tree.root(65_536).unwrap(), root(&all[..65_536]));
    assert_eq!(tree.inclusion(3, size).unwrap(), inclusion_proof(&all, 3).unwrap());
    assert!(objects.get("tile/2/000.p/1").unwrap().is_some());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn tiles_agree_with_a_tree_in_memory(steps in prop::collection::vec(1u64..270, 1..6), pick in any::<u64>()) {
        let objects = MemoryObjects::default();
        let mut size = 0;
        for step in steps {
            let top = grow(&objects, size, size + step);
            size += step;
            prop_assert_eq!(top, root(&leaves(size)));
        }
        let all = leaves(size);
        let mut tree = TileTree::new(&objects, size);
        let at = pick % size;
        prop_assert_eq!(tree.inclusion(at, size).unwrap(), inclusion_proof(&all, at).unwrap());
        let old = pick % size + 1;
        prop_assert_eq!(tree.consistency(old, size).unwrap(), consistency_proof(&all, old).unwrap());
        prop_assert_eq!(tree.root(old).unwrap(), root(&all[..index(old)]));
        // Proofs for an earlier size come from the same tiles.
        prop_assert_eq!(tree.inclusion(old - 1, old).unwrap(), inclusion_proof(&all[..index(old)], old - 1).unwrap());
    }

    #[test]
    fn bundles_hold_the_entries_in_order(first in 1u64..300, more in 1u64..300) {
        let objects = MemoryObjects::default();
        grow(&objects, 0, first);
        grow(&objects, first, first + more);
        let size = first + more;
        let mut place = 0;
        for tile in (0..).map_while(|index| Tile::of_tree(Kind::Entries, index, size)) {
            let bundle = objects.get(&tile.to_string()).unwrap().unwrap();
            for held in crate::bundle::entries(&bundle).unwrap() {
                prop_assert_eq!(held, entry(place));
                place += 1;
            }
        }
        prop_assert_eq!(place, size);
    }

    #[test]
    fn a_tidied_partial_tile_is_cut_from_the_full_one(width in 1u16..256) {
        let objects = MemoryObjects::default();
        grow(&objects, 0, 256);
        for kind in [Kind::Entries, Kind::Hashes(0)] {
            let tile = Tile { kind, index: 0, width };
            let cut = read_tile(&objects, tile).unwrap().unwrap();
            let other = MemoryObjects::default();
            grow(&other, 0, u64::from(width));
            prop_assert_eq!(Some(cut), other.get(&tile.to_string()).unwrap());
        }
    }
}
