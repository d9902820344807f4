//! Arguments of `firmware`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use ledger_block::release::{Component, HardwareId, Version};
use pitchside_model::DeviceId;

/// `firmware ...`
#[derive(Debug, Subcommand)]
pub enum FirmwareCommand {
    /// Make a publisher's place: keys, settings, and the enrolment file for the ledger's operator.
    Init(PublisherArgs),
    /// Keys that sign releases. Each belongs to one person, on a machine of their own.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Who signs releases: make a release policy, sign it, show it.
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Write down a release for its signers: what it is, for which hardware, and the hashes of its bytes.
    Draft(DraftArgs),
    /// Add one signature to a draft. Needs no network.
    Sign {
        /// The release; the signature is added to this file.
        file: PathBuf,
        /// File of a release key.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
    /// What a release file says, and who has signed it.
    Show {
        /// The release.
        file: PathBuf,
    },
    /// Collect the signatures and put the release into the ledger. Nobody gets it before `rollout`.
    Publish {
        /// The release: one file, or one from each signer.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// The bytes it names: checked first, and uploaded to the ledger's store afterwards.
        #[arg(long, value_name = "FILE")]
        content: Option<PathBuf>,
    },
    /// Begin or widen a rollout: 1, then 10, then 100 per cent of the devices of one hardware.
    Rollout {
        /// The release's name, or as much of its beginning as is unmistakable.
        release: String,
        /// Which hardware.
        #[arg(long, value_name = "ID")]
        hardware: HardwareId,
        /// How many of its devices, in per cent.
        #[arg(long, value_enum)]
        to: StepArg,
    },
    /// Let no further device begin. `rollout` goes on.
    Pause {
        /// The release's name, or its beginning.
        release: String,
        /// Which hardware; all of the release's if not given.
        #[arg(long, value_name = "ID")]
        hardware: Option<HardwareId>,
    },
    /// Stop a release for good.
    Abort {
        /// The release's name, or its beginning.
        release: String,
    },
    /// What the ledger says about releases, every proof checked.
    Status {
        /// Only this release: its name, or its beginning.
        release: Option<String>,
    },
    /// Forget what this box has kept about releases, if `doctor` finds it damaged: the ledger tells it again.
    Relearn,
}

/// Arguments of `firmware init`.
#[derive(Debug, Args)]
pub struct PublisherArgs {
    /// Folder for keys and settings.
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// The publisher's name in the ledger, for good.
    #[arg(long)]
    pub name: DeviceId,
    /// HOST:PORT of the ledger's ingest.
    #[arg(long, value_name = "ADDRESS")]
    pub ledger: String,
    /// The ledger's X25519 public key (`channel.pub`), 64 hexadecimal digits.
    #[arg(long, value_name = "HEX")]
    pub ledger_key: String,
    /// C2SP policy that names the ledger's key.
    #[arg(long, value_name = "FILE")]
    pub ledger_policy: PathBuf,
    /// The first release policy.
    #[arg(long, value_name = "FILE")]
    pub release_policy: PathBuf,
}

/// `firmware key ...`
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a release key. Its public half is shown, and written beside it as .pub; the key stays with its owner.
    New {
        /// Where to write it; it must not exist.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// The public half of a release key.
    Show {
        /// The key's file.
        file: PathBuf,
    },
}

/// `firmware policy ...`
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Write down a release policy for its signers.
    New {
        /// How many signatures a release needs.
        #[arg(long)]
        threshold: u8,
        /// A public key: 64 hexadecimal digits, or the .pub file; once for each.
        #[arg(long = "key", value_name = "KEY", required = true)]
        keys: Vec<String>,
        /// Accept that a threshold of one lets one thief of one key release firmware.
        #[arg(long)]
        single: bool,
        /// The policy in force, which this one is to follow.
        #[arg(long, value_name = "FILE")]
        after: Option<PathBuf>,
        /// Where to write it; it must not exist.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Add one signature. Enough of its own keys must sign, and enough of the policy in force.
    Sign {
        /// The policy; the signature is added to this file.
        file: PathBuf,
        /// File of a release key.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
    /// What it says, and who has signed it.
    Show {
        /// The policy.
        file: PathBuf,
    },
}

/// Arguments of `firmware draft`.
#[derive(Debug, Args)]
pub struct DraftArgs {
    /// The bytes: a sensor's image or a RAUC bundle.
    pub content: PathBuf,
    /// What it is for.
    #[arg(long, value_enum)]
    pub target: TargetArg,
    /// What is updated, e.g. strap-firmware.
    #[arg(long, value_name = "NAME")]
    pub component: Component,
    /// Hardware it runs on; once for each.
    #[arg(long, value_name = "ID", required = true)]
    pub hardware: Vec<HardwareId>,
    /// Its version, e.g. 1.4.0.
    #[arg(long = "release-version", value_name = "VERSION")]
    pub version: Version,
    /// Its security counter: higher than before if it mends a weakness, never lower.
    #[arg(long)]
    pub counter: u32,
    /// Only over this version or a later one.
    #[arg(long, value_name = "VERSION")]
    pub from: Option<Version>,
    /// Last day on which somebody may begin to install it, e.g. 2027-06-30 (UTC).
    #[arg(long, value_name = "DATE", value_parser = day)]
    pub expires: pitchside_model::Timestamp,
    /// Where to write it; it must not exist.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// What a release is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TargetArg {
    /// A sensor's image.
    Sensor,
    /// A RAUC bundle for the box itself.
    Box,
}

/// A step of a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StepArg {
    /// The first few.
    #[value(name = "1")]
    One,
    /// A tenth.
    #[value(name = "10")]
    Ten,
    /// All.
    #[value(name = "100")]
    All,
}

/// Reads `2027-06-30`; gives the end of that day.
fn day(text: &str) -> Result<pitchside_model::Timestamp, String> {
    let bad = || format!("'{text}' is not a date; write e.g. 2027-06-30");
    let mut parts = text.splitn(3, '-').map(|part| part.parse::<i64>().ok().filter(|_| part.len() >= 2));
    let (Some(Some(year)), Some(Some(month)), Some(Some(day))) = (parts.next(), parts.next(), parts.next()) else {
        return Err(bad());
    };
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return Err(bad());
    }
    // Days since 1970-01-01 in the proleptic Gregorian calendar, counted in years that begin in March.
    let (years, months) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, of_era) = (years.div_euclid(400), years.rem_euclid(400));
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + (153 * months + 2) / 5 + day - 1 - 719_468;
    let end = pitchside_model::Timestamp::from_seconds((days + 1) * 86_400 - 1);
    // A day that is not in the calendar (30 February) comes out as another one.
    if end.to_string().starts_with(text) { Ok(end) } else { Err(bad()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_read_and_those_not_in_the_calendar_are_refused() {
        for good in ["1970-01-01", "2028-02-29", "2026-12-31", "2027-06-30"] {
            assert_eq!(day(good).unwrap().to_string(), format!("{good}T23:59:59.000Z"));
        }
        for bad in ["2027-02-29", "2027-6-30", "2027-13-01", "27-01-01", "2027-01", "2027-01-32", "-1-01-01", "soon"] {
            assert!(day(bad).is_err(), "{bad}");
        }
    }
}
