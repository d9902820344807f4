//! Uncompressed tar archives in the ustar format (POSIX.1-1988, `pax` of POSIX.1-2024), in one spelling: regular files only, in
//! order of their names, owned by nobody, of 1970, and nothing after the two empty blocks. Every tar reads them; only what
//! [`write`](fn@write) makes is read.

/// Bytes of a block: headers have one, contents are filled up to whole ones.
const BLOCK: usize = 512;
/// The most files.
pub const FILES_MAX: usize = 16;
/// The most bytes of one file.
pub const FILE_BYTES_MAX: usize = 1 << 20;
/// The longest name.
pub const NAME_BYTES_MAX: usize = 64;

/// Why bytes are no such archive, or files can't be in one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TarError {
    /// It ends in the middle.
    #[error("it is cut short")]
    Short,
    /// A header's sum is not its own.
    #[error("the header at byte {0} is damaged")]
    Sum(usize),
    /// A name that is no plain file name: a path, a dot file, control characters, or nothing.
    #[error("{0:?} is not a file name of letters, digits, '-', '_' and '.'")]
    Name(String),
    /// A link, a folder, a device.
    #[error("{0} is no regular file")]
    NotAFile(String),
    /// A file that comes twice, or not in order.
    #[error("{0} comes twice, or not in its place")]
    Order(String),
    /// Larger than [`FILE_BYTES_MAX`].
    #[error("{0} is larger than 1 MiB")]
    TooLarge(String),
    /// More than [`FILES_MAX`].
    #[error("it holds more than {FILES_MAX} files")]
    TooMany,
    /// What else a header may say, it may not say here: mode, owner, time, filling, bytes after the end.
    #[error("byte {0} is not as it has to be")]
    Spelling(usize),
}

fn is_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.starts_with('.') && name.bytes().all(plain)
}

fn put(header: &mut [u8; BLOCK], at: usize, bytes: &[u8]) {
    if let Some(field) = header.get_mut(at..at + bytes.len()) {
        field.copy_from_slice(bytes);
    }
}

fn header(name: &str, size: usize) -> [u8; BLOCK] {
    let mut header = [0; BLOCK];
    put(&mut header, 0, name.as_bytes());
    put(&mut header, 100, b"0000644\0"); // mode
    put(&mut header, 108, b"0000000\0"); // uid
    put(&mut header, 116, b"0000000\0"); // gid
    put(&mut header, 124, format!("{size:011o}\0").as_bytes());
    put(&mut header, 136, b"00000000000\0"); // mtime
    put(&mut header, 148, b"        "); // the sum counts its own field as spaces
    put(&mut header, 156, b"0"); // regular file
    put(&mut header, 257, b"ustar\x0000");
    put(&mut header, 329, b"0000000\0"); // devmajor
    put(&mut header, 337, b"0000000\0"); // devminor
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    put(&mut header, 148, format!("{sum:06o}\0 ").as_bytes());
    header
}

const fn filling(size: usize) -> usize {
    (BLOCK - size % BLOCK) % BLOCK
}

/// The archive of these files; they come in order of their names.
pub fn write(files: &[(&str, &[u8])]) -> Result<Vec<u8>, TarError> {
    if files.len() > FILES_MAX {
        return Err(TarError::TooMany);
    }
    let mut archive = Vec::new();
    let mut before = "";
    for (name, content) in files {
        if !is_name(name) {
            return Err(TarError::Name((*name).to_owned()));
        }
        if *name <= before {
            return Err(TarError::Order((*name).to_owned()));
        }
        if content.len() > FILE_BYTES_MAX {
            return Err(TarError::TooLarge((*name).to_owned()));
        }
        before = name;
        archive.extend_from_slice(&header(name, content.len()));
        archive.extend_from_slice(content);
        archive.resize(archive.len() + filling(content.len()), 0);
    }
    archive.resize(archive.len() + 2 * BLOCK, 0);
    Ok(archive)
}

/// The number in an octal field that ends in a zero byte or space.
fn octal(field: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(field).ok()?.trim_end_matches(['\0', ' ']);
    usize::from_str_radix(text, 8).ok()
}

/// The sum of a header, its own field counted as spaces.
fn sum(header: &[u8; BLOCK]) -> usize {
    let counted = |(at, byte): (usize, &u8)| if (148..156).contains(&at) { 32 } else { usize::from(*byte) };
    header.iter().enumerate().map(counted).sum()
}

/// The files of an archive, in its order. Nothing is unpacked anywhere.
pub fn read(archive: &[u8]) -> Result<Vec<(&str, &[u8])>, TarError> {
    let mut files: Vec<(&str, &[u8])> = Vec::new();
    let mut at = 0;
    loop {
        let block = archive.get(at..).and_then(|rest| rest.first_chunk::<BLOCK>()).ok_or(TarError::Short)?;
        if block.iter().all(|byte| *byte == 0) {
            break;
        }
        if files.len() == FILES_MAX {
            return Err(TarError::TooMany);
        }
        if octal(&block[148..156]) != Some(sum(block)) {
            return Err(TarError::Sum(at));
        }
        // In the archive, not in the copy above: names live as long as it.
        let name = archive.get(at..at + 100).ok_or(TarError::Short)?;
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        let text = std::str::from_utf8(name).ok().filter(|text| is_name(text));
        let name = text.ok_or_else(|| TarError::Name(String::from_utf8_lossy(name).chars().take(100).collect()))?;
        if block[156] != b'0' {
            return Err(TarError::NotAFile(name.to_owned()));
        }
        if files.last().is_some_and(|(before, _)| name <= *before) {
            return Err(TarError::Order(name.to_owned()));
        }
        let size = octal(&block[124..136]).ok_or(TarError::Sum(at))?;
        if size > FILE_BYTES_MAX {
            return Err(TarError::TooLarge(name.to_owned()));
        }
        let content = archive.get(at + BLOCK..at + BLOCK + size).ok_or(TarError::Short)?;
        files.push((name, content));
        at += BLOCK + size + filling(size);
    }
    // One spelling: whatever was passed over above has to be what we would have written.
    let again = write(&files)?;
    if again == archive {
        return Ok(files);
    }
    if archive.len() < again.len() {
        return Err(TarError::Short);
    }
    let differs = again.iter().zip(archive).position(|(ours, theirs)| ours != theirs);
    Err(TarError::Spelling(differs.unwrap_or(again.len())))
}
