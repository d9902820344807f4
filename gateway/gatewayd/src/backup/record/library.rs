//! Records of plugins and rules: see `README.md` for their fields.

use pitchside_model::{PluginName, Timestamp};
use pitchside_store::{
    Candidate, LibraryRow, PlainSetting, PluginPackage, PluginRow, RuleChange, RuleText, RuleVersion,
};
use zeroize::Zeroizing;

use super::{Field, encode, maybe, number, text};

pub(super) const fn kind(row: &LibraryRow) -> u8 {
    match row {
        LibraryRow::Signer(..) => 10,
        LibraryRow::Package(_) => 11,
        LibraryRow::Plugin(_) => 12,
        LibraryRow::Grant(..) => 13,
        LibraryRow::Setting(_) => 14,
        LibraryRow::RuleText(_) => 15,
        LibraryRow::RuleVersion(_) => 16,
        LibraryRow::RuleChange(_) => 17,
    }
}

pub(super) fn body(row: &LibraryRow) -> Zeroizing<Vec<u8>> {
    let number = |number: i64| number.to_be_bytes();
    let flag = |set: bool| i64::from(set).to_be_bytes();
    match row {
        LibraryRow::Signer(key, at) => encode(&[Some(key.as_bytes()), Some(&number(at.0))]),
        LibraryRow::Package(p) => encode(&[
            Some(&p.sha256),
            Some(p.name.as_str().as_bytes()),
            Some(p.version.as_bytes()),
            Some(p.signer.as_bytes()),
            Some(&p.archive),
            Some(&p.note),
            Some(&number(p.installed_at.0)),
        ]),
        LibraryRow::Plugin(p) => encode(&[
            Some(p.name.as_str().as_bytes()),
            p.current.as_ref().map(<[u8; 32]>::as_slice),
            p.previous.as_ref().map(<[u8; 32]>::as_slice),
            p.candidate.as_ref().map(|tried| tried.sha256.as_slice()),
            Some(&number(p.candidate.map_or(0, |tried| tried.payloads).into())),
            Some(&number(p.candidate.map_or(0, |tried| tried.until.0))),
            Some(&flag(p.candidate.is_some_and(|tried| tried.differ))),
            Some(&flag(p.enabled)),
            Some(&p.generation.to_be_bytes()),
        ]),
        LibraryRow::Grant(name, capability) => encode(&[Some(name.as_str().as_bytes()), Some(capability.as_bytes())]),
        LibraryRow::Setting(s) => encode(&[
            Some(s.plugin.as_str().as_bytes()),
            Some(s.key.as_bytes()),
            Some(&flag(s.secret)),
            Some(s.value.as_bytes()),
        ]),
        LibraryRow::RuleText(t) => encode(&[
            Some(t.name.as_bytes()),
            Some(t.manifest.as_bytes()),
            Some(t.script.as_bytes()),
            Some(t.cases.as_bytes()),
            Some(t.readme.as_bytes()),
            Some(&t.rule_hash),
            Some(&t.text_hash),
        ]),
        LibraryRow::RuleVersion(v) => encode(&[
            Some(v.name.as_bytes()),
            Some(&number(v.number.into())),
            Some(&v.text_hash),
            Some(v.label.as_bytes()),
            Some(v.author.as_bytes()),
            Some(v.note.as_bytes()),
            Some(&number(v.published_at.0)),
            Some(&flag(v.shadow)),
            v.set_hash.as_ref().map(<[u8; 32]>::as_slice),
            v.leaf_hash.as_ref().map(<[u8; 32]>::as_slice),
        ]),
        LibraryRow::RuleChange(c) => {
            let hex = |hash| data_encoding::HEXLOWER.encode(hash);
            let rules: Vec<String> = c.rules.iter().map(|(name, hash)| format!("{} {name}", hex(hash))).collect();
            let rules = rules.join("\n");
            encode(&[Some(&number(c.at.0)), Some(&c.set_hash), Some(c.engine.as_bytes()), Some(rules.as_bytes())])
        }
    }
}

fn hash(field: Field<'_>) -> Option<[u8; 32]> {
    field?.try_into().ok()
}

fn flag(field: Field<'_>) -> Option<bool> {
    match number(field)? {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

fn plugin(field: Field<'_>) -> Option<PluginName> {
    PluginName::parse(&text(field)?).ok()
}

fn in_force(line: &str) -> Option<(String, [u8; 32])> {
    let (hash, name) = line.split_once(' ')?;
    let hash = data_encoding::HEXLOWER.decode(hash.as_bytes()).ok()?;
    Some((name.to_owned(), hash.as_slice().try_into().ok()?))
}

/// A row of its kind and fields.
pub(super) fn parse(kind: u8, fields: &[Field<'_>]) -> Option<LibraryRow> {
    Some(match (kind, fields) {
        (10, [key, at]) => LibraryRow::Signer(text(*key)?, Timestamp(number(*at)?)),
        (11, [sha256, name, version, signer, Some(archive), Some(note), at]) => LibraryRow::Package(PluginPackage {
            sha256: hash(*sha256)?,
            name: plugin(*name)?,
            version: text(*version)?,
            signer: text(*signer)?,
            archive: archive.to_vec(),
            note: note.to_vec(),
            installed_at: Timestamp(number(*at)?),
        }),
        (12, [name, current, previous, tried, payloads, until, differ, enabled, generation]) => {
            let (payloads, until) = (u32::try_from(number(*payloads)?).ok()?, Timestamp(number(*until)?));
            let differ = flag(*differ)?;
            LibraryRow::Plugin(PluginRow {
                name: plugin(*name)?,
                current: maybe(*current, hash)?,
                previous: maybe(*previous, hash)?,
                candidate: maybe(*tried, hash)?.map(|sha256| Candidate { sha256, payloads, until, differ }),
                enabled: flag(*enabled)?,
                generation: number(*generation)?.cast_unsigned(),
            })
        }
        (13, [name, capability]) => LibraryRow::Grant(plugin(*name)?, text(*capability)?),
        (14, [name, key, secret, Some(value)]) => LibraryRow::Setting(PlainSetting {
            plugin: plugin(*name)?,
            key: text(*key)?,
            secret: flag(*secret)?,
            value: Zeroizing::new(std::str::from_utf8(value).ok()?.to_owned()),
        }),
        (15, [name, manifest, script, cases, readme, rule, all]) => LibraryRow::RuleText(RuleText {
            name: text(*name)?,
            manifest: text(*manifest)?,
            script: text(*script)?,
            cases: text(*cases)?,
            readme: text(*readme)?,
            rule_hash: hash(*rule)?,
            text_hash: hash(*all)?,
        }),
        (16, [name, version, text_hash, label, author, note, at, shadow, set, leaf]) => {
            LibraryRow::RuleVersion(RuleVersion {
                name: text(*name)?,
                number: u32::try_from(number(*version)?).ok()?,
                text_hash: hash(*text_hash)?,
                label: text(*label)?,
                author: text(*author)?,
                note: text(*note)?,
                published_at: Timestamp(number(*at)?),
                shadow: flag(*shadow)?,
                set_hash: maybe(*set, hash)?,
                leaf_hash: maybe(*leaf, hash)?,
            })
        }
        (17, [at, set, engine, rules]) => LibraryRow::RuleChange(RuleChange {
            at: Timestamp(number(*at)?),
            set_hash: hash(*set)?,
            engine: text(*engine)?,
            rules: text(*rules)?.lines().map(in_force).collect::<Option<_>>()?,
        }),
        _ => return None,
    })
}
