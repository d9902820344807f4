//! `pitchside backup`.

use anyhow::Context as _;
use ledger_block::GatewayKey;
use pitchside_seal::AthleteKeys as _;
use serde::Serialize;

use super::args::{BackupCommand, ConfigArg};
use super::output::{self, Output};
use super::{Failure, Outcome, context};
use crate::adapters::athletes::{copy, load_ring};
use crate::backup::envelope::EnvelopeError;
use crate::backup::{RecoveryKey, RecoveryPublicFile, RestorePlan};
use crate::clock::Clock;
use crate::files::write_secret;

#[derive(Serialize)]
struct NewKey<'a> {
    copies: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    recovery_key: Option<&'a str>,
}

/// `pitchside backup`.
pub fn backup(command: &BackupCommand, config: &ConfigArg, output: &Output) -> Outcome {
    match command {
        BackupCommand::Create { file } => {
            let context = context::open(config)?;
            let written = crate::backup::create(&context, file, Clock::System.now())?;
            tell(&written.left_out);
            output.print(&written, |w| {
                format!(
                    "{}: {} devices, {} athletes (no keys), {} users, {} plugins, {} files, {} bytes. Only the recovery key opens it.",
                    file.display(),
                    w.devices,
                    w.athletes,
                    w.users,
                    w.plugins,
                    w.files,
                    w.bytes
                )
            })?;
        }
        BackupCommand::Verify { file, recovery_key } => {
            let key = recovery_key.as_deref().map(RecoveryKey::read).transpose()?;
            let checked = crate::backup::verify(file, key.as_ref()).map_err(tampered)?;
            tell(checked.holds.as_ref().map(|holds| holds.left_out.as_slice()).unwrap_or_default());
            output.print(&checked, |c| match &c.holds {
                Some(h) => format!(
                    "ok: {} bytes; opens, and holds {} devices, {} athletes, {} users, {} plugins, {} files",
                    c.bytes, h.devices, h.athletes, h.users, h.plugins, h.files
                ),
                None => format!("ok: {} bytes as they were written; give --recovery-key to look inside", c.bytes),
            })?;
        }
        BackupCommand::Restore { file, dir, recovery_key, force } => {
            let key = RecoveryKey::read(recovery_key)?;
            let plan = RestorePlan { file, dir, key: &key, force: *force };
            let restored = crate::backup::restore(&plan, &mut |_| Ok(())).map_err(tampered)?;
            tell(&restored.left_out);
            restored.unusable.iter().for_each(|line| output::note(&format!("restored, but of no use: {line}")));
            output.print(&restored, |r| {
                let chain = if r.waits_for_ledger {
                    "Blocks are sealed once the ledger has said where the chain goes on; until then readings wait in the journal."
                } else {
                    "No ledger is configured: the chain goes on after the last block the backup knew."
                };
                let config = r.config.display();
                let before = if r.waits_for_ledger {
                    format!(
                        "What was sealed before is in the ledger, and not here. To read it, once the gateway has run: pitchside athlete recover --recovery-key FILE --config {config}, for the keys, then pitchside blocks fetch --config {config}, for the blocks"
                    )
                } else {
                    "What was sealed before is not here, and no ledger is configured to bring it back from.".to_owned()
                };
                format!(
                    "Restored {} devices, {} athletes under fresh keys, {} users, {} plugins. Devices shake hands anew.\n{chain}\nStart it with: pitchside run --config {config}\n{before}\nThe old box must never run again: two boxes of one name are evidence against each other.",
                    r.devices, r.athletes, r.users, r.plugins
                )
            })?;
        }
        BackupCommand::Key { out } => {
            let context = context::open(config)?;
            let key = RecoveryKey::make(GatewayKey::new(&context.identity.sign).id())?;
            if let Some(file) = out {
                if file.exists() {
                    return Err(Failure::Usage(format!("{} exists; name a new file", file.display())));
                }
                write_secret(file, key.to_line().as_bytes())?;
            }
            let copies = copy_all(&context, &key)?;
            // Last: from here on, new copies and backups are sealed to it.
            RecoveryPublicFile::write(context.identity.folder(), &key)?;
            let line = key.to_line();
            let recovery_key = out.is_none().then_some(line.as_str());
            output.print(&NewKey { copies, recovery_key }, |made| {
                let copies =
                    format!("{} keys are copied to it. Backups made before open with the old one only.", made.copies);
                match made.recovery_key {
                    Some(key) => format!("{key}\n{copies} Shown only now; keep it off the box."),
                    None => copies,
                }
            })?;
        }
    }
    Ok(())
}

/// What is in no backup.
fn tell(left_out: &[String]) {
    left_out.iter().for_each(|line| output::note(&format!("not in the backup: {line}")));
}

/// A copy of every key the box holds, for the ledger.
fn copy_all(context: &context::Context, key: &RecoveryKey) -> anyhow::Result<u64> {
    let public = key.secret.public();
    let mut copies = 0;
    for (whose, generation, secret) in load_ring(&context.tables, &context.identity)?.opening() {
        context.tables.add_key_copy(copy(&public, &secret, &whose, generation)?).context("keeping a copy")?;
        copies += 1;
    }
    Ok(copies)
}

/// A changed backup is a matter of its own: exit 3.
fn tampered(error: anyhow::Error) -> Failure {
    let changed =
        error.chain().any(|cause| matches!(cause.downcast_ref::<EnvelopeError>(), Some(EnvelopeError::Changed(_))));
    if changed { Failure::Tampered(format!("{error:#}")) } else { Failure::Failed(error) }
}
