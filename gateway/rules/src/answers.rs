//! What scripts answered before, where the answer hangs on a few numbers alone: a heart rate of 142 asks of a ceiling what the
//! last 142 asked. Whether it does is not guessed from the script: while one runs, whatever it looks at beyond its [`Question`]
//! (`Cell::beyond`) is noted, and then the answer is not kept. A script is deterministic, so one that looked at nothing else
//! looks at nothing else the next time it is asked the same.
//!
//! The table is small and forgets by being overwritten: it saves time and decides nothing.

use rhai::Dynamic;

/// The most inputs whose newest values may decide.
pub(crate) const VALUES_MAX: usize = 3;
/// A power of two.
const SLOTS: usize = 4_096;
/// A longer text is not kept.
const TEXT_BYTES_MAX: usize = 256;

/// All that an answer hangs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Question {
    /// The rule: a number no two compiled rules of an engine share.
    pub rule: u32,
    /// Which of its inputs, and what came of it: a value, a waveform, a gap of that reason.
    pub input: u32,
    pub kind: u32,
    /// Whether its alert is raised.
    pub raised: bool,
    /// The bits of the value or extent, and of the newest values of inputs; [`nothing`] where there is none.
    pub numbers: [u64; 1 + VALUES_MAX],
}

/// The bits of a number that may be missing: a not-a-number no value is.
pub(crate) fn bits(number: Option<f64>) -> u64 {
    number.map_or(u64::MAX, f64::to_bits)
}

impl Question {
    fn slot(&self) -> usize {
        let words = [u64::from(self.rule) << 32
            | u64::from(self.input) << 8
            | u64::from(self.kind) << 1
            | u64::from(self.raised)];
        // Multiply and rotate, as FxHash does; whoever aims for one slot only makes scripts run.
        let mixed = words
            .iter()
            .chain(&self.numbers)
            .fold(0u64, |mixed, word| (mixed.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95));
        (mixed >> 48) as usize % SLOTS
    }
}

#[derive(Debug)]
struct Answered {
    question: Question,
    answer: Dynamic,
    operations: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// Empty until something is kept.
    slots: Vec<Option<Answered>>,
}

impl Answers {
    /// The answer and what it cost, if it is known.
    pub fn find(&self, question: &Question) -> Option<(Dynamic, u64)> {
        let known = self.slots.get(question.slot())?.as_ref().filter(|known| known.question == *question)?;
        Some((known.answer.clone(), known.operations))
    }

    /// Keeps an answer, if it is plain and short.
    pub fn keep(&mut self, question: Question, answer: &Dynamic, operations: u64) {
        let is_short = || answer.as_immutable_string_ref().is_ok_and(|text| text.len() <= TEXT_BYTES_MAX);
        if !(answer.is_bool() || answer.is_float() || answer.is_int() || answer.is_unit() || is_short()) {
            return;
        }
        if self.slots.is_empty() {
            self.slots.resize_with(SLOTS, || None);
        }
        if let Some(slot) = self.slots.get_mut(question.slot()) {
            *slot = Some(Answered { question, answer: answer.clone(), operations });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(value: f64) -> Question {
        Question {
            rule: 1,
            input: 0,
            kind: 0,
            raised: false,
            numbers: [bits(Some(value)), bits(None), bits(None), bits(None)],
        }
    }

    #[test]
    fn only_the_same_question_finds_an_answer() {
        let mut answers = Answers::default();
        let asked = question(142.0);
        answers.keep(asked, &Dynamic::from_bool(true), 7);
        let (answer, operations) = answers.find(&asked).unwrap();
        assert_eq!((answer.as_bool(), operations), (Ok(true), 7));
        let others = [
            Question { rule: 2, ..asked },
            Question { input: 1, ..asked },
            Question { kind: 1, ..asked },
            Question { raised: true, ..asked },
            question(-142.0),
            Question { numbers: [asked.numbers[0], bits(Some(0.0)), asked.numbers[2], asked.numbers[3]], ..asked },
        ];
        for other in others {
            assert!(answers.find(&other).is_none(), "{other:?}");
        }
    }

    #[test]
    fn a_question_that_shares_a_slot_takes_it_and_never_gets_the_others_answer() {
        let mut answers = Answers::default();
        for round in 0..3 * SLOTS {
            let asked = question(round as f64);
            assert!(answers.find(&asked).is_none());
            answers.keep(asked, &Dynamic::from_int(round as i64), 1);
            assert_eq!(answers.find(&asked).unwrap().0.as_int(), Ok(round as i64));
        }
    }

    #[test]
    fn what_is_long_or_no_plain_value_is_not_kept() {
        let mut answers = Answers::default();
        for answer in [Dynamic::from("x".repeat(TEXT_BYTES_MAX + 1)), Dynamic::from_array(Vec::new())] {
            answers.keep(question(1.0), &answer, 1);
            assert!(answers.find(&question(1.0)).is_none());
        }
    }
}
