//! SenML packs as a sensor writes them (RFC 8428): the first record has the base time, values are decimal fractions, so no
//! digit is added or lost. The session says who sends, so names are bare quantities.

use minicbor::Encoder;
use minicbor::data::Tag;
use pitchside_model::Decimal;

/// One record.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Record {
    /// Name of the quantity.
    pub name: &'static str,
    /// SenML unit; none for a switch.
    pub unit: Option<&'static str>,
    /// Milliseconds after the pack's time.
    pub after_ms: i64,
    /// The value.
    pub value: Decimal,
}

/// A pack in CBOR.
pub fn cbor(time_us: i64, records: &[Record]) -> Vec<u8> {
    let mut out = Vec::with_capacity(32 + records.len() * 32);
    // Writing to memory does not fail.
    let _ = write(&mut Encoder::new(&mut out), time_us, records);
    out
}

type Written = Result<(), minicbor::encode::Error<std::convert::Infallible>>;

fn write(e: &mut Encoder<&mut Vec<u8>>, time_us: i64, records: &[Record]) -> Written {
    e.array(records.len() as u64)?;
    for (i, record) in records.iter().enumerate() {
        let fields = 2 + u64::from(i == 0) + u64::from(record.unit.is_some()) + u64::from(record.after_ms != 0);
        e.map(fields)?;
        if i == 0 {
            e.i8(-3)?;
            fraction(e, Decimal { mantissa: time_us, exponent: -6 })?;
        }
        e.u8(0)?.str(record.name)?;
        if let Some(unit) = record.unit {
            e.u8(1)?.str(unit)?;
        }
        e.u8(2)?;
        fraction(e, record.value)?;
        if record.after_ms != 0 {
            e.u8(6)?;
            fraction(e, Decimal { mantissa: record.after_ms, exponent: -3 })?;
        }
    }
    Ok(())
}

/// A whole number, or a decimal fraction (RFC 8949, 3.4.4).
fn fraction(e: &mut Encoder<&mut Vec<u8>>, value: Decimal) -> Written {
    if value.exponent == 0 {
        e.i64(value.mantissa)?;
    } else {
        e.tag(Tag::new(4))?.array(2)?.i8(value.exponent)?.i64(value.mantissa)?;
    }
    Ok(())
}
