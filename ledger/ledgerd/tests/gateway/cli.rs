//! The command line: exit codes, JSON, files.

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output};

use crate::support::{Gateway, Ledger};

fn ledgerd(ledger: &Ledger, args: &[&str]) -> Output {
    let dir = ledger.path();
    Command::new(env!("CARGO_BIN_EXE_ledgerd")).args(["--dir", dir.to_str().unwrap()]).args(args).output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

#[test]
fn fsck_exits_0_when_sound_3_when_tampered_1_when_absent_and_2_on_misuse() {
    let ledger = Ledger::new();
    let sound = ledgerd(&ledger, &["fsck", "--json"]);
    assert_eq!(code(&sound), 0);
    let said = String::from_utf8(sound.stdout).unwrap();
    assert!(said.contains("\"ok\":true") && said.lines().count() == 1, "{said}");
    assert_eq!(code(&ledgerd(&ledger, &["fsck", "--nonsense"])), 2);
    let bundle = ledger.path().join("log/tile/entries/000.p/1");
    let mut bytes = std::fs::read(&bundle).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&bundle, bytes).unwrap();
    let tampered = ledgerd(&ledger, &["fsck"]);
    assert_eq!(code(&tampered), 3);
    assert!(String::from_utf8(tampered.stdout).unwrap().contains("entry: leaf 0"));
    std::fs::remove_dir_all(ledger.path()).unwrap();
    assert_eq!(code(&ledgerd(&ledger, &["fsck"])), 1);
}

#[test]
fn secrets_are_private_and_init_never_overwrites() {
    let ledger = Ledger::new();
    for name in ["log.key", "operator.key", "channel.key"] {
        let mode = std::fs::metadata(ledger.path().join("keys").join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let before = std::fs::read(ledger.path().join("keys/log.key")).unwrap();
    let again = ledgerd(&ledger, &["init", "--origin", "other.example"]);
    assert_eq!(code(&again), 1);
    assert!(String::from_utf8(again.stderr).unwrap().contains("holds a ledger already"));
    assert_eq!(std::fs::read(ledger.path().join("keys/log.key")).unwrap(), before);
    std::fs::set_permissions(ledger.path().join("keys/log.key"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let open = ledgerd(&ledger, &["serve", "--ingest", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
    assert_eq!(code(&open), 1);
    assert!(String::from_utf8(open.stderr).unwrap().contains("chmod 600"));
}

#[test]
fn a_gateway_is_enrolled_from_its_file_once() {
    let (ledger, gateway) = (Ledger::new(), Gateway::new("box-1", 20));
    let file = ledger.dir.path().join("box-1.toml");
    ledgerd::keys::write_key(&ledger.dir.path().join("ledger.psk"), &gateway.psk).unwrap();
    let (signing, channel) = (gateway.key.id(), gateway.identity.public());
    let text =
        format!("gateway = \"box-1\"\nsigning = \"{signing}\"\nchannel = \"{channel}\"\npsk_file = \"ledger.psk\"\n");
    std::fs::write(&file, &text).unwrap();
    let enrol = || ledgerd(&ledger, &["enrol-gateway", file.to_str().unwrap(), "--json"]);
    let first = enrol();
    assert_eq!(code(&first), 0, "{}", String::from_utf8_lossy(&first.stderr));
    assert!(String::from_utf8(first.stdout).unwrap().contains("\"leaf\":1"));
    assert!(String::from_utf8(enrol().stdout).unwrap().contains("\"leaf\":null"));
    // The same name with another key is somebody else.
    let other = Gateway::new("box-1", 70);
    std::fs::write(&file, text.replace(&signing.to_string(), &other.key.id().to_string())).unwrap();
    let refused = enrol();
    assert_eq!(code(&refused), 1);
    assert!(String::from_utf8(refused.stderr).unwrap().contains("taken"));
    std::fs::write(&file, text.replace("psk_file", "psk_path")).unwrap();
    assert_eq!(code(&enrol()), 1);
    ledger.assert_sound();
}

#[test]
fn an_enrolment_that_can_never_work_or_has_no_end_is_refused_and_nothing_is_entered() {
    let (ledger, gateway) = (Ledger::new(), Gateway::new("box-1", 20));
    let file = ledger.dir.path().join("box-1.toml");
    ledgerd::keys::write_key(&ledger.dir.path().join("ledger.psk"), &gateway.psk).unwrap();
    let enrolment = |signing: &str, channel: &str| {
        format!("gateway = \"box-1\"\nsigning = \"{signing}\"\nchannel = \"{channel}\"\npsk_file = \"ledger.psk\"\n")
    };
    let (signing, channel) = (gateway.key.id().to_string(), gateway.identity.public().to_string());
    let zeros = "00".repeat(32);
    let of_order_8 = "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800";
    let long = format!("{}# {}\n", enrolment(&signing, &channel), "x".repeat(64 << 10));
    for (text, why) in [
        (enrolment(&signing, &zeros), "`channel` is an X25519 key of low order"),
        (enrolment(&signing, of_order_8), "`channel` is an X25519 key of low order"),
        (enrolment(&zeros, &channel), "`signing` is no Ed25519 key"),
        (long, "more than 65536 bytes"),
    ] {
        std::fs::write(&file, &text).unwrap();
        let refused = ledgerd(&ledger, &["enrol-gateway", file.to_str().unwrap()]);
        assert_eq!(code(&refused), 1, "{why}");
        assert!(String::from_utf8(refused.stderr).unwrap().contains(why), "{why}");
    }
    // It says that it has no bytes, and has no end.
    let endless = ledgerd(&ledger, &["enrol-gateway", "/dev/zero"]);
    assert_eq!(code(&endless), 1);
    assert!(String::from_utf8(endless.stderr).unwrap().contains("more than 65536 bytes"));
    assert_eq!(ledger.assert_sound().leaves, 1, "nothing was entered");
    // A publisher that never connects has no channel key, and says so.
    std::fs::write(&file, enrolment(&signing, &zeros)).unwrap();
    let publisher = ledgerd(&ledger, &["enrol-publisher", file.to_str().unwrap()]);
    assert_eq!(code(&publisher), 0, "{}", String::from_utf8_lossy(&publisher.stderr));
}
