//! Two endpoints on a simulated clock: a device, and the least gateway that keeps the protocol's promises.

mod chaos;
mod gateway;
mod plain;
