//! Sensor Measurement Lists (RFC 8428) in CBOR and JSON, with the versions of RFC 9100 and the units of RFC 8798.
//!
//! | module | holds |
//! | --- | --- |
//! | [`record`] | a record as written, base values, a record as resolved |
//! | [`cbor`] | records from CBOR |
//! | [`json`] | records from JSON |
//! | [`reading`] | resolved records to readings |

pub mod cbor;
pub mod json;
pub mod reading;
pub mod record;

pub use record::{Base, Record, Resolved, Source, Written};

use crate::error::Fault;

/// Resolves every record of a pack (RFC 8428, 4.6) and hands it on; for readers other than readings. On a fault, says in
/// which record, counted from 1.
pub fn resolve<'a>(
    mut source: impl Source<'a>,
    mut each: impl FnMut(&Resolved<'_, 'a>) -> Result<(), Fault>,
) -> Result<(), (usize, Fault)> {
    let mut base = Base::default();
    let mut count = 0;
    loop {
        count += 1;
        let step = match source.next_record() {
            Ok(Some(record)) => base.resolve(record).and_then(|resolved| match resolved {
                Some(resolved) => each(&resolved),
                None => Ok(()),
            }),
            Ok(None) => return Ok(()),
            Err(fault) => Err(fault),
        };
        step.map_err(|fault| (count, fault))?;
    }
}

#[cfg(test)]
mod tests;
