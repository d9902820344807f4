//! JSON (RFC 8259) of what a script put together: keys in order of their names, decimals with the digits they have. Floats are
//! refused as everywhere: 37.6 would leave as 37.60000000000000142.

use std::fmt::Write as _;

use pitchside_model::Decimal;
use rhai::{Array, Dynamic, ImmutableString, Map};

/// How deep lists and maps may lie in one another.
const DEPTH_MAX: usize = 16;

/// The text, or the type that has none.
pub(crate) fn text(value: &Dynamic) -> Result<String, String> {
    let mut out = String::new();
    write(&mut out, value, DEPTH_MAX)?;
    Ok(out)
}

fn write(out: &mut String, value: &Dynamic, depth: usize) -> Result<(), String> {
    let deeper = depth.checked_sub(1).ok_or_else(|| "lists nested too deep".to_owned())?;
    if value.is_unit() {
        out.push_str("null");
    } else if let Ok(truth) = value.as_bool() {
        out.push_str(if truth { "true" } else { "false" });
    } else if let Ok(number) = value.as_int() {
        out.push_str(&number.to_string());
    } else if let Some(number) = value.clone().try_cast::<Decimal>() {
        out.push_str(&number.to_string());
    } else if let Some(text) = value.clone().try_cast::<ImmutableString>() {
        quoted(out, &text);
    } else if let Some(list) = value.clone().try_cast::<Array>() {
        out.push('[');
        for (at, item) in list.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            write(out, item, deeper)?;
        }
        out.push(']');
    } else if let Some(map) = value.clone().try_cast::<Map>() {
        out.push('{');
        for (at, (name, item)) in map.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            quoted(out, name);
            out.push(':');
            write(out, item, deeper)?;
        }
        out.push('}');
    } else {
        return Err(value.type_name().to_owned());
    }
    Ok(())
}

fn quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            // Writing to a string does not fail.
            c if c < ' ' || c == '\u{7f}' => drop(write!(out, "\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}
