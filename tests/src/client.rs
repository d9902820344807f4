//! An MQTT 3.1.1 client that can also say what no client should. Everything it waits for it waits for with [`soon`].

use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::mqtt::codec::{self, Connect, Ids, Inbox, Packet};
use crate::mqtt::stream::{self, Address, Connection};
use crate::patience::soon;

/// A connection.
pub struct Client {
    connection: Connection,
    inbox: Inbox,
    ids: Ids,
}

/// The connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone;

impl Client {
    /// TCP, and nothing said.
    pub async fn plain(to: SocketAddr) -> Result<Self, Gone> {
        Self::open(&Address { address: to.to_string(), ca_file: None, server_name: None }).await
    }

    /// TLS with the box's own certificate authority, and nothing said.
    pub async fn tls(to: SocketAddr, authority: PathBuf) -> Self {
        let address =
            Address { address: to.to_string(), ca_file: Some(authority), server_name: Some("localhost".to_owned()) };
        Self::open(&address).await.expect("the gate speaks TLS")
    }

    async fn open(to: &Address) -> Result<Self, Gone> {
        let connection = soon("a connection", stream::connect(to)).await.map_err(|_| Gone)?;
        Ok(Self { connection, inbox: Inbox::default(), ids: Ids::default() })
    }

    /// Says CONNECT: the code of the answer (0 is welcome).
    pub async fn hello(&mut self, client: &str, login: Option<(&str, &str)>) -> Result<u8, Gone> {
        let mut out = Vec::new();
        codec::connect(&mut out, &Connect { client, login, keep_alive_s: 0 });
        self.send(&out).await?;
        match self.packet().await? {
            Packet::ConnAck(code) => Ok(code),
            other => panic!("CONNECT was answered with {other:?}"),
        }
    }

    /// Any bytes.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        let sent = async {
            self.connection.write_all(bytes).await?;
            self.connection.flush().await
        };
        soon("bytes to leave", sent).await.map_err(|_| Gone)
    }

    /// PUBLISH, QoS 1; its packet id.
    pub async fn publish(&mut self, topic: &str, payload: &[u8]) -> Result<u16, Gone> {
        let (mut out, id) = (Vec::new(), self.ids.next_id());
        codec::publish(&mut out, topic, id, payload);
        self.send(&out).await?;
        Ok(id)
    }

    /// Subscribes: the granted QoS, or 0x80.
    pub async fn subscribe(&mut self, filter: &str) -> Result<u8, Gone> {
        let (mut out, id) = (Vec::new(), self.ids.next_id());
        codec::subscribe(&mut out, id, filter);
        self.send(&out).await?;
        match self.packet().await? {
            Packet::SubAck(of, granted) if of == id => Ok(granted),
            other => panic!("SUBSCRIBE was answered with {other:?}"),
        }
    }

    /// The next packet, however long it takes. May be dropped and called again: nothing is lost.
    pub async fn receive(&mut self) -> Result<Packet, Gone> {
        let mut buffer = [0; 4_096];
        loop {
            if let Some(packet) = self.inbox.next_packet().expect("the gate speaks MQTT") {
                return Ok(packet);
            }
            match self.connection.read(&mut buffer).await {
                Ok(0) | Err(_) => return Err(Gone),
                Ok(read) => self.inbox.fill(&buffer[..read]),
            }
        }
    }

    /// The next packet.
    pub async fn packet(&mut self) -> Result<Packet, Gone> {
        soon("a packet", self.receive()).await
    }

    /// The next message of a topic we subscribed to: topic and payload; acknowledged.
    pub async fn message(&mut self) -> (String, Vec<u8>) {
        loop {
            match self.packet().await.expect("the connection stays") {
                Packet::Publish(topic, id, payload) => {
                    if let Some(id) = id {
                        let mut out = Vec::new();
                        codec::puback(&mut out, id);
                        self.send(&out).await.expect("the connection stays");
                    }
                    return (topic, payload);
                }
                _ => continue,
            }
        }
    }

    /// Everything said until the answer to a ping comes: what was sent before it has been looked at by then.
    pub async fn ping(&mut self) -> Result<Vec<Packet>, Gone> {
        let mut out = Vec::new();
        codec::ping(&mut out);
        self.send(&out).await?;
        let mut before = Vec::new();
        loop {
            match self.packet().await? {
                Packet::PingResp => return Ok(before),
                other => before.push(other),
            }
        }
    }

    /// Everything said until the gate closes the connection.
    pub async fn ends(&mut self) -> Vec<Packet> {
        let mut last = Vec::new();
        while let Ok(packet) = self.packet().await {
            last.push(packet);
        }
        last
    }
}
