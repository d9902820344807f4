//! One page played from its first line to its last, in a folder of its own.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pitchside_config::{Loaded, Source};
use pitchside_decode::plugin::{Folder, cases};
use pitchside_rules::{lint_rule, run_rule_folder};
use pitchside_script::cases::Report;
use pitchside_tests::program::{program, repository};

use crate::page::{Exchange, Kind, Part, exchanges, fits, parts, without_chance};
use crate::stage::Stage;

/// The words that stand for what a reader puts in: the id of the newest alert.
const ALERT: &str = "ALERT";

/// A page and the folder its reader works in.
struct Player {
    name: String,
    folder: tempfile::TempDir,
    stage: Stage,
    /// Folders of rules and plugins the page wrote.
    written: BTreeSet<PathBuf>,
    /// Blocks that say something else now, by their first line: how many lines, and what they should be.
    other: Vec<(usize, usize, Vec<String>)>,
}

/// Plays a page of `docs/`.
pub async fn page(name: &str) {
    let path = repository().join("docs").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let parts = parts(&text).unwrap_or_else(|why| panic!("docs/{name}:{why}"));
    let folder = tempfile::Builder::new().prefix("reader-").tempdir().unwrap();
    let mut player =
        Player { name: name.to_owned(), folder, stage: Stage::default(), written: BTreeSet::new(), other: Vec::new() };
    for part in &parts {
        player.part(part).await;
    }
    player.look_over();
    player.note(&path, &text);
}

impl Player {
    fn at(&self, line: usize) -> String {
        format!("docs/{}:{line}", self.name)
    }

    async fn part(&mut self, part: &Part) {
        match &part.kind {
            Kind::Stage(direction) => {
                let done = self.stage.direct(direction).await;
                done.unwrap_or_else(|why| panic!("{}: {direction}: {why}", self.at(part.line)));
                if let Some(policy) = self.stage.policy() {
                    std::fs::copy(policy, self.folder.path().join("policy")).unwrap();
                }
            }
            Kind::File(path) => self.write(part, path),
            Kind::Console => self.converse(part),
        }
    }

    fn write(&mut self, part: &Part, path: &str) {
        let relative = Path::new(path);
        assert!(relative.is_relative() && !path.contains(".."), "{}: {path}", self.at(part.line));
        let path = self.folder.path().join(relative);
        let folder = path.parent().unwrap();
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(&path, format!("{}\n", part.text.join("\n"))).unwrap();
        match path.extension().and_then(|e| e.to_str()) {
            _ if is_of_a_folder(&path) => drop(self.written.insert(folder.to_owned())),
            Some("toml") => {
                let read = Loaded::load_with(&Source::File(path.clone()), &[], &[]);
                read.unwrap_or_else(|problems| panic!("{}: {problems:?}", self.at(part.line)));
            }
            Some("rhai") => panic!("{}: a script belongs into the folder of a rule or plugin", self.at(part.line)),
            _ => {}
        }
    }

    fn converse(&mut self, part: &Part) {
        let all = exchanges(&part.text).unwrap_or_else(|why| panic!("{}: {why}", self.at(part.line)));
        let (mut now, mut same) = (Vec::new(), true);
        for exchange in all {
            let (code, said) = self.run(&exchange);
            let lines: Vec<&str> = said.trim_end().lines().collect();
            let right = code == exchange.code && fits(&exchange.answer, &lines);
            if !right && std::env::var_os("UPDATE").is_none() {
                let written = exchange.answer.join("\n");
                panic!(
                    "{}: $ {}\nwritten (? {}):\n{written}\n\nsaid (? {code}):\n{said}",
                    self.at(part.line),
                    exchange.command,
                    exchange.code
                );
            }
            same &= right;
            now.push(format!("$ {}", exchange.command));
            if code != 0 {
                now.push(format!("? {code}"));
            }
            let said = without_chance(said.trim_end(), &self.folder.path().display().to_string());
            now.extend(if right { exchange.answer } else { said.lines().map(|l| l.trim_end().to_owned()).collect() });
        }
        if !same {
            self.other.push((part.line, part.text.len(), now));
        }
    }

    /// As a shell runs it, in the reader's folder, with nothing of ours in its environment.
    fn run(&self, exchange: &Exchange) -> (i32, String) {
        let word = |word: &str| if word == ALERT { self.stage.newest_alert() } else { word.to_owned() };
        let command = exchange.command.split(' ').map(word).collect::<Vec<_>>().join(" ");
        let pitchside = program("pitchside");
        let config = self.stage.config().map_or_else(String::new, |file| format!("--config '{}'", file.display()));
        let script = format!("pitchside() {{ '{}' {config} \"$@\"; }}\n{{ {command}\n}} 2>&1", pitchside.display());
        let done = Command::new("sh")
            .args(["-c", &script])
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("USER", "ann")
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        (done.status.code().unwrap_or(-1), String::from_utf8_lossy(&done.stdout).into_owned())
    }

    /// What the page leaves behind is in order: rules and plugins load and pass their cases.
    fn look_over(&self) {
        for folder in &self.written {
            let name = folder.file_name().unwrap().to_string_lossy().into_owned();
            let text = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap_or_default();
            let problems: Vec<String> = if folder.join("rule.toml").is_file() {
                let found = lint_rule(&name, &text("rule.toml"), &text("rule.rhai"), &text("cases.txt"));
                let errors = found.iter().filter(|problem| problem.is_error()).map(ToString::to_string);
                errors.chain(failures(&run_rule_folder(folder, &name))).collect()
            } else {
                let read = Folder::read(folder).map_err(|error| vec![error.to_string()]);
                read.and_then(|folder| cases::run(&folder)).map_or_else(|problems| problems, |report| failures(&report))
            };
            assert!(problems.is_empty(), "docs/{}: {name}: {problems:#?}", self.name);
        }
    }

    /// Writes down what is said now.
    fn note(&self, path: &Path, text: &str) {
        if self.other.is_empty() {
            return;
        }
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        for (first, count, now) in self.other.iter().rev() {
            lines.splice(first - 1..first - 1 + count, now.iter().cloned());
        }
        std::fs::write(path, format!("{}\n", lines.join("\n"))).unwrap();
    }
}

fn failures(report: &Report) -> Vec<String> {
    let failed = report.cases.iter().flat_map(|case| &case.failures);
    failed.chain(&report.problems).map(ToString::to_string).collect()
}

/// Whether a file is one of those a rule or plugin consists of.
fn is_of_a_folder(path: &Path) -> bool {
    const FILES: [&str; 6] = ["rule.toml", "rule.rhai", "plugin.toml", "decode.rhai", "output.rhai", "cases.txt"];
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| FILES.contains(&name))
}
