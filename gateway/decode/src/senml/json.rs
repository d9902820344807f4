//! SenML records from JSON (RFC 8428, 5).

use std::borrow::Cow;

use super::record::{Record, Source, Written, once};
use crate::error::{Fault, Text};
use crate::json::{Kind, Reader};
use crate::number::Number;

/// A pack in JSON.
#[derive(Debug)]
pub struct Pack<'a> {
    reader: Reader<'a>,
    begun: bool,
}

impl<'a> Pack<'a> {
    /// Begins a pack: an array.
    pub fn new(bytes: &'a [u8]) -> Result<Self, Fault> {
        let mut reader = Reader::new(bytes)?;
        match reader.kind()? {
            Kind::Array => reader.expect(b'[', "an array is expected")?,
            _ => return Err(Fault::NotAPack),
        }
        Ok(Self { reader, begun: false })
    }
}

impl<'a> Source<'a> for Pack<'a> {
    fn next_record(&mut self) -> Result<Option<Record<'a>>, Fault> {
        if self.reader.take(b']') {
            return if self.reader.is_done() { Ok(None) } else { Err(Fault::Trailing) };
        }
        if self.begun {
            self.reader.expect(b',', "',' or ']' is expected")?;
        }
        self.begun = true;
        if self.reader.kind()? != Kind::Object {
            return Err(Fault::NotAPack);
        }
        let mut record = Record::default();
        self.reader.object(|reader, label| field(reader, &label, &mut record))?;
        Ok(Some(record))
    }
}

fn field<'a>(reader: &mut Reader<'a>, label: &str, record: &mut Record<'a>) -> Result<(), Fault> {
    match label {
        "n" => once(&mut record.name, text(reader, "n")?, "n"),
        "u" => once(&mut record.unit, text(reader, "u")?, "u"),
        "v" => {
            let value = number(reader, "v")?;
            record.set_value(Written::Number(value))
        }
        "vs" => {
            let value = text(reader, "vs")?;
            record.set_value(Written::Text(value))
        }
        "vb" if reader.kind()? == Kind::Boolean => record.set_value(Written::Boolean(reader.boolean()?)),
        "vb" => Err(Fault::LabelType("vb")),
        "vd" => {
            let value = match text(reader, "vd")? {
                Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
                Cow::Owned(text) => Cow::Owned(text.into_bytes()),
            };
            record.set_value(Written::Data(value))
        }
        "s" => once(&mut record.sum, number(reader, "s")?, "s"),
        "t" => once(&mut record.time, number(reader, "t")?, "t"),
        "ut" => once(&mut record.update_time, number(reader, "ut")?, "ut"),
        "bver" => once(&mut record.version, version(reader)?, "bver"),
        "bn" => once(&mut record.base_name, text(reader, "bn")?, "bn"),
        "bt" => once(&mut record.base_time, number(reader, "bt")?, "bt"),
        "bu" => once(&mut record.base_unit, text(reader, "bu")?, "bu"),
        "bv" => once(&mut record.base_value, number(reader, "bv")?, "bv"),
        "bs" => once(&mut record.base_sum, number(reader, "bs")?, "bs"),
        _ if label.ends_with('_') => Err(Fault::MustUnderstand(Text::from(label))),
        // Fields that are not recognised are ignored (RFC 8428, 4.4).
        _ => reader.skip(),
    }
}

fn text<'a>(reader: &mut Reader<'a>, label: &'static str) -> Result<Cow<'a, str>, Fault> {
    if reader.kind()? == Kind::String { reader.string() } else { Err(Fault::LabelType(label)) }
}

fn number(reader: &mut Reader<'_>, label: &'static str) -> Result<Number, Fault> {
    if reader.kind()? != Kind::Number {
        return Err(Fault::LabelType(label));
    }
    let text = reader.number()?;
    if text.contains('E') {
        return Err(Fault::CapitalExponent);
    }
    Number::from_json(text).ok_or(Fault::Range)
}

fn version(reader: &mut Reader<'_>) -> Result<u64, Fault> {
    let number = number(reader, "bver")?;
    let whole = number.exact().ok().and_then(|d| d.mantissa_at(0)).and_then(|v| u64::try_from(v).ok());
    whole.ok_or(Fault::LabelType("bver"))
}
