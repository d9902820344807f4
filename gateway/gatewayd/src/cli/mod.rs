//! The command line: standard output is data, standard error is logs and progress; exit codes 0 ok, 1 failed, 2 usage,
//! 3 tampered.
//!
//! | module | commands |
//! | --- | --- |
//! | [`args`] | the shape of the command line |
//! | [`output`] | text or JSON on standard output |
//! | [`context`] | settings, keys and store for a command |
//! | `run`, `init`, `doctor`, `config`, `backup`, `factory_reset` | the box itself |
//! | `device`, `athlete`, `user` | who and what it knows |
//! | `nonsense` | what can never work, refused before it is kept |
//! | `rules`, `library` | what runs in the sandbox: rules, plugins |
//! | `drill` | the alert path, proven now |
//! | `reset` | an alert ended by hand |
//! | `history`, `blocks`, `evidence` | what it has recorded and can prove |
//! | `firmware` | releases: signed, published, rolled out |

pub mod args;
mod athlete;
pub mod backup;
mod blocks;
mod bonded;
mod bonds;
mod config;
pub mod context;
pub mod device;
mod doctor;
mod drill;
mod evidence;
pub mod factory_reset;
mod firmware;
mod history;
mod init;
mod library;
mod nonsense;
pub mod output;
mod plugin;
mod reset;
mod rules;
mod run;
mod user;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use args::{AlertsCommand, Cli, Command, WorkerKind};
use output::Output;

pub use athlete::add_athlete;
pub use evidence::read_policy;
pub use init::{FIRST_USER, InitPlan, NewBox, SETTINGS_FILE, make_box};
pub use rules::replay as rules_replay;
pub use run::stop_signal;
pub use user::add_user;

/// How a command ended, other than well.
#[derive(Debug)]
pub enum Failure {
    /// It did not work: exit 1.
    Failed(anyhow::Error),
    /// It was asked for in a way that can't work: exit 2.
    Usage(String),
    /// Something was tampered with: exit 3.
    Tampered(String),
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// What a command returns.
pub type Outcome = Result<(), Failure>;

/// The shape of the command line, for completions and for tests.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Parses the arguments and runs the command.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { 2 } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let (failure, code) = match dispatch(cli) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Failed(error)) => (format!("{error:#}"), 1),
        Err(Failure::Usage(text)) => (text, 2),
        Err(Failure::Tampered(text)) => (format!("tampered: {text}"), 3),
    };
    output::complain(&failure);
    ExitCode::from(code)
}

fn dispatch(cli: Cli) -> Outcome {
    let output = Output::new(cli.json);
    let config = cli.config;
    match cli.command {
        Command::ScriptWorker { kind } => return worker(kind),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut command(), "pitchside", &mut std::io::stdout());
            return Ok(());
        }
        _ => {}
    }
    output::start_log();
    match cli.command {
        Command::Run => run::run(&config),
        Command::Demo(args) => crate::demo::run(&args, &output),
        Command::Init(args) => init::init(&args, &output),
        Command::Doctor { health: true } => doctor::health(&config, &output),
        Command::Doctor { health: false } => doctor::doctor(&config, &output),
        Command::Backup(command) => backup::backup(&command, &config, &output),
        Command::FactoryReset(args) => factory_reset::factory_reset(&args, &config, &output),
        Command::Config(command) => config::config(&command, &config, &output),
        Command::Device(command) => device::device(&command, &config, &output),
        Command::Athlete(command) => athlete::athlete(&command, &config, &output),
        Command::User(command) => user::user(&command, &config, &output),
        Command::Rules(command) => rules::rules(&command, &config, &output),
        Command::Plugin(command) => plugin::plugin(&command, &config, &output),
        Command::Alerts { last, command: None } => history::alerts(last, &config, &output),
        Command::Alerts { command: Some(AlertsCommand::Drill), .. } => drill::drill(&config, &output),
        Command::Alerts { command: Some(AlertsCommand::Reset { alert, note, author }), .. } => {
            reset::reset(alert, note, author, &config, &output)
        }
        Command::Readings { device, last } => history::readings(device.as_ref(), last, &config, &output),
        Command::Blocks(command) => blocks::blocks(&command, &config, &output),
        Command::Firmware(command) => firmware::firmware(&command, &config, &output),
        Command::Evidence(command) => evidence::evidence(&command, &config, &output),
        Command::ScriptWorker { .. } | Command::Completions { .. } => Ok(()),
    }
}

fn worker(kind: WorkerKind) -> Outcome {
    match kind {
        WorkerKind::Rules => Ok(pitchside_rules::worker_main()?),
        WorkerKind::Plugin => Ok(pitchside_decode::worker_main()?),
        WorkerKind::Package => Ok(crate::plugins::apart::worker_main()?),
        WorkerKind::Output => Ok(pitchside_script::output::worker::worker_main()?),
    }
}
