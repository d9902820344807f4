//! The file around a backup: a head with the sealed file key, chunks, and a tail that anyone can check.
//!
//! ```text
//!      0  16  "pitchside/bkp/2\n"; 1 before records of plugins and rules, and read still
//!     16   8  which recovery key: first 8 bytes of SHA-256(its public half)
//!     24  80  the file key, sealed to it: HPKE encapsulated key 32 || ciphertext 32 || tag 16
//!    104   .  chunks of 65,536 bytes and a tag of 16; the last one 1 to 65,536 bytes and its tag
//!    end  32  BLAKE3 of everything before
//! ```
//!
//! STREAM (Hoang, Reyhanitabar, Rogaway, Vizar 2015): chunk `n` is ChaCha20-Poly1305 under the payload key with the nonce
//! `n` (11 bytes, big-endian) || 01 for the last chunk, 00 for the others. Cut, swapped, repeated or lengthened chunks do
//! not open. Payload key = HKDF-SHA256(salt = the head's 104 bytes, file key, "pitchside/backup/1/payload").

use std::io::{self, Read, Write};

use chacha20poly1305::aead::AeadInOut as _;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit as _, Nonce};
use hkdf::Hkdf;
use pitchside_seal::key::{RECOVERY_COPY_BYTES, RecoveryPublic};
use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize as _, Zeroizing};

use super::recovery::RecoveryKey;

/// Raised when a backup may hold what an older program would take for damage.
const MAGIC: &[u8; 16] = b"pitchside/bkp/2\n";
/// What is read.
const MAGICS: [&[u8]; 2] = [MAGIC, b"pitchside/bkp/1\n"];
const HEAD_BYTES: usize = 16 + 8 + RECOVERY_COPY_BYTES;
/// Plaintext in a full chunk.
pub const CHUNK_BYTES: usize = 64 * 1_024;
const TAG_BYTES: usize = 16;
/// BLAKE3 at the end.
pub const TAIL_BYTES: u64 = 32;
const INFO: &[u8] = b"pitchside/backup/1";
const PAYLOAD_INFO: &[u8] = b"pitchside/backup/1/payload";

/// Why a file is not a backup one can read.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// The disk.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Not a backup at all, or of a later version.
    #[error("this is not a backup of this version of pitchside")]
    NotOne,
    /// Sealed to another key.
    #[error("this backup was made for another recovery key: give the one of the box that made it")]
    OtherKey,
    /// Changed, cut or put together from parts.
    #[error("the backup was changed or cut ({0})")]
    Changed(&'static str),
    /// Of a later version.
    #[error(
        "this backup was made by a newer version of pitchside: it holds records of kind {0}, which this one does not know; use that version"
    )]
    Newer(u8),
}

impl From<EnvelopeError> for io::Error {
    fn from(error: EnvelopeError) -> Self {
        match error {
            EnvelopeError::Io(error) => error,
            other => Self::new(io::ErrorKind::InvalidData, other),
        }
    }
}

impl EnvelopeError {
    /// Finds ours again in an I/O error that carried it.
    pub fn of(error: io::Error) -> Self {
        if error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<Self>) {
            return match error.downcast::<Self>() {
                Ok(ours) => ours,
                Err(other) => Self::Io(other),
            };
        }
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Changed("it ends early"),
            _ => Self::Io(error),
        }
    }
}

fn is_ours(magic: &[u8]) -> bool {
    MAGICS.contains(&magic)
}

fn key_id(public: &RecoveryPublic) -> [u8; 8] {
    let mut id = [0; 8];
    id.copy_from_slice(&Sha256::digest(public.to_bytes())[..8]);
    id
}

fn payload_cipher(head: &[u8], file_key: &[u8; 32]) -> ChaCha20Poly1305 {
    let mut key = Zeroizing::new([0u8; 32]);
    // 32 bytes are well within HKDF's 255 blocks, the only way expanding can fail.
    let _ = Hkdf::<Sha256>::new(Some(head), file_key).expand(PAYLOAD_INFO, key.as_mut_slice());
    ChaCha20Poly1305::new((&*key).into())
}

fn nonce(chunk: u64, last: bool) -> Nonce {
    let mut bytes = [0; 12];
    bytes[3..11].copy_from_slice(&chunk.to_be_bytes());
    bytes[11] = u8::from(last);
    bytes.into()
}

/// Writes a backup's chunks. [`Sealer::finish`] writes the last one and the tail; a file without them does not open.
pub struct Sealer<W> {
    out: W,
    cipher: ChaCha20Poly1305,
    chunk: u64,
    buffer: Vec<u8>,
    hasher: blake3::Hasher,
}

impl<W: Write> Sealer<W> {
    /// Writes the head. `file_key` and `entropy` are fresh randomness.
    pub fn start(out: W, to: &RecoveryPublic, file_key: &[u8; 32], entropy: [u8; 32]) -> Result<Self, EnvelopeError> {
        Self::start_as(MAGIC, out, to, file_key, entropy)
    }

    /// The same, of a version of its own.
    pub(super) fn start_as(
        magic: &[u8],
        mut out: W,
        to: &RecoveryPublic,
        file_key: &[u8; 32],
        entropy: [u8; 32],
    ) -> Result<Self, EnvelopeError> {
        let mut head = magic.to_vec();
        head.extend_from_slice(&key_id(to));
        let sealed = to.seal_secret(INFO, &head, file_key, entropy).map_err(|_| EnvelopeError::OtherKey)?;
        head.extend_from_slice(&sealed);
        out.write_all(&head)?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(&head);
        let cipher = payload_cipher(&head, file_key);
        Ok(Self { out, cipher, chunk: 0, buffer: Vec::with_capacity(CHUNK_BYTES + TAG_BYTES), hasher })
    }

    fn flush_chunk(&mut self, last: bool) -> io::Result<()> {
        let nonce = nonce(self.chunk, last);
        let sealed = self.cipher.encrypt_in_place(&nonce, b"", &mut self.buffer);
        sealed.map_err(|_| io::Error::other("a chunk could not be encrypted"))?;
        self.hasher.update(&self.buffer);
        self.out.write_all(&self.buffer)?;
        self.buffer.clear();
        self.chunk += 1;
        Ok(())
    }

    /// Ends the file; gives back where it was written.
    pub fn finish(mut self) -> io::Result<W> {
        self.flush_chunk(true)?;
        self.out.write_all(self.hasher.finalize().as_bytes())?;
        Ok(self.out)
    }
}

impl<W: Write> Write for Sealer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A full chunk goes only when more comes: the last one is never empty.
        if self.buffer.len() == CHUNK_BYTES && !bytes.is_empty() {
            self.flush_chunk(false)?;
        }
        let take = bytes.len().min(CHUNK_BYTES - self.buffer.len());
        self.buffer.extend_from_slice(bytes.get(..take).unwrap_or_default());
        Ok(take)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Checks magic and tail without any key: every byte is as it was written, whatever it says. What would be whole but for its magic
/// is a changed backup, and not something else.
pub fn check_tail(file: impl Read, length: u64) -> Result<(), EnvelopeError> {
    let smallest = (HEAD_BYTES + TAG_BYTES + 1) as u64 + TAIL_BYTES;
    let mut input = io::BufReader::new(file);
    let mut magic = [0; 16];
    if length < MAGIC.len() as u64 || input.read_exact(&mut magic).is_err() {
        return Err(EnvelopeError::NotOne);
    }
    let is_ours = is_ours(&magic);
    let Some(body) = length.checked_sub(TAIL_BYTES).filter(|_| length >= smallest) else {
        return Err(if is_ours { EnvelopeError::Changed("it is too short") } else { EnvelopeError::NotOne });
    };
    let begun = |magic: &[u8]| {
        let mut hasher = blake3::Hasher::new();
        hasher.update(magic);
        hasher
    };
    let mut hashers: Vec<_> = if is_ours { vec![begun(&magic[..])] } else { MAGICS.into_iter().map(begun).collect() };
    let (mut left, mut piece) = (body - MAGIC.len() as u64, vec![0u8; CHUNK_BYTES]);
    while left > 0 {
        let take = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK_BYTES);
        let piece = piece.get_mut(..take).unwrap_or_default();
        input.read_exact(piece).map_err(EnvelopeError::of)?;
        for hasher in &mut hashers {
            hasher.update(piece);
        }
        left -= take as u64;
    }
    let mut tail = [0; 32];
    input.read_exact(&mut tail).map_err(EnvelopeError::of)?;
    let is_whole = hashers.iter().any(|hasher| *hasher.finalize().as_bytes() == tail);
    match (is_ours, is_whole) {
        (true, true) => Ok(()),
        (true, false) => Err(EnvelopeError::Changed("its bytes do not have the hash at its end")),
        (false, true) => Err(EnvelopeError::Changed("its first bytes")),
        (false, false) => Err(EnvelopeError::NotOne),
    }
}

/// Reads a backup's plaintext. It ends in good order only after the last chunk, the tail, and nothing after them.
pub struct Opener<R> {
    input: R,
    cipher: ChaCha20Poly1305,
    chunk: u64,
    /// Ciphertext left.
    left: u64,
    plain: Vec<u8>,
    at: usize,
}

impl<R: Read> Opener<R> {
    /// Reads the head of a file of this length. Check the tail first: see [`check_tail`].
    pub fn start(mut input: R, length: u64, key: &RecoveryKey) -> Result<Self, EnvelopeError> {
        let mut head = [0; HEAD_BYTES];
        input.read_exact(&mut head).map_err(EnvelopeError::of)?;
        let (named, sealed) = head.split_at(24);
        if !is_ours(&named[..16]) {
            return Err(EnvelopeError::NotOne);
        }
        if named[16..] != key_id(&key.secret.public()) {
            return Err(EnvelopeError::OtherKey);
        }
        let changed = |_| EnvelopeError::Changed("its head does not open");
        let file_key = key.secret.open_secret(INFO, named, sealed).map_err(changed)?;
        let left = length.checked_sub(HEAD_BYTES as u64 + TAIL_BYTES);
        let left = left.filter(|left| *left > 0).ok_or(EnvelopeError::Changed("it is too short"))?;
        let cipher = payload_cipher(&head, &file_key);
        Ok(Self { input, cipher, chunk: 0, left, plain: Vec::new(), at: 0 })
    }

    fn next_chunk(&mut self) -> Result<bool, EnvelopeError> {
        let whole = (CHUNK_BYTES + TAG_BYTES) as u64;
        let take = self.left.min(whole);
        if take == 0 {
            return Ok(false);
        }
        let last = self.left <= whole;
        self.plain.zeroize();
        self.plain.resize(usize::try_from(take).unwrap_or(0), 0);
        self.at = 0;
        self.input.read_exact(&mut self.plain).map_err(EnvelopeError::of)?;
        self.left -= take;
        let opened = self.cipher.decrypt_in_place(&nonce(self.chunk, last), b"", &mut self.plain);
        if opened.is_err() {
            self.plain.clear();
            self.left = 0;
            return Err(EnvelopeError::Changed("a chunk does not open"));
        }
        self.chunk += 1;
        Ok(true)
    }
}

impl<R: Read> Read for Opener<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.at == self.plain.len() && !self.next_chunk()? {
            return Ok(0);
        }
        let rest = self.plain.get(self.at..).unwrap_or_default();
        let take = rest.len().min(out.len());
        out[..take].copy_from_slice(&rest[..take]);
        self.at += take;
        Ok(take)
    }
}

impl<R> Drop for Opener<R> {
    fn drop(&mut self) {
        self.plain.zeroize();
    }
}
