//! Firmware on its way through this box: releases the ledger has proven, their contents, and who may have them now.
//!
//! | module | holds |
//! | --- | --- |
//! | [`shelf`] | what stands ready for a device or the box: start here |
//! | [`devices`] | the desk that sensors speak to, and who sits at it |
//! | `offers` | who is offered what, and when not |
//! | `pulls` | bytes, paced, of what was offered |
//! | [`reports`] | what became of it; failures stop a release |
//! | [`vitals`] | who trains, how full batteries are |
//! | `proofs`, `pace` | hashes of groups; how much and how often |
//!
//! A device is offered what [`Shelf::choose`] gives, reads it with [`Shelf::read`], and is asked about again with
//! [`Shelf::accept`] while it reads: a halt that comes in between ends it.

pub mod devices;
mod offers;
mod pace;
mod proofs;
mod pulls;
pub mod reports;
pub mod shelf;
pub mod vitals;

pub use devices::{Desk, DeskParts, Door, Halter, Heard};
pub use shelf::{Offer, ReadError, Shelf};
