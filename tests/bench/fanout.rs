//! A release to twenty gateways on one LAN: how often its publisher sends it. Each gateway is a process in a network namespace
//! of its own, behind one bridge; they find each other by mDNS, as on a clinic's LAN, and fetch within the default rates. Needs
//! root, for the namespaces.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use data_encoding::HEXLOWER;
use pitchside_release::manifest::ContentNames;

/// Gateways that want it.
pub const GATEWAYS: usize = 20;
const PORT: u16 = 7_790;
const BRIDGE: &str = "psf-bridge";
/// The default of `firmware.fetch_bytes_per_s_max`.
const FETCH_BYTES_PER_S: u64 = 4_000_000;
/// Longer it never takes.
const PATIENCE: Duration = Duration::from_secs(600);

/// What was measured.
pub struct Outcome {
    /// Bytes the publisher's interface sent, headers and all, for each byte of the file.
    pub copies: f64,
    /// Until the last gateway had it, verified as a whole.
    pub seconds: f64,
}

/// Why namespaces cannot be had; none if they can.
pub fn obstacle() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("it takes root to make network namespaces");
    }
    let works = Command::new("ip").args(["netns", "list"]).output().is_ok_and(|output| output.status.success());
    (!works).then_some("`ip netns` does not work here (package iproute2)")
}

fn name(box_: usize) -> String {
    format!("psf-{box_}")
}

fn ip(args: &str) -> anyhow::Result<Vec<u8>> {
    let output = Command::new("ip").args(args.split(' ')).output().context("ip")?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "ip {args}: {said}");
    Ok(output.stdout)
}

/// One bridge, and a namespace behind it for each box. Taken down when dropped, and before it is put up: a run that was killed
/// leaves its own behind.
struct Lan {
    boxes: usize,
}

impl Lan {
    fn up(boxes: usize) -> anyhow::Result<Self> {
        let lan = Self { boxes };
        lan.down();
        ip(&format!("netns add {BRIDGE}"))?;
        // Flooded, as by the plain switch of a clinic: mDNS is multicast.
        ip(&format!("-n {BRIDGE} link add br0 type bridge mcast_snooping 0"))?;
        ip(&format!("-n {BRIDGE} link set br0 up"))?;
        for at in 0..boxes {
            let name = name(at);
            ip(&format!("netns add {name}"))?;
            ip(&format!("-n {BRIDGE} link add p{at} type veth peer name eth0 netns {name}"))?;
            ip(&format!("-n {BRIDGE} link set p{at} master br0 up"))?;
            ip(&format!("-n {name} addr add 10.77.0.{}/24 brd + dev eth0", at + 1))?;
            ip(&format!("-n {name} link set lo up"))?;
            ip(&format!("-n {name} link set eth0 up"))?;
            ip(&format!("-n {name} route add 224.0.0.0/4 dev eth0"))?;
        }
        Ok(lan)
    }

    fn down(&self) {
        for name in (0..self.boxes).map(name).chain([BRIDGE.to_owned()]) {
            // What is not there need not go.
            let _absent = ip(&format!("netns del {name}"));
        }
    }

    fn sent_bytes(at: usize) -> anyhow::Result<u64> {
        let said = ip(&format!("-n {} -j -s link show eth0", name(at)))?;
        let said: serde_json::Value = serde_json::from_slice(&said).context("ip -j")?;
        said.pointer("/0/stats64/tx/bytes").and_then(serde_json::Value::as_u64).context("no count of bytes sent")
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        self.down();
    }
}

/// A gateway's content service; ended when dropped.
struct Node(Child);

impl Drop for Node {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// Publishes a file of so many bytes to [`GATEWAYS`].
pub fn measure(bytes: usize) -> anyhow::Result<Outcome> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("release.bin");
    let mut content = vec![0u8; bytes];
    blake3::Hasher::new().update(b"fan-out").finalize_xof().fill(&mut content);
    std::fs::File::create(&file)?.write_all(&content)?;
    let names = ContentNames::of(content.as_slice())?;
    drop(content);
    let lan = Lan::up(GATEWAYS + 1)?;
    let (said, heard) = mpsc::sync_channel(GATEWAYS + 1);
    let mut nodes = vec![start(0, dir.path(), &names, Some(&file), said.clone())?];
    until_whole(&heard, 1)?;
    let (before, began) = (Lan::sent_bytes(0)?, Instant::now());
    for at in 1..=GATEWAYS {
        nodes.push(start(at, dir.path(), &names, None, said.clone())?);
    }
    until_whole(&heard, GATEWAYS)?;
    let seconds = began.elapsed().as_secs_f64();
    let copies = (Lan::sent_bytes(0)? - before) as f64 / bytes as f64;
    drop((nodes, lan));
    Ok(Outcome { copies, seconds })
}

fn until_whole(heard: &mpsc::Receiver<usize>, boxes: usize) -> anyhow::Result<()> {
    (0..boxes).try_for_each(|_| heard.recv_timeout(PATIENCE).map(drop).context("a gateway never had the whole file"))
}

fn start(
    at: usize,
    dir: &Path,
    names: &ContentNames,
    file: Option<&Path>,
    said: mpsc::SyncSender<usize>,
) -> anyhow::Result<Node> {
    let program = std::env::current_exe()?.with_file_name("pitchside-content-box");
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &name(at)]).arg(program).arg(dir.join(name(at)));
    command.args([&format!("10.77.0.{}:{PORT}", at + 1), &FETCH_BYTES_PER_S.to_string()]);
    command.args([HEXLOWER.encode(&names.blake3), HEXLOWER.encode(&names.sha256), names.size.to_string()]);
    command.arg("--mdns");
    if let Some(file) = file {
        command.arg("--file").arg(file);
    }
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("pitchside-content-box")?;
    let output = child.stdout.take().context("no output")?;
    std::thread::spawn(move || {
        let whole = BufReader::new(output).lines().map_while(Result::ok).any(|line| line.starts_with("whole"));
        if whole {
            // Nobody listens any more: then it no longer matters.
            let _late = said.send(at);
        }
    });
    Ok(Node(child))
}
