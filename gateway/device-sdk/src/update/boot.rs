//! Which slot to start: the boot loader calls this, before anything else and once each start.

use pitchside_wire::firmware::{Phase, Reason, Stage};

use super::flash::{Flash, FlashFault, Slot};
use super::record::{load, save};

/// How often an image on trial is started before the old one comes back: a power cut is not its fault, three in a row are.
pub const STARTS_MAX: u8 = 3;

/// The slot to start. An image on trial is counted before it runs, so one that hangs or resets cannot start for ever: give
/// it a watchdog.
///
/// # Errors
/// The flash failed. Start the slot the caller knows to be good, if it knows one.
pub fn choose<F: Flash>(flash: &mut F) -> Result<Slot, FlashFault> {
    let (mut record, mut place) = load(flash, Slot::A)?;
    if record.phase != Phase::Trial {
        return Ok(record.home);
    }
    let Some(left) = record.starts_left.checked_sub(1) else {
        record.failed = record.target.release;
        record.end(Stage::Failed, Reason::RETURNED);
        save(flash, &mut record, &mut place)?;
        return Ok(record.home);
    };
    record.starts_left = left;
    save(flash, &mut record, &mut place)?;
    Ok(record.home.other())
}
