//! One browser's stream of events.
//!
//! It begins with `hello`, and then carries what is published, in order. A browser that reads too slowly misses events and
//! is told so by `resync`: it fetches `/api/v1/live` again. The stream ends with the sign-in, and when the server stops.
//!
//! What happens to alerts is read back from the record for whoever comes back, or has missed events: the stream listens first,
//! then reads, then passes over what it hears again. So nothing falls between the two, and nothing comes in another order.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, Stream};
use http::HeaderMap;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;
use warp::sse;

use crate::api::At;
use crate::config::{Clock, Limits};
use crate::events::{Event, Events, Sent};
use crate::metrics::Metrics;
use crate::problem::Problem;
use crate::signin::{SignedIn, StreamPlace};
use crate::view::{Steps, View, ViewError};

/// Where in the record of alerts a stream begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// With what happens from now on.
    Now,
    /// After this step.
    Step(u64),
    /// Somewhere that cannot be read.
    Unknown,
}

impl Since {
    /// As the header `Last-Event-ID` says, or else `last_event_id` in the query. Nothing in it is nothing said.
    pub fn of(headers: &HeaderMap, query: &str) -> Self {
        let asked = query.split('&').find_map(|pair| pair.strip_prefix("last_event_id="));
        let said = headers.get("last-event-id").map_or(asked.map(str::as_bytes), |header| Some(header.as_bytes()));
        let Some(said) = said.filter(|said| !said.is_empty()) else { return Self::Now };
        // Digits only, as we gave it: `parse` alone would take a sign.
        let digits = std::str::from_utf8(said).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        digits.and_then(|text| text.parse().ok()).map_or(Self::Unknown, Self::Step)
    }
}

struct Client {
    events: Events,
    view: Arc<dyn View>,
    /// How long reading the record may take.
    read_max: Duration,
    /// What the stream has to begin with, and from where.
    greeting: Option<(&'static str, Since)>,
    /// What goes out before anything that is heard.
    waiting: VecDeque<sse::Event>,
    /// The last step this browser was told of, or need not be; none if the record could not be read.
    passed: Option<u64>,
    /// How many events were heard before the record was read.
    overtaken: usize,
    receiver: broadcast::Receiver<Sent>,
    clock: Clock,
    beat: Interval,
    who: SignedIn,
    stopping: CancellationToken,
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
    /// The record of alerts.
    pub view: &'a Arc<dyn View>,
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
    since: Since,
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
        view: Arc::clone(with.view),
        read_max: with.limits.handler_time_max,
        greeting: Some(("hello", since)),
        waiting: VecDeque::new(),
        passed: None,
        overtaken: 0,
        // Before the record is read.
        receiver: with.events.subscribe(),
        clock: with.clock.clone(),
        beat,
        who,
        stopping: with.stopping.clone(),
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
        loop {
            if let Some((name, since)) = self.greeting.take() {
                let stopping = self.stopping.clone();
                stopping.run_until_cancelled(self.begin(name, since)).await?;
            }
            if self.stopping.is_cancelled() || self.who.ended.is_cancelled() {
                return None;
            }
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            tokio::select! {
                biased;
                () = self.stopping.cancelled() => return None,
                () = self.who.ended.cancelled() => return None,
                () = tokio::time::sleep_until(self.who.expires) => return None,
                received = self.receiver.recv() => match received {
                    Ok(sent) => {
                        let heard = self.heard(&sent);
                        self.waiting.extend(heard);
                    }
                    Err(RecvError::Lagged(missed)) => {
                        tracing::info!(missed, user = %self.who.user, "a browser fell behind and fetches everything anew");
                        self.greeting = Some(("resync", self.passed.map_or(Since::Unknown, Since::Step)));
                    }
                    Err(RecvError::Closed) => return None,
                },
                _ = self.beat.tick() => {
                    let beat = Event::Beat { now: At(self.clock.now()) };
                    return Some(sse::Event::default().event(beat.name()).data(line(&beat)));
                }
            }
        }
    }

    /// What of an event goes out; none if the record has told it, or will tell it in its place.
    fn heard(&mut self, sent: &Sent) -> Option<sse::Event> {
        let overtaken = self.overtaken > 0;
        self.overtaken = self.overtaken.saturating_sub(1);
        let event = sse::Event::default().event(sent.name).data(&*sent.json);
        let Some(step) = sent.step else { return (!(sent.early && overtaken)).then_some(event) };
        if self.passed.is_some_and(|passed| step <= passed) {
            return None;
        }
        self.passed = Some(step);
        Some(event.id(step.to_string()))
    }

    /// The greeting, and what the record holds since; `resync` if it cannot say what has happened since.
    async fn begin(&mut self, name: &'static str, since: Since) {
        let (from, steps) = match since {
            Since::Now => {
                let last = self.last_step().await;
                (last, Some(Steps { events: Vec::new(), up_to: last.unwrap_or_default() }))
            }
            Since::Step(step) => {
                let view = Arc::clone(&self.view);
                let steps = self.read(async move { view.steps_after(step).await }).await;
                (Some(step), steps.ok().flatten().flatten())
            }
            Since::Unknown => (None, None),
        };
        if let Some(Steps { events, up_to }) = steps {
            if name == "resync" {
                self.metrics.event_resyncs.inc();
            }
            self.waiting.push_back(self.greeting(name, from));
            self.passed = from.map(|from| from.max(up_to));
            self.overtaken = if events.is_empty() { 0 } else { self.receiver.len() };
            self.waiting.extend(
                events.iter().map(|(step, event)| {
                    sse::Event::default().event(event.name()).data(line(event)).id(step.to_string())
                }),
            );
        } else {
            self.metrics.event_resyncs.inc();
            if name != "resync" {
                self.waiting.push_back(self.greeting(name, None));
            }
            // From here on it is whole again: this number is read before the browser fetches.
            self.passed = self.last_step().await;
            self.waiting.push_back(self.greeting("resync", self.passed));
            self.overtaken = 0;
        }
    }

    async fn last_step(&self) -> Option<u64> {
        let view = Arc::clone(&self.view);
        self.read(async move { view.last_step().await }).await.ok().flatten()
    }

    /// On a task of its own, which ends in time: the server wants streams that threads can share, and what `View` promises cannot
    /// be shared.
    fn read<T: Send + 'static>(
        &self,
        reading: impl Future<Output = Result<T, ViewError>> + Send + 'static,
    ) -> JoinHandle<Option<T>> {
        let read_max = self.read_max;
        tokio::spawn(async move {
            match tokio::time::timeout(read_max, reading).await {
                Ok(Ok(read)) => Some(read),
                Ok(Err(error)) => {
                    tracing::warn!(%error, "a stream of events could not read the record of alerts");
                    None
                }
                Err(_) => {
                    tracing::warn!("reading the record of alerts for a stream of events took too long");
                    None
                }
            }
        })
    }

    fn greeting(&self, name: &str, id: Option<u64>) -> sse::Event {
        let greeting = sse::Event::default().event(name).data(line(&self.events.hello(self.clock.now())));
        match id {
            Some(id) => greeting.id(id.to_string()),
            None => greeting,
        }
    }
}

fn line(event: &Event) -> String {
    // Names, times and decimal text only: this cannot fail, and an empty line would be a harmless event.
    serde_json::to_string(event).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_stream_begins_where_the_header_says_or_else_the_query() {
        let of = |header: Option<&'static str>, query: &str| {
            let name = http::HeaderName::from_static("last-event-id");
            let header = header.map(|value| (name, HeaderValue::from_static(value)));
            Since::of(&header.into_iter().collect(), query)
        };
        assert_eq!((of(None, ""), of(None, "x=1"), of(Some(""), "")), (Since::Now, Since::Now, Since::Now));
        assert_eq!((of(Some("17"), ""), of(None, "x=1&last_event_id=17")), (Since::Step(17), Since::Step(17)));
        assert_eq!(of(Some("17"), "last_event_id=9"), Since::Step(17), "the header is what the browser keeps itself");
        for bad in ["x", "-1", "+1", "1 2", "18446744073709551616"] {
            let query = format!("last_event_id={bad}");
            assert_eq!((of(Some(bad), ""), of(None, query.as_str())), (Since::Unknown, Since::Unknown), "{bad}");
        }
    }
}
