use super::*;

fn plugin(name: &str) -> PluginName {
    PluginName::parse(name).unwrap()
}

fn kept(store: &Store, name: &str) -> Vec<(String, Vec<u8>)> {
    let rows = store.decoder_states(&plugin(name)).unwrap();
    rows.into_iter().map(|(device, state)| (device.as_str().to_owned(), state.unwrap())).collect()
}

#[test]
fn what_decoders_keep_survives_a_restart_sealed_and_goes_when_it_is_to() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let topic = b"zigbee2mqtt/room of Ann".to_vec();
    let changes = [(device("hub-1"), Some(topic.clone())), (device("hub-2"), Some(vec![2])), (device("hub-3"), None)];
    store.put_decoder_states(&plugin("rooms"), &changes).unwrap();
    store.put_decoder_states(&plugin("others"), &[(device("hub-1"), Some(vec![9]))]).unwrap();
    drop(store);
    let store = open(dir.path());
    let of = |device: &str, state: &[u8]| (device.to_owned(), state.to_vec());
    assert_eq!(kept(&store, "rooms"), [of("hub-1", &topic), of("hub-2", &[2])]);
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let disk = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!disk.windows(topic.len()).any(|at| at == topic), "encrypted");
    }
    store.put_decoder_states(&plugin("rooms"), &[(device("hub-1"), Some(vec![1])), (device("hub-2"), None)]).unwrap();
    assert_eq!(kept(&store, "rooms"), [of("hub-1", &[1])]);
    store.change_plugin(&plugin("others"), PluginChange::Remove, "removed", Timestamp(1)).unwrap();
    assert!(kept(&store, "others").is_empty());
    let large = [(device("hub-1"), Some(vec![0; 65 * 1024]))];
    assert!(matches!(store.put_decoder_states(&plugin("rooms"), &large), Err(StoreError::TooLarge { .. })));
    assert_eq!(kept(&store, "rooms"), [of("hub-1", &[1])]);
}

#[test]
fn what_was_kept_of_a_device_is_not_its_next_wearers_nor_a_revoked_ones() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let ann = AthleteId::parse("ann").unwrap();
    store.add_athlete(AthleteKey { athlete: ann.clone(), generation: 1, wrapped: vec![1] }, Timestamp(0)).unwrap();
    for hub in ["hub-1", "hub-2", "hub-3"] {
        store.add_device(enrolled(hub)).unwrap();
        store.put_decoder_states(&plugin("rooms"), &[(device(hub), Some(vec![1]))]).unwrap();
    }
    store.revoke_device(&device("hub-1"), Timestamp(1)).unwrap();
    store.assign(&device("hub-2"), &ann, Timestamp(1)).unwrap();
    assert_eq!(kept(&store, "rooms"), [("hub-3".to_owned(), vec![1])]);
    store.put_decoder_states(&plugin("rooms"), &[(device("hub-2"), Some(vec![1]))]).unwrap();
    store.erase_athlete(&ann, Timestamp(2)).unwrap();
    assert_eq!(kept(&store, "rooms"), [("hub-3".to_owned(), vec![1])]);
}
