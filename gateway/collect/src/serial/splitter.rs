//! Bytes to frames, lines or packets. Holds at most one of them, or one message of packets, whatever comes.

use std::mem::take;

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

    /// Takes the next bytes and hands over each frame, line or message of packets that ends in them, and how many lines were
    /// lost just before it; how many were lost now to noise or length.
    pub(crate) fn split(&mut self, bytes: &[u8], mut each: impl FnMut(Bytes, u64)) -> u64 {
        let mut lost = 0;
        match self {
            Self::Frames(decoder) => decoder.push(bytes, |frame| match frame {
                Ok(frame) => each(Bytes::copy_from_slice(frame), 0),
                Err(_) => lost += 1,
            }),
            Self::Lines(lines) => lost += lines.split(bytes, each),
            Self::Packets(packets) => lost += packets.split(bytes, |message| each(message, 0)),
        }
        lost
    }

    /// Whether something whole, or a loss, waits for what may not come.
    pub(crate) fn waits(&self) -> bool {
        match self {
            Self::Frames(_) => false,
            Self::Lines(lines) => lines.untold > 0,
            Self::Packets(packets) => packets.waits(),
        }
    }

    /// What waits. Of lines that is a loss alone, without bytes.
    pub(crate) fn flush(&mut self) -> Option<(Bytes, u64)> {
        match self {
            Self::Frames(_) => None,
            Self::Lines(lines) => (lines.untold > 0).then(|| (Bytes::new(), take(&mut lines.untold))),
            Self::Packets(packets) => packets.flush().map(|message| (message, 0)),
        }
    }
}

/// What is found in a stream that comes in these pieces and then ends, how many lines were lost before each, and how often
/// something was passed over in all: for the fuzz targets, for the splitter is not to be seen from outside.
#[doc(hidden)]
pub fn split_all<'a>(speaks: &Speaks, pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<(Bytes, u64)>, u64) {
    let (mut splitter, mut found) = (Splitter::new(speaks), Vec::new());
    let lost = pieces.into_iter().map(|piece| splitter.split(piece, |unit, dropped| found.push((unit, dropped)))).sum();
    found.extend(splitter.flush());
    (found, lost)
}

/// Lines ended by LF or CR LF; empty ones are passed over.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    line: Vec<u8>,
    /// The line in progress is too long: what is left of it is passed over.
    overlong: bool,
    /// Lines that were too long, and went with no other yet.
    untold: u64,
}

impl Lines {
    fn split(&mut self, bytes: &[u8], mut each: impl FnMut(Bytes, u64)) -> u64 {
        let mut lost = 0;
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (piece, ended) = match piece.split_last() {
                Some((b'\n', piece)) => (piece, true),
                _ => (piece, false),
            };
            if !self.overlong && self.line.len() + piece.len() > LINE_BYTES_MAX + 1 {
                self.overlong = true;
                self.line.clear();
                self.untold += 1;
                lost += 1;
            }
            if !self.overlong {
                self.line.extend_from_slice(piece);
            }
            if ended {
                let line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
                if line.len() > LINE_BYTES_MAX {
                    self.untold += 1;
                    lost += 1;
                } else if !line.is_empty() {
                    each(Bytes::copy_from_slice(line), take(&mut self.untold));
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

    fn lines() -> Speaks {
        Speaks::Lines { device: DeviceId::parse("d").unwrap() }
    }

    /// Feeds the stream in pieces of the given lengths; what is found, and how many lines were lost before each, and in all.
    fn split(speaks: &Speaks, stream: &[u8], pieces: &[usize]) -> (Vec<(Bytes, u64)>, u64) {
        let mut rest = stream;
        let pieces = pieces.iter().chain([&usize::MAX]).map(|piece| {
            let (now, later) = rest.split_at((*piece).min(rest.len()));
            rest = later;
            now
        });
        split_all(speaks, pieces)
    }

    #[test]
    fn lines_end_in_lf_or_crlf_and_empty_ones_are_passed_over() {
        let (found, lost) = split(&lines(), b"a\r\n\n\r\nb\nrest", &[]);
        assert_eq!((found, lost), (vec![(Bytes::from("a"), 0), (Bytes::from("b"), 0)], 0));
    }

    #[test]
    fn a_line_without_end_is_not_kept_and_the_next_one_is_read() {
        let mut stream = vec![b'x'; LINE_BYTES_MAX * 3];
        stream.extend_from_slice(b"\nok\n");
        stream.extend(vec![b'y'; LINE_BYTES_MAX]);
        stream.extend_from_slice(b"\r\n");
        let (found, lost) = split(&lines(), &stream, &[1000; 40]);
        assert_eq!((found.len(), lost), (2, 1));
        assert_eq!(found[0], (Bytes::from("ok"), 1), "with the line after it the loss is told");
        assert_eq!((found[1].0.len(), found[1].1), (LINE_BYTES_MAX, 0));
    }

    #[test]
    fn a_loss_that_no_line_comes_after_waits_to_be_told_alone_and_once() {
        let mut splitter = Splitter::new(&lines());
        let overlong = [vec![b'x'; LINE_BYTES_MAX + 1], vec![b'\n']].concat();
        for _ in 0..2 {
            assert_eq!(splitter.split(&overlong, |line, _| panic!("{} bytes are no line", line.len())), 1);
        }
        assert!(splitter.waits());
        assert_eq!(splitter.flush(), Some((Bytes::new(), 2)));
        assert_eq!((splitter.waits(), splitter.flush()), (false, None));
    }

    proptest! {
        #[test]
        fn a_stream_split_anywhere_gives_the_same_lines(
            stream in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'a')], 0..300),
            pieces in prop::collection::vec(0usize..20, 0..40),
        ) {
            prop_assert_eq!(split(&lines(), &stream, &pieces), split(&lines(), &stream, &[]));
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
            let (found, _) = split(&Speaks::Ps1, &stream, &pieces);
            prop_assert!(found.len() >= frames.len());
            for (frame, found) in frames.iter().rev().zip(found.iter().rev()) {
                prop_assert_eq!(frame, found.0.as_ref());
            }
        }
    }
}
