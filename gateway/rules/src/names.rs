//! Names a rule uses that are nobody's, or two things'.

use pitchside_script::Problem;
use pitchside_script::problem::Code;
use pitchside_script::scan::{Word, WordKind};

use crate::input::PROPERTIES;
use crate::library::RuleSource;
use crate::rule::variables;

/// Properties of inputs that do not exist: Rhai would tell only when they are read.
pub(crate) fn unknown_properties(source: &RuleSource, words: &[Word]) -> Vec<Problem> {
    let is_input = |word: &Word| source.manifest.inputs.iter().any(|q| q.name() == word.text);
    words
        .windows(2)
        .filter(|pair| pair[0].kind == WordKind::Name && is_input(&pair[0]) && pair[1].kind == WordKind::Property)
        .filter(|pair| !PROPERTIES.iter().any(|(known, _)| *known == pair[1].text))
        .map(|pair| {
            let (input, word) = (&pair[0].text, &pair[1]);
            Problem::at(&source.file(), (word.line, word.column), format!("`{input}` has no `{}`", word.text))
                .code(Code::UnknownProperty)
                .suggest(&word.text, PROPERTIES.iter().map(|(name, _)| *name))
        })
        .collect()
}

/// Names that two things of one rule claim. `place` says where the manifest has one; 0 if nobody looked.
pub(crate) fn clashes(source: &RuleSource, place: impl Fn(&str) -> (usize, usize)) -> Vec<Problem> {
    let manifest = &source.manifest;
    let params = manifest.params.iter().map(|(name, _)| name.as_str());
    let state = manifest.state.iter().map(|(name, _)| name.as_str());
    let file = source.manifest_file();
    params
        .chain(state)
        .filter(|name| {
            variables(source).iter().any(|(known, _)| known == name)
                || manifest.inputs.iter().any(|q| q.name() == *name)
        })
        .map(|name| {
            let text = format!("`{name}` is a variable already");
            Problem::at(&file, place(name), text).code(Code::Name).help("choose another name")
        })
        .collect()
}
