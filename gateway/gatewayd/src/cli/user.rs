//! `pitchside user`.

use anyhow::Context as _;
use data_encoding::BASE32_NOPAD;
use pitchside_admin::{PasswordHash, UserName};
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
struct Added<'a> {
    name: &'a str,
    role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<&'a str>,
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
            output.print(&Added { name, role: role.name(), password }, |added| match added.password {
                Some(password) => format!("added {name} ({}). Password, shown only now: {password}", added.role),
                None => format!("added {name} ({})", added.role),
            })?;
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
    let password = match password {
        Some(given) => Zeroizing::new(given.to_owned()),
        None => made_up()?,
    };
    let hash = PasswordHash::new(password.as_bytes(), &OsRandom.bytes()?)?;
    tables.add_user(User {
        name: name.to_owned(),
        role: role.to_owned(),
        password_hash: hash.as_str().to_owned(),
        added_at: Clock::System.now(),
        disabled_at: None,
    })?;
    Ok(password)
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
    std::io::stdin().read_line(&mut line).context("reading the password from standard input")?;
    Ok(Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned()))
}
