//! Which plugins are to run: those of the library, and in place of their namesakes those that were installed, without those that
//! are switched off.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use pitchside_decode::plugin::Folder;
use pitchside_model::PluginName;
use pitchside_script::manifest::PluginKind;
use pitchside_script::package::{Digest, Package};
use pitchside_store::plugins::PackageDigest;
use pitchside_store::{Candidate, PluginRow, StoreError, Tables};

use super::folder;
use super::signature::Signer;
use super::weigh::Present;

/// Where a plugin comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The settings' folder.
    Library,
    /// A package, and who signed it.
    Package(Digest, Signer),
}

/// A plugin that is to run, or is switched off.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// The plugin.
    pub folder: Folder,
    /// Where it comes from.
    pub source: Source,
    /// Whether it is to run.
    pub enabled: bool,
    /// What was decided about it, if anything was.
    pub row: Option<PluginRow>,
    /// What it was granted.
    pub granted: Vec<String>,
    /// Names of the secrets that were set.
    pub secrets: Vec<String>,
}

impl Wanted {
    /// What is there, for whoever wants to put something else in its place.
    pub fn present(&self) -> Present {
        let digest = match &self.source {
            Source::Library => None,
            Source::Package(digest, _) => Some(*digest),
        };
        let manifest = &self.folder.manifest;
        Present { digest, kind: manifest.kind, order: manifest.order(), version: manifest.version.clone() }
    }

    /// Names what is to run: another name, and it is to be started anew.
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        let generation = self.row.as_ref().map_or(0, |row| row.generation);
        // Written out, a manifest is the same only if it says the same.
        let manifest = format!("{:?}{:?}", self.folder.manifest, self.folder.chosen);
        for part in [manifest.as_bytes(), self.folder.source.as_bytes(), &generation.to_be_bytes()] {
            hasher.update(&(part.len() as u64).to_be_bytes()).update(part);
        }
        *hasher.finalize().as_bytes()
    }

    /// What it asks for, as it is set.
    pub fn asks(&self) -> Vec<String> {
        self.folder.manifest.asks(&self.folder.chosen).0.iter().map(ToString::to_string).collect()
    }

    /// What it was granted and does not ask for: an older version did, or it was set otherwise. It is not honoured.
    pub fn granted_in_vain(&self) -> Vec<String> {
        let asks = self.asks();
        self.granted.iter().filter(|granted| !asks.contains(granted)).cloned().collect()
    }

    /// Whether it is a decoder that is to run. As it is set, too: what an admin chose and its params do not allow any more is not
    /// what the manifest says instead.
    pub fn decodes(&self) -> bool {
        self.enabled && self.folder.manifest.kind == PluginKind::Decoder && self.unset().is_empty()
    }

    /// What is to be set, or set again, before it runs, a few words each.
    pub fn unset(&self) -> Vec<String> {
        self.folder.manifest.unset(&self.folder.chosen)
    }

    /// What keeps it from running though it is switched on, a few words each.
    pub fn missing(&self) -> Vec<String> {
        let (manifest, chosen) = (&self.folder.manifest, &self.folder.chosen);
        let mut missing = self.unset();
        // What is open only because something is not set was said just now.
        missing.extend(manifest.asks(chosen).1.into_iter().filter(|why| !why.ends_with("is not set")));
        let needed = manifest.secrets.iter().filter(|(name, secret)| !secret.optional && !self.secrets.contains(name));
        missing.extend(needed.map(|(name, _)| format!("the secret {name} is not set")));
        let not_granted = self.asks().into_iter().filter(|asked| !self.granted.contains(asked));
        missing.extend(not_granted.map(|asked| format!("{asked} is not granted")));
        missing
    }

    /// The version on trial.
    pub fn candidate(&self) -> Option<Candidate> {
        self.row.as_ref().and_then(|row| row.candidate)
    }
}

/// Everything that is to be there, by name, and what could not be read, a sentence each.
#[derive(Debug, Default)]
pub struct Inventory {
    /// By name.
    pub plugins: BTreeMap<PluginName, Wanted>,
    /// What could not be read.
    pub problems: Vec<String>,
    /// Folders of the library that could not be read: what ran of them may go on.
    pub unreadable: Vec<String>,
}

/// A package out of the database, whole.
pub fn package(tables: &Tables, sha256: PackageDigest) -> anyhow::Result<(Package, Signer)> {
    let digest = Digest(sha256);
    let kept = tables.plugin_package(sha256)?.with_context(|| format!("the package {digest} is not kept"))?;
    let package = Package::open(&kept.archive).with_context(|| format!("the package {digest}"))?;
    anyhow::ensure!(package.digest == digest, "the package {digest} was changed in the database: install it again");
    Ok((package, Signer::kept(kept.signer)))
}

impl Inventory {
    /// As library and database have it now.
    pub fn read(library: Option<&Path>, tables: &Tables) -> anyhow::Result<Self> {
        let mut inventory = Self::default();
        if let Some(dir) = library {
            inventory.read_library(dir);
        }
        for row in tables.plugins()? {
            let name = row.name.clone();
            if let Some(sha256) = row.current {
                match installed(tables, sha256) {
                    Ok((folder, source)) => {
                        let (enabled, granted, secrets) = (row.enabled, Vec::new(), Vec::new());
                        let wanted = Wanted { folder, source, enabled, row: Some(row), granted, secrets };
                        inventory.plugins.insert(name, wanted);
                    }
                    // Not the library's in its place: that would be another one than the admin chose.
                    Err(error) => {
                        inventory.plugins.remove(&name);
                        inventory.problems.push(format!("plugin {name}: {error:#}"));
                    }
                }
            } else if let Some(wanted) = inventory.plugins.get_mut(&name) {
                wanted.enabled = row.enabled;
                wanted.row = Some(row);
            }
        }
        for (name, wanted) in &mut inventory.plugins {
            wanted.granted = tables.plugin_grants(name)?;
            wanted.folder.chosen = tables.plugin_settings(name)?.into_iter().collect();
            wanted.secrets = tables.plugin_secrets(name)?.into_iter().map(|(secret, _)| secret).collect();
        }
        Ok(inventory)
    }

    /// Decoders and derived streams that are switched on and do not run as they are set: each with why.
    pub fn unfit(&self) -> BTreeMap<PluginName, String> {
        let is_asked = |wanted: &&Wanted| wanted.enabled && wanted.folder.manifest.kind != PluginKind::Output;
        let asked = self.plugins.iter().filter(|(_, wanted)| is_asked(wanted));
        let unset = asked.map(|(name, wanted)| (name.clone(), wanted.unset().join(", ")));
        unset.filter(|(_, why)| !why.is_empty()).collect()
    }

    /// Outputs that somebody set up and did not switch off, and that cannot run as things stand: each with why.
    pub fn outputs_down(&self, tables: &Tables) -> Result<BTreeMap<PluginName, String>, StoreError> {
        let mut down = BTreeMap::new();
        for name in tables.outputs_set_up()? {
            let missing = match self.plugins.get(&name) {
                Some(wanted) if wanted.folder.manifest.kind != PluginKind::Output || !wanted.enabled => continue,
                Some(wanted) => wanted.missing(),
                None if tables.plugin(&name)?.is_some_and(|row| !row.enabled) => continue,
                None => vec![self.why_not_there(&name)],
            };
            if !missing.is_empty() {
                down.insert(name, missing.join(", "));
            }
        }
        Ok(down)
    }

    /// Whether there is an output of this name, on or off, or what may be one and cannot be read.
    pub fn has_output(&self, name: &PluginName) -> bool {
        match self.plugins.get(name) {
            Some(wanted) => wanted.folder.manifest.kind == PluginKind::Output,
            None => self.problem(name).is_some(),
        }
    }

    fn problem(&self, name: &PluginName) -> Option<&str> {
        let of_it = format!("plugin {name}: ");
        self.problems.iter().find_map(|problem| problem.strip_prefix(&of_it))
    }

    fn why_not_there(&self, name: &PluginName) -> String {
        self.problem(name).map_or_else(
            || format!("it is there no more: put it back, or `pitchside plugin remove {name}`"),
            str::to_owned,
        )
    }

    fn read_library(&mut self, dir: &Path) {
        let read = match Folder::read_each(dir) {
            Ok(read) => read,
            Err(error) => return self.problems.push(error.to_string()),
        };
        for (name, folder) in read {
            match folder {
                Ok(folder) => {
                    let (source, enabled, row) = (Source::Library, true, None);
                    let wanted = Wanted { folder, source, enabled, row, granted: Vec::new(), secrets: Vec::new() };
                    self.plugins.insert(wanted.folder.manifest.name.clone(), wanted);
                }
                Err(error) => {
                    self.problems.push(format!("plugin {name}: {error}"));
                    self.unreadable.push(name);
                }
            }
        }
    }
}

fn installed(tables: &Tables, sha256: PackageDigest) -> anyhow::Result<(Folder, Source)> {
    let (package, signer) = package(tables, sha256)?;
    Ok((folder(&package)?, Source::Package(package.digest, signer)))
}

#[cfg(test)]
mod tests {
    use pitchside_model::Timestamp;
    use pitchside_store::delivery::DeliveryStepId;
    use pitchside_store::plugins::PluginPackage;
    use pitchside_store::{PluginChange, RootKey, Store};

    use super::*;

    const HOOK: &str = "name = \"hook\"\nversion = \"1.0.0\"\nsummary = \"A test.\"\nkind = \"output\"\n\
                        capabilities = [\"http:{host}:{port}\"]\n[params.port]\ndefault = 443\nmin = 1\nmax = 65535\n\
                        [texts.host]\nexample = \"a.org\"\nmax = 40\n[secrets.token]\nsummary = \"A token.\"\n";

    /// A box with one output in its library, called `hook`.
    struct Kit {
        dir: tempfile::TempDir,
        store: Store,
        name: PluginName,
    }

    impl Kit {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let store = Store::open(&dir.path().join("data"), RootKey::new([1; 32])).unwrap();
            let kit = Self { store, name: PluginName::parse("hook").unwrap(), dir };
            std::fs::create_dir_all(kit.folder()).unwrap();
            for (file, text) in [("plugin.toml", HOOK), ("output.rhai", "[]\n"), ("cases.txt", "")] {
                std::fs::write(kit.folder().join(file), text).unwrap();
            }
            kit
        }

        fn folder(&self) -> std::path::PathBuf {
            self.dir.path().join("plugins/hook")
        }

        fn change(&self, to: PluginChange) {
            self.store.change_plugin(&self.name, to, "a deed", Timestamp(1)).unwrap();
        }

        fn set(&self, key: &str, value: &str, secret: bool) {
            let sealed = self.store.seal_plugin_setting(&self.name, key, value, secret).unwrap();
            self.change(PluginChange::Set(sealed));
        }

        fn unset(&self, key: &str, secret: bool) {
            self.change(PluginChange::Unset { key: key.to_owned(), secret });
        }

        fn grant(&self, capability: &str) {
            self.change(PluginChange::Grant(capability.to_owned()));
        }

        fn inventory(&self) -> Inventory {
            Inventory::read(Some(&self.dir.path().join("plugins")), &self.store).unwrap()
        }

        /// Why the output is missed; nothing if it is not.
        fn down(&self) -> String {
            self.inventory().outputs_down(&self.store).unwrap().remove(&self.name).unwrap_or_default()
        }
    }

    #[test]
    fn an_output_that_was_set_up_and_stopped_is_missed_whatever_stopped_it() {
        let kit = Kit::new();
        kit.set("host", "a.org", false);
        kit.set("token", "tk", true);
        assert_eq!(kit.down(), "", "nobody granted it anything: it was never set up");
        kit.grant("http:a.org:443");
        assert_eq!(kit.down(), "", "it can run");

        kit.set("host", "typo.example", false);
        assert_eq!(kit.down(), "http:typo.example:443 is not granted");
        kit.set("host", "a.org", false);
        kit.set("port", "9901.5", false);
        assert!(kit.down().contains("9901.5 is no whole number"), "{}", kit.down());
        kit.unset("port", false);
        kit.unset("token", true);
        assert_eq!(kit.down(), "the secret token is not set");
        kit.set("token", "tk", true);
        kit.change(PluginChange::Withdraw("http:a.org:443".to_owned()));
        assert_eq!(kit.down(), "", "neither granted nor ever told of anything");
        kit.store.set_plugin_told(&kit.name, DeliveryStepId(0)).unwrap();
        assert_eq!(kit.down(), "http:a.org:443 is not granted");
        kit.change(PluginChange::Enable(false));
        assert_eq!(kit.down(), "", "switched off, it is meant");
        kit.change(PluginChange::Enable(true));
        kit.grant("http:a.org:443");
        assert_eq!(kit.down(), "");
    }

    #[test]
    fn an_output_that_cannot_be_read_or_is_gone_is_missed_until_it_is_switched_off_or_removed() {
        let kit = Kit::new();
        kit.grant("http:a.org:443");
        std::fs::write(kit.folder().join("plugin.toml"), "name = 7\n").unwrap();
        assert!(kit.down().contains("plugin.toml"), "{}", kit.down());
        let has_output = || kit.inventory().has_output(&kit.name);
        assert!(has_output(), "it may be one");
        std::fs::write(kit.folder().join("plugin.toml"), HOOK).unwrap();
        assert!(has_output());
        std::fs::remove_dir_all(kit.folder()).unwrap();
        assert!(!has_output());
        assert!(kit.down().starts_with("it is there no more"), "{}", kit.down());
        let package = PluginPackage {
            sha256: [1; 32],
            name: kit.name.clone(),
            version: "1.0.0".to_owned(),
            signer: "acme.example".to_owned(),
            archive: b"no package".to_vec(),
            note: Vec::new(),
            installed_at: Timestamp(1),
        };
        kit.change(PluginChange::Install { package, grants: Vec::new(), after: None });
        assert!(kit.down().contains("cut short"), "{}", kit.down());
        kit.change(PluginChange::Enable(false));
        assert_eq!(kit.down(), "");
        kit.change(PluginChange::Enable(true));
        kit.change(PluginChange::Remove);
        assert_eq!(kit.down(), "", "forgotten with all it was granted");
    }

    #[test]
    fn a_decoder_whose_settings_do_not_fit_any_more_does_not_run_on_with_others() {
        let kit = Kit::new();
        let write = |max: u8| {
            let decoder = format!(
                "name = \"hook\"\nversion = \"1.0.0\"\nsummary = \"A test.\"\nkind = \"decoder\"\n\
                 outputs = [\"battery\"]\n[params.most]\ndefault = 20\nmin = 1\nmax = {max}\n"
            );
            std::fs::write(kit.folder().join("decode.rhai"), "[]\n").unwrap();
            std::fs::write(kit.folder().join("plugin.toml"), decoder).unwrap();
        };
        let stands = || {
            let inventory = kit.inventory();
            (inventory.plugins[&kit.name].decodes(), inventory.unfit().remove(&kit.name).unwrap_or_default())
        };
        write(100);
        kit.set("most", "90", false);
        assert_eq!(stands(), (true, String::new()));
        assert!(!kit.inventory().has_output(&kit.name), "it is there, and is no output");
        write(50);
        assert_eq!(stands(), (false, "most must be set again: 90 is not within 1 and 50".to_owned()));
        assert_eq!(kit.inventory().plugins[&kit.name].missing(), ["most must be set again: 90 is not within 1 and 50"]);
        kit.change(PluginChange::Enable(false));
        assert_eq!(stands(), (false, String::new()), "switched off, it is meant");
        kit.change(PluginChange::Enable(true));
        kit.unset("most", false);
        assert_eq!(stands(), (true, String::new()), "the manifest's, on purpose");
    }

    #[test]
    fn what_is_granted_and_not_asked_for_is_told() {
        let kit = Kit::new();
        kit.set("host", "a.org", false);
        kit.grant("http:a.org:443");
        kit.grant("http:b.org:443");
        assert_eq!(kit.inventory().plugins[&kit.name].granted_in_vain(), ["http:b.org:443"]);
    }
}
