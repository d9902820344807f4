//! Reading CBOR fields with a bound on each.

use minicbor::Decoder;
use minicbor::data::Type;
use minicbor::decode::Error;
use pitchside_model::DeviceId;
use pitchside_model::id::NAME_BYTES_MAX;

pub(super) fn bytes(input: &mut Decoder<'_>, most: usize) -> Result<Vec<u8>, Error> {
    let bytes = input.bytes()?;
    if bytes.len() > most { Err(Error::message("byte string too long")) } else { Ok(bytes.to_vec()) }
}

pub(super) fn text(input: &mut Decoder<'_>, most: usize) -> Result<String, Error> {
    let text = input.str()?;
    if text.len() > most { Err(Error::message("text too long")) } else { Ok(text.to_owned()) }
}

pub(super) fn at_most(input: &mut Decoder<'_>, most: u64) -> Result<u64, Error> {
    let value = input.u64()?;
    if value > most { Err(Error::message("number too large")) } else { Ok(value) }
}

pub(super) fn name(input: &mut Decoder<'_>) -> Result<DeviceId, Error> {
    DeviceId::parse(&text(input, NAME_BYTES_MAX)?).map_err(|_| Error::message("not a name"))
}

/// Null, or what `read` reads.
pub(super) fn optional<'b, T>(
    input: &mut Decoder<'b>,
    read: impl FnOnce(&mut Decoder<'b>) -> Result<T, Error>,
) -> Result<Option<T>, Error> {
    if input.datatype()? == Type::Null { input.null().map(|()| None) } else { read(input).map(Some) }
}
