//! The cases of outputs.
//!
//! ```text
//! step    = event *( "with" param value ) "->" [ request *( "," request ) ] / event "->" "error" name
//! event   = ( "raised" / "escalated" / "acknowledged" / "cleared" / "drill" ) priority rule [ quantity number unit ]
//!           *( "athlete" id / "device" id / "message" quoted / "level" 1-9 / "by" name / "technical" )
//! request = ( "http" url / "mqtt" topic / "serial" path / "mail" address / "gpio" chip "/" line / "lcd" bus "/" address )
//!           *( "has" text / "using" secret )      what is sent has this in it; it names this secret
//! ```
//! `with` chooses a param or a text for this step, as an admin would. A text stands in single quotes, if one likes: `has '"priority":"high"'`. It has neither white space nor commas outside double
//! quotes. Events are of 2026-01-01T00:00:00Z, of device s7, of an alert whose id is 32 ones; one that
//! escalates is at level 1 unless the case says otherwise.

use std::fmt;

use pitchside_model::{Alert, AlertId, AthleteId, DeviceId, Priority, Quantity, RuleName, Timestamp};

use super::{CaseResult, Line, Report, Token, halves, parse, quantity, unit, value};
use crate::manifest::RuleCategory;
use crate::output::{Event, Outcome, Output, Request, Step};
use crate::problem::Problem;

/// When the events of cases are: 2026-01-01T00:00:00Z.
const EVENT_TIME: Timestamp = Timestamp::from_seconds(1_767_225_600);

/// The kinds of requests, as [`Request::target`] names them.
const KINDS: [&str; 6] = ["http", "mqtt", "serial", "mail", "gpio", "lcd"];
/// What a word that is none should have been.
const STEPS: &str = "step: write `raised`, `escalated`, `acknowledged`, `cleared` or `drill`";

/// One case.
#[derive(Debug, Clone, PartialEq)]
pub struct OutputCase {
    /// Its name.
    pub name: String,
    /// Its lines.
    pub steps: Vec<OutputStep>,
}

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct OutputStep {
    /// The line in the file.
    pub line: usize,
    /// What the output is told.
    pub event: Event,
    /// What is chosen for this step.
    pub chosen: Vec<(String, String)>,
    /// What it asks for, or the name it throws.
    pub expected: Result<Vec<ExpectedRequest>, String>,
}

/// A request as a case describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedRequest {
    /// Kind and target, as [`Request::target`] writes them.
    pub target: String,
    /// What is sent has all of these in it.
    pub has: Vec<String>,
    /// It names all of these secrets.
    pub using: Vec<String>,
}

impl ExpectedRequest {
    fn meets(&self, request: &Request) -> bool {
        let (body, secrets) = (request.body(), request.secrets());
        self.target == request.target()
            && self.has.iter().all(|text| body.contains(text.as_str()))
            && self.using.iter().all(|name| secrets.contains(&name.as_str()))
    }
}

impl fmt::Display for ExpectedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.target)?;
        self.has.iter().try_for_each(|text| write!(f, " has '{text}'"))?;
        self.using.iter().try_for_each(|name| write!(f, " using {name}"))
    }
}

/// Reads the cases of an output.
pub fn parse_output_cases(file: &str, source: &str) -> Result<Vec<OutputCase>, Vec<Problem>> {
    let cases = parse(file, source, step)?;
    Ok(cases.into_iter().map(|case| OutputCase { name: case.name, steps: case.steps }).collect())
}

/// Runs cases. `load` gives the output with these chosen beside, or what is wrong with that.
pub fn run_output_cases(
    of: &str,
    file: &str,
    cases: &[OutputCase],
    load: &dyn Fn(&[(String, String)]) -> Result<Output, Vec<String>>,
) -> Report {
    let usual = load(&[]);
    let told = |step: &OutputStep| {
        let other = if step.chosen.is_empty() { None } else { Some(load(&step.chosen)) };
        match other.as_ref().unwrap_or(&usual) {
            Ok(output) => output.tell(&step.event),
            Err(problems) => Outcome::Fault(problems.join("; ")),
        }
    };
    let run = |case: &OutputCase| {
        let failures = case.steps.iter().filter_map(|step| compare(file, step, &told(step)));
        CaseResult::new(of, &case.name, failures.collect())
    };
    Report { cases: cases.iter().map(run).collect(), problems: Vec::new() }
}

fn compare(file: &str, step: &OutputStep, got: &Outcome) -> Option<Problem> {
    let same = match (&step.expected, got) {
        (Ok(want), Outcome::Requests(got)) => {
            want.len() == got.len() && want.iter().zip(got).all(|(want, got)| want.meets(got))
        }
        (Err(want), Outcome::Refused(got)) => want == got,
        _ => false,
    };
    let list = |items: Vec<String>| if items.is_empty() { "nothing".to_owned() } else { items.join(", ") };
    let want = match &step.expected {
        Ok(want) => list(want.iter().map(ToString::to_string).collect()),
        Err(name) => format!("error {name}"),
    };
    let got = match got {
        Outcome::Requests(got) => list(got.iter().map(|r| format!("{} with {}", r.target(), r.body())).collect()),
        Outcome::Refused(name) => format!("error {name}"),
        Outcome::Fault(why) => format!("(the script failed: {why})"),
    };
    (!same).then(|| Problem::at(file, (step.line, 1), format!("expected {want}, got {got}")))
}

fn step(line: &Line<'_>, text: &str) -> Result<OutputStep, Problem> {
    let (left, right) = halves(line, text)?;
    let end = Token { text: "", column: text.chars().count() + 1 };
    let (left, chosen) = chosen(line, left, end)?;
    let event = event(line, &left, end)?;
    let expected = match right.first().map(Vec::as_slice) {
        Some([error, rest @ ..]) if error.text == "error" => match (rest, right.len()) {
            ([name], 1) => Err(name.text.to_owned()),
            _ => return Err(line.problem(*error, "write `error name`, and nothing else")),
        },
        _ => Ok(right.iter().map(|group| request(line, group, end)).collect::<Result<_, _>>()?),
    };
    Ok(OutputStep { line: line.number, event, chosen, expected })
}

/// What is chosen for this step, and the words beside it.
fn chosen<'a>(
    line: &Line<'_>,
    words: Vec<Token<'a>>,
    end: Token<'a>,
) -> Result<(Vec<Token<'a>>, Vec<(String, String)>), Problem> {
    let (mut rest, mut chosen) = (Vec::new(), Vec::new());
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        if word.text != "with" {
            rest.push(word);
            continue;
        }
        let key = next(line, end, "a param", &mut words)?.text.to_owned();
        chosen.push((key, bare(next(line, end, "a value", &mut words)?.text).to_owned()));
    }
    Ok((rest, chosen))
}

fn next<'a>(
    line: &Line<'_>,
    end: Token<'a>,
    what: &str,
    words: &mut impl Iterator<Item = Token<'a>>,
) -> Result<Token<'a>, Problem> {
    words.next().ok_or_else(|| line.problem(end, format!("{what} is missing")))
}

fn event<'a>(line: &Line<'_>, words: &[Token<'a>], end: Token<'a>) -> Result<Event, Problem> {
    let mut words = words.iter().copied();
    let bad = |token: Token<'_>, what: &str| line.problem(token, format!("`{}` is no {what}", token.text));
    let word = next(line, end, "a step, such as `raised`,", &mut words)?;
    let step = Step::parse(word.text).ok_or_else(|| bad(word, STEPS))?;
    let (mut level, mut by) = (u8::from(step == Step::Escalated), None);
    let mut category = if step == Step::Drill { RuleCategory::Technical } else { RuleCategory::Physiological };
    let word = next(line, end, "a priority", &mut words)?;
    let priority = match word.text {
        "low" => Priority::Low,
        "medium" => Priority::Medium,
        "high" => Priority::High,
        _ => return Err(bad(word, "priority: low, medium or high")),
    };
    let word = next(line, end, "a rule", &mut words)?;
    let rule = RuleName::parse(word.text).map_err(|_| bad(word, "rule's name"))?;
    let mut alert = Alert {
        id: AlertId([0x11; 16]),
        rule,
        rule_version: "1.0.0".to_owned(),
        priority,
        athlete: None,
        device: DeviceId::parse("s7").map_err(|error| line.problem(end, error.to_string()))?,
        quantity: Quantity::HEART_RATE,
        value: None,
        unit: Quantity::HEART_RATE.unit(),
        event_time: EVENT_TIME,
        message: String::new(),
    };
    while let Some(token) = words.next() {
        match token.text {
            "athlete" => {
                let id = next(line, end, "an athlete", &mut words)?;
                alert.athlete = Some(AthleteId::parse(id.text).map_err(|_| bad(id, "athlete's id"))?);
            }
            "device" => {
                let id = next(line, end, "a device", &mut words)?;
                alert.device = DeviceId::parse(id.text).map_err(|_| bad(id, "device's id"))?;
            }
            "level" => {
                let number = next(line, end, "a level", &mut words)?;
                let read = number.text.parse().ok().filter(|level| (1..=9).contains(level));
                level = read.ok_or_else(|| bad(number, "level: 1 to 9"))?;
            }
            "technical" => category = RuleCategory::Technical,
            "by" => by = Some(bare(next(line, end, "a name", &mut words)?.text).to_owned()),
            "message" => alert.message = bare(next(line, end, "a text", &mut words)?.text).to_owned(),
            _ => {
                alert.quantity = quantity(line, token)?;
                alert.value = Some(value(line, next(line, end, "a number", &mut words)?)?);
                alert.unit = unit(line, next(line, end, "a unit", &mut words)?, alert.quantity)?;
            }
        }
    }
    Ok(Event { step, at: EVENT_TIME, level, by, category, alert })
}

/// A text without the quotes around it.
fn bare(text: &str) -> &str {
    let inner = |quote: char| text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote));
    inner('\'').or_else(|| inner('"')).unwrap_or(text)
}

fn request(line: &Line<'_>, group: &[Token<'_>], end: Token<'_>) -> Result<ExpectedRequest, Problem> {
    let (kind, target, rest) = match group {
        [kind, target, rest @ ..] if KINDS.contains(&kind.text) => (kind, target, rest),
        [kind, ..] => {
            let what =
                "write `http URL`, `mqtt TOPIC`, `serial PATH`, `mail ADDRESS`, `gpio CHIP/LINE` or `lcd BUS/ADDRESS`";
            return Err(line.problem(*kind, what));
        }
        [] => return Err(line.problem(end, "a request is missing")),
    };
    let (mut has, mut using) = (Vec::new(), Vec::new());
    for pair in rest.chunks(2) {
        match pair {
            [word, text] if word.text == "has" => has.push(bare(text.text).to_owned()),
            [word, name] if word.text == "using" => using.push(name.text.to_owned()),
            [word, ..] => return Err(line.problem(*word, "write `has TEXT` or `using SECRET`")),
            [] => {}
        }
    }
    Ok(ExpectedRequest { target: format!("{} {}", kind.text, target.text), has, using })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Constant;

    const SCRIPT: &str = r#"
if event.priority != "high" { return []; }
if event.step == "cleared" { return [mqtt_publish(lamp, "off")]; }
if event.step == "escalated" { return [mqtt_publish(lamp, `level ${event.level}`)]; }
if event.step == "acknowledged" { return [mqtt_publish(lamp, event.by)]; }
if event.step == "drill" { return []; }
if event.value == () { throw "no_value" }
let body = json_text(#{ rule: event.rule, value: event.value, who: event.athlete, note: event.message });
[http_post("https://hooks.example.org/a", "application/json", body), mqtt_publish("hall/lamp", "on")]
"#;

    const CASES: &str = r#"
case a high alert goes out
  raised high heat-illness core_temperature 39.70 Cel athlete zebra message "hot, \ and red" -> http https://hooks.example.org/a has '"value":39.70' has '"who":"zebra"', mqtt hall/lamp has on
case it ends
  cleared high heat-illness -> mqtt hall/lamp has off
  cleared high heat-illness with lamp gym/lamp -> mqtt gym/lamp has off
case it escalates, and somebody looks
  escalated high heat-illness level 2 -> mqtt hall/lamp has level
  acknowledged high heat-illness by ann -> mqtt hall/lamp has ann
case a drill is passed over
  drill high alert-path-drill ->
case others are silent
  raised low sensor-silent ->
case malformed without a value
  raised high heat-illness -> error no_value
"#;

    fn report(cases: &str) -> Report {
        let load = |chosen: &[(String, String)]| {
            let text = |(key, value): &(String, String)| (key.clone(), Constant::Text(value.clone()));
            let usual = [("lamp".to_owned(), Constant::Text("hall/lamp".to_owned()))];
            let constants: Vec<_> = if chosen.is_empty() { usual.to_vec() } else { chosen.iter().map(text).collect() };
            Output::load("output.rhai", SCRIPT, &constants)
        };
        run_output_cases("test", "cases.txt", &parse_output_cases("cases.txt", cases).unwrap(), &load)
    }

    #[test]
    fn an_output_does_what_its_cases_say() {
        let report = report(CASES);
        assert!(report.passed(), "{report}");
        assert_eq!(report.cases.len(), 6);
    }

    #[test]
    fn what_differs_is_shown_with_its_line() {
        for (case, wanted) in [
            ("raised low sensor-silent -> mqtt hall/lamp", "expected mqtt hall/lamp, got nothing"),
            (
                "cleared high x -> mqtt hall/lamp has on",
                "expected mqtt hall/lamp has 'on', got mqtt hall/lamp with off",
            ),
            ("raised high x -> error other", "expected error other, got error no_value"),
        ] {
            let failures = report(&format!("case one\n  {case}\n")).cases[0].failures.clone();
            assert_eq!(failures[0].to_string(), format!("cases.txt:2:1: {wanted}"));
        }
    }

    #[test]
    fn a_line_that_is_none_is_named_with_its_place() {
        for (case, wanted) in [
            (
                "rased high x ->",
                "cases.txt:2:3: `rased` is no step: write `raised`, `escalated`, `acknowledged`, `cleared` or `drill`",
            ),
            ("raised urgent x ->", "cases.txt:2:10: `urgent` is no priority: low, medium or high"),
            (
                "raised high x ->  tcp y",
                "cases.txt:2:21: write `http URL`, `mqtt TOPIC`, `serial PATH`, `mail ADDRESS`, `gpio CHIP/LINE` or `lcd BUS/ADDRESS`",
            ),
            ("raised high x with lamp -> mqtt a", "cases.txt:2:36: a value is missing"),
            ("raised high x -> mqtt a with b", "cases.txt:2:27: write `has TEXT` or `using SECRET`"),
            (
                "raised high x heart_rte 1 /min ->",
                "cases.txt:2:17: `heart_rte` is not a quantity (did you mean `heart_rate`?)",
            ),
        ] {
            let problems = parse_output_cases("cases.txt", &format!("case one\n  {case}\n")).unwrap_err();
            assert_eq!(problems[0].to_string(), wanted);
        }
    }

    #[test]
    fn a_mail_goes_out_whatever_capitals_the_hosts_of_its_addresses_are_written_with() {
        let event = parse_output_cases("c", "case a\n  raised high x ->\n").unwrap().remove(0).steps.remove(0).event;
        let script = "[mail(\"smtp://a.org:25\", \"Box@Clinic.Example.org\", \"Dr.Ann@B.ORG\", \"x\", \"\")]";
        let asked = Output::load("output.rhai", script, &[]).unwrap().tell(&event);
        let Outcome::Requests(requests) = &asked else { panic!("{asked:?}") };
        let [Request::Mail { from, to, .. }] = &requests[..] else { panic!("{asked:?}") };
        assert_eq!((from.as_str(), to.as_str()), ("Box@clinic.example.org", "Dr.Ann@b.org"));
    }

    #[test]
    fn scripts_that_ask_for_nonsense_fail_and_nothing_is_asked() {
        let event = parse_output_cases("c", "case a\n  raised high x ->\n").unwrap().remove(0).steps.remove(0).event;
        for (script, wanted) in [
            ("7", "not a list of requests"),
            ("[7]", "not one of requests"),
            ("[http_post(\"ftp://a.org/\", \"text/plain\", \"\")]", "is no URL"),
            ("[mqtt_publish(\"alerts/x\", \"\")]", "is no topic"),
            ("let l = []; for i in 0..9 { l.push(mqtt_publish(\"a\", \"\")); } l", "at most 8"),
            ("[mqtt_publish(\"a\", json_text(#{ x: 1.5 }))]", "has no JSON"),
            ("[mqtt_publish(\"a\", \"\").bearer(\"token\")]", "only a request of http_post"),
            ("[mail(\"smtp://a.org:25\", \"a@b.org\", \"c@d.org\", \"x\\r\\nBcc: e@f.org\", \"\")]", "one line"),
            ("[serial_write(\"/dev/ttyS1\", 9600, \"\").login(\"box\", \"word\")]", "only a mail has a login"),
            ("[mqtt_publish(\"a\", \"\").latest()]", "only a request of serial_write"),
            ("[gpio_pulse(\"gpiochip0\", 1, [1.5])]", "a list of milliseconds"),
            ("[gpio_pulse(\"gpiochip0\", 1, [9000])]", "a pattern is"),
            ("[lcd(\"i2c-1\", \"27\", [])]", "an address is"),
            ("loop {}", "too many operations"),
        ] {
            match Output::load("output.rhai", script, &[]).unwrap().tell(&event) {
                Outcome::Fault(why) => assert!(why.contains(wanted), "{script}: {why}"),
                other => panic!("{script}: {other:?}"),
            }
        }
        assert!(Output::load("output.rhai", "evnt", &[]).unwrap_err()[0].contains("`evnt`"));
        let reads = Output::load("output.rhai", "secret(\"token\")", &[]).unwrap_err();
        assert!(reads[0].contains("there is no function `secret`"), "{reads:?}");
    }
}
