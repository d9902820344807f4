//! What a decoder keeps of a device, as bytes: the child writes and reads them, the parent holds them and never looks inside.
//!
//! ```text
//! kept   = *( name value )                    the declared fields, in the manifest's order
//! name   = length u16 LE, UTF-8
//! value  = 00                                 nothing
//!        / 01 / 02                            false, true
//!        / 03 i64 LE / 04 f64 LE              numbers
//!        / 05 i64 LE i8                       a decimal: mantissa, exponent
//!        / 06 length u32 LE UTF-8             a text
//!        / 07 length u32 LE bytes             a blob
//!        / 08 count u32 LE *value             a list
//!        / 09 count u32 LE *( name value )    a map, in order of the names
//! ```
//! What does not read so, or a field that is of another kind now, is as if it had never been kept: another version of the
//! plugin may declare other fields.

use pitchside_model::Decimal;
use pitchside_script::manifest::{KEPT_BYTES_MAX, Kept, Plain};
use rhai::{Array, Blob, Dynamic, Map};
use serde::{Deserialize, Serialize};

use crate::error::{Fault, Text};

/// How deep lists and maps may be nested in a field.
pub const DEPTH_MAX: usize = 8;
/// The longest name of a field or in a map.
const NAME_BYTES_MAX: usize = 512;

/// Why what a script would keep is not kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unkept {
    /// More bytes than [`KEPT_BYTES_MAX`].
    TooLarge,
    /// Nested deeper than [`DEPTH_MAX`].
    TooDeep,
    /// A kind that is not kept, or another than the field's.
    Kind(String),
}

impl Unkept {
    /// The same as one of a payload's faults.
    pub fn fault(&self) -> Fault {
        match self {
            Self::TooLarge => Fault::StateTooLarge(KEPT_BYTES_MAX),
            Self::TooDeep => Fault::StateTooDeep(DEPTH_MAX),
            Self::Kind(kind) => Fault::StateKind(Text::from(kind.as_str())),
        }
    }
}

/// The first value of a field, for a script.
pub fn first(kept: &Kept) -> Dynamic {
    match kept {
        Kept::List => Dynamic::from_array(Array::new()),
        Kept::Map => Dynamic::from_map(Map::new()),
        Kept::Plain(Plain::Nothing) => Dynamic::UNIT,
        Kept::Plain(Plain::Bool(value)) => Dynamic::from_bool(*value),
        Kept::Plain(Plain::Integer(value)) => Dynamic::from_int(*value),
        Kept::Plain(Plain::Float(value)) => Dynamic::from_float(*value),
        Kept::Plain(Plain::Text(value)) => value.as_str().into(),
    }
}

/// Whether a value is of the field's kind.
fn is_of(kept: &Kept, value: &Dynamic) -> bool {
    match kept {
        Kept::List => value.is_array(),
        Kept::Map => value.is_map(),
        Kept::Plain(Plain::Nothing) => value.is_unit(),
        Kept::Plain(Plain::Bool(_)) => value.is_bool(),
        Kept::Plain(Plain::Integer(_)) => value.is_int(),
        Kept::Plain(Plain::Float(_)) => value.is_float(),
        Kept::Plain(Plain::Text(_)) => value.is_string(),
    }
}

/// Fields to bytes.
pub fn write<'a>(fields: impl Iterator<Item = (&'a str, &'a Kept, &'a Dynamic)>) -> Result<Vec<u8>, Unkept> {
    let mut writer = Writer(Vec::new());
    for (name, kept, value) in fields {
        if !is_of(kept, value) {
            return Err(Unkept::Kind(format!("{name}: {}", value.type_name())));
        }
        writer.name(name)?;
        writer.value(value, DEPTH_MAX)?;
    }
    Ok(writer.0)
}

/// Bytes to the fields that are declared, each at its first value if it is not among them or of another kind.
pub fn read(bytes: &[u8], declared: &[(String, Kept)]) -> Vec<Dynamic> {
    let mut fields: Vec<Dynamic> = declared.iter().map(|(_, kept)| first(kept)).collect();
    let mut reader = Reader(bytes);
    while !reader.0.is_empty() {
        let Some((name, value)) = reader.name().and_then(|name| Some((name, reader.value(DEPTH_MAX)?))) else { break };
        let field = declared.iter().zip(&mut fields).find(|((known, kept), _)| *known == name && is_of(kept, &value));
        if let Some((_, field)) = field {
            *field = value;
        }
    }
    fields
}

struct Writer(Vec<u8>);

impl Writer {
    /// Never writes more than is kept, however large the value is.
    fn put(&mut self, bytes: &[u8]) -> Result<(), Unkept> {
        if self.0.len() + bytes.len() > KEPT_BYTES_MAX {
            return Err(Unkept::TooLarge);
        }
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn tagged(&mut self, tag: u8, bytes: &[u8]) -> Result<(), Unkept> {
        self.put(&[tag])?;
        self.put(bytes)
    }

    fn count(&mut self, tag: u8, count: usize) -> Result<(), Unkept> {
        let count = u32::try_from(count).map_err(|_| Unkept::TooLarge)?;
        self.tagged(tag, &count.to_le_bytes())
    }

    fn name(&mut self, name: &str) -> Result<(), Unkept> {
        let length = u16::try_from(name.len()).ok().filter(|_| name.len() <= NAME_BYTES_MAX);
        self.put(&length.ok_or(Unkept::TooLarge)?.to_le_bytes())?;
        self.put(name.as_bytes())
    }

    fn value(&mut self, value: &Dynamic, depth: usize) -> Result<(), Unkept> {
        let kind = || Unkept::Kind(value.type_name().to_owned());
        if value.is_unit() {
            self.put(&[0])
        } else if let Ok(value) = value.as_bool() {
            self.put(&[1 + u8::from(value)])
        } else if let Ok(value) = value.as_int() {
            self.tagged(3, &value.to_le_bytes())
        } else if let Ok(number) = value.as_float() {
            if number.is_finite() { self.tagged(4, &number.to_le_bytes()) } else { Err(kind()) }
        } else if let Some(value) = value.read_lock::<Decimal>() {
            self.tagged(5, &value.mantissa.to_le_bytes())?;
            self.put(&value.exponent.to_le_bytes())
        } else if let Ok(text) = value.as_immutable_string_ref() {
            self.count(6, text.len())?;
            self.put(text.as_bytes())
        } else if let Ok(blob) = value.as_blob_ref() {
            self.count(7, blob.len())?;
            self.put(&blob)
        } else if let Ok(list) = value.as_array_ref() {
            let deeper = depth.checked_sub(1).ok_or(Unkept::TooDeep)?;
            self.count(8, list.len())?;
            list.iter().try_for_each(|item| self.value(item, deeper))
        } else if let Ok(map) = value.as_map_ref() {
            let deeper = depth.checked_sub(1).ok_or(Unkept::TooDeep)?;
            self.count(9, map.len())?;
            map.iter().try_for_each(|(name, item)| {
                self.name(name)?;
                self.value(item, deeper)
            })
        } else {
            Err(kind())
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn count(&mut self) -> Option<usize> {
        usize::try_from(u32::from_le_bytes(self.array()?)).ok()
    }

    fn name(&mut self) -> Option<&'a str> {
        let length = u16::from_le_bytes(self.array()?);
        std::str::from_utf8(self.take(usize::from(length))?).ok()
    }

    fn value(&mut self, depth: usize) -> Option<Dynamic> {
        let [tag] = self.array()?;
        Some(match tag {
            0 => Dynamic::UNIT,
            1 => Dynamic::FALSE,
            2 => Dynamic::TRUE,
            3 => Dynamic::from_int(i64::from_le_bytes(self.array()?)),
            4 => Dynamic::from_float(f64::from_le_bytes(self.array()?)),
            5 => Dynamic::from(Decimal::new(i64::from_le_bytes(self.array()?), i8::from_le_bytes(self.array()?)).ok()?),
            6 => {
                let length = self.count()?;
                std::str::from_utf8(self.take(length)?).ok()?.into()
            }
            7 => {
                let length = self.count()?;
                Dynamic::from_blob(Blob::from(self.take(length)?))
            }
            8 => {
                let (count, deeper) = (self.count()?, depth.checked_sub(1)?);
                let mut list = Array::new();
                for _ in 0..count {
                    list.push(self.value(deeper)?);
                }
                Dynamic::from_array(list)
            }
            9 => {
                let (count, deeper) = (self.count()?, depth.checked_sub(1)?);
                let mut map = Map::new();
                for _ in 0..count {
                    map.insert(self.name()?.into(), self.value(deeper)?);
                }
                Dynamic::from_map(map)
            }
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests;
