//! `pitchside rules`.
//!
//! | module | commands |
//! | --- | --- |
//! | [`check`] | list, check, test |
//! | [`status`] | what was switched off; putting it back |
//! | [`backtest`] | a draft over sealed history |
//! | [`replay`] | one alert again |
//! | [`versions`] | publish, checkout, merge, history, diff, rollback |
//! | [`shadow`] | rules that are only watched |
//! | [`follow`] | a library whose rules the box's own follow |

mod backtest;
mod check;
mod follow;
pub mod replay;
mod shadow;
mod status;
mod versions;

use std::path::PathBuf;

pub(super) use backtest::{advance, bar};

use super::args::{ConfigArg, RulesCommand};
use super::output::Output;
use super::{Failure, Outcome, context};

/// `pitchside rules`.
pub fn rules(command: &RulesCommand, config: &ConfigArg, output: &Output) -> Outcome {
    match command {
        RulesCommand::List { dir } => check::list(dir.as_deref(), config, output),
        RulesCommand::Check { dir } => check::check(dir.as_deref(), config, output),
        RulesCommand::Test { dir } => check::test(dir.as_deref(), config, output),
        RulesCommand::Status => status::status(&context::open(config)?, output),
        RulesCommand::Again { name } => status::again(name, &context::open(config)?, output),
        RulesCommand::Backtest { draft, since, athlete } => {
            backtest::backtest(draft, *since, athlete.as_ref(), &context::open(config)?, output)
        }
        RulesCommand::Replay { alert } => replay::replay(*alert, &context::open(config)?, output),
        RulesCommand::Follow { library } => follow::follow(library, config, output),
        RulesCommand::Publish(args) => versions::publish(args, &context::open(config)?, output),
        RulesCommand::Checkout { rule, dir } => versions::checkout(rule, dir, &context::open(config)?, output),
        RulesCommand::Merge { dir, base } => versions::merge(dir, *base, &context::open(config)?, output),
        RulesCommand::History { name } => versions::history(name.as_deref(), &context::open(config)?, output),
        RulesCommand::Diff { old, new } => versions::diff(old, new, config, output),
        RulesCommand::Rollback { name, version, note, author } => {
            let draft =
                versions::Rollback { name, version: *version, note: note.as_deref(), author: author.as_deref() };
            versions::rollback(&draft, &context::open(config)?, output)
        }
        RulesCommand::Shadow { name, switch, last } => {
            shadow::shadow(name.as_deref(), *switch, *last, &context::open(config)?, output)
        }
    }
}

/// The folder of the rules in force.
fn rules_folder(context: &context::Context) -> Result<PathBuf, Failure> {
    context
        .settings
        .rules
        .dir
        .clone()
        .ok_or_else(|| Failure::Usage("no folder of rules is configured (rules.dir)".to_owned()))
}
