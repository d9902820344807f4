//! What an admin gave an output: what it may do, and its secrets. Read anew for each attempt, so that what is taken back counts at
//! once and no secret lies about longer than it is used.

use std::collections::BTreeMap;

use pitchside_model::PluginName;
use pitchside_script::manifest::{Capability, SecretParam};
use pitchside_store::{StoreError, Tables};
use zeroize::Zeroizing;

use super::carry::CarryError;

/// A secret that the manifest declares.
enum Secret {
    Is(Zeroizing<String>),
    /// Nobody gave it; the output runs without it, too.
    GoesWithout,
    Missing,
}

/// What an output was given. It has no Debug: secrets are in it.
pub struct Given {
    /// What it may have done for it.
    pub granted: Vec<Capability>,
    secrets: BTreeMap<String, Secret>,
}

impl Given {
    /// As it stands now; `asks` is what its manifest asks for, `declared` are the secrets it names. What an older version was granted
    /// and this one does not ask for is not given.
    pub fn read(
        tables: &Tables,
        name: &PluginName,
        asks: &[Capability],
        declared: &[(String, SecretParam)],
    ) -> Result<Self, StoreError> {
        let stored = tables.plugin_grants(name)?;
        let granted = asks.iter().filter(|asked| stored.contains(&asked.to_string())).cloned().collect();
        let mut set: BTreeMap<_, _> =
            if declared.is_empty() { BTreeMap::new() } else { tables.plugin_secrets(name)?.into_iter().collect() };
        let secret = |(name, about): &(String, SecretParam)| {
            let secret = match set.remove(name) {
                Some(secret) => Secret::Is(secret),
                None if about.optional => Secret::GoesWithout,
                None => Secret::Missing,
            };
            (name.clone(), secret)
        };
        Ok(Self { granted, secrets: declared.iter().map(secret).collect() })
    }

    #[cfg(test)]
    pub(super) fn of_test(name: &str, secret: Option<&str>) -> Self {
        let secret = secret.map_or(Secret::GoesWithout, |text| Secret::Is(Zeroizing::new(text.to_owned())));
        Self { granted: Vec::new(), secrets: BTreeMap::from([(name.to_owned(), secret)]) }
    }

    /// The secret of this name; none if the output goes without it.
    pub fn secret(&self, name: &str) -> Result<Option<&str>, CarryError> {
        match self.secrets.get(name) {
            Some(Secret::Is(secret)) => Ok(Some(secret.as_str())),
            Some(Secret::GoesWithout) => Ok(None),
            Some(Secret::Missing) => {
                Err(CarryError::Later(format!("the secret {name} is not set: pitchside plugin secret PLUGIN {name}")))
            }
            None => Err(CarryError::Never(format!("it names the secret {name}, which its manifest does not declare"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use pitchside_model::Timestamp;
    use pitchside_store::{PluginChange, RootKey, Store};

    use super::*;

    #[test]
    fn what_an_older_version_was_granted_is_not_given_to_one_that_does_not_ask_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let (store, name) =
            (Store::open(dir.path(), RootKey::new([1; 32])).unwrap(), PluginName::parse("spy").unwrap());
        let of = |text: &str| Capability::parse(text).unwrap();
        for granted in ["http:10.0.0.2:9901", "http:10.0.0.2:9902"] {
            store.change_plugin(&name, PluginChange::Grant(granted.to_owned()), "granted", Timestamp(1)).unwrap();
        }
        let given = |asks: &[Capability]| Given::read(&store, &name, asks, &[]).unwrap().granted;
        assert_eq!(given(&[of("http:10.0.0.2:9901")]), [of("http:10.0.0.2:9901")]);
        assert!(given(&[of("http:10.0.0.2:9903")]).is_empty(), "asked for, not granted");
        assert!(given(&[]).is_empty());
    }
}
