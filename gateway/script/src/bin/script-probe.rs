//! A worker for the tests: runs the script it is sent, or steps over a line of the jail on purpose.

use pitchside_script::{Fault, Limits, Sandbox, compile, serve};
use rhai::{Dynamic, Scope};

fn main() -> std::process::ExitCode {
    let sandbox = Sandbox::new(Limits::RULE, |_| {});
    match serve(&mut |request| answer(&sandbox, &String::from_utf8_lossy(request)).into_bytes()) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(_) => std::process::ExitCode::FAILURE,
    }
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
        Ok(value) => format!("ok {value}"),
        Err(error) => format!("fault {}", Fault::from_rhai(&error)),
    }
}

/// What no script should ever bring native code to do.
#[allow(clippy::panic)]
fn trespass(deed: &str) -> String {
    let done = match deed {
        "open" => std::fs::read("/etc/hostname").map(|_| ()),
        "write" => std::fs::write("/tmp/pitchside-probe", b"x"),
        "socket" => std::net::TcpStream::connect("127.0.0.1:1").map(|_| ()),
        "unix" => std::os::unix::net::UnixDatagram::unbound().map(|_| ()),
        "process" => std::process::Command::new("/bin/true").status().map(|_| ()),
        "thread" => std::thread::Builder::new().spawn(|| ()).map(|_| ()),
        "sleep" => {
            std::thread::sleep(std::time::Duration::from_secs(60));
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
