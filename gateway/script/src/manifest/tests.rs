use super::*;
use crate::output::Step;
use pitchside_model::{Assurance, Priority, Quality};

const HEAT: &str = r#"
name = "heat-illness"
version = "1.0.0"
summary = "Core temperature high and still rising."
priority = "high"
inputs = ["core_temperature"]
[params.limit_cel]
default = 39.5
min = 38.0
max = 41.0
"#;

fn problems(source: &str) -> Vec<String> {
    RuleManifest::parse("rule.toml", source).unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn the_manifest_of_the_design_reads() {
    let manifest = RuleManifest::parse("rule.toml", HEAT).unwrap();
    assert_eq!(manifest.name.as_str(), "heat-illness");
    assert_eq!(manifest.priority, Priority::High);
    assert_eq!(manifest.inputs, [Quantity::CORE_TEMPERATURE]);
    assert_eq!(
        manifest.params,
        [("limit_cel".to_owned(), Param { default: 39.5, min: 38.0, max: 41.0, whole: false })]
    );
    assert_eq!((manifest.assurance, manifest.accept), (Assurance::Wired, Quality::LATE | Quality::NO_CLOCK));
    assert_eq!((manifest.hold, manifest.gap_after, manifest.latch), (0, 120_000_000, false));
    assert_eq!((manifest.escalate, manifest.category), (None, RuleCategory::Physiological));
    // Keys of the manifest itself stand before its tables.
    let with =
        |more: &str| RuleManifest::parse("rule.toml", &format!("{more}\n{HEAT}")).map_err(|found| found[0].to_string());
    let technical = with("escalate = \"5min\"\ncategory = \"technical\"").unwrap();
    assert_eq!((technical.escalate, technical.category), (Some(300_000_000), RuleCategory::Technical));
    assert!(with("escalate = \"5s\"").unwrap_err().contains("must be at least \"10s\""));
    assert!(with("category = \"moods\"").unwrap_err().contains("must be \"physiological\" or \"technical\""));
}

#[test]
fn a_rule_is_about_athletes_unless_it_says_that_it_is_technical() {
    let with = |line: &str| RuleManifest::parse("rule.toml", &HEAT.replacen("priority", &format!("{line}priority"), 1));
    assert_eq!(with("").unwrap().category, RuleCategory::Physiological);
    assert_eq!(with("category = \"physiological\"\n").unwrap().category, RuleCategory::Physiological);
    assert_eq!(with("category = \"technical\"\n").unwrap().category, RuleCategory::Technical);
    let told = with("category = \"medical\"\n").unwrap_err();
    assert_eq!(told[0].to_string(), "rule.toml:5:12: `category` must be \"physiological\" or \"technical\"");
}

#[test]
fn every_problem_is_named_with_its_place() {
    let source = "name = \"a/b\"\nversion = \"1\"\nsumary = \"x\"\npriority = \"urgent\"\ninputs = [\"heart_rte\"]\nhold = 5\n\
                  [params.limit]\ndefault = 5\nmin = 6\nmax = 9.0\nstep = 1\n[state]\npeak = []\nlimit = 1\n";
    assert_eq!(
        problems(source),
        [
            "rule.toml:1:1: `summary` is missing",
            "rule.toml:1:8: `name` '/' at byte 1 is not allowed: use letters, digits, '-', '_' and '.', and begin with \
             a letter or digit",
            "rule.toml:2:11: `version` must be three numbers, e.g. \"1.0.0\"",
            "rule.toml:3:1: unknown key `sumary` (did you mean `summary`?)",
            "rule.toml:4:12: `priority` must be \"low\", \"medium\" or \"high\"",
            "rule.toml:5:10: `inputs` names no quantity `heart_rte`; did you mean `heart_rate`?",
            "rule.toml:6:8: `hold` must be text, not integer",
            "rule.toml:7:9: `params.limit`: the default 5 is not within min 6 and max 9",
            "rule.toml:11:1: unknown key `params.limit.step`",
            "rule.toml:13:8: `state.peak` must be a number, a bool or a short text",
            "rule.toml:14:1: `limit` is a param and a state field",
        ]
    );
}

#[test]
fn broken_toml_names_each_broken_line() {
    let found = problems("name = \nversion = 1.0.0\n");
    assert!(found.len() >= 2, "{found:?}");
    assert!(found[0].starts_with("rule.toml:1:"), "{found:?}");
    assert!(found[1].starts_with("rule.toml:2:"), "{found:?}");
}

#[test]
fn a_min_above_its_max_is_said_and_no_default_blamed_for_it() {
    let source = "name = \"a\"\nversion = \"1.0.0\"\nsummary = \"x\"\npriority = \"low\"\ninputs = [\"heart_rate\"]\n\
                  [params.limit]\ndefault = 5\nmin = 10\nmax = 1\n";
    assert_eq!(problems(source), ["rule.toml:6:9: `params.limit`: min 10 is above max 1"]);
}

#[test]
fn numbers_that_are_none_are_refused() {
    for bad in ["nan", "inf", "\"5\"", "true", "0x10", "1e999"] {
        let source = HEAT.replace("39.5", bad);
        assert!(problems(&source)[0].contains("params.limit_cel.default"), "{bad}");
    }
}

#[test]
fn a_plugin_says_what_it_may_answer_with() {
    let source = "name = \"acme-strap\"\nversion = \"1.0.0\"\nsummary = \"A strap.\"\nkind = \"decoder\"\n\
                  outputs = [\"heart_rate\", \"rr_interval\"]\n";
    let manifest = PluginManifest::parse("plugin.toml", source).unwrap();
    assert_eq!(manifest.outputs, [Quantity::HEART_RATE, Quantity::RR_INTERVAL]);
    let refused =
        |more: &str| PluginManifest::parse("plugin.toml", &format!("{source}{more}\n")).unwrap_err()[0].to_string();
    assert_eq!(
        refused("capabilities = [\"http:example.org\"]"),
        "plugin.toml:6:1: a decoder reaches out to nothing: take `capabilities` out"
    );
    assert_eq!(refused("capabilites = [\"http:example.org\"]"), "plugin.toml:6:1: unknown key `capabilites`");
    assert_eq!(refused("hears = [\"raised\"]"), "plugin.toml:6:1: a decoder hears of no alerts: take `hears` out");
    let manifest = |version: &str| PluginManifest::parse("plugin.toml", &source.replace("1.0.0", version)).unwrap();
    assert!(manifest("1.10.0").order() > manifest("1.9.9").order(), "versions are numbers, not texts");
}

#[test]
fn an_output_says_what_it_asks_for_and_makes_no_readings() {
    let source = "name = \"hall-lamp\"\nversion = \"1.0.0\"\nsummary = \"A lamp.\"\nkind = \"output\"\n";
    let refused = |more: &str| {
        let problems = PluginManifest::parse("plugin.toml", &format!("{source}{more}\n")).unwrap_err();
        problems.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let manifest =
        PluginManifest::parse("plugin.toml", &format!("{source}capabilities = [\"mqtt:hall/lamp\"]\n")).unwrap();
    assert_eq!((manifest.kind, manifest.wanted.len()), (PluginKind::Output, 1));
    assert_eq!(manifest.hears, [Step::Raised, Step::Cleared], "what one hears that does not say");
    let hears = |list: &str| {
        let source = format!("{source}capabilities = [\"mqtt:hall/lamp\"]\nhears = {list}\n");
        PluginManifest::parse("plugin.toml", &source)
            .map(|manifest| manifest.hears)
            .map_err(|found| found[0].to_string())
    };
    assert_eq!(hears("[\"drill\", \"escalated\"]"), Ok(vec![Step::Drill, Step::Escalated]));
    for (list, wanted) in [
        ("[\"rased\"]", "names no step `rased`"),
        ("[\"drill\", \"drill\"]", "names `drill` twice"),
        ("[]", "must name a step"),
    ] {
        let told = hears(list).unwrap_err();
        assert!(told.contains(wanted), "{told}");
    }
    assert_eq!(refused(""), ["plugin.toml:1:1: `capabilities` is missing"]);
    assert_eq!(
        refused("capabilities = [\"mqtt:a\", \"mqtt:a\"]\noutputs = [\"emg\"]"),
        [
            "plugin.toml:5:16: `capabilities` names `mqtt:a` twice",
            "plugin.toml:6:1: an output makes no readings: take `outputs` out"
        ]
    );
    assert!(refused("capabilities = [\"http:*\"]")[0].contains("has no host `*`"));
    assert_eq!(
        refused("capabilites = [\"mqtt:a\"]"),
        [
            "plugin.toml:1:1: `capabilities` is missing",
            "plugin.toml:5:1: unknown key `capabilites` (did you mean `capabilities`?)"
        ]
    );
}

#[test]
fn a_derived_stream_says_what_it_is_made_of_and_makes_one_quantity() {
    let source = "name = \"felt\"\nversion = \"1.0.0\"\nsummary = \"Heat.\"\nkind = \"derived\"\n";
    let read = |more: &str| PluginManifest::parse("plugin.toml", &format!("{source}{more}\n"));
    let refused = |more: &str| read(more).unwrap_err().iter().map(ToString::to_string).collect::<Vec<_>>();
    let air = "inputs = [\"ambient_temperature\", \"relative_humidity\"]\n";
    let whole = read(&format!("{air}outputs = [\"heat_index\"]\ngap_after = \"15min\"\n[state]\nn = 0")).unwrap();
    let derived = whole.derived.unwrap();
    assert_eq!((whole.kind, whole.kind.script_file()), (PluginKind::Derived, "derive.rhai"));
    assert_eq!(derived.inputs, [Quantity::AMBIENT_TEMPERATURE, Quantity::RELATIVE_HUMIDITY]);
    assert_eq!((derived.gap_after, derived.accept), (900_000_000, Quality::LATE | Quality::NO_CLOCK));
    assert_eq!(derived.state, [("n".to_owned(), Plain::Integer(0))]);
    assert_eq!(refused(""), ["plugin.toml:1:1: `outputs` is missing", "plugin.toml:1:1: `inputs` is missing"]);
    assert_eq!(
        refused(&format!("{air}outputs = [\"heat_index\", \"dew_point\"]\ncapabilities = [\"mqtt:a\"]")),
        [
            "plugin.toml:6:11: `outputs` must name one quantity: a derived stream makes one",
            "plugin.toml:7:1: a derived stream reaches out to nothing: take `capabilities` out"
        ]
    );
    assert_eq!(
        refused("inputs = [\"heat_index\"]\noutputs = [\"heat_index\"]\naccept = [\"future\"]"),
        [
            "plugin.toml:5:1: `inputs` names `heat_index`, which the stream makes itself",
            "plugin.toml:7:10: `accept` names no flag `future` a rule may accept; there are implausible, late, no_clock, poor_contact"
        ]
    );
    let decoder = source.replace("derived", "decoder");
    let told =
        PluginManifest::parse("plugin.toml", &format!("{decoder}{air}outputs = [\"heat_index\"]\n")).unwrap_err();
    assert_eq!(told[0].to_string(), "plugin.toml:5:1: unknown key `inputs`");
}

const PUSH: &str = r#"
name = "push"
version = "1.0.0"
summary = "A push."
kind = "output"
capabilities = ["http:{host}:{port}", "mqtt:hall"]
[params.port]
default = 443
min = 1
max = 65535
[texts.host]
example = "ntfy.example.org"
max = 40
[texts.least]
default = "medium"
max = 6
one_of = ["medium", "high"]
[texts.click]
default = ""
max = 9
[secrets.token]
summary = "A token."
optional = true
"#;

fn chosen(pairs: &[(&str, &str)]) -> Chosen {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn what_is_set_stands_in_the_script_and_in_what_it_asks_for() {
    let push = PluginManifest::parse("plugin.toml", PUSH).unwrap();
    let asks = |chosen: &Chosen| {
        let (asks, open) = push.asks(chosen);
        (asks.iter().map(ToString::to_string).collect::<Vec<_>>(), open)
    };
    assert_eq!(
        asks(&Chosen::new()),
        (vec!["mqtt:hall".to_owned()], vec!["it asks for http:{host}:{port}: host is not set".to_owned()])
    );
    assert_eq!(push.unset(&Chosen::new()), ["host is not set"]);
    let set = chosen(&[("host", "10.0.0.2"), ("port", "8080"), ("left_over_from_before", "1")]);
    assert_eq!(asks(&set).0, ["http:10.0.0.2:8080", "mqtt:hall"]);
    assert!(push.unset(&set).is_empty(), "what another version asked for is nobody's fault");
    let text = |text: &str| Constant::Text(text.to_owned());
    let of =
        |chosen: &Chosen, name: &str| push.constants(chosen).into_iter().find(|(known, _)| known == name).unwrap().1;
    assert_eq!((of(&set, "port"), of(&set, "host")), (Constant::Number(8080.0), text("10.0.0.2")));
    assert_eq!((of(&set, "least"), of(&set, "click")), (text("medium"), text("")));
    assert_eq!(of(&Chosen::new(), "host"), text("ntfy.example.org"), "cases run with the example");
    // A host that is none is no capability, whatever stands around it.
    for host in ["evil.org:1/x", "*", "a b", "x}{port"] {
        assert_eq!(asks(&chosen(&[("host", host)])).0, ["mqtt:hall"], "{host}");
    }
    assert_eq!(asks(&chosen(&[("host", "a.org"), ("port", "8080.5")])).0, ["mqtt:hall"], "half a port is none");
    let unfit = chosen(&[("host", "a.org"), ("port", "0")]);
    assert_eq!(push.unset(&unfit), ["port must be set again: 0 is not within 1 and 65535"]);
}

#[test]
fn an_admin_chooses_within_bounds() {
    let push = PluginManifest::parse("plugin.toml", PUSH).unwrap();
    for (key, value) in [("port", "8080"), ("host", "a.org"), ("least", "high"), ("click", "x")] {
        assert_eq!(push.may_choose(key, value), Ok(()), "{key}");
    }
    for (key, value, why) in [
        ("port", "NaN", "is no number"),
        ("port", "1e9", "is not within"),
        ("host", "", "not empty"),
        ("host", "a\nb", "one line"),
        ("host", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "at most 40"),
        ("least", "low", "none of medium, high"),
        ("token", "x", "there is no `token` to set; there is port, click, host, least"),
    ] {
        let refused = push.may_choose(key, value).unwrap_err();
        assert!(refused.contains(why), "{key}: {refused}");
    }
}

#[test]
fn what_would_make_it_ask_for_what_cannot_be_is_no_choice() {
    let push = PluginManifest::parse("plugin.toml", PUSH).unwrap();
    let (nothing, host) = (Chosen::new(), chosen(&[("host", "a.org")]));
    for (so_far, key, value) in [(&nothing, "host", "a.org"), (&host, "port", "8080"), (&nothing, "port", "9901.5")] {
        assert_eq!(push.may_ask(so_far, key, value), Ok(()), "{key} {value}");
    }
    for (so_far, key, value, why) in [
        (&host, "port", "9901.5", "9901.5 is no whole number"),
        (&host, "host", "Typo.Example", "has no host"),
        (&nothing, "host", "*", "has no host"),
    ] {
        let refused = push.may_ask(so_far, key, value).unwrap_err();
        assert!(refused.contains("it asks for http:{host}:{port}: ") && refused.contains(why), "{key}: {refused}");
    }
    // Set by an older version that did not look: the rest can still be set.
    let half = chosen(&[("host", "a.org"), ("port", "9901.5")]);
    assert_eq!(push.may_ask(&half, "host", "b.org"), Ok(()));
    assert_eq!(push.may_ask(&half, "port", "9901"), Ok(()));
}

#[test]
fn a_param_that_is_whole_takes_whole_numbers_alone() {
    let whole = PUSH.replacen("[params.port]\n", "[params.port]\nwhole = true\n", 1);
    let push = PluginManifest::parse("plugin.toml", &whole).unwrap();
    assert_eq!(push.may_choose("port", "8080"), Ok(()));
    assert_eq!(push.may_choose("port", "9901.5"), Err("9901.5 is no whole number".to_owned()));
    let set = chosen(&[("host", "a.org"), ("port", "9901.5")]);
    assert_eq!(push.unset(&set), ["port must be set again: 9901.5 is no whole number"]);
    for (from, to, why) in [
        ("whole = true", "whole = 1", "`params.port.whole` must be true or false, not integer"),
        ("max = 65535", "max = 65535.5", "`params.port` is whole: so are its default, min and max"),
    ] {
        let problem = PluginManifest::parse("plugin.toml", &whole.replacen(from, to, 1)).unwrap_err()[0].to_string();
        assert!(problem.contains(why), "{problem}");
    }
}

#[test]
fn texts_and_secrets_that_are_none_are_named_with_their_place() {
    let refused = |from: &str, to: &str| {
        let problems = PluginManifest::parse("plugin.toml", &PUSH.replacen(from, to, 1)).unwrap_err();
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    for (from, to, why) in [
        ("{host}", "{hots}", "`http:{hots}:{port}` has `{hots}`, which is neither a param nor a text"),
        ("http:{host}:{port}", "{host}", "must begin with its kind"),
        ("{port}\"", "{port\"", "without its `}`"),
        ("example = \"ntfy.example.org\"", "", "must have a `default`, or an `example`"),
        ("[texts.host]", "[texts.host]\ndefault = \"x\"", "not both"),
        ("max = 40", "max = 9", "it has 16 bytes; at most 9"),
        ("max = 40", "max = 4000", "from 1 to 256"),
        ("[texts.host]", "[texts.port]", "`port` is a param and a text"),
        ("[texts.click]", "[texts.event]", "`event` is what an output is told"),
        ("optional = true", "kind = \"key\"", "must be \"text\" or \"signing\""),
        ("[secrets.token]", "[secrets.\"a b\"]", "cannot be a name"),
    ] {
        let problems = refused(from, to);
        assert!(problems.contains(why), "{to}: {problems}");
    }
    let decoder = "name = \"a\"\nversion = \"1.0.0\"\nsummary = \"A.\"\nkind = \"decoder\"\noutputs = [\"emg\"]\n\
                   [secrets.token]\nsummary = \"x\"\n";
    let problem = PluginManifest::parse("plugin.toml", decoder).unwrap_err()[0].to_string();
    assert_eq!(problem, "plugin.toml:6:2: a decoder reaches out to nothing: take `secrets` out");
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused(source in "[a-z\\[\\]=\"0-9.# \n]{0,120}") {
        let _ = RuleManifest::parse("rule.toml", &source);
        let _ = PluginManifest::parse("plugin.toml", &source);
        let _ = Declared::read(&source);
    }
}

#[test]
fn the_names_of_a_script_are_read_whatever_else_is_wrong() {
    let source = "priority = \"lo\"\nnaem = 1\ninputs = [\"power\"]\n[params.limit]\ndefault = 5\n[params]\nif = 3\nback = 1\n\
                  [state]\npeak = []\ncount = 0\nlimit = 1\n";
    let declared = Declared::read(source);
    assert!(declared.whole);
    assert_eq!(declared.inputs, [Quantity::POWER]);
    let mut params: Vec<&str> = declared.params.iter().map(|(name, _)| name.as_str()).collect();
    params.sort_unstable();
    assert_eq!(params, ["back", "limit"], "`if` is no variable");
    let mut state = declared.state.clone();
    state.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(state, [("count".to_owned(), Plain::Integer(0)), ("peak".to_owned(), Plain::Nothing)]);
    assert_eq!((declared.place("limit"), declared.place("nobody")), ((4, 9), (0, 0)));
    for unread in [
        "inputs = [\"powr\"]",
        "inputs = \"power\"",
        "",
        "inputs = [\"power\"]\nparams = 3",
        "inputs = [\"power\"]\nstate = 1",
    ] {
        assert!(!Declared::read(unread).whole, "{unread}");
    }
}

#[test]
fn a_decoder_may_keep_plain_values_lists_and_maps() {
    let head =
        "name = \"a\"\nversion = \"1.0.0\"\nsummary = \"A.\"\nkind = \"decoder\"\noutputs = [\"emg\"]\n[state]\n";
    let read = |state: &str| PluginManifest::parse("plugin.toml", &format!("{head}{state}"));
    let fields = read("seen = {}\nlast = []\ncount = 0\n").unwrap().state;
    let expected = [("count", Kept::Plain(Plain::Integer(0))), ("last", Kept::List), ("seen", Kept::Map)];
    let mut found: Vec<(&str, Kept)> = fields.iter().map(|(name, kept)| (name.as_str(), kept.clone())).collect();
    found.sort_by_key(|(name, _)| *name);
    assert_eq!(found, expected);
    for (state, says) in [
        ("seen = { a = 1 }", "plugin.toml:7:8: `state.seen` must be a number, a bool, a short text, `[]` or `{}`"),
        ("topic = \"\"", "`topic` is what the script is given: choose another name"),
        ("payload = 0", "`payload` is what the script is given"),
        ("let = 0", "`let` is a word of the language"),
    ] {
        let problems = read(state).unwrap_err();
        assert!(problems[0].to_string().contains(says), "{}", problems[0]);
    }
    let output = head.replace("decoder", "output").replace("outputs = [\"emg\"]", "capabilities = [\"mqtt:a\"]");
    let problem = PluginManifest::parse("plugin.toml", &format!("{output}seen = {{}}\n")).unwrap_err()[0].to_string();
    assert!(problem.contains("unknown key `state`"), "{problem}");
}
