//! Functions of Rhai's packages that do without limit in one call what limits see only afterwards, replaced by ones that
//! look first: `replace` (every letter by a long text), the text of an array or map (deep, or beyond the map limit, which
//! `m[k] = v` passes).

use std::fmt::Write;

use rhai::{Array, Blob, Dynamic, Engine, EvalAltResult, ImmutableString, Map, NativeCallContext, Position};

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
    engine
        .register_fn("pad", |ctx: NativeCallContext<'_>, text: &mut Text, len: i64, by: &str| {
            padded(&ctx, text, len, by)
        })
        .register_fn("pad", |ctx: NativeCallContext<'_>, text: &mut Text, len: i64, by: char| {
            padded(&ctx, text, len, by.encode_utf8(&mut [0; 4]))
        })
        .register_fn("pad", |ctx: NativeCallContext<'_>, array: &mut Array, len: i64, item: Dynamic| {
            let len = items(&ctx, len)?;
            let added = len.saturating_sub(array.len());
            if added > 0 {
                let each = Size { items: 1, ..Size::default() }.plus(Size::of(&item));
                each.times(added).plus(Size::of_array(array)).within(&ctx)?;
                array.resize(len, item);
            }
            Ok::<_, Box<EvalAltResult>>(())
        })
        .register_fn("pad", |ctx: NativeCallContext<'_>, blob: &mut Blob, len: i64, value: i64| {
            let len = items(&ctx, len)?;
            if len > blob.len() {
                // As Rhai: the lowest byte.
                blob.resize(len, value.to_le_bytes()[0]);
            }
            Ok::<_, Box<EvalAltResult>>(())
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

/// By nothing, a text stays as it is.
fn padded(ctx: &NativeCallContext<'_>, text: &mut ImmutableString, len: i64, by: &str) -> Answer<()> {
    let (len, longest) = (usize::try_from(len.max(0)).unwrap_or(usize::MAX), ctx.engine().max_string_size());
    if len > longest {
        return Err(too_large("Length of string"));
    }
    let missing = len.saturating_sub(text.chars().count());
    let filled: String = text.chars().chain(by.chars().cycle().take(missing)).collect();
    if filled.len() > longest {
        return Err(too_large("Length of string"));
    }
    *text = filled.into();
    Ok(())
}

/// How many items are asked for; none below zero.
fn items(ctx: &NativeCallContext<'_>, len: i64) -> Answer<usize> {
    let len = usize::try_from(len.max(0)).unwrap_or(usize::MAX);
    if len > ctx.engine().max_array_size() { Err(too_large("Size of array/BLOB")) } else { Ok(len) }
}

/// How large a value is, by what the limits count.
#[derive(Debug, Clone, Copy, Default)]
struct Size {
    items: usize,
    entries: usize,
    bytes: usize,
}

impl Size {
    fn of(value: &Dynamic) -> Self {
        if let Ok(array) = value.as_array_ref() {
            return Self::of_array(&array);
        }
        if let Ok(map) = value.as_map_ref() {
            return map.values().map(Self::of).fold(Self { entries: map.len(), ..Self::default() }, Self::plus);
        }
        let items = value.as_blob_ref().map_or(0, |blob| blob.len());
        let bytes = value.as_immutable_string_ref().map_or(0, |text| text.len());
        Self { items, entries: 0, bytes }
    }

    fn of_array(array: &Array) -> Self {
        array.iter().map(Self::of).fold(Self { items: array.len(), ..Self::default() }, Self::plus)
    }

    fn plus(self, other: Self) -> Self {
        Self {
            items: self.items.saturating_add(other.items),
            entries: self.entries.saturating_add(other.entries),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }

    fn times(self, n: usize) -> Self {
        Self {
            items: self.items.saturating_mul(n),
            entries: self.entries.saturating_mul(n),
            bytes: self.bytes.saturating_mul(n),
        }
    }

    fn within(self, ctx: &NativeCallContext<'_>) -> Answer<()> {
        let engine = ctx.engine();
        if self.items > engine.max_array_size() {
            return Err(too_large("Size of array/BLOB"));
        }
        if self.entries > engine.max_map_size() {
            return Err(too_large("Size of object map"));
        }
        if self.bytes > engine.max_string_size() { Err(too_large("Length of string")) } else { Ok(()) }
    }
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

#[cfg(test)]
mod tests {
    use crate::{Limits, Sandbox};

    #[test]
    fn what_is_filled_up_is_as_long_as_asked_for_and_within_the_limits() {
        let sandbox = Sandbox::new(Limits::RULE, |_| {});
        let answer = |script: &str| sandbox.run(|engine| engine.eval::<bool>(script)).unwrap();
        for script in [
            "let s = \"hé\"; s.pad(7, \"(!)\"); s == \"hé(!)(!\"",
            "let s = \"7\"; s.pad(3, 'é'); s == \"7éé\"",
            "let s = \"hello\"; s.pad(3, \"x\"); s.pad(-9, 'x'); s == \"hello\"",
            "let s = \"a\"; s.pad(10, \"\"); s == \"a\"",
            "let a = [1]; a.pad(3, \"x\"); a.pad(2, 0); a.pad(-1, 0); a == [1, \"x\", \"x\"]",
            "let a = [[1]]; a.pad(2, #{b: [2]}); a[1].b[0] == 2",
            "let b = blob(1, 7); b.pad(3, 258); b.pad(-1, 0); b.len() == 3 && b[0] == 7 && b[2] == 2",
        ] {
            assert!(answer(script), "{script}");
        }
        for script in [
            "let s = \"\"; s.pad(4097, \"x\"); true",
            "let s = \"\"; s.pad(4096, \"é\"); true",
            "let a = []; a.pad(4097, 0); true",
            "let a = []; a.pad(2049, [0]); true",
            "let a = []; a.pad(513, #{b: 0}); true",
            "let s = \"x\"; s.pad(4000, 'x'); let a = []; a.pad(2, s); true",
            "let b = blob(); b.pad(4097, 0); true",
        ] {
            let error = sandbox.run(|engine| engine.eval::<bool>(script)).unwrap_err();
            assert!(matches!(*error, rhai::EvalAltResult::ErrorDataTooLarge(..)), "{script}: {error}");
        }
    }
}
