//! SenML records from CBOR (RFC 8428, 6).

use std::borrow::Cow;

use minicbor::Decoder;
use minicbor::data::Type;

use super::record::{Record, Source, Written, once};
use crate::error::{Fault, Text};
use crate::number::Number;

/// Labels by their CBOR number, as RFC 8428, table 4 has them.
const LABELS: [(i64, &str); 15] = [
    (-6, "bs"),
    (-5, "bv"),
    (-4, "bu"),
    (-3, "bt"),
    (-2, "bn"),
    (-1, "bver"),
    (0, "n"),
    (1, "u"),
    (2, "v"),
    (3, "vs"),
    (4, "vb"),
    (5, "s"),
    (6, "t"),
    (7, "ut"),
    (8, "vd"),
];

/// A pack in CBOR.
#[derive(Debug)]
pub struct Pack<'a> {
    decoder: Decoder<'a>,
    left: u64,
}

impl<'a> Pack<'a> {
    /// Begins a pack: an array of definite length.
    pub fn new(bytes: &'a [u8]) -> Result<Self, Fault> {
        let mut decoder = Decoder::new(bytes);
        match decoder.datatype() {
            Ok(Type::Array) => {}
            Ok(Type::ArrayIndef) => return Err(Fault::Indefinite),
            Ok(_) => return Err(Fault::NotAPack),
            Err(_) => return Err(Fault::BadCbor),
        }
        let left = decoder.array().map_err(bad)?.ok_or(Fault::Indefinite)?;
        Ok(Self { decoder, left })
    }
}

impl<'a> Source<'a> for Pack<'a> {
    fn next_record(&mut self) -> Result<Option<Record<'a>>, Fault> {
        let decoder = &mut self.decoder;
        if self.left == 0 {
            return if decoder.position() == decoder.input().len() { Ok(None) } else { Err(Fault::Trailing) };
        }
        self.left -= 1;
        let mut record = Record::default();
        match decoder.datatype().map_err(bad)? {
            Type::Map => {
                for _ in 0..decoder.map().map_err(bad)?.unwrap_or(0) {
                    field(decoder, &mut record)?;
                }
            }
            Type::MapIndef => {
                decoder.map().map_err(bad)?;
                while decoder.datatype().map_err(bad)? != Type::Break {
                    field(decoder, &mut record)?;
                }
                decoder.skip().map_err(bad)?;
            }
            _ => return Err(Fault::NotAPack),
        }
        Ok(Some(record))
    }
}

fn bad(_: minicbor::decode::Error) -> Fault {
    Fault::BadCbor
}

fn field<'a>(decoder: &mut Decoder<'a>, record: &mut Record<'a>) -> Result<(), Fault> {
    let label = match decoder.datatype().map_err(bad)? {
        Type::U8 | Type::U16 | Type::U32 | Type::U64 | Type::I8 | Type::I16 | Type::I32 | Type::I64 | Type::Int => {
            i128::from(decoder.int().map_err(bad)?)
        }
        Type::String => return text_label(decoder),
        Type::StringIndef => return Err(Fault::Indefinite),
        _ => return Err(Fault::LabelType("label")),
    };
    match label {
        0 => once(&mut record.name, text(decoder, "n")?, "n"),
        1 => once(&mut record.unit, text(decoder, "u")?, "u"),
        2 => {
            let value = number(decoder, "v")?;
            record.set_value(Written::Number(value))
        }
        3 => {
            let value = text(decoder, "vs")?;
            record.set_value(Written::Text(value))
        }
        4 => match decoder.datatype().map_err(bad)? {
            Type::Bool => record.set_value(Written::Boolean(decoder.bool().map_err(bad)?)),
            _ => Err(Fault::LabelType("vb")),
        },
        5 => once(&mut record.sum, number(decoder, "s")?, "s"),
        6 => once(&mut record.time, number(decoder, "t")?, "t"),
        7 => once(&mut record.update_time, number(decoder, "ut")?, "ut"),
        8 => match decoder.datatype().map_err(bad)? {
            Type::Bytes => record.set_value(Written::Data(Cow::Borrowed(decoder.bytes().map_err(bad)?))),
            Type::BytesIndef => Err(Fault::Indefinite),
            _ => Err(Fault::LabelType("vd")),
        },
        -1 => match decoder.datatype().map_err(bad)? {
            Type::U8 | Type::U16 | Type::U32 | Type::U64 => {
                once(&mut record.version, decoder.u64().map_err(bad)?, "bver")
            }
            _ => Err(Fault::LabelType("bver")),
        },
        -2 => once(&mut record.base_name, text(decoder, "bn")?, "bn"),
        -3 => once(&mut record.base_time, number(decoder, "bt")?, "bt"),
        -4 => once(&mut record.base_unit, text(decoder, "bu")?, "bu"),
        -5 => once(&mut record.base_value, number(decoder, "bv")?, "bv"),
        -6 => once(&mut record.base_sum, number(decoder, "bs")?, "bs"),
        // Fields that are not recognised are ignored (RFC 8428, 4.4).
        _ => skip(decoder),
    }
}

/// A label written as text is an extension: ignored, unless it must be understood, or is a known one in the wrong form.
fn text_label(decoder: &mut Decoder<'_>) -> Result<(), Fault> {
    let label = utf8(decoder)?;
    if label.ends_with('_') {
        return Err(Fault::MustUnderstand(Text::from(label)));
    }
    if let Some((_, known)) = LABELS.iter().find(|(_, known)| *known == label) {
        return Err(Fault::TextLabel(known));
    }
    skip(decoder)
}

fn utf8<'a>(decoder: &mut Decoder<'a>) -> Result<&'a str, Fault> {
    decoder.str().map_err(|error| if error.is_end_of_input() { Fault::BadCbor } else { Fault::BadUtf8 })
}

/// Passes over a value nobody asked for.
fn skip(decoder: &mut Decoder<'_>) -> Result<(), Fault> {
    if decoder.datatype().map_err(bad)? == Type::Break {
        return Err(Fault::BadCbor);
    }
    decoder.skip().map_err(bad)
}

fn text<'a>(decoder: &mut Decoder<'a>, label: &'static str) -> Result<Cow<'a, str>, Fault> {
    match decoder.datatype().map_err(bad)? {
        Type::String => utf8(decoder).map(Cow::Borrowed),
        Type::StringIndef => Err(Fault::Indefinite),
        _ => Err(Fault::LabelType(label)),
    }
}

/// An integer, a float of any width, or a decimal fraction (tag 4).
fn number(decoder: &mut Decoder<'_>, label: &'static str) -> Result<Number, Fault> {
    match decoder.datatype().map_err(bad)? {
        Type::U8 | Type::U16 | Type::U32 | Type::U64 | Type::I8 | Type::I16 | Type::I32 | Type::I64 | Type::Int => {
            Ok(Number::from_integer(i128::from(decoder.int().map_err(bad)?)))
        }
        Type::F64 => Number::from_f64(decoder.f64().map_err(bad)?).ok_or(Fault::NotFinite),
        Type::F32 => Number::from_f64(f64::from(decoder.f32().map_err(bad)?)).ok_or(Fault::NotFinite),
        Type::F16 => {
            let at = decoder.position() + 1;
            let bits = decoder.input().get(at..at + 2).and_then(|b| b.try_into().ok()).ok_or(Fault::BadCbor)?;
            decoder.set_position(at + 2);
            Number::from_f16(u16::from_be_bytes(bits)).ok_or(Fault::NotFinite)
        }
        Type::Tag => fraction(decoder, label),
        _ => Err(Fault::LabelType(label)),
    }
}

fn fraction(decoder: &mut Decoder<'_>, label: &'static str) -> Result<Number, Fault> {
    if decoder.tag().map_err(bad)?.as_u64() != 4 {
        return Err(Fault::LabelType(label));
    }
    if decoder.array().map_err(bad)? != Some(2) {
        return Err(Fault::LabelType(label));
    }
    let exponent = decoder.int().map_err(|_| Fault::LabelType(label))?;
    let mantissa = decoder.int().map_err(|_| Fault::LabelType(label))?;
    let exponent = i64::try_from(i128::from(exponent)).map_err(|_| Fault::Range)?;
    Number::from_fraction(i128::from(mantissa), exponent).ok_or(Fault::Range)
}
