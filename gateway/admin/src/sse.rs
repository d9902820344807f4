//! One browser's stream of events.
//!
//! It begins with `hello`, and then carries what is published, in order. A browser that reads too slowly misses events and
//! is told so by `resync`: it fetches `/api/v1/live` again. The stream ends with the sign-in, and when the server stops.

use std::convert::Infallible;
use std::sync::Arc;

use futures_util::stream::{self, Stream};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;
use warp::sse;

use crate::api::At;
use crate::config::{Clock, Limits};
use crate::events::{Event, Events, Sent};
use crate::metrics::Metrics;
use crate::problem::Problem;
use crate::signin::{SignedIn, StreamPlace};

struct Client {
    events: Events,
    receiver: broadcast::Receiver<Sent>,
    clock: Clock,
    beat: Interval,
    who: SignedIn,
    stopping: CancellationToken,
    greeted: bool,
    metrics: Arc<Metrics>,
    _place: StreamPlace,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.metrics.event_clients.dec();
    }
}

/// What a stream needs from the server.
pub struct Opening<'a> {
    /// The broadcast.
    pub events: &'a Events,
    /// The gateway's clock.
    pub clock: &'a Clock,
    /// The bounds.
    pub limits: &'a Limits,
    /// The counters.
    pub metrics: &'a Arc<Metrics>,
    /// Cancelled when the server stops.
    pub stopping: &'a CancellationToken,
}

/// Opens a stream, or refuses one too many.
pub fn open(
    with: &Opening<'_>,
    who: SignedIn,
) -> Result<impl Stream<Item = Result<sse::Event, Infallible>> + Send + Sync + use<>, Problem> {
    let place = who.open_stream(with.limits.event_clients_per_sign_in_max).ok_or(Problem::TooManyStreams)?;
    if with.events.listeners() >= with.limits.event_clients_max {
        return Err(Problem::TooManyStreams);
    }
    with.metrics.event_clients.inc();
    let mut beat = interval_at(Instant::now() + with.limits.beat_interval, with.limits.beat_interval);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let client = Client {
        events: with.events.clone(),
        receiver: with.events.subscribe(),
        clock: with.clock.clone(),
        beat,
        who,
        stopping: with.stopping.clone(),
        greeted: false,
        metrics: Arc::clone(with.metrics),
        _place: place,
    };
    Ok(stream::unfold(client, |mut client| async move {
        let event = client.next().await?;
        Some((Ok(event), client))
    }))
}

impl Client {
    async fn next(&mut self) -> Option<sse::Event> {
        if !self.greeted {
            self.greeted = true;
            return Some(self.greeting("hello"));
        }
        tokio::select! {
            biased;
            () = self.stopping.cancelled() => None,
            () = self.who.ended.cancelled() => None,
            () = tokio::time::sleep_until(self.who.expires) => None,
            received = self.receiver.recv() => match received {
                Ok(sent) => Some(sse::Event::default().id(sent.id.to_string()).event(sent.name).data(&*sent.json)),
                Err(RecvError::Lagged(missed)) => {
                    tracing::info!(missed, user = %self.who.user, "a browser fell behind and fetches everything anew");
                    self.metrics.event_resyncs.inc();
                    Some(self.greeting("resync"))
                }
                Err(RecvError::Closed) => None,
            },
            _ = self.beat.tick() => {
                let beat = Event::Beat { now: At(self.clock.now()) };
                Some(sse::Event::default().event(beat.name()).data(line(&beat)))
            }
        }
    }

    fn greeting(&self, name: &str) -> sse::Event {
        sse::Event::default().event(name).data(line(&self.events.hello(self.clock.now())))
    }
}

fn line(event: &Event) -> String {
    // Strings and times only: this cannot fail, and an empty line would be a harmless event.
    serde_json::to_string(event).unwrap_or_default()
}
