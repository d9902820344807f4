//! What a gateway says, to a device that spoke of firmware first.

use alloc::vec::Vec;

use super::up::Fields;
use super::{CHUNK_BYTES_MAX, FORM, FirmwareError, OFFER_BYTES_MAX, PROOF_HASHES_MAX};
use crate::bytes::Cursor;

/// Bytes of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// BLAKE3 of the whole image.
    pub digest: [u8; 32],
    /// Where these bytes begin.
    pub offset: u32,
    /// With the last bytes of a group of 16 KiB: the hashes that lead from it to the digest, the nearest first. A gateway
    /// may leave them out; then only the whole is checked.
    pub proof: Vec<[u8; 32]>,
    /// 1 to 4096 bytes.
    pub bytes: Vec<u8>,
}

/// Why there is nothing now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum WaitCode {
    /// No release for this device.
    Nothing = 0,
    /// This image is not for this device any more: another one is, or the release was paused or halted.
    Stopped = 1,
    /// There is one, but not now: its athlete trains, or the battery is low.
    NotNow = 2,
    /// Too much at once.
    Slower = 3,
    /// The gateway has no such image.
    Unknown = 4,
    /// The image ends before that offset.
    BeyondEnd = 5,
}

/// There is nothing now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// Why.
    pub code: WaitCode,
    /// Ask again after so many seconds.
    pub after_s: u32,
    /// The image it is about; zero if none.
    pub digest: [u8; 32],
}

/// A report was noted, durably.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Noted {
    /// Which.
    pub number: u32,
    /// After [`Stage::Verified`](super::Stage::Verified): start the new image now.
    pub go: bool,
    /// Otherwise: ask again after so many seconds.
    pub after_s: u32,
}

/// What a gateway says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Down {
    /// A release for this device: its signed manifest, as it stands in the ledger.
    Offer(Vec<u8>),
    /// Bytes of an image.
    Chunk(Chunk),
    /// There is nothing now.
    Wait(Wait),
    /// A report was noted.
    Noted(Noted),
}

impl WaitCode {
    const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Nothing),
            1 => Some(Self::Stopped),
            2 => Some(Self::NotNow),
            3 => Some(Self::Slower),
            4 => Some(Self::Unknown),
            5 => Some(Self::BeyondEnd),
            _ => None,
        }
    }
}

impl Down {
    /// The plaintext.
    pub fn encode(&self) -> Result<Vec<u8>, FirmwareError> {
        let mut out = Vec::with_capacity(64);
        out.push(FORM);
        match self {
            Self::Offer(signed) => {
                if signed.is_empty() || signed.len() > OFFER_BYTES_MAX {
                    return Err(FirmwareError::Field("manifest"));
                }
                out.push(0x81);
                out.extend_from_slice(signed);
            }
            Self::Chunk(chunk) => {
                let hashes = u8::try_from(chunk.proof.len()).ok().filter(|n| usize::from(*n) <= PROOF_HASHES_MAX);
                let hashes = hashes.ok_or(FirmwareError::Field("proof"))?;
                if chunk.bytes.is_empty() || chunk.bytes.len() > CHUNK_BYTES_MAX {
                    return Err(FirmwareError::Field("bytes"));
                }
                out.push(0x82);
                out.extend_from_slice(&chunk.digest);
                out.extend_from_slice(&chunk.offset.to_le_bytes());
                out.push(hashes);
                chunk.proof.iter().for_each(|hash| out.extend_from_slice(hash));
                out.extend_from_slice(&chunk.bytes);
            }
            Self::Wait(wait) => {
                out.extend_from_slice(&[0x83, wait.code as u8]);
                out.extend_from_slice(&wait.after_s.to_le_bytes());
                out.extend_from_slice(&wait.digest);
            }
            Self::Noted(noted) => {
                out.push(0x84);
                out.extend_from_slice(&noted.number.to_le_bytes());
                out.push(u8::from(noted.go));
                out.extend_from_slice(&noted.after_s.to_le_bytes());
            }
        }
        Ok(out)
    }

    /// Reads a plaintext, all of it.
    pub fn parse(plain: &[u8]) -> Result<Self, FirmwareError> {
        let mut input = Fields::of(plain);
        let down = match input.head()? {
            0x81 => {
                let signed = input.rest.0;
                if signed.is_empty() || signed.len() > OFFER_BYTES_MAX {
                    return Err(FirmwareError::Field("manifest"));
                }
                return Ok(Self::Offer(signed.to_vec()));
            }
            0x82 => return chunk(&mut input).map(Self::Chunk),
            0x83 => {
                let code = WaitCode::from_code(input.get(Cursor::u8)?).ok_or(FirmwareError::Field("code"))?;
                Self::Wait(Wait { code, after_s: input.get(Cursor::u32)?, digest: input.get(|c| c.array())? })
            }
            0x84 => {
                let number = input.get(Cursor::u32)?;
                let go = match input.get(Cursor::u8)? {
                    0 => false,
                    1 => true,
                    _ => return Err(FirmwareError::Field("go")),
                };
                Self::Noted(Noted { number, go, after_s: input.get(Cursor::u32)? })
            }
            other => return Err(FirmwareError::Kind(other)),
        };
        input.end()?;
        Ok(down)
    }
}

fn chunk(input: &mut Fields<'_>) -> Result<Chunk, FirmwareError> {
    let (digest, offset) = (input.get(|c| c.array())?, input.get(Cursor::u32)?);
    let hashes = usize::from(input.get(Cursor::u8)?);
    if hashes > PROOF_HASHES_MAX {
        return Err(FirmwareError::Field("proof"));
    }
    let mut proof = Vec::with_capacity(hashes);
    for _ in 0..hashes {
        proof.push(input.get(|c| c.array())?);
    }
    let bytes = input.rest.0;
    if bytes.is_empty() || bytes.len() > CHUNK_BYTES_MAX {
        return Err(FirmwareError::Field("bytes"));
    }
    Ok(Chunk { digest, offset, proof, bytes: bytes.to_vec() })
}
