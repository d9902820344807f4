//! Packets of one length: found by how they begin and end, several put together into one message. After noise one counts only once the
//! next begins, or nothing follows: else the end of one and the beginning of another could pass for a packet.

use bytes::Bytes;

/// The longest message put together, whatever a form says.
pub const TOGETHER_BYTES_MAX: usize = 16 * 1024;

/// A byte that fits if `byte & mask == value`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Its digits.
    pub value: u8,
    /// Which of them count.
    pub mask: u8,
}

impl Mark {
    const fn fits(self, byte: u8) -> bool {
        byte & self.mask == self.value
    }
}

/// What the packets of a line look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PacketForm {
    /// Bytes of each; at least as many as `begins` and `ends` together.
    pub length: usize,
    /// Its first bytes.
    pub begins: Vec<Mark>,
    /// Its last bytes.
    pub ends: Vec<Mark>,
    /// How many make a message.
    pub together: usize,
}

impl PacketForm {
    /// Whether these bytes begin with a packet, and what follows of them like another.
    fn fits(&self, bytes: &[u8]) -> bool {
        let fit = |marks: &[Mark], bytes: &[u8]| marks.iter().zip(bytes).all(|(mark, byte)| mark.fits(*byte));
        let (packet, next) = bytes.split_at(self.length.min(bytes.len()));
        let tail = packet.len().checked_sub(self.ends.len()).and_then(|at| packet.get(at..));
        fit(&self.begins, packet) && tail.is_some_and(|tail| fit(&self.ends, tail)) && fit(&self.begins, next)
    }

    /// Bytes of a whole message.
    fn message_bytes(&self) -> usize {
        let most = (TOGETHER_BYTES_MAX / self.length.max(1)).max(1);
        self.together.clamp(1, most) * self.length
    }
}

/// Packets on their way. Holds at most one message and one packet.
#[derive(Debug)]
pub(crate) struct Packets {
    form: PacketForm,
    /// What may become a packet.
    begun: Vec<u8>,
    message: Vec<u8>,
    /// Noise was told since the last packet.
    lost: bool,
}

impl Packets {
    pub(crate) const fn new(form: PacketForm) -> Self {
        Self { form, begun: Vec::new(), message: Vec::new(), lost: false }
    }

    /// Takes the next bytes and hands over each message that is full; how often something that is no packet was passed over.
    pub(crate) fn split(&mut self, bytes: &[u8], mut each: impl FnMut(Bytes)) -> u64 {
        let mut lost = 0;
        for byte in bytes {
            self.begun.push(*byte);
            while self.begun.len() >= self.looked_at() {
                if self.form.fits(&self.begun) {
                    self.take();
                    if self.message.len() >= self.form.message_bytes() {
                        each(self.message.split_off(0).into());
                    }
                    continue;
                }
                // The next byte a packet could begin with.
                lost += u64::from(!std::mem::replace(&mut self.lost, true));
                let next =
                    self.begun.iter().skip(1).position(|byte| self.form.begins.first().is_none_or(|m| m.fits(*byte)));
                self.begun.drain(..next.map_or(self.begun.len(), |at| at + 1));
            }
        }
        lost
    }

    /// Bytes that must be here for a packet to be told from noise.
    fn looked_at(&self) -> usize {
        self.form.length + if self.lost { self.form.begins.len() } else { 0 }
    }

    /// The packet that was begun joins the message.
    fn take(&mut self) {
        self.lost = false;
        let next = self.begun.split_off(self.form.length);
        self.message.append(&mut self.begun);
        self.begun = next;
    }

    /// Whether something is whole that no other has followed.
    fn is_last(&self) -> bool {
        self.begun.len() >= self.form.length && self.form.fits(&self.begun)
    }

    /// Whether whole packets wait for others.
    pub(crate) fn waits(&self) -> bool {
        !self.message.is_empty() || self.is_last()
    }

    /// The whole packets that wait.
    pub(crate) fn flush(&mut self) -> Option<Bytes> {
        if self.is_last() {
            self.take();
        }
        (!self.message.is_empty()).then(|| self.message.split_off(0).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn form(together: usize) -> PacketForm {
        PacketForm {
            length: 5,
            begins: vec![Mark { value: 0xa0, mask: 0xff }],
            ends: vec![Mark { value: 0xc0, mask: 0xf0 }],
            together,
        }
    }

    fn packet(n: u8) -> [u8; 5] {
        [0xa0, n, 0xa0, 0xc1, 0xc7]
    }

    fn split(together: usize, stream: &[u8], pieces: &[usize]) -> (Vec<Bytes>, u64, Option<Bytes>) {
        let (mut packets, mut found, mut lost, mut rest) = (Packets::new(form(together)), Vec::new(), 0, stream);
        for piece in pieces.iter().chain([&usize::MAX]) {
            let (now, later) = rest.split_at((*piece).min(rest.len()));
            lost += packets.split(now, |message| found.push(message));
            rest = later;
        }
        (found, lost, packets.flush())
    }

    #[test]
    fn packets_are_put_together_and_the_rest_waits() {
        let stream = [packet(1), packet(2), packet(3)].concat();
        let (found, lost, rest) = split(2, &stream, &[]);
        assert_eq!(found, [Bytes::from([packet(1), packet(2)].concat())]);
        assert_eq!((lost, rest), (0, Some(Bytes::from(packet(3).to_vec()))));
    }

    #[test]
    fn a_packet_cut_short_costs_itself_alone() {
        let stream = [&packet(1)[..], &packet(2)[..3], &packet(3), &packet(4)].concat();
        let (found, lost, _) = split(1, &stream, &[]);
        assert_eq!(found, [packet(1), packet(3), packet(4)].map(|packet| Bytes::from(packet.to_vec())));
        assert_eq!(lost, 1, "though `a0 a0 03 a0 c1` begins and ends like one");
    }

    proptest! {
        #[test]
        fn packets_are_found_after_any_noise_and_split_anywhere(
            noise in prop::collection::vec(any::<u8>().prop_filter("no beginning", |byte| *byte != 0xa0), 0..40),
            count in 1u8..20,
            pieces in prop::collection::vec(0usize..9, 0..40),
        ) {
            let packets: Vec<[u8; 5]> = (0..count).map(|n| packet(n & 0x7f)).collect();
            let stream = [noise, packets.concat()].concat();
            let (found, _, rest) = split(1, &stream, &pieces);
            let found: Vec<Bytes> = found.into_iter().chain(rest).collect();
            prop_assert_eq!(found, packets.iter().map(|packet| Bytes::from(packet.to_vec())).collect::<Vec<_>>());
        }

        #[test]
        fn what_is_held_is_bounded(stream: Vec<u8>, together in 1usize..9) {
            let mut packets = Packets::new(form(together));
            packets.split(&stream, |message| assert_eq!(message.len(), together * 5));
            prop_assert!(packets.begun.len() < 6 && packets.message.len() < together * 5);
        }
    }
}
