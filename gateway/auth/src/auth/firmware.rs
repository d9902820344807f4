//! Words about firmware: out of sessions and into them. What they say is read elsewhere.

use pitchside_model::{DeviceId, LinkId, Timestamp};
use pitchside_wire::Kind;

use super::table::Stage;
use super::{Auth, ReceiptError, SessionKey};
use crate::door::{Accepted, Refusal};

impl Auth {
    /// A word of a device.
    pub(super) fn firmware(
        &self,
        link: LinkId,
        claimed: Option<&DeviceId>,
        frame: &[u8],
        now: Timestamp,
    ) -> Result<Accepted, Refusal> {
        let live = self.find(link, claimed, frame, now)?;
        let (state, word) = match self.open_here(link, &live, frame, now) {
            Ok(opened) => opened,
            Err(answer) => return answer,
        };
        drop(state);
        Ok(Accepted::Firmware { session: SessionKey(live.id), device: live.device.clone(), word })
    }

    /// Seals a word for the session's device, if the session is still on this link.
    ///
    /// # Errors
    /// The session has ended, moved or is used up.
    pub fn say_firmware(
        &self,
        session: SessionKey,
        link: LinkId,
        word: &[u8],
        now: Timestamp,
    ) -> Result<Vec<u8>, ReceiptError> {
        let live = self.table.get(session.0).ok_or(ReceiptError::Gone)?;
        let mut state = live.state.lock();
        if state.stage != Stage::Live || state.link != Some(link) {
            return Err(ReceiptError::Gone);
        }
        self.seal_frame(&live, &mut state, Kind::Firmware, word, now)
    }
}
