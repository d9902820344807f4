//! `rules follow`: what a library changed is taken over, except where the clinic decided otherwise. It needs no database: on an
//! appliance it runs before the gateway has brought that to its version.

use std::path::Path;

use crate::cli::args::ConfigArg;
use crate::cli::output::Output;
use crate::cli::{Failure, Outcome, context};
use crate::rulebook::{self, Followed};

/// `rules follow`.
pub fn follow(library: &Path, config: &ConfigArg, output: &Output) -> Outcome {
    let rules = context::settings(config)?.settings.rules.dir;
    let rules = rules.ok_or_else(|| Failure::Usage("no folder of rules is configured (rules.dir)".to_owned()))?;
    let done = rulebook::follow(library, &rules)?;
    output.print(&done, text)?;
    Ok(())
}

fn text(done: &Followed) -> String {
    let said = [("taken over", &done.taken), ("no longer there", &done.gone), ("yours, and kept", &done.kept)];
    let said = said.iter().filter(|(_, names)| !names.is_empty());
    let said: Vec<String> = said.map(|(what, names)| format!("{what}: {}", names.join(", "))).collect();
    if said.is_empty() { "the rules are those of the library".to_owned() } else { said.join("\n") }
}
