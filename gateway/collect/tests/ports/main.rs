//! Serial ports over real pseudo-terminals: unplugged, plugged in again, noisy, and cut anywhere.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod cable;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use cable::{Cable, PATIENCE};
use pitchside_collect::serial::packets::Mark;
use pitchside_collect::serial::{self, PacketForm, Port, PortConfig, PortState, Speaks};
use pitchside_collect::{Admission, Channel, CloseReason, Inbound, Intake, Link, Outbound, Refused, Rights, Settled};
use pitchside_model::{DeviceId, LinkId, Medium};
use pitchside_wire::cobs;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

struct Desk(mpsc::Sender<Event>);

enum Event {
    Opened(Link),
    Took(Vec<Inbound>),
    Closed(LinkId),
}

#[async_trait]
impl Intake for Desk {
    async fn admit(&self, _ask: Admission) -> Result<Rights, Refused> {
        Err(Refused::NotAuthorized)
    }
    async fn opened(&self, link: Link) {
        self.0.try_send(Event::Opened(link)).ok();
    }
    async fn take(&self, _link: &Link, inbound: Vec<Inbound>) {
        self.0.try_send(Event::Took(inbound)).ok();
    }
    async fn closed(&self, link: LinkId) {
        self.0.try_send(Event::Closed(link)).ok();
    }
}

/// A port on `cable`'s path and what its desk hears.
struct Bench {
    port: Port,
    events: mpsc::Receiver<Event>,
    shutdown: CancellationToken,
    heard: Vec<Inbound>,
}

impl Bench {
    fn new(cable: &Cable, speaks: Speaks) -> Self {
        let (sender, events) = mpsc::channel(100_000);
        let config = PortConfig {
            reopen_after_min: Duration::from_millis(5),
            reopen_after_max: Duration::from_millis(20),
            hello: if matches!(speaks, Speaks::Packets { .. }) { b"b".to_vec() } else { Vec::new() },
            ..PortConfig::new(cable.path(), 115_200, speaks)
        };
        let shutdown = CancellationToken::new();
        let port = serial::start(config, Arc::new(Desk(sender)), shutdown.clone());
        Self { port, events, shutdown, heard: Vec::new() }
    }

    async fn event(&mut self) -> Event {
        timeout(PATIENCE, self.events.recv()).await.expect("the desk hears nothing").unwrap()
    }

    /// The link of a port that is open and listens.
    async fn opened(&mut self) -> Link {
        let Event::Opened(link) = self.event().await else { panic!("not opened") };
        let mut state = self.port.state();
        timeout(PATIENCE, state.wait_for(|state| *state == PortState::Open(link.id))).await.unwrap().unwrap();
        link
    }

    async fn closed(&mut self) -> LinkId {
        loop {
            if let Event::Closed(link) = self.event().await {
                return link;
            }
        }
    }

    /// The next frame or line.
    async fn next(&mut self) -> Inbound {
        while self.heard.is_empty() {
            if let Event::Took(inbound) = self.event().await {
                self.heard = inbound;
            }
        }
        self.heard.remove(0)
    }
}

/// A cable that is plugged in, and the desk that hears the lines of what is at its other end.
fn of_lines() -> (Cable, Bench) {
    let mut cable = Cable::new();
    cable.plug();
    let bench = Bench::new(&cable, Speaks::Lines { device: DeviceId::parse("scale-1").unwrap() });
    (cable, bench)
}

/// The desk could not store it.
fn not_stored(inbound: &Inbound) -> Outbound {
    Outbound::Settled(vec![(inbound.ticket, Settled::Unavailable)])
}

fn on_the_line(frame: &[u8]) -> Vec<u8> {
    let mut line = Vec::new();
    cobs::encode(frame, &mut line);
    line
}

#[tokio::test]
async fn frames_go_both_ways() {
    let mut cable = Cable::new();
    cable.plug();
    let mut bench = Bench::new(&cable, Speaks::Ps1);
    let link = bench.opened().await;
    assert_eq!((link.medium, &link.device, link.is_authenticated()), (Medium::Serial, &None, false));
    cable.write(&on_the_line(b"a frame\0with a zero")).await;
    let inbound = bench.next().await;
    assert_eq!((inbound.channel, inbound.bytes.as_ref()), (Channel::Up, b"a frame\0with a zero".as_ref()));

    link.send(Outbound::Frame(Bytes::from_static(b"receipt\0"))).unwrap();
    link.send(Outbound::Frame(Bytes::from_static(b"next"))).unwrap();
    let mut decoder = cobs::Decoder::default();
    let mut frames = Vec::new();
    while frames.len() < 2 {
        let bytes = cable.read().await;
        decoder.push(&bytes, |frame| frames.push(frame.unwrap().to_vec()));
    }
    assert_eq!(frames, [b"receipt\0".to_vec(), b"next".to_vec()]);
}

#[tokio::test]
async fn a_frame_cut_anywhere_arrives_whole_and_noise_costs_only_what_it_falls_into() {
    let mut cable = Cable::new();
    cable.plug();
    let mut bench = Bench::new(&cable, Speaks::Ps1);
    bench.opened().await;
    let frame: Vec<u8> = (0..700).map(|at| (at % 251) as u8).collect();
    for piece in on_the_line(&frame).chunks(7) {
        cable.write(piece).await;
    }
    assert_eq!(bench.next().await.bytes, Bytes::from(frame));

    cable.write(b"\x05ga\0rbage\xff\xff").await;
    cable.write(&[0x55; 40_000]).await;
    cable.write(&[0]).await;
    cable.write(&on_the_line(b"after the noise")).await;
    while bench.next().await.bytes.as_ref() != b"after the noise" {}
}

#[tokio::test]
async fn a_port_that_is_not_there_is_waited_for_and_one_unplugged_comes_back_as_a_new_link() {
    let mut cable = Cable::new();
    let mut bench = Bench::new(&cable, Speaks::Ps1);
    let mut state = bench.port.state();
    let waiting = |state: &PortState| matches!(state, PortState::Waiting(why) if why.contains("No such file"));
    timeout(PATIENCE, state.wait_for(waiting)).await.unwrap().unwrap();

    cable.plug();
    let first = bench.opened().await;
    cable.write(&on_the_line(b"one")).await;
    assert_eq!(bench.next().await.bytes.as_ref(), b"one");
    // Half a frame, and then the plug is pulled.
    cable.write(&[9, b'x', b'y']).await;
    cable.pull();
    assert_eq!(bench.closed().await, first.id);
    assert!(first.send(Outbound::Frame(Bytes::new())).is_err());

    cable.plug();
    let second = bench.opened().await;
    assert_ne!(first.id, second.id);
    cable.write(&on_the_line(b"two")).await;
    assert_eq!(bench.next().await.bytes.as_ref(), b"two");
}

#[tokio::test]
async fn a_wired_device_speaks_in_lines_and_needs_no_proof() {
    let mut cable = Cable::new();
    cable.plug();
    let device = DeviceId::parse("scale-1").unwrap();
    let mut bench = Bench::new(&cable, Speaks::Lines { device: device.clone() });
    let link = bench.opened().await;
    assert_eq!((&link.device, link.is_authenticated()), (&Some(device), true));
    cable.write(b"[{\"n\":\"body_mass\",").await;
    cable.write(b"\"v\":71.5}]\r\n\r\n[]\n").await;
    let line = bench.next().await;
    let first: &[u8] = br#"[{"n":"body_mass","v":71.5}]"#;
    assert_eq!((line.channel, line.bytes.as_ref()), (Channel::Line { dropped: 0 }, first));
    assert_eq!(bench.next().await.bytes.as_ref(), b"[]");
}

#[tokio::test]
async fn lines_that_are_too_long_are_told_with_the_next_one_or_as_the_last_word_of_the_link() {
    let (mut cable, mut bench) = of_lines();
    let first = bench.opened().await;
    let overlong = [vec![b'x'; serial::LINE_BYTES_MAX + 1], vec![b'\n']].concat();
    cable.write(b"[1]\n").await;
    cable.write(&overlong.repeat(2)).await;
    cable.write(b"[2]\n[3]\n").await;
    for (line, dropped) in [(b"[1]", 0), (b"[2]", 2), (b"[3]", 0)] {
        let inbound = bench.next().await;
        assert_eq!((inbound.channel, inbound.bytes.as_ref()), (Channel::Line { dropped }, &line[..]));
    }
    // Whether the second is read before the plug is pulled or not, the first is: the port has no room for both.
    cable.write(&overlong.repeat(2)).await;
    cable.pull();
    let told = bench.next().await;
    assert!(matches!(told.channel, Channel::Line { dropped: 1.. }) && told.bytes.is_empty(), "{told:?}");
    assert_eq!(bench.closed().await, first.id);
}

#[tokio::test]
async fn a_line_that_could_not_be_stored_is_told_with_the_next_one() {
    let (mut cable, mut bench) = of_lines();
    let link = bench.opened().await;
    let mut expected = 1;
    cable.write(b"[0]\n").await;
    let mut last = bench.next().await;
    // What an unstored line told is lost with it, and told again.
    for _ in 0..3 {
        link.send(not_stored(&last)).unwrap();
        last = loop {
            cable.write(b"[]\n").await;
            let line = bench.next().await;
            if line.channel != (Channel::Line { dropped: 0 }) {
                break line;
            }
        };
        assert_eq!((&last.channel, last.bytes.as_ref()), (&Channel::Line { dropped: expected }, &b"[]"[..]));
        expected += 1;
    }
}

#[tokio::test]
async fn a_line_whose_fate_is_known_after_its_link_is_told_by_the_next_link() {
    let (mut cable, mut bench) = of_lines();
    let first = bench.opened().await;
    cable.write(b"[1]\n").await;
    let line = bench.next().await;
    cable.pull();
    assert_eq!(bench.closed().await, first.id);
    first.send(not_stored(&line)).unwrap();
    cable.plug();
    bench.opened().await;
    cable.write(b"[2]\n[3]\n").await;
    for (line, dropped) in [(b"[2]", 1), (b"[3]", 0)] {
        let inbound = bench.next().await;
        assert_eq!((inbound.channel, inbound.bytes.as_ref()), (Channel::Line { dropped }, &line[..]));
    }
}

#[tokio::test]
async fn a_loss_that_its_own_link_cannot_tell_because_that_is_not_stored_either_is_told_by_the_next_link() {
    let (mut cable, mut bench) = of_lines();
    let first = bench.opened().await;
    cable.write(b"[1]\n").await;
    let line = bench.next().await;
    first.send(not_stored(&line)).unwrap();
    cable.pull();
    // Whether the link has a last word depends on which it hears first, the end or the fate.
    loop {
        match bench.event().await {
            Event::Took(inbound) => inbound.iter().for_each(|item| first.send(not_stored(item)).unwrap()),
            Event::Closed(_) => break,
            Event::Opened(_) => panic!("opened before it was closed"),
        }
    }
    cable.plug();
    bench.opened().await;
    cable.write(b"[2]\n").await;
    let next = bench.next().await;
    assert_eq!((next.channel, next.bytes.as_ref()), (Channel::Line { dropped: 1 }, &b"[2]"[..]));
}

#[tokio::test]
async fn packets_are_asked_for_put_together_and_those_that_stay_alone_are_not_kept_waiting() {
    let mut cable = Cable::new();
    cable.plug();
    let device = DeviceId::parse("emg-1").unwrap();
    let form = PacketForm {
        length: 4,
        begins: vec![Mark { value: 0xa0, mask: 0xff }],
        ends: vec![Mark { value: 0xc0, mask: 0xf0 }],
        together: 2,
    };
    let mut bench = Bench::new(&cable, Speaks::Packets { device: device.clone(), form });
    let link = bench.opened().await;
    assert_eq!((&link.device, link.is_authenticated()), (&Some(device), true));
    assert_eq!(cable.read().await, b"b");
    cable.write(b"$$$\xa0\x01\x02").await;
    cable.write(b"\xc0\xa0\x03\x04\xc1\xa0\x05\x06\xc2").await;
    let message = bench.next().await;
    assert_eq!(
        (message.channel, message.bytes.as_ref()),
        (Channel::Line { dropped: 0 }, b"\xa0\x01\x02\xc0\xa0\x03\x04\xc1".as_ref())
    );
    assert_eq!(bench.next().await.bytes.as_ref(), b"\xa0\x05\x06\xc2");
}

#[tokio::test]
async fn the_gateway_can_close_a_port_and_it_opens_again() {
    let mut cable = Cable::new();
    cable.plug();
    let mut bench = Bench::new(&cable, Speaks::Ps1);
    let link = bench.opened().await;
    link.send(Outbound::Close(CloseReason::Revoked)).unwrap();
    assert_eq!(bench.closed().await, link.id);
    bench.opened().await;
}

#[tokio::test]
async fn shutdown_closes_the_port() {
    let mut cable = Cable::new();
    cable.plug();
    let mut bench = Bench::new(&cable, Speaks::Ps1);
    let link = bench.opened().await;
    bench.shutdown.cancel();
    assert_eq!(bench.closed().await, link.id);
    let state = bench.port.state();
    timeout(PATIENCE, bench.port.stopped()).await.unwrap();
    assert_eq!(*state.borrow(), PortState::Stopped);
}
