//! `pitchside user`.

use std::io::{BufRead as _, Read as _};

use anyhow::Context as _;
use data_encoding::BASE32_NOPAD;
use pitchside_admin::{PASSWORD_BYTES_MAX, PasswordHash, UserName};
use pitchside_store::{Tables, User};
use serde::Serialize;
use zeroize::Zeroizing;

use super::args::{ConfigArg, RoleArg, UserCommand};
use super::output::Output;
use super::{Failure, Outcome, context};
use crate::clock::Clock;
use crate::random::OsRandom;

#[derive(Serialize)]
struct Row {
    name: String,
    role: String,
    added_at: String,
    disabled: bool,
}

#[derive(Serialize)]
struct Given<'a> {
    name: &'a str,
    role: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<&'a str>,
}

impl Given<'_> {
    fn text(&self, what: &str) -> String {
        let shown = self.password.map(|password| format!(". Password, shown only now: {password}"));
        format!("{what} {} ({}){}", self.name, self.role, shown.unwrap_or_default())
    }
}

impl RoleArg {
    const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Clinician => "clinician",
            Self::Admin => "admin",
        }
    }
}

/// `pitchside user`.
pub fn user(command: &UserCommand, config: &ConfigArg, output: &Output) -> Outcome {
    let tables = context::open(config)?.tables;
    match command {
        UserCommand::Add { name, role, password_stdin } => {
            let given = if *password_stdin { Some(read_password()?) } else { None };
            let made = add_user(&tables, name, role.name(), given.as_ref().map(|p| p.as_str()))?;
            let password = given.is_none().then_some(made.as_str());
            output.print(&Given { name, role: role.name(), password }, |given| given.text("added"))?;
        }
        UserCommand::Password { name, password_stdin } => {
            let given = if *password_stdin { Some(read_password()?) } else { None };
            let user = known(&tables, name)?;
            let made = password_of(given.as_ref().map(|p| p.as_str()))?;
            tables.put_user(User { password_hash: hash(&made)?, ..user.clone() })?;
            let password = given.is_none().then_some(made.as_str());
            output.print(&Given { name, role: &user.role, password }, |given| given.text("another password for"))?;
        }
        UserCommand::Remove { name } => {
            let user = known(&tables, name)?;
            let admin = |user: &User| user.role == RoleArg::Admin.name() && user.disabled_at.is_none();
            if admin(&user) && tables.users()?.iter().filter(|user| admin(user)).count() == 1 {
                return Err(Failure::Usage(format!("{name} is the last admin: add another first")));
            }
            tables.remove_user(name)?;
            output.print(name, |name| format!("removed {name}"))?;
        }
        UserCommand::List => {
            let rows: Vec<Row> = tables
                .users()?
                .into_iter()
                .map(|u| Row {
                    name: u.name,
                    role: u.role,
                    added_at: u.added_at.to_string(),
                    disabled: u.disabled_at.is_some(),
                })
                .collect();
            output.table(&rows, &["NAME", "ROLE", "ADDED", "DISABLED"], |r| {
                vec![r.name.clone(), r.role.clone(), r.added_at.clone(), r.disabled.to_string()]
            })?;
        }
    }
    Ok(())
}

/// Adds a user with the given password, or one made up; returns the password.
pub fn add_user(tables: &Tables, name: &str, role: &str, password: Option<&str>) -> Result<Zeroizing<String>, Failure> {
    if UserName::parse(name).is_none() {
        return Err(Failure::Usage(format!("'{name}' is not a user name: 1 to 64 bytes, no control characters")));
    }
    let password = password_of(password)?;
    tables.add_user(User {
        name: name.to_owned(),
        role: role.to_owned(),
        password_hash: hash(&password)?,
        added_at: Clock::System.now(),
        disabled_at: None,
    })?;
    Ok(password)
}

fn known(tables: &Tables, name: &str) -> Result<User, Failure> {
    tables.user(name)?.ok_or_else(|| Failure::Usage(format!("there is no user {name}: pitchside user list")))
}

fn hash(password: &str) -> anyhow::Result<String> {
    Ok(PasswordHash::new(password.as_bytes(), &OsRandom.bytes()?)?.as_str().to_owned())
}

/// The one that was given, or one made up.
fn password_of(given: Option<&str>) -> anyhow::Result<Zeroizing<String>> {
    given.map_or_else(made_up, |given| Ok(Zeroizing::new(given.to_owned())))
}

/// 100 random bits, in groups that can be read out.
fn made_up() -> anyhow::Result<Zeroizing<String>> {
    let bits = Zeroizing::new(OsRandom.bytes::<13>()?);
    let text = Zeroizing::new(BASE32_NOPAD.encode(bits.as_slice()).to_lowercase());
    let groups: Vec<&str> = (0..20).step_by(5).filter_map(|at| text.get(at..at + 5)).collect();
    Ok(Zeroizing::new(groups.join("-")))
}

fn read_password() -> anyhow::Result<Zeroizing<String>> {
    let mut line = Zeroizing::new(String::new());
    // One byte more than may be, and a line's end: what is longer is refused, not cut.
    std::io::stdin()
        .lock()
        .take(PASSWORD_BYTES_MAX as u64 + 3)
        .read_line(&mut line)
        .context("reading the password from standard input")?;
    Ok(Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned()))
}

#[cfg(test)]
mod tests {
    use pitchside_config::{Gateway, Settings};

    use super::*;
    use crate::cli::{InitPlan, SETTINGS_FILE, make_box};

    #[test]
    fn a_password_is_changed_and_the_last_admin_stays() {
        let dir = tempfile::tempdir().unwrap();
        let gateway = Gateway { data_dir: "data".into(), key_dir: "keys".into(), ..Gateway::default() };
        let settings = Settings { gateway, ..Settings::default() };
        make_box(&InitPlan { dir: dir.path().to_owned(), settings }).unwrap();
        let config = ConfigArg { file: Some(dir.path().join(SETTINGS_FILE)) };
        let tables = context::open(&config).unwrap().tables;
        let run = |command| user(&command, &config, &Output::new(true));
        let password = |name: &str| run(UserCommand::Password { name: name.to_owned(), password_stdin: false });
        let remove = |name: &str| run(UserCommand::Remove { name: name.to_owned() });
        let before = tables.user("admin").unwrap().unwrap();
        assert!(password("admin").is_ok());
        let after = tables.user("admin").unwrap().unwrap();
        assert_ne!(after.password_hash, before.password_hash);
        assert_eq!((after.role, after.added_at), (before.role, before.added_at));
        assert!(matches!(password("eve"), Err(Failure::Usage(why)) if why.contains("no user eve")));
        assert!(tables.user("eve").unwrap().is_none());
        assert!(matches!(remove("admin"), Err(Failure::Usage(why)) if why.contains("last admin")));
        add_user(&tables, "ann", "admin", None).unwrap();
        assert!(remove("admin").is_ok());
        assert!(tables.user("admin").unwrap().is_none());
    }
}
