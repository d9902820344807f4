//! Names of tiles and entry bundles (C2SP tlog-tiles): `tile/<L>/<N>[.p/<W>]` and `tile/entries/<N>[.p/<W>]`.

use std::fmt;

/// Hashes in a full tile, and entries in a full bundle.
pub const TILE_WIDTH: u64 = 256;
/// Levels of the tree one tile spans.
pub const TILE_HEIGHT: u8 = 8;
/// The highest level a tile can have in a log of at most 2^63 leaves.
const LEVEL_MAX: u8 = 7;

/// Which kind of tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Hashes at this tile level; level 0 holds leaf hashes.
    Hashes(u8),
    /// The entries themselves.
    Entries,
}

/// One tile or bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tile {
    /// Which kind.
    pub kind: Kind,
    /// Position within its level.
    pub index: u64,
    /// Hashes or entries in it, 1 to 256; fewer than 256 means partial.
    pub width: u16,
}

impl Tile {
    /// The tile a tree of `size` leaves has at this place; none if the tree does not reach it.
    pub fn of_tree(kind: Kind, index: u64, size: u64) -> Option<Self> {
        let hashes = size >> (u32::from(TILE_HEIGHT) * u32::from(kind.level()));
        let width = hashes.checked_sub(index.checked_mul(TILE_WIDTH)?)?.min(TILE_WIDTH);
        (width > 0).then(|| Self { kind, index, width: u16::try_from(width).unwrap_or(0) })
    }

    /// Every tile and bundle a tree of `size` leaves has that a tree of `since` leaves has not.
    pub fn grown(since: u64, size: u64) -> Vec<Self> {
        let mut tiles = Vec::new();
        for kind in [Kind::Entries].into_iter().chain((0..=LEVEL_MAX).map(Kind::Hashes)) {
            let shift = u32::from(TILE_HEIGHT) * u32::from(kind.level());
            let (old, new) = (since >> shift, size >> shift);
            if new > old {
                let places = old / TILE_WIDTH..=(new - 1) / TILE_WIDTH;
                tiles.extend(places.filter_map(|index| Self::of_tree(kind, index, size)));
            }
        }
        tiles
    }

    /// Whether a tree of `size` leaves has this tile, in this or a greater width: only such tiles are published.
    pub fn is_within(&self, size: u64) -> bool {
        Self::of_tree(self.kind, self.index, size).is_some_and(|tile| tile.width >= self.width)
    }

    /// Whether it holds all it ever will.
    pub const fn is_full(&self) -> bool {
        self.width as u64 == TILE_WIDTH
    }

    /// The same place, full.
    pub const fn full(self) -> Self {
        Self { width: 256, ..self }
    }

    /// Reads a path as it stands in a URL, without leading slash. One tile has one path: anything else is refused.
    pub fn parse(path: &str) -> Option<Self> {
        let rest = path.strip_prefix("tile/")?;
        let (level, rest) = rest.split_once('/')?;
        let kind = if level == "entries" { Kind::Entries } else { Kind::Hashes(level.parse().ok()?) };
        let (place, width) = match rest.split_once(".p/") {
            Some((place, width)) => (place, width.parse().ok().filter(|w| (1..256).contains(w))?),
            None => (rest, 256),
        };
        let mut index: u64 = 0;
        for element in place.split('/') {
            let digits = element.strip_prefix('x').unwrap_or(element);
            if digits.len() != 3 || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            index = index.checked_mul(1_000)?.checked_add(digits.parse().ok()?)?;
        }
        let tile = Self { kind, index, width };
        // Printing again settles leading zeroes, missing `x` and levels out of range.
        (kind.level() <= LEVEL_MAX && tile.to_string() == path).then_some(tile)
    }
}

impl Kind {
    const fn level(self) -> u8 {
        match self {
            Self::Hashes(level) => level,
            Self::Entries => 0,
        }
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Hashes(level) => write!(f, "tile/{level}")?,
            Kind::Entries => write!(f, "tile/entries")?,
        }
        let mut elements = Vec::new();
        let mut rest = self.index;
        while elements.is_empty() || rest > 0 {
            elements.push(rest % 1_000);
            rest /= 1_000;
        }
        for (at, element) in elements.iter().enumerate().rev() {
            write!(f, "/{}{element:03}", if at > 0 { "x" } else { "" })?;
        }
        if self.is_full() { Ok(()) } else { write!(f, ".p/{}", self.width) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_are_as_in_the_specification() {
        let tile = Tile { kind: Kind::Hashes(0), index: 1_234_067, width: 256 };
        assert_eq!(tile.to_string(), "tile/0/x001/x234/067");
        let bundle = Tile { kind: Kind::Entries, index: 0, width: 7 };
        assert_eq!(bundle.to_string(), "tile/entries/000.p/7");
        for bad in [
            "tile/0/0",
            "tile/0/x000/001",
            "tile/00/000",
            "tile/8/000",
            "tile/0/001/002",
            "tile/0/x001",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/07",
            "tile/0/../000",
            "tile/entries/",
            "tile//000",
            "/tile/0/000",
        ] {
            assert_eq!(Tile::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_tree_of_70_000_has_the_tiles_the_specification_counts() {
        let tiles = Tile::grown(0, 70_000);
        let of = |kind| tiles.iter().filter(|t| t.kind == kind).copied().collect::<Vec<_>>();
        assert_eq!(of(Kind::Hashes(0)).iter().filter(|t| t.is_full()).count(), 273);
        assert_eq!(of(Kind::Hashes(0)).last().map(|t| t.width), Some(112));
        assert_eq!(of(Kind::Hashes(1)).iter().map(|t| t.width).collect::<Vec<_>>(), [256, 17]);
        assert_eq!(of(Kind::Hashes(2)).iter().map(|t| t.width).collect::<Vec<_>>(), [1]);
        assert_eq!(Tile::grown(0, 256).len(), 3);
    }

    proptest! {
        #[test]
        fn paths_read_back(index in 0u64..10_000_000_000, level in 0u8..9, width in 1u16..=256) {
            let kind = if level == 8 { Kind::Entries } else { Kind::Hashes(level) };
            let tile = Tile { kind, index, width };
            prop_assert_eq!(Tile::parse(&tile.to_string()), Some(tile));
        }

        #[test]
        fn odd_paths_never_panic(path in "tile/[0-9x./pe]{0,20}") {
            if let Some(tile) = Tile::parse(&path) { prop_assert_eq!(tile.to_string(), path); }
        }
    }
}
