//! What a gateway that was lost comes back to: the header its chain goes on from, and the sealed copies of its athletes'
//! keys.
//!
//! Copies are objects beside the log, `copies/<gateway>/<2 hex>/<64 hex>`, never leaves of it: they can be deleted, and an
//! erasure deletes them. A name says nothing to the ledger, a body is ciphertext. Names are hashes, so no folder fills
//! before the others; each is bounded.

use std::io;
use std::path::Path;

use data_encoding::HEXLOWER;
use ledger_block::Hash;
use ledger_block::ingest::{COPIES_MAX, COPY_BYTES_MAX, Code, Copy, DeviceId, Refusal};

use super::{Log, Placed, Published};
use crate::objects::StorageError;
use crate::room::Bulk;

/// Copies in one of a gateway's 256 folders.
pub const COPIES_PER_FOLDER_MAX: usize = 256;

fn folder(gateway: &DeviceId, first: u8) -> String {
    format!("copies/{gateway}/{first:02x}")
}

fn path(gateway: &DeviceId, name: &Hash) -> String {
    format!("{}/{}", folder(gateway, name[0]), HEXLOWER.encode(name))
}

/// The name of a copy, from its path; none for leftovers of a crash.
fn name_of(path: &str) -> Option<Hash> {
    let (_, name) = path.rsplit_once('/')?;
    HEXLOWER.decode(name.as_bytes()).ok()?.try_into().ok()
}

impl Log {
    /// The signed header of one of the gateway's own blocks and its receipt: R2 if `shown` reaches it, else R1.
    ///
    /// # Errors
    /// A store cannot be read, or lacks what it must hold.
    pub fn recall(
        &self,
        gateway: &DeviceId,
        index: u64,
        shown: &Published,
    ) -> Result<Option<(Vec<u8>, Vec<u8>)>, StorageError> {
        let (mut found, mut size) = (None, 0);
        self.storage.index.read(&mut |reads| {
            size = reads.size()?;
            found = match reads.block(gateway, index)? {
                Some(block) => reads.hash_at(block.head.leaf)?.map(|leaf| Placed { leaf, place: block.head.leaf }),
                None => None,
            };
            Ok(())
        })?;
        let Some(placed) = found else { return Ok(None) };
        let header = self.entry(placed.place, size)?;
        let receipt = self.included(placed, shown)?.unwrap_or_else(|| self.sequenced(placed));
        Ok(Some((header, receipt)))
    }

    /// Keeps a copy; when this returns it survives a power cut. The same copy again changes nothing.
    ///
    /// # Errors
    /// A store refused. The inner one: the folder is full, there is no room, or another copy has the name.
    pub fn keep_copy(
        &self,
        gateway: &DeviceId,
        name: &Hash,
        body: Vec<u8>,
    ) -> Result<Result<(), Refusal>, StorageError> {
        let objects = &self.storage.objects;
        match objects.get(&path(gateway, name))? {
            Some(held) if held == body => return Ok(Ok(())),
            Some(_) => return Ok(Err(Refusal::because(Code::Conflict, "another copy has this name"))),
            None => {}
        }
        if objects.paths(&folder(gateway, name[0]))?.len() >= COPIES_PER_FOLDER_MAX {
            return Ok(Err(Refusal::because(Code::TooLarge, "too many copies; delete those of erased athletes")));
        }
        if let Err(no_room) = self.storage.disk.space()?.fits(body.len() as u64, Bulk::Gateway) {
            return Ok(Err(Refusal::because(Code::Storage, no_room)));
        }
        objects.put_all(&[(path(gateway, name), body)])?;
        Ok(Ok(()))
    }

    /// Deletes a copy; when this returns, that survives a power cut. What is not there is deleted already.
    ///
    /// # Errors
    /// The store refused.
    pub fn drop_copy(&self, gateway: &DeviceId, name: &Hash) -> Result<(), StorageError> {
        self.storage.objects.erase(&path(gateway, name))
    }

    /// A gateway's copies with names above `after`, in order, at most [`COPIES_MAX`]. One that cannot be read stands there by its name,
    /// and `unread` hears why: the others are read all the same.
    ///
    /// # Errors
    /// What copies there are cannot be read.
    pub fn copies(
        &self,
        gateway: &DeviceId,
        after: Option<&Hash>,
        mut unread: impl FnMut(StorageError),
    ) -> Result<Vec<Copy>, StorageError> {
        let mut found = Vec::new();
        for first in after.map_or(0, |name| name[0])..=u8::MAX {
            for path in self.storage.objects.paths(&folder(gateway, first))? {
                let Some(name) = name_of(&path).filter(|name| after.is_none_or(|after| name > after)) else { continue };
                match self.storage.objects.get(&path) {
                    // One that was deleted since it was listed is gone.
                    Ok(None) => continue,
                    Ok(Some(body)) if !body.is_empty() && body.len() <= COPY_BYTES_MAX => {
                        found.push(Copy { name, body });
                    }
                    Ok(Some(body)) => {
                        let why = format!("{} bytes are none of a copy", body.len());
                        unread(StorageError::io(Path::new(&path))(io::Error::other(why)));
                        found.push(Copy::unreadable(name));
                    }
                    Err(error) => {
                        unread(error);
                        found.push(Copy::unreadable(name));
                    }
                }
                if found.len() == COPIES_MAX {
                    return Ok(found);
                }
            }
        }
        Ok(found)
    }
}
