//! What the gateway says. A frame that is not for us, not new or not genuine is dropped: nothing in it is true.

use alloc::vec::Vec;

use pitchside_wire::control::{Advance, Close, Ready};
use pitchside_wire::frame::{Header, Refused};
use pitchside_wire::{Kind, Millis, Receipt};

use super::{Announcing, Device, Event, HINT_AFTER_MS, RETRY_AFTER_MAX_MS};

impl Device {
    /// Takes a frame; poll afterwards.
    pub fn on_frame(&mut self, frame: &[u8], now: Millis) -> Vec<Event> {
        let mut events = Vec::new();
        match Kind::of(frame) {
            Ok(Kind::Reply) => self.on_reply(frame, now),
            Ok(Kind::Refused) => self.on_refused(frame, now),
            Ok(Kind::Ready | Kind::Receipt | Kind::Advance | Kind::Close | Kind::Firmware) => {
                self.on_sealed(frame, now, &mut events);
            }
            // Only devices send these.
            Ok(Kind::Hello | Kind::Confirm | Kind::Data) | Err(_) => {}
        }
        events
    }

    fn on_reply(&mut self, frame: &[u8], now: Millis) {
        let Some(attempt) = &mut self.attempt else { return };
        if let Ok(session) = attempt.initiator.finish(frame, now) {
            self.attempt = None;
            self.pending = Some((session, Announcing::NOW));
        }
    }

    /// Signed by nobody: a hint to say HELLO again, no sooner than it asks and no later than a minute.
    fn on_refused(&mut self, frame: &[u8], now: Millis) {
        let Ok(refused) = Refused::parse(frame) else { return };
        let wait = (u64::from(refused.retry_after_s) * 1_000).min(RETRY_AFTER_MAX_MS);
        let echoes = |session: &pitchside_wire::Session| refused.echo == session.id().0.to_le_bytes();
        if self.attempt.as_ref().is_some_and(|attempt| attempt.initiator.echo() == refused.echo) {
            // The attempt waits on: the genuine REPLY may still come.
            self.retry_at = self.retry_at.max(now.plus(wait));
        } else if !self.doubted && self.live.as_ref().is_some_and(echoes) {
            self.doubted = true;
            self.announcing = None;
            self.retry_at = self.hello_at.map_or(now, |at| at.plus(wait.max(HINT_AFTER_MS)));
        }
    }

    fn on_sealed(&mut self, frame: &[u8], now: Millis, events: &mut Vec<Event>) {
        let Ok(header) = Header::parse(frame) else { return };
        if self.pending.as_ref().is_some_and(|(session, _)| session.id() == header.session) {
            let Some((session, _)) = &mut self.pending else { return };
            let Ok((_, plain)) = session.open(frame, now) else { return };
            match (header.kind, Ready::parse(&plain), Advance::parse(&plain)) {
                (Kind::Ready, Ok(ready), _) => {
                    self.live = self.pending.take().map(|(session, _)| session);
                    self.failures = 0;
                    self.on_ready(ready, events);
                }
                // The gateway restarted between our CONFIRM and its READY.
                (Kind::Advance, _, Ok(advance)) => {
                    session.advance(advance.next);
                    self.pending.iter_mut().for_each(|(_, announcing)| *announcing = Announcing::NOW);
                }
                _ => {}
            }
            return;
        }
        let Some(session) = self.live.as_mut().filter(|session| session.id() == header.session) else { return };
        let Ok((_, plain)) = session.open(frame, now) else { return };
        // Whoever says the session is forgotten was wrong.
        self.doubted = false;
        match header.kind {
            Kind::Ready => {
                if let Ok(ready) = Ready::parse(&plain) {
                    self.on_ready(ready, events);
                }
            }
            Kind::Receipt => {
                if let Ok(receipt) = Receipt::parse(&plain) {
                    self.on_receipt(receipt, events);
                }
            }
            Kind::Advance => {
                if let Ok(advance) = Advance::parse(&plain) {
                    session.advance(advance.next);
                    self.announcing = Some(Announcing::NOW);
                }
            }
            Kind::Close => {
                let reason = Close::parse(&plain).unwrap_or(Close::Other);
                self.lose_session();
                if reason == Close::Revoked {
                    self.retry_at = now.plus(RETRY_AFTER_MAX_MS);
                }
                events.push(Event::Closed(reason));
            }
            Kind::Firmware => events.push(Event::Firmware(plain)),
            _ => {}
        }
    }

    fn on_ready(&mut self, ready: Ready, events: &mut Vec<Event>) {
        (self.announcing, self.doubted) = (None, false);
        // What was under way on the old link or in the old session may be lost; what was not is known by its number.
        self.outbox.resend_all();
        events.push(Event::Connected { gateway_time_us: ready.gateway_time_us });
    }

    fn on_receipt(&mut self, receipt: Receipt, events: &mut Vec<Event>) {
        for range in receipt.ranges {
            if self.outbox.receipted(range) {
                events.push(Event::Receipted(range));
            }
        }
        for refusal in receipt.refused {
            if self.outbox.refused(refusal.epoch, refusal.seq) {
                events.push(Event::Refused { seq: refusal.seq, reason: refusal.reason, text: refusal.text });
            }
        }
    }
}
