//! What of a plugin is run before it is let in, run in a process of its own: a package is somebody else's until then. So are the cases of
//! rules and plugins on the command line. The process has one
//! socket and neither files, network nor children, as those that the gateway asks.

use std::time::Duration;

use anyhow::Context as _;
use pitchside_decode::plugin::Folder;
use pitchside_model::{Entry, Quantity};
use pitchside_rules::RuleSource;
use pitchside_rules::scripted::rehearsal::{Findings, Rehearsal};
use pitchside_script::cases::Report;
use pitchside_script::{Problem, ServeError, Worker, WorkerError, WorkerLimits};
use serde::{Deserialize, Serialize};
use tokio::runtime::{Builder, Runtime};

use super::{failures, run_cases};
use crate::script_worker;

/// How long all cases of a plugin, or a portion of history, may run. Each call of a script has its own, much shorter bound.
const WITHIN: Duration = Duration::from_secs(60);
/// Messages of history that are heard at a time.
const PORTION: usize = 32;
/// The most failures that are told.
const FAILURES_MAX: usize = 100;
/// How far it stands back behind the gateway on the same processors.
const NICE: i32 = 10;

/// A plugin as it is written.
#[derive(Debug, Serialize, Deserialize)]
struct Texts {
    name: String,
    manifest: String,
    script: String,
    cases: String,
}

impl Texts {
    fn of(folder: &Folder) -> Self {
        Self {
            name: folder.manifest.name.to_string(),
            manifest: folder.manifest_text.clone(),
            script: folder.source.clone(),
            cases: folder.cases.clone(),
        }
    }

    fn failures(self) -> Vec<String> {
        let mut failures = Folder::of_texts(&self.manifest, self.script, self.cases)
            .map_or_else(|error| vec![error.to_string()], |folder| failures(&folder));
        failures.truncate(FAILURES_MAX);
        failures
    }

    fn report(self) -> Result<Report, Vec<String>> {
        let folder =
            Folder::of_texts(&self.manifest, self.script, self.cases).map_err(|error| vec![error.to_string()])?;
        run_cases(&folder)
    }

    fn stream(&self) -> Result<RuleSource, Vec<Problem>> {
        RuleSource::parse_stream(&self.name, &self.manifest, &self.script)
    }
}

#[derive(Debug, Serialize, Deserialize)]
enum Question {
    Cases(Texts),
    Report(Texts),
    OfRule(Texts),
    Rehearse { old: Texts, new: Texts },
    Hear(Vec<Entry>),
    Found,
}

#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    Failures(Vec<String>),
    /// What each case came to, or why none could be run.
    Report(Result<Report, Vec<String>>),
    /// What of history it wants to hear, or what does not compile.
    Rehearses(Result<Vec<Quantity>, Vec<String>>),
    Heard,
    Found(Findings),
    NotUnderstood,
}

/// Answers the parent until it closes the socket. The whole body of the worker command.
pub fn worker_main() -> Result<(), ServeError> {
    let mut rehearsal = None;
    pitchside_script::serve(&mut |question| {
        let answer =
            postcard::from_bytes(question).map_or(Answer::NotUnderstood, |question| answer(&mut rehearsal, question));
        // Plain data into memory; an empty answer is one the parent does not understand.
        postcard::to_allocvec(&answer).unwrap_or_default()
    })
}

fn answer(rehearsal: &mut Option<Rehearsal>, question: Question) -> Answer {
    match question {
        Question::Cases(texts) => Answer::Failures(texts.failures()),
        Question::Report(texts) => Answer::Report(texts.report()),
        Question::OfRule(Texts { name, manifest, script, cases }) => {
            Answer::Report(Ok(pitchside_rules::run_rule_texts(&name, &manifest, &script, &cases)))
        }
        Question::Rehearse { old, new } => {
            let begun = old.stream().and_then(|old| Rehearsal::new(old, new.stream()?));
            Answer::Rehearses(match begun {
                Ok(begun) => Ok(rehearsal.insert(begun).quantities().to_vec()),
                Err(problems) => Err(problems.iter().take(FAILURES_MAX).map(ToString::to_string).collect()),
            })
        }
        Question::Hear(entries) => match rehearsal {
            Some(rehearsal) => {
                rehearsal.feed(&entries);
                Answer::Heard
            }
            None => Answer::NotUnderstood,
        },
        Question::Found => rehearsal.take().map_or(Answer::NotUnderstood, |begun| Answer::Found(begun.finish())),
    }
}

/// What each case came to, or why they could not be run: also that they ended their process, or took too long.
pub type Ran = anyhow::Result<Result<Report, Vec<String>>>;

/// The parent's end. Dropped, the process ends.
pub struct Apart {
    worker: Worker,
    runtime: Runtime,
}

impl Apart {
    /// Starts the process.
    pub fn start() -> anyhow::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build().context("starting the runtime")?;
        let program = script_worker::program(script_worker::own_file()?, "package");
        let limits = WorkerLimits { nice: NICE, ..WorkerLimits::default() };
        let worker = runtime.block_on(Worker::spawn(&program, limits)).context("starting a process for scripts")?;
        Ok(Self { worker, runtime })
    }

    fn ask(&mut self, question: &Question) -> anyhow::Result<Answer> {
        let question = postcard::to_allocvec(question).context("asking a process for scripts")?;
        let answer = self.runtime.block_on(self.worker.call(&question, WITHIN))?;
        postcard::from_bytes(&answer).context("reading what a process for scripts says")
    }

    /// What fails of a plugin's own cases, a line each. That they end their process, or take too long, is such a failure.
    pub fn failures(&mut self, folder: &Folder) -> anyhow::Result<Vec<String>> {
        match self.ask(&Question::Cases(Texts::of(folder))) {
            Ok(Answer::Failures(failures)) => Ok(failures),
            Ok(_) => Err(misunderstood()),
            Err(error) if is_of_the_script(&error) => Ok(vec![format!("its cases: {error}")]),
            Err(error) => Err(error),
        }
    }

    /// What each of a plugin's own cases comes to.
    pub fn report(&mut self, folder: &Folder) -> Ran {
        self.reported(&Question::Report(Texts::of(folder)))
    }

    /// The same of a rule: its name, and its manifest, script and cases.
    pub fn of_rule(&mut self, name: &str, [manifest, script, cases]: [String; 3]) -> Ran {
        self.reported(&Question::OfRule(Texts { name: name.to_owned(), manifest, script, cases }))
    }

    fn reported(&mut self, question: &Question) -> Ran {
        match self.ask(question) {
            Ok(Answer::Report(report)) => Ok(report),
            Ok(_) => Err(misunderstood()),
            Err(error) if is_of_the_script(&error) => {
                // For those that follow.
                self.runtime.block_on(self.worker.restart()).context("starting a process for scripts")?;
                Ok(Err(vec![format!("its cases: {error}")]))
            }
            Err(error) => Err(error),
        }
    }

    /// Begins to let two versions of a stream hear the same; what of history they want to hear.
    pub fn rehearse(&mut self, old: &Folder, new: &Folder) -> anyhow::Result<Vec<Quantity>> {
        match self.ask(&Question::Rehearse { old: Texts::of(old), new: Texts::of(new) })? {
            Answer::Rehearses(Ok(quantities)) => Ok(quantities),
            Answer::Rehearses(Err(problems)) => {
                Err(anyhow::anyhow!("a version does not compile: {}", problems.join("; ")))
            }
            _ => Err(misunderstood()),
        }
    }

    /// Both hear a portion of history, in the order of arrival.
    pub fn hear(&mut self, entries: &[Entry]) -> anyhow::Result<()> {
        for portion in entries.chunks(PORTION) {
            if !matches!(self.ask(&Question::Hear(portion.to_vec()))?, Answer::Heard) {
                return Err(misunderstood());
            }
        }
        Ok(())
    }

    /// What came of it.
    pub fn found(&mut self) -> anyhow::Result<Findings> {
        match self.ask(&Question::Found)? {
            Answer::Found(findings) => Ok(findings),
            _ => Err(misunderstood()),
        }
    }
}

/// Whether what ran ended its process, or was late: not so if that was killed from outside, or the machine was busy.
fn is_of_the_script(error: &anyhow::Error) -> bool {
    error.downcast_ref().is_some_and(|error: &WorkerError| {
        matches!(error, WorkerError::Late { .. } | WorkerError::Died { .. }) && !error.is_from_outside()
    })
}

fn misunderstood() -> anyhow::Error {
    anyhow::anyhow!("a process for scripts answered something else than it was asked")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(version: &str, script: &str) -> Folder {
        let manifest = format!(
            "name = \"felt\"\nversion = \"{version}\"\nsummary = \"A test.\"\nkind = \"derived\"\n\
             inputs = [\"heart_rate\"]\noutputs = [\"heat_index\"]\n"
        );
        let cases = "case none\n  +0s heart_rate gap silent -> nothing\n";
        Folder::of_texts(&manifest, script.to_owned(), cases.to_owned()).unwrap()
    }

    /// As the process would answer, over the same bytes.
    fn asked(rehearsal: &mut Option<Rehearsal>, question: &Question) -> Answer {
        let bytes = postcard::to_allocvec(question).unwrap();
        let answer = answer(rehearsal, postcard::from_bytes(&bytes).unwrap());
        postcard::from_bytes(&postcard::to_allocvec(&answer).unwrap()).unwrap()
    }

    #[test]
    fn cases_and_rehearsals_are_asked_by_the_texts_alone() {
        let (old, new) = (stream("1.0.0", "value / 2.0\n"), stream("1.1.0", "value * 0.5\n"));
        let mut begun = None;
        assert!(matches!(asked(&mut begun, &Question::Hear(Vec::new())), Answer::NotUnderstood), "not begun");
        let Answer::Failures(failures) = asked(&mut begun, &Question::Cases(Texts::of(&old))) else { panic!() };
        assert!(failures.is_empty(), "{failures:?}");
        let broken =
            Texts { cases: "case one\n  +0s heart_rate 100 /min -> heat_index 7 Cel\n".into(), ..Texts::of(&old) };
        let Answer::Failures(failures) = asked(&mut begun, &Question::Cases(broken)) else { panic!() };
        assert_eq!(failures.len(), 1, "{failures:?}");
        let Answer::Report(Ok(report)) = asked(&mut begun, &Question::Report(Texts::of(&old))) else { panic!() };
        assert_eq!((report.cases.len(), report.failed()), (1, 0), "{report:?}");
        let rule = Texts {
            name: "fast".into(),
            manifest: "name = \"fast\"\nversion = \"1.0.0\"\nsummary = \"A test.\"\npriority = \"low\"\n\
                       inputs = [\"heart_rate\"]\n"
                .into(),
            script: "value > 180.0\n".into(),
            cases: "case fast raises\n  +0s heart_rate 190 /min -> raise low\n".into(),
        };
        let Answer::Report(Ok(report)) = asked(&mut begun, &Question::OfRule(rule)) else { panic!() };
        assert_eq!((report.cases.len(), report.failed()), (1, 0), "{report:?}");
        let rehearse = Question::Rehearse { old: Texts::of(&old), new: Texts::of(&new) };
        let Answer::Rehearses(Ok(wanted)) = asked(&mut begun, &rehearse) else { panic!() };
        assert_eq!(wanted, [Quantity::HEART_RATE]);
        assert!(matches!(asked(&mut begun, &Question::Hear(Vec::new())), Answer::Heard));
        assert!(matches!(asked(&mut begun, &Question::Found), Answer::Found(found) if found == Findings::default()));
        let rehearse = Question::Rehearse { old: Texts::of(&old), new: Texts::of(&stream("1.2.0", "valeu\n")) };
        assert!(matches!(asked(&mut begun, &rehearse), Answer::Rehearses(Err(_))));
    }
}
