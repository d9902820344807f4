//! The peer: mosquitto relaying the same messages, QoS 1, with nothing else done: no storage, no authentication.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A broker that ends when dropped.
struct Broker {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn start() -> anyhow::Result<Broker> {
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("mosquitto.conf");
    std::fs::write(
        &config,
        format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nmax_inflight_messages 0\nmax_queued_messages 0\nset_tcp_nodelay true\n"
        ),
    )?;
    let program =
        ["/usr/sbin/mosquitto", "mosquitto"].iter().find(|p| std::path::Path::new(p).exists()).unwrap_or(&"mosquitto");
    let child = Command::new(program)
        .arg("-c")
        .arg(&config)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("starting mosquitto; make bench installs it")?;
    let broker = Broker { child, port, _folder: folder };
    let deadline = Instant::now() + Duration::from_secs(5);
    while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        anyhow::ensure!(Instant::now() < deadline, "mosquitto did not listen within 5 s");
        tokio::task::yield_now().await;
    }
    Ok(broker)
}

fn connect_packet(id: &str) -> Vec<u8> {
    let mut packet =
        vec![0x10, u8::try_from(12 + id.len()).unwrap_or(u8::MAX), 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 0];
    packet.extend_from_slice(&[0, u8::try_from(id.len()).unwrap_or(0)]);
    packet.extend_from_slice(id.as_bytes());
    packet
}

/// Messages a second that publishers get acknowledged while one subscriber receives them all.
pub async fn relayed_per_second(connections: usize, payload: usize, length: Duration) -> anyhow::Result<f64> {
    let broker = start().await?;
    let mut subscriber = TcpStream::connect(("127.0.0.1", broker.port)).await?;
    subscriber.set_nodelay(true)?;
    subscriber.write_all(&connect_packet("subscriber")).await?;
    subscriber.write_all(&[0x82, 8, 0, 1, 0, 3, b'b', b'/', b'#', 1]).await?;
    let drain = tokio::spawn(async move {
        let mut buffer = vec![0; 1 << 16];
        let mut held = Vec::new();
        let mut acks = Vec::new();
        while let Ok(count) = subscriber.read(&mut buffer).await {
            if count == 0 {
                break;
            }
            held.extend_from_slice(&buffer[..count]);
            acks.clear();
            let mut at = 0;
            while let Some((header, end)) = packet_at(&held, at) {
                if held[at] >> 4 == 3 {
                    let topic = usize::from(u16::from_be_bytes([held[header], held[header + 1]]));
                    acks.extend_from_slice(&[0x40, 2, held[header + 2 + topic], held[header + 3 + topic]]);
                }
                at = end;
            }
            held.drain(..at);
            if subscriber.write_all(&acks).await.is_err() {
                break;
            }
        }
    });
    let started = Instant::now();
    let mut publishers = Vec::new();
    for number in 0..connections {
        publishers.push(tokio::spawn(publish(broker.port, number, payload, started + length)));
    }
    let mut acknowledged = 0u64;
    for publisher in publishers {
        acknowledged += publisher.await??;
    }
    let rate = acknowledged as f64 / started.elapsed().as_secs_f64();
    drain.abort();
    Ok(rate)
}

/// Where the body begins and the packet ends, if it is whole.
fn packet_at(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let (mut length, mut shift, mut header) = (0usize, 0, at + 1);
    loop {
        let byte = *bytes.get(header)?;
        header += 1;
        length |= usize::from(byte & 127) << shift;
        shift += 7;
        if byte & 128 == 0 {
            break;
        }
    }
    (bytes.len() >= header + length).then_some((header, header + length))
}

async fn publish(port: u16, number: usize, payload: usize, until: Instant) -> anyhow::Result<u64> {
    const WINDOW: u16 = 500;
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    stream.write_all(&connect_packet(&format!("p{number}"))).await?;
    let mut buffer = vec![0u8; 1 << 16];
    stream.read_exact(&mut buffer[..4]).await?;
    let topic = format!("b/{number}");
    let mut acknowledged = 0u64;
    let mut burst = Vec::new();
    while Instant::now() < until {
        burst.clear();
        for id in 1..=WINDOW {
            let length = 2 + topic.len() + 2 + payload;
            burst.push(0x32);
            let mut rest = length;
            while rest >= 128 {
                burst.push((rest as u8 & 127) | 128);
                rest >>= 7;
            }
            burst.push(rest as u8);
            burst.extend_from_slice(&(topic.len() as u16).to_be_bytes());
            burst.extend_from_slice(topic.as_bytes());
            burst.extend_from_slice(&id.to_be_bytes());
            burst.resize(burst.len() + payload, 0x2a);
        }
        stream.write_all(&burst).await?;
        let mut bytes = 0usize;
        while bytes < usize::from(WINDOW) * 4 {
            let count = stream.read(&mut buffer).await?;
            anyhow::ensure!(count > 0, "mosquitto closed the connection");
            bytes += count;
        }
        acknowledged += u64::from(WINDOW);
    }
    Ok(acknowledged)
}
