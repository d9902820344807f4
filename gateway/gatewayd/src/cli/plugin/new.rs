//! `plugin new`: a plugin that works, to be changed into another.

use std::path::Path;

use pitchside_model::PluginName;
use serde::Serialize;

use crate::cli::args::PluginKindArg;
use crate::cli::output::Output;
use crate::cli::{Failure, Outcome};
use crate::files::write_public;

/// Stands in the templates for the plugin's name.
const NAME: &str = "PLUGIN-NAME";

/// The files of a template, by name.
const DECODER: [(&str, &str); 4] = [
    ("README.md", include_str!("template/decoder.README.md")),
    ("cases.txt", include_str!("template/decoder.cases.txt")),
    ("decode.rhai", include_str!("template/decoder.rhai")),
    ("plugin.toml", include_str!("template/decoder.toml")),
];

/// See [`DECODER`].
const OUTPUT: [(&str, &str); 4] = [
    ("README.md", include_str!("template/output.README.md")),
    ("cases.txt", include_str!("template/output.cases.txt")),
    ("output.rhai", include_str!("template/output.rhai")),
    ("plugin.toml", include_str!("template/output.toml")),
];

/// See [`DECODER`].
const DERIVED: [(&str, &str); 4] = [
    ("README.md", include_str!("template/derived.README.md")),
    ("cases.txt", include_str!("template/derived.cases.txt")),
    ("derive.rhai", include_str!("template/derived.rhai")),
    ("plugin.toml", include_str!("template/derived.toml")),
];

#[derive(Serialize)]
struct Made {
    name: String,
    dir: String,
    files: Vec<&'static str>,
}

/// `plugin new`.
pub(super) fn new(name: &PluginName, kind: PluginKindArg, dir: &Path, output: &Output) -> Outcome {
    let folder = dir.join(name.as_str());
    if folder.exists() {
        return Err(Failure::Usage(format!("{} exists; nothing was changed", folder.display())));
    }
    let files = match kind {
        PluginKindArg::Decoder => DECODER,
        PluginKindArg::Output => OUTPUT,
        PluginKindArg::Derived => DERIVED,
    };
    for (file, text) in files {
        write_public(&folder.join(file), text.replace(NAME, name.as_str()).as_bytes())?;
    }
    let made = Made {
        name: name.to_string(),
        dir: folder.display().to_string(),
        files: files.iter().map(|(file, _)| *file).collect(),
    };
    output.print(&made, |made| {
        format!(
            "Made {}: {}\nIt passes its cases as it is: pitchside plugin test {}\nWrite your own cases first.",
            made.dir,
            made.files.join(", "),
            made.dir
        )
    })?;
    Ok(())
}
