//! The sensor's side, written apart from the decoders: values with what they should be read as.

use pitchside_model::{Decimal, Gap, GapReason, LinkId, Quantity, Timestamp, Value};
use proptest::prelude::*;
use proptest::strategy::LazyJust;

use crate::Tolerances;
use crate::gatt::{Context, clock};

/// A value and its meaning.
#[derive(Debug, Clone)]
pub struct Message {
    pub characteristic: u16,
    pub bytes: Vec<u8>,
    pub expected: Vec<(Quantity, Value)>,
}

pub fn context() -> Context<'static> {
    Context {
        now: super::NOW,
        tolerances: Tolerances::default(),
        link: LinkId(1),
        zone: &clock::Utc,
        wheel_mm: Some(2_100),
    }
}

fn number(mantissa: i64, exponent: i8) -> Value {
    Value::Number(Decimal { mantissa, exponent })
}

fn gap(reason: GapReason) -> Value {
    Value::Gap(Gap { reason, extent: 0 })
}

/// A medical float of 16 or 32 bits with what it means.
type Medical = (Vec<u8>, Value);

fn sfloat() -> impl Strategy<Value = Medical> {
    let numbers = (-2045i16..=2045, -8i16..=7).prop_map(|(mantissa, exponent)| {
        let raw = exponent << 12 | mantissa & 0x0fff;
        (raw.to_le_bytes().to_vec(), number(i64::from(mantissa), exponent as i8))
    });
    let specials = prop::sample::select(vec![0x07ffu16, 0x0800, 0x07fe, 0x0802])
        .prop_map(|raw| (raw.to_le_bytes().to_vec(), gap(GapReason::Invalid)));
    prop_oneof![4 => numbers, 1 => specials]
}

fn float() -> impl Strategy<Value = Medical> {
    let numbers = (-8_388_605i32..=8_388_605, -18i32..=18).prop_map(|(mantissa, exponent)| {
        let raw = exponent << 24 | mantissa & 0x00ff_ffff;
        (raw.to_le_bytes().to_vec(), number(i64::from(mantissa), exponent as i8))
    });
    let specials = prop::sample::select(vec![0x007f_ffffu32, 0x0080_0000, 0x007f_fffe, 0x0080_0002])
        .prop_map(|raw| (raw.to_le_bytes().to_vec(), gap(GapReason::Invalid)));
    prop_oneof![4 => numbers, 1 => specials]
}

fn heart() -> impl Strategy<Value = Message> {
    let rate = prop_oneof![(1u16..256).prop_map(|r| (false, r)), (1u16..).prop_map(|r| (true, r))];
    let intervals = prop::option::of(prop::collection::vec(any::<u16>(), 0..9));
    (rate, 0u8..4, prop::option::of(any::<u16>()), intervals).prop_map(|((wide, rate), contact, energy, intervals)| {
        let flag = |on: bool, bit: u8| u8::from(on) << bit;
        let mut bytes = vec![
            flag(wide, 0) | contact << 1 | flag(energy.is_some(), 3) | flag(intervals.is_some(), 4),
            rate.to_le_bytes()[0],
        ];
        bytes.extend(wide.then_some(rate.to_le_bytes()[1]));
        bytes.extend(energy.into_iter().flat_map(u16::to_le_bytes));
        bytes.extend(intervals.iter().flatten().flat_map(|raw| raw.to_le_bytes()));
        let mut expected = Vec::new();
        if contact & 2 != 0 {
            expected.push((Quantity::SKIN_CONTACT, number(i64::from(contact & 1), 0)));
        }
        let off = contact == 2;
        let lost = || gap(GapReason::ContactLost);
        expected.push((Quantity::HEART_RATE, if off { lost() } else { number(i64::from(rate), 0) }));
        expected.extend(energy.map(|kj| (Quantity::ENERGY_EXPENDED, number(i64::from(kj), 0))));
        match (off, intervals) {
            (true, Some(_)) => expected.push((Quantity::RR_INTERVAL, lost())),
            (false, Some(all)) => expected.extend(all.iter().map(|raw| {
                let value = match raw {
                    0 => gap(GapReason::Invalid),
                    raw => number(i64::from(*raw) * 1_000 * 10_000_000 / 1_024, -7),
                };
                (Quantity::RR_INTERVAL, value)
            })),
            (_, None) => {}
        }
        Message { characteristic: 0x2a37, bytes, expected }
    })
}

/// The date of [`super::NOW`].
fn date() -> [u8; 7] {
    assert_eq!(super::NOW, Timestamp::from_seconds(1_800_000_000));
    [0xeb, 0x07, 1, 15, 8, 0, 0]
}

/// What a number in another unit means in ours: `(theirs - zero) * over / under`, to one digit more, reckoned in doubles. Only of
/// numbers so small that a double holds all of their digits.
fn elsewhere(value: Value, zero: f64, over: f64, under: f64) -> Value {
    let Value::Number(theirs) = value else { return value };
    let exponent = theirs.exponent.min(0) - 1;
    let ours = (theirs.to_f64() - zero) * over / under;
    number((ours * 10f64.powi(-i32::from(exponent))).round() as i64, exponent)
}

/// Numbers as thermometers and cuffs write them, and the special values.
fn small(written: impl Fn(i64, i8) -> Vec<u8>, nan: Vec<u8>) -> impl Strategy<Value = Medical> {
    let numbers = (-2_045i64..=2_045, -3i8..=0)
        .prop_map(move |(mantissa, exponent)| (written(mantissa, exponent), number(mantissa, exponent)));
    prop_oneof![8 => numbers, 1 => Just((nan, gap(GapReason::Invalid)))]
}

fn fahrenheit() -> impl Strategy<Value = Message> {
    let written =
        |mantissa: i64, exponent: i8| ((exponent as u32) << 24 | mantissa as u32 & 0x00ff_ffff).to_le_bytes().to_vec();
    small(written, vec![0xff, 0xff, 0x7f, 0]).prop_map(|(raw, value)| Message {
        characteristic: 0x2a1c,
        bytes: [vec![1], raw].concat(),
        expected: vec![(Quantity::BODY_TEMPERATURE, elsewhere(value, 32.0, 5.0, 9.0))],
    })
}

fn kilopascals() -> impl Strategy<Value = Message> {
    let written =
        |mantissa: i64, exponent: i8| ((exponent as u16) << 12 | mantissa as u16 & 0x0fff).to_le_bytes().to_vec();
    small(written, vec![0xff, 7]).prop_map(|(raw, value)| Message {
        characteristic: 0x2a36,
        bytes: [vec![1], raw, vec![0xff, 7, 0xff, 7]].concat(),
        expected: vec![(Quantity::CUFF_PRESSURE, elsewhere(value, 0.0, 1_000.0, 133.322))],
    })
}

fn thermometer() -> impl Strategy<Value = Message> {
    (float(), any::<bool>(), prop::option::of(1u8..=9), any::<bool>()).prop_map(
        |((raw, value), dated, site, settled)| {
            let mut bytes = vec![u8::from(dated) << 1 | u8::from(site.is_some()) << 2];
            bytes.extend(raw);
            bytes.extend(dated.then(date).into_iter().flatten());
            bytes.extend(site);
            let quantity = match site {
                _ if !settled => Quantity::INTERMEDIATE_TEMPERATURE,
                Some(5 | 7) => Quantity::CORE_TEMPERATURE,
                Some(4 | 8) => Quantity::SKIN_TEMPERATURE,
                _ => Quantity::BODY_TEMPERATURE,
            };
            let characteristic = if settled { 0x2a1c } else { 0x2a1e };
            Message { characteristic, bytes, expected: vec![(quantity, value)] }
        },
    )
}

fn pressure() -> impl Strategy<Value = Message> {
    let optional = (prop::option::of(sfloat()), prop::option::of(any::<u8>()), prop::option::of(0u16..0x40));
    ([sfloat(), sfloat(), sfloat()], any::<bool>(), optional).prop_map(|(values, dated, (pulse, user, status))| {
        let flag = |on: bool, bit: u8| u8::from(on) << bit;
        let mut bytes =
            vec![flag(dated, 1) | flag(pulse.is_some(), 2) | flag(user.is_some(), 3) | flag(status.is_some(), 4)];
        bytes.extend(values.iter().flat_map(|(raw, _)| raw));
        bytes.extend(dated.then(date).into_iter().flatten());
        bytes.extend(pulse.iter().flat_map(|(raw, _)| raw));
        bytes.extend(user);
        bytes.extend(status.into_iter().flat_map(u16::to_le_bytes));
        let names = [Quantity::SYSTOLIC_PRESSURE, Quantity::DIASTOLIC_PRESSURE, Quantity::MEAN_ARTERIAL_PRESSURE];
        let mut expected: Vec<_> = names.into_iter().zip(values.map(|(_, value)| value)).collect();
        expected.extend(pulse.map(|(_, value)| (Quantity::PULSE_RATE, value)));
        expected.extend(user.filter(|u| *u != 255).map(|u| (Quantity::USER_INDEX, number(i64::from(u), 0))));
        let irregular = status.is_some_and(|s| s >> 2 & 1 == 1);
        expected.extend(irregular.then(|| (Quantity::IRREGULAR_PULSE, number(1, 0))));
        Message { characteristic: 0x2a35, bytes, expected }
    })
}

fn oximeter() -> impl Strategy<Value = Message> {
    let pair = || (sfloat(), sfloat());
    (pair(), prop::option::of(pair()), prop::option::of(pair()), prop::option::of(sfloat())).prop_map(
        |(normal, fast, slow, amplitude)| {
            let mut bytes =
                vec![u8::from(fast.is_some()) | u8::from(slow.is_some()) << 1 | u8::from(amplitude.is_some()) << 4];
            let mut expected = Vec::new();
            let names = [
                (Quantity::OXYGEN_SATURATION, Quantity::PULSE_RATE),
                (Quantity::OXYGEN_SATURATION_FAST, Quantity::PULSE_RATE_FAST),
                (Quantity::OXYGEN_SATURATION_SLOW, Quantity::PULSE_RATE_SLOW),
            ];
            for (names, pair) in names.into_iter().zip([Some(normal), fast, slow]) {
                let Some(((raw, saturation), (rate_raw, rate))) = pair else { continue };
                bytes.extend(raw);
                bytes.extend(rate_raw);
                expected.extend([(names.0, saturation), (names.1, rate)]);
            }
            if let Some((raw, value)) = amplitude {
                bytes.extend(raw);
                expected.push((Quantity::PULSE_AMPLITUDE_INDEX, value));
            }
            Message { characteristic: 0x2a5f, bytes, expected }
        },
    )
}

fn power() -> impl Strategy<Value = Message> {
    let balance = prop::option::of((any::<u8>(), any::<bool>()));
    let torques = prop::option::of((any::<i16>(), any::<i16>()));
    let angles = prop::option::of((0u32..0x1000, 0u32..0x1000));
    (any::<i16>(), balance, torques, angles, prop::option::of(any::<u16>())).prop_map(
        |(watts, balance, torques, angles, energy)| {
            let mut flags = u16::from(balance.is_some()) | u16::from(torques.is_some()) << 7;
            flags |= u16::from(angles.is_some()) << 8 | u16::from(energy.is_some()) << 11;
            flags |= u16::from(balance.is_some_and(|(_, left)| left)) << 1;
            let mut bytes = [flags.to_le_bytes(), watts.to_le_bytes()].concat();
            let mut expected = vec![(Quantity::POWER, number(i64::from(watts), 0))];
            if let Some((raw, left)) = balance {
                bytes.push(raw);
                let quantity = if left { Quantity::PEDAL_BALANCE_LEFT } else { Quantity::PEDAL_BALANCE };
                expected.push((quantity, number(i64::from(raw) * 10 / 2, -1)));
            }
            if let Some((max, min)) = torques {
                bytes.extend([max.to_le_bytes(), min.to_le_bytes()].concat());
                let exact = |raw: i16| number(i64::from(raw) * 100_000 / 32, -5);
                expected.extend([(Quantity::TORQUE_MAX, exact(max)), (Quantity::TORQUE_MIN, exact(min))]);
            }
            if let Some((max, min)) = angles {
                bytes.extend(&(max | min << 12).to_le_bytes()[..3]);
                expected.push((Quantity::FORCE_MAX_ANGLE, number(i64::from(max), 0)));
                expected.push((Quantity::FORCE_MIN_ANGLE, number(i64::from(min), 0)));
            }
            if let Some(kilojoules) = energy {
                bytes.extend(kilojoules.to_le_bytes());
                expected.push((Quantity::WORK, number(i64::from(kilojoules), 0)));
            }
            Message { characteristic: 0x2a63, bytes, expected }
        },
    )
}

fn running() -> impl Strategy<Value = Message> {
    let optional = (prop::option::of(any::<u16>()), prop::option::of(any::<u32>()));
    (any::<u16>(), any::<u8>(), any::<bool>(), optional).prop_map(|(speed, steps, run, (stride, distance))| {
        let flags = u8::from(stride.is_some()) | u8::from(distance.is_some()) << 1 | u8::from(run) << 2;
        let mut bytes = vec![flags];
        bytes.extend(speed.to_le_bytes());
        bytes.push(steps);
        bytes.extend(stride.into_iter().flat_map(u16::to_le_bytes));
        bytes.extend(distance.into_iter().flat_map(u32::to_le_bytes));
        let mut expected = vec![
            (Quantity::SPEED, number(i64::from(speed) * 100_000_000 / 256, -8)),
            (Quantity::CADENCE, number(i64::from(steps), 0)),
        ];
        expected.extend(stride.map(|cm| (Quantity::STRIDE_LENGTH, number(i64::from(cm), -2))));
        expected.extend(distance.map(|dm| (Quantity::DISTANCE, number(i64::from(dm), -1))));
        expected.extend(run.then(|| (Quantity::RUNNING, number(1, 0))));
        Message { characteristic: 0x2a53, bytes, expected }
    })
}

fn air() -> impl Strategy<Value = Message> {
    let message = |characteristic, bytes, quantity, mantissa, exponent| Message {
        characteristic,
        bytes,
        expected: vec![(quantity, number(mantissa, exponent))],
    };
    prop_oneof![
        (-27_315i16..).prop_map(move |raw| {
            message(0x2a6e, raw.to_le_bytes().to_vec(), Quantity::AMBIENT_TEMPERATURE, i64::from(raw), -2)
        }),
        (0u16..=10_000).prop_map(move |raw| {
            message(0x2a6f, raw.to_le_bytes().to_vec(), Quantity::RELATIVE_HUMIDITY, i64::from(raw), -2)
        }),
        any::<u32>().prop_map(move |raw| {
            message(0x2a6d, raw.to_le_bytes().to_vec(), Quantity::AIR_PRESSURE, i64::from(raw), -1)
        }),
        (-0x80_0000i32..0x80_0000).prop_map(move |raw| {
            message(0x2a6c, raw.to_le_bytes()[..3].to_vec(), Quantity::ALTITUDE, i64::from(raw), -2)
        }),
        any::<u16>().prop_map(move |raw| {
            message(0x2a77, raw.to_le_bytes().to_vec(), Quantity::IRRADIANCE, i64::from(raw), -1)
        }),
        any::<i8>().prop_map(move |raw| {
            message(0x2a7b, raw.to_le_bytes().to_vec(), Quantity::DEW_POINT, i64::from(raw), 0)
        }),
    ]
}

/// The first value of a counter: nothing yet to be read.
fn cycling() -> impl Strategy<Value = Message> {
    let csc = (any::<u32>(), any::<u16>(), any::<u16>()).prop_map(|(wheel, crank, time)| Message {
        characteristic: 0x2a5b,
        bytes: [&[3][..], &wheel.to_le_bytes(), &time.to_le_bytes(), &crank.to_le_bytes(), &time.to_le_bytes()]
            .concat(),
        expected: Vec::new(),
    });
    prop_oneof![csc, LazyJust::new(|| Message { characteristic: 0x2a5b, bytes: vec![0], expected: Vec::new() })]
}

/// A cuff or a foot pod that says what it looks for (which characteristic says it, and what), and then a value of it.
pub fn featured() -> impl Strategy<Value = (u16, u16, Message)> {
    let cuff = (Just(0x2a49u16), any::<u16>(), pressure());
    let foot_pod = (Just(0x2a54u16), any::<u16>(), running());
    prop_oneof![cuff, foot_pod].prop_map(|(characteristic, features, mut message)| {
        let (quantity, looked) = if characteristic == 0x2a49 {
            let pressed = message.expected[..3].iter().any(|(_, value)| matches!(value, Value::Number(_)));
            let lost = (Quantity::PULSE_RATE, gap(GapReason::Invalid));
            (Quantity::IRREGULAR_PULSE, message.bytes[0] & 0x10 != 0 && pressed && !message.expected.contains(&lost))
        } else {
            (Quantity::RUNNING, true)
        };
        let found = message.expected.iter().any(|(of, _)| *of == quantity);
        if features >> 2 & 1 == 1 && looked && !found {
            message.expected.push((quantity, number(0, 0)));
        }
        (characteristic, features, message)
    })
}

/// A value of any profile.
pub fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        heart(),
        thermometer(),
        fahrenheit(),
        pressure(),
        kilopascals(),
        oximeter(),
        power(),
        running(),
        air(),
        cycling()
    ]
}
