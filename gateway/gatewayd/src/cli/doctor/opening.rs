//! A box whose keys or whose database do not open: why, and what mends that. `init` is named only where no box is: it makes another one.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use pitchside_config::Settings;
use pitchside_store::OpenError;

use super::Finding;
use super::machine::make_room;
use crate::cli::SETTINGS_FILE;
use crate::cli::init::{begun_at, part_of_a_box};
use crate::identity::FILES;

/// What each is told as.
pub const KEYS: &str = "keys";
pub const INIT: &str = "init";
pub const DATABASE: &str = "database";
pub const ROOT_KEY: &str = "root key";
const DISK: &str = "disk";
pub const NEWER: &str = "database of a newer version";

const RESTORE: &str = "pitchside backup restore FILE --dir DIR --recovery-key FILE";
const AS_ITS_USER: &str = "ask as the gateway's own user, or as root: pitchside doctor";

/// The keys do not open.
pub fn keys(settings: &Settings, files: &[PathBuf], error: &anyhow::Error) -> Finding {
    let (keys, data) = (&settings.gateway.key_dir, &settings.gateway.data_dir);
    let paths = FILES.map(|name| keys.join(name));
    let shown = |path: &PathBuf| path.display().to_string();
    let open: Vec<String> = paths.iter().filter(|path| others_read(path)).map(shown).collect();
    let mend = if !open.is_empty() {
        format!("chmod 600 {}", open.join(" "))
    } else if std::iter::once(keys).chain(&paths).any(|path| is_denied(path)) {
        AS_ITS_USER.to_owned()
    } else if begun_at(keys).is_some() || part_of_a_box(keys, data).is_none() {
        init(settings, files)
    } else {
        format!("bring back what is missing or damaged in {}; if it is nowhere: {RESTORE}", keys.display())
    };
    Finding::new(KEYS, false, format!("{error:#}"), mend)
}

fn others_read(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o077 != 0)
}

fn is_denied(path: &Path) -> bool {
    std::fs::File::open(path).is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
}

/// Keys that open, of an init that was cut off before it had handed over what only it knew.
pub fn unfinished(settings: &Settings) -> Option<Finding> {
    let keys = &settings.gateway.key_dir;
    let marker = begun_at(keys)?;
    let evidence =
        "`pitchside init` was cut off before it had shown the recovery key: nobody may have it, or the first password";
    let dir = keys.parent().unwrap_or(keys).display();
    let mend = format!(
        "pitchside init --dir {dir}, before the box's first start; after it: pitchside backup key --out FILE; pitchside user password admin; \
         rm {}",
        marker.display()
    );
    Some(Finding::new(INIT, false, evidence, mend))
}

/// There is no box yet. `init` makes settings, keys and data together, and leaves settings that are there alone: they make room.
fn init(settings: &Settings, files: &[PathBuf]) -> String {
    if begun_at(&settings.gateway.key_dir).is_some() {
        let dir = settings.gateway.key_dir.parent().unwrap_or(&settings.gateway.key_dir);
        return format!("pitchside init --dir {}", dir.display());
    }
    let named = files.iter().find(|file| file.file_name().is_some_and(|name| name == SETTINGS_FILE));
    let Some((file, dir)) = named.and_then(|file| Some((file, file.parent()?))) else {
        return "pitchside init --dir DIR".to_owned();
    };
    let gateway = &settings.gateway;
    let (file, shown) = (file.display(), dir.display());
    if gateway.key_dir == dir.join("keys") && gateway.data_dir == dir.join("data") {
        return format!("mv {file} {file}.old; pitchside init --dir {shown}; then take over what {file}.old says");
    }
    format!(
        "pitchside init --dir DIR (a new folder); then name its keys and data in {file}: gateway.key_dir, gateway.data_dir"
    )
}

/// The database does not open.
pub fn database(settings: &Settings, error: &anyhow::Error) -> Finding {
    let (keys, data) = (settings.gateway.key_dir.display(), &settings.gateway.data_dir);
    let (what, mend) = match error.downcast_ref::<OpenError>() {
        Some(OpenError::NoRoom { .. }) => (DISK, make_room(data)),
        Some(OpenError::Newer { .. }) => {
            (NEWER, "install the newer pitchside that has run here: nothing is lost".to_owned())
        }
        Some(OpenError::WrongKey) => (
            ROOT_KEY,
            format!("put the root.key this database was made with back into {keys}; if it is nowhere: {RESTORE}"),
        ),
        Some(OpenError::Missing(_) | OpenError::Foreign(_)) => {
            (DATABASE, format!("pitchside config explain gateway.data_dir; if it names the right folder: {RESTORE}"))
        }
        _ if is_denied(&data.join("pitchside.db")) || is_denied(data) => (DATABASE, AS_ITS_USER.to_owned()),
        Some(OpenError::Store(error)) if error.passes() => (DATABASE, "pitchside doctor, once more".to_owned()),
        _ => (DATABASE, RESTORE.to_owned()),
    };
    Finding::new(what, false, format!("{error:#}"), mend)
}

#[cfg(test)]
mod tests {
    use pitchside_config::Gateway;
    use pitchside_store::{RootKey, Tables};

    use super::*;
    use crate::identity::Identity;

    fn settings(dir: &Path) -> Settings {
        let gateway = Gateway { data_dir: dir.join("data"), key_dir: dir.join("keys"), ..Gateway::default() };
        Settings { gateway, ..Settings::default() }
    }

    /// What mends keys that do not open.
    fn mend(dir: &Path) -> String {
        let settings = settings(dir);
        let error = Identity::load(&settings.gateway.key_dir).err().unwrap();
        let found = keys(&settings, &[dir.join(SETTINGS_FILE)], &error);
        assert!(!found.ok && found.what == KEYS);
        found.mend.unwrap()
    }

    #[test]
    fn init_is_named_where_there_is_no_box_and_nowhere_else() {
        let home = tempfile::tempdir().unwrap();
        let (dir, folder) = (home.path(), home.path().join("keys"));
        let said = mend(dir);
        assert!(said.contains(&format!("pitchside init --dir {}", dir.display())), "{said}");
        assert!(said.starts_with("mv "), "init leaves settings that are there alone: {said}");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("init.begun"), "").unwrap();
        assert_eq!(mend(dir), format!("pitchside init --dir {}", dir.display()), "it was cut off");
        assert!(unfinished(&settings(dir)).is_some_and(|found| !found.ok));
        std::fs::remove_file(folder.join("init.begun")).unwrap();
        assert!(unfinished(&settings(dir)).is_none());
        Identity::ensure(&folder).unwrap();
        let root = folder.join("root.key");
        std::fs::set_permissions(&root, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(mend(dir), format!("chmod 600 {}", root.display()));
        assert!(!format!("{:#}", Identity::load(&folder).err().unwrap()).contains("no identity yet"));
        std::fs::remove_file(&root).unwrap();
        let said = mend(dir);
        assert!(said.contains("backup restore") && !said.contains("pitchside init"), "{said}");
        std::fs::remove_dir_all(&folder).unwrap();
        std::fs::create_dir(dir.join("data")).unwrap();
        std::fs::write(dir.join("data/pitchside.db"), "rows").unwrap();
        let said = mend(dir);
        assert!(said.contains("backup restore") && !said.contains("pitchside init"), "data are there: {said}");
    }

    #[test]
    fn a_full_disk_is_no_reason_to_restore_a_backup() {
        let full = OpenError::NoRoom { dir: "data".into(), free_bytes: 0, needed_bytes: 1, cause: String::new() };
        let found = database(&settings(Path::new("box")), &full.into());
        assert_eq!((found.what, found.ok), (DISK, false));
        assert!(found.mend.is_some_and(|mend| mend.contains("never pitchside.db")), "{}", found.evidence);
    }

    #[test]
    fn a_database_under_another_key_or_of_a_newer_version_is_not_to_be_restored_over() {
        let home = tempfile::tempdir().unwrap();
        let settings = settings(home.path());
        drop(Tables::init(&settings.gateway.data_dir, RootKey::new([1; 32])).unwrap());
        let wrong = Tables::attach(&settings.gateway.data_dir, RootKey::new([2; 32])).err().unwrap();
        let found = database(&settings, &wrong.into());
        assert!(found.what == ROOT_KEY && found.mend.unwrap().starts_with("put the root.key"));
        let newer = OpenError::Newer { found: 99, known: 9, needed: 98 };
        let found = database(&settings, &newer.into());
        assert!(found.what == NEWER && found.mend.unwrap().starts_with("install the newer pitchside"));
        std::fs::write(settings.gateway.data_dir.join("pitchside.db"), "no database at all").unwrap();
        let broken = Tables::attach(&settings.gateway.data_dir, RootKey::new([1; 32])).err().unwrap();
        let found = database(&settings, &broken.into());
        assert!(found.what == DATABASE && found.mend.unwrap().starts_with("pitchside backup restore"));
    }
}
