use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;

use tempfile::TempDir;

use super::*;

fn write(dir: &TempDir, name: &str, text: &str) {
    std::fs::write(dir.path().join(name), text).unwrap();
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

/// Loads the files of a folder with these variables and flags.
fn load(dir: &TempDir, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Loaded, Vec<Problem>> {
    Loaded::load_with(&Source::Folder(dir.path().to_owned()), &pairs(environment), &pairs(flags))
}

/// All faults, one a line, with the folder's path taken out.
fn told(dir: &TempDir, problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n").replace(&format!("{}/", dir.path().display()), "")
}

fn faults(text: &str) -> String {
    let dir = TempDir::new().unwrap();
    write(&dir, "p.toml", text);
    told(&dir, &load(&dir, &[], &[]).expect_err("a fault"))
}

#[test]
fn nothing_at_all_gives_the_defaults() {
    let dir = TempDir::new().unwrap();
    let missing = Source::Folder(dir.path().join("missing"));
    let loaded = Loaded::load_with(&missing, &[], &[]).unwrap();
    assert_eq!(loaded.settings, Settings::default());
    assert!(loaded.files.is_empty());
}

#[test]
fn later_files_then_variables_then_flags_win() {
    let dir = TempDir::new().unwrap();
    write(&dir, "10.toml", "[blocks]\ninterval_ms = 1000\nbytes_max = 100000\n[gateway]\nname = \"ten\"\n");
    write(&dir, "20.toml", "[blocks]\ninterval_ms = 2000\n");
    write(&dir, "30.txt", "no settings");
    let variable = [("PITCHSIDE_BLOCKS__INTERVAL_MS", "3000")];
    let interval = |environment: &[_], flags: &[_]| load(&dir, environment, flags).unwrap().settings.blocks.interval_ms;
    assert_eq!(interval(&[], &[]), 2_000);
    assert_eq!(interval(&variable, &[]), 3_000);
    assert_eq!(interval(&variable, &[("blocks.interval_ms", "4000")]), 4_000);
    let loaded = load(&dir, &variable, &[]).unwrap();
    assert_eq!(loaded.settings.blocks.bytes_max, 100_000);
    assert_eq!(loaded.files.len(), 2);
    assert_eq!(loaded.origin("blocks.interval_ms").0, "PITCHSIDE_BLOCKS__INTERVAL_MS");
    assert_eq!(loaded.origin("gateway.name").0, dir.path().join("10.toml").display().to_string());
    assert_eq!(loaded.origin("mqtt.tls").0, "default");
}

#[test]
fn a_later_source_can_switch_a_listener_off() {
    let dir = TempDir::new().unwrap();
    write(&dir, "p.toml", "[mqtt]\ntls = \"0.0.0.0:8883\"\n");
    let tls = |environment: &[_]| load(&dir, environment, &[]).unwrap().settings.mqtt.tls;
    assert_eq!(tls(&[]), Some("0.0.0.0:8883".parse::<SocketAddr>().unwrap()));
    assert_eq!(tls(&[("PITCHSIDE_MQTT__TLS", "off")]), None);
}

#[test]
fn variables_speak_of_lists_and_tables_too() {
    let dir = TempDir::new().unwrap();
    let environment = [
        ("PITCHSIDE_MQTT__TCP", "[\"127.0.0.1:1883\", \"[::1]:1883\"]"),
        ("PITCHSIDE_MQTT__TLS", "[::]:8883"),
        ("PITCHSIDE_SERIAL", "[{path=\"/dev/ttyUSB0\",baud=9600}]"),
        ("PITCHSIDE_LOG", "debug"),
        ("PATH", "/bin"),
    ];
    let settings = load(&dir, &environment, &[]).unwrap().settings;
    assert_eq!(settings.mqtt.tcp.len(), 2);
    assert_eq!(settings.mqtt.tls.unwrap().to_string(), "[::]:8883");
    assert_eq!((settings.serial[0].path.as_path(), settings.serial[0].baud), (Path::new("/dev/ttyUSB0"), 9_600));
}

#[test]
fn a_variable_without_effect_or_with_an_unknown_key_is_named() {
    let dir = TempDir::new().unwrap();
    let problems = load(&dir, &[("PITCHSIDE_MQTT_TLS", "off"), ("PITCHSIDE_MQTT__TSL", "off")], &[("mqtt.tsl", "off")])
        .unwrap_err();
    assert_eq!(
        told(&dir, &problems),
        "PITCHSIDE_MQTT_TLS: settings: has no effect: two underscores part section and key; did you mean PITCHSIDE_MQTT__TLS?\n\
         PITCHSIDE_MQTT__TSL: mqtt.tsl: there is no such setting; did you mean mqtt.tls?\n\
         flag mqtt.tsl: mqtt.tsl: there is no such setting; did you mean mqtt.tls?"
    );
}

#[test]
fn paths_are_relative_to_the_file_that_names_them() {
    let dir = TempDir::new().unwrap();
    write(&dir, "p.toml", "[gateway]\ndata_dir = \"data\"\n[rules]\ndir = \"/abs\"\n[[serial]]\npath = \"tty\"\n");
    let settings = load(&dir, &[], &[("plugins.dir", "plugins")]).unwrap().settings;
    assert_eq!(settings.gateway.data_dir, dir.path().join("data"));
    assert_eq!(settings.serial[0].path, dir.path().join("tty"));
    assert_eq!(settings.rules.dir.unwrap(), Path::new("/abs"));
    assert_eq!(settings.plugins.dir.unwrap(), std::env::current_dir().unwrap().join("plugins"));
}

#[test]
fn unknown_keys_are_refused_with_their_line_and_what_was_meant() {
    let serial = "[[serial]]\npath = \"/dev/a\"\n[[serial]]\npath = \"/dev/b\"\nbuad = 9600\n";
    for (text, message) in [
        ("\n[mqtt]\ntsl = \"off\"\n", "p.toml:3: mqtt.tsl: there is no such setting; did you mean mqtt.tls?"),
        ("[mqqt]\ntls = \"off\"\n", "p.toml:1: mqqt: there is no such setting; did you mean mqtt?"),
        ("data_dir = \"/x\"\n", "p.toml:1: data_dir: there is no such setting; did you mean gateway.data_dir?"),
        ("[mqtt]\nhosts = []\n", "p.toml:2: mqtt.hosts: there is no such setting; did you mean http.hosts?"),
        ("[mqtt]\ncolour = 1\n", "p.toml:2: mqtt.colour: there is no such setting; `pitchside config show` lists all"),
        (serial, "p.toml:5: serial.buad: there is no such setting; did you mean serial.baud?"),
        ("serial = 1\n", "p.toml:1: serial: is a list of tables; write [[serial]] for each"),
    ] {
        assert_eq!(faults(text), message);
    }
}

#[test]
fn an_unknown_key_is_refused_even_where_a_later_file_would_win() {
    let dir = TempDir::new().unwrap();
    write(&dir, "10.toml", "mqtt = 3\n");
    write(&dir, "20.toml", "[mqtt]\n");
    let problems = load(&dir, &[], &[]).unwrap_err();
    assert_eq!(
        told(&dir, &problems),
        "10.toml:1: mqtt: is a section; write [mqtt] on a line of its own, its keys below"
    );
}

#[test]
fn wrong_values_are_refused_with_what_is_expected() {
    for (text, message) in [
        (
            "[mqtt]\ntcp = [\"0.0.0.0:1883\"]",
            "p.toml:2: mqtt.tcp: 0.0.0.0:1883 is not loopback: plaintext stays on this machine",
        ),
        ("[mqtt]\ntcp = \"127.0.0.1:1883\"", "p.toml:2: mqtt.tcp: must be a list in [ ], not \"127.0.0.1:1883\""),
        ("[mqtt]\ntls = \"8883\"", "p.toml:2: mqtt.tls: must be an IP address and port"),
        (
            "[mqtt]\nconnections_max = 0",
            "p.toml:2: mqtt.connections_max: must be a whole number from 1 to 65536, not 0",
        ),
        (
            "[mqtt]\nconnections_max = -1",
            "p.toml:2: mqtt.connections_max: must be a whole number from 1 to 65536, not -1",
        ),
        (
            "[mqtt]\nconnections_max = 1.5",
            "p.toml:2: mqtt.connections_max: must be a whole number from 1 to 65536, not 1.5",
        ),
        (
            "[blocks]\ninterval_ms = \"60s\"",
            "p.toml:2: blocks.interval_ms: must be a whole number from 100 to 86400000, not \"60s\"",
        ),
        (
            "[journal]\ndatabase_bytes_max = 5",
            "p.toml:2: journal.database_bytes_max: must be a whole number from 16777216",
        ),
        ("[gateway]\nname = \"a/b\"", "p.toml:2: gateway.name: '/' at byte 1 is not allowed"),
        ("[gateway]\ndata_dir = \"\"", "p.toml:2: gateway.data_dir: must be a path, not an empty text"),
        ("[gateway]\ndata_dir = 7", "p.toml:2: gateway.data_dir: must be a path in quotes, not 7"),
        (
            "[http]\nhosts = [\"box:8443\"]",
            "p.toml:2: http.hosts: must be host names or IP addresses without port, not \"box:8443\"",
        ),
        ("[http]\nhosts = []", "p.toml:2: http.hosts: must name at least one host"),
        ("[http]\naddress = \"off\"", "p.toml:2: http.address: must be an IP address and port"),
        ("[[serial]]\nbaud = 9600", "p.toml:1: serial.path: must be set"),
        (
            "[[serial]]\npath = \"/a\"\nmode = \"modbus\"",
            "p.toml:3: serial.mode: must be \"ps1\", \"wired\" or \"packets\", not \"modbus\"",
        ),
        ("[[serial]]\npath = \"/a\"\nmode = \"wired\"", "p.toml:1: serial.device: a line without PS/1 must name its"),
        (
            "[[serial]]\npath = \"/a\"\ndevice = \"d\"",
            "p.toml:3: serial.device: only a line without PS/1 names its device",
        ),
        (
            "[[serial]]\npath = \"/a\"\nmode = \"packets\"\ndevice = \"d\"\npacket_begins = \"a0\"",
            "p.toml:1: serial.packet_bytes: packets must say how long they are",
        ),
        (
            "[[serial]]\npath = \"/a\"\nmode = \"packets\"\ndevice = \"d\"\npacket_bytes = 33",
            "p.toml:1: serial.packet_begins: packets must say how they begin",
        ),
        (
            "[[serial]]\npath = \"/a\"\nmode = \"packets\"\ndevice = \"d\"\npacket_begins = \"ax\"",
            "p.toml:5: serial.packet_begins: must be 1 to 8 bytes of two hexadecimal digits",
        ),
        ("[[serial]]\npath = \"/a\"\npacket_begins = \"a0\"", "p.toml:1: serial.mode: only packets have a length"),
        (
            "[[serial]]\npath = \"/a\"\n[[serial]]\npath = \"/a\"",
            "p.toml:4: serial.path: an earlier [[serial]] has the same line",
        ),
        (
            "[ledger]\naddress = \"ledger.example\"\npolicy = \"p\"\npublic_key = \"00\"",
            "p.toml:2: ledger.address: must be HOST:PORT",
        ),
        ("[ledger]\n", "settings: ledger.address: must be set"),
        ("[mqtt\n", "p.toml:1: settings: not TOML: "),
        ("[mqtt]\ntls = \"off\"\ntls = \"off\"\n", "p.toml:3: settings: not TOML: duplicate key"),
    ] {
        let faults = faults(text);
        assert!(faults.starts_with(message), "{text}\n  gives  {faults}\n  wanted {message}");
    }
}

#[test]
fn two_listeners_that_want_the_same_place_are_refused_before_one_of_them_does_not_start() {
    for (text, message) in [
        (
            "[mqtt]\ntls = \"0.0.0.0:8883\"\n[http]\naddress = \"192.0.2.7:8883\"\n",
            "p.toml:4: http.address: 192.0.2.7:8883 is where mqtt.tls listens, too (0.0.0.0:8883): give one of them another port",
        ),
        // The page is at 127.0.0.1:8443 unless it is set.
        ("[mqtt]\ntls = \"0.0.0.0:8443\"\n", "p.toml:2: mqtt.tls: 0.0.0.0:8443 is where http.address listens, too"),
        (
            "[mqtt]\ntcp = [\"127.0.0.1:1883\", \"127.0.0.1:1883\"]\n",
            "p.toml:2: mqtt.tcp: 127.0.0.1:1883 is where mqtt.tcp",
        ),
        (
            "[mqtt]\ntls = \"[::]:8883\"\nwebsocket = \"0.0.0.0:8883\"\n",
            "p.toml:3: mqtt.websocket: 0.0.0.0:8883 is where mqtt.tls listens",
        ),
    ] {
        let faults = faults(text);
        assert!(
            faults.starts_with(message) && faults.lines().count() == 1,
            "{text}\n  gives  {faults}\n  wanted {message}"
        );
    }
    let dir = TempDir::new().unwrap();
    let firmware = "[mqtt]\ntls = \"0.0.0.0:7790\"\n[firmware]\nlisten = \"0.0.0.0:7790\"\n";
    for fine in
        ["[mqtt]\ntcp = [\"127.0.0.1:0\"]\ntls = \"127.0.0.1:0\"\n[http]\naddress = \"127.0.0.1:0\"\n", firmware]
    {
        write(&dir, "p.toml", fine);
        assert!(load(&dir, &[], &[]).is_ok(), "{fine}");
    }
    // Without firmware for other boxes the gateway runs, and tells why: once releases are believed.
    let unserved = |text: &str| {
        write(&dir, "p.toml", text);
        load(&dir, &[], &[]).unwrap().settings.unserved()
    };
    assert_eq!(unserved(firmware), None);
    let ledger = format!(
        "release_policy = \"r\"\n[ledger]\naddress = \"l:1\"\npolicy = \"p\"\npublic_key = \"{}\"\n",
        "0a".repeat(32)
    );
    let why = unserved(&format!("{firmware}{ledger}")).unwrap();
    assert!(why.contains("firmware: 0.0.0.0:7790 is where mqtt.tls listens, too (0.0.0.0:7790): give one"), "{why}");
    assert_eq!(unserved(&format!("{}{ledger}", firmware.replacen("7790", "8883", 1))), None);
    write(&dir, "p.toml", firmware);
    let flag = load(&dir, &[], &[("http.address", "0.0.0.0:7790")]).unwrap_err();
    assert!(told(&dir, &flag).starts_with("flag http.address: http.address: "), "{flag:?}");
}

#[test]
fn an_empty_list_that_an_older_init_wrote_is_named_with_its_line_where_it_is_in_the_way() {
    let old = "serial = []\nble = []\n\n[gateway]\nname = \"a\"\n";
    let (line, adapter) = ("\n[[serial]]\npath = \"/dev/ttyS0\"\n", "\n[[ ble ]] # ours\nadapter = \"hci0\"\n");
    for (more, lines) in [
        (line.to_owned(), "line 1 (`serial = []`)"),
        (adapter.to_owned(), "line 2 (`ble = []`)"),
        (format!("{adapter}{line}"), "line 1 (`serial = []`) and line 2 (`ble = []`)"),
    ] {
        let wanted = format!("p.toml:7: settings: not TOML: duplicate key: remove {lines}: `pitchside init` of");
        let faults = faults(&format!("{old}{more}"));
        assert!(faults.starts_with(&wanted), "{faults}");
    }
    // Alone they do no harm, and without them tables are read.
    let dir = TempDir::new().unwrap();
    for text in [old.to_owned(), format!("{line}{adapter}[gateway]\nname = \"a\"\n")] {
        write(&dir, "p.toml", &text);
        assert!(load(&dir, &[], &[]).is_ok(), "{text}");
    }
    // Another fault before it is told as it is.
    let twice = format!("{old}name = \"b\"\n{line}");
    assert_eq!(faults(&twice), "p.toml:6: settings: not TOML: duplicate key");
}

#[test]
fn all_faults_are_told_at_once() {
    let faults = faults("[mqtt]\ntls = 1\ntsl = 1\n[blocks]\ninterval_ms = 0\n[ledger]\naddress = \"x:1\"\n");
    assert_eq!(faults.lines().count(), 5, "{faults}");
}

#[test]
fn a_file_too_long_or_missing_is_named() {
    let dir = TempDir::new().unwrap();
    write(&dir, "long.toml", &"# long\n".repeat(200_000));
    assert_eq!(told(&dir, &load(&dir, &[], &[]).unwrap_err()), "long.toml: settings: has more than 1048576 bytes");
    let missing = Loaded::load_with(&Source::File(dir.path().join("none.toml")), &[], &[]).unwrap_err();
    assert!(told(&dir, &missing).starts_with("none.toml: settings: can't be read ("));
}

#[test]
fn a_secret_in_the_wrong_place_is_not_repeated() {
    let secret = "c2VjcmV0".repeat(6);
    let faults = faults(&format!("[http]\npassword = \"{secret}\"\n[blocks]\ninterval_ms = \"{secret}\"\n"));
    assert!(!faults.contains(&secret), "{faults}");
}

#[test]
fn what_is_written_reads_back_the_same() {
    let dir = TempDir::new().unwrap();
    write(
        &dir,
        "p.toml",
        r#"
        [gateway]
        data_dir = "/data \"x\" \\ y"
        [mqtt]
        tcp = ["127.0.0.1:1883"]
        tls = "[::]:8883"
        [[serial]]
        path = "/dev/b"
        baud = 9600
        mode = "wired"
        device = "scale-1"
        [[serial]]
        path = "/dev/c"
        mode = "packets"
        device = "emg-1"
        packet_bytes = 33
        packet_begins = "a0"
        packet_ends = "C?"
        hello = "b"
        [http]
        hosts = ["Box.Example", "192.0.2.7"]
        [ledger]
        address = "[2001:db8::1]:7440"
        public_key = "00FF00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff"
        policy = "policy"
        [rules]
        dir = "rules"
        [journal]
        database_bytes_max = 100000000
        "#,
    );
    let settings = load(&dir, &[], &[]).unwrap().settings;
    assert_eq!(settings.http.hosts[0], "box.example");
    write(&dir, "p.toml", &toml::to_string(&settings).unwrap());
    assert_eq!(load(&dir, &[], &[]).unwrap().settings, settings);
}

#[test]
fn every_key_is_explained() {
    for key in explain::keys() {
        let found = explain::explain(key);
        assert!(found.len() == 1 && found[0].1.len() > 10 && !found[0].1.contains("  "), "{key}: {found:?}");
    }
    assert_eq!(explain::explain("blocks").len(), 3, "the section and its two keys");
    // The README names the sections that can be asked for.
    let readme = include_str!("../README.md");
    let sections: BTreeSet<&str> = explain::keys().filter_map(|key| Some(key.split_once('.')?.0)).collect();
    for section in sections {
        assert!(explain::explain(section).len() > 1 && readme.contains(&format!("`{section}`")), "{section}");
    }
    assert!(explain::explain("block").is_empty());
}

#[test]
fn the_readmes_example_of_delivery_is_read_as_it_says() {
    let readme = include_str!("../README.md");
    let example = readme.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let dir = TempDir::new().unwrap();
    write(&dir, "p.toml", example);
    let loaded = load(&dir, &[], &[]).unwrap();
    let delivery = loaded.settings.delivery.clone();
    assert_eq!((delivery.escalate_after, delivery.zone.as_str()), (EscalateAfter::default(), "Europe/Berlin"));
    let routes: Vec<_> = delivery.routes.iter().map(|(name, route)| (name.as_str(), route.from_level)).collect();
    assert_eq!(routes, [("chief-physician", 1), ("phone", 0)]);
    assert_eq!(delivery.authorities, Some(dir.path().join("clinic-ca.pem")), "beside the settings");
    assert_eq!(delivery.routes.values().next_back().unwrap().quiet, QuietHours::parse("22:00-07:00"));
    assert!(loaded.origin("delivery.routes.phone.quiet").0.ends_with("p.toml"));
    // What is written from settings is read the same.
    let again = TempDir::new().unwrap();
    write(&again, "p.toml", &toml::to_string(&loaded.settings).unwrap());
    assert_eq!(load(&again, &[], &[]).unwrap().settings.delivery, delivery);
}

#[test]
fn the_zone_of_sensors_is_one_of_the_database_or_left_out() {
    let dir = TempDir::new().unwrap();
    write(&dir, "p.toml", "[bluetooth]\nzone = \"Europe/Berlin\"\n");
    let settings = load(&dir, &[], &[]).unwrap().settings;
    assert_eq!(settings.bluetooth.zone.as_deref(), Some("Europe/Berlin"));
    assert_eq!(Settings::default().bluetooth.zone, None, "that of delivery");
    // What is written from settings is read the same.
    write(&dir, "p.toml", &toml::to_string(&settings).unwrap());
    assert_eq!(load(&dir, &[], &[]).unwrap().settings, settings);
    let told = faults("[bluetooth]\nzone = \"Mars/Olympus\"\n");
    assert!(told.starts_with("p.toml:2: bluetooth.zone: must be a name of the IANA time zone database"), "{told}");
}

#[test]
fn what_delivery_cannot_be_is_told_with_its_place() {
    let of = |line: &str| faults(&format!("[delivery]\n{line}\n"));
    for (line, wanted) in [
        ("escalate_after = { urgent = \"5min\" }", "p.toml:2: delivery.escalate_after: names no priority \"urgent\""),
        ("escalate_after = { high = \"5s\" }", "delivery.escalate_after: high must be a span from 10s to 7d"),
        ("escalate_after = 5", "must be a table such as { high = \"5min\", medium = \"off\" }, not 5"),
        ("escalate_levels = 10", "must be a whole number from 0 to 9"),
        ("zone = \"Mars/Olympus\"", "must be a name of the IANA time zone database"),
        ("drill_every = \"30s\"", "must be a span from 1min to 1d, such as \"5min\", or \"off\""),
        ("routes.phone.quiet = \"22-7\"", "delivery.routes: .phone: quiet must be two times of the day"),
        ("routes.phone.min_priority = \"urgent\"", ".phone: min_priority must be \"low\", \"medium\" or \"high\""),
        ("routes.phone.categories = [\"moods\"]", ".phone: categories must be a list of"),
        ("routes.phone.colour = 1", ".phone: has no \"colour\""),
        ("routes.\"a b\" = {}", "which names no output:"),
    ] {
        let told = of(line);
        assert!(told.contains(wanted), "{line}: {told}");
    }
    let dir = TempDir::new().unwrap();
    write(&dir, "p.toml", "[delivery]\ndrill_every = \"off\"\n");
    let loaded = load(&dir, &[("PITCHSIDE_DELIVERY__ESCALATE_AFTER", "{high=\"off\"}")], &[]).unwrap();
    assert_eq!(loaded.settings.delivery.drill_every, Every(None));
    let after = loaded.settings.delivery.escalate_after;
    assert_eq!((after.high, after.medium), (None, Some(Span(900))));
}
