//! What a backup takes of the database, as of one moment, while the gateway runs; and putting it into an empty one.
//!
//! Not in it: journal, blocks, alerts (blocks hold them), athletes' keys (they are in no backup; of their copies only the
//! names are, so that an erasure finds them in the ledger), sessions (devices shake hands anew), marks of messages, the logs
//! of plugins and of rules in the shadow.

mod library;

use pitchside_model::Timestamp;
use rusqlite::params;

use crate::athletes::{Assignment, Athlete, AthleteKey, assignment, athlete};
use crate::chain::{Anchor, ends};
use crate::copies::CopyName;
use crate::devices::{Device, device};
use crate::error::StoreError;
use crate::plugins::SealedSetting;
use crate::sql;
use crate::tables::Tables;
use crate::users::{User, user};
pub use library::{LibraryRow, PlainSetting};

/// One row of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotRow {
    /// The ends of the chain; first, once.
    Chain {
        /// The last block.
        last: Option<Anchor>,
        /// The last block known to be in the ledger.
        receipted: Option<Anchor>,
    },
    /// A device, and the highest handshake timestamp accepted from it.
    Device(Device, Option<Vec<u8>>),
    /// An athlete; no key.
    Athlete(Athlete),
    /// Which device measured whom; after all devices and athletes.
    Assignment(Assignment),
    /// Somebody who may sign in.
    User(User),
    /// A copy of a key that the ledger may hold, by its name; after all athletes.
    Copy(CopyName),
    /// Something of plugins or rules.
    Library(LibraryRow),
}

impl Tables {
    /// Shows every row of one moment to `visit`. The database goes on being written meanwhile.
    pub fn snapshot<E: From<StoreError>>(&self, visit: &mut dyn FnMut(SnapshotRow) -> Result<(), E>) -> Result<(), E> {
        let mut broken = None;
        let mut show = |row: SnapshotRow| match visit(row) {
            Ok(()) => Ok(()),
            Err(error) => {
                broken = Some(error);
                Err(StoreError::Closed)
            }
        };
        let shown = self.read(|connection| {
            // Deferred: in write-ahead mode all its reads see the database as the first one found it.
            let moment = connection.unchecked_transaction()?;
            let (last, receipted) = ends(&moment)?;
            show(SnapshotRow::Chain { last, receipted })?;
            let mut statement = moment.prepare(sql!("devices/all"))?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let device = device(row)?;
                let stamp = moment
                    .prepare_cached(sql!("devices/p2_timestamp"))?
                    .query_row([device.id.as_str()], |row| row.get(0))?;
                show(SnapshotRow::Device(device, stamp))?;
            }
            let mut statement = moment.prepare(sql!("athletes/all"))?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                show(SnapshotRow::Athlete(athlete(row)?))?;
            }
            let mut statement = moment.prepare(sql!("assignments/all"))?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                show(SnapshotRow::Assignment(assignment(row)?))?;
            }
            let mut statement = moment.prepare(sql!("users/all"))?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                show(SnapshotRow::User(user(row)?))?;
            }
            let mut statement = moment.prepare(sql!("copies/names"))?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                show(SnapshotRow::Copy(crate::copies::name(row)?))?;
            }
            library::show(&moment, self.vault(), &mut |row| show(SnapshotRow::Library(row)))
        });
        match broken {
            Some(error) => Err(error),
            None => Ok(shown?),
        }
    }

    /// Puts rows of a snapshot into an empty database, all of them or none. The chain is not among them: see
    /// [`Tables::set_chain_start`].
    pub fn put_snapshot(&self, rows: Vec<SnapshotRow>) -> Result<(), StoreError> {
        let sealed = rows.iter().map(|row| self.sealed(row)).collect::<Result<Vec<_>, _>>()?;
        self.write(move |connection| {
            for (row, sealed) in rows.iter().zip(&sealed) {
                match row {
                    SnapshotRow::Library(row) => library::put(connection, row, sealed.as_ref())?,
                    SnapshotRow::Chain { .. } => {}
                    SnapshotRow::Copy(copy) => crate::copies::know(connection, copy)?,
                    SnapshotRow::Device(device, stamp) => {
                        crate::devices::put(connection, device, sql!("devices/add"))?;
                        connection
                            .prepare_cached(sql!("devices/set_p2_timestamp"))?
                            .execute(params![device.id.as_str(), stamp])?;
                    }
                    SnapshotRow::Athlete(a) => {
                        let erased = a.erased_at.map(|at| at.0);
                        connection.prepare_cached(sql!("athletes/put"))?.execute(params![
                            a.id.as_str(),
                            a.added_at.0,
                            a.generation,
                            erased
                        ])?;
                    }
                    SnapshotRow::Assignment(a) => {
                        let to = a.to.map(|at: Timestamp| at.0);
                        connection.prepare_cached(sql!("assignments/put"))?.execute(params![
                            a.device.as_str(),
                            a.athlete.as_str(),
                            a.from.0,
                            to
                        ])?;
                    }
                    SnapshotRow::User(u) => {
                        let disabled = u.disabled_at.map(|at| at.0);
                        connection.prepare_cached(sql!("users/add"))?.execute(params![
                            u.name,
                            u.role,
                            u.password_hash,
                            u.added_at.0,
                            disabled
                        ])?;
                    }
                }
            }
            Ok(())
        })
    }

    /// A plugin's setting under this database's own key.
    fn sealed(&self, row: &SnapshotRow) -> Result<Option<SealedSetting>, StoreError> {
        let SnapshotRow::Library(LibraryRow::Setting(plain)) = row else { return Ok(None) };
        self.seal_plugin_setting(&plain.plugin, &plain.key, &plain.value, plain.secret).map(Some)
    }

    /// Puts back a key that was recovered from its copy; false if it is there already, or the athlete was erased.
    pub fn put_recovered_key(&self, key: AthleteKey) -> Result<bool, StoreError> {
        self.write(move |connection| {
            let mut statement = connection.prepare_cached(sql!("athletes/recover_key"))?;
            Ok(statement.execute(params![key.athlete.as_str(), key.generation, key.wrapped])? > 0)
        })
    }
}
