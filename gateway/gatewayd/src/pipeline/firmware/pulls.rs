//! Pulls: bytes of the release a device was offered, and of nothing else.

use std::collections::VecDeque;

use ledger_block::release::ReleaseId;
use pitchside_model::{DeviceId, Medium};
use pitchside_release::content::ContentId;
use pitchside_store::SensorFirmware;
use pitchside_wire::firmware::{CHUNK_BYTES_MAX, Chunk, Down, GROUP_BYTES, Pull, Wait, WaitCode};

use super::devices::Desk;
use super::offers::{NOT_HERE, NOT_NOW_S, Verdict};
use super::pace::QUEUED_BYTES_MAX;
use super::proofs::{Looked, Read};

/// Bytes of one chunk on links that carry little: a receipt waits behind it for a tenth of a second at 115,200 baud.
const SLOW_CHUNK_BYTES_MAX: usize = 1_024;
/// How often progress is stored: at every so many per cent.
const KEEP_PERCENT: u64 = 10;
/// Pulls of a device that wait for a proof: as many as a device asks ahead.
const PARKED_MAX: usize = 8;

/// Why a pull is not answered with its bytes now.
enum Not {
    /// Ask again, after so many seconds.
    Wait(WaitCode, u32),
    /// Its proof is being made: it is answered then, and those behind it after it.
    Yet,
}

impl From<(WaitCode, u32)> for Not {
    fn from((code, after_s): (WaitCode, u32)) -> Self {
        Self::Wait(code, after_s)
    }
}

impl Desk {
    pub(super) fn pull(&mut self, device: &DeviceId, pull: Pull) {
        // Devices take chunks in their order alone.
        if self.seats.get(device).is_some_and(|seat| !seat.parked.is_empty()) {
            self.park(device, pull);
        } else {
            self.give(device, pull);
        }
    }

    fn park(&mut self, device: &DeviceId, pull: Pull) {
        let Some(seat) = self.seats.get_mut(device) else { return };
        if seat.parked.len() < PARKED_MAX {
            seat.parked.push_back(pull);
        } else {
            let (code, digest) = (WaitCode::Slower, pull.digest);
            self.say(device, &Down::Wait(Wait { code, after_s: 1, digest }));
        }
    }

    /// An image was read for its proofs: who waited for that is answered.
    pub(super) fn was_read(&mut self, read: Read) {
        let content = read.id;
        let failed = self.proofs.take(read).inspect_err(|error| {
            tracing::error!(%content, error, "an image on the shelf cannot be read");
        });
        let waits = |parked: &VecDeque<Pull>| parked.front().is_some_and(|pull| pull.digest == content.0);
        let waiting = self.seats.iter().filter(|(_, seat)| waits(&seat.parked));
        let waiting: Vec<DeviceId> = waiting.map(|(device, _)| device.clone()).collect();
        for device in waiting {
            let parked = self.seats.get_mut(&device).map(|seat| std::mem::take(&mut seat.parked)).unwrap_or_default();
            for pull in parked {
                // What rotted is fetched again, and offered again then.
                if failed.is_err() && pull.digest == content.0 && self.parts.shelf.is_whole(content) {
                    self.refuse(&device, pull, WaitCode::Unknown, 60);
                } else {
                    self.pull(&device, pull);
                }
            }
        }
    }

    fn refuse(&mut self, device: &DeviceId, pull: Pull, code: WaitCode, after_s: u32) {
        if code != WaitCode::Slower {
            self.parts.metrics.refused("firmware_pull");
            self.send_away(device, code == WaitCode::NotNow);
        }
        self.say(device, &Down::Wait(Wait { code, after_s, digest: pull.digest }));
    }

    fn give(&mut self, device: &DeviceId, pull: Pull) {
        match self.chunk(device, pull) {
            Ok(chunk) => {
                let cost = chunk.bytes.len() as u64;
                let end = u64::from(chunk.offset) + cost;
                self.all.spend(cost);
                if let Some(seat) = self.seats.get_mut(device) {
                    seat.bytes.spend(cost);
                }
                self.progress(device, end);
                self.say(device, &Down::Chunk(chunk));
            }
            Err(Not::Wait(code, after_s)) => self.refuse(device, pull, code, after_s),
            Err(Not::Yet) => self.park(device, pull),
        }
    }

    fn chunk(&mut self, device: &DeviceId, pull: Pull) -> Result<Chunk, Not> {
        let id = self.rows.get(device).and_then(|row| row.release).map(ReleaseId).ok_or((WaitCode::Unknown, 5))?;
        let offer = match self.still(device, &id) {
            Verdict::Offer(offer) => offer,
            Verdict::Held(why) => {
                self.hold(device, Some(why));
                return Err((WaitCode::NotNow, NOT_NOW_S).into());
            }
            // Another release may be for it now: it may ask at once.
            Verdict::Nothing(_) => return Err((WaitCode::Stopped, 5).into()),
        };
        let content = offer.content();
        if content.0 != pull.digest {
            // Whatever it names, in the ledger or not, it was not offered.
            return Err((WaitCode::Unknown, 5).into());
        }
        let (size, offset) = (offer.manifest().size, u64::from(pull.offset));
        let left = size.checked_sub(offset).filter(|left| *left > 0).ok_or((WaitCode::BeyondEnd, 60))?;
        let seat = self.seats.get_mut(device).ok_or((WaitCode::Unknown, 5))?;
        let most = match seat.link.medium {
            Medium::Serial | Medium::Ble => SLOW_CHUNK_BYTES_MAX,
            _ => CHUNK_BYTES_MAX,
        };
        let group = u64::from(GROUP_BYTES - pull.offset % GROUP_BYTES);
        let length = left.min(group).min(u64::from(pull.length)).min(most as u64);
        if seat.link.queued_bytes() > QUEUED_BYTES_MAX || !seat.bytes.has(length) || !self.all.has(length) {
            return Err((WaitCode::Slower, 1).into());
        }
        let proof = self.proof(content, size, offset, length)?;
        let count = usize::try_from(length).unwrap_or(0);
        match self.parts.shelf.read(content, offset, count) {
            Ok(bytes) => Ok(Chunk { digest: pull.digest, offset: pull.offset, proof, bytes }),
            Err(error) => {
                tracing::error!(%device, %content, %error, "an image on the shelf cannot be read");
                if self.parts.shelf.is_whole(content) {
                    return Err((WaitCode::Unknown, 60).into());
                }
                // It rotted, and is fetched again.
                self.hold(device, Some(NOT_HERE));
                Err((WaitCode::NotNow, NOT_NOW_S).into())
            }
        }
    }

    /// With the last bytes of a group. Asked for with the first ones already, so that it is there when it is wanted.
    fn proof(&mut self, content: ContentId, size: u64, offset: u64, length: u64) -> Result<Vec<[u8; 32]>, Not> {
        let (end, group) = (offset + length, u64::from(GROUP_BYTES));
        let (begins, ends) = (offset.is_multiple_of(group), end == size || end.is_multiple_of(group));
        if !begins && !ends {
            return Ok(Vec::new());
        }
        match self.proofs.of(content, size, offset) {
            _ if !ends => Ok(Vec::new()),
            Looked::Proof(proof) => Ok(proof),
            Looked::Later => Err(Not::Yet),
            Looked::Busy => Err(Not::Wait(WaitCode::Slower, 1)),
        }
    }

    /// How far it is: kept now and then, for people.
    fn progress(&mut self, device: &DeviceId, have: u64) {
        let Some(row) = self.rows.get_mut(device) else { return };
        let step = |have: u64| have.saturating_mul(100) / row.size.max(1) / KEEP_PERCENT;
        if row.held.is_none() && step(have) <= step(row.have) {
            return;
        }
        let row = SensorFirmware { have, held: None, ..row.clone() };
        self.keep(row, None);
    }
}
