//! A worker for the tests: runs the script it is sent, or steps over a line of the jail on purpose. With the argument
//! `decoder` it runs them within a decoder's limits, otherwise within a rule's. With `output` it is an output's process, with `parent`
//! the parent of one that spins. With `twice` and `leaves` it only pretends to be a worker: one that answers twice, and one that is gone at the
//! second request.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use pitchside_script::{Fault, Limits, Program, Sandbox, ServeError, Worker, WorkerLimits, compile, serve};
use rhai::{Dynamic, Scope};

fn main() -> std::process::ExitCode {
    let kind = std::env::args().nth(1).unwrap_or_default();
    if kind == "output" {
        return ended(pitchside_script::output::worker::worker_main());
    }
    if kind == "parent" {
        return if parent().is_ok() { std::process::ExitCode::SUCCESS } else { std::process::ExitCode::FAILURE };
    }
    if kind == "twice" || kind == "leaves" {
        return if pretend(kind == "leaves").is_ok() {
            std::process::ExitCode::SUCCESS
        } else {
            std::process::ExitCode::FAILURE
        };
    }
    let sandbox = Sandbox::new(if kind == "decoder" { Limits::DECODER } else { Limits::RULE }, |_| {});
    ended(serve(&mut |request| answer(&sandbox, &String::from_utf8_lossy(request)).into_bytes()))
}

/// Starts a worker, lets it spin, says which process it is, and waits for it.
fn parent() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let program = Program { exe: std::env::current_exe()?, args: Vec::new() };
        let mut worker = Worker::spawn(&program, WorkerLimits::default()).await?;
        let id = worker.id().unwrap_or_default();
        // Polled first, the call has sent its request when this says who got it.
        let (called, told) = tokio::join!(worker.call(b"!spin", Duration::from_secs(600)), async {
            writeln!(std::io::stdout(), "{id}")
        });
        told?;
        called?;
        Ok(())
    })
}

/// A worker that was taken over, outside of every jail. To each request it says twice what it was asked; or to the first, once, that a
/// script is loaded (two variants of postcard, the first of each), and to the second nothing.
fn pretend(leaves: bool) -> std::io::Result<()> {
    const LOADED: [u8; 2] = [0, 0];
    let mut parent = UnixStream::from(rustix::io::dup(std::io::stdin())?);
    let mut header = [0u8; 9];
    while parent.read_exact(&mut header).is_ok() {
        let [a, b, c, d, kind, number @ ..] = header;
        let length = usize::try_from(u32::from_le_bytes([a, b, c, d])).unwrap_or_default();
        let mut body = vec![0; length.saturating_sub(5)];
        parent.read_exact(&mut body)?;
        // Hello is answered by ready.
        let (kind, body, times) = match (kind, leaves) {
            (0, _) => (1, Vec::new(), 1),
            (_, true) if u32::from_le_bytes(number) > 1 => return Ok(()),
            (_, true) => (3, LOADED.to_vec(), 1),
            (_, false) => (3, body, 2),
        };
        let length = u32::try_from(body.len() + 5).unwrap_or_default().to_le_bytes();
        let frame = [length.as_slice(), &[kind], number.as_slice(), body.as_slice()].concat();
        parent.write_all(&frame.repeat(times))?;
    }
    Ok(())
}

fn ended(how: Result<(), ServeError>) -> std::process::ExitCode {
    if how.is_ok() { std::process::ExitCode::SUCCESS } else { std::process::ExitCode::FAILURE }
}

fn answer(sandbox: &Sandbox, request: &str) -> String {
    match request.strip_prefix('!') {
        Some(deed) => trespass(deed),
        None => run(sandbox, request),
    }
}

fn run(sandbox: &Sandbox, source: &str) -> String {
    serve::note("the probe's script");
    let compiled = match compile(sandbox.engine(), sandbox.limits(), "probe", source, &Scope::new()) {
        Ok(compiled) => compiled,
        Err(problems) => return format!("refused {}", problems.first().map(ToString::to_string).unwrap_or_default()),
    };
    match sandbox.run(|engine| engine.eval_ast::<Dynamic>(&compiled.ast)) {
        Ok(value) if value.is_map() || value.is_array() => format!("ok {}", value.type_name()),
        Ok(value) => format!("ok {value}"),
        Err(error) => format!("fault {}", Fault::in_source(&error, source)),
    }
}

/// What no script should ever bring native code to do.
#[allow(clippy::panic)]
fn trespass(deed: &str) -> String {
    let done = match deed {
        "open" => std::fs::read("/etc/hostname").map(|_| ()),
        "write" => std::fs::write("/tmp/pitchside-probe", b"x"),
        "stat" => std::fs::metadata("/etc/hostname").map(|_| ()),
        "list" => std::fs::read_dir("/").map(|_| ()),
        "unlink" => std::fs::remove_file("/tmp/pitchside-probe"),
        "rename" => std::fs::rename("/tmp/pitchside-probe", "/tmp/pitchside-probe-2"),
        "chdir" => std::env::set_current_dir("/tmp"),
        "duplicate" => rustix::io::dup(std::io::stderr()).map(|_| ()).map_err(Into::into),
        "memory-file" => rustix::fs::memfd_create("x", rustix::fs::MemfdFlags::empty()).map(|_| ()).map_err(Into::into),
        "udp" => std::net::UdpSocket::bind("127.0.0.1:0").map(|_| ()),
        "pipe" => std::io::pipe().map(|_| ()),
        "signal" => rustix::process::getppid().map_or(Ok(()), |parent| {
            rustix::process::kill_process(parent, rustix::process::Signal::CONT).map_err(Into::into)
        }),
        "exec" => Err(std::os::unix::process::CommandExt::exec(&mut std::process::Command::new("/bin/true"))),
        "socket" => std::net::TcpStream::connect("127.0.0.1:1").map(|_| ()),
        "unix" => std::os::unix::net::UnixDatagram::unbound().map(|_| ()),
        "process" => std::process::Command::new("/bin/true").status().map(|_| ()),
        "thread" => std::thread::Builder::new().spawn(|| ()).map(|_| ()),
        "sleep" => {
            std::thread::sleep(Duration::from_secs(60));
            Ok(())
        }
        "spin" => loop {
            std::hint::spin_loop();
        },
        "allocate" => {
            let mut hoard: Vec<Vec<u8>> = Vec::new();
            loop {
                hoard.push(vec![1; 1024 * 1024]);
            }
        }
        "panic" => panic!("on purpose"),
        "large" => return "x".repeat(64 * 1024 * 1024),
        _ => Ok(()),
    };
    format!("{done:?}")
}
