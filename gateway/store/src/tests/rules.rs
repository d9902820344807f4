//! Versions of rules, what was in force, and the shadow log.

use pitchside_model::{AlertEvent, AlertId, RuleName, Timestamp};

use super::*;
use crate::rules::{NewRuleVersion, Published, RuleChange, RuleText, SHADOW_ROWS_MAX};

fn text(name: &str, script: &str) -> RuleText {
    let hash = |label: &str| *blake3::hash(format!("{label}{name}{script}").as_bytes()).as_bytes();
    RuleText {
        name: name.to_owned(),
        manifest: format!("name = \"{name}\"\n"),
        script: script.to_owned(),
        cases: "case one\n".to_owned(),
        readme: "# x\n".to_owned(),
        rule_hash: hash("rule"),
        text_hash: hash("text"),
    }
}

fn version(script: &str, author: &str, base: u32) -> NewRuleVersion {
    NewRuleVersion {
        text: text("hot", script),
        label: "1.0.0".to_owned(),
        author: author.to_owned(),
        note: "because\nof x".to_owned(),
        at: Timestamp(5 + i64::from(base)),
        shadow: false,
        base,
        set_hash: [7; 32],
        act: Some((*blake3::hash(script.as_bytes()).as_bytes(), script.as_bytes().to_vec())),
    }
}

#[test]
fn of_two_drafts_of_one_version_the_second_is_told_which_came_between() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    assert_eq!(store.publish_rule(version("a", "ann", 0)).unwrap(), Published::As(1));
    assert_eq!(store.publish_rule(version("b", "ann", 1)).unwrap(), Published::As(2));
    let Published::Overtaken(between) = store.publish_rule(version("c", "bea", 1)).unwrap() else {
        panic!("overtaken")
    };
    assert_eq!((between.number, between.author.as_str(), between.note.as_str()), (2, "ann", "because of x"));
    assert!(matches!(store.publish_rule(version("d", "bea", 0)).unwrap(), Published::Overtaken(_)));
    let all = store.rule_versions(Some("hot")).unwrap();
    assert_eq!(all.iter().map(|v| v.number).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(store.rule_versions(None).unwrap(), all);
    assert_eq!(store.rule_text(&all[0].text_hash).unwrap().unwrap(), text("hot", "a"));
    assert_eq!(store.text_of_rule(&text("hot", "b").rule_hash).unwrap().unwrap(), text("hot", "b"));
    assert!(store.text_of_rule(&text("hot", "c").rule_hash).unwrap().is_none(), "nor is it kept");
    assert_eq!(
        store.waiting_acts(10).unwrap(),
        [b"a".to_vec(), b"b".to_vec()],
        "what was not published is told nobody"
    );
    assert_eq!(store.rule_version("hot", 2).unwrap().unwrap().set_hash, Some([7; 32]));
    assert!(store.rule_version("cold", 1).unwrap().is_none());
}

#[test]
fn what_is_only_watched_is_not_the_newest_to_be_in_force() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let watched = |script: &str, base: u32| NewRuleVersion { shadow: true, act: None, ..version(script, "bea", base) };
    let live = || store.newest_live_rule_version("hot").unwrap().map(|version| version.number);
    store.publish_rule(watched("a", 0)).unwrap();
    assert_eq!(live(), None);
    store.publish_rule(version("b", "ann", 1)).unwrap();
    store.publish_rule(watched("c", 2)).unwrap();
    assert_eq!((live(), store.newest_rule_version("hot").unwrap().unwrap().number), (Some(2), 3));
}

#[test]
fn what_was_in_force_is_remembered_once_a_change() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let change = |at, set: u8, script: &str| RuleChange {
        at: Timestamp(at),
        set_hash: [set; 32],
        rules: vec![("hot".to_owned(), text("hot", script).text_hash)],
        engine: "x/1".to_owned(),
    };
    assert!(store.note_rules(change(1, 1, "a"), vec![text("hot", "a")]).unwrap());
    assert!(!store.note_rules(change(2, 1, "a"), vec![text("hot", "a")]).unwrap(), "a restart changes nothing");
    assert!(store.note_rules(change(3, 2, "b"), vec![text("hot", "b")]).unwrap());
    let by_another = RuleChange { engine: "x/2".to_owned(), ..change(4, 2, "b") };
    assert!(store.note_rules(by_another.clone(), vec![text("hot", "b")]).unwrap(), "another evaluator");
    assert_eq!(store.rule_changes().unwrap(), [change(1, 1, "a"), change(3, 2, "b"), by_another]);
}

#[test]
fn the_shadow_log_is_encrypted_and_bounded() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let rule = RuleName::parse("hot").unwrap();
    let event = |n: u64| AlertEvent::Cleared { id: AlertId(u128::from(n).to_be_bytes()), event_time: Timestamp(9) };
    let events: Vec<_> = (0..SHADOW_ROWS_MAX as u64 + 5).map(|n| (rule.clone(), event(n))).collect();
    store.log_shadow(&events, Timestamp(3)).unwrap();
    let rows = store.shadow_log(Some("hot"), 20_000).unwrap();
    assert_eq!(rows.len() as i64, SHADOW_ROWS_MAX);
    assert_eq!(rows[0].event, event(SHADOW_ROWS_MAX as u64 + 4));
    assert!(store.shadow_log(Some("cold"), 10).unwrap().is_empty());
    assert_eq!(store.shadow_log(None, 3).unwrap().len(), 3);
}
