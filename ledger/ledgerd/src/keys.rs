//! Secrets in files that only their owner reads. A secret is never an argument, never a log line.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use zeroize::Zeroizing;

use crate::files::read_text_bounded;

/// The longest secret file: the log's key is a line of its name and 44 more.
const SECRET_BYTES_MAX: usize = 4_096;

/// Why a secret file was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file system refused.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others could have read it.
    #[error("{path} can be read by others (mode {mode:03o}); run `chmod 600 {path}` and consider the secret known")]
    Open {
        /// Which file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Not a secret of the expected form.
    #[error("{0} does not hold a key: 32 bytes as 64 hexadecimal digits")]
    Form(PathBuf),
}

/// Reads a text only its owner can read.
///
/// # Errors
/// Not there, readable by others, longer than any secret, or not text.
pub fn read_text(path: &Path) -> Result<Zeroizing<String>, SecretError> {
    let io = |source| SecretError::Io { path: path.to_owned(), source };
    let mode = fs::metadata(path).map_err(io)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(SecretError::Open { path: path.to_owned(), mode });
    }
    read_text_bounded(path, SECRET_BYTES_MAX).map(Zeroizing::new).map_err(io)
}

/// Reads 32 secret bytes.
///
/// # Errors
/// Not there, readable by others, or another form.
pub fn read_key(path: &Path) -> Result<Zeroizing<[u8; 32]>, SecretError> {
    let text = read_text(path)?;
    let bytes = HEXLOWER.decode(text.trim().as_bytes()).map(Zeroizing::new);
    let mut key = Zeroizing::new([0; 32]);
    match bytes {
        Ok(bytes) if bytes.len() == key.len() => key.copy_from_slice(&bytes),
        _ => return Err(SecretError::Form(path.to_owned())),
    }
    Ok(key)
}

/// Writes a new file for its owner alone, durably. An existing file is never replaced.
///
/// # Errors
/// It exists, or the file system refused.
pub fn write_text(path: &Path, text: &str) -> Result<(), SecretError> {
    let io = |source| SecretError::Io { path: path.to_owned(), source };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(io)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io)
}

/// Writes 32 secret bytes as [`read_key`] reads them.
///
/// # Errors
/// As [`write_text`].
pub fn write_key(path: &Path, key: &[u8; 32]) -> Result<(), SecretError> {
    write_text(path, &Zeroizing::new(HEXLOWER.encode(key) + "\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.key");
        write_key(&path, &[7; 32]).unwrap();
        assert_eq!(*read_key(&path).unwrap(), [7; 32]);
        assert!(matches!(write_key(&path, &[8; 32]), Err(SecretError::Io { .. })), "never replaced");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(read_key(&path), Err(SecretError::Open { mode: 0o640, .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "short").unwrap();
        assert!(matches!(read_key(&path), Err(SecretError::Form(_))));
    }
}
