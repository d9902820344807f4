//! One connection to the ledger: socket, handshake, frames. A task of its own writes, so that replies are read while a
//! payload is being sent.

use std::time::Duration;

use ledger_block::channel::{Client, Opener, Sealer, Splitter};
use ledger_block::ingest::{Reply, Request};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use crate::config::SyncConfig;
use crate::fault::Fault;
use crate::outbox::Edge;

/// Bytes read from the socket at a time.
const READ_BYTES: usize = 32 * 1_024;
/// Requests waiting to be written.
const REQUESTS_MAX: usize = 4;
/// How long one request may take to write.
const WRITE: Duration = Duration::from_secs(30);

/// A connection after its handshake.
pub struct Connection {
    /// Requests to be written; closing it closes the connection.
    pub requests: mpsc::Sender<Request>,
    /// What the ledger says.
    pub replies: Replies,
    /// Ends when the connection can no longer be written to.
    pub writing: JoinHandle<Result<Written, Fault>>,
}

/// Why writing ended in good order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// All requests are written.
    All,
    /// The handshake is nearly used up: a new one is due.
    Worn,
}

/// The receiving side.
pub struct Replies {
    reader: OwnedReadHalf,
    splitter: Splitter,
    opener: Opener,
    buffer: Vec<u8>,
}

fn broken(error: std::io::Error) -> Fault {
    Fault::Broken(error.to_string())
}

impl Replies {
    /// The next reply. Safe to be cancelled: bytes read stay in the splitter.
    ///
    /// # Errors
    /// The connection ended, or what came is no message.
    pub async fn next(&mut self) -> Result<Reply, Fault> {
        loop {
            if let Some(frame) = self.splitter.next_frame()? {
                return Ok(Reply::decode(&self.opener.open(frame)?)?);
            }
            let count = self.reader.read(&mut self.buffer).await.map_err(broken)?;
            if count == 0 {
                return Err(Fault::Closed);
            }
            self.splitter.push(self.buffer.get(..count).unwrap_or_default());
        }
    }
}

/// Connects and shakes hands.
///
/// # Errors
/// Not reachable, not our ledger, or too slow.
pub async fn connect(config: &SyncConfig, edge: &dyn Edge) -> Result<Connection, Fault> {
    match tokio::time::timeout(config.connect, shake_hands(config, edge)).await {
        Ok(connected) => connected,
        Err(_) => Err(Fault::Slow),
    }
}

async fn shake_hands(config: &SyncConfig, edge: &dyn Edge) -> Result<Connection, Fault> {
    let address = config.address.clone();
    let unreachable = |error: std::io::Error| Fault::Unreachable { address, why: error.to_string() };
    let mut stream = TcpStream::connect(&config.address).await.map_err(unreachable)?;
    stream.set_nodelay(true).map_err(broken)?;
    let mut ephemeral = Zeroizing::new([0u8; 32]);
    if !edge.fill(ephemeral.as_mut_slice()) {
        return Err(Fault::NoRandomness);
    }
    let (client, hail) = Client::start(&config.identity, &config.psk, &config.ledger, edge.now(), ephemeral)?;
    stream.write_all(&hail).await.map_err(broken)?;
    let (mut splitter, mut buffer) = (Splitter::new(), vec![0; READ_BYTES]);
    let channel = loop {
        if let Some(answer) = splitter.next_frame()? {
            break client.finish(answer)?;
        }
        let count = stream.read(&mut buffer).await.map_err(broken)?;
        if count == 0 {
            return Err(Fault::Closed);
        }
        splitter.push(buffer.get(..count).unwrap_or_default());
    };
    let (sealer, opener) = channel.split();
    let (reader, writer) = stream.into_split();
    let (requests, queue) = mpsc::channel(REQUESTS_MAX);
    let writing = tokio::spawn(write(writer, sealer, queue));
    Ok(Connection { requests, replies: Replies { reader, splitter, opener, buffer }, writing })
}

async fn write(
    mut writer: OwnedWriteHalf,
    mut sealer: Sealer,
    mut queue: mpsc::Receiver<Request>,
) -> Result<Written, Fault> {
    while let Some(request) = queue.recv().await {
        let frame = sealer.seal(&request.encode())?;
        match tokio::time::timeout(WRITE, writer.write_all(&frame)).await {
            Ok(written) => written.map_err(broken)?,
            Err(_) => return Err(Fault::Silent),
        }
        if sealer.worn() {
            return Ok(Written::Worn);
        }
    }
    // The ledger may have gone already; then there is nobody to tell.
    let _told = writer.shutdown().await;
    Ok(Written::All)
}
