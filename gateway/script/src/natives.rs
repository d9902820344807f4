//! Functions of Rhai's packages that do without limit in one call what limits see only afterwards, replaced by ones that
//! look first: `replace` (every letter by a long text), the text of an array or map (deep, or beyond the map limit, which
//! `m[k] = v` passes).

use std::fmt::Write;

use rhai::{Array, Dynamic, Engine, EvalAltResult, ImmutableString, Map, NativeCallContext, Position};

type Answer<T> = Result<T, Box<EvalAltResult>>;

/// How deep an array or map is written out as text.
const TEXT_DEPTH_MAX: usize = 32;

/// Puts them in front of the packages'.
pub(crate) fn replace(engine: &mut Engine) {
    type Text = ImmutableString;
    engine
        .register_fn("replace", |ctx: NativeCallContext<'_>, text: &mut Text, find: &str, by: &str| {
            replaced(&ctx, text, find, by)
        })
        .register_fn("replace", |ctx: NativeCallContext<'_>, text: &mut Text, find: &str, by: char| {
            replaced(&ctx, text, find, by.encode_utf8(&mut [0; 4]))
        })
        .register_fn("replace", |ctx: NativeCallContext<'_>, text: &mut Text, find: char, by: &str| {
            replaced(&ctx, text, find.encode_utf8(&mut [0; 4]), by)
        })
        .register_fn("replace", |ctx: NativeCallContext<'_>, text: &mut Text, find: char, by: char| {
            replaced(&ctx, text, find.encode_utf8(&mut [0; 4]), by.encode_utf8(&mut [0; 4]))
        });
    for name in ["to_string", "to_debug"] {
        engine.register_fn(name, |ctx: NativeCallContext<'_>, array: &mut Array| {
            let mut writer = Writer::new(&ctx);
            writer.array(array, 0)?;
            Ok::<_, Box<EvalAltResult>>(writer.text)
        });
        engine.register_fn(name, |ctx: NativeCallContext<'_>, map: &mut Map| {
            let mut writer = Writer::new(&ctx);
            writer.map(map, 0)?;
            Ok::<_, Box<EvalAltResult>>(writer.text)
        });
    }
    engine.register_fn("to_json", |ctx: NativeCallContext<'_>, map: &mut Map| {
        // Rhai's own writer, once it is known that the map is within the limits and so is its text.
        let mut writer = Writer::new(&ctx);
        writer.map(map, 0)?;
        Ok::<_, Box<EvalAltResult>>(rhai::format_map_as_json(map))
    });
}

fn too_large(what: &str) -> Box<EvalAltResult> {
    EvalAltResult::ErrorDataTooLarge(what.to_owned(), Position::NONE).into()
}

fn replaced(ctx: &NativeCallContext<'_>, text: &mut ImmutableString, find: &str, by: &str) -> Answer<()> {
    let found = if by.len() > find.len() { text.matches(find).count() } else { 0 };
    let grown = found.saturating_mul(by.len().saturating_sub(find.len()));
    if text.len().saturating_add(grown) > ctx.engine().max_string_size() {
        return Err(too_large("Length of string"));
    }
    if !text.is_empty() {
        *text = text.replace(find, by).into();
    }
    Ok(())
}

/// Writes as Rhai does, but no longer and no deeper than allowed.
struct Writer<'a> {
    ctx: &'a NativeCallContext<'a>,
    text: String,
}

impl<'a> Writer<'a> {
    fn new(ctx: &'a NativeCallContext<'a>) -> Self {
        Self { ctx, text: String::new() }
    }

    fn within(&self, depth: usize) -> Answer<()> {
        if depth >= TEXT_DEPTH_MAX {
            return Err(too_large("Depth of a text"));
        }
        if self.text.len() > self.ctx.engine().max_string_size() {
            return Err(too_large("Length of string"));
        }
        Ok(())
    }

    fn array(&mut self, array: &Array, depth: usize) -> Answer<()> {
        self.text.push('[');
        for (i, item) in array.iter().enumerate() {
            self.text.push_str(if i > 0 { ", " } else { "" });
            self.value(item, depth)?;
        }
        self.text.push(']');
        self.within(depth)
    }

    fn map(&mut self, map: &Map, depth: usize) -> Answer<()> {
        self.text.push_str("#{");
        for (i, (name, value)) in map.iter().enumerate() {
            self.text.push_str(if i > 0 { ", " } else { "" });
            // Text into memory does not fail.
            let _ = write!(self.text, "{name:?}: ");
            self.value(value, depth)?;
        }
        self.text.push('}');
        self.within(depth)
    }

    fn value(&mut self, value: &Dynamic, depth: usize) -> Answer<()> {
        self.within(depth)?;
        if let Ok(array) = value.as_array_ref() {
            return self.array(&array, depth + 1);
        }
        if let Ok(map) = value.as_map_ref() {
            return self.map(&map, depth + 1);
        }
        match self.ctx.call_native_fn::<ImmutableString>("to_debug", (value.clone(),)) {
            Ok(text) => self.text.push_str(&text),
            Err(_) => self.text.push_str(value.type_name()),
        }
        Ok(())
    }
}
