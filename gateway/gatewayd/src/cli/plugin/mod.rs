//! `pitchside plugin`: from an empty folder to a plugin at work.
//!
//! | module | commands |
//! | --- | --- |
//! | [`new`] | a template |
//! | [`check`] | check, test: folders, nothing else |
//! | [`package`] | pack, key, sign, show: packages as files |
//! | [`install`] | what this box lets in, and whom it trusts |
//! | [`rehearse`] | what a new version would have done with what is recorded |
//! | [`state`] | how plugins stand on this box |
//! | [`settings`] | what an admin sets of a plugin: params, texts, secrets |
//! | [`hearing`] | which rules hear less after a change |
//! | [`asking`] | an output's script, asked by a command in a process of its own |

mod asking;
mod check;
mod hearing;
mod install;
mod new;
mod package;
mod rehearse;
mod settings;
mod state;

use super::Outcome;
use super::args::{ConfigArg, PluginCommand};
use super::output::Output;

/// `pitchside plugin`.
pub fn plugin(command: &PluginCommand, config: &ConfigArg, output: &Output) -> Outcome {
    match command {
        PluginCommand::New { name, kind, dir } => new::new(name, *kind, dir, output),
        PluginCommand::Check { which } => check::check(which.as_deref(), config, output),
        PluginCommand::Test { which } => check::test(which.as_deref(), config, output),
        PluginCommand::Pack { dir, out } => package::pack(dir, out, output),
        PluginCommand::Key(command) => package::key(command, output),
        PluginCommand::Sign { package, key } => package::sign(package, key, output),
        PluginCommand::Show { package } => package::show(package, output),
        PluginCommand::Trust { key } => install::trust(key, config, output),
        PluginCommand::Distrust { key } => install::distrust(key, config, output),
        PluginCommand::Signers => install::signers(config, output),
        PluginCommand::Install(args) => install::install(args, config, output),
        PluginCommand::Update { package, trial } => install::update(package, trial, config, output),
        PluginCommand::Rollback { name } => install::rollback(name, config, output),
        PluginCommand::Remove { name } => install::remove(name, config, output),
        PluginCommand::List => state::list(config, output),
        PluginCommand::Logs { name, last } => state::logs(name.as_ref(), *last, config, output),
        PluginCommand::Enable { name } => state::enable(name, true, config, output),
        PluginCommand::Disable { name } => state::enable(name, false, config, output),
        PluginCommand::Grant { name, capability } => state::grant(name, capability, config, output),
        PluginCommand::Set { name, key, value } => settings::set(name, key, value, config, output),
        PluginCommand::Unset { name, key } => settings::unset(name, key, config, output),
        PluginCommand::Secret { name, key, generate, remove } => {
            settings::secret(name, key, (*generate, *remove), config, output)
        }
        PluginCommand::Settings { name } => settings::settings(name, config, output),
        PluginCommand::Revoke { name, capability } => state::revoke(name, capability, config, output),
    }
}
