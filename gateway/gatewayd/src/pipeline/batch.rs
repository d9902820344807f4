//! What one read of one link came to: entries for the journal, and what each sender is to be told once they are durable.

use pitchside_auth::SessionKey;
use pitchside_collect::{RefusalCode, Settled, Ticket};
use pitchside_model::{DeviceId, Entry, Epoch, Seq};
use pitchside_wire::receipt::{Reason, Receipt};

/// The fate of one message, to be told after the commit.
#[derive(Debug)]
pub struct Answer {
    /// The gate's number for it.
    pub ticket: Ticket,
    /// Who sent it.
    pub device: DeviceId,
    /// The session a receipt goes to; none for senders that know only PUBACK, or nothing.
    pub session: Option<SessionKey>,
    /// The message's number.
    pub epoch: Epoch,
    /// The message's number.
    pub seq: Seq,
    /// A copy of it was on its way to the disk: whether that arrived is looked up after the commit.
    pub pending: bool,
    /// Refused, and why.
    pub refusal: Option<(Reason, RefusalCode, String)>,
}

/// What the gate is to be told of one thing it brought.
#[derive(Debug)]
pub enum Due {
    /// Known at once, but told in its turn.
    Known(Ticket, Settled),
    /// Known when the batch is durable.
    Stored(Answer),
}

/// One read's worth.
#[derive(Debug, Default)]
pub struct Batch {
    /// New entries, in order.
    pub entries: Vec<Entry>,
    /// One for everything the gate brought, in order.
    pub answers: Vec<Due>,
    /// Devices that ended their sessions in good order, after these entries.
    pub ended: Vec<DeviceId>,
}

impl Batch {
    /// Something whose fate is known already.
    pub fn known(&mut self, ticket: Ticket, settled: Settled) {
        self.answers.push(Due::Known(ticket, settled));
    }

    /// Nothing to do after the read.
    pub fn is_empty(&self) -> bool {
        self.answers.is_empty() && self.entries.is_empty() && self.ended.is_empty()
    }

    /// Whether an answer rests on a copy that was on its way to the disk when it came.
    pub fn waits_for_others(&self) -> bool {
        self.answers.iter().any(|due| matches!(due, Due::Stored(answer) if answer.pending))
    }
}

/// The receipts to send, one for each session, and the gate's settlements, in order.
pub fn settle(answers: Vec<Due>) -> (Vec<(SessionKey, Receipt)>, Vec<(Ticket, Settled)>) {
    let mut receipts: Vec<(SessionKey, Receipt)> = Vec::new();
    let mut settled = Vec::with_capacity(answers.len());
    for due in answers {
        let answer = match due {
            Due::Known(ticket, known) => {
                settled.push((ticket, known));
                continue;
            }
            Due::Stored(answer) => answer,
        };
        if let Some(session) = answer.session {
            let at = receipts.iter().position(|(key, _)| *key == session).unwrap_or_else(|| {
                receipts.push((session, Receipt::default()));
                receipts.len() - 1
            });
            if let Some((_, receipt)) = receipts.get_mut(at) {
                match &answer.refusal {
                    None => receipt.add(answer.epoch.0, answer.seq.0),
                    Some((reason, _, text)) => receipt.refuse(answer.epoch.0, answer.seq.0, *reason, text),
                }
            }
        }
        settled.push((
            answer.ticket,
            match answer.refusal {
                None => Settled::Stored,
                Some((_, code, text)) => Settled::Refused { code, text },
            },
        ));
    }
    (receipts, settled)
}

/// The gate's settlements, in order, when nothing of the batch was stored: what was known before is as true as ever.
pub fn settle_none_stored(answers: Vec<Due>) -> Vec<(Ticket, Settled)> {
    let fate = |due: Due| match due {
        Due::Known(ticket, known) => (ticket, known),
        Due::Stored(answer) => (answer.ticket, Settled::Unavailable),
    };
    answers.into_iter().map(fate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_that_is_not_stored_leaves_what_was_known_before_as_it_is() {
        let mut batch = Batch::default();
        batch.known(Ticket(1), Settled::Stored);
        let device = DeviceId::parse("hub-1").unwrap();
        batch.answers.push(Due::Stored(Answer {
            ticket: Ticket(2),
            device,
            session: None,
            epoch: Epoch(1),
            seq: Seq(0),
            pending: false,
            refusal: None,
        }));
        let refused = Settled::Refused { code: RefusalCode::PayloadInvalid, text: "no".to_owned() };
        batch.known(Ticket(3), refused.clone());
        let settled = [(Ticket(1), Settled::Stored), (Ticket(2), Settled::Unavailable), (Ticket(3), refused)];
        assert_eq!(settle_none_stored(batch.answers), settled);
    }
}
