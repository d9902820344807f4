//! One source: what it holds, how it behaved.

use ledger_block::content::{Groups, Span};

use super::{Fault, Moment, Outcome, PlanLimits, jittered};

#[derive(Debug, Default)]
pub struct Source {
    /// As it last said.
    pub held: Option<Groups>,
    /// Orders out.
    pub orders: usize,
    /// Whether it is being asked what it holds.
    pub asking: bool,
    /// When it last answered that, well or badly.
    pub heard_at: Option<Moment>,
    /// Not asked again before.
    pub ask_from: Moment,
    /// Nothing is wanted of it before.
    pub quiet_until: Moment,
    pub strikes: u32,
    /// Times it could not be reached, one after the other.
    pub gone: u32,
    /// Times it said that it has none of it, one after the other.
    pub without: u32,
    /// Orders it gave nothing for, or not all, since it last gave all of one.
    pub fruitless: u32,
    /// Whether it ever gave all of an order.
    pub delivered: bool,
}

impl Source {
    pub fn has_all(&self) -> bool {
        self.held.as_ref().is_some_and(Groups::is_all)
    }

    pub fn covers(&self, span: Span) -> bool {
        self.held.as_ref().is_some_and(|held| held.covers(span))
    }

    pub fn is_open(&self, now: Moment) -> bool {
        self.quiet_until <= now
    }

    pub fn blame(
        &mut self,
        limits: &PlanLimits,
        last_resort: bool,
        outcome: Outcome,
        now: Moment,
        random: &mut dyn FnMut() -> u64,
    ) -> Option<Fault> {
        if last_resort && !matches!(outcome, Outcome::Done | Outcome::Busy) {
            return self.excuse(limits, outcome, now, random);
        }
        match outcome {
            Outcome::Done => {
                self.gone = 0;
                None
            }
            Outcome::WrongBytes(error) => Some(Fault::WrongBytes(error)),
            Outcome::Broken => Some(Fault::Broken),
            // No fault: an honest box has eight places for twenty others. But one that says nothing else is asked ever less. The
            // ledger's places are many boxes' and soon free again.
            Outcome::Busy => {
                let times = if last_resort { 0 } else { self.fruitless.saturating_sub(1).min(16) };
                let wait = (limits.ask_ms / 2).saturating_mul(1 << times).min(limits.back_off_ms.1);
                self.quiet_until = now.plus_ms(jittered(wait, random));
                None
            }
            Outcome::NotHeld => {
                self.held = None;
                self.strike(limits, Fault::Promise)
            }
            Outcome::Slow => {
                self.back_off(limits, now, random);
                self.strike(limits, Fault::Slow)
            }
            Outcome::Gone => {
                self.back_off(limits, now, random);
                (self.gone >= limits.gone_max).then_some(Fault::Gone)
            }
        }
    }

    /// The last resort is asked ever less, whatever it answers, and never dropped: what spoke in its name may have been a hotel's
    /// page. Says what is out of form, since that may not pass by itself.
    fn excuse(
        &mut self,
        limits: &PlanLimits,
        outcome: Outcome,
        now: Moment,
        random: &mut dyn FnMut() -> u64,
    ) -> Option<Fault> {
        self.back_off(limits, now, random);
        match outcome {
            Outcome::WrongBytes(error) => Some(Fault::WrongBytes(error)),
            Outcome::Broken => Some(Fault::Broken),
            Outcome::NotHeld => {
                self.held = None;
                Some(Fault::Promise)
            }
            Outcome::Done | Outcome::Slow | Outcome::Gone | Outcome::Busy => None,
        }
    }

    fn strike(&mut self, limits: &PlanLimits, fault: Fault) -> Option<Fault> {
        self.strikes += 1;
        (self.strikes >= limits.strikes_max).then_some(fault)
    }

    fn back_off(&mut self, limits: &PlanLimits, now: Moment, random: &mut dyn FnMut() -> u64) {
        let (first, longest) = limits.back_off_ms;
        let wait = first.saturating_mul(1 << self.gone.min(16)).min(longest);
        self.gone = self.gone.saturating_add(1);
        self.quiet_until = now.plus_ms(jittered(wait, random));
    }
}
