//! A settings file as text, with some of its values changed and all else as it was written, comments among it: a backup
//! takes settings as the clinic wrote them to where the paths in them are others.

use std::ops::Range;

use toml::Value;
use toml::de::{DeTable, DeValue};

/// Sets each `section.key` that stands in the text to another text. The new text, and which keys stood there; none if it
/// is not TOML.
pub fn with_values<'a>(text: &str, values: &[(&'a str, String)]) -> Option<(String, Vec<&'a str>)> {
    let table = DeTable::parse(text).ok()?;
    let stands = |key: &str| -> Option<Range<usize>> {
        let (section, name) = key.split_once('.')?;
        let (_, section) = table.get_ref().iter().find(|(key, _)| key.get_ref() == section)?;
        let DeValue::Table(section) = section.get_ref() else { return None };
        Some(section.iter().find(|(key, _)| key.get_ref() == name)?.1.span())
    };
    let mut places: Vec<(Range<usize>, &'a str, &String)> =
        values.iter().filter_map(|(key, value)| Some((stands(key)?, *key, value))).collect();
    let mut changed = text.to_owned();
    // The last one first: what comes before it stays where it was.
    places.sort_by_key(|(place, ..)| std::cmp::Reverse(place.start));
    for (place, _, value) in &places {
        changed.get(place.clone())?;
        changed.replace_range(place.clone(), &Value::String((*value).clone()).to_string());
    }
    Some((changed, places.into_iter().map(|(_, key, _)| key).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_values_named_change_and_every_comment_stays() {
        let text = "# Ours.\n[gateway]\nname = \"b\u{f6}x\"\ndata_dir = '/var/lib/it'   # the disk\n\n[[serial]]\npath = \"/dev/a\"\n[rules]\ndir=\"/srv/rules\"\n";
        let values = [
            ("rules.dir", "rules".to_owned()),
            ("gateway.data_dir", "data".to_owned()),
            ("ledger.policy", "p".to_owned()),
        ];
        let (changed, found) = with_values(text, &values).unwrap();
        assert_eq!(changed, text.replace("'/var/lib/it'", "\"data\"").replace("\"/srv/rules\"", "\"rules\""));
        assert_eq!(found, ["rules.dir", "gateway.data_dir"]);
        let dotted = "ledger.policy = \"/a\\\"b\"\nledger = 1";
        assert_eq!(with_values(dotted, &values), None, "what is not TOML is not guessed at");
        for (text, changed) in [
            ("ledger.policy = \"/a\\\"b\"\n", "ledger.policy = \"p\"\n"),
            ("ledger = { policy = \"\"\"x\n\"\"\" }\n", "ledger = { policy = \"p\" }\n"),
            ("ledger = 3\n", "ledger = 3\n"),
            ("", ""),
        ] {
            assert_eq!(with_values(text, &values).unwrap().0, changed);
        }
    }
}
