//! What of Rhai every script can use, for the reference. Each example is true; a test runs them all, and holds this table to
//! naming every function the engine has.

use crate::reference::{Entry, EntryKind};

type Rows = &'static [(&'static str, &'static str, &'static str)];

const NUMBERS: Rows = &[
    ("abs(x)", "its distance from zero", "(-2.5).abs() == 2.5"),
    ("sign(x)", "-1, 0 or 1", "(-3).sign() == -1"),
    ("min(x, y)", "the smaller", "min(2, 3) == 2"),
    ("max(x, y)", "the larger", "max(2.0, 3.0) == 3.0"),
    ("round(x)", "to the nearest whole number, halves away from zero", "2.5.round() == 3.0"),
    ("floor(x)", "the whole number not above", "2.7.floor() == 2.0"),
    ("ceiling(x)", "the whole number not below", "2.1.ceiling() == 3.0"),
    ("int(x)", "without what stands behind the point", "(-2.7).int() == -2.0"),
    ("fraction(x)", "what stands behind the point", "2.5.fraction() == 0.5"),
    ("to_int(x)", "a whole number; what stands behind the point is cut off", "2.9.to_int() == 2"),
    ("to_float(x)", "a number with a point", "3.to_float() == 3.0"),
    ("parse_int(text)", "a whole number from a text; also with a radix of 2 to 36", "parse_int(\"ff\", 16) == 255"),
    ("parse_float(text)", "a number with a point from a text", "parse_float(\"37.5\") == 37.5"),
    ("sqrt(x)", "square root", "9.0.sqrt() == 3.0"),
    ("exp(x)", "e to the power of x", "exp(0.0) == 1.0"),
    ("ln(x)", "natural logarithm", "ln(1.0) == 0.0"),
    ("log(x)", "logarithm to base 10, or to the base given", "log(100.0) == 2.0 && log(8.0, 2.0) == 3.0"),
    ("hypot(x, y)", "the hypotenuse", "hypot(3.0, 4.0) == 5.0"),
    ("E()", "Euler's number", "E() > 2.718 && E() < 2.719"),
    ("PI()", "the circle's", "PI() > 3.1415 && PI() < 3.1416"),
    ("sin(x)", "sine of radians", "sin(0.0) == 0.0"),
    ("cos(x)", "cosine of radians", "cos(0.0) == 1.0"),
    ("tan(x)", "tangent of radians", "tan(0.0) == 0.0"),
    ("asin(x)", "inverse sine, in radians", "asin(0.0) == 0.0"),
    ("acos(x)", "inverse cosine, in radians", "acos(1.0) == 0.0"),
    ("atan(x)", "inverse tangent, in radians; with two arguments of their quotient", "atan(0.0) == 0.0"),
    ("sinh(x)", "hyperbolic sine", "sinh(0.0) == 0.0"),
    ("cosh(x)", "hyperbolic cosine", "cosh(0.0) == 1.0"),
    ("tanh(x)", "hyperbolic tangent", "tanh(0.0) == 0.0"),
    ("asinh(x)", "inverse hyperbolic sine", "asinh(0.0) == 0.0"),
    ("acosh(x)", "inverse hyperbolic cosine", "acosh(1.0) == 0.0"),
    ("atanh(x)", "inverse hyperbolic tangent", "atanh(0.0) == 0.0"),
    ("to_degrees(x)", "radians as degrees", "to_degrees(0.0) == 0.0"),
    ("to_radians(x)", "degrees as radians", "to_radians(0.0) == 0.0"),
    ("is_even(x)", "whether 2 divides it", "4.is_even()"),
    ("is_odd(x)", "whether 2 does not divide it", "3.is_odd()"),
    ("is_zero(x)", "whether it is zero", "(0.0).is_zero()"),
    ("is_nan(x)", "whether it is no number, as 0.0 / 0.0", "(0.0 / 0.0).is_nan()"),
    ("is_finite(x)", "whether it is a number and not endless", "(1.5).is_finite()"),
    ("is_infinite(x)", "whether it is endless, as 1.0 / 0.0", "(1.0 / 0.0).is_infinite()"),
    ("to_hex(x)", "as text, to base 16", "to_hex(255) == \"ff\""),
    ("to_octal(x)", "as text, to base 8", "to_octal(8) == \"10\""),
    ("to_binary(x)", "as text, to base 2", "to_binary(5) == \"101\""),
];

const TEXTS: Rows = &[
    (
        "len(text)",
        "how many characters; of a list, map or blob, how many items",
        "\"abc\".len() == 3 && [1, 2].len() == 2",
    ),
    ("is_empty(text)", "whether it has none", "\"\".is_empty() && [].is_empty()"),
    ("bytes(text)", "how many bytes of UTF-8", "\"\u{e4}\".bytes() == 2"),
    (
        "contains(text, part)",
        "whether the part is in it; also `part in text`",
        "\"heart\".contains(\"ear\") && 2 in [1, 2]",
    ),
    ("starts_with(text, part)", "whether it begins so", "\"heart\".starts_with(\"he\")"),
    ("ends_with(text, part)", "whether it ends so", "\"heart\".ends_with(\"art\")"),
    (
        "index_of(text, part)",
        "where the part is, from 0, or -1",
        "\"heart\".index_of(\"art\") == 2 && [5, 6].index_of(6) == 1",
    ),
    ("sub_string(text, start, len)", "a part of it", "\"heart\".sub_string(1, 3) == \"ear\""),
    ("crop(text, start, len)", "leaves only that part of it", "let s = \"heart\"; s.crop(1, 3); s == \"ear\""),
    (
        "split(text, by)",
        "its parts between; of a list, its two parts at a place",
        "\"a,b\".split(\",\") == [\"a\", \"b\"]",
    ),
    ("split_rev(text, by)", "the same from the end", "\"a,b\".split_rev(\",\") == [\"b\", \"a\"]"),
    (
        "replace(text, find, by)",
        "puts `by` in place of every `find`",
        "let s = \"a-b\"; s.replace(\"-\", \"+\"); s == \"a+b\"",
    ),
    ("trim(text)", "takes away white space at both ends", "let s = \" a \"; s.trim(); s == \"a\""),
    ("truncate(text, len)", "shortens it; a list or blob, too", "let s = \"heart\"; s.truncate(2); s == \"he\""),
    (
        "pad(text, len, by)",
        "fills it up to a length; a list or blob, too",
        "let s = \"7\"; s.pad(3, '0'); s == \"700\"",
    ),
    ("to_upper(text)", "in capitals", "\"ab\".to_upper() == \"AB\""),
    ("to_lower(text)", "in small letters", "\"AB\".to_lower() == \"ab\""),
    ("make_upper(text)", "makes it capitals", "let s = \"ab\"; s.make_upper(); s == \"AB\""),
    ("make_lower(text)", "makes it small letters", "let s = \"AB\"; s.make_lower(); s == \"ab\""),
    ("chars(text)", "its characters, for `for`", "let n = 0; for c in \"abc\".chars() { n += 1; } n == 3"),
    ("to_chars(text)", "its characters as a list", "\"ab\".to_chars() == ['a', 'b']"),
    ("to_blob(text)", "its bytes", "\"a\".to_blob() == blob(1, 0x61)"),
    ("to_string(x)", "anything as text, as `${x}` does", "to_string(42) == \"42\" && `${[1]}` == \"[1]\""),
    ("to_debug(x)", "the same with quotes around texts", "to_debug(\"a\") == \"\\\"a\\\"\""),
];

const LISTS: Rows = &[
    ("push(list, item)", "adds an item at the end; to a blob a byte", "let a = [1]; a.push(2); a == [1, 2]"),
    ("pop(list)", "takes the last item away and gives it", "let a = [1, 2]; a.pop() == 2 && a == [1]"),
    ("shift(list)", "takes the first item away and gives it", "let a = [1, 2]; a.shift() == 1"),
    ("insert(list, at, item)", "puts an item in", "let a = [1, 3]; a.insert(1, 2); a == [1, 2, 3]"),
    (
        "remove(list, at)",
        "takes an item away and gives it; from a map by name, from a text every such part",
        "let a = [1, 2]; a.remove(0) == 1",
    ),
    (
        "get(list, at)",
        "an item, or () beyond the end; of a map by name, of a text a character",
        "[1, 2].get(5) == () && #{a: 1}.get(\"a\") == 1",
    ),
    ("set(list, at, item)", "sets an item; beyond the end it does nothing", "let a = [1, 2]; a.set(0, 5); a == [5, 2]"),
    ("append(list, list)", "adds all items of another; also `+=`", "let a = [1]; a.append([2]); a == [1, 2]"),
    ("clear(list)", "takes everything away; from a text, map or blob, too", "let a = [1]; a.clear(); a == []"),
    ("reverse(list)", "turns it round", "let a = [1, 2]; a.reverse(); a == [2, 1]"),
    ("chop(list, len)", "leaves only the last items", "let a = [1, 2, 3]; a.chop(2); a == [2, 3]"),
    (
        "drain(list, start, len)",
        "takes items away and gives them; also those for which a function is true",
        "let a = [1, 2, 3]; a.drain(0, 2) == [1, 2]",
    ),
    (
        "retain(list, start, len)",
        "leaves only these items and gives the others; also those for which a function is true",
        "let a = [1, 2, 3]; a.retain(|x| x > 1); a == [2, 3]",
    ),
    ("extract(list, start, len)", "a part of it", "[1, 2, 3].extract(1, 2) == [2, 3]"),
    (
        "splice(list, start, len, other)",
        "puts a list in place of a part",
        "let a = [1, 2, 3]; a.splice(0, 2, [9]); a == [9, 3]",
    ),
    ("dedup(list)", "takes away items equal to the one before", "let a = [1, 1, 2]; a.dedup(); a == [1, 2]"),
    ("map(list, f)", "what the function makes of each item", "[1, 2].map(|x| x * 2) == [2, 4]"),
    ("filter(list, f)", "the items for which the function is true", "[1, 2, 3].filter(|x| x > 1) == [2, 3]"),
    (
        "reduce(list, f)",
        "one value of all: the function of what there is so far and each item",
        "[1, 2, 3].reduce(|sum, x| sum + x, 0) == 6",
    ),
    ("reduce_rev(list, f)", "the same from the end", "[1, 2, 3].reduce_rev(|sum, x| sum + x, 0) == 6"),
    ("all(list, f)", "whether the function is true for all", "[1, 2].all(|x| x > 0)"),
    ("some(list, f)", "whether it is for one", "[1, 2].some(|x| x > 1)"),
    ("find(list, f)", "the first item for which it is, or ()", "[1, 2, 3].find(|x| x > 1) == 2"),
    (
        "find_map(list, f)",
        "the first answer of the function that is not ()",
        "[1, 2].find_map(|x| if x > 1 { x * 10 }) == 20",
    ),
    (
        "for_each(list, f)",
        "calls the function with each item as `this`",
        "let a = [1, 2]; a.for_each(|| this += 1); a == [2, 3]",
    ),
    (
        "zip(list, list, f)",
        "what the function makes of the items of both in pairs",
        "[1, 2].zip([10, 20], |x, y| x + y) == [11, 22]",
    ),
    (
        "sort(list)",
        "sorts it; also by a function that compares two: below, at or above 0",
        "let a = [2, 1]; a.sort(); a == [1, 2]",
    ),
    ("sort_desc(list)", "sorts it downwards", "let a = [1, 2]; a.sort_desc(); a == [2, 1]"),
    (
        "sort_by(list, f)",
        "sorts it by a function that compares two",
        "let a = [1, 2]; a.sort_by(|x, y| y - x); a == [2, 1]",
    ),
    ("order(list)", "a sorted copy", "[2, 1].order() == [1, 2]"),
    ("order_desc(list)", "a copy sorted downwards", "[1, 2].order_desc() == [2, 1]"),
    ("order_by(list, f)", "a copy sorted by a function that compares two", "[1, 2].order_by(|x, y| y - x) == [2, 1]"),
];

const MAPS: Rows = &[
    ("keys(map)", "its names", "#{a: 1}.keys() == [\"a\"]"),
    ("values(map)", "its values", "#{a: 1}.values() == [1]"),
    (
        "mixin(map, other)",
        "takes over all of another; also `+=`",
        "let m = #{a: 1}; m.mixin(#{b: 2}); m == #{a: 1, b: 2}",
    ),
    (
        "fill_with(map, other)",
        "takes over what it lacks",
        "let m = #{a: 1}; m.fill_with(#{a: 9, b: 2}); m == #{a: 1, b: 2}",
    ),
    ("to_json(map)", "as JSON text", "#{a: 1}.to_json() == `{\"a\":1}`"),
];

const BLOBS: Rows = &[
    ("blob(len, byte)", "so many bytes; without arguments none", "blob(2, 7).len() == 2"),
    ("to_array(blob)", "its bytes as a list", "blob(2, 7).to_array() == [7, 7]"),
    ("as_string(blob)", "its bytes as text", "blob(1, 0x61).as_string() == \"a\""),
    ("parse_le_int(blob, start, len)", "a whole number of bytes, lowest first", "blob(2, 1).parse_le_int(0, 2) == 257"),
    (
        "parse_be_int(blob, start, len)",
        "the same, highest first; fewer than 8 are the highest of 8",
        "blob(8, 0).parse_be_int(0, 8) == 0",
    ),
    ("parse_le_float(blob, start, len)", "a double of bytes, lowest first", "blob(8, 0).parse_le_float(0, 8) == 0.0"),
    ("parse_be_float(blob, start, len)", "the same, highest first", "blob(8, 0).parse_be_float(0, 8) == 0.0"),
    (
        "write_le(blob, start, len, number)",
        "writes a number as bytes, lowest first",
        "let b = blob(2, 0); b.write_le(0, 2, 1); b[0] == 1",
    ),
    (
        "write_be(blob, start, len, number)",
        "the same, highest first",
        "let b = blob(2, 0); b.write_be(0, 2, 1 << 48); b[1] == 1",
    ),
    (
        "write_utf8(blob, start, len, text)",
        "writes a text as UTF-8",
        "let b = blob(1, 0); b.write_utf8(0, 1, \"a\"); b[0] == 0x61",
    ),
    (
        "write_ascii(blob, start, len, text)",
        "the same without what is not ASCII",
        "let b = blob(1, 0); b.write_ascii(0, 1, \"a\"); b[0] == 0x61",
    ),
];

const BITS: Rows = &[
    ("get_bit(x, at)", "a bit of a whole number; also `x[at]`", "get_bit(5, 2) && 5[0]"),
    ("set_bit(x, at, on)", "sets it", "let x = 5; x.set_bit(1, true); x == 7"),
    ("get_bits(x, start, len)", "some bits as a number", "get_bits(0xf0, 4, 4) == 15"),
    ("set_bits(x, start, len, bits)", "sets them", "let x = 0; x.set_bits(4, 4, 15); x == 0xf0"),
    ("bits(x)", "its bits, for `for`", "let n = 0; for b in bits(5) { if b { n += 1; } } n == 2"),
];

const RANGES: Rows = &[
    (
        "range(from, to, step)",
        "numbers from, up to but without the last; also `from..to` and `from..=to`",
        "let n = 0; for i in range(0, 10, 5) { n += i; } n == 5",
    ),
    ("start(range)", "where it begins", "(2..5).start() == 2"),
    ("end(range)", "where it ends", "(2..5).end() == 5"),
    ("is_exclusive(range)", "whether its end is left out", "(2..5).is_exclusive()"),
    ("is_inclusive(range)", "whether its end is within", "(2..=5).is_inclusive()"),
];

const FUNCTIONS: Rows = &[
    ("type_of(x)", "its kind: i64, f64, string, bool, array, map, blob, Fn, ()", "type_of(1.0) == \"f64\""),
    ("Fn(name)", "a pointer to a function, to be called later", "Fn(\"abs\").call(-1) == 1"),
    ("call(f, x)", "calls a pointer or closure", "let f = |x| x + 1; f.call(41) == 42"),
    ("name(f)", "its name", "Fn(\"abs\").name == \"abs\""),
    ("is_anonymous(f)", "whether it is a closure", "(|x| x).is_anonymous"),
    ("is_def_var(name)", "whether a variable exists", "let a = 1; is_def_var(\"a\")"),
    ("is_def_fn(name, arguments)", "whether the script has such a function", "!is_def_fn(\"nobody\", 1)"),
];

/// The functions that Rhai answers itself, as definitions.
pub(crate) const DEFINED: &[&str] = &[
    "type_of(x: ?) -> String",
    "Fn(name: String) -> Fn",
    "call(f: Fn, ...args: ?) -> ?",
    "is_def_var(name: String) -> bool",
    "is_def_fn(name: String, arguments: int) -> bool",
];

/// Every function of Rhai that scripts have, section by section.
pub fn entries() -> Vec<Entry> {
    let sections = [
        ("Numbers", NUMBERS),
        ("Texts", TEXTS),
        ("Lists", LISTS),
        ("Maps", MAPS),
        ("Blobs", BLOBS),
        ("Bits", BITS),
        ("Ranges", RANGES),
        ("Functions", FUNCTIONS),
    ];
    let rows = sections.into_iter().flat_map(|(group, rows)| rows.iter().map(move |row| (group, row)));
    rows.map(|(group, (signature, doc, example))| Entry::new(group, EntryKind::Function, signature, doc, example))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::BUILT_IN_CALLS;
    use crate::{Limits, Sandbox};

    #[test]
    fn every_example_is_true() {
        let sandbox = Sandbox::new(Limits::RULE, |_| {});
        let wrong: Vec<String> = entries()
            .iter()
            .filter_map(|entry| match sandbox.run(|engine| engine.eval::<bool>(&entry.example)) {
                Ok(true) => None,
                other => Some(format!("{}: {}: {other:?}", entry.name, entry.example)),
            })
            .collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn every_function_of_the_engine_is_named_and_no_other() {
        let sandbox = Sandbox::new(Limits::RULE, |_| {});
        let named: std::collections::BTreeSet<String> = entries().into_iter().map(|entry| entry.name).collect();
        let missing: Vec<&String> = sandbox.function_names().difference(&named).collect();
        assert!(missing.is_empty(), "not in the reference: {missing:?}");
        let unknown =
            |name: &&String| !sandbox.function_names().contains(*name) && !BUILT_IN_CALLS.contains(&name.as_str());
        let unknown: Vec<&String> = named.iter().filter(unknown).collect();
        assert!(unknown.is_empty(), "not in the engine: {unknown:?}");
    }
}
