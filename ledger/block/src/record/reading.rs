//! A reading as deterministic CBOR: a map with keys 1 to 13, key 3 only if it is somebody's.

use minicbor::Decoder;
use minicbor::decode::Error;
use pitchside_model::reading::WAVE_SAMPLES_MAX;
use pitchside_model::{
    Assurance, AthleteId, Decimal, DeviceId, Epoch, Gap, GapReason, Quality, Quantity, Reading, Seq, Timestamp, Unit,
    Value, Wave,
};

use crate::cbor::{Writer, array, key};

pub(super) const KIND: u64 = 1;

/// A reading and where it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadingRecord {
    /// Who sent it.
    pub device: DeviceId,
    /// Whose it is, if the device was assigned.
    pub athlete: Option<AthleteId>,
    /// How sure the gateway was who sent it.
    pub assurance: Assurance,
    /// The device's message count.
    pub epoch: Epoch,
    /// The message's number.
    pub seq: Seq,
    /// Position among the readings of that message, from 0.
    pub item: u32,
    /// What it says.
    pub reading: Reading,
}

/// The same, borrowed from a batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReadingRef<'a> {
    /// Who sent it.
    pub device: &'a DeviceId,
    /// Whose it is, if the device was assigned.
    pub athlete: Option<&'a AthleteId>,
    /// How sure the gateway was who sent it.
    pub assurance: Assurance,
    /// The device's message count.
    pub epoch: Epoch,
    /// The message's number.
    pub seq: Seq,
    /// Position among the readings of that message, from 0.
    pub item: u32,
    /// What it says.
    pub reading: &'a Reading,
}

impl ReadingRecord {
    /// Borrowed.
    pub const fn as_ref(&self) -> ReadingRef<'_> {
        ReadingRef {
            device: &self.device,
            athlete: self.athlete.as_ref(),
            assurance: self.assurance,
            epoch: self.epoch,
            seq: self.seq,
            item: self.item,
            reading: &self.reading,
        }
    }
}

impl ReadingRef<'_> {
    /// Appends the canonical bytes.
    pub fn write(&self, out: &mut Writer) {
        let reading = self.reading;
        out.map(if self.athlete.is_some() { 13 } else { 12 });
        out.uint(1).uint(KIND).uint(2).text(self.device.as_str());
        if let Some(athlete) = self.athlete {
            out.uint(3).text(athlete.as_str());
        }
        out.uint(4).uint(self.assurance as u64).uint(5).uint(self.epoch.0).uint(6).uint(self.seq.0);
        out.uint(7).uint(u64::from(self.item));
        out.uint(8).uint(u64::from(reading.quantity.code())).uint(9).uint(u64::from(reading.unit.code()));
        out.uint(10).int(reading.device_time.0).uint(11).int(reading.gateway_time.0);
        out.uint(12).uint(u64::from(reading.quality.bits())).uint(13);
        match &reading.value {
            Value::Number(number) => {
                out.array(3).uint(0).int(number.mantissa).int(i64::from(number.exponent));
            }
            Value::Wave(wave) => {
                out.array(5).uint(1).uint(wave.period_ns).int(i64::from(wave.exponent)).int(i64::from(wave.offset));
                out.array(wave.samples.len() as u64);
                for sample in &wave.samples {
                    out.int(i64::from(*sample));
                }
            }
            Value::Gap(gap) => {
                out.array(3).uint(2).uint(gap.reason as u64).uint(gap.extent);
            }
        }
    }
}

fn value(input: &mut Decoder<'_>) -> Result<Value, Error> {
    match (array(input)?, input.u64()?) {
        (3, 0) => {
            let (mantissa, exponent) = (input.i64()?, input.i8()?);
            Ok(Value::Number(Decimal { mantissa, exponent }))
        }
        (5, 1) => {
            let (period_ns, exponent, offset) = (input.u64()?, input.i8()?, input.i32()?);
            let count = array(input)?;
            if count > WAVE_SAMPLES_MAX as u64 {
                return Err(Error::message("too many samples"));
            }
            let samples = (0..count).map(|_| input.i32()).collect::<Result<_, _>>()?;
            Ok(Value::Wave(Box::new(Wave { period_ns, exponent, offset, samples })))
        }
        (3, 2) => {
            let reason = GapReason::from_code(input.u8()?).ok_or_else(|| Error::message("unknown gap reason"))?;
            Ok(Value::Gap(Gap { reason, extent: input.u64()? }))
        }
        _ => Err(Error::message("unknown kind of value")),
    }
}

pub(super) fn device(input: &mut Decoder<'_>) -> Result<DeviceId, Error> {
    DeviceId::parse(input.str()?).map_err(|_| Error::message("not a device id"))
}

pub(super) fn athlete(input: &mut Decoder<'_>) -> Result<AthleteId, Error> {
    AthleteId::parse(input.str()?).map_err(|_| Error::message("not an athlete id"))
}

pub(super) fn quantity(input: &mut Decoder<'_>) -> Result<Quantity, Error> {
    Quantity::from_code(input.u16()?).ok_or_else(|| Error::message("unknown quantity"))
}

pub(super) fn unit(input: &mut Decoder<'_>) -> Result<Unit, Error> {
    Unit::from_code(input.u8()?).ok_or_else(|| Error::message("unknown unit"))
}

/// The pairs after the kind.
pub(super) fn read(input: &mut Decoder<'_>, pairs: u64) -> Result<ReadingRecord, Error> {
    if pairs != 12 && pairs != 13 {
        return Err(Error::message("wrong number of fields"));
    }
    key(input, 2)?;
    let device = device(input)?;
    let athlete = if pairs == 13 {
        key(input, 3)?;
        Some(athlete(input)?)
    } else {
        None
    };
    key(input, 4)?;
    let assurance = Assurance::from_code(input.u8()?).ok_or_else(|| Error::message("unknown assurance"))?;
    key(input, 5)?;
    let epoch = Epoch(input.u64()?);
    key(input, 6)?;
    let seq = Seq(input.u64()?);
    key(input, 7)?;
    let item = input.u32()?;
    key(input, 8)?;
    let quantity = quantity(input)?;
    key(input, 9)?;
    let unit = unit(input)?;
    key(input, 10)?;
    let device_time = Timestamp(input.i64()?);
    key(input, 11)?;
    let gateway_time = Timestamp(input.i64()?);
    key(input, 12)?;
    let quality = Quality::from_bits(input.u8()?).ok_or_else(|| Error::message("unknown quality bits"))?;
    key(input, 13)?;
    let value = value(input)?;
    let reading = Reading { quantity, unit, device_time, gateway_time, quality, value };
    Ok(ReadingRecord { device, athlete, assurance, epoch, seq, item, reading })
}
