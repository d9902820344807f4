//! The table of keys, made from the same lines as the types: what is documented is what is parsed.

use std::path::Path;

use figment::Figment;
use figment::value::{Dict, Value};

use crate::load::Problem;
use crate::shape::Shape;

/// One key.
pub(crate) struct Key {
    pub(crate) name: &'static str,
    /// Its comment, line by line.
    pub(crate) doc: &'static [&'static str],
}

/// A table of the file.
pub(crate) trait Section: Sized {
    const NAME: &'static str;
    const ABOUT: &'static [&'static str];
    const KEYS: &'static [Key];
    /// Reads every key, noting every fault; none if there was one.
    fn read(table: &Table<'_>, problems: &mut Vec<Problem>) -> Option<Self>;
}

/// The values of one section, with where each came from.
pub(crate) struct Table<'a> {
    pub(crate) figment: &'a Figment,
    pub(crate) section: &'static str,
    /// Which one, in a list of tables.
    pub(crate) entry: Option<usize>,
    pub(crate) values: &'a Dict,
}

impl Table<'_> {
    /// Reads one key. The outer none is a fault, noted; the inner none means that it is not set.
    pub(crate) fn take<S: Shape>(&self, name: &str, shape: &S, problems: &mut Vec<Problem>) -> Option<Option<S::Out>> {
        let Some(value) = self.values.get(name) else { return Some(None) };
        let base = self.file(value).and_then(Path::parent);
        match shape.parse(value, base) {
            Ok(parsed) => Some(Some(parsed)),
            Err(what) => {
                problems.push(self.problem(name, what));
                None
            }
        }
    }

    /// A fault of one of its keys.
    pub(crate) fn problem(&self, name: &str, what: String) -> Problem {
        // What is not set is missed by whoever set its neighbours.
        let neighbour = || self.values.keys().find_map(|name| self.origin(name));
        let place = self.origin(name).or_else(neighbour).unwrap_or_else(|| "settings".to_owned());
        Problem { place, key: format!("{}.{name}", self.section), what, entry: self.entry }
    }

    /// Where a key's value came from; none if it is not set.
    pub(crate) fn origin(&self, name: &str) -> Option<String> {
        let value = self.values.get(name)?;
        let file = self.file(value).map(|file| file.display().to_string());
        file.or_else(|| Some(self.figment.get_metadata(value.tag())?.name.to_string()))
    }

    fn file(&self, value: &Value) -> Option<&Path> {
        self.figment.get_metadata(value.tag())?.source.as_ref()?.file_path()
    }
}

/// Declares a section: the struct, its manual, defaults and shapes in one place. A key without default must be set.
/// With `all default` in front, the section as a whole has one, too.
macro_rules! section {
    (
        all default
        $(#[doc = $about:literal])+
        struct $type:ident in $name:literal {
            $( $(#[doc = $doc:literal])+ $field:ident: $kind:ty = $default:expr, $shape:expr; )+
        }
    ) => {
        $crate::schema::section! {
            $(#[doc = $about])+
            struct $type in $name { $( $(#[doc = $doc])+ $field: $kind = $default, $shape; )+ }
        }

        impl Default for $type {
            fn default() -> Self {
                Self { $( $field: $default ),+ }
            }
        }
    };
    (
        $(#[doc = $about:literal])+
        struct $type:ident in $name:literal {
            $( $(#[doc = $doc:literal])+ $field:ident: $kind:ty $(= $default:expr)?, $shape:expr; )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
        pub struct $type { $( $(#[doc = $doc])+ pub $field: $kind, )+ }

        impl $crate::schema::Section for $type {
            const NAME: &'static str = $name;
            const ABOUT: &'static [&'static str] = &[$($about),+];
            const KEYS: &'static [$crate::schema::Key] = &[
                $( $crate::schema::Key { name: stringify!($field), doc: &[$($doc),+] } ),+
            ];
            fn read(table: &$crate::schema::Table<'_>, problems: &mut Vec<$crate::load::Problem>) -> Option<Self> {
                // Each before any `?`: all faults are told at once.
                $( let $field = table.take(stringify!($field), &$shape, problems); )+
                $( let $field: Option<$kind> = match $field {
                    Some(None) => $crate::schema::section!(@absent table, problems, stringify!($field) $(, $default)?),
                    given => given.flatten(),
                }; )+
                Some(Self { $( $field: $field?, )+ })
            }
        }
    };
    (@absent $table:ident, $problems:ident, $field:expr) => {{
        $problems.push($table.problem($field, "must be set".to_owned()));
        None
    }};
    (@absent $table:ident, $problems:ident, $field:expr, $default:expr) => { Some($default) };
}
pub(crate) use section;
