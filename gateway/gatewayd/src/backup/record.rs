//! What lies in a backup's chunks: records, one after the other, each `kind u8 | length u32 | body`, integers big-endian.
//! A body is fields, each `length u32 | bytes` (length `ffffffff`: there is none); `README.md` lists them.

mod library;

use std::io::{self, Read, Write};

use pitchside_model::{AthleteId, DeviceId, PluginName, Timestamp};
use pitchside_store::{Anchor, Assignment, Athlete, CopyName, Device, SnapshotRow, User};
use zeroize::Zeroizing;

use super::envelope::EnvelopeError;

/// The longest record: a file of the clinic's rules or plugins, a package, a rule's texts.
pub const RECORD_BYTES_MAX: usize = 4 << 20;
const NONE: u32 = u32::MAX;
/// Kinds of records but the last.
const KINDS: std::ops::RangeInclusive<u8> = 1..=18;
const END: u8 = 255;
/// More than any record has.
const FIELDS_MAX: usize = 16;

/// One record.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// First: what this is, as JSON for people.
    About(Vec<u8>),
    /// A file of the box's folder, by its path there.
    File {
        /// e.g. `rules/heat-illness/rule.rhai`.
        path: String,
        /// Its bytes.
        content: Zeroizing<Vec<u8>>,
    },
    /// A row of the database; a device's secret is not wrapped here, nor a plugin's.
    Row(SnapshotRow),
    /// The last checkpoint of the ledger that was verified: a signed note.
    Checkpoint(Vec<u8>),
    /// Generation of the house's key.
    House(u32),
    /// Last: how many records came before.
    End(u64),
}

type Field<'a> = Option<&'a [u8]>;

fn encode(fields: &[Field<'_>]) -> Zeroizing<Vec<u8>> {
    let size = fields.iter().map(|field| 4 + field.map_or(0, <[u8]>::len)).sum();
    // All at once: a buffer that grows leaves copies of secrets behind.
    let mut body = Zeroizing::new(Vec::with_capacity(size));
    for field in fields {
        let length = field.map_or(NONE, |bytes| u32::try_from(bytes.len()).unwrap_or(NONE - 1));
        body.extend_from_slice(&length.to_be_bytes());
        body.extend_from_slice(field.unwrap_or_default());
    }
    body
}

fn decode(body: &[u8]) -> Option<Vec<Field<'_>>> {
    let (mut rest, mut fields) = (body, Vec::new());
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let length = u32::from_be_bytes(*length);
        if fields.len() == FIELDS_MAX {
            return None;
        }
        if length == NONE {
            fields.push(None);
            rest = after;
            continue;
        }
        let (field, after) = after.split_at_checked(usize::try_from(length).ok()?)?;
        fields.push(Some(field));
        rest = after;
    }
    Some(fields)
}

fn text(field: Field<'_>) -> Option<String> {
    String::from_utf8(field?.to_vec()).ok()
}

fn number(field: Field<'_>) -> Option<i64> {
    Some(i64::from_be_bytes(field?.try_into().ok()?))
}

/// None of an absent field; nothing at all of a broken one.
fn maybe<T>(field: Field<'_>, read: impl FnOnce(Field<'_>) -> Option<T>) -> Option<Option<T>> {
    if field.is_none() { Some(None) } else { read(field).map(Some) }
}

fn anchor(field: Field<'_>) -> Option<Anchor> {
    let (incarnation, rest) = field?.split_first_chunk::<8>()?;
    let (index, hash) = rest.split_first_chunk::<8>()?;
    let (incarnation, index) = (u64::from_be_bytes(*incarnation), u64::from_be_bytes(*index));
    Some(Anchor { incarnation, index, hash: hash.try_into().ok()? })
}

fn anchor_bytes(anchor: Anchor) -> Vec<u8> {
    [&anchor.incarnation.to_be_bytes()[..], &anchor.index.to_be_bytes(), &anchor.hash].concat()
}

impl Record {
    const fn kind(&self) -> u8 {
        match self {
            Self::About(_) => 1,
            Self::File { .. } => 2,
            Self::Row(SnapshotRow::Chain { .. }) => 3,
            Self::Row(SnapshotRow::Device(..)) => 4,
            Self::Row(SnapshotRow::Athlete(_)) => 5,
            Self::Row(SnapshotRow::Assignment(_)) => 6,
            Self::Row(SnapshotRow::User(_)) => 7,
            Self::Row(SnapshotRow::Library(row)) => library::kind(row),
            Self::Row(SnapshotRow::Copy(_)) => 18,
            Self::Checkpoint(_) => 8,
            Self::House(_) => 9,
            Self::End(_) => END,
        }
    }

    fn body(&self) -> Zeroizing<Vec<u8>> {
        let time = |at: Timestamp| at.0.to_be_bytes();
        match self {
            Self::About(json) => encode(&[Some(json)]),
            Self::File { path, content } => encode(&[Some(path.as_bytes()), Some(content)]),
            Self::Row(SnapshotRow::Chain { last, receipted }) => {
                let [last, receipted] = [last, receipted].map(|end| end.map(anchor_bytes));
                encode(&[last.as_deref(), receipted.as_deref()])
            }
            Self::Row(SnapshotRow::Device(d, stamp)) => encode(&[
                Some(d.id.as_str().as_bytes()),
                Some(d.class.as_bytes()),
                Some(&d.secret),
                d.decoder.as_ref().map(|name| name.as_str().as_bytes()),
                Some(d.filters.join("\n").as_bytes()),
                Some(&time(d.enrolled_at)),
                d.revoked_at.map(time).as_ref().map(<[u8; 8]>::as_slice),
                stamp.as_deref(),
            ]),
            Self::Row(SnapshotRow::Athlete(a)) => encode(&[
                Some(a.id.as_str().as_bytes()),
                Some(&time(a.added_at)),
                Some(&i64::from(a.generation).to_be_bytes()),
                a.erased_at.map(time).as_ref().map(<[u8; 8]>::as_slice),
            ]),
            Self::Row(SnapshotRow::Assignment(a)) => encode(&[
                Some(a.device.as_str().as_bytes()),
                Some(a.athlete.as_str().as_bytes()),
                Some(&time(a.from)),
                a.to.map(time).as_ref().map(<[u8; 8]>::as_slice),
            ]),
            Self::Row(SnapshotRow::User(u)) => encode(&[
                Some(u.name.as_bytes()),
                Some(u.role.as_bytes()),
                Some(u.password_hash.as_bytes()),
                Some(&time(u.added_at)),
                u.disabled_at.map(time).as_ref().map(<[u8; 8]>::as_slice),
            ]),
            Self::Row(SnapshotRow::Copy(c)) => encode(&[
                Some(&c.name),
                c.athlete.as_ref().map(|athlete| athlete.as_str().as_bytes()),
                Some(&i64::from(c.generation).to_be_bytes()),
            ]),
            Self::Row(SnapshotRow::Library(row)) => library::body(row),
            Self::Checkpoint(note) => encode(&[Some(note)]),
            Self::House(generation) => encode(&[Some(&i64::from(*generation).to_be_bytes())]),
            Self::End(count) => encode(&[Some(&count.to_be_bytes())]),
        }
    }

    /// Writes it.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let body = self.body();
        if body.len() > RECORD_BYTES_MAX {
            return Err(io::Error::other(format!("a record of {} bytes is over the limit", body.len())));
        }
        out.write_all(&[self.kind()])?;
        out.write_all(&u32::try_from(body.len()).unwrap_or(NONE).to_be_bytes())?;
        out.write_all(&body)
    }

    /// Reads the next one.
    pub fn read(input: &mut impl Read) -> Result<Self, EnvelopeError> {
        let mut head = [0; 5];
        input.read_exact(&mut head).map_err(EnvelopeError::of)?;
        let [kind, length @ ..] = head;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > RECORD_BYTES_MAX {
            return Err(EnvelopeError::Changed("a record is too long"));
        }
        let mut body = Zeroizing::new(vec![0; length]);
        input.read_exact(&mut body).map_err(EnvelopeError::of)?;
        if !KINDS.contains(&kind) && kind != END {
            return Err(EnvelopeError::Newer(kind));
        }
        Self::parse(kind, &body).ok_or(EnvelopeError::Changed("a record is not in its form"))
    }

    /// A record of its kind and body.
    pub fn parse(kind: u8, body: &[u8]) -> Option<Self> {
        let fields = decode(body)?;
        Some(match (kind, fields.as_slice()) {
            (1, [Some(json)]) => Self::About(json.to_vec()),
            (2, [path, Some(content)]) => Self::File { path: text(*path)?, content: content.to_vec().into() },
            (3, [last, receipted]) => {
                Self::Row(SnapshotRow::Chain { last: maybe(*last, anchor)?, receipted: maybe(*receipted, anchor)? })
            }
            (4, [id, class, Some(secret), decoder, filters, enrolled, revoked, stamp]) => {
                let decoder = maybe(*decoder, text)?.map(|name| PluginName::parse(&name)).transpose().ok()?;
                let device = Device {
                    id: DeviceId::parse(&text(*id)?).ok()?,
                    class: text(*class)?,
                    secret: secret.to_vec(),
                    decoder,
                    filters: text(*filters)?.lines().map(str::to_owned).collect(),
                    enrolled_at: Timestamp(number(*enrolled)?),
                    revoked_at: maybe(*revoked, number)?.map(Timestamp),
                };
                Self::Row(SnapshotRow::Device(device, stamp.map(<[u8]>::to_vec)))
            }
            (5, [id, added, generation, erased]) => Self::Row(SnapshotRow::Athlete(Athlete {
                id: AthleteId::parse(&text(*id)?).ok()?,
                added_at: Timestamp(number(*added)?),
                generation: u32::try_from(number(*generation)?).ok()?,
                erased_at: maybe(*erased, number)?.map(Timestamp),
            })),
            (6, [device, athlete, from, to]) => Self::Row(SnapshotRow::Assignment(Assignment {
                device: DeviceId::parse(&text(*device)?).ok()?,
                athlete: AthleteId::parse(&text(*athlete)?).ok()?,
                from: Timestamp(number(*from)?),
                to: maybe(*to, number)?.map(Timestamp),
            })),
            (7, [name, role, hash, added, disabled]) => Self::Row(SnapshotRow::User(User {
                name: text(*name)?,
                role: text(*role)?,
                password_hash: text(*hash)?,
                added_at: Timestamp(number(*added)?),
                disabled_at: maybe(*disabled, number)?.map(Timestamp),
            })),
            (8, [Some(note)]) => Self::Checkpoint(note.to_vec()),
            (9, [generation]) => Self::House(u32::try_from(number(*generation)?).ok()?),
            (10..=17, fields) => Self::Row(SnapshotRow::Library(library::parse(kind, fields)?)),
            (18, [Some(name), athlete, generation]) => Self::Row(SnapshotRow::Copy(CopyName {
                name: (*name).try_into().ok()?,
                athlete: maybe(*athlete, text)?.map(|id| AthleteId::parse(&id)).transpose().ok()?,
                generation: u32::try_from(number(*generation)?).ok()?,
            })),
            (END, [count]) => Self::End(number(*count)?.cast_unsigned()),
            _ => return None,
        })
    }
}
