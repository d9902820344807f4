//! Bytes to frames, lines or packets. Holds at most one of them, or one message of packets, whatever comes.

use bytes::Bytes;
use pitchside_wire::cobs;

use super::Speaks;
use super::packets::Packets;

/// The longest line of a wired device, in bytes without its end.
pub const LINE_BYTES_MAX: usize = 16 * 1024;

/// Cuts a stream into what is spoken on it.
pub(crate) enum Splitter {
    Frames(cobs::Decoder),
    Lines(Lines),
    Packets(Packets),
}

impl Splitter {
    pub(crate) fn new(speaks: &Speaks) -> Self {
        match speaks {
            Speaks::Ps1 => Self::Frames(cobs::Decoder::default()),
            Speaks::Lines { .. } => Self::Lines(Lines::default()),
            Speaks::Packets { form, .. } => Self::Packets(Packets::new(form.clone())),
        }
    }

    /// Takes the next bytes and hands over each frame, line or message of packets that ends in them; how many were lost to noise or
    /// length.
    pub(crate) fn split(&mut self, bytes: &[u8], mut each: impl FnMut(Bytes)) -> u64 {
        let mut lost = 0;
        match self {
            Self::Frames(decoder) => decoder.push(bytes, |frame| match frame {
                Ok(frame) => each(Bytes::copy_from_slice(frame)),
                Err(_) => lost += 1,
            }),
            Self::Lines(lines) => lost += lines.split(bytes, each),
            Self::Packets(packets) => lost += packets.split(bytes, each),
        }
        lost
    }

    /// Whether something whole waits for what may not come.
    pub(crate) fn waits(&self) -> bool {
        match self {
            Self::Frames(_) | Self::Lines(_) => false,
            Self::Packets(packets) => packets.waits(),
        }
    }

    /// What waits.
    pub(crate) fn flush(&mut self) -> Option<Bytes> {
        match self {
            Self::Frames(_) | Self::Lines(_) => None,
            Self::Packets(packets) => packets.flush(),
        }
    }
}

/// Lines ended by LF or CR LF; empty ones are passed over.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    line: Vec<u8>,
    /// The line in progress is too long: what is left of it is passed over.
    overlong: bool,
}

impl Lines {
    fn split(&mut self, bytes: &[u8], mut each: impl FnMut(Bytes)) -> u64 {
        let mut lost = 0;
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (piece, ended) = match piece.split_last() {
                Some((b'\n', piece)) => (piece, true),
                _ => (piece, false),
            };
            if !self.overlong && self.line.len() + piece.len() > LINE_BYTES_MAX + 1 {
                self.overlong = true;
                self.line.clear();
                lost += 1;
            }
            if !self.overlong {
                self.line.extend_from_slice(piece);
            }
            if ended {
                let line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
                if line.len() > LINE_BYTES_MAX {
                    lost += 1;
                } else if !line.is_empty() {
                    each(Bytes::copy_from_slice(line));
                }
                self.line.clear();
                self.overlong = false;
            }
        }
        lost
    }
}

/// Appends a frame as it goes on the line.
pub(crate) fn encode(frame: &[u8], line: &mut Vec<u8>) {
    cobs::encode(frame, line);
}

#[cfg(test)]
mod tests {
    use super::*;
    use pitchside_model::DeviceId;
    use proptest::prelude::*;

    fn lines() -> Splitter {
        Splitter::new(&Speaks::Lines { device: DeviceId::parse("d").unwrap() })
    }

    /// Feeds the stream in pieces of the given lengths.
    fn split(mut splitter: Splitter, stream: &[u8], pieces: &[usize]) -> (Vec<Bytes>, u64) {
        let (mut found, mut lost, mut rest) = (Vec::new(), 0, stream);
        for piece in pieces.iter().chain([&usize::MAX]) {
            let (now, later) = rest.split_at((*piece).min(rest.len()));
            lost += splitter.split(now, |unit| found.push(unit));
            rest = later;
        }
        (found, lost)
    }

    #[test]
    fn lines_end_in_lf_or_crlf_and_empty_ones_are_passed_over() {
        let (found, lost) = split(lines(), b"a\r\n\n\r\nb\nrest", &[]);
        assert_eq!((found, lost), (vec![Bytes::from("a"), Bytes::from("b")], 0));
    }

    #[test]
    fn a_line_without_end_is_not_kept_and_the_next_one_is_read() {
        let mut stream = vec![b'x'; LINE_BYTES_MAX * 3];
        stream.extend_from_slice(b"\nok\n");
        stream.extend(vec![b'y'; LINE_BYTES_MAX]);
        stream.extend_from_slice(b"\r\n");
        let (found, lost) = split(lines(), &stream, &[1000; 40]);
        assert_eq!(lost, 1);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0], "ok");
        assert_eq!(found[1].len(), LINE_BYTES_MAX);
    }

    proptest! {
        #[test]
        fn a_stream_split_anywhere_gives_the_same_lines(
            stream in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'a')], 0..300),
            pieces in prop::collection::vec(0usize..20, 0..40),
        ) {
            prop_assert_eq!(split(lines(), &stream, &pieces), split(lines(), &stream, &[]));
        }

        #[test]
        fn frames_come_through_split_anywhere_and_after_any_noise(
            noise: Vec<u8>,
            frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 0..5),
            pieces in prop::collection::vec(0usize..50, 0..40),
        ) {
            let mut stream = noise;
            stream.push(0);
            for frame in &frames {
                encode(frame, &mut stream);
            }
            let (found, _) = split(Splitter::new(&Speaks::Ps1), &stream, &pieces);
            prop_assert!(found.len() >= frames.len());
            for (frame, found) in frames.iter().rev().zip(found.iter().rev()) {
                prop_assert_eq!(frame, found.as_ref());
            }
        }
    }
}
