//! The table of keys, made from the same lines as the types: what is documented is what is parsed.

use std::path::PathBuf;

use figment::Figment;
use figment::value::{Dict, Value};

use crate::problem::Problem;
use crate::value::Setting;

/// One key.
pub(crate) struct Key {
    pub(crate) name: &'static str,
    /// Its comment, one line each.
    pub(crate) doc: &'static [&'static str],
    /// None: not set unless somebody does.
    pub(crate) default: Option<Value>,
    /// The default as TOML.
    pub(crate) default_shown: Option<String>,
    /// What its values are.
    pub(crate) shape: &'static str,
}

/// A table of the file.
pub(crate) trait Section: Sized {
    const NAME: &'static str;
    const ABOUT: &'static [&'static str];
    fn keys() -> Vec<Key>;
    /// Reads every key, noting every fault.
    fn read(table: &Table<'_>, problems: &mut Vec<Problem>) -> Option<Self>;
    /// Keys and values as TOML; none for what is not set.
    fn shown(&self) -> Vec<(&'static str, Option<String>)>;
}

/// The values of one section, with where each came from.
pub(crate) struct Table<'a> {
    pub(crate) figment: &'a Figment,
    /// As a problem names it: `mqtt`, `serial[0]`.
    pub(crate) path: String,
    pub(crate) values: &'a Dict,
}

impl Table<'_> {
    /// Reads one key, or its default.
    pub(crate) fn take<T: Setting>(&self, key: &Key, problems: &mut Vec<Problem>) -> Option<T> {
        let given = self.values.get(key.name);
        let Some(value) = given.or(key.default.as_ref()) else {
            let nothing = T::parse(&Value::Empty(figment::value::Tag::Default, figment::value::Empty::None), None);
            return nothing.map_err(|_| problems.push(self.problem(key.name, "it is not set, and has no default"))).ok();
        };
        let base = given.and_then(|value| self.file(value)).and_then(|file| file.parent().map(PathBuf::from));
        T::parse(value, base.as_deref()).map_err(|message| problems.push(self.problem(key.name, &message))).ok()
    }

    /// A fault of one of its keys.
    pub(crate) fn problem(&self, name: &str, message: &str) -> Problem {
        Problem {
            origin: self.origin(name).unwrap_or_else(|| "settings".to_owned()),
            key: format!("{}.{name}", self.path),
            message: message.to_owned(),
            help: None,
        }
    }

    /// Where a key's value came from; none if it is the default.
    pub(crate) fn origin(&self, name: &str) -> Option<String> {
        let metadata = self.figment.get_metadata(self.values.get(name)?.tag())?;
        Some(match metadata.source.as_ref().and_then(|source| source.file_path()) {
            Some(file) => file.display().to_string(),
            None => metadata.name.to_string(),
        })
    }

    fn file(&self, value: &Value) -> Option<PathBuf> {
        self.figment.get_metadata(value.tag())?.source.as_ref()?.file_path().map(PathBuf::from)
    }
}

/// Declares a section: the struct, its documentation and its keys in one place.
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        struct $type:ident in $name:literal {
            $( $(#[doc = $doc:literal])+ $field:ident: $kind:ty = $default:expr, $shape:literal; )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, PartialEq)]
        pub struct $type { $( $(#[doc = $doc])+ pub $field: $kind, )+ }

        impl $crate::schema::Section for $type {
            const NAME: &'static str = $name;
            const ABOUT: &'static [&'static str] = &[$($about),+];
            fn keys() -> Vec<$crate::schema::Key> {
                vec![$({
                    let default = $crate::schema::default_value($default);
                    let shown = |value| <$kind as $crate::value::Setting>::parse(value, None).ok();
                    let default_shown = default.as_ref().and_then(shown).and_then(|value| $crate::value::Setting::show(&value));
                    $crate::schema::Key {
                        name: stringify!($field),
                        doc: &[$($doc),+],
                        default,
                        default_shown,
                        shape: $shape,
                    }
                }),+]
            }
            fn read(table: &$crate::schema::Table<'_>, problems: &mut Vec<$crate::problem::Problem>) -> Option<Self> {
                let mut keys = <Self as $crate::schema::Section>::keys().into_iter();
                // Each before any `?`: all faults are told at once.
                $( let $field: Option<$kind> = table.take(&keys.next()?, problems); )+
                Some(Self { $( $field: $field?, )+ })
            }
            fn shown(&self) -> Vec<(&'static str, Option<String>)> {
                vec![$( (stringify!($field), $crate::value::Setting::show(&self.$field)) ),+]
            }
        }
    };
}
pub(crate) use section;

/// A default, written as the file would have it.
pub(crate) trait Preset {
    fn value(self) -> Option<Value>;
}
/// No default.
pub(crate) struct Unset;

impl Preset for Unset {
    fn value(self) -> Option<Value> {
        None
    }
}
impl Preset for &str {
    fn value(self) -> Option<Value> {
        Some(Value::from(self))
    }
}
impl Preset for u64 {
    fn value(self) -> Option<Value> {
        Some(Value::from(self))
    }
}
impl<const N: usize> Preset for [&str; N] {
    fn value(self) -> Option<Value> {
        Some(Value::from(self.to_vec()))
    }
}

pub(crate) fn default_value(default: impl Preset) -> Option<Value> {
    default.value()
}
