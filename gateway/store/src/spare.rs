//! Room that is put by for a start.
//!
//! SQLite asks for some before it shows the first row: an index of its log, and pages for what a start writes. On a disk that
//! somebody else filled to the last byte, a gateway that ended could not begin again, nor delete anything of its own. So a file
//! beside the database holds that room. A start that finds too little gives it back; once there is plenty it is put by again.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate};

use crate::error::{OpenError, StoreError};

/// What a start takes at the most: the index of a log of 64 MiB, and its own pages several times over.
const START_BYTES: u64 = 1 << 20;
/// With so much free beyond the reserve, the room is put by.
const PLENTY_BYTES: u64 = 16 << 20;

/// The room, and whether it is still to be put by.
pub(crate) struct Spare {
    path: PathBuf,
    wanted: bool,
}

impl Spare {
    /// Gives the room back if so few bytes are free that a start needs it. The caller holds the lock of the folder.
    pub(crate) fn look(dir: &Path, free_bytes: Option<u64>) -> Result<Self, OpenError> {
        let path = dir.join("spare.room");
        if free_bytes.is_some_and(|free| free < START_BYTES) {
            match std::fs::remove_file(&path) {
                Ok(()) => tracing::warn!("the disk is full: this start takes the room that was put by; make room"),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(cause) => return Err(OpenError::File { path, cause }),
            }
        }
        let wanted = std::fs::metadata(&path).map_or(0, |meta| meta.len()) < START_BYTES;
        Ok(Self { path, wanted })
    }

    /// Puts the room by if it is not and there is plenty.
    pub(crate) fn keep(&mut self, reserve_bytes: u64, free_bytes: impl FnOnce() -> Option<u64>) {
        if !self.wanted || free_bytes().is_none_or(|free| free < reserve_bytes.saturating_add(PLENTY_BYTES)) {
            return;
        }
        // Where the file system can't promise room, it can't the next time either.
        self.wanted = false;
        if let Err(error) = put_by(&self.path) {
            tracing::warn!(%error, "no room could be put by: on a full disk, a start may fail until there is room");
        }
    }
}

fn put_by(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    Ok(fallocate(&file, FallocateFlags::empty(), 0, START_BYTES)?)
}

/// What SQLite calls an error of the disk or of the database is, without room, the full disk. `limited`: the database may have
/// reached a limit of its own.
pub(crate) fn explain(dir: &Path, free_bytes: Option<u64>, limited: bool, error: OpenError) -> OpenError {
    let Some(free_bytes) = free_bytes else { return error };
    let is_full = free_bytes < START_BYTES;
    let cause = match error {
        OpenError::Store(StoreError::DatabaseFull) if !is_full && !limited => {
            return StoreError::DiskFull { free_bytes, reserve_bytes: 0 }.into();
        }
        OpenError::Store(StoreError::DatabaseFull) if is_full => "SQLite found no room".to_owned(),
        OpenError::Store(cause @ StoreError::Database(_)) if is_full => cause.to_string(),
        OpenError::File { cause, .. } if is_full && cause.kind() == ErrorKind::StorageFull => cause.to_string(),
        other => return other,
    };
    OpenError::NoRoom { dir: dir.to_owned(), free_bytes, needed_bytes: START_BYTES, cause }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn room_is_put_by_when_there_is_plenty_and_given_back_to_a_start_that_needs_it() {
        let dir = TempDir::new().unwrap();
        let file = dir.path().join("spare.room");
        let mut spare = Spare::look(dir.path(), Some(0)).unwrap();
        spare.keep(1, || Some(PLENTY_BYTES));
        assert!(!file.exists(), "the reserve comes first");
        spare.keep(0, || Some(PLENTY_BYTES));
        let meta = std::fs::metadata(&file).unwrap();
        assert!(meta.len() == START_BYTES && meta.blocks() * 512 >= START_BYTES, "a name alone holds no room");
        assert!(!Spare::look(dir.path(), Some(START_BYTES)).unwrap().wanted);
        assert!(file.exists());
        assert!(Spare::look(dir.path(), Some(START_BYTES - 1)).unwrap().wanted);
        assert!(!file.exists());
    }

    #[test]
    fn an_error_of_opening_is_the_full_disk_only_where_the_disk_is_full() {
        let failed = || OpenError::Store(StoreError::Database("disk I/O error".to_owned()));
        let limit = || OpenError::Store(StoreError::DatabaseFull);
        let told = |free, limited, error| explain(Path::new("data"), free, limited, error);
        let said = told(Some(0), false, failed()).to_string();
        assert!(said.contains("0 bytes are free") && said.contains("takes up to 1048576"), "{said}");
        assert!(said.contains("disk I/O error") && said.contains("never pitchside.db"), "{said}");
        assert!(matches!(told(Some(0), true, limit()), OpenError::NoRoom { .. }));
        assert!(matches!(told(Some(START_BYTES), false, failed()), OpenError::Store(StoreError::Database(_))));
        assert!(matches!(told(Some(START_BYTES), true, limit()), OpenError::Store(StoreError::DatabaseFull)));
        assert!(matches!(told(Some(START_BYTES), false, limit()), OpenError::Store(StoreError::DiskFull { .. })));
        assert!(matches!(told(Some(0), false, OpenError::WrongKey), OpenError::WrongKey));
        let file = |cause| OpenError::File { path: "run.lock".into(), cause };
        assert!(matches!(told(Some(0), false, file(ErrorKind::StorageFull.into())), OpenError::NoRoom { .. }));
        assert!(matches!(told(Some(0), false, file(ErrorKind::PermissionDenied.into())), OpenError::File { .. }));
    }
}
