//! Rules that hear history: the draft's where they stand, those in force on a thread of their own.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use pitchside_model::{AlertEvent, AlertId, Entry};
use pitchside_script::Problem;

use crate::engine::{Engine, Fed, RuleFault};
use crate::id::{Message, ids_of};
use crate::library::RuleSet;

/// An event with the place of the message it came of.
#[derive(Debug)]
pub(super) struct Happened {
    pub place: usize,
    /// What an alert that is raised has in common with the other side's of the same reading. Its id need not be: that hangs on what the
    /// side raised before.
    pub shared: Option<AlertId>,
    pub event: AlertEvent,
}

/// What came of a portion: each event, and each fault with the place of the message it came of.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub events: Vec<Happened>,
    pub faults: Vec<(usize, RuleFault)>,
}

/// Lets rules hear a portion.
pub(super) fn hear(engine: &mut Engine, entries: &[Entry]) -> Told {
    let mut told = Told::default();
    for (place, entry) in entries.iter().enumerate() {
        let Fed { events, faults } = engine.feed(std::slice::from_ref(entry));
        told.events.extend(events.into_iter().map(|event| {
            let shared = event.raised().and_then(|alert| {
                let rule = engine.rule_set().rules().iter().find(|rule| *rule.name() == alert.rule)?;
                let [_, of_message] = ids_of(alert, rule.manifest.scope, Message::of(entry));
                Some(of_message)
            });
            Happened { place, shared, event }
        }));
        told.faults.extend(faults.into_iter().map(|fault| (place, fault)));
    }
    told
}

/// Rules on a thread of their own: they hear a portion while others do.
#[derive(Debug)]
pub(super) struct Beside {
    portions: SyncSender<Arc<[Entry]>>,
    told: Receiver<Told>,
    thread: Option<JoinHandle<()>>,
}

impl Beside {
    pub fn start(set: Arc<RuleSet>) -> Result<Self, Vec<Problem>> {
        let (portions, waiting) = sync_channel::<Arc<[Entry]>>(1);
        let (say_ready, ready) = sync_channel(1);
        let (say_told, told) = sync_channel(1);
        let thread = std::thread::spawn(move || {
            // Compiled here, for an engine does not move between threads.
            let (mut engine, compiled) = match Engine::new(set) {
                Ok(engine) => (Some(engine), Ok(())),
                Err(problems) => (None, Err(problems)),
            };
            if say_ready.send(compiled).is_err() {
                return;
            }
            let Some(engine) = &mut engine else { return };
            while let Ok(entries) = waiting.recv() {
                if say_told.send(hear(engine, &entries)).is_err() {
                    return;
                }
            }
        });
        let mut started = Self { portions, told, thread: Some(thread) };
        match ready.recv() {
            Ok(compiled) => compiled.map(|()| started),
            Err(_) => started.ended(),
        }
    }

    pub fn hear(&mut self, entries: &Arc<[Entry]>) {
        if self.portions.send(Arc::clone(entries)).is_err() {
            self.ended();
        }
    }

    pub fn said(&mut self) -> Told {
        self.told.recv().unwrap_or_else(|_| self.ended())
    }

    /// The thread ends by itself only in a panic, which goes on here.
    fn ended(&mut self) -> ! {
        let panic = self.thread.take().and_then(|thread| thread.join().err());
        std::panic::resume_unwind(panic.unwrap_or_else(|| Box::new("the rules' thread ended")))
    }
}
