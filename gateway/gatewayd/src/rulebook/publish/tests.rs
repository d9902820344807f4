use pitchside_config::{Gateway, Library, Settings};
use pitchside_script::cases::Report;

use super::super::disk::write_draft;
use super::super::{finish_what_is_left, origin, version};
use super::*;
use crate::cli::args::ConfigArg;
use crate::cli::context::open;
use crate::cli::{InitPlan, SETTINGS_FILE, make_box};

const NOW: Timestamp = Timestamp(1_790_000_000_000_000);

fn clinic(dir: &Path) -> Context {
    let gateway = Gateway { data_dir: "data".into(), key_dir: "keys".into(), ..Gateway::default() };
    let rules = Library { dir: Some("rules".into()) };
    make_box(&InitPlan { dir: dir.to_owned(), settings: Settings { gateway, rules, ..Settings::default() } }).unwrap();
    std::fs::create_dir(dir.join("rules")).unwrap();
    open(&ConfigArg { file: Some(dir.join(SETTINGS_FILE)) }).unwrap()
}

fn draft(base: Option<u32>) -> Draft {
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rules/heart-rate-ceiling");
    let (author, note) = ("ann".to_owned(), "first".to_owned());
    let texts = read_texts(&library).unwrap();
    Draft {
        name: "heart-rate-ceiling".to_owned(),
        texts,
        base,
        author,
        note,
        shadow: false,
        back: true,
        rollback: false,
    }
}

/// As whoever trusts the script.
fn publish(context: &Context, rules: &Path, draft: &Draft, now: Timestamp) -> Result<Published, PublishError> {
    super::publish(context, rules, draft, now, &|name, [manifest, script, cases]| {
        Ok(Ok(pitchside_rules::run_rule_texts(name, &manifest, &script, &cases)))
    })
}

const NAME: &str = "heart-rate-ceiling";

/// The same rule with a word of somebody's.
fn changed(base: u32, author: &str, shadow: bool) -> Draft {
    let mut draft = draft(Some(base));
    draft.texts.script.push_str(&format!("// {author}\n"));
    Draft { author: author.to_owned(), shadow, ..draft }
}

#[test]
fn what_is_only_watched_overtakes_nobody_and_comes_into_force_by_its_number_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (context, rules) = (clinic(dir.path()), dir.path().join("rules"));
    let publish = |draft: &Draft| publish(&context, &rules, draft, NOW);
    let found = |which: &str| version(&context.tables, which).unwrap();
    let live = || read_texts(&rules.join(NAME)).unwrap().script;
    assert_eq!(publish(&Draft { shadow: true, ..draft(None) }).unwrap().number, 1);
    assert_eq!((found(NAME).number, found(NAME).shadow), (1, true), "there is nothing else");
    let unsaid = publish(&draft(None)).unwrap_err().to_string();
    assert!(unsaid.contains("at version 1, which is only watched (a shadow), published by ann"), "{unsaid}");
    assert_eq!(publish(&draft(Some(1))).unwrap().number, 2);
    assert_eq!(publish(&changed(2, "bea", true)).unwrap().number, 3);
    assert_eq!((found(NAME).number, found("heart-rate-ceiling@3").shadow), (2, true));
    // The experiment came after what Ann began from, and has no part in what she puts in force.
    assert_eq!(publish(&changed(2, "ann", false)).unwrap().number, 4);
    assert!(live().contains("// ann") && !live().contains("// bea"));
    let told = publish(&changed(2, "cyd", false)).unwrap_err().to_string();
    assert!(told.contains("version 4 of heart-rate-ceiling came between, published by ann"), "{told}");
    let told = publish(&Draft { rollback: true, ..changed(2, "cyd", false) }).unwrap_err().to_string();
    assert!(told.starts_with("not rolled back: version 4 of heart-rate-ceiling came between"), "{told}");
    assert!(told.contains("`pitchside rules history heart-rate-ceiling`") && !told.contains("merge"), "{told}");
    let unsaid = publish(&draft(None)).unwrap_err().to_string();
    assert!(unsaid.contains("at version 4, published by ann"), "{unsaid}");
    // Only one is watched at a time.
    assert_eq!(publish(&changed(4, "bea", true)).unwrap().number, 5);
    let told = publish(&changed(4, "cyd", true)).unwrap_err().to_string();
    assert!(told.contains("version 5 of heart-rate-ceiling, which is only watched (a shadow), came"), "{told}");
    assert!(told.contains("--base 5"), "{told}");
    // On purpose.
    let experiment = Draft { texts: found("heart-rate-ceiling@5").texts, ..draft(Some(5)) };
    assert_eq!(publish(&experiment).unwrap().number, 6);
    assert!(live().contains("// bea"));
}

#[test]
fn a_draft_that_brought_the_base_of_another_along_is_told_where_it_stands() {
    let dir = tempfile::tempdir().unwrap();
    let (context, rules) = (clinic(dir.path()), dir.path().join("rules"));
    let refused = |base| publish(&context, &rules, &draft(Some(base)), NOW).unwrap_err().to_string();
    let told = refused(3);
    assert!(told.contains("was never published") && told.contains("remove .base"), "{told}");
    publish(&context, &rules, &draft(None), NOW).unwrap();
    let told = refused(3);
    assert!(told.contains("has no version 3; the newest is 1") && told.contains(".base"), "{told}");
}

#[test]
fn a_draft_that_began_from_what_was_only_watched_began_from_what_was_in_force_before_that() {
    let dir = tempfile::tempdir().unwrap();
    let (context, rules) = (clinic(dir.path()), dir.path().join("rules"));
    let publish = |draft: &Draft| publish(&context, &rules, draft, NOW).unwrap().number;
    let origin_of = |which: &str| {
        let found = version(&context.tables, which).unwrap();
        origin(&context.tables, found).unwrap().number
    };
    publish(&Draft { shadow: true, ..draft(None) });
    publish(&draft(Some(1)));
    publish(&changed(2, "bea", true));
    publish(&changed(3, "cyd", true));
    publish(&changed(2, "ann", false));
    let ids = ["heart-rate-ceiling@1", "heart-rate-ceiling@2", "heart-rate-ceiling@4", "heart-rate-ceiling@5"];
    assert_eq!(ids.map(origin_of), [1, 2, 2, 5]);
}

#[test]
fn what_a_merge_left_is_not_published_but_does_not_keep_anybody_from_going_back() {
    let dir = tempfile::tempdir().unwrap();
    let (context, rules) = (clinic(dir.path()), dir.path().join("rules"));
    let mut marked = draft(None);
    marked.texts.readme = "# heart-rate-ceiling\n||||||| original\n=======\n".to_owned();
    let fresh = Draft { back: false, ..marked.clone() };
    let Err(PublishError::Problems(told)) = publish(&context, &rules, &fresh, NOW) else { panic!("published") };
    assert_eq!(told, ["heart-rate-ceiling/README.md:2: holds the marks of a merge (|||||||)"]);
    assert_eq!(publish(&context, &rules, &marked, NOW).unwrap().number, 1);
}

#[test]
fn what_the_check_calls_an_error_is_not_published_though_it_compiles_and_its_cases_pass() {
    let dir = tempfile::tempdir().unwrap();
    let (context, rules) = (clinic(dir.path()), dir.path().join("rules"));
    let mut slip = Draft { back: false, ..draft(None) };
    slip.texts.script.insert_str(0, "if value > 1000.0 { return above(value, \"x\", 1.0); }\n");
    let Err(PublishError::Problems(problems)) = publish(&context, &rules, &slip, NOW) else { panic!("published") };
    let wanted = "heart-rate-ceiling/rule.rhai:1:41: `above` wants a number with a point, this is a text";
    assert_eq!(problems, [wanted]);
    assert!(context.tables.rule_versions(None).unwrap().is_empty() && !rules.join("heart-rate-ceiling").exists());
    // What was in force before comes back.
    assert_eq!(publish(&context, &rules, &Draft { back: true, ..slip }, NOW).unwrap().number, 1);
}

#[test]
fn the_cases_of_what_is_new_are_run_by_whoever_is_asked_to_and_what_becomes_of_that_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (context, rules) = (clinic(dir.path()), dir.path().join("rules"));
    let new = Draft { back: false, ..draft(None) };
    let late = || Ok(Err(vec!["its cases: too late".to_owned()]));
    let told = super::publish(&context, &rules, &new, NOW, &|_, _| late()).unwrap_err();
    assert!(matches!(&told, PublishError::Problems(told) if *told == ["its cases: too late"]), "{told:?}");
    let told = super::publish(&context, &rules, &new, NOW, &|_, _| Err(anyhow::anyhow!("no process"))).unwrap_err();
    assert!(matches!(&told, PublishError::Other(_)) && told.to_string() == "no process", "{told:?}");
    let mut never = new.clone();
    never.texts.cases = "case never\n  +0s heart_rate 100 /min -> raise high\n".to_owned();
    let told = publish(&context, &rules, &never, NOW).unwrap_err();
    assert!(matches!(&told, PublishError::Problems(told) if told[0].starts_with("never: ")), "{told:?}");
    assert!(context.tables.rule_versions(None).unwrap().is_empty() && !rules.join(NAME).exists());
    let wanted = [&new.texts.manifest, &new.texts.script, &new.texts.cases].map(String::clone);
    let published = super::publish(&context, &rules, &new, NOW, &|name, texts| {
        assert_eq!((name, &texts), (NAME, &wanted));
        Ok(Ok(Report::default()))
    });
    assert_eq!(published.unwrap().number, 1);
    // Of what was in force before none are run.
    let back = changed(1, "ann", false);
    assert_eq!(super::publish(&context, &rules, &back, NOW, &|_, _| late()).unwrap().number, 2);
}

/// As a publication leaves it that is cut off after the record: the folder as it was, the new texts beside it.
fn cut_off(context: &Context, rules: &Path, draft: &Draft) {
    let before = read_texts(&rules.join(NAME)).ok();
    publish(context, rules, draft, NOW).unwrap();
    match before {
        Some(before) => write_draft(&rules.join(NAME), &before).unwrap(),
        None => std::fs::remove_dir_all(rules.join(NAME)).unwrap(),
    }
    write_draft(&rules.with_file_name(".rules.new").join(NAME), &draft.texts).unwrap();
}

#[test]
fn a_publication_that_was_cut_off_after_the_record_is_finished_by_whoever_comes_next() {
    let dir = tempfile::tempdir().unwrap();
    let (context, rules) = (clinic(dir.path()), dir.path().join("rules"));
    let live = || read_texts(&rules.join(NAME)).unwrap();
    let numbers = || context.tables.rule_versions(Some(NAME)).unwrap().len();
    cut_off(&context, &rules, &draft(None));
    finish_what_is_left(&context.tables, &rules).unwrap();
    assert_eq!((live(), numbers()), (draft(None).texts, 1), "one that is new");
    let ann = changed(1, "ann", false);
    cut_off(&context, &rules, &ann);
    // Nothing old is recorded again, and Bea builds on what was recorded.
    assert!(matches!(publish(&context, &rules, &changed(2, "ann", false), NOW), Err(PublishError::Unchanged(2))));
    assert_eq!((live(), numbers()), (ann.texts, 2));
    assert_eq!(publish(&context, &rules, &changed(2, "bea", false), NOW).unwrap().number, 3);
    assert!(!dir.path().join(".rules.new").exists());
}

#[test]
fn what_somebody_changed_by_hand_since_is_not_undone_and_what_was_not_recorded_is_not_put_in_force() {
    let dir = tempfile::tempdir().unwrap();
    let (context, rules) = (clinic(dir.path()), dir.path().join("rules"));
    let script = || read_texts(&rules.join(NAME)).unwrap().script;
    publish(&context, &rules, &draft(None), NOW).unwrap();
    // Cut off before the record.
    write_draft(&dir.path().join(".rules.new").join(NAME), &changed(1, "cyd", false).texts).unwrap();
    finish_what_is_left(&context.tables, &rules).unwrap();
    assert!(!script().contains("// cyd") && !dir.path().join(".rules.new").exists());
    cut_off(&context, &rules, &changed(1, "ann", false));
    let by_hand = changed(1, "hand", false).texts;
    write_draft(&rules.join(NAME), &by_hand).unwrap();
    finish_what_is_left(&context.tables, &rules).unwrap();
    assert!(script().contains("// hand"));
    record_as_found(&context, &rules, NAME, NOW).unwrap();
    assert_eq!(version(&context.tables, NAME).unwrap().texts, by_hand);
}

#[test]
fn where_no_rule_can_be_written_no_version_is_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let (context, rules) = (clinic(dir.path()), dir.path().join("rules"));
    // In the place of the folder where rules are staged, as a read-only or full disk has none.
    std::fs::write(dir.path().join(".rules.new"), "").unwrap();
    let refused = format!("{:#}", anyhow::Error::from(publish(&context, &rules, &draft(None), NOW).unwrap_err()));
    assert!(refused.contains("takes no rule"), "{refused}");
    assert!(context.tables.rule_versions(None).unwrap().is_empty());
    std::fs::remove_file(dir.path().join(".rules.new")).unwrap();
    assert_eq!(publish(&context, &rules, &draft(None), NOW).unwrap().number, 1);
    assert_eq!(read_texts(&rules.join("heart-rate-ceiling")).unwrap(), draft(None).texts);
    assert!(matches!(publish(&context, &rules, &draft(Some(1)), NOW), Err(PublishError::Unchanged(1))));
    let back = publish(&context, &rules, &Draft { rollback: true, ..draft(Some(1)) }, NOW).unwrap_err();
    assert!(back.to_string().starts_with("heart-rate-ceiling@1 is in force already"), "{back}");
    assert!(!dir.path().join(".rules.new").exists());
}
