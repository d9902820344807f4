//! Who is told of alerts, and when: pure, with every time passed in. `pipeline::delivery` does what is decided here.
//!
//! | module | decides |
//! | --- | --- |
//! | [`escalation`] | when an alert that nobody has acknowledged goes a level higher |
//! | [`quiet`] | whether hours are quiet, and until when |
//! | [`route`] | whether an output hears of a step, hears of it later, or never |
//! | [`drill`] | when the alert path is proven, and whether it was |

pub mod drill;
pub mod escalation;
pub mod quiet;
pub mod route;
