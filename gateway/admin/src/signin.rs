//! Who is signed in: a bounded table on the server, reached by 256 random bits in a cookie.
//!
//! The table holds the SHA-256 of those bits, so that neither a look at memory nor the time of a look-up gives a cookie
//! away. (A `Session` alone is a device's secure session in this project; people have sign-ins.)

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use data_encoding::BASE64URL_NOPAD;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::Limits;
use crate::view::{Role, StoredUser, UserName};

/// The cookie's name. The `__Host-` prefix makes browsers insist on Secure, Path=/ and no Domain.
pub const COOKIE: &str = "__Host-pitchside";

type Key = [u8; 32];

/// Somebody signed in.
#[derive(Debug, Clone)]
pub struct SignedIn {
    key: Key,
    /// Who.
    pub user: UserName,
    /// What they may do.
    pub role: Role,
    /// When it ends at the latest.
    pub expires: Instant,
    /// Cancelled when it ends; event streams end with it.
    pub ended: CancellationToken,
    /// Open event streams.
    streams: Arc<AtomicUsize>,
}

struct Row {
    who: SignedIn,
    seen: Instant,
    /// Digest of role and password hash: when it changes, the sign-in is over.
    credential: Key,
}

/// The table of sign-ins. Clones share it.
#[derive(Clone, Default)]
pub struct SignIns(Arc<Mutex<HashMap<Key, Row>>>);

impl std::fmt::Debug for SignIns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SignIns({})", self.0.lock().len())
    }
}

/// Keeps a place among a sign-in's event streams until dropped.
#[derive(Debug)]
pub struct StreamPlace(Arc<AtomicUsize>);

impl Drop for StreamPlace {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl SignIns {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Signs somebody in. `random` is the cookie's secret: fresh, from the operating system. Returns the cookie's value.
    pub fn begin(
        &self,
        user: UserName,
        stored: &StoredUser,
        random: [u8; 32],
        limits: &Limits,
        now: Instant,
    ) -> (String, SignedIn) {
        let cookie = BASE64URL_NOPAD.encode(&random);
        let key = digest(cookie.as_bytes());
        let who = SignedIn {
            key,
            user,
            role: stored.role,
            expires: now + limits.sign_in_time_max,
            ended: CancellationToken::new(),
            streams: Arc::new(AtomicUsize::new(0)),
        };
        let mut table = self.0.lock();
        sweep(&mut table, limits, now);
        let of_user = table.values().filter(|row| row.who.user == who.user).count();
        if of_user >= limits.sign_ins_per_user_max {
            end_idlest(&mut table, |row| row.who.user == who.user);
        } else if table.len() >= limits.sign_ins_max {
            end_idlest(&mut table, |_| true);
        }
        table.insert(key, Row { who: who.clone(), seen: now, credential: credential(stored) });
        (cookie, who)
    }

    /// Who holds this cookie; counts as a sign of life.
    pub fn find(&self, cookie: &str, limits: &Limits, now: Instant) -> Option<SignedIn> {
        let key = digest(cookie.as_bytes());
        let mut table = self.0.lock();
        let row = table.get_mut(&key)?;
        if over(row, limits, now) {
            row.who.ended.cancel();
            table.remove(&key);
            return None;
        }
        row.seen = now;
        Some(row.who.clone())
    }

    /// Ends one sign-in.
    pub fn end(&self, who: &SignedIn) {
        if let Some(row) = self.0.lock().remove(&who.key) {
            row.who.ended.cancel();
        }
    }

    /// Ends all sign-ins of a user.
    pub fn end_user(&self, user: &UserName) {
        self.retain(|row| row.who.user != *user);
    }

    /// Ends the sign-ins of a user unless role and password are still those they signed in with.
    pub fn keep_only(&self, user: &UserName, stored: Option<&StoredUser>) {
        let current = stored.map(credential);
        self.retain(|row| row.who.user != *user || Some(row.credential) == current);
    }

    /// Ends what has expired.
    pub fn sweep(&self, limits: &Limits, now: Instant) {
        sweep(&mut self.0.lock(), limits, now);
    }

    /// Everybody signed in, each once.
    pub fn users(&self) -> Vec<UserName> {
        let mut users: Vec<UserName> = self.0.lock().values().map(|row| row.who.user.clone()).collect();
        users.sort();
        users.dedup();
        users
    }

    /// How many sign-ins there are.
    pub fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// Whether nobody is signed in.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn retain(&self, keep: impl Fn(&Row) -> bool) {
        self.0.lock().retain(|_, row| {
            let keep = keep(row);
            if !keep {
                row.who.ended.cancel();
            }
            keep
        });
    }
}

impl SignedIn {
    /// A place among this sign-in's event streams, if fewer than `streams_max` are open.
    pub fn open_stream(&self, streams_max: usize) -> Option<StreamPlace> {
        let more = |open| (open < streams_max).then_some(open + 1);
        self.streams.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(StreamPlace(Arc::clone(&self.streams)))
    }
}

fn digest(bytes: &[u8]) -> Key {
    Sha256::digest(bytes).into()
}

fn credential(stored: &StoredUser) -> Key {
    digest(format!("{}\n{}", stored.role, stored.password.as_str()).as_bytes())
}

fn over(row: &Row, limits: &Limits, now: Instant) -> bool {
    let watching = row.who.streams.load(Ordering::Relaxed) > 0;
    now >= row.who.expires || (!watching && now.duration_since(row.seen) >= limits.sign_in_idle_max)
}

fn sweep(table: &mut HashMap<Key, Row>, limits: &Limits, now: Instant) {
    table.retain(|_, row| {
        if over(row, limits, now) {
            row.who.ended.cancel();
            return false;
        }
        if row.who.streams.load(Ordering::Relaxed) > 0 {
            row.seen = now;
        }
        true
    });
}

fn end_idlest(table: &mut HashMap<Key, Row>, among: impl Fn(&Row) -> bool) {
    let idlest = table.iter().filter(|(_, row)| among(row)).min_by_key(|(_, row)| row.seen).map(|(key, _)| *key);
    if let Some(row) = idlest.and_then(|key| table.remove(&key)) {
        row.who.ended.cancel();
    }
}

#[cfg(test)]
mod tests;
