//! The alert path: what the last drill says of it, outputs that have stopped, fail or have given up since, and routes nobody follows.

use std::path::Path;

use pitchside_model::{PluginName, Timestamp};
use pitchside_script::manifest::PluginKind;

use super::Finding;
use crate::cli::context::Context;
use crate::cli::output::counted;
use crate::delivery::drill::Report;
use crate::pipeline::outputs::authorities::Authorities;
use crate::pipeline::outputs::hearing::routes_of_nobody;
use crate::plugins::wanted::{Inventory, Wanted};

/// A drill that is so much later than it should be, beyond once more its interval, does not come.
const LATE_US: i64 = 120_000_000;
/// How long what an output gave up is told at the most.
const DAY_US: i64 = 24 * 3_600 * 1_000_000;

/// What it is told as that outputs trust nobody.
pub const AUTHORITIES: &str = "authorities";

/// What it is told as that a route has no output.
pub const ROUTES: &str = "routes";

/// The alert path.
pub fn findings(context: &Context, now: Timestamp) -> Vec<Finding> {
    let path = path(context, now)
        .unwrap_or_else(|error| Finding::new("alert path", false, format!("{error:#}"), "pitchside doctor"));
    let authorities = authorities(context.settings.delivery.authorities.as_deref());
    let routes = routes(context)
        .unwrap_or_else(|error| vec![Finding::new(ROUTES, false, format!("{error:#}"), "pitchside doctor")]);
    std::iter::once(path).chain(authorities).chain(routes).collect()
}

/// Routes that nobody follows: whoever was meant hears of everything, at any hour.
fn routes(context: &Context) -> anyhow::Result<Vec<Finding>> {
    let routes = &context.settings.delivery.routes;
    if routes.is_empty() {
        return Ok(Vec::new());
    }
    let inventory = Inventory::read(context.settings.plugins.dir.as_deref(), &context.tables)?;
    let finding = |name: &PluginName| {
        let evidence = format!("there is no output {name}: nobody follows [delivery.routes.{name}]");
        let mend = "pitchside plugin list; correct its name in the settings and restart, or install that output";
        Finding::new(ROUTES, false, evidence, mend)
    };
    Ok(routes_of_nobody(routes, &inventory).into_iter().map(finding).collect())
}

/// Certificate authorities of the clinic's own that are of no use: nothing goes out by TLS or mail.
fn authorities(file: Option<&Path>) -> Option<Finding> {
    let file = file?;
    let error = Authorities::check(file).err()?;
    let evidence = format!("outputs reach nobody by HTTPS or mail: {error:#}");
    let mend = format!(
        "put the clinic's certificate authorities into {}, in PEM, or name them in delivery.authorities; pitchside config check",
        file.display()
    );
    Some(Finding::new(AUTHORITIES, false, evidence, mend))
}

fn path(context: &Context, now: Timestamp) -> anyhow::Result<Finding> {
    if context.settings.rules.dir.is_none() {
        return Ok(Finding::well("alert path", "no rules, so no alerts"));
    }
    let drill = context.tables.last_drill()?;
    let ended = drill.as_ref().map(|drill| drill.ended.unwrap_or((drill.asked_at, false)));
    let report: Report = drill.and_then(|drill| serde_json::from_str(&drill.report).ok()).unwrap_or_default();
    if let Some((at, false)) = ended {
        let last = context.tables.path_proved_at()?.map_or_else(|| "never".to_owned(), |at| at.to_string());
        let mend = mend(&report);
        return Ok(Finding::new("alert path", false, format!("drill at {at}: {report}; last proven: {last}"), mend));
    }
    // Whatever the last drill proved: this it did not see.
    let inventory = Inventory::read(context.settings.plugins.dir.as_deref(), &context.tables)?;
    let down = inventory.outputs_down(&context.tables)?;
    if let Some((name, why)) = down.first_key_value() {
        let evidence = format!("output {name} does not run: {why}");
        return Ok(Finding::new("alert path", false, evidence, to_mend_an_output(name.as_str())));
    }
    if let Some((name, steps)) = fails(context, &inventory)? {
        let steps = counted(u64::from(steps), "step");
        let evidence = format!("output {name}: its script fails on {steps} of alerts");
        let mend = format!("pitchside plugin logs {name}; mend or set it, and they go out within a day of their alert");
        return Ok(Finding::new("alert path", false, evidence, mend));
    }
    if let Some((name, requests)) = gave_up(context, &inventory, &report, now)? {
        let requests = counted(u64::from(requests), "request");
        let evidence = format!("output {name} gave up {requests} of alerts, and nothing newer went out");
        return Ok(Finding::new("alert path", false, evidence, to_mend_an_output(name.as_str())));
    }
    let Some(every) = context.settings.delivery.drill_every.0 else {
        return Ok(Finding::well("alert path", "drills are off (delivery.drill_every): nothing proves it"));
    };
    let Some((at, _)) = ended else {
        return Ok(Finding::well("alert path", format!("no drill yet; there is one every {every}")));
    };
    let late = now.micros_since(at) > 2 * i64::from(every.0) * 1_000_000 + LATE_US;
    let unproven = if report.unproven.is_empty() {
        String::new()
    } else {
        format!("; nothing is proven of {}", report.unproven.join(", "))
    };
    let evidence = format!("proven at {at}: {report}{unproven}");
    Ok(Finding::new("alert path", !late, evidence, "systemctl status pitchside; pitchside alerts drill"))
}

/// The first output that is on and whose script fails on steps that are kept for it, with how many.
fn fails(context: &Context, inventory: &Inventory) -> anyhow::Result<Option<(PluginName, u32)>> {
    let failed = context.tables.steps_failed()?;
    let is_on = |wanted: &Wanted| wanted.enabled && wanted.folder.manifest.kind == PluginKind::Output;
    Ok(inventory.plugins.iter().filter(|(_, wanted)| is_on(wanted)).find_map(|(name, _)| {
        let (_, steps) = failed.iter().find(|(output, _)| output == name)?;
        Some((name.clone(), *steps))
    }))
}

/// The first output that is on and gave requests up, with how many: since the path was last proven, or of the last day if no drill proves
/// anything of it. The day bounds it, for what hears no drill may have nothing to send for weeks.
fn gave_up(
    context: &Context,
    inventory: &Inventory,
    report: &Report,
    now: Timestamp,
) -> anyhow::Result<Option<(PluginName, u32)>> {
    let a_day_ago = Timestamp(now.0.saturating_sub(DAY_US));
    let proven_at = context.tables.path_proved_at()?.unwrap_or(a_day_ago).max(a_day_ago);
    for (name, wanted) in &inventory.plugins {
        if !wanted.enabled || wanted.folder.manifest.kind != PluginKind::Output {
            continue;
        }
        let is_unproven = report.unproven.iter().any(|unproven| unproven == name.as_str());
        let given_up = context.tables.requests_given_up(if is_unproven { a_day_ago } else { proven_at })?;
        if let Some((_, requests)) = given_up.into_iter().find(|(output, _)| output == name.as_str()) {
            return Ok(Some((name.clone(), requests)));
        }
    }
    Ok(None)
}

fn to_mend_an_output(name: &str) -> String {
    format!("pitchside plugin logs {name}; then pitchside alerts drill")
}

/// The command for the first leg that failed.
fn mend(report: &Report) -> String {
    let leg = report.legs.iter().find(|leg| leg.fault.is_some()).map_or("", |leg| leg.leg.as_str());
    match leg.strip_prefix("output ") {
        Some(name) => to_mend_an_output(name),
        None if leg == "rules" => {
            "pitchside rules check; systemctl restart pitchside; pitchside alerts drill".to_owned()
        }
        None => "pitchside doctor --health; systemctl restart pitchside; pitchside alerts drill".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_that_are_of_no_use_are_named_with_their_file_and_none_are_no_finding() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("authorities.pem");
        assert!(authorities(None).is_none());
        let found = authorities(Some(&file)).unwrap();
        assert!(!found.ok && found.what == AUTHORITIES && found.evidence.contains("No such file"), "{found:?}");
        assert!(found.mend.unwrap().contains(&file.display().to_string()));
        std::fs::write(&file, rcgen::generate_simple_self_signed(vec!["clinic".to_owned()]).unwrap().cert.pem())
            .unwrap();
        assert!(authorities(Some(&file)).is_none());
    }
}
