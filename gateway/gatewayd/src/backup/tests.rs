//! Backups of real boxes on real files: every changed byte is found, and a restore cut off anywhere leaves the old state or
//! the new one.

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use ledger_block::ingest::{Act, HaltReason};
use ledger_block::note::{KeyKind, SignerKey};
use ledger_block::policy::Policy;
use ledger_block::receipt::{Receipt, Sequenced};
use pitchside_config::{Firmware, Gateway, Library, Settings};
use pitchside_model::{AthleteId, DeviceId, PluginName, Timestamp};
use pitchside_store::{
    Anchor, BlockKey, Candidate, ChainStart, CopyName, Level, LibraryRow, Marks, NewBlock, PlainSetting, PluginChange,
    PluginPackage, PluginRow, RootKey, RowId, RuleChange, RuleText, RuleVersion, SnapshotRow, Store,
};
use proptest::prelude::*;
use tempfile::TempDir;

use super::envelope::{CHUNK_BYTES, EnvelopeError, Opener, Sealer, check_tail};
use super::record::Record;
use super::restore::{Restored, staging};
use super::target::is_running;
use super::*;
use crate::adapters::outbox::CHECKPOINT;
use crate::adapters::releases::KnownReleases;
use crate::cli::args::{ClassArg, ConfigArg};
use crate::cli::context::{Context, open};
use crate::cli::device::{Plan, enrol};
use crate::cli::{InitPlan, SETTINGS_FILE, add_athlete, make_box};
use crate::clock::Clock;
use crate::pipeline::firmware::tests::{ORIGIN, policy, reply, signed};

const NOW: Timestamp = Timestamp(1_790_000_000_000_000);

struct Clinic {
    dir: TempDir,
    key: RecoveryKey,
}

impl Clinic {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("box");
        std::fs::create_dir_all(home.join("rules/calm")).unwrap();
        std::fs::write(home.join("rules/calm/rule.rhai"), "true").unwrap();
        std::fs::write(dir.path().join("first.policy"), "policy").unwrap();
        let settings = Settings {
            gateway: Gateway {
                name: DeviceId::parse("pitch-1").unwrap(),
                data_dir: "data".into(),
                key_dir: "keys".into(),
                ..Gateway::default()
            },
            rules: Library { dir: Some("rules".into()) },
            firmware: Firmware { release_policy: Some(dir.path().join("first.policy")), ..Firmware::default() },
            ..Settings::default()
        };
        let made = make_box(&InitPlan { dir: home, settings }).unwrap();
        let clinic = Self { dir, key: RecoveryKey::parse(&made.recovery).unwrap() };
        let context = clinic.context("box");
        for (device, class) in [("s7", ClassArg::P1), ("hub", ClassArg::Password), ("cable", ClassArg::Wired)] {
            let id = DeviceId::parse(device).unwrap();
            let plan = Plan { id, class, own_key: None, decoder: None, filters: Vec::new() };
            let (record, _) = enrol(&context.identity, &plan).unwrap();
            context.tables.add_device(crate::adapters::keys::row(record)).unwrap();
        }
        for athlete in ["ada", "ben"] {
            add_athlete(&context.tables, &context.identity, &AthleteId::parse(athlete).unwrap()).unwrap();
        }
        let (s7, ada) = (DeviceId::parse("s7").unwrap(), AthleteId::parse("ada").unwrap());
        context.tables.assign(&s7, &ada, NOW).unwrap();
        context.tables.erase_athlete(&AthleteId::parse("ben").unwrap(), NOW).unwrap();
        clinic
    }

    fn home(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn context(&self, name: &str) -> Context {
        open(&ConfigArg { file: Some(self.home(name).join(SETTINGS_FILE)) }).unwrap()
    }

    fn backup(&self) -> PathBuf {
        let file = self.home("backup");
        create(&self.context("box"), &file, NOW).unwrap();
        file
    }

    fn restore_to(
        &self,
        name: &str,
        force: bool,
        at: &mut dyn FnMut(Step) -> io::Result<()>,
    ) -> anyhow::Result<Restored> {
        let (file, dir) = (self.home("backup"), self.home(name));
        restore(&RestorePlan { file: &file, dir: &dir, key: &self.key, force }, at)
    }
}

fn seal(key: &RecoveryKey, plain: &[u8]) -> Vec<u8> {
    let mut sealer = Sealer::start(Vec::new(), &key.secret.public(), &[7; 32], [9; 32]).unwrap();
    sealer.write_all(plain).unwrap();
    sealer.finish().unwrap()
}

fn opened(key: &RecoveryKey, file: &[u8]) -> Result<Vec<u8>, EnvelopeError> {
    check_tail(file, file.len() as u64)?;
    read_without_tail(key, file)
}

/// As if the tail had been made to fit.
fn read_without_tail(key: &RecoveryKey, file: &[u8]) -> Result<Vec<u8>, EnvelopeError> {
    let mut plain = Vec::new();
    let mut opener = Opener::start(file, file.len() as u64, key)?;
    opener.read_to_end(&mut plain).map_err(EnvelopeError::of)?;
    Ok(plain)
}

fn some_key() -> RecoveryKey {
    RecoveryKey::make(ledger_block::GatewayKey::new(&[1; 32]).id()).unwrap()
}

#[test]
fn what_is_sealed_in_chunks_opens_again_at_every_length_around_their_edges() {
    let key = some_key();
    for length in [1, 2, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, 2 * CHUNK_BYTES + 9] {
        let plain: Vec<u8> = (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let sealed = seal(&key, &plain);
        assert_eq!(sealed.len(), 104 + length + 16 * length.div_ceil(CHUNK_BYTES) + 32);
        assert_eq!(opened(&key, &sealed).unwrap(), plain);
    }
}

#[test]
fn chunks_swapped_repeated_or_left_out_do_not_open_even_if_the_tail_fits() {
    let key = some_key();
    let sealed = seal(&key, &vec![5; 3 * CHUNK_BYTES]);
    let piece = CHUNK_BYTES + 16;
    let chunk = |n: usize| &sealed[104 + n * piece..104 + (n + 1) * piece];
    let head = &sealed[..104];
    for order in [&[1, 0, 2][..], &[0, 1], &[0, 2], &[0, 1, 1], &[0, 0, 1, 2], &[0, 1, 2, 2]] {
        let mut forged = head.to_vec();
        order.iter().for_each(|n| forged.extend_from_slice(chunk(*n)));
        forged.extend_from_slice(&[0; 32]);
        assert!(read_without_tail(&key, &forged).is_err(), "{order:?}");
    }
}

#[test]
fn another_key_does_not_open_it() {
    let sealed = seal(&some_key(), b"secret");
    assert!(matches!(opened(&some_key(), &sealed), Err(EnvelopeError::OtherKey)));
}

fn name() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9.-]{0,20}"
}

fn library() -> impl Strategy<Value = LibraryRow> {
    let hash = || any::<[u8; 32]>();
    let some = || prop::option::of(hash());
    let time = || any::<i64>().prop_map(Timestamp);
    let plugin = || "[a-z]{1,8}".prop_map(|name| PluginName::parse(&name).unwrap());
    let bytes = || prop::collection::vec(any::<u8>(), 0..200);
    prop_oneof![
        (".*", time()).prop_map(|(key, at)| LibraryRow::Signer(key, at)),
        (hash(), plugin(), ".*", ".*", bytes(), bytes(), time()).prop_map(
            |(sha256, name, version, signer, archive, note, installed_at)| {
                LibraryRow::Package(PluginPackage { sha256, name, version, signer, archive, note, installed_at })
            }
        ),
        (
            plugin(),
            some(),
            some(),
            prop::option::of((hash(), any::<u32>(), time(), any::<bool>())),
            any::<bool>(),
            any::<u64>()
        )
            .prop_map(|(name, current, previous, tried, enabled, generation)| {
                let tried =
                    tried.map(|(sha256, payloads, until, differ)| Candidate { sha256, payloads, until, differ });
                LibraryRow::Plugin(PluginRow { name, current, previous, candidate: tried, enabled, generation })
            }),
        (plugin(), ".*").prop_map(|(name, capability)| LibraryRow::Grant(name, capability)),
        (plugin(), ".*", any::<bool>(), ".*").prop_map(|(plugin, key, secret, value)| {
            LibraryRow::Setting(PlainSetting { plugin, key, secret, value: value.into() })
        }),
        (".*", ".*", ".*", ".*", ".*", hash(), hash()).prop_map(
            |(name, manifest, script, cases, readme, rule_hash, text_hash)| {
                LibraryRow::RuleText(RuleText { name, manifest, script, cases, readme, rule_hash, text_hash })
            }
        ),
        ((".*", any::<u32>(), hash(), ".*", ".*", ".*"), time(), any::<bool>(), some(), some()).prop_map(
            |((name, number, text_hash, label, author, note), published_at, shadow, set_hash, leaf_hash)| {
                LibraryRow::RuleVersion(RuleVersion {
                    name,
                    number,
                    text_hash,
                    label,
                    author,
                    note,
                    published_at,
                    shadow,
                    set_hash,
                    leaf_hash,
                })
            }
        ),
        (time(), hash(), ".*", prop::collection::vec((name(), hash()), 0..4)).prop_map(
            |(at, set_hash, engine, rules)| LibraryRow::RuleChange(RuleChange { at, set_hash, rules, engine })
        ),
    ]
}

fn record() -> impl Strategy<Value = Record> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..200);
    let time = || any::<i64>().prop_map(Timestamp);
    let anchor = || {
        prop::option::of((any::<u64>(), any::<u64>(), any::<[u8; 32]>()))
            .prop_map(|some| some.map(|(incarnation, index, hash)| Anchor { incarnation, index, hash }))
    };
    prop_oneof![
        bytes().prop_map(Record::About),
        ("[a-z/]{1,40}", bytes()).prop_map(|(path, content)| Record::File { path, content: content.into() }),
        (anchor(), anchor()).prop_map(|(last, receipted)| Record::Row(SnapshotRow::Chain { last, receipted })),
        (
            name(),
            name(),
            bytes(),
            prop::option::of(name()),
            time(),
            prop::option::of(time()),
            prop::option::of(bytes())
        )
            .prop_map(|(id, class, secret, decoder, enrolled_at, revoked_at, stamp)| {
                let device = pitchside_store::Device {
                    id: DeviceId::parse(&id).unwrap(),
                    class,
                    secret,
                    decoder: decoder.and_then(|name| PluginName::parse(&name).ok()),
                    filters: vec!["a/#".to_owned(), "b".to_owned()],
                    enrolled_at,
                    revoked_at,
                };
                Record::Row(SnapshotRow::Device(device, stamp))
            }),
        (name(), time(), any::<u32>(), prop::option::of(time())).prop_map(|(id, added_at, generation, erased_at)| {
            let id = AthleteId::parse(&id).unwrap();
            Record::Row(SnapshotRow::Athlete(pitchside_store::Athlete { id, added_at, generation, erased_at }))
        }),
        (name(), name(), time(), prop::option::of(time())).prop_map(|(device, athlete, from, to)| {
            let (device, athlete) = (DeviceId::parse(&device).unwrap(), AthleteId::parse(&athlete).unwrap());
            Record::Row(SnapshotRow::Assignment(pitchside_store::Assignment { device, athlete, from, to }))
        }),
        library().prop_map(|row| Record::Row(SnapshotRow::Library(row))),
        bytes().prop_map(Record::Checkpoint),
        prop_oneof![
            any::<u32>().prop_map(Record::House),
            (any::<[u8; 32]>(), prop::option::of(name()), any::<u32>()).prop_map(|(name, athlete, generation)| {
                let athlete = athlete.map(|id| AthleteId::parse(&id).unwrap());
                Record::Row(SnapshotRow::Copy(CopyName { name, athlete, generation }))
            }),
        ],
        (0..u64::MAX >> 1).prop_map(Record::End),
    ]
}

proptest! {
    #[test]
    fn records_read_back(record in record()) {
        let mut bytes = Vec::new();
        record.write(&mut bytes).unwrap();
        prop_assert_eq!(Record::read(&mut bytes.as_slice()).unwrap(), record);
    }

    #[test]
    fn garbage_is_no_record_and_never_a_panic(kind in any::<u8>(), body in prop::collection::vec(any::<u8>(), 0..300)) {
        let _maybe = Record::parse(kind, &body);
        let _maybe = Record::read(&mut body.as_slice());
    }
}

#[test]
fn every_changed_or_missing_byte_of_a_backup_is_found_with_and_without_the_key() {
    let clinic = Clinic::new();
    let file = clinic.backup();
    let whole = std::fs::read(&file).unwrap();
    assert!(verify(&file, None).unwrap().holds.is_none());
    let holds = verify(&file, Some(&clinic.key)).unwrap().holds.unwrap();
    assert_eq!((holds.devices, holds.athletes, holds.users), (3, 2, 1));
    let path = clinic.home("changed");
    for at in (0..whole.len()).step_by(97).chain([whole.len() - 1, 15, 16, 23, 24, 103, 104]) {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        std::fs::write(&path, &changed).unwrap();
        assert!(verify(&path, None).is_err(), "byte {at}");
        // Whoever also makes the tail fit is found out by the key.
        let body = changed.len() - 32;
        let tail = *blake3::hash(&changed[..body]).as_bytes();
        changed[body..].copy_from_slice(&tail);
        std::fs::write(&path, &changed).unwrap();
        assert!(at >= body || verify(&path, Some(&clinic.key)).is_err(), "byte {at}, tail made to fit");
        std::fs::write(&path, &whole[..at]).unwrap();
        assert!(verify(&path, None).is_err(), "cut at {at}");
    }
}

#[test]
fn a_backup_changed_in_its_first_bytes_is_a_changed_backup_and_not_something_else() {
    let clinic = Clinic::new();
    let file = clinic.backup();
    let whole = std::fs::read(&file).unwrap();
    for at in 0..16 {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        std::fs::write(&file, &changed).unwrap();
        for key in [None, Some(&clinic.key)] {
            let error = verify(&file, key).unwrap_err();
            let is_changed = |cause: &(dyn std::error::Error + 'static)| {
                matches!(cause.downcast_ref(), Some(EnvelopeError::Changed(_)))
            };
            assert!(error.chain().any(is_changed), "byte {at}: {error:#}");
        }
    }
    let mut other = whole;
    other[..16].fill(b'x');
    other[50] ^= 1;
    std::fs::write(&file, &other).unwrap();
    let error = verify(&file, None).unwrap_err();
    assert!(format!("{error:#}").contains("not a backup"), "{error:#}");
}

#[test]
fn a_backup_made_by_somebody_who_only_knows_the_public_half_is_refused() {
    let (clinic, forger) = (Clinic::new(), Clinic::new());
    RecoveryPublicFile::write(&forger.home("box").join("keys"), &clinic.key).unwrap();
    let file = forger.backup();
    let error = verify(&file, Some(&clinic.key)).unwrap_err();
    assert!(format!("{error:#}").contains("not made by the box"), "{error:#}");
}

#[test]
fn a_backup_holds_no_key_of_an_athlete_nor_the_root_key() {
    let clinic = Clinic::new();
    let file = clinic.backup();
    let keys = clinic.home("box").join("keys");
    let root = std::fs::read(keys.join("root.key")).unwrap();
    let ada = clinic.context("box").tables.athlete_key(&AthleteId::parse("ada").unwrap(), 0).unwrap().unwrap();
    let bytes = std::fs::read(&file).unwrap();
    let mut plain = Vec::new();
    Opener::start(bytes.as_slice(), bytes.len() as u64, &clinic.key).unwrap().read_to_end(&mut plain).unwrap();
    let has = |needle: &[u8]| plain.windows(needle.len()).any(|window| window == needle);
    assert!(has(&std::fs::read(keys.join("sign.key")).unwrap()), "the search finds what is there");
    assert!(!has(&root) && !has(&data_encoding::HEXLOWER.decode(&root).unwrap()));
    assert!(!has(&ada.wrapped));
}

/// The devices' secrets open under the new box's own key, and everything else is there.
fn assert_restored(clinic: &Clinic, name: &str) {
    let (old, new) = (clinic.context("box"), clinic.context(name));
    let secret = |context: &Context, id: &str| {
        let device = context.tables.device(&DeviceId::parse(id).unwrap()).unwrap().unwrap();
        let kek = pitchside_auth::Kek::new(*context.identity.derive(crate::pipeline::AUTH_KEK).unwrap());
        pitchside_auth::enrol::unwrapped(&crate::adapters::keys::record(device).unwrap(), &kek).unwrap()
    };
    for device in ["s7", "hub", "cable"] {
        assert_eq!(secret(&old, device), secret(&new, device), "{device}");
    }
    let root = |name: &str| std::fs::read(clinic.home(name).join("keys/root.key")).unwrap();
    assert_ne!(root("box"), root(name), "the root key never leaves its box");
    assert_eq!(new.identity.sign, old.identity.sign);
    let athletes = new.tables.athletes().unwrap();
    assert_eq!(athletes.iter().map(|a| (a.id.as_str(), a.generation)).collect::<Vec<_>>(), [("ada", 1), ("ben", 0)]);
    assert!(athletes[1].erased_at.is_some(), "an erasure stays one");
    assert_eq!(new.tables.assignments().unwrap(), old.tables.assignments().unwrap());
    assert_eq!(new.tables.users().unwrap(), old.tables.users().unwrap());
    assert!(matches!(new.tables.chain_start().unwrap(), Some(ChainStart::Waiting { known: None, receipted: None })));
    assert_eq!(std::fs::read_to_string(clinic.home(name).join("rules/calm/rule.rhai")).unwrap(), "true");
    assert_eq!(new.settings.firmware.release_policy, Some(clinic.home(name).join("release-policy")));
    assert_eq!(std::fs::read_to_string(clinic.home(name).join("release-policy")).unwrap(), "policy");
    assert_eq!(new.tables.key_copy_counts().unwrap().waiting, 1, "ada's fresh key has a copy");
    new.identity.check_chain(&new.tables).unwrap();
    let claimed = new.tables.meta("chain-gateway").unwrap();
    assert_eq!(claimed.as_deref(), Some(&old.identity.gateway().0[..]), "no other signing key goes on with its chain");
}

#[test]
fn a_restored_box_is_the_same_box_under_fresh_keys() {
    let clinic = Clinic::new();
    clinic.backup();
    let restored = clinic.restore_to("new", false, &mut |_| Ok(())).unwrap();
    assert_eq!((restored.devices, restored.athletes, restored.users), (3, 2, 1));
    assert_restored(&clinic, "new");
    let error = clinic.restore_to("new", false, &mut |_| Ok(())).unwrap_err();
    assert!(format!("{error:#}").contains("not empty"), "{error:#}");
}

#[test]
fn a_restored_box_knows_the_copies_in_the_ledger_by_their_names_and_what_of_them_is_to_be_deleted() {
    let clinic = Clinic::new();
    let tables = clinic.context("box").tables;
    assert_eq!(tables.key_copy_counts().unwrap().waiting, 2, "ada's and ben's, before the ledger has them");
    // One sealed to an earlier recovery key.
    let ada = AthleteId::parse("ada").unwrap();
    tables.know_key_copies(vec![CopyName { name: [7; 32], athlete: Some(ada.clone()), generation: 0 }]).unwrap();
    clinic.backup();
    clinic.restore_to("new", false, &mut |_| Ok(())).unwrap();
    let new = clinic.context("new").tables;
    let counts = new.key_copy_counts().unwrap();
    assert_eq!((counts.waiting, counts.held, counts.leaving), (1, 2, 1), "ben was erased before the backup");
    new.erase_athlete(&ada, NOW).unwrap();
    new.forget_key_copies(&ada).unwrap();
    let leaving = new.open_key_copies(99).unwrap();
    assert!(leaving.iter().all(|(_, body)| body.is_none()) && leaving.len() == 4, "{leaving:?}");
    assert!(leaving.iter().any(|(name, _)| *name == [7; 32]));
}

#[test]
fn a_box_whose_chain_lost_its_end_hands_the_proof_of_it_on_to_the_box_restored_from_its_backup() {
    let clinic = Clinic::new();
    let tables = clinic.context("box").tables;
    for number in 0..3u8 {
        let key = BlockKey { incarnation: 0, index: u64::from(number) };
        let block = NewBlock {
            key,
            hash: [number + 1; 32],
            sealed_at: NOW,
            header: vec![1],
            payload: vec![2],
            readings: 0,
            rows_up_to: RowId(0),
            alerts_up_to: None,
        };
        tables.put_block(block, Marks::default()).unwrap();
        let receipt = Receipt::R1(Sequenced { leaf: [number + 1; 32], leaf_index: 0 }).to_bytes();
        tables.set_receipt(key, Level::R1, &receipt, NOW).unwrap();
    }
    let file = rusqlite::Connection::open(clinic.home("box/data/pitchside.db")).unwrap();
    file.execute("DELETE FROM blocks WHERE block_index > 0", []).unwrap();
    clinic.backup();
    clinic.restore_to("new", false, &mut |_| Ok(())).unwrap();
    let new = clinic.context("new");
    let lost = Some(Anchor { incarnation: 0, index: 2, hash: [3; 32] });
    assert_eq!(new.tables.chain_start().unwrap(), Some(ChainStart::Waiting { known: lost, receipted: lost }));
    // A ledger that lost it, too, is not followed.
    let settled = chain::settle(&new.tables, new.identity.gateway(), None);
    assert!(matches!(settled, Err(chain::ChainError::RolledBack { receipted: 2, .. })), "{settled:?}");
}

#[test]
fn a_restored_box_believes_no_log_from_before_its_backup() {
    let clinic = Clinic::new();
    let key = SignerKey::new(ORIGIN, KeyKind::Ed25519, &[1; 32]).unwrap();
    let mut acts = vec![
        Act::ReleasePolicy { signed: policy().to_bytes() },
        Act::Release { signed: signed(1).to_bytes() },
        Act::Halt { release: signed(1).id(), why: HaltReason::Failures },
    ];
    let halted = reply(acts.clone(), &key);
    acts.pop();
    let before_the_halt = reply(acts, &key);
    clinic.context("box").tables.set_meta(CHECKPOINT, &halted.checkpoint.note).unwrap();
    clinic.backup();
    clinic.restore_to("new", false, &mut |_| Ok(())).unwrap();
    let (new, first) = (clinic.context("new"), clinic.home("first"));
    std::fs::write(&first, policy().to_bytes()).unwrap();
    let settings = Firmware { release_policy: Some(first), ..Firmware::default() };
    let root = RootKey::new(*new.identity.derive("pitchside/1/store").unwrap());
    let store = Store::open(&new.settings.gateway.data_dir, root).unwrap();
    let ledger = Policy::of_logs([key.verifier().clone()]);
    let known = KnownReleases::open(&settings, ledger, &store, &Clock::default()).unwrap().unwrap();
    assert!(!known.told(&before_the_halt).unwrap());
    assert_eq!((known.wanted(), known.known().releases().len()), ((0, 3), 0), "nothing of it was taken");
    known.told(&halted).unwrap();
    assert_eq!(known.known().release(&signed(1).id()).unwrap().halted, Some(HaltReason::Failures));
}

fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path))
        } else {
            found.push((path.clone(), std::fs::read(path).unwrap()))
        }
    }
    found.sort();
    found
}

#[test]
fn a_restore_cut_off_at_any_step_leaves_the_old_state_or_the_new_one_and_the_next_completes() {
    for (step, force) in Step::ALL.into_iter().flat_map(|step| [(step, false), (step, true)]) {
        let clinic = Clinic::new();
        clinic.backup();
        let target = if force { "other" } else { "new" };
        if force {
            let settings = Settings {
                gateway: Gateway { data_dir: "data".into(), key_dir: "keys".into(), ..Gateway::default() },
                ..Settings::default()
            };
            make_box(&InitPlan { dir: clinic.home(target), settings }).unwrap();
            // It has run.
            std::fs::write(clinic.home(target).join("data/run.lock"), "").unwrap();
        }
        let before = force.then(|| files(&clinic.home(target)));
        let cut = clinic.restore_to(target, force, &mut |at| {
            if at == step { Err(io::Error::other("power")) } else { Ok(()) }
        });
        assert!(cut.is_err(), "{step:?}");
        let swapped = matches!(step, Step::Swapped | Step::Destroyed);
        if swapped {
            assert_restored(&clinic, target);
        } else {
            match &before {
                Some(before) => assert_eq!(&files(&clinic.home(target)), before, "{step:?}: the old box is untouched"),
                None => assert!(!clinic.home(target).exists(), "{step:?}: nothing is there"),
            }
        }
        clinic.restore_to(target, force || swapped, &mut |_| Ok(())).unwrap();
        assert_restored(&clinic, target);
        assert!(!staging(&clinic.home(target)).unwrap().exists(), "{step:?}: no leftover");
    }
}

#[test]
fn a_replaced_box_is_destroyed_and_another_folder_is_not_touched() {
    let clinic = Clinic::new();
    clinic.backup();
    std::fs::create_dir(clinic.home("papers")).unwrap();
    std::fs::write(clinic.home("papers").join("thesis"), "years of work").unwrap();
    let error = clinic.restore_to("papers", true, &mut |_| Ok(())).unwrap_err();
    assert!(format!("{error:#}").contains("holds no box"), "{error:#}");
    assert!(clinic.home("papers").join("thesis").exists());
}

#[test]
fn a_box_whose_gateway_runs_is_not_replaced_whatever_its_settings_say() {
    let clinic = Clinic::new();
    clinic.backup();
    let home = clinic.home("box");
    let settings = home.join(SETTINGS_FILE);
    // As a gateway holds it.
    let lock = home.join("data/run.lock");
    let gateway = std::fs::File::options().write(true).create(true).truncate(false).open(lock).unwrap();
    gateway.try_lock().unwrap();
    let sound = std::fs::read_to_string(&settings).unwrap();
    for text in [Some(sound.clone()), Some(format!("nonsense = 1\n{sound}")), None] {
        match &text {
            Some(text) => std::fs::write(&settings, text).unwrap(),
            None => std::fs::remove_file(&settings).unwrap(),
        }
        let before = files(&home);
        let error = clinic.restore_to("box", true, &mut |_| Ok(())).unwrap_err();
        assert!(format!("{error:#}").contains("a gateway runs on"), "{text:?}: {error:#}");
        assert_eq!(files(&home), before, "{text:?}");
    }
    drop(gateway);
    // Its settings are gone, its data and keys are where they always are.
    clinic.restore_to("box", true, &mut |_| Ok(())).unwrap();
    assert!(settings.exists() && !staging(&home).unwrap().exists());
}

#[test]
fn no_gateway_starts_on_a_box_while_another_takes_its_place() {
    let clinic = Clinic::new();
    clinic.backup();
    let (data, mut held) = (clinic.home("box").join("data"), Vec::new());
    let replaced = clinic.restore_to("box", true, &mut |step| {
        held.push((step, is_running(&data)?));
        Ok(())
    });
    replaced.unwrap();
    assert_eq!(held, Step::ALL.map(|step| (step, !matches!(step, Step::Swapped | Step::Destroyed))));
}

#[test]
fn a_box_that_does_not_say_where_its_data_lie_is_not_replaced() {
    let clinic = Clinic::new();
    clinic.backup();
    let home = clinic.home("box");
    std::fs::write(home.join(SETTINGS_FILE), "nonsense = 1\n").unwrap();
    std::fs::rename(home.join("data"), clinic.home("outside")).unwrap();
    let error = clinic.restore_to("box", true, &mut |_| Ok(())).unwrap_err();
    let said = format!("{error:#}");
    assert!(said.contains("do not load") && said.contains("pitchside config check"), "{said}");
    std::os::unix::fs::symlink(clinic.home("outside"), home.join("data")).unwrap();
    let error = clinic.restore_to("box", true, &mut |_| Ok(())).unwrap_err();
    assert!(format!("{error:#}").contains("elsewhere: run pitchside factory-reset"), "{error:#}");
    assert!(clinic.home("outside").join("pitchside.db").exists() && home.join("keys/root.key").exists());
}

#[test]
fn a_link_stays_a_link_and_the_box_it_leads_to_is_replaced() {
    let clinic = Clinic::new();
    clinic.backup();
    let (new, link) = (clinic.home("new"), clinic.home("link"));
    std::fs::create_dir(&new).unwrap();
    std::os::unix::fs::symlink("new", &link).unwrap();
    for force in [false, true] {
        clinic.restore_to("link", force, &mut |_| Ok(())).unwrap();
        assert_eq!(std::fs::read_link(&link).unwrap(), Path::new("new"));
        assert_restored(&clinic, "new");
        assert_eq!(staging(&link).unwrap(), staging(&new).unwrap());
        assert!(!staging(&new).unwrap().exists() && !clinic.home(".link.restoring").exists());
    }
    std::os::unix::fs::symlink("nowhere", clinic.home("lost")).unwrap();
    let error = clinic.restore_to("lost", true, &mut |_| Ok(())).unwrap_err();
    assert!(format!("{error:#}").contains("leads to no folder"), "{error:#}");
}

#[test]
fn a_restore_that_fails_at_its_last_step_leaves_no_keys_behind() {
    let clinic = Clinic::new();
    clinic.backup();
    let new = clinic.home("new");
    let error = clinic.restore_to("new", false, &mut |step| {
        if step == Step::Synced {
            std::fs::create_dir(&new)?;
            std::fs::write(new.join("mine"), "")?;
        }
        Ok(())
    });
    let error = error.unwrap_err();
    assert!(format!("{error:#}").contains("no longer empty"), "{error:#}");
    assert!(new.join("mine").exists() && !staging(&new).unwrap().exists());
}

#[test]
fn where_a_disk_is_mounted_nothing_is_built() {
    let clinic = Clinic::new();
    let file = clinic.backup();
    let plan = RestorePlan { file: &file, dir: Path::new("/proc"), key: &clinic.key, force: true };
    let error = restore(&plan, &mut |step| panic!("{step:?} was reached")).unwrap_err();
    assert!(format!("{error:#}").contains("is where a disk is mounted"), "{error:#}");
}

/// Every record of the clinic's backup, as it stands in it: kind, length, body.
fn raw_records(clinic: &Clinic) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(clinic.home("backup")).unwrap();
    let mut plain = Vec::new();
    Opener::start(bytes.as_slice(), bytes.len() as u64, &clinic.key).unwrap().read_to_end(&mut plain).unwrap();
    let mut records = Vec::new();
    while !plain.is_empty() {
        let length = u32::from_be_bytes(plain[1..5].try_into().unwrap()) as usize;
        let rest = plain.split_off(5 + length);
        records.push(std::mem::replace(&mut plain, rest));
    }
    records
}

/// Puts a backup together anew, of a version of its own.
fn reseal(clinic: &Clinic, magic: &[u8], mut records: Vec<Vec<u8>>) {
    records.pop();
    let mut end = Vec::new();
    Record::End(records.len() as u64).write(&mut end).unwrap();
    records.push(end);
    let mut sealer = Sealer::start_as(magic, Vec::new(), &clinic.key.secret.public(), &[7; 32], [9; 32]).unwrap();
    sealer.write_all(&records.concat()).unwrap();
    std::fs::write(clinic.home("backup"), sealer.finish().unwrap()).unwrap();
}

#[test]
fn a_backup_from_before_plugins_and_settings_files_still_restores() {
    let clinic = Clinic::new();
    clinic.backup();
    let records = raw_records(&clinic).into_iter().filter(|record| record[0] <= 9 || record[0] == 255).collect();
    reseal(&clinic, b"pitchside/bkp/1\n", records);
    clinic.restore_to("new", false, &mut |_| Ok(())).unwrap();
    assert_restored(&clinic, "new");
}

#[test]
fn what_a_newer_version_put_into_a_backup_is_refused_and_not_called_damage() {
    let clinic = Clinic::new();
    let file = clinic.backup();
    let whole = raw_records(&clinic);
    let mut records = whole.clone();
    records.insert(3, vec![19, 0, 0, 0, 4, 0, 0, 0, 0]);
    reseal(&clinic, b"pitchside/bkp/2\n", records);
    let error = verify(&file, Some(&clinic.key)).unwrap_err();
    assert!(format!("{error:#}").contains("made by a newer version of pitchside"), "{error:#}");
    assert!(!error.chain().any(|cause| matches!(cause.downcast_ref(), Some(EnvelopeError::Changed(_)))));
    assert!(clinic.restore_to("new", false, &mut |_| Ok(())).is_err() && !clinic.home("new").exists());
    reseal(&clinic, b"pitchside/bkp/3\n", whole);
    let error = verify(&file, None).unwrap_err();
    assert!(format!("{error:#}").contains("of this version"), "{error:#}");
}

#[test]
fn plugins_come_back_with_grants_and_secrets_under_the_new_boxs_key() {
    let clinic = Clinic::new();
    let name = PluginName::parse("hook").unwrap();
    let tables = clinic.context("box").tables;
    let package = PluginPackage {
        sha256: [1; 32],
        name: name.clone(),
        version: "1.0.0".into(),
        signer: "acme.example/plugins".into(),
        archive: vec![7; 1 << 20],
        note: b"note".to_vec(),
        installed_at: NOW,
    };
    let grants = vec!["http:hooks.example.org".to_owned()];
    let token = tables.seal_plugin_setting(&name, "token", "tk_very_secret", true).unwrap();
    for change in [PluginChange::Install { package: package.clone(), grants, after: None }, PluginChange::Set(token)] {
        tables.change_plugin(&name, change, "", NOW).unwrap();
    }
    // More than is put into the new database at a time.
    for number in 2..12 {
        let name = PluginName::parse(&format!("more-{number}")).unwrap();
        let package = PluginPackage { sha256: [number; 32], name: name.clone(), ..package.clone() };
        let change = PluginChange::Install { package, grants: Vec::new(), after: None };
        tables.change_plugin(&name, change, "", NOW).unwrap();
    }
    let file = clinic.backup();
    let holds = verify(&file, Some(&clinic.key)).unwrap().holds.unwrap();
    assert_eq!(holds.plugins, 11);
    let restored = clinic.restore_to("new", false, &mut |_| Ok(())).unwrap();
    assert_eq!(restored.plugins, 11);
    let new = clinic.context("new").tables;
    assert_eq!(new.plugins().unwrap(), tables.plugins().unwrap());
    assert_eq!(new.plugin_package([1; 32]).unwrap(), Some(package));
    assert_eq!(new.plugin_grants(&name).unwrap(), ["http:hooks.example.org"]);
    assert_eq!(new.plugin_secrets(&name).unwrap()[0].1.as_str(), "tk_very_secret");
    for file in [file, clinic.home("new/data/pitchside.db"), clinic.home("new/data/pitchside.db-wal")] {
        let bytes = std::fs::read(file).unwrap_or_default();
        assert!(!bytes.windows(14).any(|window| window == b"tk_very_secret"), "readable on a disk");
    }
}

#[test]
fn settings_come_back_file_by_file_so_that_the_clinics_are_the_clinics_with_what_they_name() {
    let clinic = Clinic::new();
    let (home, outside) = (clinic.home("box"), clinic.home("clinic-ca.pem"));
    std::fs::write(&outside, "a certificate").unwrap();
    std::fs::write(home.join("ledger.policy"), "a policy").unwrap();
    let image = "# The image's.\n[http]\nhosts = [\"pitch-1\", \"pitch-1.local\"]\n[mqtt]\ntls = \"0.0.0.0:8883\"\n";
    std::fs::write(home.join("settings-1-appliance.toml"), image).unwrap();
    let ours = format!(
        "# Ours.\n[http]\nhosts = [\"clinic.example\"]   # the certificate's\n[[serial]]\npath = \"/dev/ttyS7\"\n[rules]\ndir = \"/usr/share/pitchside/rules\"\n[delivery]\nauthorities = {outside:?}\n[ledger]\naddress = \"ledger.example:7001\"\npublic_key = \"{}\"\npolicy = {:?}\n",
        "0".repeat(64),
        home.join("ledger.policy")
    );
    std::fs::write(home.join("settings-2-clinic.toml"), &ours).unwrap();
    let all = |name: &str| open(&ConfigArg { file: Some(clinic.home(name)) }).unwrap();
    create(&all("box"), &clinic.home("backup"), NOW).unwrap();
    let restored = clinic.restore_to("new", false, &mut |_| Ok(())).unwrap();
    let new = clinic.home("new");
    assert_eq!(restored.config, new, "several files: the folder is named");
    assert!(restored.waits_for_ledger);
    let read = |name: &str| std::fs::read_to_string(new.join(name)).unwrap();
    assert_eq!(read("settings-1-appliance.toml"), image);
    let there = ours
        .replace(&format!("{outside:?}"), "\"authorities.pem\"")
        .replace(&format!("{:?}", home.join("ledger.policy")), "\"ledger.policy\"");
    assert_eq!(read("settings-2-clinic.toml"), there, "to the letter, but for where things lie");
    assert_eq!((read("authorities.pem"), read("ledger.policy")), ("a certificate".into(), "a policy".into()));
    assert!(!new.join("rules/calm").exists(), "what the image brings is no copy of the old one's");
    let settings = all("new").settings;
    assert_eq!((&settings.http.hosts, settings.serial.len()), (&vec!["clinic.example".to_owned()], 1));
    assert_eq!(settings.rules.dir, Some("/usr/share/pitchside/rules".into()));
    assert_eq!(settings.delivery.authorities, Some(new.join("authorities.pem")));
    assert_eq!(settings.ledger.map(|ledger| ledger.policy), Some(new.join("ledger.policy")));
    // Another machine's image lays over it what it has; the clinic's stand above, and can be taken out again.
    std::fs::write(new.join("settings-1-appliance.toml"), image.replace("pitch-1", "other")).unwrap();
    assert_eq!(all("new").settings.http.hosts, ["clinic.example"]);
    std::fs::write(new.join("settings-2-clinic.toml"), "").unwrap();
    let settings = all("new").settings;
    assert_eq!((settings.http.hosts[0].as_str(), settings.ledger), ("other", None));
    assert_eq!(settings.gateway.data_dir, new.join("data"));
}

#[test]
fn an_authority_that_is_not_there_keeps_no_box_from_being_backed_up() {
    let clinic = Clinic::new();
    let file = clinic.home("box").join("more.toml");
    std::fs::write(&file, "[delivery]\nauthorities = \"gone.pem\"\n").unwrap();
    let context = open(&ConfigArg { file: Some(clinic.home("box")) }).unwrap();
    create(&context, &clinic.home("backup"), NOW).unwrap();
    clinic.restore_to("new", false, &mut |_| Ok(())).unwrap();
}

#[test]
fn policies_that_are_not_there_keep_no_box_from_being_backed_up_and_are_named_at_each_step() {
    let clinic = Clinic::new();
    std::fs::remove_file(clinic.dir.path().join("first.policy")).unwrap();
    let more = format!(
        "[ledger]\naddress = \"ledger.example:7001\"\npublic_key = \"{}\"\npolicy = \"gone.policy\"\n",
        "0a".repeat(32)
    );
    std::fs::write(clinic.home("box").join("more.toml"), more).unwrap();
    let context = open(&ConfigArg { file: Some(clinic.home("box")) }).unwrap();
    let file = clinic.home("backup");
    let left_out = create(&context, &file, NOW).unwrap().left_out;
    let told = |lines: &[String]| {
        let names: Vec<_> = lines.iter().filter_map(|line| Some(line.split_once(": ")?.0.to_owned())).collect();
        assert_eq!(names, ["ledger.policy", "firmware.release_policy"], "{lines:?}");
    };
    told(&left_out);
    assert!(left_out[1].ends_with("first.policy is not there"), "{left_out:?}");
    assert_eq!(verify(&file, Some(&clinic.key)).unwrap().holds.unwrap().left_out, left_out);
    let restored = clinic.restore_to("new", false, &mut |_| Ok(())).unwrap();
    assert_eq!(restored.left_out, left_out);
    told(&restored.unusable);
    assert!(restored.unusable[0].contains("/new/gone.policy"), "where it belongs: {:?}", restored.unusable);
}

#[test]
fn a_policy_that_is_none_comes_back_as_it_was_and_is_named() {
    let clinic = Clinic::new();
    clinic.backup();
    let restored = clinic.restore_to("new", false, &mut |_| Ok(())).unwrap();
    let [told] = restored.unusable.as_slice() else { panic!("the first release policy is told: {restored:?}") };
    assert!(told.starts_with("firmware.release_policy: ") && told.contains("/new/release-policy"), "{told}");
}

#[test]
fn what_no_rule_is_read_from_keeps_no_box_from_being_backed_up_and_is_named() {
    let clinic = Clinic::new();
    let rules = clinic.home("box").join("rules");
    let calm = rules.join("calm");
    for folder in [&rules, &calm] {
        std::fs::create_dir_all(folder.join(".git/logs/refs/heads")).unwrap();
    }
    std::fs::write(rules.join(".git/config"), "no rule").unwrap();
    std::fs::write(rules.join("film"), vec![0; 5 << 20]).unwrap();
    std::fs::write(clinic.home("shared"), "case none").unwrap();
    std::os::unix::fs::symlink("calm", rules.join("again")).unwrap();
    std::os::unix::fs::symlink("nowhere", calm.join("lost")).unwrap();
    // The files of a rule are read through links.
    std::os::unix::fs::symlink(clinic.home("shared"), calm.join("cases.txt")).unwrap();
    std::fs::write(calm.join(".base"), "1\n").unwrap();
    std::fs::write(calm.join(".library"), "0\n").unwrap();
    let left_out = [
        "rules/again (a link to a folder)",
        "rules/calm/.git/logs/refs (too deep: 4 folders within each other are taken)",
        "rules/calm/lost (a link that leads nowhere)",
        "rules/film (5242880 bytes: less than 4194304 are taken)",
    ];
    let file = clinic.home("backup");
    assert_eq!(create(&clinic.context("box"), &file, NOW).unwrap().left_out, left_out);
    assert_eq!(verify(&file, Some(&clinic.key)).unwrap().holds.unwrap().left_out, left_out);
    assert_eq!(clinic.restore_to("new", false, &mut |_| Ok(())).unwrap().left_out, left_out);
    let new = clinic.home("new").join("rules");
    assert_eq!(std::fs::read_dir(&new).unwrap().count(), 1, "calm alone");
    for (name, text) in [("rule.rhai", "true"), ("cases.txt", "case none"), (".base", "1\n"), (".library", "0\n")] {
        assert_eq!(std::fs::read_to_string(new.join("calm").join(name)).unwrap(), text, "{name}");
    }
}

#[test]
fn files_that_no_backup_has_are_refused() {
    let key = some_key();
    for path in [
        "keys/root.key",
        "../evil",
        "rules/../../evil",
        "/etc/passwd",
        "data/pitchside.db",
        "rules/",
        "data",
        ".hidden",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("forged");
        let gateway = ledger_block::GatewayKey::new(&[1; 32]);
        assert_eq!(gateway.id(), key.gateway);
        let mut sealer = Sealer::start(Vec::new(), &key.secret.public(), &[7; 32], [9; 32]).unwrap();
        let sign = data_encoding::HEXLOWER.encode(&[1; 32]).into_bytes();
        let records = [
            Record::About(b"{}".to_vec()),
            Record::File { path: "keys/sign.key".into(), content: sign.into() },
            Record::File { path: path.into(), content: vec![1].into() },
            Record::End(3),
        ];
        records.iter().for_each(|record| record.write(&mut sealer).unwrap());
        std::fs::write(&file, sealer.finish().unwrap()).unwrap();
        let new = dir.path().join("new");
        let plan = RestorePlan { file: &file, dir: &new, key: &key, force: false };
        let error = restore(&plan, &mut |_| Ok(())).unwrap_err();
        assert!(format!("{error:#}").contains("no backup has"), "{path}: {error:#}");
        assert!(!new.exists());
        assert!(!staging(&new).unwrap().exists(), "keys of half a box would lie there");
    }
}

#[test]
fn the_recovery_key_reads_back_and_never_prints() {
    let key = some_key();
    let again = RecoveryKey::parse(&key.to_line()).unwrap();
    assert_eq!((again.gateway, again.to_line()), (key.gateway, key.to_line()));
    assert!(!format!("{key:?}").contains(key.to_line().rsplit(' ').next().unwrap()));
    for bad in ["", "pitchside-recovery-1", "pitchside-recovery-2 a b", "pitchside-recovery-1 00 00"] {
        assert!(RecoveryKey::parse(bad).is_err(), "{bad}");
    }
}
