//! Who may sign in.

use pitchside_model::Timestamp;
use rusqlite::{Row, params};

use crate::error::StoreError;
use crate::sql;
use crate::tables::Tables;

/// The most users.
pub const USERS_MAX: u64 = 1_000;
/// The most bytes of a name, role or hash.
const TEXT_BYTES_MAX: usize = 512;

/// Somebody who may sign in.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// The name they sign in with.
    pub name: String,
    /// What they may do: a word of `admin`.
    pub role: String,
    /// Their password, hashed with argon2id (a PHC string).
    pub password_hash: String,
    /// Since when.
    pub added_at: Timestamp,
    /// Since when they no longer may.
    pub disabled_at: Option<Timestamp>,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "User({}, {})", self.name, self.role)
    }
}

pub(crate) fn user(row: &Row<'_>) -> rusqlite::Result<User> {
    Ok(User {
        name: row.get(0)?,
        role: row.get(1)?,
        password_hash: row.get(2)?,
        added_at: Timestamp(row.get(3)?),
        disabled_at: row.get::<_, Option<i64>>(4)?.map(Timestamp),
    })
}

impl Tables {
    /// Adds a user; the name must be free.
    pub fn add_user(&self, user: User) -> Result<(), StoreError> {
        self.write_user(user, sql!("users/add"))
    }

    /// Adds a user or replaces role, password and state of the one with that name.
    pub fn put_user(&self, user: User) -> Result<(), StoreError> {
        self.write_user(user, sql!("users/put"))
    }

    fn write_user(&self, user: User, statement: &'static str) -> Result<(), StoreError> {
        for (what, text) in
            [("a user's name", &user.name), ("a role", &user.role), ("a password hash", &user.password_hash)]
        {
            crate::devices::limit(what, text.as_bytes(), TEXT_BYTES_MAX)?;
        }
        if !user.password_hash.starts_with("$argon2id$") {
            return Err(StoreError::Conflict("a password is stored only as an argon2id hash".to_owned()));
        }
        self.write(move |connection| {
            let others: i64 =
                connection.prepare_cached(sql!("users/count_others"))?.query_row([&user.name], |row| row.get(0))?;
            if others.cast_unsigned() >= USERS_MAX {
                return Err(StoreError::TooLarge { what: "the number of users", size: USERS_MAX + 1, max: USERS_MAX });
            }
            let added = connection.prepare_cached(statement)?.execute(params![
                user.name,
                user.role,
                user.password_hash,
                user.added_at.0,
                user.disabled_at.map(|at| at.0)
            ])?;
            match added {
                0 => Err(StoreError::Exists { what: "user", name: user.name.clone() }),
                _ => Ok(()),
            }
        })
    }

    /// One user, disabled or not.
    pub fn user(&self, name: &str) -> Result<Option<User>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql!("users/get"))?;
            let found = statement.query_map([name], user)?.next().transpose()?;
            Ok(found)
        })
    }

    /// All users by name.
    pub fn users(&self) -> Result<Vec<User>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql!("users/all"))?;
            let found = statement.query_map([], user)?.collect::<rusqlite::Result<_>>()?;
            Ok(found)
        })
    }

    /// Removes a user.
    pub fn remove_user(&self, name: &str) -> Result<(), StoreError> {
        let name = name.to_owned();
        self.write(move |connection| match connection.prepare_cached(sql!("users/remove"))?.execute([&name])? {
            0 => Err(StoreError::Unknown { what: "user", name: name.clone() }),
            _ => Ok(()),
        })
    }
}
