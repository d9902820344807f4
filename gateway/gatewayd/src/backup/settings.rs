//! Settings in a backup: each file as it was written, under its own name, so that layers come back as layers. What the clinic
//! wrote is the clinic's to change again; what an image lays over is that image's. Only paths in them are turned to where things
//! lie in a restored box.
//!
//! Settings of the environment are not among them: they belong to whatever starts the gateway on its machine, as an image's do.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use pitchside_config::rewrite::with_values;
use pitchside_config::{Settings, Source};

use crate::cli::SETTINGS_FILE;
use crate::named::{AUTHORITIES, LEDGER_POLICY, RELEASE_POLICY};

/// Where the ledger's policy lies in a restored box, unless it lay in the box's folder under a name of its own.
pub const POLICY_FILE: &str = "ledger-policy";
/// The same of the first release policy.
pub const RELEASE_POLICY_FILE: &str = "release-policy";
/// The same of the clinic's certificate authorities.
pub const AUTHORITIES_FILE: &str = "authorities.pem";
/// Says where data and keys lie if no settings file did.
const PATHS_FILE: &str = "restored-paths.toml";
/// Folders of a box.
const FOLDERS: [&str; 4] = ["data", "keys", "rules", "plugins"];

/// Settings and what they name.
#[derive(Debug, Default)]
pub struct Carried {
    /// Settings files: name and text.
    pub files: Vec<(String, String)>,
    /// Files they name: the name in a restored box, and where each lies here.
    pub named: Vec<(String, PathBuf)>,
    /// Folders of rules and plugins: the name in a restored box, and where each lies here.
    pub libraries: Vec<(&'static str, PathBuf)>,
    /// Files they name that are not there: a line each.
    pub left_out: Vec<String>,
}

/// Whether a file of this name may lie in a box's folder: settings, and what they name.
pub fn is_carried(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains('/') && !FOLDERS.contains(&name)
}

/// Where the settings of a box's folder are read from: its one file, or all of them.
pub fn source(dir: &Path) -> Source {
    let toml = |path: &Path| path.extension().is_some_and(|extension| extension == "toml");
    let other = |path: &Path| toml(path) && path.file_name() != Some(OsStr::new(SETTINGS_FILE));
    let layered = std::fs::read_dir(dir).is_ok_and(|entries| entries.flatten().any(|entry| other(&entry.path())));
    if layered { Source::Folder(dir.to_owned()) } else { Source::File(dir.join(SETTINGS_FILE)) }
}

impl Carried {
    /// Of settings in force and the files they were read from.
    pub fn of(settings: &Settings, files: &[PathBuf]) -> anyhow::Result<Self> {
        let mut carried = Self::default();
        let home = files.first().and_then(|file| file.parent()?.canonicalize().ok());
        let mut moved = vec![("gateway.data_dir", "data".to_owned()), ("gateway.key_dir", "keys".to_owned())];
        let policy = settings.ledger.as_ref().map(|ledger| &ledger.policy);
        for (key, path, usual) in [
            (LEDGER_POLICY, policy, POLICY_FILE),
            (RELEASE_POLICY, settings.firmware.release_policy.as_ref(), RELEASE_POLICY_FILE),
            (AUTHORITIES, settings.delivery.authorities.as_ref(), AUTHORITIES_FILE),
        ] {
            match path {
                Some(path) if path.exists() => moved.push((key, carried.name(path, home.as_deref(), usual))),
                // The box runs without, and `doctor` says what it lacks: that must not keep it from being backed up.
                Some(path) => carried.left_out.push(format!("{key}: {} is not there", path.display())),
                None => {}
            }
        }
        for (key, dir, name) in
            [("rules.dir", &settings.rules.dir, "rules"), ("plugins.dir", &settings.plugins.dir, "plugins")]
        {
            // What a system brings it brings again, and newer with each version: a copy would be out of their reach.
            if let Some(dir) = dir.as_ref().filter(|dir| !is_the_systems(dir)) {
                moved.push((key, name.to_owned()));
                carried.libraries.push((name, dir.clone()));
            }
        }
        carried.texts(files, &moved)?;
        Ok(carried)
    }

    /// What a file is called in a restored box.
    fn name(&mut self, path: &Path, home: Option<&Path>, usual: &str) -> String {
        let own = || -> Option<String> {
            let real = path.canonicalize().ok()?;
            // By the name in the settings: another file may be brought under it.
            let above = path.parent()?.canonicalize().ok()?;
            let name = path.file_name()?.to_str()?;
            let plain = is_carried(name) && !name.ends_with(".toml") && real.is_file();
            (home == Some(above.as_path()) && plain).then(|| name.to_owned())
        };
        let mut name = own().unwrap_or_else(|| usual.to_owned());
        // Three names at most are taken.
        while self.named.iter().any(|(taken, from)| *taken == name && from != path) {
            name.push('-');
        }
        if !self.named.iter().any(|(taken, _)| *taken == name) {
            self.named.push((name.clone(), path.to_owned()));
        }
        name
    }

    fn texts(&mut self, files: &[PathBuf], moved: &[(&'static str, String)]) -> anyhow::Result<()> {
        let mut said = Vec::new();
        for file in files {
            let what = || format!("reading {}", file.display());
            let text = std::fs::read_to_string(file).with_context(what)?;
            let (text, found) = with_values(&text, moved).context("it changed meanwhile").with_context(what)?;
            said.extend(found);
            let name = file.file_name().and_then(OsStr::to_str).filter(|name| is_carried(name));
            let name = name.with_context(|| format!("{} has a name no backup can hold", file.display()))?;
            // A box has one settings file, or as many as there were.
            let name = if files.len() == 1 { SETTINGS_FILE } else { name };
            self.files.push((name.to_owned(), text));
        }
        let unsaid: Vec<_> =
            moved.iter().filter(|(key, _)| key.starts_with("gateway.") && !said.contains(key)).collect();
        if !unsaid.is_empty() {
            let name = if files.is_empty() { SETTINGS_FILE } else { PATHS_FILE };
            ensure!(!self.files.iter().any(|(taken, _)| taken == name), "{name} says only half of where things lie");
            let lines: String = unsaid
                .iter()
                .filter_map(|(key, value)| Some(format!("{} = \"{value}\"\n", key.split_once('.')?.1)))
                .collect();
            self.files
                .push((name.to_owned(), format!("# Where a restored box has its data and keys.\n[gateway]\n{lines}")));
        }
        Ok(())
    }
}

fn is_the_systems(dir: &Path) -> bool {
    dir.starts_with("/usr") && !dir.starts_with("/usr/local")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restored_box_always_says_where_its_data_and_keys_lie() {
        let none = Carried::of(&Settings::default(), &[]).unwrap();
        assert_eq!(none.files.len(), 1);
        assert_eq!(none.files[0].0, SETTINGS_FILE);
        assert!(none.files[0].1.ends_with("[gateway]\ndata_dir = \"data\"\nkey_dir = \"keys\"\n"));
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("site.toml");
        std::fs::write(&file, "[gateway]\ndata_dir = \"/srv/it\"\n").unwrap();
        let one = Carried::of(&Settings::default(), &[file]).unwrap();
        let names: Vec<&str> = one.files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, [SETTINGS_FILE, PATHS_FILE]);
        assert_eq!(one.files[0].1, "[gateway]\ndata_dir = \"data\"\n");
        assert!(one.files[1].1.ends_with("[gateway]\nkey_dir = \"keys\"\n"), "the other half: {}", one.files[1].1);
    }

    #[test]
    fn two_files_of_one_name_do_not_become_one() {
        let dir = tempfile::tempdir().unwrap();
        let (home, away) = (dir.path().join("box"), dir.path().join("release"));
        std::fs::create_dir(&home).unwrap();
        // In the box's folder, under the name that another one would get.
        std::fs::write(home.join(RELEASE_POLICY_FILE), "authority").unwrap();
        std::fs::write(&away, "policy").unwrap();
        let mut settings = Settings::default();
        settings.firmware.release_policy = Some(away.clone());
        settings.delivery.authorities = Some(home.join(RELEASE_POLICY_FILE));
        std::fs::write(home.join("a.toml"), "").unwrap();
        let carried = Carried::of(&settings, &[home.join("a.toml")]).unwrap();
        let other = format!("{RELEASE_POLICY_FILE}-");
        assert_eq!(carried.named, [(RELEASE_POLICY_FILE.to_owned(), away), (other, home.join(RELEASE_POLICY_FILE))]);
    }
}
