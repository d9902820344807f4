//! Files of rules and plugins, wherever they come from.

use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Opens a file that somebody else may have put there. A pipe would keep its reader waiting for whoever writes into it, and a device has
/// no end: both are refused.
pub fn open(path: &Path) -> Result<File> {
    // Not asked of the path before: something else may stand there a moment later.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let kind = file.metadata()?.file_type();
    // That a folder is none is said when it is read.
    if kind.is_file() || kind.is_dir() {
        Ok(file)
    } else {
        Err(Error::new(ErrorKind::InvalidInput, "it is a pipe or a device, not a file"))
    }
}

#[cfg(test)]
mod tests {
    use std::io::read_to_string;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn nobody_waits_for_whoever_may_write_into_a_pipe() {
        let dir = tempfile::tempdir().unwrap();
        let (pipe, file) = (dir.path().join("rule.rhai"), dir.path().join("rule.toml"));
        mknodat(CWD, pipe.as_path(), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        // In a thread, so that a wait is a failure and no hanging test.
        let (told, heard) = std::sync::mpsc::sync_channel(1);
        std::thread::spawn(move || told.send(open(&pipe).map(drop).map_err(|error| error.to_string())));
        let refused = heard.recv_timeout(std::time::Duration::from_secs(10)).unwrap();
        assert_eq!(refused, Err("it is a pipe or a device, not a file".to_owned()));
        assert!(open(Path::new("/dev/zero")).is_err());
        std::fs::write(&file, "x = 1").unwrap();
        assert_eq!(read_to_string(open(&file).unwrap()).unwrap(), "x = 1");
        assert!(open(dir.path()).and_then(read_to_string).is_err(), "a folder is no file");
    }
}
