//! Refusals: the one answer everybody gets, and how often.

use pitchside_model::{LinkId, Timestamp};
use pitchside_wire::{Refused, SealError};

use super::Auth;
use crate::door::{Cause, Refusal};

/// Why a receipt could not be sealed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// The session has ended; the device asks again under its next one.
    #[error("the session has ended")]
    Gone,
    /// The session is used up.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// Its ceiling could not be stored.
    #[error("the session's ceiling could not be stored: {0}")]
    Ceiling(Cause),
}

impl Auth {
    /// Refuses a frame. Work done for a forger is charged to the link; a session that is not there may be an honest
    /// device's old one, whose frames come in heaps after an outage: those cost nothing but are not all answered.
    pub(super) fn refuse(&self, link: LinkId, frame: &[u8], cause: Cause, now: Timestamp) -> Refusal {
        let may_answer = match cause {
            Cause::Replayed(_) | Cause::BelowFloor => return Refusal::silent(cause),
            Cause::NoSession | Cause::Expired | Cause::AnotherLink | Cause::Store(_) => self.hints.take(link, now),
            _ => {
                if !self.links.take(link, now) {
                    return Refusal { cause, answer: None, close: true };
                }
                true
            }
        };
        self.answered(frame, cause, may_answer)
    }

    /// Refuses a handshake, which was charged when it began.
    pub(super) fn refuse_hello(&self, frame: &[u8], cause: Cause) -> Refusal {
        self.answered(frame, cause, true)
    }

    fn answered(&self, frame: &[u8], cause: Cause, may_answer: bool) -> Refusal {
        let answer = if may_answer { Refused::answer(frame, self.limits.retry_after_s) } else { None };
        Refusal { cause, answer: answer.map(Refused::encode), close: false }
    }
}
