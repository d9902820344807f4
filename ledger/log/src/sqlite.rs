//! The index in SQLite: WAL, `synchronous=FULL`, one file. Several processes may open it; SQLite's write lock is the
//! log's.

mod steps;

use std::path::Path;
use std::time::Duration;

use ledger_block::Hash;
use ledger_block::ingest::{DeviceId, Timestamp};
use ledger_block::ingest::{Head, Role};
use parking_lot::Mutex;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, Params, Row, ToSql, TransactionBehavior, params};

use crate::index::{Draft, EVIDENCE_MAX, End, Evidence, Index, Reads, Signed};
use crate::objects::{Objects, StorageError};
use crate::state::{Block, Change, Contents, Fact, FactKind, Member, State};

/// Numbered migrations; a database states how many it has had in `user_version`.
const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/0001-log/up.sql"),
    include_str!("../migrations/0002-firmware/up.sql"),
    include_str!("../migrations/0003-steps/up.sql"),
];
/// After this one the steps of rollouts are counted again.
const STEPS: usize = 3;
/// How long to wait for another process's batch.
const BUSY_MS_MAX: u64 = 10_000;

/// An index in one SQLite file.
pub struct SqliteIndex {
    writer: Mutex<Connection>,
    reader: Mutex<Connection>,
}

fn connect(path: &Path) -> Result<Connection, StorageError> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_millis(BUSY_MS_MAX))?;
    // FULL: a commit is on the disk, power cut or not, before it is answered.
    connection.execute_batch("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;")?;
    Ok(connection)
}

impl SqliteIndex {
    /// Opens the file, making it if it is not there, and brings its schema up to date: of `objects`, where it has to be derived
    /// again.
    ///
    /// # Errors
    /// SQLite refused, the objects cannot be read, or the file was written by a newer version.
    pub fn open(path: &Path, objects: &dyn Objects) -> Result<Self, StorageError> {
        let mut writer = connect(path)?;
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let had = transaction.query_row("PRAGMA user_version", [], |row| number(row, 0))?;
        let had = usize::try_from(had).unwrap_or(usize::MAX);
        if had > MIGRATIONS.len() {
            return Err(StorageError::Impossible("schema version: a newer ledgerd wrote it"));
        }
        for migration in MIGRATIONS.iter().skip(had) {
            transaction.execute_batch(migration)?;
        }
        if had < STEPS {
            steps::count(&Rows(&transaction), objects)?;
        }
        transaction.pragma_update(None, "user_version", Number(MIGRATIONS.len() as u64))?;
        transaction.commit()?;
        Ok(Self { writer: Mutex::new(writer), reader: Mutex::new(connect(path)?) })
    }
}

impl Index for SqliteIndex {
    fn write(&self, work: &mut dyn FnMut(&mut dyn Draft) -> Result<End, StorageError>) -> Result<(), StorageError> {
        let mut writer = self.writer.lock();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        match work(&mut Rows(&transaction))? {
            End::Commit => transaction.commit()?,
            End::Rollback => transaction.rollback()?,
        }
        Ok(())
    }

    fn read(&self, work: &mut dyn FnMut(&dyn Reads) -> Result<(), StorageError>) -> Result<(), StorageError> {
        let mut reader = self.reader.lock();
        // One snapshot for all questions of one piece of work.
        let transaction = reader.transaction_with_behavior(TransactionBehavior::Deferred)?;
        work(&Rows(&transaction))
    }
}

/// A number below 2^63, as SQLite's signed integer.
struct Number(u64);

impl FromSql for Number {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let number = i64::column_result(value)?;
        u64::try_from(number).map(Self).map_err(|_| FromSqlError::OutOfRange(number))
    }
}
impl ToSql for Number {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let number = i64::try_from(self.0).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
        Ok(ToSqlOutput::from(number))
    }
}

fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get(column).map(|Number(number)| number)
}

struct Rows<'a>(&'a Connection);

impl Rows<'_> {
    fn one<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<Result<T, StorageError>>,
    ) -> Result<Option<T>, StorageError> {
        self.0.prepare_cached(sql)?.query_row(params, read).optional()?.transpose()
    }

    fn many<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl Fn(&Row<'_>) -> rusqlite::Result<Result<T, StorageError>>,
    ) -> Result<Vec<T>, StorageError> {
        self.0.prepare_cached(sql)?.query_map(params, read)?.map(|row| row?).collect()
    }

    fn run(&self, sql: &str, params: impl Params) -> Result<(), StorageError> {
        self.0.prepare_cached(sql)?.execute(params)?;
        Ok(())
    }

    fn put_fact(&self, place: u64, kind: FactKind, key: &[u8], fact: &Fact) -> Result<(), StorageError> {
        self.run(
            "INSERT INTO fact (kind, key, signer, value, place) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (kind, key) DO UPDATE
             SET signer = excluded.signer, value = excluded.value, place = excluded.place",
            params![kind as u8, key, fact.signer.as_str(), fact.value, Number(place)],
        )
    }

    /// The log's own row says the version too: a program that does not know it must not open the log.
    fn upgrade(&self, place: u64, key: &[u8], fact: &Fact) -> Result<(), StorageError> {
        let version = <[u8; 8]>::try_from(fact.value.as_slice()).map_err(|_| StorageError::Impossible("version"))?;
        self.run("UPDATE log SET version = ?1", [Number(u64::from_be_bytes(version))])?;
        self.put_fact(place, FactKind::Version, key, fact)
    }
}

fn name(text: &str) -> Result<DeviceId, StorageError> {
    DeviceId::parse(text).map_err(|_| StorageError::Impossible("name"))
}

fn read_member(row: &Row<'_>) -> rusqlite::Result<Result<Member, StorageError>> {
    let (text, role): (String, u8) = (row.get(0)?, row.get(1)?);
    let (signing, channel) = (row.get(2)?, row.get(3)?);
    let role = Role::from_code(role).ok_or(StorageError::Impossible("role"));
    Ok(name(&text).and_then(|name| Ok(Member { name, role: role?, signing, channel })))
}

const BLOCK: &str = "SELECT gateway, incarnation, number, place, hash, payload, payload_bytes FROM block";

fn read_block(row: &Row<'_>) -> rusqlite::Result<Result<Block, StorageError>> {
    let gateway: String = row.get(0)?;
    let (incarnation, index, leaf) = (number(row, 1)?, number(row, 2)?, number(row, 3)?);
    let head = Head { incarnation, index, hash: row.get(4)?, leaf };
    let (payload, payload_bytes) = (row.get(5)?, number(row, 6)?);
    Ok(name(&gateway).map(|gateway| Block { gateway, head, payload, payload_bytes }))
}

fn read_signed(row: &Row<'_>) -> rusqlite::Result<Result<Signed, StorageError>> {
    Ok(Ok(Signed { size: number(row, 0)?, root: row.get(1)?, note: row.get(2)? }))
}

impl State for Rows<'_> {
    fn member(&self, name: &DeviceId) -> Result<Option<Member>, StorageError> {
        let sql = "SELECT name, role, signing, channel FROM member WHERE name = ?1";
        self.one(sql, [name.as_str()], read_member)
    }
    fn member_by_signing(&self, key: &[u8; 32]) -> Result<Option<Member>, StorageError> {
        self.one("SELECT name, role, signing, channel FROM member WHERE signing = ?1", [key], read_member)
    }
    fn member_by_channel(&self, key: &[u8; 32]) -> Result<Option<Member>, StorageError> {
        self.one("SELECT name, role, signing, channel FROM member WHERE channel = ?1", [key], read_member)
    }
    fn head(&self, gateway: &DeviceId) -> Result<Option<Head>, StorageError> {
        let sql = format!("{BLOCK} WHERE gateway = ?1 ORDER BY number DESC LIMIT 1");
        Ok(self.one(&sql, [gateway.as_str()], read_block)?.map(|block| block.head))
    }
    fn block(&self, gateway: &DeviceId, index: u64) -> Result<Option<Block>, StorageError> {
        let Ok(index) = i64::try_from(index) else { return Ok(None) };
        let sql = format!("{BLOCK} WHERE gateway = ?1 AND number = ?2");
        self.one(&sql, params![gateway.as_str(), index], read_block)
    }
    fn fact(&self, kind: FactKind, key: &[u8]) -> Result<Option<Fact>, StorageError> {
        self.one("SELECT signer, value FROM fact WHERE kind = ?1 AND key = ?2", params![kind as u8, key], |row| {
            let (signer, value): (String, Vec<u8>) = (row.get(0)?, row.get(1)?);
            Ok(name(&signer).map(|signer| Fact { signer, value }))
        })
    }
}

impl Reads for Rows<'_> {
    fn log(&self) -> Result<Option<(String, u64)>, StorageError> {
        self.one("SELECT origin, version FROM log", [], |row| Ok(Ok((row.get(0)?, number(row, 1)?))))
    }
    fn size(&self) -> Result<u64, StorageError> {
        let size = self.one("SELECT max(place) + 1 FROM leaf", [], |row| row.get::<_, Option<Number>>(0).map(Ok))?;
        Ok(size.flatten().map_or(0, |Number(size)| size))
    }
    fn latest(&self) -> Result<Option<Signed>, StorageError> {
        self.one("SELECT size, root, note FROM checkpoint ORDER BY size DESC LIMIT 1", [], read_signed)
    }
    fn checkpoints(&self, after: u64, limit: u32) -> Result<Vec<Signed>, StorageError> {
        let sql = "SELECT size, root, note FROM checkpoint WHERE size > ?1 ORDER BY size LIMIT ?2";
        self.many(sql, params![Number(after), limit], read_signed)
    }
    fn place_of(&self, hash: &Hash) -> Result<Option<u64>, StorageError> {
        self.one("SELECT place FROM leaf WHERE hash = ?1", [hash], |row| Ok(Ok(number(row, 0)?)))
    }
    fn hash_at(&self, place: u64) -> Result<Option<Hash>, StorageError> {
        let Ok(place) = i64::try_from(place) else { return Ok(None) };
        self.one("SELECT hash FROM leaf WHERE place = ?1", [place], |row| Ok(Ok(row.get(0)?)))
    }
    fn block_by_payload(&self, gateway: &DeviceId, payload: &Hash) -> Result<Option<Block>, StorageError> {
        let sql = format!("{BLOCK} WHERE gateway = ?1 AND payload = ?2 LIMIT 1");
        self.one(&sql, params![gateway.as_str(), payload], read_block)
    }
    fn firmware(&self, since: u64, limit: u32) -> Result<Vec<u64>, StorageError> {
        let Ok(since) = i64::try_from(since) else { return Ok(Vec::new()) };
        let sql = "SELECT place FROM firmware WHERE place >= ?1 ORDER BY place LIMIT ?2";
        self.many(sql, params![since, limit], |row| Ok(Ok(number(row, 0)?)))
    }
    fn keys(&self, kind: FactKind) -> Result<Vec<Vec<u8>>, StorageError> {
        self.many("SELECT key FROM fact WHERE kind = ?1 ORDER BY key", [kind as u8], |row| Ok(Ok(row.get(0)?)))
    }
    fn manifests(&self, signer: &DeviceId, hash: &Hash) -> Result<Vec<Vec<u8>>, StorageError> {
        let sql = "SELECT value FROM fact WHERE kind = ?1 AND signer = ?2 AND instr(value, ?3) > 0";
        self.many(sql, params![FactKind::Manifest as u8, signer.as_str(), hash], |row| Ok(Ok(row.get(0)?)))
    }
    fn evidence(&self, gateway: &DeviceId, limit: u32) -> Result<Vec<Evidence>, StorageError> {
        let sql = "SELECT hash, gateway, entry, code, stands, kept_at FROM evidence WHERE gateway = ?1 LIMIT ?2";
        self.many(sql, params![gateway.as_str(), limit], |row| {
            let gateway: String = row.get(1)?;
            let (hash, entry, code) = (row.get(0)?, row.get(2)?, row.get(3)?);
            let stands = row.get::<_, Option<Number>>(4)?.map(|Number(place)| place);
            let kept_at = Timestamp(row.get(5)?);
            Ok(name(&gateway).map(|gateway| Evidence { hash, gateway, entry, code, stands, kept_at }))
        })
    }
    fn contents(&self) -> Result<Contents, StorageError> {
        let mut contents = Contents::default();
        for member in self.many("SELECT name, role, signing, channel FROM member", [], read_member)? {
            contents.apply(Change::Member(member));
        }
        for block in self.many(BLOCK, [], read_block)? {
            contents.apply(Change::Block(block));
        }
        let facts = self.many("SELECT kind, key, signer, value FROM fact", [], |row| {
            let (kind, key): (u8, Vec<u8>) = (row.get(0)?, row.get(1)?);
            let (signer, value): (String, Vec<u8>) = (row.get(2)?, row.get(3)?);
            let kind = FactKind::from_code(kind).ok_or(StorageError::Impossible("fact"));
            Ok(name(&signer).and_then(|signer| Ok(Change::Fact(kind?, key, Fact { signer, value }))))
        })?;
        facts.into_iter().for_each(|fact| contents.apply(fact));
        contents.firmware =
            self.many("SELECT place FROM firmware", [], |row| Ok(Ok(number(row, 0)?)))?.into_iter().collect();
        Ok(contents)
    }
    fn unsound(&self) -> Result<Option<String>, StorageError> {
        let said: String = self.0.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
        Ok((said != "ok").then_some(said))
    }
}

impl Draft for Rows<'_> {
    fn found(&mut self, origin: &str, version: u64) -> Result<(), StorageError> {
        self.run("INSERT INTO log (only_row, origin, version) VALUES (1, ?1, ?2)", params![origin, Number(version)])
    }

    fn place(&mut self, place: u64, hash: &Hash, changes: Vec<Change>) -> Result<(), StorageError> {
        self.run("INSERT INTO leaf (place, hash) VALUES (?1, ?2)", params![Number(place), hash])?;
        for change in changes {
            match change {
                Change::Member(m) => self.run(
                    "INSERT INTO member (name, role, signing, channel, place) VALUES (?1, ?2, ?3, ?4, ?5)
                     ON CONFLICT (name) DO UPDATE SET signing = excluded.signing, place = excluded.place",
                    params![m.name.as_str(), m.role as u8, m.signing, m.channel, Number(place)],
                ),
                Change::Firmware(at) => self.run("INSERT INTO firmware (place) VALUES (?1)", [Number(at)]),
                Change::Fact(FactKind::Version, key, fact) => self.upgrade(place, &key, &fact),
                Change::Fact(kind, key, fact) => self.put_fact(place, kind, &key, &fact),
                Change::Block(b) => self.run(
                    "INSERT INTO block (gateway, incarnation, number, place, hash, payload, payload_bytes)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                    params![
                        b.gateway.as_str(),
                        Number(b.head.incarnation),
                        Number(b.head.index),
                        Number(place),
                        b.head.hash,
                        b.payload,
                        Number(b.payload_bytes)
                    ],
                ),
            }?;
        }
        Ok(())
    }

    fn keep(&mut self, e: &Evidence) -> Result<(), StorageError> {
        self.run(
            "INSERT INTO evidence (hash, gateway, entry, code, stands, kept_at)
             SELECT ?1, ?2, ?3, ?4, ?5, ?6 WHERE (SELECT count(*) FROM evidence WHERE gateway = ?2) < ?7
             ON CONFLICT (hash) DO NOTHING",
            params![e.hash, e.gateway.as_str(), e.entry, e.code, e.stands.map(Number), e.kept_at.0, EVIDENCE_MAX],
        )
    }

    fn signed(&mut self, checkpoint: &Signed) -> Result<(), StorageError> {
        let sql = "INSERT INTO checkpoint (size, root, note) VALUES (?1, ?2, ?3)";
        self.run(sql, params![Number(checkpoint.size), checkpoint.root, checkpoint.note])
    }
}
