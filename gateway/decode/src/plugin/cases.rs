//! `cases.txt` of a plugin, run by the runner of `script` on the very engine and checks of the gateway.
//!
//! The script runs in this process: an author's command or a test, or what a box starts for the cases of a package. Limits hold here too;
//! the kernel's only there.

use pitchside_model::{Quality, Reading, Timestamp};
use pitchside_script::cases::{
    PluginCase, PluginStep, Report, parse_output_cases, parse_plugin_cases, run_output_cases, run_plugin_cases,
};
use pitchside_script::manifest::PluginKind;
use pitchside_script::output::Output;
use pitchside_script::problem::Problem;

use super::engine::Decoder;
use super::message::{Ask, Decoded, Outcome};
use super::{Folder, check};
use crate::error::{Fault, Text};
use crate::tolerance::Tolerances;

/// When the payloads of cases arrive: 2026-01-01T00:00:00Z.
pub const PAYLOAD_TIME: Timestamp = Timestamp::from_seconds(1_767_225_600);

/// Runs the cases of a plugin. `Err` if its script does not compile or its cases do not read, with every problem.
pub fn run(folder: &Folder) -> Result<Report, Vec<String>> {
    let as_lines = |problems: Vec<Problem>| problems.iter().map(ToString::to_string).collect::<Vec<_>>();
    let (name, script) = (folder.manifest.name.as_str(), folder.manifest.kind.script_file());
    if folder.manifest.kind == PluginKind::Derived {
        return Err(vec![super::folder::NO_DECODER.to_owned()]);
    }
    if folder.manifest.kind == PluginKind::Output {
        let load = |chosen: &[(String, String)]| {
            let mut folder = folder.clone();
            for (key, value) in chosen {
                folder.manifest.may_choose(key, value).map_err(|why| vec![format!("{key}: {why}")])?;
            }
            folder.chosen.extend(chosen.iter().cloned());
            Output::load(script, &folder.source, &folder.constants())
        };
        load(&[])?;
        let cases = parse_output_cases("cases.txt", &folder.cases).map_err(as_lines)?;
        return Ok(run_output_cases(name, "cases.txt", &cases, &load));
    }
    let decoder = Decoder::load(script, &folder.source, &folder.params(), &folder.manifest.state)?;
    let cases = parse_plugin_cases("cases.txt", &folder.cases).map_err(as_lines)?;
    let run = |case: &PluginCase| {
        // The payloads of a case are of one device.
        let mut kept = Vec::new();
        Ok(case.steps.iter().map(|step| one(folder, &decoder, step, &mut kept)).collect())
    };
    Ok(run_plugin_cases(name, "cases.txt", &cases, PAYLOAD_TIME, run))
}

/// The readings of one payload, or the name it is refused by. The payload's time stands for the device's clock, so no
/// reading is marked as having none.
fn one(folder: &Folder, decoder: &Decoder, step: &PluginStep, kept: &mut Vec<u8>) -> Result<Vec<Reading>, String> {
    let ask = Ask { payload: step.payload.clone(), topic: step.topic.clone(), state: kept.clone() };
    let Decoded { outcome, state } = decoder.decode(&ask);
    match outcome {
        Outcome::Readings(raw) => {
            let outputs = &folder.manifest.outputs;
            let mut readings = check::readings(raw, outputs, PAYLOAD_TIME, Tolerances::default())
                .map_err(|(_, fault)| fault.code().to_owned())?;
            readings.iter_mut().for_each(|r| r.quality.remove(Quality::NO_CLOCK));
            state.into_iter().for_each(|state| *kept = state);
            Ok(readings)
        }
        Outcome::Refused(name) => Err(name),
        Outcome::Unkept(unkept) => Err(unkept.fault().code().to_owned()),
        Outcome::Fault(why) => Err(format!("(the script failed: {why})")),
        Outcome::NotReadings(kind) => Err(Fault::NotReadings(Text::from(kind.as_str())).code().to_owned()),
    }
}
