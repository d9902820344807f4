//! Every statement is a file under `sql/`, one folder a table.

/// The text of `sql/NAME.sql`.
#[macro_export]
#[doc(hidden)]
macro_rules! sql {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/", $name, ".sql"))
    };
}
