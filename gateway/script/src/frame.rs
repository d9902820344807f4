//! Frames on the socket pair between parent and worker.
//!
//! ```text
//! +----------------+--------+---------------------+
//! | length u32 LE  | kind   | body                |
//! +----------------+--------+---------------------+
//!   of kind + body   1 byte   length - 1 bytes
//! ```

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
pub(crate) const HEADER_BYTES: usize = 5;

/// The header of a frame; `None` if the body is longer than `frame_bytes`.
pub(crate) fn header(kind: u8, body: usize, frame_bytes: u32) -> Option<[u8; HEADER_BYTES]> {
    let body = u32::try_from(body).ok().filter(|n| *n <= frame_bytes)?;
    let [a, b, c, d] = body.checked_add(1)?.to_le_bytes();
    Some([a, b, c, d, kind])
}

/// Kind and body length of a header; `None` if it is longer than `frame_bytes` or empty.
pub(crate) fn parse([a, b, c, d, kind]: [u8; HEADER_BYTES], frame_bytes: u32) -> Option<(u8, usize)> {
    let body = u32::from_le_bytes([a, b, c, d]).checked_sub(1).filter(|n| *n <= frame_bytes)?;
    Some((kind, usize::try_from(body).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn headers_read_back_and_stay_bounded(kind: u8, body in 0usize..2_000, bound in 0u32..1_000) {
            match header(kind, body, bound) {
                Some(bytes) => proptest::prop_assert_eq!(parse(bytes, bound), Some((kind, body))),
                None => proptest::prop_assert!(body > bound as usize),
            }
        }
    }

    #[test]
    fn a_length_of_zero_is_refused() {
        assert_eq!(parse([0, 0, 0, 0, ANSWER], 100), None);
        assert_eq!(parse([255, 255, 255, 255, ANSWER], 100), None);
    }
}
