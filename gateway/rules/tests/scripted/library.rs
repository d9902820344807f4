//! What is wrong with streams is told, and those of the repository are right.

use super::*;

#[test]
fn what_is_wrong_with_a_stream_is_told_with_places_and_what_was_meant() {
    let manifest = stream_manifest("bad", AIR, "heat_index", "[params.spare]\ndefault = 1\nmin = 0\nmax = 2\n");
    let cases = "case a\n  +0s ambient_temperature 30 Cel -> heat_indx 3 Cel\n";
    let found = lint_stream("bad", &manifest, "if raised { valeu } else { relative_humidity.maen(\"5min\") }", cases);
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    for told in [
        "bad/derive.rhai:1:4: `raised` is not a variable here",
        "bad/derive.rhai:1:13: `valeu` is not a variable here (did you mean `value`?)",
        "there is no function `maen` (did you mean `mean`?)",
        "bad/cases.txt:2:37: `heat_indx` is not a quantity (did you mean `heat_index`?)",
    ] {
        assert!(found.iter().any(|problem| problem.contains(told)), "{told}: {found:#?}");
    }
    let all = |manifest: &str, script: &str| -> Vec<String> {
        lint_stream("bad", manifest, script, cases).iter().map(ToString::to_string).collect()
    };
    let slip = all(&manifest.replace("version", "verson"), "valeu + relative_humidity.value");
    let unknown = "bad/derive.rhai:1:1: `valeu` is not a variable here (did you mean `value`?)";
    assert!(slip.iter().any(|problem| problem == unknown), "a slip in the manifest hides nothing: {slip:#?}");
    let answer = "bad/derive.rhai:1:1: a derived stream answers a number or (), this is a text";
    assert!(all(&manifest, "quantity").iter().any(|problem| problem == answer));
    assert!(!all(&manifest, "relative_humidity.value").iter().any(|problem| problem.contains("answers")));
    let unused =
        lint_stream("bad", &manifest, "value + relative_humidity.value", "case a\n  +0s heart_rate 1 /min ->\n");
    let unused: Vec<String> = unused.iter().map(ToString::to_string).collect();
    assert!(unused.iter().any(|p| p.contains("the script does not use the param `spare`")), "{unused:#?}");
    assert!(unused.iter().any(|p| p.contains("no case makes a reading")), "{unused:#?}");
}

fn library(file: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/heat-index");
    std::fs::read_to_string(folder.join(file)).unwrap()
}

#[test]
fn every_derived_stream_of_the_repository_passes_its_cases_and_has_nothing_wrong() {
    let plugins = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins")).unwrap();
    let mut seen = 0;
    for folder in plugins.map(|entry| entry.unwrap().path()).filter(|folder| folder.join("derive.rhai").is_file()) {
        let name = folder.file_name().unwrap().to_str().unwrap();
        let [manifest, script, cases] =
            ["plugin.toml", "derive.rhai", "cases.txt"].map(|file| std::fs::read_to_string(folder.join(file)).unwrap());
        let report = run_stream_texts(name, &manifest, &script, &cases);
        assert!(report.passed() && report.cases.len() >= 3, "{name}\n{report}");
        assert_eq!(lint_stream(name, &manifest, &script, &cases), [], "{name}");
        seen += 1;
    }
    assert!(seen >= 1);
}

#[test]
fn the_librarys_heat_index_is_the_chart_of_the_national_weather_service() {
    let (manifest, script) = (library("plugin.toml"), library("derive.rhai"));
    // Degrees Fahrenheit, per cent, the chart's heat index.
    for (fahrenheit, humidity, chart) in [
        (80, 40, 80),
        (82, 60, 84),
        (84, 80, 94),
        (86, 90, 105),
        (88, 75, 103),
        (90, 50, 95),
        (90, 85, 117),
        (92, 60, 105),
        (94, 70, 119),
        (96, 50, 108),
        (98, 65, 128),
        (100, 40, 109),
        (100, 60, 129),
        (104, 55, 137),
        (106, 40, 124),
        (110, 40, 136),
    ] {
        let of = set(
            [rule("tells", "\"heat_index\"", "", TELLS)],
            [RuleSource::parse_stream("heat-index", &manifest, &script).unwrap()],
        );
        let mut warm = air(1, 0);
        let celsius = format!("{:.4}", (f64::from(fahrenheit) - 32.0) / 1.8);
        warm.readings[0].value = Value::Number(Decimal::parse(&celsius).unwrap());
        let says = told(&mut Engine::new(of).unwrap(), &[damp(0, humidity), warm]);
        let says = says[0].parse::<f64>().unwrap() * 1.8 + 32.0;
        assert!(
            (says - f64::from(chart)).abs() <= 0.7,
            "{fahrenheit} °F, {humidity} %: {says}, the chart says {chart}"
        );
    }
}
