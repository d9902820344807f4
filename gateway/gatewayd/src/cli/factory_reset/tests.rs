use std::io;
use std::path::PathBuf;

use pitchside_config::{Gateway, Library, Loaded, Settings, Source};
use tempfile::TempDir;

use super::*;
use crate::cli::{InitPlan, SETTINGS_FILE, make_box};

struct House(TempDir);

impl House {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let house = Self(dir);
        house.make();
        house
    }

    fn home(&self) -> PathBuf {
        self.0.path().join("box")
    }

    fn make(&self) {
        std::fs::create_dir_all(self.home().join("rules/calm")).unwrap();
        std::fs::write(self.home().join("rules/calm/rule.rhai"), "true").unwrap();
        let settings = Settings {
            gateway: Gateway { data_dir: "data".into(), key_dir: "keys".into(), ..Gateway::default() },
            rules: Library { dir: Some("rules".into()) },
            ..Settings::default()
        };
        make_box(&InitPlan { dir: self.home(), settings }).unwrap();
    }

    fn doomed(&self) -> Doomed {
        let loaded = Loaded::load_with(&Source::File(self.home().join(SETTINGS_FILE)), &[], &[]).unwrap();
        Doomed::of(&loaded.settings, &loaded.files).unwrap()
    }

    fn assert_gone(&self) {
        let left = |folder: &str| std::fs::read_dir(self.home().join(folder)).map_or(0, Iterator::count);
        assert_eq!((left("keys"), left("data"), left("rules")), (0, 0, 0));
        assert!(!self.home().join(SETTINGS_FILE).exists());
    }
}

#[test]
fn a_reset_cut_off_at_any_step_is_completed_by_the_next_start() {
    for step in Step::ALL {
        let house = House::new();
        let doomed = house.doomed();
        let mut cut = |at| if at == step { Err(io::Error::other("power")) } else { Ok(()) };
        let broken = doomed.mark().and_then(|()| {
            cut(Step::Marked)?;
            doomed.destroy(&mut cut)
        });
        assert!(broken.is_err(), "{step:?}");
        // Either not begun to destroy, or without the key that everything hangs on.
        assert_eq!(house.home().join("keys/root.key").exists(), step == Step::Marked, "{step:?}");
        assert_eq!(complete(&house.home().join("data")).unwrap(), step != Step::Done, "{step:?}");
        house.assert_gone();
        assert!(!complete(&house.home().join("data")).unwrap(), "once is enough");
        house.make();
    }
}

#[test]
fn a_new_box_is_not_made_on_top_of_half_an_old_one() {
    let house = House::new();
    let doomed = house.doomed();
    doomed.mark().unwrap();
    let cut = doomed.destroy(&mut |at| if at == Step::Files { Err(io::Error::other("power")) } else { Ok(()) });
    assert!(cut.is_err());
    house.make();
    assert!(!complete(&house.home().join("data")).unwrap(), "the new box stays");
    assert!(house.home().join("keys/root.key").exists());
}

#[test]
fn a_marker_written_for_another_box_destroys_nothing() {
    let (one, other) = (House::new(), House::new());
    one.doomed().mark().unwrap();
    std::fs::copy(one.home().join("data").join(MARKER), other.home().join("data").join(MARKER)).unwrap();
    let error = complete(&other.home().join("data")).unwrap_err();
    assert!(error.to_string().contains("was written for"), "{error:#}");
    assert!(one.home().join("keys/root.key").exists() && other.home().join("keys/root.key").exists());
}

#[test]
fn rules_outside_the_boxs_own_folder_are_not_its_own() {
    let house = House::new();
    let loaded = Loaded::load_with(&Source::File(house.home().join(SETTINGS_FILE)), &[], &[]).unwrap();
    let mut settings = loaded.settings.clone();
    settings.rules.dir = Some("/usr/share/pitchside/rules".into());
    let doomed = Doomed::of(&settings, &loaded.files).unwrap();
    assert!(doomed.folders.iter().all(|folder| folder.starts_with(house.0.path())), "{doomed:?}");
    assert!(Doomed::of(&settings, &["/etc/pitchside/a.toml".into()]).unwrap().files.is_empty());
}
