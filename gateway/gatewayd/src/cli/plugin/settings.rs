//! `plugin set`, `unset`, `secret`, `settings`: what an admin sets of a plugin. The running gateway notices by itself.

use std::io::Read as _;

use anyhow::Context as _;
use pitchside_decode::plugin::Folder;
use pitchside_model::PluginName;
use pitchside_script::manifest::setting::SECRET_BYTES_MAX;
use pitchside_script::manifest::{Chosen, PluginKind, SecretKind, SecretParam};
use pitchside_store::{PluginChange, SealedSetting};
use serde::Serialize;
use zeroize::Zeroizing;

use super::asking::{self, Script};
use super::install::{change, present};
use crate::cli::args::ConfigArg;
use crate::cli::context::{self, Context};
use crate::cli::output::{Output, note};
use crate::cli::{Failure, Outcome};
use crate::clock::Clock;
use crate::pipeline::outputs::signed::{KeyError, SigningKeys};
use crate::plugins::wanted::Wanted;
use crate::random::OsRandom;

/// One thing that can be set.
#[derive(Serialize)]
struct Item {
    key: String,
    /// `number`, `text` or `secret`.
    kind: &'static str,
    /// What it is; of a secret only whether there is one.
    value: Option<String>,
    /// An admin chose it.
    set: bool,
    /// Why it cannot be what was chosen: the plugin does not run before it is set again.
    #[serde(skip_serializing_if = "Option::is_none")]
    misfit: Option<String>,
    /// What it may be, or what it is for.
    may: String,
}

#[derive(Serialize)]
struct Generated<'a> {
    plugin: &'a str,
    secret: &'a str,
    value: &'a str,
}

fn wanted(context: &Context, name: &PluginName) -> Result<Wanted, Failure> {
    present(context, name)?.ok_or_else(|| Failure::Usage(format!("there is no plugin {name}: pitchside plugin list")))
}

/// `plugin set`.
pub(super) fn set(name: &PluginName, key: &str, value: &str, config: &ConfigArg, output: &Output) -> Outcome {
    let context = context::open(config)?;
    let wanted = wanted(&context, name)?;
    if wanted.folder.manifest.kind == PluginKind::Derived {
        return Err(Failure::Usage(format!(
            "{name} derives a stream: its numbers belong to its version, so that alerts can be replayed; change the \
             defaults in its plugin.toml, give it another version and install it"
        )));
    }
    let (manifest, chosen) = (&wanted.folder.manifest, &wanted.folder.chosen);
    let may = manifest.may_choose(key, value).and_then(|()| manifest.may_ask(chosen, key, value));
    may.map_err(|why| Failure::Usage(format!("{name}: {key}: {why}")))?;
    if manifest.kind == PluginKind::Output {
        try_out(&wanted.folder, key, value)?;
    }
    let sealed = context.tables.seal_plugin_setting(name, key, value, false)?;
    change(&context.tables, name, PluginChange::Set(sealed), (&format!("{key} is {value} from now on"), ""), output)
}

/// Refuses a choice that keeps an output from sending: its script is asked about a sample of each step it hears of. What it can do nothing
/// with whatever this is set to is told, and no reason against it.
fn try_out(folder: &Folder, key: &str, value: &str) -> Result<(), Failure> {
    let samples = asking::samples(&folder.manifest.hears, Clock::System.now())?;
    let faults = |chosen: Chosen| {
        let mut script = Script::start(&Folder { chosen, ..folder.clone() })?;
        samples.iter().map(|event| Ok(asking::fault(&script.tell(event)?))).collect::<Result<Vec<_>, Failure>>()
    };
    let choice = (key.to_owned(), value.to_owned());
    let with = faults(folder.chosen.clone().into_iter().chain([choice.clone()]).collect())?;
    if with.iter().all(Option::is_none) {
        return Ok(());
    }
    // What failed before may do so for another choice: then it tells what this one does by itself.
    let (before, alone, plain) =
        (faults(folder.chosen.clone())?, faults(Chosen::from([choice]))?, faults(Chosen::new())?);
    let beside = before.iter().zip(alone.iter().zip(&plain));
    for ((event, with), (before, (alone, plain))) in samples.iter().zip(&with).zip(beside) {
        let Some(why) = with else { continue };
        let (name, step) = (&folder.manifest.name, asking::named(event));
        if before.is_none() || (alone.is_some() && plain.is_none()) {
            return Err(Failure::Usage(format!("{name}: {key}: so it could send nothing of {step}: {why}")));
        }
        note(&format!("{name} still sends nothing of {step}: {why}"));
    }
    Ok(())
}

/// `plugin unset`.
pub(super) fn unset(name: &PluginName, key: &str, config: &ConfigArg, output: &Output) -> Outcome {
    let context = context::open(config)?;
    let to = PluginChange::Unset { key: key.to_owned(), secret: false };
    let (deed, nothing) = (format!("{key} is what the manifest says"), format!("{key} was not set"));
    change(&context.tables, name, to, (&deed, &nothing), output)
}

/// `plugin secret`.
pub(super) fn secret(
    name: &PluginName,
    key: &str,
    (generate, remove): (bool, bool),
    config: &ConfigArg,
    output: &Output,
) -> Outcome {
    let context = context::open(config)?;
    if remove {
        let to = PluginChange::Unset { key: key.to_owned(), secret: true };
        let (deed, nothing) = (format!("the secret {key} is gone"), format!("there was no secret {key}"));
        return change(&context.tables, name, to, (&deed, &nothing), output);
    }
    let wanted = wanted(&context, name)?;
    let declared = &wanted.folder.manifest.secrets;
    let Some((_, about)) = declared.iter().find(|(known, _)| known == key) else {
        let all: Vec<&str> = declared.iter().map(|(known, _)| known.as_str()).collect();
        let all = if all.is_empty() { "none".to_owned() } else { all.join(", ") };
        return Err(Failure::Usage(format!("{name} has no secret {key}; it has {all}")));
    };
    let deed = format!("the secret {key} was set");
    if generate {
        if about.kind != SecretKind::Signing {
            return Err(Failure::Usage(format!(
                "{key} is given by whoever asks for it: only signing keys are made here"
            )));
        }
        let value = SigningKeys::generate(&Zeroizing::new(OsRandom.bytes::<32>()?));
        context.tables.change_plugin(name, seal(&context, name, key, &value)?, &deed, Clock::System.now())?;
        let made = Generated { plugin: name.as_str(), secret: key, value: &value };
        output.print(&made, |made| format!("{}: {}, shown only now: {}", made.plugin, made.secret, made.value))?;
        return Ok(());
    }
    let value = read()?;
    fits(about, &value).map_err(|why| Failure::Usage(format!("{name}: {key}: {why}")))?;
    if about.kind == SecretKind::Text && !is_b64token(&value) && asking::sends_as_token(&wanted.folder, key)? {
        return Err(Failure::Usage(format!(
            "{name}: {key}: it goes out as a bearer token, which is letters, digits and -._~+/, and perhaps = at its end (RFC 6750): give \
             the token alone, without the word Bearer, quotes or spaces"
        )));
    }
    change(&context.tables, name, seal(&context, name, key, &value)?, (&deed, ""), output)
}

fn seal(context: &Context, name: &PluginName, key: &str, value: &str) -> anyhow::Result<PluginChange> {
    let sealed: SealedSetting = context.tables.seal_plugin_setting(name, key, value, true)?;
    Ok(PluginChange::Set(sealed))
}

/// One line of standard input.
fn read() -> anyhow::Result<Zeroizing<String>> {
    let mut line = Zeroizing::new(String::new());
    // One byte more than may be, and a line's end: what is longer is refused, not cut.
    let most = SECRET_BYTES_MAX as u64 + 3;
    std::io::stdin().lock().take(most).read_to_string(&mut line).context("reading the secret from standard input")?;
    Ok(Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned()))
}

/// Whether a secret is what is asked for. What is wrong with it is told without it.
fn fits(about: &SecretParam, value: &str) -> Result<(), String> {
    if value.is_empty() {
        return Err("nothing came on standard input".to_owned());
    }
    if value.len() > SECRET_BYTES_MAX || value.chars().any(char::is_control) {
        return Err(format!("a secret is one line of at most {SECRET_BYTES_MAX} bytes"));
    }
    match about.kind {
        SecretKind::Text => Ok(()),
        SecretKind::Signing => SigningKeys::parse(value).map(drop).map_err(|error: KeyError| error.to_string()),
    }
}

/// Whether a text can be a bearer token: `b64token` of RFC 6750, 2.1.
fn is_b64token(text: &str) -> bool {
    let token = text.trim_end_matches('=');
    !token.is_empty() && token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b))
}

/// `plugin settings`.
pub(super) fn settings(name: &PluginName, config: &ConfigArg, output: &Output) -> Outcome {
    let wanted = wanted(&context::open(config)?, name)?;
    let (manifest, chosen) = (&wanted.folder.manifest, &wanted.folder.chosen);
    let misfit = |key: &String| chosen.get(key).and_then(|written| manifest.may_choose(key, written).err());
    let numbers = manifest.params.iter().map(|(key, param)| Item {
        key: key.clone(),
        kind: "number",
        value: Some(chosen.get(key).cloned().unwrap_or_else(|| param.default.to_string())),
        set: chosen.contains_key(key),
        misfit: misfit(key),
        may: format!("{} to {}{}", param.min, param.max, if param.whole { ", whole" } else { "" }),
    });
    let texts = manifest.texts.iter().map(|(key, text)| Item {
        key: key.clone(),
        kind: "text",
        value: chosen.get(key).or(text.default.as_ref()).cloned(),
        set: chosen.contains_key(key),
        misfit: misfit(key),
        may: match (&text.default, text.one_of.is_empty()) {
            (_, false) => format!("one of {}", text.one_of.join(", ")),
            (None, true) => format!("at most {} bytes, e.g. {}", text.max, text.example),
            (Some(_), true) => format!("at most {} bytes", text.max),
        },
    });
    let secrets = manifest.secrets.iter().map(|(key, secret)| Item {
        key: key.clone(),
        kind: "secret",
        value: None,
        set: wanted.secrets.contains(key),
        misfit: None,
        may: format!("{}{}", secret.summary, if secret.optional { " Optional." } else { "" }),
    });
    let items: Vec<Item> = numbers.chain(texts).chain(secrets).collect();
    output.table(&items, &["KEY", "KIND", "VALUE", "SET", "MAY BE"], |item| {
        vec![
            item.key.clone(),
            item.kind.to_owned(),
            item.value.clone().unwrap_or_else(|| "-".to_owned()),
            match (&item.misfit, item.set) {
                (Some(why), _) => format!("to be set again: {why}"),
                (None, true) => "yes".to_owned(),
                (None, false) => "no".to_owned(),
            },
            item.may.clone(),
        ]
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_token_is_what_rfc_6750_has_for_one() {
        for token in ["tk_1", "AbCdEf123456==", "eyJ0.e30.x-y_z~+/"] {
            assert!(is_b64token(token), "{token}");
        }
        for other in ["", "=", "Bearer tk_1", "\"tk_1\"", "tö", "a=b", "a:b", " tk", "tk\t"] {
            assert!(!is_b64token(other), "{other}");
        }
    }
}
