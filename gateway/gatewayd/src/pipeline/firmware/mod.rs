//! Firmware on its way through this box: releases the ledger has proven, their contents, and who may have them now.
//!
//! | module | holds |
//! | --- | --- |
//! | [`shelf`] | what stands ready for a device or the box: start here |
//! | [`barred`] | what came to nothing there, or was halted here, and is not for it |
//! | [`lines`] | what this clinic has that firmware is made for |
//! | [`carrier`] | contents fetched and handed on |
//! | [`missing`] | contents that do not come, for `doctor` |
//! | [`own`] | the box's own update, and what it remembers of it |
//! | [`devices`] | the desk that sensors speak to, and who sits at it |
//! | `offers` | who is offered what, and when not |
//! | `pulls` | bytes, paced, of what was offered |
//! | [`reports`] | what became of it; failures stop a release |
//! | [`counting`] | what the ledger is told of that, and what all boxes counted |
//! | [`vitals`] | who trains, how full batteries are |
//! | `proofs`, `pace` | hashes of groups; how much and how often |
//!
//! A device says what it is: [`Shelf::seen`], so that its releases are fetched. It is offered what [`Shelf::choose`] gives, reads it with [`Shelf::read`], and is asked about again with
//! [`Shelf::accept`] while it reads: a halt that comes in between ends it.

pub mod barred;
pub mod carrier;
pub mod counting;
pub mod devices;
pub mod lines;
pub mod missing;
mod offers;
pub mod own;
mod pace;
mod proofs;
mod pulls;
pub mod reports;
pub mod shelf;
#[cfg(test)]
pub(crate) mod tests;
pub mod vitals;

use std::sync::Arc;

use pitchside_config::Settings;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::adapters::content::service_settings;

pub use devices::{Desk, DeskParts, Door, Halter, Heard};
pub use shelf::{Offer, ReadError, Shelf};

/// Starts what carries contents, what counts how updates ended and what looks after the box itself, until told to stop.
pub(super) fn start(parts: own::OwnParts, settings: &Settings, tasks: &TaskTracker, stop: &CancellationToken) {
    let own::OwnParts { shelf, store, clock, halter, .. } = &parts;
    let (shelf, halter, carried) = (Arc::clone(shelf), Arc::clone(halter), Arc::clone(shelf));
    tasks.spawn(counting::Counting { shelf, store: store.clone(), clock: clock.clone(), halter }.run(stop.clone()));
    let (gateway, image) = (&settings.gateway, &settings.firmware.box_image);
    match own::Own::open(parts, &gateway.name, image, &gateway.data_dir) {
        Ok(Some(own)) => drop(tasks.spawn(own.run(stop.clone()))),
        Ok(None) => {}
        Err(error) => tracing::error!(error = format!("{error:#}"), "the box itself is not updated"),
    }
    // After the box has said what it is: its own releases are fetched first.
    tasks.spawn(carrier::run(carried, service_settings(settings), carrier::Patience::default(), stop.clone()));
}
