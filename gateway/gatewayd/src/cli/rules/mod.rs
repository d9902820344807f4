//! `pitchside rules`.
//!
//! | module | commands |
//! | --- | --- |
//! | [`backtest`] | a draft over sealed history |
//! | [`replay`] | one alert again |
//! | [`versions`] | publish, checkout, merge, history, diff, rollback |
//! | [`shadow`] | rules that are only watched |

mod backtest;
pub mod replay;
mod shadow;
mod versions;

use std::path::PathBuf;

use pitchside_rules::RuleSet;

use super::args::{ConfigArg, RulesCommand};
use super::library::{Item, Tested, folder, print_items, print_tested, refuse, subfolders, tested};
use super::output::Output;
use super::{Failure, Outcome, context};

/// `pitchside rules`.
pub fn rules(command: &RulesCommand, config: &ConfigArg, output: &Output) -> Outcome {
    let of = |settings: &pitchside_config::Settings| settings.rules.dir.clone();
    match command {
        RulesCommand::List { dir } | RulesCommand::Check { dir } => {
            let dir = folder(dir.as_ref(), config, of)?;
            let set = match RuleSet::load(&dir) {
                Ok(set) => set,
                Err(problems) => return refuse(&problems.iter().map(ToString::to_string).collect::<Vec<_>>()),
            };
            let items: Vec<Item> = set
                .rules()
                .iter()
                .map(|rule| Item {
                    name: rule.name().to_string(),
                    version: rule.manifest.version.clone(),
                    summary: rule.manifest.summary.clone(),
                })
                .collect();
            print_items(&items, "RULE", output)
        }
        RulesCommand::Test { dir } => {
            let dir = folder(dir.as_ref(), config, of)?;
            let tested: Vec<Tested> = subfolders(&dir)?
                .iter()
                .map(|folder| {
                    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                    let report = pitchside_rules::run_rule_folder(folder, &name);
                    tested(name, &report)
                })
                .collect();
            print_tested(&tested, output)
        }
        RulesCommand::Backtest { draft, since, athlete } => {
            backtest::backtest(draft, *since, athlete.as_ref(), &context::open(config)?, output)
        }
        RulesCommand::Replay { alert } => replay::replay(*alert, &context::open(config)?, output),
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
