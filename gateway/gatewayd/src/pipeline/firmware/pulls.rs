//! Pulls: bytes of the release a device was offered, and of nothing else.

use ledger_block::release::ReleaseId;
use pitchside_model::{DeviceId, Medium};
use pitchside_release::content::ContentId;
use pitchside_store::SensorFirmware;
use pitchside_wire::firmware::{CHUNK_BYTES_MAX, Chunk, Down, GROUP_BYTES, Pull, Wait, WaitCode};

use super::devices::Desk;
use super::offers::{NOT_NOW_S, Verdict};
use super::pace::QUEUED_BYTES_MAX;

/// Bytes of one chunk on links that carry little: a receipt waits behind it for a tenth of a second at 115,200 baud.
const SLOW_CHUNK_BYTES_MAX: usize = 1_024;
/// How often progress is stored: at every so many per cent.
const KEEP_PERCENT: u64 = 10;

impl Desk {
    pub(super) fn pull(&mut self, device: &DeviceId, pull: Pull) {
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
            Err((code, after_s)) => {
                if code != WaitCode::Slower {
                    self.parts.metrics.refused("firmware_pull");
                    self.send_away(device, code == WaitCode::NotNow);
                }
                self.say(device, &Down::Wait(Wait { code, after_s, digest: pull.digest }));
            }
        }
    }

    fn chunk(&mut self, device: &DeviceId, pull: Pull) -> Result<Chunk, (WaitCode, u32)> {
        let id = self.rows.get(device).and_then(|row| row.release).map(ReleaseId).ok_or((WaitCode::Unknown, 5))?;
        let offer = match self.still(device, &id) {
            Verdict::Offer(offer) => offer,
            Verdict::Held(why) => {
                self.hold(device, Some(why));
                return Err((WaitCode::NotNow, NOT_NOW_S));
            }
            // Another release may be for it now: it may ask at once.
            Verdict::Nothing => return Err((WaitCode::Stopped, 5)),
        };
        let content = offer.content();
        if content.0 != pull.digest {
            // Whatever it names, in the ledger or not, it was not offered.
            return Err((WaitCode::Unknown, 5));
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
            return Err((WaitCode::Slower, 1));
        }
        let unread = |error: &dyn std::fmt::Display| {
            tracing::error!(%device, %content, %error, "an image on the shelf cannot be read");
            (WaitCode::Unknown, 60)
        };
        let count = usize::try_from(length).unwrap_or(0);
        let bytes = self.parts.shelf.read(content, offset, count).map_err(|error| unread(&error))?;
        let proof = self.proof(content, size, offset, length).map_err(|error| unread(&error))?;
        Ok(Chunk { digest: pull.digest, offset: pull.offset, proof, bytes })
    }

    /// With the last bytes of a group.
    fn proof(
        &mut self,
        content: ContentId,
        size: u64,
        offset: u64,
        length: u64,
    ) -> Result<Vec<[u8; 32]>, super::shelf::ReadError> {
        let end = offset + length;
        if end != size && !end.is_multiple_of(GROUP_BYTES.into()) {
            return Ok(Vec::new());
        }
        self.proofs.of(&self.parts.shelf, content, size, offset)
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
