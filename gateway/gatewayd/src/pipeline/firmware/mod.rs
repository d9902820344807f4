//! Firmware on its way through this box: releases the ledger has proven, their contents, and who may have them now.
//!
//! | module | holds |
//! | --- | --- |
//! | [`shelf`] | what stands ready for a device or the box: start here |
//!
//! A device is offered what [`Shelf::choose`] gives, reads it with [`Shelf::read`], and is asked about again with
//! [`Shelf::accept`] while it reads: a halt that comes in between ends it.

pub mod shelf;

pub use shelf::{Offer, ReadError, Shelf};
