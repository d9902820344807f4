//! Files that may not be longer than what belongs in them.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// Reads a file of at most `most` bytes, whatever it says of its length: a pipe and `/dev/zero` say 0.
///
/// # Errors
/// Not there, not to be read, or longer.
pub fn read_bounded(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    // Room for all of it at once: a buffer that grows leaves copies of a secret behind.
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(most).min(most);
    let mut bytes = Vec::with_capacity(length + 1);
    file.take(most as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > most {
        return Err(io::Error::other(format!("has more than {most} bytes; no more are read")));
    }
    Ok(bytes)
}

/// The same of a text.
///
/// # Errors
/// As [`read_bounded`], or not UTF-8.
pub fn read_text_bounded(path: &Path, most: usize) -> io::Result<String> {
    String::from_utf8(read_bounded(path, most)?).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_to_its_bound_and_no_further() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a");
        std::fs::write(&file, "abcd").unwrap();
        assert_eq!(read_text_bounded(&file, 4).unwrap(), "abcd");
        assert!(read_bounded(&file, 3).unwrap_err().to_string().contains("more than 3 bytes"));
        // It says that it has none, and has no end.
        assert!(read_bounded(Path::new("/dev/zero"), 1_000).is_err());
        std::fs::write(&file, [0xff]).unwrap();
        assert_eq!(read_text_bounded(&file, 4).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
