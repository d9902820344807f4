//! The command line: exit codes, JSON, files.

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output};

use crate::support::{Gateway, Ledger};

pub fn ledgerd(ledger: &Ledger, args: &[&str]) -> Output {
    let dir = ledger.path();
    Command::new(env!("CARGO_BIN_EXE_ledgerd")).args(["--dir", dir.to_str().unwrap()]).args(args).output().unwrap()
}

pub fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

/// What a command that did what it was asked said.
pub fn said(ledger: &Ledger, args: &[&str]) -> String {
    let output = ledgerd(ledger, args);
    assert_eq!(code(&output), 0, "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What one that failed complained of.
pub fn complaint(ledger: &Ledger, args: &[&str]) -> String {
    let output = ledgerd(ledger, args);
    assert_eq!(code(&output), 1, "{args:?}: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).unwrap()
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

#[test]
fn a_lost_signing_key_is_replaced_once_for_all_and_only_by_an_enrolment_of_the_same_name_and_channel() {
    let (ledger, gateway) = (Ledger::new(), Gateway::new("box-1", 20));
    ledger.enrol(&gateway);
    ledger.enrol(&Gateway::new("box-2", 60));
    let file = ledger.dir.path().join("new.toml");
    let rotate = ["rotate", "box-1", file.to_str().unwrap(), "--shut-out"];
    let psk = |seed| ledgerd::keys::write_key(&ledger.dir.path().join(format!("{seed}.psk")), &[seed; 32]).unwrap();
    [7, 8].into_iter().for_each(psk);
    let new = Gateway::new("box-1", 70);
    let write = |name: &str, key: &Gateway, channel: &Gateway, seed: u8| {
        let (signing, channel) = (key.key.id(), channel.identity.public());
        let keys = format!("signing = \"{signing}\"\nchannel = \"{channel}\"\npsk_file = \"{seed}.psk\"\n");
        std::fs::write(&file, format!("gateway = \"{name}\"\n{keys}")).unwrap();
    };
    let kept = || ledgerd::keys::read_key(&ledger.path().join("psk/box-1.psk")).unwrap();
    // Neither another's file, nor a key that is another's, nor another channel key.
    for (name, key, channel, why) in [
        ("box-2", &new, &gateway, "the enrolment is box-2's, not box-1's"),
        ("box-1", &Gateway::new("box-2", 60), &gateway, "is or was somebody's"),
        ("box-1", &new, &new, "`channel` is not the key box-1 is enrolled with"),
    ] {
        write(name, key, channel, 7);
        let complaint = complaint(&ledger, &rotate);
        assert!(complaint.contains(why), "{complaint}");
    }
    assert_eq!(*kept(), gateway.psk, "nothing was changed");
    assert_eq!(ledger.assert_sound().leaves, 3);
    write("box-1", &new, &gateway, 7);
    // No box seals under another key than its chain's: who means a publisher's rotation does not lose a gateway.
    let unasked = complaint(&ledger, &rotate[..3]);
    assert!(unasked.contains("box-1 is a gateway") && unasked.contains("say `--shut-out`"), "{unasked}");
    assert_eq!(*kept(), gateway.psk, "nothing was changed");
    assert_eq!(ledger.assert_sound().leaves, 3);
    assert!(said(&ledger, &rotate).contains("box-1 signs with its new key, leaf 3"));
    assert_eq!(*kept(), [7; 32]);
    // Again it changes the pre-shared key alone.
    write("box-1", &new, &gateway, 8);
    assert!(said(&ledger, &[&rotate[..], &["--json"]].concat()).contains("\"leaf\":null"));
    assert_eq!(*kept(), [8; 32]);
    write("box-1", &gateway, &gateway, 7);
    assert!(complaint(&ledger, &rotate).contains("is or was somebody's"), "the one before never returns");
    assert_eq!(*kept(), [8; 32]);
    write("box-9", &new, &gateway, 7);
    assert!(complaint(&ledger, &["rotate", "box-9", rotate[2]]).contains("nobody is enrolled as box-9"));
    assert_eq!(code(&ledgerd(&ledger, &["rotate", "a/b", rotate[2]])), 2);
    assert_eq!(ledger.assert_sound().leaves, 4);
}
