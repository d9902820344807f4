//! The life of one connection: CONNECT and the decision on it, then reader, writer and pump side by side, then goodbye.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use pitchside_model::{DeviceId, LinkId, Medium};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

use super::answer::{self, CONNACK_BYTES_MIN, Denied, Welcome};
use super::doors::Place;
use super::flight::{self, Flight};
use super::frame::{self, Kind};
use super::gate::Shared;
use super::limits::CONNECT_BYTES_MAX;
use super::packet::{self, Connect, Unreadable, Version, Will};
use super::pump::Pump;
use super::reader::{Pace, Reader};
use super::rights::{self, Topics};
use super::session::Session;
use super::writer::Writer;
use crate::intake::{Admission, Channel, Inbound, Refused, Rights};
use crate::link::{self, CloseReason, Link};

/// How long a peer that was told why has to hang up itself; closing earlier could cost it the last packet.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES_MAX: usize = 256 * 1024;

/// An accepted connection that said nothing yet.
pub(crate) struct Arrival {
    pub medium: Medium,
    pub peer: Arc<str>,
    pub prove_until: Instant,
    pub place: Place,
    pub unproven: Place,
}

/// A client that is let in.
struct Guest {
    id: LinkId,
    connect: Connect,
    client: DeviceId,
    /// The CONNACK that lets it in.
    welcome: Bytes,
    rights: Rights,
    will: Option<Will>,
    /// What came behind CONNECT.
    stream: BytesMut,
}

/// Why there will be no session: what to answer in which version, if anything.
struct Turned {
    version: Option<Version>,
    denied: Denied,
    /// The largest packet it takes.
    packet_bytes_max: usize,
}

impl Turned {
    /// Without having heard how large a packet it takes: it gets the shortest answer.
    const fn unheard(version: Option<Version>, denied: Denied) -> Self {
        Self { version, denied, packet_bytes_max: CONNACK_BYTES_MIN }
    }
}

/// Serves one connection to its end.
pub(crate) async fn serve<R, W>(gate: Arc<Shared>, mut reader: R, mut writer: W, arrival: Arrival)
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    let greeting = tokio::select! {
        greeting = timeout_at(arrival.prove_until, greet(&gate, &mut reader, &arrival)) => greeting,
        () = gate.stop.cancelled() => return,
    };
    let turned = match greeting {
        Ok(Ok(guest)) => return stay(gate, reader, writer, arrival, guest).await,
        Ok(Err(turned)) => turned,
        Err(_) => Turned::unheard(None, Denied::Closed(CloseReason::AuthenticationTimeout)),
    };
    gate.stats.denied();
    tracing::info!(peer = %arrival.peer, why = ?turned.denied, "client not let in");
    drop(arrival.unproven);
    if let Some(packet) =
        turned.version.and_then(|version| answer::denied(version, turned.denied, turned.packet_bytes_max))
    {
        let told = timeout(LINGER, async {
            writer.write_all(&packet).await?;
            writer.flush().await?;
            writer.shutdown().await
        });
        if matches!(told.await, Ok(Ok(()))) {
            linger(reader).await;
        }
    }
}

/// Reads CONNECT and decides on it.
async fn greet<R: AsyncRead + Unpin>(gate: &Shared, reader: &mut R, arrival: &Arrival) -> Result<Guest, Turned> {
    let mut stream = BytesMut::with_capacity(512);
    let unread = |denied| Turned::unheard(None, denied);
    let packet = loop {
        match frame::head(&stream, CONNECT_BYTES_MAX).map_err(|reason| unread(Denied::Closed(reason)))? {
            Some(head) if head.kind != Kind::Connect => {
                return Err(unread(Denied::Closed(CloseReason::Protocol("the first packet must be CONNECT"))));
            }
            Some(head) if stream.len() >= head.total() => {
                let packet = stream.split_to(head.total()).freeze();
                break packet::connect(&packet, head.header);
            }
            _ => {}
        }
        if !matches!(reader.read_buf(&mut stream).await, Ok(1..)) {
            return Err(unread(Denied::Closed(CloseReason::Gone)));
        }
    };
    let mut connect = packet.map_err(|unreadable| match unreadable {
        Unreadable::Level(version) => Turned::unheard(Some(version), Denied::Version),
        Unreadable::Broken(version, reason) => Turned::unheard(version, Denied::Closed(reason)),
    })?;
    let (version, packet_bytes_max) = (Some(connect.version), connect.packet_bytes_max);
    let id = link::next_id();
    let decided = decide(gate, arrival, id, &mut connect).await;
    if decided.is_err() {
        // Whoever admitted it may forget it.
        gate.intake.closed(id).await;
    }
    let (client, welcome, rights, will) = decided.map_err(|denied| Turned { version, denied, packet_bytes_max })?;
    Ok(Guest { id, connect, client, welcome, rights, will, stream })
}

/// Whether a client is let in, under which id, with which welcome, rights and will.
async fn decide(
    gate: &Shared,
    arrival: &Arrival,
    id: LinkId,
    connect: &mut Connect,
) -> Result<(DeviceId, Bytes, Rights, Option<Will>), Denied> {
    if connect.extended_authentication {
        return Err(Denied::ExtendedAuthentication);
    }
    // Only who has a user name may leave the choice of a client id to the gate, and only without a session (3.1.3.1).
    let assigned = connect.client_id.is_empty()
        && connect.username.is_some()
        && (connect.version == Version::V5 || !connect.wants_session);
    let client = if assigned { format!("gate-{}", id.0) } else { std::mem::take(&mut connect.client_id) };
    let no_login = connect.username.is_none();
    let client = DeviceId::parse(&client).map_err(|_| if no_login { Denied::NoLogin } else { Denied::ClientId })?;
    let ask = Admission {
        link: id,
        medium: arrival.medium,
        peer: arrival.peer.clone(),
        client: client.clone(),
        username: connect.username.clone(),
        password: connect.password.take(),
    };
    let rights = gate.intake.admit(ask).await.map_err(Denied::Refused)?;
    if matches!(&rights, Rights::Ps1 { device } if *device != client) {
        return Err(Denied::ClientId);
    }
    let will = match connect.will.take() {
        None => None,
        Some(_) if !matches!(rights, Rights::Hub { .. }) => {
            return Err(Denied::Closed(CloseReason::NotAuthorized("this client may not leave a will")));
        }
        Some(will) => {
            let mut topics = Topics::new(&rights, 1);
            if will.retain && !topics.may_ask_to_retain(connect.version) {
                return Err(Denied::Closed(CloseReason::Retain));
            }
            topics.channel(&will.topic).map_err(Denied::Closed)?;
            Some(will)
        }
    };
    let welcome = Welcome {
        limits: &gate.limits,
        assigned: assigned.then_some(client.as_str()),
        retained: matches!(rights, Rights::App { .. }),
        wants_session: connect.wants_session,
    };
    let welcome = answer::welcome(connect.version, &welcome);
    if welcome.len() > connect.packet_bytes_max {
        return Err(Denied::TakesTooLittle);
    }
    if gate.stop.is_cancelled() {
        return Err(Denied::Refused(Refused::Busy));
    }
    Ok((client, welcome, rights, will))
}

/// The connection of a client that is let in.
async fn stay<R, W>(gate: Arc<Shared>, half: R, writer: W, arrival: Arrival, guest: Guest)
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    let Guest { id, connect, client, welcome, rights, will, stream } = guest;
    let Arrival { medium, peer, prove_until, place: _place, unproven } = arrival;
    let (device, grants) = match &rights {
        Rights::Ps1 { device } | Rights::Hub { device } => (Some(device.clone()), None),
        Rights::App { filters, .. } => (None, Some(filters.clone())),
    };
    let session = Arc::new(Session {
        version: connect.version,
        silence_max: Session::silence_max(connect.keep_alive),
        receive_max: connect.receive_max,
        packet_bytes_max: connect.packet_bytes_max,
        problem_information: connect.problem_information,
        wants_session: connect.wants_session,
        down_topic: match &rights {
            Rights::Ps1 { device } => Some(rights::down_topic(device)),
            _ => None,
        },
        limits: gate.limits.clone(),
    });
    let (link, outlet) = Link::open_as(id, medium, peer, device, Some(Box::new(unproven)));
    if !matches!(rights, Rights::Ps1 { .. }) {
        link.authenticated();
    }
    let mut listed = gate.list(&link, &rights, &client);
    let flight = Arc::new(Flight::default());
    let mut writer = Writer::new(writer, link.clone(), outlet, session.clone(), flight.clone(), &welcome);
    let (mut pump, ask) = match grants {
        Some(grants) => {
            let (pump, ask) = Pump::new(link.clone(), session.clone(), grants, gate.router.clone());
            (Some(pump), Some(ask))
        }
        None => (None, None),
    };
    let mut reader = Reader {
        half,
        stream,
        link: link.clone(),
        session: session.clone(),
        topics: Topics::new(&rights, gate.limits.hub_topics_max),
        flight,
        intake: gate.intake.clone(),
        pump: ask,
        will,
        prove_until,
        pace: Pace::default(),
    };
    tracing::debug!(link = id.0, peer = %link.peer, client = %client, version = ?session.version, "client let in");
    gate.intake.opened(link.clone()).await;
    listed.take_over();
    let reading = async { link.close_now(reader.run().await) };
    let writing = async { link.close_now(writer.run().await) };
    let pumping = async {
        if let Some(pump) = &mut pump {
            link.close_now(Box::pin(pump.run()).await);
        }
    };
    tokio::join!(reading, writing, pumping);
    drop(pump);
    end(&gate, link, reader, writer).await;
}

/// After the last packet that counts: acknowledge what was taken, say why, publish the will, tell the gateway.
async fn end<R, W>(gate: &Shared, link: Link, mut reader: Reader<R>, mut writer: Writer<W>)
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    let reason = link.reason();
    if reason == CloseReason::ShuttingDown {
        writer.drain(gate.limits.shutdown_within / 2).await;
    }
    if !matches!(reason, CloseReason::Finished | CloseReason::Gone | CloseReason::ShuttingDown) {
        gate.stats.closed();
        tracing::warn!(link = link.id.0, peer = %link.peer, device = ?link.device, %reason, "connection closed");
    }
    if let Some(will) = reader.will.take()
        && let Ok(channel @ Channel::Topic(_)) = reader.topics.channel(&will.topic)
    {
        let ticket = flight::ticket(0, 0, 0, 0);
        let will = Inbound { ticket, channel, bytes: will.payload, waited: Duration::ZERO };
        gate.intake.take(&link, vec![will]).await;
    }
    gate.intake.closed(link.id).await;
    link.over();
    let half = writer.finish(reason).await;
    if !matches!(reason, CloseReason::Finished | CloseReason::Gone) {
        linger(reader.half).await;
    }
    drop(half);
}

/// Reads and throws away until the peer hangs up, for a little while.
async fn linger<R: AsyncRead + Unpin>(mut reader: R) {
    let mut read = 0;
    let mut waste = BytesMut::with_capacity(4 * 1024);
    let hung_up = timeout(LINGER, async {
        while read < LINGER_BYTES_MAX {
            waste.clear();
            match reader.read_buf(&mut waste).await {
                Ok(bytes @ 1..) => read += bytes,
                _ => return,
            }
        }
    });
    if hung_up.await.is_err() {
        tracing::trace!("the peer did not hang up");
    }
}

#[cfg(test)]
mod tests;
