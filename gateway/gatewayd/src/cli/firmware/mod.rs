//! `pitchside firmware`: from a draft to a release in the field.
//!
//! | module | commands |
//! | --- | --- |
//! | [`files`] | what lies in files: keys, release policies, releases; no network |
//! | [`publisher`] | a publisher's place |
//! | [`desk`] | talking to the ledger: what it says, proven; what is handed in |
//! | [`memory`] | what was seen of it before: no older log is believed |
//! | [`release`] | publish, rollout, pause, abort |
//! | [`status`] | what the ledger says about releases |
//! | [`relearn`] | the mend of a damaged memory of releases |
//! | [`sensors`] | and how far they are on this box's sensors |

mod desk;
mod files;
mod memory;
mod publisher;
mod relearn;
mod release;
mod sensors;
mod status;
mod upload;

use super::Outcome;
use super::args::{ConfigArg, FirmwareCommand};
use super::output::Output;

/// `pitchside firmware`.
pub fn firmware(command: &FirmwareCommand, config: &ConfigArg, output: &Output) -> Outcome {
    match command {
        FirmwareCommand::Init(args) => publisher::init(args, output),
        FirmwareCommand::Key(command) => files::key(command, output),
        FirmwareCommand::Policy(command) => files::policy(command, output),
        FirmwareCommand::Draft(args) => files::draft(args, output),
        FirmwareCommand::Sign { file, key } => files::sign(file, key, output),
        FirmwareCommand::Show { file } => files::show(file, output),
        FirmwareCommand::Publish { files, content } => release::publish(files, content.as_deref(), config, output),
        FirmwareCommand::Rollout { release, hardware, to } => release::rollout(release, hardware, *to, config, output),
        FirmwareCommand::Pause { release, hardware } => release::pause(release, hardware.as_ref(), config, output),
        FirmwareCommand::Abort { release } => release::abort(release, config, output),
        FirmwareCommand::Relearn => relearn::relearn(config, output),
        FirmwareCommand::Status { release } => status::status(release.as_deref(), config, output),
    }
}
