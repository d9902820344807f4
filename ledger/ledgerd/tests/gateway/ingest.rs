//! The door and its bounds, by a client that plays by no rules but the protocol's.

use std::time::Duration;

use ledger_block::channel::{ChannelError, Client, Psk, Splitter};
use ledger_block::ingest::{Code, Reply, Request};
use pitchside_sync::Fault;
use pitchside_sync::connection::{Connection, connect};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use zeroize::Zeroizing;

use crate::support::{Gateway, Ledger, PATIENCE, World};

async fn call(ledger: &Ledger, gateway: &Gateway) -> Connection {
    let mut connection = connect(&gateway.config(ledger), &World).await.unwrap();
    connection.requests.send(Request::Hello { seen: 0 }).await.unwrap();
    assert!(matches!(hear(&mut connection).await, Reply::Welcome { .. }));
    connection
}

async fn hear(connection: &mut Connection) -> Reply {
    tokio::time::timeout(PATIENCE, connection.replies.next()).await.unwrap().unwrap()
}

async fn ask(connection: &mut Connection, request: Request) -> Reply {
    connection.requests.send(request).await.unwrap();
    hear(connection).await
}

async fn refusal(connection: &mut Connection, request: Request) -> Code {
    match ask(connection, request).await {
        Reply::Refused { refusal, .. } => refusal.code,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_keys_unknown_gateways_and_repeated_hails_look_the_same_from_outside() {
    let (mut ledger, gateway, stranger) = (Ledger::new(), Gateway::new("box-1", 20), Gateway::new("box-9", 90));
    ledger.enrol(&gateway);
    ledger.start().await;
    let not_authentic = Some(Fault::Channel(ChannelError::NotAuthentic));
    assert_eq!(connect(&stranger.config(&ledger), &World).await.err(), not_authentic);
    let mut config = gateway.config(&ledger);
    config.psk = Psk::new(Zeroizing::new([0; 32]));
    assert_eq!(connect(&config, &World).await.err(), not_authentic);
    // Another ledger's key: it cannot even read the first message.
    let mut config = gateway.config(&ledger);
    config.ledger = gateway.identity.public();
    assert_eq!(connect(&config, &World).await.err(), Some(Fault::Closed));
    // A recorded first message, sent again after the gateway was let in with it.
    let config = gateway.config(&ledger);
    let now = ledgerd::clock::now();
    let start = || Client::start(&config.identity, &config.psk, &config.ledger, now, Zeroizing::new([5; 32])).unwrap();
    let mut answers = Vec::new();
    for _ in 0..2 {
        let (client, hail) = start();
        let mut stream = TcpStream::connect(&config.address).await.unwrap();
        stream.write_all(&hail).await.unwrap();
        let mut answer = [0u8; 51];
        stream.read_exact(&mut answer).await.unwrap();
        let finished = client.finish(&answer[2..]);
        answers.push(finished.is_ok());
        if let Ok(channel) = finished {
            let (mut sealer, mut opener) = channel.split();
            stream.write_all(&sealer.seal(&Request::Hello { seen: 0 }.encode()).unwrap()).await.unwrap();
            let mut splitter = Splitter::new();
            let mut buffer = [0u8; 4_096];
            let welcome = loop {
                if let Some(frame) = splitter.next_frame().unwrap() {
                    break opener.open(frame).unwrap();
                }
                let count = stream.read(&mut buffer).await.unwrap();
                splitter.push(&buffer[..count]);
            };
            assert!(matches!(Reply::decode(&welcome).unwrap(), Reply::Welcome { .. }));
        }
    }
    assert_eq!(answers, [true, false]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_gateway_cannot_take_more_than_its_places() {
    let (mut ledger, gateway, other) = (Ledger::new(), Gateway::new("box-1", 20), Gateway::new("box-2", 40));
    ledger.config.connections_per_gateway_max = 2;
    ledger.enrol(&gateway);
    ledger.enrol(&other);
    ledger.start().await;
    let (first, second) = (call(&ledger, &gateway).await, call(&ledger, &gateway).await);
    let mut third = connect(&gateway.config(&ledger), &World).await.unwrap();
    assert_eq!(refusal(&mut third, Request::Hello { seen: 0 }).await, Code::Busy);
    call(&ledger, &other).await;
    drop((first, second));
    // The places come back when the connections are gone.
    let free = async {
        loop {
            let mut again = connect(&gateway.config(&ledger), &World).await.unwrap();
            if matches!(ask(&mut again, Request::Hello { seen: 0 }).await, Reply::Welcome { .. }) {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, free).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_who_say_nothing_are_cut_and_do_not_keep_others_out() {
    let (mut ledger, gateway) = (Ledger::new(), Gateway::new("box-1", 20));
    // Enough for whoever says who it is, whatever else the machine does.
    ledger.config.handshake_ms_max = 1_000;
    ledger.config.strangers_max = 2;
    ledger.enrol(&gateway);
    ledger.start().await;
    let mut silent = Vec::new();
    for _ in 0..6 {
        silent.push(TcpStream::connect(ledger.config.ingest).await.unwrap());
    }
    call(&ledger, &gateway).await;
    let mut byte = [0u8; 1];
    for stream in &mut silent {
        let ended = tokio::time::timeout(PATIENCE, stream.read(&mut byte)).await.unwrap();
        assert!(ended.map_or(true, |count| count == 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_full_of_strangers_does_not_keep_another_out() {
    let (mut ledger, gateway) = (Ledger::new(), Gateway::new("box-1", 20));
    // Whoever is let in and says nothing stays for longer than this test waits.
    ledger.config.handshake_ms_max = 600_000;
    ledger.config.strangers_max = 8;
    ledger.enrol(&gateway);
    ledger.start().await;
    let mut silent = Vec::new();
    for _ in 0..40 {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        silent.push(socket.connect(ledger.config.ingest).await.unwrap());
    }
    call(&ledger, &gateway).await;
    // Those beyond the share of their address are let go at once.
    let mut byte = [0u8; 1];
    for stream in &mut silent[4..] {
        let ended = tokio::time::timeout(PATIENCE, stream.read(&mut byte)).await.unwrap();
        assert!(ended.map_or(true, |count| count == 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_out_of_order_is_refused_with_its_code() {
    let (mut ledger, mut gateway) = (Ledger::new(), Gateway::new("box-1", 20));
    ledger.enrol(&gateway);
    ledger.start().await;
    let mut line = call(&ledger, &gateway).await;
    let payload = vec![3u8; 100_000];
    let digest = *blake3::hash(&payload).as_bytes();
    let chunk = |offset: u64, bytes: &[u8]| Request::Chunk { payload: digest, offset, bytes: bytes.to_vec() };
    assert_eq!(refusal(&mut line, chunk(0, b"early")).await, Code::Unknown);
    assert_eq!(refusal(&mut line, Request::Begin { header: b"junk".to_vec() }).await, Code::Malformed);
    assert_eq!(refusal(&mut line, Request::Transact { transaction: b"junk".to_vec() }).await, Code::Malformed);
    assert_eq!(refusal(&mut line, Request::Fetch { payload: digest, offset: 0 }).await, Code::Unknown);
    let header = gateway.draw(&payload);
    let begin = || Request::Begin { header: header.bytes().to_vec() };
    assert_eq!(ask(&mut line, begin()).await, Reply::Resume { payload: digest, offset: 0 });
    line.requests.send(chunk(0, &payload[..60_000])).await.unwrap();
    assert_eq!(refusal(&mut line, chunk(0, &payload[..10])).await, Code::WrongOffset);
    assert_eq!(refusal(&mut line, chunk(60_000, &payload[..60_001])).await, Code::TooLarge);
    // Wrong bytes are found at the end, and the upload begins again.
    assert_eq!(refusal(&mut line, chunk(60_000, &[9; 40_000])).await, Code::PayloadMismatch);
    assert_eq!(ask(&mut line, begin()).await, Reply::Resume { payload: digest, offset: 0 });
    line.requests.send(chunk(0, &payload[..60_000])).await.unwrap();
    // Another connection goes on where this one stopped.
    assert_eq!(ask(&mut line, Request::Ping { number: 4 }).await, Reply::Pong { number: 4 });
    drop(line);
    let mut line = call(&ledger, &gateway).await;
    assert_eq!(ask(&mut line, begin()).await, Reply::Resume { payload: digest, offset: 60_000 });
    assert!(matches!(ask(&mut line, chunk(60_000, &payload[60_000..])).await, Reply::Receipt { .. }));
    assert!(matches!(hear(&mut line).await, Reply::Checkpoint(_)));
    assert!(matches!(hear(&mut line).await, Reply::Receipt { .. }));
    // Own payloads can be read back, others' cannot.
    let part = ask(&mut line, Request::Fetch { payload: digest, offset: 99_000 }).await;
    assert_eq!(part, Reply::Part { payload: digest, offset: 99_000, total: 100_000, bytes: vec![3; 1_000] });
    let other = Gateway::new("box-2", 40);
    ledger.enrol(&other);
    let mut theirs = call(&ledger, &other).await;
    assert_eq!(refusal(&mut theirs, Request::Fetch { payload: digest, offset: 0 }).await, Code::Unknown);
    assert_eq!(refusal(&mut theirs, begin()).await, Code::WrongGateway);
    gateway.previous = header.hash();
    // A little ahead is uploaded already, far ahead is a gap.
    let early = |index: u64, gateway: &mut Gateway| {
        gateway.next = index;
        Request::Begin { header: gateway.draw(b"x").bytes().to_vec() }
    };
    assert!(matches!(ask(&mut line, early(7, &mut gateway)).await, Reply::Resume { offset: 0, .. }));
    assert_eq!(refusal(&mut line, early(700, &mut gateway)).await, Code::Gap);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_breaks_the_protocol_is_cut() {
    let (mut ledger, gateway) = (Ledger::new(), Gateway::new("box-1", 20));
    ledger.config.idle_s_max = 1;
    ledger.enrol(&gateway);
    ledger.start().await;
    let mut twice = call(&ledger, &gateway).await;
    twice.requests.send(Request::Hello { seen: 0 }).await.unwrap();
    assert!(tokio::time::timeout(PATIENCE, twice.replies.next()).await.unwrap().is_err());
    let mut first = connect(&gateway.config(&ledger), &World).await.unwrap();
    first.requests.send(Request::Ping { number: 1 }).await.unwrap();
    assert!(tokio::time::timeout(PATIENCE, first.replies.next()).await.unwrap().is_err());
    // Before it says anything: from then on it is silent.
    let began = std::time::Instant::now();
    let mut idle = call(&ledger, &gateway).await;
    assert!(tokio::time::timeout(PATIENCE, idle.replies.next()).await.unwrap().is_err());
    assert!(began.elapsed() >= Duration::from_millis(900));
}
