//! The rules of the top-level folder `rules/`: what each must come with.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::PathBuf;

use pitchside_rules::{RuleSet, RuleSource, lint_rule, run_cases, run_rule_texts};
use pitchside_script::cases::{Content, Outcome, RuleCase, parse_rule_cases};
use pitchside_script::manifest::{RuleCategory, RuleScope};

/// What the README of a rule says, in this order.
const HEADINGS: [&str; 5] = ["**Does:**", "**Does not:**", "**Source:**", "**Known false alerts:**", "**Params:**"];
/// What no rule says: an alert asks people to assess, it finds no illness.
const BANNED: [&str; 2] = ["diagnos", concat!("ala", "rm")];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../rules")
}

fn rules() -> Vec<RuleSource> {
    RuleSet::load(&folder()).unwrap().rules().to_vec()
}

fn text(rule: &RuleSource, file: &str) -> String {
    std::fs::read_to_string(folder().join(rule.name().as_str()).join(file)).unwrap()
}

#[test]
fn every_case_of_every_rule_passes() {
    let report = run_cases(&folder());
    assert!(report.passed(), "{report}");
    assert!(report.cases.len() >= 16, "{report}");
}

/// A manifest with another default of a param.
fn with_default(manifest: &str, param: &str, value: f64) -> String {
    let (before, after) =
        manifest.split_once(&format!("[params.{param}]\ndefault = ")).expect("each param begins with its default");
    let (_, rest) = after.split_once('\n').unwrap();
    format!("{before}[params.{param}]\ndefault = {value:?}\n{rest}")
}

#[test]
fn a_clinic_may_choose_any_param_and_the_rules_own_cases_still_hold() {
    for rule in rules() {
        let [manifest, script, cases] = ["rule.toml", "rule.rhai", "cases.txt"].map(|file| text(&rule, file));
        for (name, param) in &rule.manifest.params {
            for chosen in [param.default * 0.98, param.default * 1.02, param.min, param.max] {
                let manifest = with_default(&manifest, name, chosen.clamp(param.min, param.max));
                let report = run_rule_texts(rule.name().as_str(), &manifest, &script, &cases);
                assert!(report.passed(), "{} with {name} {chosen}: {report}", rule.name());
            }
        }
    }
}

#[test]
fn whatever_a_clinic_chooses_healthy_values_end_a_raised_alert_and_the_rule_can_raise() {
    let rules = rules();
    let bounds = |rule: &str, param: &str| {
        let rule = rules.iter().find(|known| known.name().as_str() == rule).unwrap();
        let (_, param) = rule.manifest.params.iter().find(|(name, _)| name == param).unwrap();
        (param.min, param.max)
    };
    for (rule, limit, healthy) in [
        ("low-oxygen-saturation", "limit_percent", 95.0),
        ("core-temperature-low", "limit_cel", 36.5),
        ("heart-rate-floor", "floor", 70.0),
        ("low-battery", "limit_percent", 70.0),
        ("wind-chill", "limit_cel", 0.0),
    ] {
        let ends = bounds(rule, limit).1 + bounds(rule, "back").1;
        assert!(ends <= healthy, "{rule}: {ends}");
    }
    let ends = bounds("heart-rate-ceiling", "ceiling").0 - bounds("heart-rate-ceiling", "back").1;
    assert!(ends >= 100.0, "heart-rate-ceiling: {ends}");
    assert!(bounds("sensor-stuck", "readings").1 <= 600.0, "ten minutes at one a second");
}

#[test]
fn a_case_fixes_only_what_there_is_and_within_its_bounds() {
    let rule = rules().into_iter().find(|rule| rule.name().as_str() == "heat-illness").unwrap();
    let [manifest, script] = ["rule.toml", "rule.rhai"].map(|file| text(&rule, file));
    let problems = |cases: &str| {
        let report = run_rule_texts("heat-illness", &manifest, &script, cases);
        report.problems.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let step = "  +0s core_temperature 37 Cel ->\n";
    assert_eq!(
        problems(&format!("with limit 39\ncase a\n  with limit_cel 44\n{step}case b\n{step}")),
        [
            "heat-illness/cases.txt:1:6: there is no param `limit`; there are limit_cel",
            "heat-illness/cases.txt:3:18: limit_cel is 38 to 41, not 44",
        ]
    );
    assert_eq!(
        problems(&format!("case a\n{step}  with limit_cel 39\ncase b\n  with limit_cel hot\n{step}")),
        [
            "heat-illness/cases.txt:3:3: what is fixed stands before the case's steps",
            "heat-illness/cases.txt:5:18: `hot` is no number",
        ]
    );
    let all = "with limit 39\ncase a\n  with limit_cel 44 with limit x\n  +0s core_temperature 37 bpm ->\n";
    let told = [
        "heat-illness/cases.txt:1:6: there is no param `limit`; there are limit_cel",
        "heat-illness/cases.txt:3:18: limit_cel is 38 to 41, not 44",
        "heat-illness/cases.txt:3:26: there is no param `limit`; there are limit_cel",
        "heat-illness/cases.txt:3:32: `x` is no number",
        "heat-illness/cases.txt:4:27: `bpm` is not a UCUM unit the box knows (core_temperature is in Cel)",
    ];
    assert_eq!(problems(all), told, "at once");
    let checked = lint_rule("heat-illness", &manifest, &script, all);
    assert_eq!(checked.iter().map(ToString::to_string).collect::<Vec<_>>(), told);
    let whole = manifest.replace("max = 41.0", "max = 41.0\nwhole = true").replace("default = 39.5", "default = 39.0");
    let report = run_rule_texts("heat-illness", &whole, &script, &format!("case a\n  with limit_cel 38.5\n{step}"));
    let told: Vec<String> = report.problems.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["heat-illness/cases.txt:2:18: limit_cel is a whole number, not 38.5"]);
    let hot = "  +0s core_temperature 38.4 Cel ->\n  +60s core_temperature 38.6 Cel -> raise high\n";
    assert!(problems(&format!("with limit_cel 41\ncase a\n  with limit_cel 38.5\n{hot}")).is_empty());
}

#[test]
fn the_library_loads_and_its_hash_follows_every_byte() {
    let set = RuleSet::load(&folder()).unwrap();
    assert_eq!(set.hash(), RuleSet::read(&folder()).unwrap().hash());
    assert!(set.rules().len() >= 18, "{}", set.rules().len());
    let fewer = RuleSet::new(set.rules()[1..].iter().cloned()).unwrap();
    assert_ne!(fewer.hash(), set.hash());
}

#[test]
fn the_reference_names_everything_a_script_can_use() {
    let readme = std::fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    for (name, _) in pitchside_rules::VARIABLES {
        assert!(readme.contains(&format!("| `{name}` |")), "{name}");
    }
    for (name, _) in pitchside_rules::input::METHODS {
        assert!(readme.contains(&format!("`.{name}`")), "{name}");
    }
    for (name, _) in pitchside_rules::input::PROPERTIES {
        assert!(readme.contains(&format!("`.{name}`")), "{name}");
    }
    for (name, _) in pitchside_rules::functions::HELPERS {
        assert!(readme.contains(&format!("| `{name}` |")), "{name}");
    }
    for made in pitchside_rules::derive::DERIVATIONS {
        let names = made.outputs.iter().chain(made.inputs).map(|quantity| quantity.name());
        for name in names.chain(made.formula.iter().copied()).filter(|name| !name.starts_with("acceleration_")) {
            assert!(readme.contains(&format!("`{name}`")), "{name}");
        }
    }
}

#[test]
fn every_rule_has_a_firing_a_silent_a_gap_and_a_malformed_case() {
    for rule in rules() {
        let cases = parse_rule_cases("cases.txt", &text(&rule, "cases.txt")).unwrap();
        let raises = |case: &RuleCase| {
            case.steps.iter().flat_map(|step| &step.expected).any(|o| matches!(o, Outcome::Raise(..)))
        };
        let gap = |case: &RuleCase| case.steps.iter().any(|step| matches!(step.content, Content::Gap(_)));
        let odd = |case: &RuleCase| case.steps.iter().any(|step| !step.quality.is_empty());
        let quiet = |case: &RuleCase| case.steps.iter().all(|step| step.expected.is_empty());
        assert!(cases.iter().any(raises), "{}: firing", rule.name());
        assert!(cases.iter().any(|case| quiet(case) && !gap(case) && !odd(case)), "{}: silent", rule.name());
        assert!(cases.iter().any(gap), "{}: gap", rule.name());
        let malformed = |case: &RuleCase| odd(case) && case.name.starts_with("malformed");
        assert!(cases.iter().any(malformed), "{}: malformed", rule.name());
    }
}

#[test]
fn every_rule_leaves_its_thresholds_to_the_clinic_within_bounds() {
    for rule in rules() {
        assert!(!rule.manifest.params.is_empty(), "{}", rule.name());
        for (name, param) in &rule.manifest.params {
            assert!(param.min < param.max, "{}: {name}", rule.name());
            assert!((param.min..=param.max).contains(&param.default), "{}: {name}", rule.name());
        }
    }
}

#[test]
fn every_readme_says_what_the_rule_does_and_does_not_its_source_its_false_alerts_and_its_params() {
    for rule in rules() {
        let (name, readme) = (rule.name(), text(&rule, "README.md"));
        assert!(readme.starts_with(&format!("# {name}\n\n{}", HEADINGS[0])), "{name}");
        let places: Vec<usize> =
            HEADINGS.iter().map(|h| readme.find(h).unwrap_or_else(|| panic!("{name}: no {h}"))).collect();
        assert!(places.is_sorted(), "{name}");
        for pair in places.windows(2) {
            assert!(pair[1] - pair[0] > 30, "{name}: a heading without words");
        }
        let rows = readme.lines().filter(|line| line.starts_with("| `")).count();
        assert_eq!(rows, rule.manifest.params.len(), "{name}: a row each param");
        for (param, p) in &rule.manifest.params {
            let row = format!("| `{param}` | {} | {} to {} | ", p.default, p.min, p.max);
            assert!(readme.contains(&row), "{name}: {row}");
        }
    }
}

#[test]
fn no_rule_finds_an_illness_and_every_alert_about_athletes_asks_to_assess() {
    for rule in rules() {
        let name = rule.name();
        for file in ["rule.toml", "rule.rhai", "cases.txt", "README.md"] {
            let said = text(&rule, file).to_lowercase();
            assert!(BANNED.iter().all(|word| !said.contains(word)), "{name}/{file}");
        }
        let alert = format!("{}\n{}", rule.manifest.summary, rule.script);
        if rule.manifest.category == RuleCategory::Physiological {
            assert!(alert.contains("Assess"), "{name}: the alert asks nobody to assess");
            assert!(text(&rule, "README.md").contains("assess"), "{name}");
        }
    }
}

#[test]
fn technical_alerts_are_apart_from_physiological_ones() {
    let technical: Vec<RuleSource> =
        rules().into_iter().filter(|rule| rule.manifest.category == RuleCategory::Technical).collect();
    let names: Vec<&str> = technical.iter().map(|rule| rule.name().as_str()).collect();
    for wanted in ["lead-off", "low-battery", "sensor-clock", "sensor-silent"] {
        assert!(names.contains(&wanted), "{wanted}: {names:?}");
    }
    for rule in &technical {
        let name = rule.name();
        assert_eq!(rule.manifest.scope, RuleScope::Device, "{name}: a device that nobody wears is watched, too");
        let alert = format!("{}\n{}", rule.manifest.summary, rule.script).to_lowercase();
        assert!(!alert.contains("assess"), "{name}: look at the sensor, not at the athlete");
        let readme = text(rule, "README.md").split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(readme.contains("technical alert"), "{name}");
    }
}

#[test]
fn every_manifest_says_what_its_alerts_are_about_and_the_index_repeats_it() {
    let index = std::fs::read_to_string(folder().join("README.md")).unwrap();
    let (_, after) = index.split_once("## Physiological").unwrap();
    let (physiological, technical) = after.split_once("## Technical").unwrap();
    for rule in rules() {
        let (name, category) = (rule.name(), rule.manifest.category);
        assert!(text(&rule, "rule.toml").contains(&format!("category = \"{category}\"\n")), "{name}");
        let table = match category {
            RuleCategory::Physiological => physiological,
            RuleCategory::Technical => technical,
        };
        let row = format!("| [{name}]({name}/README.md) | {} | ", rule.manifest.priority);
        assert!(table.contains(&row), "rules/README.md has no row that begins {row}");
    }
    let rows = index.lines().filter(|line| line.starts_with("| [")).count();
    assert_eq!(rows, rules().len(), "a row each rule");
}
