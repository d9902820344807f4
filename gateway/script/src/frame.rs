//! Frames on the socket pair between parent and worker.
//!
//! ```text
//! +----------------+--------+---------------+---------------------+
//! | length u32 LE  | kind   | number u32 LE | body                |
//! +----------------+--------+---------------+---------------------+
//!   of all behind    1 byte   4 bytes         length - 5 bytes
//! ```
//!
//! The number is the request's: an answer or a note that bears another belongs to no call, and whoever sends one is broken.

/// The parent's first frame: postcard of `WorkerLimits`.
pub(crate) const HELLO: u8 = 0;
/// The child's first frame: the jail is closed. Empty.
pub(crate) const READY: u8 = 1;
/// A request.
pub(crate) const REQUEST: u8 = 2;
/// Its answer.
pub(crate) const ANSWER: u8 = 3;
/// A note by which the parent learns what ran if the child dies: UTF-8 text.
pub(crate) const NOTE: u8 = 4;
/// The child cannot serve: UTF-8 reason.
pub(crate) const UNFIT: u8 = 5;

/// Bytes before the body.
pub(crate) const HEADER_BYTES: usize = 9;
/// Those of them that the length counts.
const COUNTED: u32 = 5;

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// Which of the kinds above.
    pub kind: u8,
    /// Which request it is, or belongs to; 0 before the first.
    pub number: u32,
    /// Bytes of the body.
    pub body: usize,
}

/// The header of a frame; `None` if the body is longer than `frame_bytes`.
pub(crate) fn header(kind: u8, number: u32, body: usize, frame_bytes: u32) -> Option<[u8; HEADER_BYTES]> {
    let body = u32::try_from(body).ok().filter(|n| *n <= frame_bytes)?;
    let [a, b, c, d] = body.checked_add(COUNTED)?.to_le_bytes();
    let [e, f, g, h] = number.to_le_bytes();
    Some([a, b, c, d, kind, e, f, g, h])
}

/// What a header says; `None` if the body is longer than `frame_bytes`, or the length leaves no room for what it counts.
pub(crate) fn parse([a, b, c, d, kind, e, f, g, h]: [u8; HEADER_BYTES], frame_bytes: u32) -> Option<Header> {
    let body = u32::from_le_bytes([a, b, c, d]).checked_sub(COUNTED).filter(|n| *n <= frame_bytes)?;
    Some(Header { kind, number: u32::from_le_bytes([e, f, g, h]), body: usize::try_from(body).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn headers_read_back_and_stay_bounded(kind: u8, number: u32, body in 0usize..2_000, bound in 0u32..1_000) {
            match header(kind, number, body, bound) {
                Some(bytes) => proptest::prop_assert_eq!(parse(bytes, bound), Some(Header { kind, number, body })),
                None => proptest::prop_assert!(body > bound as usize),
            }
        }
    }

    #[test]
    fn a_length_that_leaves_no_room_for_kind_and_number_is_refused() {
        for short in 0..5 {
            assert_eq!(parse([short, 0, 0, 0, ANSWER, 0, 0, 0, 0], 100), None);
        }
        assert!(parse([5, 0, 0, 0, ANSWER, 0, 0, 0, 0], 100).is_some());
        assert_eq!(parse([255, 255, 255, 255, ANSWER, 0, 0, 0, 0], 100), None);
    }
}
