//! Recordings as CSV: a header of column names, then numbers. The digits are kept as written.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context as _, bail};
use pitchside_model::Decimal;

/// Columns by name, all of one length.
#[derive(Debug, Clone)]
pub struct Recording {
    columns: HashMap<String, Vec<Decimal>>,
    rows: usize,
}

impl Recording {
    /// Reads a file.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read the recording {}", path.display()))?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let mut lines = text.lines();
        let names: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
        let mut columns: Vec<Vec<Decimal>> = vec![Vec::new(); names.len()];
        for (number, line) in lines.enumerate() {
            let fields: Vec<&str> = line.split(',').collect();
            if fields.len() != names.len() {
                bail!("line {}: {} fields, the header has {}", number + 2, fields.len(), names.len());
            }
            for (column, field) in columns.iter_mut().zip(fields) {
                column.push(Decimal::parse(field).with_context(|| format!("line {}: {field:?}", number + 2))?);
            }
        }
        let rows = columns.first().map_or(0, Vec::len);
        if rows == 0 {
            bail!("there are no rows");
        }
        Ok(Self { columns: names.into_iter().map(str::to_owned).zip(columns).collect(), rows })
    }

    /// A column.
    pub fn column(&self, name: &str) -> anyhow::Result<&[Decimal]> {
        let mut known: Vec<&str> = self.columns.keys().map(String::as_str).collect();
        known.sort_unstable();
        self.columns
            .get(name)
            .map(Vec::as_slice)
            .with_context(|| format!("no column {name}; there are {}", known.join(", ")))
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_kept() {
        let recording = Recording::parse("t_s,speed\n0,0.0\n1,3.610\n").unwrap();
        assert_eq!(recording.column("speed").unwrap()[1], Decimal { mantissa: 3_610, exponent: -3 });
        assert!(recording.column("power").is_err());
        assert!(Recording::parse("a,b\n1\n").is_err());
        assert!(Recording::parse("a\nx\n").is_err());
    }

    #[test]
    fn the_recordings_are_as_long_as_their_readme_says() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("recordings");
        for (file, column, rows) in [
            ("ride-1hz.csv", "power", 8_357),
            ("run-1hz.csv", "heart_rate", 5_159),
            ("ecg-360hz.csv", "microvolt", 43_200),
            ("ecg-1000hz.csv", "microvolt", 44_611),
            ("shoulder-imu-50hz.csv", "ax", 1_333),
        ] {
            let recording = Recording::read(&dir.join(file)).unwrap();
            assert_eq!((recording.rows(), recording.column(column).unwrap().len()), (rows, rows), "{file}");
        }
    }
}
