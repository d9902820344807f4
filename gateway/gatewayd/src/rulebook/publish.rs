//! Putting a draft in force: once, by whoever comes first.

use std::path::Path;

use anyhow::Context as _;
use ledger_block::GatewayKey;
use ledger_block::ingest::{Act, Transaction};
use ledger_block::merkle::leaf_hash;
use ledger_block::policy::Policy;
use pitchside_model::Timestamp;
use pitchside_rules::RuleSource;
use pitchside_rules::history::{RuleTexts, conflict_marks};
use pitchside_store::{NewRuleVersion, Published as Stored, RuleVersion, Tables};

use super::disk::{BASE_FILE, Lock, read_texts, stage};
use super::{checked, follows, set_with, to_text, watched};
use crate::cli::context::Context;

/// What is to be published.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The rule's name.
    pub name: String,
    /// Its files.
    pub texts: RuleTexts,
    /// The version it began from; none is right only for a rule that is new.
    pub base: Option<u32>,
    /// Who publishes it.
    pub author: String,
    /// Why.
    pub note: String,
    /// Only to be watched.
    pub shadow: bool,
    /// It was in force before: going back must fail neither for a case nor for what `rules check` says today.
    pub back: bool,
}

/// A version that is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Its number.
    pub number: u32,
    /// The version its manifest states.
    pub label: String,
    /// Hash of the rule.
    pub rule_hash: [u8; 32],
    /// Hash of the rules in force with it.
    pub set_hash: [u8; 32],
    /// Whether the ledger will be told.
    pub told: bool,
}

/// Why nothing was published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The draft is not in order.
    #[error("the draft has {} problem(s); nothing was published", .0.len())]
    Problems(Vec<String>),
    /// It does not say which version it began from.
    #[error("{}", no_base(.0))]
    NoBase(Box<RuleVersion>),
    /// Somebody else published meanwhile.
    #[error("{}", overtaken(.0))]
    Overtaken(Box<RuleVersion>),
    /// The base is a version that does not exist.
    #[error("{}", unknown_base(.name, .base, .newest))]
    UnknownBase {
        /// The rule.
        name: String,
        /// What the draft says.
        base: u32,
        /// Its newest version; 0 if it was never published.
        newest: u32,
    },
    /// It changes nothing.
    #[error("the draft is version {0} to the letter; there is nothing to publish")]
    Unchanged(u32),
    /// Something else.
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

fn no_base(at: &RuleVersion) -> String {
    let RuleVersion { name, number, author, .. } = at;
    format!(
        "{name} is at version {number}{} published by {author}: say which version the draft began from with --base (`pitchside rules \
         diff {name}@{number} DIR` shows what it changes)",
        if at.shadow { watched(true) } else { "," }
    )
}

fn unknown_base(name: &str, base: &u32, newest: &u32) -> String {
    let said =
        format!("--base, or the file {BASE_FILE} in the draft's folder, says that the draft began from version {base}");
    match newest {
        0 => format!(
            "{name} was never published, but {said}: remove {BASE_FILE} from a folder that was copied from another rule's draft"
        ),
        _ => format!("{name} has no version {base}; the newest is {newest}: {said}"),
    }
}

fn overtaken(between: &RuleVersion) -> String {
    let RuleVersion { name, number, author, published_at, note, shadow, .. } = between;
    let now = if *shadow {
        format!(
            "`pitchside rules diff {name}@{number} DIR` shows what differs; with --base {number} yours is watched in its place"
        )
    } else {
        "`pitchside rules merge DIR` puts both together; then publish again".to_owned()
    };
    format!(
        "not published: version {number} of {name}{} came between, published by {author} at {published_at} (\"{note}\"). {now}",
        watched(*shadow)
    )
}

impl From<pitchside_store::StoreError> for PublishError {
    fn from(error: pitchside_store::StoreError) -> Self {
        Self::Other(error.into())
    }
}

/// Who is named as author of what lay in the folder without having been published.
const FOUND: &str = "(found in the folder)";

/// Records what lies in the rules' folder as a version of its own if it is none: put there by hand, or before there were
/// versions. The lock is held by the caller.
pub fn record_as_found(context: &Context, rules: &Path, name: &str, now: Timestamp) -> Result<(), PublishError> {
    let folder = rules.join(name);
    if !folder.is_dir() {
        return Ok(());
    }
    let texts = read_texts(&folder)?;
    let tables = &context.tables;
    let in_force = in_force(tables, name)?;
    if in_force.as_ref().is_some_and(|version| version.text_hash == texts.text_hash()) {
        return Ok(());
    }
    let Ok(rule) = RuleSource::parse(name, &texts.manifest, &texts.script) else { return Ok(()) };
    let newest = tables.newest_rule_version(name)?.map_or(0, |version| version.number);
    let note = match newest {
        0 => "in force before the first version",
        _ if follows(&folder, &texts) => "changed with the library",
        _ => "changed by hand",
    };
    let set = set_with(context, rules, name, Some(rule.clone()))?;
    let new = NewRuleVersion {
        text: to_text(name, &texts),
        label: rule.manifest.version,
        author: FOUND.to_owned(),
        note: note.to_owned(),
        at: now,
        shadow: false,
        base: newest,
        set_hash: set.hash(),
        act: act(context, set.hash(), now)?,
    };
    match tables.publish_rule(new)? {
        Stored::As(_) => Ok(()),
        Stored::Overtaken(between) => Err(PublishError::Overtaken(Box::new(between))),
    }
}

/// The version that was put in force last; shadows are not in force.
fn in_force(tables: &Tables, name: &str) -> Result<Option<RuleVersion>, PublishError> {
    Ok(tables.newest_live_rule_version(name)?)
}

/// Whether a draft says where it began, and nothing came between: of what is to be in force only what was put in force, for nobody
/// builds on what is only watched; of what is to be watched any version, for only one is watched at a time.
fn began_from(draft: &Draft, newest: Option<&RuleVersion>, rival: Option<&RuleVersion>) -> Result<(), PublishError> {
    let last = newest.map_or(0, |newest| newest.number);
    match (newest, draft.base) {
        (None, None) => Ok(()),
        (Some(newest), None) => Err(PublishError::NoBase(Box::new(rival.unwrap_or(newest).clone()))),
        (_, Some(base)) if base > last => {
            Err(PublishError::UnknownBase { name: draft.name.clone(), base, newest: last })
        }
        (_, Some(base)) => match rival.filter(|rival| rival.number > base) {
            Some(between) => Err(PublishError::Overtaken(Box::new(between.clone()))),
            None => Ok(()),
        },
    }
}

/// Publishes a draft: checked, compiled, its cases run; recorded with the transaction that tells the ledger; put in force.
pub fn publish(context: &Context, rules: &Path, draft: &Draft, now: Timestamp) -> Result<Published, PublishError> {
    let marked = conflict_marks(&draft.texts);
    // What was in force with something that looks like one must not fail for it.
    if !marked.is_empty() && !draft.back {
        return Err(PublishError::Problems(marked.iter().map(|mark| format!("{}/{mark}", draft.name)).collect()));
    }
    let rule = checked(&draft.name, &draft.texts, !draft.back).map_err(PublishError::Problems)?;
    let _lock = Lock::take(rules)?;
    record_as_found(context, rules, &draft.name, now)?;
    let newest = context.tables.newest_rule_version(&draft.name)?;
    let rival = if draft.shadow { newest.clone() } else { in_force(&context.tables, &draft.name)? };
    began_from(draft, newest.as_ref(), rival.as_ref())?;
    // Under the lock nothing comes between any more; the store counts every version.
    let base = newest.map_or(0, |newest| newest.number);
    let unchanged = rival.filter(|last| last.text_hash == draft.texts.text_hash() && last.shadow == draft.shadow);
    let on_disk = read_texts(&rules.join(&draft.name)).is_ok_and(|texts| texts == draft.texts);
    if let Some(same) = unchanged.filter(|_| draft.shadow || on_disk) {
        return Err(PublishError::Unchanged(same.number));
    }
    let (label, rule_hash) = (rule.manifest.version.clone(), rule.hash);
    let set = set_with(context, rules, &draft.name, Some(rule))?;
    let act = if draft.shadow { None } else { act(context, set.hash(), now)? };
    let told = act.is_some();
    // Before it is recorded: a folder that takes no rule leaves no version behind.
    let staged = if draft.shadow { None } else { Some(stage(rules, &draft.name, &draft.texts)?) };
    let new = NewRuleVersion {
        text: to_text(&draft.name, &draft.texts),
        label: label.clone(),
        author: draft.author.clone(),
        note: draft.note.clone(),
        at: now,
        shadow: draft.shadow,
        base,
        set_hash: set.hash(),
        act,
    };
    let number = match context.tables.publish_rule(new)? {
        Stored::As(number) => number,
        Stored::Overtaken(between) => return Err(PublishError::Overtaken(Box::new(between))),
    };
    if let Some(staged) = staged {
        let name = &draft.name;
        staged.put().with_context(|| {
            format!("{name}@{number} is recorded, but not in force; publish it again, from version {number}")
        })?;
    }
    Ok(Published { number, label, rule_hash, set_hash: set.hash(), told })
}

/// The transaction `rule`: this set of rules is in force on this box. None without a ledger.
fn act(context: &Context, set_hash: [u8; 32], now: Timestamp) -> anyhow::Result<Option<([u8; 32], Vec<u8>)>> {
    let Some(ledger) = &context.settings.ledger else { return Ok(None) };
    let bytes =
        std::fs::read(&ledger.policy).with_context(|| format!("reading the policy {}", ledger.policy.display()))?;
    let policy = Policy::parse(&bytes).with_context(|| format!("the policy {}", ledger.policy.display()))?;
    let origin = policy.logs().first().context("the policy names no log")?.key.name().to_owned();
    let signer = context.settings.gateway.name.clone();
    let transaction = Transaction { signer, time: now, act: Act::Rule { rules: set_hash } };
    let leaf = transaction.sign(&origin, &GatewayKey::new(&context.identity.sign))?;
    Ok(Some((leaf_hash(&leaf), leaf)))
}

#[cfg(test)]
mod tests {
    use pitchside_config::{Gateway, Library, Settings};

    use super::super::{origin, version};
    use super::*;
    use crate::cli::args::ConfigArg;
    use crate::cli::context::open;
    use crate::cli::{InitPlan, SETTINGS_FILE, make_box};

    const NOW: Timestamp = Timestamp(1_790_000_000_000_000);

    fn clinic(dir: &Path) -> Context {
        let gateway = Gateway { data_dir: "data".into(), key_dir: "keys".into(), ..Gateway::default() };
        let rules = Library { dir: Some("rules".into()) };
        make_box(&InitPlan { dir: dir.to_owned(), settings: Settings { gateway, rules, ..Settings::default() } })
            .unwrap();
        std::fs::create_dir(dir.join("rules")).unwrap();
        open(&ConfigArg { file: Some(dir.join(SETTINGS_FILE)) }).unwrap()
    }

    fn draft(base: Option<u32>) -> Draft {
        let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rules/heart-rate-ceiling");
        let (author, note) = ("ann".to_owned(), "first".to_owned());
        let texts = read_texts(&library).unwrap();
        Draft { name: "heart-rate-ceiling".to_owned(), texts, base, author, note, shadow: false, back: true }
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
        assert!(!dir.path().join(".rules.new").exists());
    }
}
