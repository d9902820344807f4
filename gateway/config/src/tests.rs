use std::net::SocketAddr;
use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::value::SerialMode;

fn folder(dir: &TempDir) -> Sources {
    Sources { files: Files::Folder(dir.path().to_owned()), environment: Vec::new(), flags: Vec::new() }
}

fn write(dir: &TempDir, name: &str, text: &str) {
    std::fs::write(dir.path().join(name), text).unwrap();
}

/// Loads one file with this text.
fn load_text(text: &str) -> Result<Loaded, Problems> {
    let dir = TempDir::new().unwrap();
    write(&dir, "pitchside.toml", text);
    load(&folder(&dir))
}

/// The one fault of this text, with the folder's path taken out.
fn fault(text: &str) -> String {
    let dir = TempDir::new().unwrap();
    write(&dir, "pitchside.toml", text);
    let problems = load(&folder(&dir)).expect_err("a fault");
    problems.to_string().replace(&format!("{}/", dir.path().display()), "")
}

#[test]
fn nothing_at_all_gives_the_defaults() {
    let dir = TempDir::new().unwrap();
    let mut sources = folder(&dir);
    sources.files = Files::Folder(dir.path().join("missing"));
    let settings = check(&sources).unwrap();
    assert_eq!(settings.gateway.data_dir.as_path(), Path::new("/var/lib/pitchside"));
    assert_eq!(settings.gateway.keys_path(), Path::new("/var/lib/pitchside/keys"));
    assert_eq!(settings.mqtt.tls.0, Some("0.0.0.0:8883".parse::<SocketAddr>().unwrap()));
    assert!(settings.mqtt.tcp.is_empty() && settings.serial.is_empty() && settings.ledger.is_none());
    assert_eq!(settings.blocks.interval_s.duration().as_secs(), 60);
}

#[test]
fn later_files_then_variables_then_flags_win() {
    let dir = TempDir::new().unwrap();
    write(&dir, "10.toml", "[blocks]\ninterval_s = 10\nbytes_max = 100000\n[gateway]\nname = \"ten\"\n");
    write(&dir, "20.toml", "[blocks]\ninterval_s = 20\n");
    write(&dir, "30.txt", "no settings");
    let mut sources = folder(&dir);
    let interval = |sources: &Sources| check(sources).unwrap().blocks.interval_s.get();
    assert_eq!(interval(&sources), 20);
    sources.environment.push(("PITCHSIDE_BLOCKS__INTERVAL_S".to_owned(), "30".to_owned()));
    assert_eq!(interval(&sources), 30);
    let sources = sources.with_flag("blocks.interval_s", "40");
    assert_eq!(interval(&sources), 40);
    let loaded = load(&sources).unwrap();
    assert_eq!(loaded.settings.blocks.bytes_max.get(), 100_000);
    let shown = show(&loaded);
    assert!(shown.contains("interval_s = 40 # flag blocks.interval_s"), "{shown}");
    assert!(shown.contains(&format!("bytes_max = 100000 # {}", dir.path().join("10.toml").display())), "{shown}");
    assert!(shown.contains("name = \"ten\" # "), "{shown}");
    assert!(shown.contains("replay_s = 3600 # default"), "{shown}");
}

#[test]
fn variables_speak_of_lists_and_tables_too() {
    let dir = TempDir::new().unwrap();
    let mut sources = folder(&dir);
    for (name, value) in [
        ("PITCHSIDE_MQTT__TCP", "[\"127.0.0.1:1883\", \"[::1]:1883\"]"),
        ("PITCHSIDE_MQTT__TLS", "[::]:8883"),
        ("PITCHSIDE_SERIAL", "[{path=\"/dev/ttyUSB0\",baud=9600}]"),
        ("PITCHSIDE_LOG", "debug"),
        ("PATH", "/bin"),
    ] {
        sources.environment.push((name.to_owned(), value.to_owned()));
    }
    let settings = check(&sources).unwrap();
    assert_eq!(settings.mqtt.tcp.len(), 2);
    assert_eq!((settings.serial[0].path.as_path(), settings.serial[0].baud.get()), (Path::new("/dev/ttyUSB0"), 9_600));
    assert_eq!(settings.mqtt.tls.0.unwrap().to_string(), "[::]:8883");
}

#[test]
fn a_variable_that_would_have_no_effect_is_named() {
    let dir = TempDir::new().unwrap();
    let mut sources = folder(&dir);
    sources.environment.push(("PITCHSIDE_MQTT_TLS".to_owned(), "off".to_owned()));
    sources.environment.push(("PITCHSIDE_MQTT__TSL".to_owned(), "off".to_owned()));
    assert_eq!(
        check(&sources).unwrap_err().to_string(),
        "PITCHSIDE_MQTT_TLS: it would have no effect; two underscores part section and key: did you mean PITCHSIDE_MQTT__TLS?\n\
         PITCHSIDE_MQTT__TSL: mqtt.tsl: there is no such key; did you mean mqtt.tls?"
    );
}

#[test]
fn paths_are_relative_to_the_file_that_names_them() {
    let dir = TempDir::new().unwrap();
    write(&dir, "pitchside.toml", "[gateway]\ndata_dir = \"data\"\n[rules]\ndir = \"/abs\"\n[[serial]]\npath = \"tty\"\n");
    let file = dir.path().join("pitchside.toml");
    let sources = Sources { files: Files::One(file), ..folder(&dir) }.with_flag("plugins.dir", "plugins");
    let settings = check(&sources).unwrap();
    assert_eq!(settings.gateway.data_dir.as_path(), dir.path().join("data"));
    assert_eq!(settings.serial[0].path.as_path(), dir.path().join("tty"));
    assert_eq!(settings.rules.dir.as_path(), Path::new("/abs"));
    assert_eq!(settings.plugins.dir.as_path(), Path::new("plugins"));
}

#[test]
fn unknown_keys_are_refused_with_their_line_and_what_was_meant() {
    for (text, message) in [
        ("\n[mqtt]\ntsl = \"off\"\n", "pitchside.toml:3: mqtt.tsl: there is no such key; did you mean mqtt.tls?"),
        ("[mqqt]\ntls = \"off\"\n", "pitchside.toml:1: mqqt: there is no such section; did you mean [mqtt]?"),
        ("data_dir = \"/x\"\n", "pitchside.toml:1: data_dir: there is no such section; did you mean gateway.data_dir?"),
        ("[mqtt]\nhosts = []\n", "pitchside.toml:2: mqtt.hosts: there is no such key; did you mean http.hosts?"),
        ("[blocks]\ninterval_seconds = 9\n", "pitchside.toml:2: blocks.interval_seconds: there is no such key; did you mean blocks.interval_s?"),
        ("[ledger]\npsk = \"c2VjcmV0\"\n", "pitchside.toml:2: ledger.psk: there is no such key; secrets and keys are given by file: use ledger.psk_file"),
        ("[[serial]]\npath = \"/dev/a\"\n[[serial]]\npath = \"/dev/b\"\nbuad = 9600\n", "pitchside.toml:5: serial.buad: there is no such key; did you mean serial.baud?"),
        ("[mqtt.tls]\ncolour = 1\n", "pitchside.toml: mqtt.tls: expected an address as text in quotes, found a table (or \"off\")"),
    ] {
        assert_eq!(fault(text), message);
    }
}

#[test]
fn an_unknown_key_is_refused_even_where_a_later_file_would_win() {
    let dir = TempDir::new().unwrap();
    write(&dir, "10.toml", "mqtt = 3\n");
    write(&dir, "20.toml", "[mqtt]\n");
    assert!(check(&folder(&dir)).unwrap_err().to_string().contains("10.toml:1: mqtt: it is a section; write [mqtt]"));
}

#[test]
fn wrong_values_are_refused_with_what_is_expected() {
    for (text, part) in [
        ("[mqtt]\ntcp = [\"0.0.0.0:1883\"]", "mqtt.tcp: 0.0.0.0:1883 can be reached from outside, and this listener does not encrypt"),
        ("[mqtt]\ntcp = \"127.0.0.1:1883\"", "mqtt.tcp: expected a list in [ ], found \"127.0.0.1:1883\""),
        ("[mqtt]\ntls = \"8883\"", "mqtt.tls: expected an IP address and port"),
        ("[mqtt]\nconnections_max = 0", "mqtt.connections_max: expected a whole number from 1 to 65536, found 0"),
        ("[mqtt]\nconnections_max = -1", "found -1"),
        ("[mqtt]\nconnections_max = 1.5", "found 1.5"),
        ("[blocks]\ninterval_s = \"60s\"", "blocks.interval_s: expected a whole number of seconds from 1 to 3600, found \"60s\""),
        ("[journal]\ngroup_wait_ms_max = 6", "whole number of milliseconds from 0 to 5, found 6"),
        ("[gateway]\nname = \"a/b\"", "gateway.name: '/' at byte 1 is not allowed"),
        ("[gateway]\ndata_dir = \"\"", "gateway.data_dir: expected a path, found an empty text"),
        ("[gateway]\ndata_dir = 7", "expected a path as text in quotes, found 7"),
        ("[http]\nhosts = [\"box:8443\"]", "http.hosts: expected a host name or IP address without port, found \"box:8443\""),
        ("[http]\naddress = \"off\"", "http.address: expected an IP address and port"),
        ("[[serial]]\nbaud = 9600", "serial[0].path: it is not set, and has no default"),
        ("[[serial]]\npath = \"/dev/a\"\nmode = \"modbus\"", "serial[0].mode: expected \"ps1\" or \"lines\", found \"modbus\""),
        ("[[serial]]\npath = \"/dev/a\"\nmode = \"lines\"", "serial[0].device: mode \"lines\" needs the device"),
        ("[[serial]]\npath = \"/dev/a\"\n[[serial]]\npath = \"/dev/a\"", "serial[1].path: two [[serial]] tables name the same port"),
        ("[serial]\npath = \"/dev/a\"", "serial: it is a list of tables; write [[serial]] for each"),
        ("[ledger]\naddress = \"ledger.example\"", "ledger.address: expected a host and port such as"),
        ("[ledger]\naddress = \"ledger.example:7440\"", "ledger: public_key_file, vkey, psk_file not set"),
        ("[ledger]\nvkey = \"ledger\"", "ledger.vkey: expected a verifier key NAME+HASH+KEY"),
        ("[tls]\ncertificate_file = \"/c.pem\"", "tls: certificate_file and key_file belong together"),
        ("[clock]\nfuture_tolerance_s = 100\nfuture_refused_s = 99", "clock.future_tolerance_s: it is beyond future_refused_s"),
        ("[clock]\nlate_tolerance_s = 100\nlate_refused_s = 99", "clock.late_tolerance_s: it is beyond late_refused_s"),
        ("[mqtt\n", "pitchside.toml: line 1: "),
        ("[mqtt]\ntls = \"off\"\ntls = \"off\"\n", "line 3: "),
    ] {
        let fault = fault(text);
        assert!(fault.contains(part), "{text}\n  gives  {fault}\n  wanted {part}");
        assert!(fault.starts_with("pitchside.toml"), "{fault}");
    }
}

#[test]
fn all_faults_are_told_at_once() {
    let faults = fault("[mqtt]\ntls = 1\ntsl = 1\n[blocks]\ninterval_s = 0\n");
    assert_eq!(faults.lines().count(), 3, "{faults}");
}

#[test]
fn a_missing_or_unreadable_file_is_named() {
    let dir = TempDir::new().unwrap();
    let sources = Sources { files: Files::One(dir.path().join("none.toml")), ..folder(&dir) };
    assert!(check(&sources).unwrap_err().to_string().contains("none.toml: the file cannot be read: "));
    write(&dir, "long.toml", &"# long\n".repeat(200_000));
    assert!(check(&folder(&dir)).unwrap_err().to_string().contains("more than 1048576 bytes"));
}

#[test]
fn a_secret_in_the_wrong_place_is_not_repeated() {
    let secret = "c2VjcmV0".repeat(6);
    let faults = fault(&format!("[mqtt]\ntls = \"off\"\n[http]\npassword = \"{secret}\"\n[blocks]\ninterval_s = \"{secret}\"\n"));
    assert!(!faults.contains(&secret), "{faults}");
}

const WHOLE: &str = r#"
[gateway]
data_dir = "/data \"x\" \\ y"
name = "north-7"
[mqtt]
tcp = ["127.0.0.1:1883"]
tls = "off"
[[serial]]
path = "/dev/a"
[[serial]]
path = "/dev/b"
baud = 9600
mode = "lines"
device = "scale-1"
[tls]
certificate_file = "/c.pem"
key_file = "/k.pem"
[http]
hosts = ["Box.Example", "192.0.2.7"]
[ledger]
address = "[2001:db8::1]:7440"
public_key_file = "/p"
vkey = "ledger.example+0123abcd+ARpc2Vr7Yd0oBq2k1yWm5n3z8Q4t6u7v9w0x1y2z3A4B"
psk_file = "/s"
[journal]
database_bytes_max = 100000000
"#;

#[test]
fn what_is_shown_reads_back_the_same() {
    let loaded = load_text(WHOLE).unwrap();
    assert_eq!(loaded.settings.serial[1].mode, SerialMode::Lines);
    assert_eq!(loaded.settings.http.hosts[0].as_str(), "box.example");
    assert_eq!(loaded.settings.ledger.as_ref().unwrap().address.host(), "2001:db8::1");
    let shown = show(&loaded);
    assert_eq!(load_text(&shown).unwrap().settings, loaded.settings, "{shown}");
}

#[test]
fn every_key_is_explained_and_every_default_parses() {
    let everything = explain("").unwrap();
    for chapter in load::chapters() {
        for key in &chapter.keys {
            let text = explain(&format!("{}.{}", chapter.name, key.name)).unwrap();
            assert!(text.contains(&key.doc[0].trim()[..10]) && everything.contains(key.name), "{text}");
            assert_eq!(key.default.is_some(), key.default_shown.is_some(), "{}.{}: its default does not parse", chapter.name, key.name);
        }
    }
    let text = explain("blocks.interval_s").unwrap();
    assert!(text.contains("blocks.interval_s: seconds; default 60; PITCHSIDE_BLOCKS__INTERVAL_S"), "{text}");
    assert!(explain("blocks").unwrap().contains("blocks.bytes_max"));
    assert_eq!(explain("blocks.interval").unwrap_err(), "there is no key blocks.interval; did you mean blocks.interval_s?");
    assert_eq!(explain("bloks").unwrap_err(), "there is no section bloks; did you mean blocks?");
}
