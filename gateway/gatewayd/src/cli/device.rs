//! `pitchside device`.

use std::path::Path;

use anyhow::Context as _;
use data_encoding::HEXLOWER_PERMISSIVE;
use pitchside_auth::enrol::{self, EnrolError, NewDevice};
use pitchside_auth::{Card, DeviceRecord, GatewayIdentity, Kek, PasswordCost, Role};
use pitchside_model::{DeviceId, PluginName};
use pitchside_store::Tables;
use pitchside_wire::{Class, PrivateKey, PublicKey};
use serde::Serialize;
use zeroize::Zeroizing;

use super::args::{ClassArg, ConfigArg, DeviceCommand};
use super::nonsense::{self, Asked};
use super::output::{Output, note};
use super::{Failure, Outcome, bonded, bonds, context};
use crate::adapters::keys::row;
use crate::clock::Clock;
use crate::files::write_secret;
use crate::identity::Identity;
use crate::random::OsRandom;

#[derive(Serialize)]
struct Row {
    id: String,
    class: String,
    athlete: Option<String>,
    decoder: Option<String>,
    enrolled_at: String,
    revoked_at: Option<String>,
}

#[derive(Serialize)]
struct Enrolled<'a> {
    id: &'a DeviceId,
    class: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<&'a str>,
    #[serde(skip)]
    picture: Option<Zeroizing<String>>,
}

/// What an enrolment hands over, once.
pub enum Handed {
    /// The device's card.
    Card(Box<Card>),
    /// A hub's or app's password.
    Password(Zeroizing<String>),
    /// Nothing: a cable.
    Nothing,
}

/// What is to be enrolled.
pub struct Plan {
    /// Its name.
    pub id: DeviceId,
    /// How it proves who it is.
    pub class: ClassArg,
    /// P2: its own public key.
    pub own_key: Option<PublicKey>,
    /// Its decoder plugin.
    pub decoder: Option<PluginName>,
    /// App: what it may read.
    pub filters: Vec<String>,
}

/// `pitchside device`.
pub fn device(command: &DeviceCommand, config: &ConfigArg, output: &Output) -> Outcome {
    if let DeviceCommand::Bonds { from, out: Some(out), follow: true } = command {
        return bonds::follow(from, out);
    }
    if let DeviceCommand::Bonds { from, out, .. } = command {
        return bonds::bonds(from, out.as_deref(), output);
    }
    let context = context::open(config)?;
    let tables = &context.tables;
    let mut waits_for = None;
    if let DeviceCommand::Enrol { id, class, public_key, decoder, read, radio, .. } = command {
        let (has_own_key, decoder) = (public_key.is_some(), decoder.as_ref());
        waits_for = nonsense::enrolment(&context, &Asked { id, class: *class, has_own_key, decoder, read, radio })?;
    }
    match command {
        DeviceCommand::Enrol { id, class: ClassArg::Bonded, radio, out: None, .. } => {
            bonded::enrol(&context, id, radio, output)?;
        }
        DeviceCommand::Enrol { class: ClassArg::Bonded, .. } => {
            return Err(Failure::Usage(
                "a bonded device has no secret that a file could hold: leave --out out".to_owned(),
            ));
        }
        DeviceCommand::Code { id, forget } => bonded::code(&context, id, *forget, output)?,
        DeviceCommand::Forget { id } => bonded::forget(&context, id, output)?,
        DeviceCommand::Bonds { .. } => {}
        DeviceCommand::Enrol { id, class, public_key, decoder, read, out, radio } => {
            if let Some(out) = out.as_deref().filter(|out| out.exists()) {
                let text = format!("{} exists; a secret never replaces a file (nothing was enrolled)", out.display());
                return Err(Failure::Failed(anyhow::anyhow!(text)));
            }
            let own_key = public_key.as_deref().map(parse_key).transpose()?;
            let plan = Plan { id: id.clone(), class: *class, own_key, decoder: decoder.clone(), filters: read.clone() };
            let (record, handed) = enrol(&context.identity, &plan)?;
            let record = bonded::reach(&context, record, radio)?;
            let word = record.class.word();
            tables.add_device(row(record))?;
            hand_over(id, word, &handed, out.as_deref(), output)?;
        }
        DeviceCommand::List => list(tables, output)?,
        DeviceCommand::Assign { device, athlete } => {
            nonsense::assignment(tables, device)?;
            tables.assign(device, athlete, Clock::System.now())?;
            output.print(&(device, athlete), |(device, athlete)| format!("{device} now measures {athlete}"))?;
        }
        DeviceCommand::Revoke { id } => {
            tables.revoke_device(id, Clock::System.now())?;
            output.print(id, |id| {
                format!("{id} is revoked; a running gateway ends its session within a quarter of a second")
            })?;
        }
    }
    if let Some(text) = waits_for {
        note(&text);
    }
    Ok(())
}

fn parse_key(text: &str) -> Result<PublicKey, Failure> {
    let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    let key = bytes.map(PublicKey);
    let key = key.ok_or_else(|| Failure::Usage("--public-key takes 64 hexadecimal digits".to_owned()))?;
    if key.is_low_order() { Err(Failure::Usage(EnrolError::LowOrder.to_string())) } else { Ok(key) }
}

/// Makes the record for the store and what is handed to the device.
pub fn enrol(identity: &Identity, plan: &Plan) -> anyhow::Result<(DeviceRecord, Handed)> {
    let own = plan.id.as_str() == pitchside_rules::drill::DRILL_DEVICE;
    anyhow::ensure!(!own, "{} is the name of the gateway's own drills: choose another", plan.id);
    let kek = Kek::new(*identity.derive(crate::pipeline::AUTH_KEK)?);
    let now = Clock::System.now();
    let class = match plan.class {
        ClassArg::P0 => Class::P0,
        ClassArg::P1 => Class::P1,
        ClassArg::P2 => Class::P2,
        ClassArg::Password | ClassArg::App => {
            let role = match plan.class {
                ClassArg::App => Role::App { filters: plan.filters.clone() },
                _ => Role::Hub,
            };
            let password = enrol::make_password(&mut OsRandom)?;
            let record = enrol::password(
                plan.id.clone(),
                role,
                password.as_bytes(),
                plan.decoder.clone(),
                PasswordCost::RECOMMENDED,
                &kek,
                &mut OsRandom,
                now,
            )?;
            return Ok((record, Handed::Password(password)));
        }
        ClassArg::Bonded => anyhow::bail!("a bonded device is enrolled with its address"),
        ClassArg::Wired => return Ok((enrol::wired(plan.id.clone(), plan.decoder.clone(), now), Handed::Nothing)),
    };
    let gateway = GatewayIdentity::from_private(PrivateKey::new(*identity.noise));
    let new = NewDevice { id: plan.id.clone(), class, own_key: plan.own_key, decoder: plan.decoder.clone() };
    let (record, card) = enrol::device(new, &gateway, &kek, &mut OsRandom, now)?;
    Ok((record, Handed::Card(Box::new(card))))
}

fn hand_over(id: &DeviceId, class: &str, handed: &Handed, out: Option<&Path>, output: &Output) -> anyhow::Result<()> {
    let (secret, file, picture) = match handed {
        Handed::Card(card) => (Some(card.to_text()), Some(card.to_file()), card.to_terminal().ok()),
        Handed::Password(password) => (Some(password.clone()), Some(password.clone()), None),
        Handed::Nothing => (None, None, None),
    };
    if let (Some(out), Some(file)) = (out, &file) {
        write_secret(out, file.as_bytes())
            .context("the device is enrolled, but its secret could not be written: revoke it and enrol another id")?;
    }
    if let (Some(out), None) = (out, &file) {
        note(&format!("a cable has no secret: {} is not written", out.display()));
    }
    let out = out.filter(|_| file.is_some());
    let enrolled = Enrolled {
        id,
        class,
        file: out.map(|out| out.display().to_string()),
        // Written to a file, it need not also be shown.
        secret: if out.is_some() { None } else { secret.as_ref().map(|secret| secret.as_str()) },
        picture,
    };
    output.print(&enrolled, |e| {
        let mut text = format!("enrolled {} ({})", e.id, e.class);
        if let Some(file) = &e.file {
            text.push_str(&format!("; its secret is in {file}"));
        }
        if let Some(secret) = e.secret {
            let picture = e.picture.as_ref().map_or("", |picture| picture.as_str());
            text.push_str(&format!("\n{picture}\nShown only now: {secret}"));
        }
        text
    })
}

fn list(tables: &Tables, output: &Output) -> anyhow::Result<()> {
    let assignments = tables.assignments()?;
    let rows: Vec<Row> = tables
        .devices()?
        .into_iter()
        .map(|device| Row {
            athlete: assignments.iter().find(|a| a.device == device.id).map(|a| a.athlete.to_string()),
            id: device.id.to_string(),
            class: device.class,
            decoder: device.decoder.map(|decoder| decoder.to_string()),
            enrolled_at: device.enrolled_at.to_string(),
            revoked_at: device.revoked_at.map(|at| at.to_string()),
        })
        .collect();
    output.table(&rows, &["DEVICE", "CLASS", "ATHLETE", "DECODER", "ENROLLED", "REVOKED"], |r| {
        let dash = || "-".to_owned();
        vec![
            r.id.clone(),
            r.class.clone(),
            r.athlete.clone().unwrap_or_else(dash),
            r.decoder.clone().unwrap_or_else(dash),
            r.enrolled_at.clone(),
            r.revoked_at.clone().unwrap_or_else(dash),
        ]
    })
}
