//! Packets to bytes and bytes to packets.

/// The most bytes of one packet we read.
const PACKET_BYTES_MAX: usize = 256 * 1024;

/// Who connects.
#[derive(Debug, Clone, Copy)]
pub struct Connect<'a> {
    /// Client id.
    pub client: &'a str,
    /// User name and password, if any.
    pub login: Option<(&'a str, &'a str)>,
    /// Seconds; 0 for none.
    pub keep_alive_s: u16,
}

/// What the server may send to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    /// 3.2; 0 is welcome.
    ConnAck(u8),
    /// 3.4: packet id.
    PubAck(u16),
    /// 3.9: packet id and the granted QoS or 0x80.
    SubAck(u16, u8),
    /// 3.3: topic, packet id if QoS 1, payload.
    Publish(String, Option<u16>, Vec<u8>),
    /// 3.13.
    PingResp,
}

/// Why bytes are no packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not MQTT 3.1.1: {0}")]
pub struct Malformed(&'static str);

/// 3.1: clean session, no will.
pub fn connect(out: &mut Vec<u8>, connect: &Connect<'_>) {
    let login = connect.login.map_or(0, |(name, password)| 4 + name.len() + password.len());
    header(out, 0x10, 12 + connect.client.len() + login);
    text(out, "MQTT");
    out.extend([4, if connect.login.is_some() { 0xc2 } else { 0x02 }]);
    out.extend(connect.keep_alive_s.to_be_bytes());
    text(out, connect.client);
    if let Some((name, password)) = connect.login {
        text(out, name);
        text(out, password);
    }
}

/// 3.3: QoS 1.
pub fn publish(out: &mut Vec<u8>, topic: &str, id: u16, payload: &[u8]) {
    header(out, 0x32, 4 + topic.len() + payload.len());
    text(out, topic);
    out.extend(id.to_be_bytes());
    out.extend_from_slice(payload);
}

/// 3.8: one filter, QoS 1.
pub fn subscribe(out: &mut Vec<u8>, id: u16, filter: &str) {
    header(out, 0x82, 5 + filter.len());
    out.extend(id.to_be_bytes());
    text(out, filter);
    out.push(1);
}

/// 3.4.
pub fn puback(out: &mut Vec<u8>, id: u16) {
    out.extend([0x40, 2]);
    out.extend(id.to_be_bytes());
}

/// 3.12.
pub fn ping(out: &mut Vec<u8>) {
    out.extend([0xc0, 0]);
}

/// 3.14.
pub fn disconnect(out: &mut Vec<u8>) {
    out.extend([0xe0, 0]);
}

fn header(out: &mut Vec<u8>, kind: u8, mut length: usize) {
    out.push(kind);
    loop {
        let low = (length & 0x7f) as u8;
        length >>= 7;
        out.push(if length > 0 { low | 0x80 } else { low });
        if length == 0 {
            return;
        }
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    // Ours are names and topics of less than 64 KiB.
    out.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// Packet ids of messages that wait for their PUBACK: 1 to 65535 in turn, never one still in use within the window.
#[derive(Debug, Default)]
pub struct Ids(u16);

impl Ids {
    /// The next id.
    pub fn next_id(&mut self) -> u16 {
        self.0 = self.0.checked_add(1).unwrap_or(1);
        self.0
    }
}

/// Bytes as they come in.
#[derive(Debug, Default)]
pub struct Inbox {
    bytes: Vec<u8>,
    at: usize,
}

impl Inbox {
    /// Adds what was read.
    pub fn fill(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.at);
        self.at = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole packet.
    pub fn next_packet(&mut self) -> Result<Option<Packet>, Malformed> {
        let Some((kind, body, used)) = split(self.bytes.get(self.at..).unwrap_or_default())? else { return Ok(None) };
        let packet = parse(kind, body)?;
        self.at += used;
        Ok(Some(packet))
    }
}

/// First byte, body and whole length of the packet at the front, if it is all there.
fn split(bytes: &[u8]) -> Result<Option<(u8, &[u8], usize)>, Malformed> {
    let Some((&kind, rest)) = bytes.split_first() else { return Ok(None) };
    let (mut length, mut shift) = (0usize, 0);
    for (i, byte) in rest.iter().enumerate() {
        length |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            if length > PACKET_BYTES_MAX {
                return Err(Malformed("a packet larger than 256 KiB"));
            }
            return Ok(rest.get(i + 1..i + 1 + length).map(|body| (kind, body, 2 + i + length)));
        }
        if i == 3 {
            return Err(Malformed("a length of more than four bytes"));
        }
    }
    Ok(None)
}

fn parse(kind: u8, body: &[u8]) -> Result<Packet, Malformed> {
    let id = |bytes: &[u8]| match bytes {
        [a, b, ..] => Ok(u16::from_be_bytes([*a, *b])),
        _ => Err(Malformed("a packet cut short")),
    };
    match (kind >> 4, body) {
        (2, [_, code]) => Ok(Packet::ConnAck(*code)),
        (3, _) => {
            let length = usize::from(id(body)?);
            let (topic, rest) =
                body.get(2..).and_then(|b| b.split_at_checked(length)).ok_or(Malformed("a topic cut short"))?;
            let topic = std::str::from_utf8(topic).map_err(|_| Malformed("a topic that is not UTF-8"))?.to_owned();
            match kind >> 1 & 3 {
                0 => Ok(Packet::Publish(topic, None, rest.to_vec())),
                1 => Ok(Packet::Publish(topic, Some(id(rest)?), rest.get(2..).unwrap_or_default().to_vec())),
                _ => Err(Malformed("a QoS we did not ask for")),
            }
        }
        (4, [_, _]) => Ok(Packet::PubAck(id(body)?)),
        (9, [_, _, code]) => Ok(Packet::SubAck(id(body)?, *code)),
        (13, []) => Ok(Packet::PingResp),
        _ => Err(Malformed("a packet no client expects")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_written_as_the_standard_draws_them() {
        let mut out = Vec::new();
        connect(&mut out, &Connect { client: "s7", login: None, keep_alive_s: 60 });
        assert_eq!(out, [0x10, 14, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 60, 0, 2, b's', b'7']);
        out.clear();
        connect(&mut out, &Connect { client: "h", login: Some(("h", "pw")), keep_alive_s: 0 });
        assert_eq!(out[9], 0xc2);
        assert_eq!(usize::from(out[1]), out.len() - 2);
        out.clear();
        publish(&mut out, "a/b", 7, b"hi");
        assert_eq!(out, [0x32, 9, 0, 3, b'a', b'/', b'b', 0, 7, b'h', b'i']);
        out.clear();
        publish(&mut out, "t", 1, &[0; 200]);
        assert_eq!(out[1..3], [0xcd, 0x01]);
        out.clear();
        subscribe(&mut out, 2, "x");
        assert_eq!(out, [0x82, 6, 0, 2, 0, 1, b'x', 1]);
    }

    #[test]
    fn packets_are_read_however_they_are_cut() {
        let mut bytes = vec![0x20, 2, 0, 0, 0x40, 2, 0, 9, 0x90, 3, 0, 1, 1, 0xd0, 0];
        publish(&mut bytes, "ps/1/s7/dn", 3, &[5; 300]);
        for cut in 1..bytes.len() {
            let mut inbox = Inbox::default();
            let mut packets = Vec::new();
            for part in bytes.chunks(cut) {
                inbox.fill(part);
                while let Some(packet) = inbox.next_packet().unwrap() {
                    packets.push(packet);
                }
            }
            assert_eq!(packets[..4], [Packet::ConnAck(0), Packet::PubAck(9), Packet::SubAck(1, 1), Packet::PingResp]);
            assert_eq!(packets[4..], [Packet::Publish("ps/1/s7/dn".into(), Some(3), vec![5; 300])]);
        }
    }

    #[test]
    fn garbage_is_refused() {
        for bad in
            [&[0x10, 0][..], &[0x40, 1, 0], &[0x34, 3, 0, 1, b'a'], &[0x30, 0xff, 0xff, 0xff, 0xff, 1], &[0x30, 1, 0]]
        {
            let mut inbox = Inbox::default();
            inbox.fill(bad);
            assert!(inbox.next_packet().is_err(), "{bad:?}");
        }
    }
}
