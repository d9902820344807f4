//! What a backtest came to, as JSON (`pitchside/backtest/1`) and in words.

use pitchside_model::Timestamp;
use pitchside_rules::backtest::{Counts, Mark, Report};
use serde::Serialize;

use crate::cli::output::counted;
use crate::past::Walked;

const MICROS_PER_DAY: i64 = 86_400_000_000;
/// The longest bar of the timeline, in characters.
const BAR_CHARS_MAX: u64 = 40;
/// How many alerts the text shows; JSON has more.
const SHOWN_MAX: usize = 40;

#[derive(Serialize)]
struct Firing {
    alert: String,
    rule: String,
    event_time: String,
    athlete: Option<String>,
    device: String,
    value: Option<String>,
    cleared: Option<String>,
    difference: Mark,
    message: String,
}

#[derive(Serialize)]
struct Named {
    name: String,
    #[serde(flatten)]
    counts: Counts,
}

/// What stopped a script.
#[derive(Serialize)]
struct Stopped {
    whose: &'static str,
    rule: String,
    fault: String,
    times: u64,
}

/// What was switched off, and by the event time of which reading.
#[derive(Serialize)]
struct Off {
    whose: &'static str,
    rule: String,
    at: Option<String>,
    fault: String,
}

/// What a backtest came to, for people and machines.
#[derive(Serialize)]
pub(super) struct Said {
    schema: &'static str,
    draft: String,
    draft_rules: String,
    live_rules: String,
    since: String,
    until: String,
    /// Whose place in the chain and signature were verified, from its beginning.
    headers_chained: u64,
    /// Whose payloads were opened, and so verified, too.
    blocks_verified: u64,
    blocks_heard: u64,
    blocks_only_in_ledger: u64,
    /// The same in words, a line each.
    #[serde(skip)]
    not_heard: Vec<String>,
    messages: u64,
    readings: u64,
    first_reading: Option<String>,
    last_reading: Option<String>,
    fires: u64,
    live_fires: u64,
    difference: Counts,
    subjects: Vec<Named>,
    timeline: Vec<Named>,
    alerts: Vec<Firing>,
    alerts_left_out: u64,
    faults: u64,
    first_faults: Vec<String>,
    live_faults: u64,
    stops: Vec<Stopped>,
    switched_off: Vec<Off>,
}

/// Whose a rule is.
const fn whose(live: bool) -> &'static str {
    if live { "live" } else { "draft" }
}

/// The same, of a report.
pub(super) fn said(
    which: &str,
    (from, now): (Timestamp, Timestamp),
    (draft_rules, live_rules): (String, String),
    walked: Walked,
    report: &Report,
) -> Said {
    let named = |(name, counts): (String, &Counts)| Named { name, counts: *counts };
    let day = |day: i64| Timestamp(day * MICROS_PER_DAY).to_string().chars().take(10).collect::<String>();
    let alerts: Vec<Firing> = report
        .listed
        .iter()
        .map(|listed| Firing {
            alert: listed.alert.id.to_string(),
            rule: listed.alert.rule.to_string(),
            event_time: listed.alert.event_time.to_string(),
            athlete: listed.alert.athlete.as_ref().map(ToString::to_string),
            device: listed.alert.device.to_string(),
            value: listed.alert.value.map(|value| format!("{value} {}", listed.alert.unit)),
            cleared: listed.cleared.map(|at| at.to_string()),
            difference: listed.mark,
            message: listed.alert.message.clone(),
        })
        .collect();
    Said {
        schema: "pitchside/backtest/1",
        draft: which.to_owned(),
        draft_rules,
        live_rules,
        since: from.to_string(),
        until: now.to_string(),
        headers_chained: walked.chained,
        blocks_verified: walked.opened,
        blocks_heard: walked.opened,
        blocks_only_in_ledger: walked.elsewhere + walked.before,
        not_heard: not_heard(walked),
        messages: report.messages,
        readings: report.readings,
        first_reading: report.span.map(|(first, _)| first.to_string()),
        last_reading: report.span.map(|(_, last)| last.to_string()),
        fires: report.counts.draft(),
        live_fires: report.counts.live(),
        difference: report.counts,
        subjects: report.subjects.iter().map(|(name, counts)| named((name.clone(), counts))).collect(),
        timeline: report.days.iter().map(|(at, counts)| named((day(*at), counts))).collect(),
        alerts_left_out: report.counts.all() - alerts.len() as u64,
        alerts,
        faults: report.faults,
        first_faults: report
            .stops
            .iter()
            .filter(|stop| !stop.live)
            .map(|stop| format!("{}: {}", stop.rule, stop.fault))
            .collect(),
        live_faults: report.live_faults,
        stops: report
            .stops
            .iter()
            .map(|stop| Stopped {
                whose: whose(stop.live),
                rule: stop.rule.to_string(),
                fault: stop.fault.to_string(),
                times: stop.times,
            })
            .collect(),
        switched_off: report
            .off
            .iter()
            .map(|off| Off {
                whose: whose(off.live),
                rule: off.rule.to_string(),
                at: off.at.map(|at| at.to_string()),
                fault: off.fault.to_string(),
            })
            .collect(),
    }
}

fn not_heard(walked: Walked) -> Vec<String> {
    let here = (walked.elsewhere > 0)
        .then(|| format!("{} of that time, which only the ledger holds any more", counted(walked.elsewhere, "block")));
    walked.missing().into_iter().chain(here).collect()
}

/// In words.
pub(super) fn words(said: &Said) -> String {
    let mut text = format!(
        "{} on {} in {} since {}; {} verified, {} chained\n",
        said.draft_rules,
        counted(said.readings, "reading"),
        counted(said.blocks_heard, "block"),
        &said.since[..10],
        counted(said.blocks_verified, "block"),
        counted(said.headers_chained, "header"),
    );
    let in_force = if said.live_rules.is_empty() { "nothing of that name is in force" } else { &said.live_rules };
    text.push_str(&format!("fires {} times; in force: {in_force}, {} times\n", said.fires, said.live_fires));
    let Counts { same, new, gone, earlier, later } = said.difference;
    text.push_str(&format!("difference: {same} the same, {new} new, {gone} gone"));
    // Told only where there are some: most drafts change what is told, and not when.
    let shifted = earlier + later > 0;
    if shifted {
        text.push_str(&format!(", {earlier} told earlier, {later} told later"));
    }
    text.push('\n');
    said.not_heard.iter().for_each(|line| text.push_str(&format!("not heard: {line}\n")));
    text.push_str(&troubles(said));
    text.push_str(&timeline(said, shifted));
    text.push_str(&subjects(said, shifted));
    text.push_str(&alerts(said));
    text.trim_end().to_owned()
}

/// What kept scripts from answering.
fn troubles(said: &Said) -> String {
    let mut text = String::new();
    for (of, whose, faults) in [("the draft", "draft", said.faults), ("what is in force", "live", said.live_faults)] {
        if faults == 0 {
            continue;
        }
        text.push_str(&format!("{of} was stopped {}:\n", counted(faults, "time")));
        for stop in said.stops.iter().filter(|stop| stop.whose == whose) {
            text.push_str(&format!("  {}: {} ({})\n", stop.rule, stop.fault, counted(stop.times, "time")));
        }
        for off in said.switched_off.iter().filter(|off| off.whose == whose) {
            let at = off.at.as_deref().unwrap_or("an unknown time");
            text.push_str(&format!("  {} was switched off at {at}; nothing after it was tried\n", off.rule));
        }
    }
    text
}

fn timeline(said: &Said, shifted: bool) -> String {
    let mut text = String::new();
    let most = said.timeline.iter().map(|day| day.counts.all()).max().unwrap_or(0);
    if most > 0 {
        let more = if shifted { ", < earlier, > later" } else { "" };
        text.push_str(&format!("\nTIMELINE (= the same, + new, - gone{more})\n"));
    }
    for day in &said.timeline {
        let Counts { same, new, gone, earlier, later } = day.counts;
        let scaled = |count: u64| if most <= BAR_CHARS_MAX { count } else { (count * BAR_CHARS_MAX).div_ceil(most) };
        let stroke = |(sign, count): (&str, u64)| sign.repeat(usize::try_from(scaled(count)).unwrap_or(0));
        let strokes = [("=", same), ("+", new), ("-", gone), ("<", earlier), (">", later)];
        let bar: String = strokes.into_iter().map(stroke).collect();
        text.push_str(&format!("{}  {:>4}  {bar}\n", day.name, day.counts.all()));
    }
    text
}

fn subjects(said: &Said, shifted: bool) -> String {
    let mut text = String::new();
    if !said.subjects.is_empty() {
        let more = if shifted { "  EARLIER  LATER" } else { "" };
        text.push_str(&format!("\nWHO           FIRES   NEW  GONE{more}\n"));
    }
    for who in &said.subjects {
        let Counts { new, gone, earlier, later, .. } = who.counts;
        text.push_str(&format!("{:<12} {:>6} {new:>5} {gone:>5}", who.name, who.counts.draft()));
        if shifted {
            text.push_str(&format!("  {earlier:>7}  {later:>5}"));
        }
        text.push('\n');
    }
    text
}

fn alerts(said: &Said) -> String {
    let mut text = String::new();
    if !said.alerts.is_empty() {
        text.push_str("\nWHEN                      WHO           VALUE         DIFFERENCE  ALERT\n");
    }
    for firing in said.alerts.iter().take(SHOWN_MAX) {
        let who = firing.athlete.as_ref().unwrap_or(&firing.device);
        let mark = match firing.difference {
            Mark::Same => "same",
            Mark::New => "new",
            Mark::Gone => "gone",
            Mark::Earlier => "earlier",
            Mark::Later => "later",
        };
        let value = firing.value.as_deref().unwrap_or("-");
        text.push_str(&format!("{:<25} {who:<13} {value:<13} {mark:<11} {}\n", firing.event_time, firing.alert));
    }
    let left_out = said.alerts.len().saturating_sub(SHOWN_MAX) as u64 + said.alerts_left_out;
    if left_out > 0 {
        text.push_str(&format!("and {left_out} more\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_blocks_whose_payloads_were_opened_are_called_verified() {
        let walked = Walked { chained: 53, opened: 35, elsewhere: 0, before: 0 };
        let versions = ("good 1.0.0".to_owned(), String::new());
        let said = said("good", (Timestamp(0), Timestamp(1)), versions, walked, &Report::default());
        assert_eq!((said.blocks_verified, said.headers_chained), (35, 53));
        let words = words(&said);
        let first = "good 1.0.0 on 0 readings in 35 blocks since 1970-01-01; 35 blocks verified, 53 headers chained\n";
        assert!(words.starts_with(first), "{words}");
    }

    #[test]
    fn blocks_from_before_a_restore_that_are_not_here_are_counted_and_named() {
        let walked = Walked { chained: 2, opened: 2, elsewhere: 1, before: 27 };
        let versions = ("good 1.0.0".to_owned(), String::new());
        let said = said("good", (Timestamp(0), Timestamp(1)), versions, walked, &Report::default());
        assert_eq!(said.blocks_only_in_ledger, 28);
        let words = words(&said);
        assert!(words.contains("\nnot heard: blocks 0 to 26, from before this box was restored, are not here; "));
        assert!(words.contains("\nnot heard: 1 block of that time, which only the ledger holds any more"), "{words}");
    }
}
