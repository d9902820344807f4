//! `pitchside rules`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use pitchside_model::{AlertId, AthleteId, RuleName};

use super::duration;

/// `rules ...`
#[derive(Debug, Subcommand)]
pub enum RulesCommand {
    /// What is there.
    List {
        /// A rule's folder, or a folder of rules; without it, the one in the settings.
        #[arg(value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// Report every problem with file, line and column.
    Check {
        /// A rule's folder, or a folder of rules; without it, the one in the settings.
        #[arg(value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// Run every case.
    Test {
        /// A rule's folder, or a folder of rules; without it, the one in the settings.
        #[arg(value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// How the rules that run are doing: which were switched off, and for which fault.
    Status,
    /// Put a rule back that was switched off for its faults, though it did not change. It keeps what it knew.
    Again {
        /// The rule.
        #[arg(value_parser = rule)]
        name: RuleName,
    },
    /// How often a draft would have fired on sealed, verified history, when and for whom, against the version in force.
    /// Exit 1 if the draft was switched off for its faults, 3 if a block is bad.
    Backtest {
        /// The draft: a rule's folder, a folder of rules, a rule in force, or a version such as heat-illness@2.
        #[arg(value_name = "NAME|DIR")]
        draft: String,
        /// How far back, e.g. 30d. What is verified of older blocks is their place in the chain.
        #[arg(long, default_value = "30d", value_parser = duration)]
        since: Duration,
        /// Only this athlete.
        #[arg(long)]
        athlete: Option<AthleteId>,
    },
    /// The alert again, bit for bit, from sealed readings: prints `identical`, or the exact difference (exit 1).
    Replay {
        /// The alert's id, from `pitchside alerts`.
        #[arg(value_parser = alert)]
        alert: AlertId,
    },
    /// Bring the rules in force to those of a library, except what was published or changed here. Of an appliance each start of the gateway
    /// does it.
    Follow {
        /// Folder of rules.
        #[arg(value_name = "DIR")]
        library: PathBuf,
    },
    /// Put a draft in force as a new version; the running gateway takes it up by itself.
    Publish(PublishArgs),
    /// Copy a version out, to be edited.
    Checkout {
        /// The rule, or a version such as heat-illness@2; without a number the newest that was put in force.
        rule: String,
        /// The draft's folder; it must not exist. Its last part must be the rule's name.
        dir: PathBuf,
    },
    /// Put what was published meanwhile into a draft: a three-way merge.
    Merge {
        /// The draft's folder.
        dir: PathBuf,
        /// The version the draft began from; without it, the one `rules checkout` wrote down.
        #[arg(long, value_name = "VERSION")]
        base: Option<u32>,
    },
    /// The versions of one rule, or of all.
    History {
        /// Only this rule's.
        name: Option<String>,
    },
    /// What differs between two versions: heat-illness@1 heat-illness@2, or folders.
    Diff {
        /// The older.
        old: String,
        /// The newer.
        new: String,
    },
    /// Put an old version in force again, as a new one.
    Rollback {
        /// The rule.
        name: String,
        /// Its version's number.
        version: u32,
        /// Why.
        #[arg(long)]
        note: Option<String>,
        /// Who; without it, the user of this machine.
        #[arg(long)]
        author: Option<String>,
    },
    /// Rules that run on live readings and only write down what they would have said.
    Shadow {
        /// Only this rule; `on` and `off` take a version such as heat-illness@2, too.
        name: Option<String>,
        /// Begin or end; without it, what it has said.
        switch: Option<Switch>,
        /// How many lines of the log at most.
        #[arg(long, default_value_t = 50)]
        last: u32,
    },
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// Begin.
    On,
    /// End.
    Off,
}

/// Arguments of `rules publish`.
#[derive(Debug, Args)]
pub struct PublishArgs {
    /// The draft: a rule's folder, called as the rule.
    pub dir: PathBuf,
    /// Why it changes.
    #[arg(long)]
    pub note: String,
    /// The version the draft began from; without it, the one `rules checkout` wrote down.
    #[arg(long, value_name = "VERSION")]
    pub base: Option<u32>,
    /// Who; without it, the user of this machine.
    #[arg(long)]
    pub author: Option<String>,
    /// Only watch it: it runs on live readings, and its alerts go into a log and nowhere else.
    #[arg(long)]
    pub shadow: bool,
}

fn rule(text: &str) -> Result<RuleName, String> {
    RuleName::parse(text).map_err(|error| error.to_string())
}

pub(super) fn alert(text: &str) -> Result<AlertId, String> {
    AlertId::parse(text)
        .ok_or_else(|| format!("'{text}' is not an alert's id: 32 hexadecimal digits, as `pitchside alerts` prints"))
}
