//! Which groups of a content somebody has.
//!
//! ```text
//! 0        1                  9
//! +--------+------------------+----------------------------+
//! | 1      | size, big endian | one bit a group            |
//! +--------+------------------+----------------------------+
//! ```
//!
//! Group g is bit `g mod 8`, from the least significant, of byte `g div 8`; bits beyond the last group are zero.

use super::{GroupIndex, Shape, Span};

const VERSION: u8 = 1;
const HEAD: usize = 9;

/// A set of groups of one content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Groups {
    shape: Shape,
    bits: Vec<u8>,
    count: u32,
}

/// Why bytes are no set of groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GroupsError {
    /// Too short, too long, or of another version.
    #[error("not a bitmap of groups: wrong length or version")]
    Form,
    /// Of a content of another size.
    #[error("a bitmap for {0} bytes, which is not the content's size")]
    Size(u64),
    /// Bits beyond the last group.
    #[error("a bitmap with groups beyond the end of the content")]
    Beyond,
}

impl Groups {
    /// None of them.
    pub fn none(shape: Shape) -> Self {
        Self { shape, bits: vec![0; shape.groups().div_ceil(8) as usize], count: 0 }
    }

    /// All of them.
    pub fn all(shape: Shape) -> Self {
        let mut groups = Self::none(shape);
        (0..shape.groups()).for_each(|group| groups.insert(GroupIndex(group)));
        groups
    }

    /// Bytes of the encoding.
    pub const fn encoded_bytes(shape: Shape) -> usize {
        HEAD + shape.groups().div_ceil(8) as usize
    }

    /// The content's shape.
    pub const fn shape(&self) -> Shape {
        self.shape
    }

    /// How many.
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// Whether none is missing.
    pub const fn is_all(&self) -> bool {
        self.count == self.shape.groups()
    }

    /// Whether it is one of them.
    pub fn contains(&self, group: GroupIndex) -> bool {
        self.bits.get(group.0 as usize / 8).is_some_and(|byte| byte & (1 << (group.0 % 8)) != 0)
    }

    /// Whether the whole span is.
    pub fn covers(&self, span: Span) -> bool {
        // Byte by byte: a scheduler asks this very often.
        let (first, last) = (span.first().0, span.last().0);
        (first / 8..=last / 8).all(|at| {
            let from = if at == first / 8 { first % 8 } else { 0 };
            let to = if at == last / 8 { last % 8 } else { 7 };
            let wanted = (0xff_u8 << from) & (0xff >> (7 - to));
            self.bits.get(at as usize).is_some_and(|byte| byte & wanted == wanted)
        })
    }

    /// Adds one; a group that does not exist changes nothing.
    pub fn insert(&mut self, group: GroupIndex) {
        if group.0 < self.shape.groups()
            && !self.contains(group)
            && let Some(byte) = self.bits.get_mut(group.0 as usize / 8)
        {
            *byte |= 1 << (group.0 % 8);
            self.count += 1;
        }
    }

    /// Takes one away.
    pub fn remove(&mut self, group: GroupIndex) {
        if self.contains(group)
            && let Some(byte) = self.bits.get_mut(group.0 as usize / 8)
        {
            *byte &= !(1 << (group.0 % 8));
            self.count -= 1;
        }
    }

    /// Those missing, in order.
    pub fn missing(&self) -> impl Iterator<Item = GroupIndex> + '_ {
        (0..self.shape.groups()).map(GroupIndex).filter(|group| !self.contains(*group))
    }

    /// The bytes drawn above.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::encoded_bytes(self.shape));
        bytes.push(VERSION);
        bytes.extend(self.shape.size().to_be_bytes());
        bytes.extend(&self.bits);
        bytes
    }

    /// Reads them for a content whose shape is known.
    ///
    /// # Errors
    /// Another form, another size, or groups that do not exist.
    pub fn decode(shape: Shape, bytes: &[u8]) -> Result<Self, GroupsError> {
        let (head, bits) = bytes.split_at_checked(HEAD).ok_or(GroupsError::Form)?;
        let Some((&VERSION, size)) = head.split_first() else { return Err(GroupsError::Form) };
        let size = u64::from_be_bytes(size.try_into().map_err(|_| GroupsError::Form)?);
        if size != shape.size() {
            return Err(GroupsError::Size(size));
        }
        if bytes.len() != Self::encoded_bytes(shape) {
            return Err(GroupsError::Form);
        }
        let spare = bits.len() * 8 - shape.groups() as usize;
        if spare > 0 && bits.last().is_some_and(|last| last >> (8 - spare) != 0) {
            return Err(GroupsError::Beyond);
        }
        let count = bits.iter().map(|byte| byte.count_ones()).sum();
        Ok(Self { shape, bits: bits.to_vec(), count })
    }
}
