//! One port: open, serve, wait, again.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use pitchside_model::Medium;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_serial::{SerialPortBuilderExt, SerialStream};
use tokio_util::sync::CancellationToken;

use super::owed::Owed;
use super::splitter::Splitter;
use super::{LINE_BYTES_MAX, PortConfig, PortState, Speaks};
use crate::intake::{Channel, Inbound, Intake, Ticket};
use crate::link::{CloseReason, Link, Outbound, Outlet};

/// Bytes of one read.
const READ_BYTES: usize = 4 * 1024;
/// How long a packet waits for others that make a message with it.
const TOGETHER_WITHIN: Duration = Duration::from_millis(250);
/// How long a line that was lost waits for another, with which it is a gap in the stream it was of.
const LOSS_TOLD_WITHIN: Duration = Duration::from_secs(10);
/// How long what a link handed over may take to be settled after its end.
const SETTLED_WITHIN: Duration = Duration::from_secs(5);
/// How long the line may take none of our bytes.
const WRITE_WITHIN: Duration = Duration::from_secs(10);

/// Serves `config` until `shutdown`.
pub(crate) async fn serve(
    config: PortConfig,
    intake: Arc<dyn Intake>,
    shutdown: CancellationToken,
    state: watch::Sender<PortState>,
) {
    let mut pause = config.reopen_after_min;
    let owed = Owed::default();
    while !shutdown.is_cancelled() {
        match open(&config) {
            Ok(stream) => {
                pause = config.reopen_after_min;
                let reason = connection(&config, stream, &intake, &owed, &shutdown, &state).await;
                tracing::info!(port = %config.path.display(), %reason, "serial port closed");
                state.send_replace(PortState::Waiting(reason.to_string()));
            }
            Err(error) => {
                let why = error.to_string();
                // Said once, not at every attempt.
                if !matches!(&*state.borrow(), PortState::Waiting(said) if *said == why) {
                    tracing::warn!(port = %config.path.display(), %why, "serial port cannot be opened; trying again");
                }
                state.send_replace(PortState::Waiting(why));
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = sleep(pause) => pause = (pause * 2).min(config.reopen_after_max),
        }
    }
    let count = owed.not_stored();
    if count > 0 {
        tracing::warn!(
            port = %config.path.display(), count, "lines that could not be stored are lost, and no gap tells it: none came after them"
        );
    }
    state.send_replace(PortState::Stopped);
}

fn open(config: &PortConfig) -> tokio_serial::Result<SerialStream> {
    tokio_serial::new(config.path.to_string_lossy(), config.baud).open_native_async()
}

async fn connection(
    config: &PortConfig,
    stream: SerialStream,
    intake: &Arc<dyn Intake>,
    owed: &Owed,
    shutdown: &CancellationToken,
    state: &watch::Sender<PortState>,
) -> CloseReason {
    let device = config.speaks.device();
    let (link, mut outlet) = Link::open(Medium::Serial, &config.path.to_string_lossy(), device.cloned());
    if device.is_some() {
        // Whoever holds the cable: there is nothing to prove.
        link.authenticated();
    }
    intake.opened(link.clone()).await;
    tracing::info!(port = %config.path.display(), link = link.id.0, "serial port open");
    state.send_replace(PortState::Open(link.id));
    let (reader, writer) = tokio::io::split(stream);
    tokio::join!(
        async { link.close_now(read(reader, &config.speaks, &link, intake, owed).await) },
        async { link.close_now(write(writer, config, &link, &mut outlet, owed).await) },
        async {
            tokio::select! {
                () = shutdown.cancelled() => link.close_now(CloseReason::ShuttingDown),
                () = link.stop().cancelled() => {}
            }
        },
    );
    intake.closed(link.id).await;
    link.over();
    let unknown = owed.drain(&mut outlet, SETTLED_WITHIN).await;
    if unknown > 0 {
        tracing::warn!(
            link = link.id.0,
            unknown,
            "what became of the last lines was not said in time; a gap may be missing"
        );
    }
    link.reason()
}

async fn read<R: AsyncRead + Unpin>(
    mut reader: R,
    speaks: &Speaks,
    link: &Link,
    intake: &Arc<dyn Intake>,
    owed: &Owed,
) -> CloseReason {
    let mut splitter = Splitter::new(speaks);
    let channel = |dropped| match speaks {
        Speaks::Ps1 => Channel::Up,
        Speaks::Lines { .. } | Speaks::Packets { .. } => Channel::Line { dropped },
    };
    let patience = match speaks {
        Speaks::Lines { .. } => LOSS_TOLD_WITHIN,
        Speaks::Ps1 | Speaks::Packets { .. } => TOGETHER_WITHIN,
    };
    let mut stopped = pin!(link.stop().cancelled());
    let mut bytes = BytesMut::with_capacity(READ_BYTES);
    let mut waiting = pin!(sleep(Duration::ZERO));
    let mut passed_over = PassedOver::default();
    loop {
        bytes.clear();
        bytes.reserve(READ_BYTES);
        let waited = splitter.waits();
        let read = tokio::select! {
            biased;
            // What is whole is handed over; of frames nothing waits, of lines no more than a loss.
            () = &mut stopped => Some(Ok(0)),
            read = reader.read_buf(&mut bytes) => Some(read),
            () = &mut waiting, if waited => None,
        };
        let mut batch = Vec::new();
        let mut put = |unit: Bytes, lost: u64| {
            let dropped = lost + owed.tell();
            // What is lost if this is not stored.
            let ticket = Ticket(dropped + u64::from(!unit.is_empty()));
            batch.push(Inbound { ticket, channel: channel(dropped), bytes: unit, waited: Duration::ZERO });
        };
        match &read {
            Some(Ok(1..)) => passed_over.add(link, speaks, splitter.split(&bytes, &mut put)),
            // Nothing more comes, for now or at all.
            Some(_) | None => {
                if let Some((unit, lost)) = splitter.flush() {
                    put(unit, lost);
                }
                if read.is_some() && owed.not_stored() > 0 {
                    put(Bytes::new(), 0);
                }
            }
        }
        // A message that went out leaves the beginning of another.
        if splitter.waits() && (!waited || !batch.is_empty()) {
            waiting.as_mut().reset(Instant::now() + patience);
        }
        if !batch.is_empty() {
            // PS/1 answers in receipts, and its devices send again.
            if speaks.device().is_some() {
                owed.handed_over(batch.len());
            }
            intake.take(link, batch).await;
        }
        if !matches!(read, None | Some(Ok(1..))) {
            passed_over.sum(link, speaks);
            return CloseReason::Gone;
        }
    }
}

/// What was lost to noise or length on one link. A device of lines sends none of them again: the first are said aloud, and how many
/// there were in all when the link ends. A device that sends nothing else must not fill the log.
#[derive(Default)]
struct PassedOver {
    said: u64,
    all: u64,
}

impl PassedOver {
    fn add(&mut self, link: &Link, speaks: &Speaks, count: u64) {
        if count == 0 {
            return;
        }
        self.all += count;
        match speaks {
            Speaks::Lines { device } if self.said == 0 => {
                self.said = count;
                tracing::warn!(
                    link = link.id.0, %device, count, bytes_max = LINE_BYTES_MAX, "lines that are too long are lost"
                );
            }
            Speaks::Lines { .. } => tracing::debug!(link = link.id.0, count, "more lines that are too long are lost"),
            Speaks::Ps1 | Speaks::Packets { .. } => {
                tracing::debug!(link = link.id.0, noise = count, "what is not a frame was left out");
            }
        }
    }

    fn sum(&self, link: &Link, speaks: &Speaks) {
        if let Speaks::Lines { device } = speaks
            && self.all > self.said
        {
            tracing::warn!(link = link.id.0, %device, count = self.all, "so many lines of this link were too long and are lost");
        }
    }
}

async fn write<W: AsyncWrite + Unpin>(
    mut writer: W,
    config: &PortConfig,
    link: &Link,
    outlet: &mut Outlet,
    owed: &Owed,
) -> CloseReason {
    if !config.hello.is_empty() {
        // A device that takes none of it says nothing either, and is noticed as silent.
        let said = tokio::select! {
            biased;
            () = link.stop().cancelled() => return link.reason(),
            said = timeout(WRITE_WITHIN, writer.write_all(&config.hello)) => said,
        };
        if !matches!(said, Ok(Ok(()))) {
            return CloseReason::Gone;
        }
    }
    // A zero before the first frame ends whatever noise the device took for the beginning of one.
    let mut encoded = vec![0];
    loop {
        let frame = match outlet.next().await {
            None => return link.reason(),
            Some(Outbound::Close(reason)) => return reason,
            // A serial line has no acknowledgement of its own: PS/1 answers in receipts, and its devices send again.
            Some(Outbound::Settled(_)) if config.speaks.device().is_none() => continue,
            // A plain line is answered in nothing: what could not be stored is told with the next that can.
            Some(Outbound::Settled(settled)) => {
                owed.settle(&settled);
                continue;
            }
            Some(Outbound::Frame(frame)) => frame,
        };
        if config.speaks.device().is_some() {
            tracing::warn!(link = link.id.0, "a frame for a device that does not speak PS/1 is dropped");
            continue;
        }
        super::splitter::encode(&frame, &mut encoded);
        let written = timeout(WRITE_WITHIN, async {
            writer.write_all(&encoded).await?;
            writer.flush().await
        });
        tokio::select! {
            biased;
            () = link.stop().cancelled() => return link.reason(),
            written = written => match written {
                Ok(Ok(())) => encoded.clear(),
                Ok(Err(_)) => return CloseReason::Gone,
                Err(_) => return CloseReason::SlowConsumer,
            },
        }
    }
}
