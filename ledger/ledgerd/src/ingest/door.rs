//! The handshake: a stranger becomes a known gateway, or learns nothing.

use ledger_block::channel::{Channel, ChannelError, Psk, Server, Splitter};
use ledger_block::ingest::{DeviceId, Timestamp};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Ingest;
use crate::clock::{self, RandomError};
use crate::keys;

/// Bytes read from the socket at a time.
pub(super) const READ_BYTES: usize = 64 * 1_024;

/// Why a stranger was not let in.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// The socket broke.
    #[error("the connection broke: {0}")]
    Io(#[from] std::io::Error),
    /// It closed first.
    #[error("closed before the handshake was done")]
    Closed,
    /// Not our handshake.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// No randomness.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// The lookup was interrupted.
    #[error("the lookup was interrupted: {0}")]
    Interrupted(#[from] tokio::task::JoinError),
}

/// A stranger who has sent a good first message. Known only once a frame of theirs has opened.
pub struct Caller {
    /// The channel to them.
    pub channel: Channel,
    /// What came after the first message.
    pub splitter: Splitter,
    /// Who they would be; none for somebody who is not enrolled.
    pub gateway: Option<DeviceId>,
    /// Their clock.
    pub sent_at: Timestamp,
}

/// Shakes hands. Somebody who is not enrolled, or repeats an old message, gets an answer under a random pre-shared key:
/// from outside that looks like a wrong pre-shared key, so nobody can try out who is enrolled here.
///
/// # Errors
/// The socket broke, or this is not our handshake.
pub async fn greet(stream: &mut TcpStream, ingest: &Ingest) -> Result<Caller, DoorError> {
    let mut splitter = Splitter::new();
    let mut buffer = [0u8; 1_024];
    let hail = loop {
        if let Some(frame) = splitter.next_frame()? {
            break frame.to_vec();
        }
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Err(DoorError::Closed);
        }
        splitter.push(buffer.get(..count).unwrap_or_default());
    };
    let server = Server::read(&ingest.channel, &hail, clock::random()?)?;
    let (peer, sent_at) = (server.hail().peer, server.hail().sent_at);
    let (log, directory) = (std::sync::Arc::clone(&ingest.log), ingest.directory.clone());
    let found = tokio::task::spawn_blocking(move || {
        let member = match log.member_by_channel(&peer.0) {
            Ok(Some(member)) => member,
            Ok(None) => {
                tracing::warn!(%peer, "somebody who is not enrolled called");
                return None;
            }
            Err(error) => {
                tracing::error!(%error, "a caller could not be looked up");
                return None;
            }
        };
        match keys::read_key(&directory.join("psk").join(format!("{}.psk", member.name))) {
            Ok(psk) => Some((member.name, Psk::new(psk))),
            Err(error) => {
                tracing::error!(gateway = %member.name, %error, "enrolled, but its pre-shared key cannot be read");
                None
            }
        }
    })
    .await?;
    let found = found.filter(|(gateway, _)| {
        let fresh = ingest.hails.may_be_new(gateway, sent_at, clock::now());
        if !fresh {
            tracing::warn!(%gateway, "an old handshake message was repeated");
        }
        fresh
    });
    let (gateway, psk) = match found {
        Some((gateway, psk)) => (Some(gateway), psk),
        None => (None, Psk::new(clock::random()?)),
    };
    let (channel, answer) = server.answer(&psk)?;
    stream.write_all(&answer).await?;
    Ok(Caller { channel, splitter, gateway, sent_at })
}
