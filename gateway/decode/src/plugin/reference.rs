//! The reference for those who write plugins. Each example of a decoder is true for [`EXAMPLE_PAYLOAD`], each of an output for
//! [`output::reference::EXAMPLE_CASE`]; a test runs them all.

use pitchside_script::reference::{Entry, EntryKind, Reference, Rows};
use pitchside_script::{Limits, Sandbox, builtin, output};

/// The payload of the decoders' examples.
pub const EXAMPLE_PAYLOAD: [u8; 8] = [0x48, 0x01, 0xff, 0xfe, 0x00, 0x00, 0x00, 0x80];
/// The topic of the decoders' examples.
pub const EXAMPLE_TOPIC: &str = "hall/state";

use EntryKind::{Function, Method, Property, Variable};

const TO_READ: Rows = &[
    (Variable, "payload", "the bytes that came", "payload.len() == 8"),
    (
        Variable,
        "topic",
        "where a hub published them, without `in/NAME/`; `\"\"` where there is no topic: a cable, Bluetooth, PS/1",
        "topic == \"hall/state\"",
    ),
    (
        Method,
        "u8(at)",
        "one byte; beyond the end of a payload this and the others throw `short_payload`",
        "payload.u8(0) == 72",
    ),
    (Method, "i8(at)", "one byte with a sign", "payload.i8(2) == -1"),
    (Method, "u16le(at)", "two bytes, lowest first", "payload.u16le(0) == 328"),
    (Method, "u16be(at)", "two bytes, highest first", "payload.u16be(0) == 18433"),
    (Method, "i16le(at)", "two bytes with a sign, lowest first", "payload.i16le(2) == -257"),
    (Method, "i16be(at)", "two bytes with a sign, highest first", "payload.i16be(2) == -2"),
    (Method, "u32le(at)", "four bytes, lowest first", "payload.u32le(0) == 4278124872"),
    (Method, "u32be(at)", "four bytes, highest first", "payload.u32be(0) == 1208090622"),
    (Method, "i32le(at)", "four bytes with a sign, lowest first", "payload.i32le(4) == -2147483648"),
    (Method, "i32be(at)", "four bytes with a sign, highest first", "payload.i32be(4) == 128"),
    (Method, "i64le(at)", "eight bytes with a sign, lowest first", "payload.i64le(0) < 0"),
    (Method, "i64be(at)", "eight bytes with a sign, highest first", "payload.i64be(0) > 0"),
    (
        Method,
        "sfloat(at)",
        "the 16-bit float of IEEE 11073-20601; throws `not_finite`",
        "payload.sfloat(0) == decimal(328, 0)",
    ),
    (
        Method,
        "float32(at)",
        "the 32-bit float of IEEE 11073-20601; throws `not_finite`",
        "payload.float32(0) == decimal(\"-652.08\")",
    ),
    (
        Function,
        "json(payload)",
        "JSON as maps and lists, decimals rounded to 18 places, what is beyond 64 bits as a float; throws `bad_json`",
        "let b = blob(); b += `{\"hr\":72}`; json(b).hr == 72",
    ),
];

const TO_ANSWER: Rows = &[
    (
        Function,
        "reading(quantity, value, unit)",
        "a value: a whole number or a decimal, never a float; the unit is a UCUM code",
        "type_of(reading(\"heart_rate\", 72, \"/min\")) == \"reading\"",
    ),
    (
        Function,
        "decimal(mantissa, exponent)",
        "a decimal; also from a text: `decimal(\"37.60\")`",
        "decimal(3760, -2) == decimal(\"37.60\")",
    ),
    (Property, "mantissa", "of a decimal", "decimal(3760, -2).mantissa == 3760"),
    (Property, "exponent", "of a decimal", "decimal(3760, -2).exponent == -2"),
    (
        Function,
        "gap(quantity, reason)",
        "nothing was measured: silent, disconnected, contact_lost, dropped, clock_step, ended, invalid",
        "type_of(gap(\"heart_rate\", \"contact_lost\")) == \"reading\"",
    ),
    (
        Function,
        "wave(quantity, period_ns, exponent, samples)",
        "equidistant samples in the quantity's unit, times 10^exponent",
        "type_of(wave(\"ecg\", 4000000, -3, [1, 2])) == \"reading\"",
    ),
    (
        Method,
        "at_ms(ms)",
        "a reading's time by the device's clock, since 1970",
        "type_of(reading(\"heart_rate\", 72, \"/min\").at_ms(1767225600000)) == \"reading\"",
    ),
    (
        Method,
        "at_us(us)",
        "the same in microseconds",
        "type_of(reading(\"heart_rate\", 72, \"/min\").at_us(1767225600000000)) == \"reading\"",
    ),
    (
        Method,
        "ago_ms(ms)",
        "so long before the payload arrived; without any time it is now, and marked `no_clock`",
        "type_of(reading(\"heart_rate\", 72, \"/min\").ago_ms(500)) == \"reading\"",
    ),
    (
        Method,
        "ago_us(us)",
        "the same in microseconds",
        "type_of(reading(\"heart_rate\", 72, \"/min\").ago_us(500)) == \"reading\"",
    ),
    (
        Method,
        "poor_contact()",
        "the sensor said so",
        "type_of(reading(\"heart_rate\", 72, \"/min\").poor_contact()) == \"reading\"",
    ),
];

const ABOUT: &str = "What the script of a plugin can use. How to write one stands in [README.md](README.md), why and how else in the\n\
                     [handbook](../docs/README.md). Examples of decoders are true for the payload `48 01 ff fe 00 00 00 80` on the\n\
                     topic `hall/state`, those of outputs for an alert that was raised at a heart rate of 201 /min. What a decoder\n\
                     keeps of a device is a variable for each field of its `[state]`. What stands below the two is for both.";
/// Writes the committed files anew.
pub const COMMAND: &str = "UPDATE=1 cargo test -p pitchside-decode --test reference";

/// What decoders have beyond [`builtin`].
pub fn decoders() -> Vec<Entry> {
    Entry::section("Decoders: to read", TO_READ).chain(Entry::section("Decoders: to answer", TO_ANSWER)).collect()
}

/// Everything the script of a decoder or of an output can use.
pub fn reference() -> Reference {
    of_plugins([decoders(), output::reference::entries(), builtin::entries()].concat())
}

fn of_plugins(entries: Vec<Entry>) -> Reference {
    Reference { of: "plugins".to_owned(), entries }
}

/// The files made from it, by their names in the folder of plugins.
pub fn files() -> [(&'static str, String); 4] {
    let reference = reference();
    let of_decoders = of_plugins([decoders(), builtin::entries()].concat());
    let of_outputs = of_plugins([output::reference::entries(), builtin::entries()].concat());
    let sandbox = Sandbox::new(Limits::DECODER, super::engine::register);
    [
        ("REFERENCE.md", reference.markdown(ABOUT, COMMAND)),
        ("reference.json", reference.json()),
        ("plugins.d.rhai", of_decoders.definitions(&sandbox, COMMAND)),
        ("outputs.d.rhai", of_outputs.definitions(&output::engine::sandbox(), COMMAND)),
    ]
}
