//! What runs, and the hash of it that block headers have.

use std::collections::BTreeMap;

use pitchside_decode::plugin::Folder;
use pitchside_model::PluginName;
use pitchside_script::manifest::Constant;

use super::Fingerprint;

/// A decoder that runs.
pub(super) struct Running {
    pub fingerprint: Fingerprint,
    pub version: String,
    script: String,
    /// Its params, as they are set.
    constants: Vec<(String, Constant)>,
}

impl Running {
    pub fn of(folder: &Folder, fingerprint: Fingerprint) -> Self {
        let (version, script) = (folder.manifest.version.clone(), folder.source.clone());
        Self { fingerprint, version, script, constants: folder.constants() }
    }
}

/// The hash of all that runs, in the order of the names: what decides which value is read from a payload. Zeros if nothing runs.
///
/// ```text
/// BLAKE3( each plugin: name ‖ version ‖ script ‖ count of its params u64 BE ‖ each param: name ‖ value )
/// ```
/// with each text led by its length (u64 BE), and of a number the eight bytes of IEEE 754 (BE).
pub(super) fn hash(running: &BTreeMap<PluginName, Running>) -> [u8; 32] {
    if running.is_empty() {
        return [0; 32];
    }
    let mut hasher = blake3::Hasher::new();
    for (name, running) in running {
        for text in [name.as_str(), running.version.as_str(), running.script.as_str()] {
            led(&mut hasher, text);
        }
        hasher.update(&(running.constants.len() as u64).to_be_bytes());
        for (name, value) in &running.constants {
            led(&mut hasher, name);
            match value {
                Constant::Number(number) => {
                    hasher.update(&number.to_bits().to_be_bytes());
                }
                Constant::Text(text) => led(&mut hasher, text),
            }
        }
    }
    *hasher.finalize().as_bytes()
}

fn led(hasher: &mut blake3::Hasher, text: &str) {
    hasher.update(&(text.len() as u64).to_be_bytes()).update(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash_of(version: &str, script: &str, default: u8, set: Option<&str>) -> [u8; 32] {
        let manifest = format!(
            "name = \"acme\"\nversion = \"{version}\"\nsummary = \"A test.\"\nkind = \"decoder\"\n\
             outputs = [\"battery\"]\n[params.most]\ndefault = {default}\nmin = 1\nmax = 100\n"
        );
        let mut folder = Folder::of_texts(&manifest, script.to_owned(), String::new()).unwrap();
        folder.chosen.extend(set.map(|set| ("most".to_owned(), set.to_owned())));
        let name = folder.manifest.name.clone();
        hash(&BTreeMap::from([(name, Running::of(&folder, [0; 32]))]))
    }

    #[test]
    fn the_hash_in_headers_tells_scripts_versions_and_what_is_set_apart() {
        assert_eq!(hash(&BTreeMap::new()), [0; 32]);
        let plain = hash_of("1.0.0", "[]", 20, None);
        let others = [
            hash_of("1.0.1", "[]", 20, None),
            hash_of("1.0.0", "[ ]", 20, None),
            hash_of("1.0.0", "[]", 21, None),
            hash_of("1.0.0", "[]", 20, Some("90")),
        ];
        assert!(others.iter().all(|other| *other != plain));
        assert_eq!(plain, hash_of("1.0.0", "[]", 50, Some("20")), "what is in effect counts, not who said it");
    }
}
