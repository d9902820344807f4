use super::*;

fn name() -> PluginName {
    PluginName::parse("acme").unwrap()
}

fn package(number: u8) -> PluginPackage {
    PluginPackage {
        sha256: [number; 32],
        name: name(),
        version: format!("1.{number}.0"),
        signer: "acme.example/plugins".into(),
        archive: vec![number; 100],
        note: b"note".to_vec(),
        installed_at: Timestamp(i64::from(number)),
    }
}

fn install(number: u8, after: Option<u8>) -> PluginChange {
    let grants = vec!["http:hooks.example.org".to_owned()];
    PluginChange::Install { package: package(number), grants, after: after.map(|n| [n; 32]) }
}

fn row(store: &Store) -> PluginRow {
    store.plugin(&name()).unwrap().unwrap()
}

#[test]
fn the_version_before_is_kept_and_comes_back() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let change = |to| store.change_plugin(&name(), to, "a deed", Timestamp(9));
    assert_eq!(change(install(1, None)), Ok(true));
    let back = |to: Option<u8>| PluginChange::RollBack { to: to.map(|n| [n; 32]) };
    for to in [None, Some(1), Some(2)] {
        assert!(matches!(change(back(to)), Err(StoreError::Conflict(_))), "there is none before it, and none is tried");
    }
    assert_eq!(change(install(2, Some(1))), Ok(true));
    assert_eq!((row(&store).current, row(&store).previous), (Some([2; 32]), Some([1; 32])));
    assert_eq!(change(install(3, Some(2))), Ok(true));
    assert_eq!(store.plugin_package([1; 32]), Ok(None), "two are kept, no more");
    assert_eq!(store.plugin_package([2; 32]), Ok(Some(package(2))));
    let generation = row(&store).generation;
    for to in [None, Some(1)] {
        assert!(matches!(change(back(to)), Err(StoreError::Conflict(_))), "it was decided beside something else");
    }
    assert_eq!(change(back(Some(2))), Ok(true));
    assert_eq!((row(&store).current, row(&store).previous), (Some([2; 32]), Some([3; 32])));
    assert!(row(&store).generation > generation, "it is to be started anew");
    assert_eq!(store.plugin_grants(&name()), Ok(vec!["http:hooks.example.org".to_owned()]));
    assert_eq!(change(PluginChange::Remove), Ok(true));
    assert_eq!((store.plugin(&name()), store.plugin_package([2; 32])), (Ok(None), Ok(None)));
    assert_eq!(store.plugin_grants(&name()), Ok(vec![]));
}

#[test]
fn of_two_who_install_at_once_the_second_is_told() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let beside = Tables::attach(dir.path(), root()).unwrap();
    store.change_plugin(&name(), install(1, None), "first", Timestamp(1)).unwrap();
    let second = beside.change_plugin(&name(), install(2, None), "second", Timestamp(2));
    assert!(matches!(second, Err(StoreError::Conflict(_))));
    assert_eq!(row(&store).current, Some([1; 32]));
    assert_eq!(store.plugin_log(None, 9).unwrap().len(), 1, "what did not happen is not in the log");
}

#[test]
fn a_candidate_takes_over_or_goes_and_only_the_one_that_is_tried() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let change = |to| store.change_plugin(&name(), to, "a deed", Timestamp(9));
    let tried = |n| {
        let candidate = Candidate { sha256: [n; 32], payloads: 10, until: Timestamp(99), differ: true };
        PluginChange::Try { package: package(n), grants: vec![], candidate, after: Some([1; 32]) }
    };
    let settle = |n, takes_over| PluginChange::Settle { candidate: [n; 32], takes_over };
    assert!(matches!(change(tried(2)), Err(StoreError::Conflict(_))), "decided beside one that does not run");
    assert_eq!(store.plugin_package([2; 32]), Ok(None));
    change(install(1, None)).unwrap();
    change(tried(2)).unwrap();
    assert_eq!(row(&store).candidate.map(|c| (c.payloads, c.until, c.differ)), Some((10, Timestamp(99), true)));
    assert!(matches!(change(tried(3)), Err(StoreError::Conflict(_))), "one at a time");
    assert_eq!(change(settle(3, true)), Ok(false), "another one is not tried");
    assert_eq!(change(settle(2, false)), Ok(true));
    assert_eq!((row(&store).current, row(&store).candidate), (Some([1; 32]), None));
    assert_eq!(store.plugin_package([2; 32]), Ok(None), "refused, it is not kept");
    change(tried(2)).unwrap();
    assert_eq!(change(PluginChange::RollBack { to: None }), Ok(true));
    assert_eq!((row(&store).current, row(&store).candidate), (Some([1; 32]), None), "tried no more");
    change(tried(2)).unwrap();
    assert_eq!(change(settle(2, true)), Ok(true));
    assert_eq!((row(&store).current, row(&store).previous), (Some([2; 32]), Some([1; 32])));
}

#[test]
fn what_is_set_otherwise_while_a_version_is_tried_gives_it_all_its_time_again() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let change = |to, at| store.change_plugin(&name(), to, "a deed", Timestamp(at)).unwrap();
    let set = |value: &str| PluginChange::Set(store.seal_plugin_setting(&name(), "add", value, false).unwrap());
    let until = || row(&store).candidate.map(|candidate| candidate.until.0);
    change(set("1"), 1);
    assert_eq!(store.plugin(&name()), Ok(None), "what is set makes no row of one that was not installed");
    change(install(1, None), 1);
    let candidate = Candidate { sha256: [2; 32], payloads: 10, until: Timestamp(62), differ: true };
    change(PluginChange::Try { package: package(2), grants: vec![], candidate, after: Some([1; 32]) }, 2);
    for at in [50, 100, 40] {
        change(set("2"), at);
        assert_eq!(until(), Some(at + 60), "a minute from {at} on");
    }
    let unset = || PluginChange::Unset { key: "add".into(), secret: false };
    assert!(change(unset(), 70) && !change(unset(), 80));
    assert_eq!(until(), Some(130), "nothing was set at 80");
    change(PluginChange::Grant("mqtt:hall".into()), 90);
    assert_eq!(until(), Some(130), "what it may do is no setting");
    let tried = row(&store).candidate.map(|candidate| (candidate.sha256, candidate.payloads, candidate.differ));
    assert_eq!(tried, Some(([2; 32], 10, true)), "nothing else changes");
}

#[test]
fn what_an_admin_switched_off_stays_off_whatever_takes_its_place() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let change = |to| store.change_plugin(&name(), to, "a deed", Timestamp(9)).unwrap();
    change(install(1, None));
    assert!(row(&store).enabled, "what comes new is on");
    change(PluginChange::Enable(false));
    let generation = row(&store).generation;
    change(install(2, Some(1)));
    assert_eq!((row(&store).current, row(&store).enabled), (Some([2; 32]), false));
    assert!(row(&store).generation > generation, "switched on, it is started anew");
    change(PluginChange::RollBack { to: Some([1; 32]) });
    assert!(!row(&store).enabled);
    change(PluginChange::Remove);
    change(install(3, None));
    assert!(row(&store).enabled, "nothing is left of what was removed");
}

#[test]
fn every_change_is_noticed_and_the_log_is_bounded_and_sealed() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let before = store.plugins_revision().unwrap();
    store.change_plugin(&name(), PluginChange::Enable(false), "switched off", Timestamp(1)).unwrap();
    let after = store.plugins_revision().unwrap();
    assert!(after > before && !row(&store).enabled);
    store.change_plugin(&name(), PluginChange::Grant("mqtt:hall".into()), "granted", Timestamp(2)).unwrap();
    assert!(store.plugins_revision().unwrap() > after);
    for n in 0..300 {
        store.note_plugin_trouble(&name(), &[format!("pulse {n} of zebra")], Timestamp(n)).unwrap();
    }
    let log = store.plugin_log(Some(&name()), 1_000).unwrap();
    assert_eq!(log.iter().filter(|line| line.deed).count(), 2, "troubles push no deeds out");
    let troubles: Vec<_> = log.iter().filter(|line| !line.deed).collect();
    assert_eq!((troubles.len(), troubles[0].text.as_str()), (200, "pulse 299 of zebra"));
    store.close();
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(8).any(|window| window == b"of zebra"), "a script's last words lie in clear");
    }
}

#[test]
fn signers_are_trusted_until_they_are_not() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let trust = |key: &str, at| store.trust_plugin_signer(key, &format!("{key} is trusted"), Timestamp(at));
    let distrust =
        |key: &str, at| store.distrust_plugin_signer(key, &format!("{key} is trusted no more"), Timestamp(at));
    trust("acme+1", 1).unwrap();
    trust("acme+1", 2).unwrap();
    assert_eq!(store.plugin_signers(), Ok(vec![("acme+1".to_owned(), Timestamp(1))]));
    assert_eq!((distrust("acme+1", 3), distrust("acme+1", 4)), (Ok(true), Ok(false)));
    let log = store.plugin_log(None, 9).unwrap();
    let log: Vec<_> = log.iter().map(|line| (line.name.as_ref(), line.at.0, line.deed, line.text.as_str())).collect();
    let said = [(None::<&PluginName>, 3, true, "acme+1 is trusted no more"), (None, 1, true, "acme+1 is trusted")];
    assert_eq!(log, said, "whom the box trusts stands in the log, what changed nothing does not");
    for n in 0..crate::plugins::SIGNERS_MAX {
        trust(&format!("k{n}"), 1).unwrap();
    }
    assert!(matches!(trust("one more", 1), Err(StoreError::Conflict(_))));
}

#[test]
fn what_an_admin_set_is_sealed_and_goes_with_the_plugin() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let set = |key: &str, value: &str, secret| {
        let sealed = store.seal_plugin_setting(&name(), key, value, secret).unwrap();
        assert!(!format!("{sealed:?}").contains(value));
        store.change_plugin(&name(), PluginChange::Set(sealed), "a deed", Timestamp(1)).unwrap()
    };
    let before = store.plugins_revision().unwrap();
    assert!(set("to", "doctor@example.org", false) && set("token", "tk_very_secret", true));
    assert!(set("to", "nurse@example.org", false), "the later counts");
    assert!(store.plugins_revision().unwrap() > before, "the running gateway notices");
    assert_eq!(store.plugin_settings(&name()), Ok(vec![("to".to_owned(), "nurse@example.org".to_owned())]));
    let secrets = store.plugin_secrets(&name()).unwrap();
    assert_eq!((secrets.len(), secrets[0].0.as_str(), secrets[0].1.as_str()), (1, "token", "tk_very_secret"));
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        for text in ["tk_very_secret", "nurse@example.org"] {
            assert!(
                !bytes.windows(text.len()).any(|window| window == text.as_bytes()),
                "{text} is readable on the disk"
            );
        }
    }
    let drop = |key: &str, secret| {
        let change = PluginChange::Unset { key: key.to_owned(), secret };
        store.change_plugin(&name(), change, "a deed", Timestamp(2)).unwrap()
    };
    assert!(drop("to", false) && !drop("to", false) && !drop("token", false));
    assert_eq!(store.plugin_settings(&name()), Ok(vec![]));
    store.change_plugin(&name(), install(1, None), "a deed", Timestamp(3)).unwrap();
    store.change_plugin(&name(), PluginChange::Remove, "a deed", Timestamp(4)).unwrap();
    assert!(store.plugin_secrets(&name()).unwrap().is_empty());
    let long = store.seal_plugin_setting(&name(), "to", &"x".repeat(1_025), false);
    assert!(matches!(long, Err(StoreError::TooLarge { .. })));
}
