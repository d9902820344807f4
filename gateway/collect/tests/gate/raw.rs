//! A client made of bytes. Packets are built here from the specification, not with the code under test.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::desk::PATIENCE;

pub struct Raw<S = TcpStream> {
    pub stream: S,
}

/// A packet: the first byte, the length, the body.
pub fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    let mut length = body.len();
    loop {
        let byte = (length % 128) as u8;
        length /= 128;
        out.push(if length > 0 { byte | 0x80 } else { byte });
        if length == 0 {
            break;
        }
    }
    out.extend_from_slice(body);
    out
}

pub fn text(text: &str) -> Vec<u8> {
    binary(text.as_bytes())
}

pub fn binary(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
}

/// A CONNECT under construction.
pub struct Hello<'a> {
    pub level: u8,
    pub id: &'a str,
    pub login: Option<(&'a str, &'a str)>,
    /// Topic, payload, retain.
    pub will: Option<(&'a str, &'a str, bool)>,
    /// MQTT 5 properties of the will.
    pub will_properties: Vec<u8>,
    pub keep_alive: u16,
    /// MQTT 5 properties.
    pub properties: Vec<u8>,
}

impl<'a> Hello<'a> {
    pub fn v4(id: &'a str) -> Self {
        Self {
            level: 4,
            id,
            login: None,
            will: None,
            will_properties: Vec::new(),
            keep_alive: 0,
            properties: Vec::new(),
        }
    }

    pub fn v5(id: &'a str) -> Self {
        Self { level: 5, ..Self::v4(id) }
    }

    pub fn login(mut self, user: &'a str, password: &'a str) -> Self {
        self.login = Some((user, password));
        self
    }

    pub fn will(mut self, topic: &'a str, payload: &'a str, retain: bool) -> Self {
        self.will = Some((topic, payload, retain));
        self
    }

    pub fn properties(mut self, properties: &[u8]) -> Self {
        self.properties = properties.to_vec();
        self
    }

    pub fn keep_alive(mut self, seconds: u16) -> Self {
        self.keep_alive = seconds;
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut flags = 0b10;
        if let Some((_, _, retain)) = self.will {
            flags |= 0b100 | u8::from(retain) << 5;
        }
        if self.login.is_some() {
            flags |= 0b1100_0000;
        }
        let mut body = text(if self.level == 3 { "MQIsdp" } else { "MQTT" });
        body.extend([self.level, flags]);
        body.extend(self.keep_alive.to_be_bytes());
        if self.level >= 5 {
            body.push(self.properties.len() as u8);
            body.extend(&self.properties);
        }
        body.extend(text(self.id));
        if let Some((topic, payload, _)) = self.will {
            if self.level >= 5 {
                body.push(self.will_properties.len() as u8);
                body.extend(&self.will_properties);
            }
            body.extend(text(topic));
            body.extend(text(payload));
        }
        if let Some((user, password)) = self.login {
            body.extend(text(user));
            body.extend(text(password));
        }
        packet(0x10, &body)
    }
}

/// PUBLISH of MQTT 3.1.1.
pub fn publish(topic: &str, qos: u8, packet_id: u16, payload: &[u8]) -> Vec<u8> {
    let mut body = text(topic);
    if qos > 0 {
        body.extend(packet_id.to_be_bytes());
    }
    body.extend(payload);
    packet(0x30 | qos << 1, &body)
}

/// PUBLISH of MQTT 5 without properties.
pub fn publish5(topic: &str, qos: u8, packet_id: u16, payload: &[u8]) -> Vec<u8> {
    let mut body = text(topic);
    if qos > 0 {
        body.extend(packet_id.to_be_bytes());
    }
    body.push(0);
    body.extend(payload);
    packet(0x30 | qos << 1, &body)
}

pub fn subscribe(packet_id: u16, filter: &str, qos: u8) -> Vec<u8> {
    packet(0x82, &[&packet_id.to_be_bytes()[..], &text(filter), &[qos]].concat())
}

pub fn subscribe5(packet_id: u16, filter: &str, options: u8) -> Vec<u8> {
    packet(0x82, &[&packet_id.to_be_bytes()[..], &[0], &text(filter), &[options]].concat())
}

/// What came from the gate.
#[derive(Debug, PartialEq, Eq, Clone)]
pub struct Answer {
    pub first: u8,
    pub body: Vec<u8>,
}

impl Answer {
    /// The reason code of a DISCONNECT.
    pub fn disconnected(&self) -> u8 {
        assert_eq!(self.first, 0xe0, "{self:?}");
        self.body.first().copied().unwrap_or(0)
    }
}

impl Raw {
    pub async fn to(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap() }
    }

    /// Connects, and is let in.
    pub async fn connect(address: SocketAddr, hello: &Hello<'_>) -> Self {
        let mut raw = Self::to(address).await;
        raw.send(&hello.bytes()).await;
        let answer = raw.answer().await;
        assert_eq!((answer.first, &answer.body[..2]), (0x20, &[0, 0][..]), "{answer:?}");
        raw
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    pub async fn send(&mut self, bytes: &[u8]) {
        timeout(PATIENCE, self.stream.write_all(bytes)).await.expect("the gate does not read").unwrap();
        self.stream.flush().await.unwrap();
    }

    /// The next packet.
    pub async fn answer(&mut self) -> Answer {
        self.maybe().await.expect("the gate closed the connection")
    }

    /// The next packet; `None` at the end of the connection.
    pub async fn maybe(&mut self) -> Option<Answer> {
        timeout(PATIENCE, async {
            let first = self.stream.read_u8().await.ok()?;
            let (mut length, mut shift) = (0, 0);
            loop {
                let byte = usize::from(self.stream.read_u8().await.ok()?);
                length |= (byte & 0x7f) << shift;
                shift += 7;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            let mut body = vec![0; length];
            self.stream.read_exact(&mut body).await.ok()?;
            Some(Answer { first, body })
        })
        .await
        .expect("the gate says nothing")
    }

    /// Nothing more comes, and the connection ends.
    pub async fn ends(&mut self) {
        assert_eq!(self.maybe().await, None);
    }

    /// Proof that everything sent before was handled and nothing else was answered.
    pub async fn ping(&mut self) {
        self.send(&[0xc0, 0]).await;
        assert_eq!(self.answer().await, Answer { first: 0xd0, body: vec![] });
    }
}

impl Raw {
    /// Sends a ping nobody is expected to answer.
    pub async fn ping_unanswered(&mut self) {
        self.stream.write_all(&[0xc0, 0]).await.unwrap();
    }
}
