//! The schema's rules: what a step may do, and who may work with what it leaves.

use super::*;

/// A database that a program with these steps brought up to date.
fn brought_up_by(steps: &[Step]) -> Connection {
    let mut connection = Connection::open_in_memory().unwrap();
    migrate_by(steps, &mut connection, Path::new("x")).unwrap();
    connection
}

fn next(reader: i64) -> Vec<Step> {
    [STEPS, &[Step { up: "CREATE TABLE of_the_future (a INTEGER NOT NULL) STRICT;", reader }]].concat()
}

fn version(connection: &Connection) -> i64 {
    connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
}

#[test]
fn a_fresh_file_becomes_ours_and_twice_is_once() {
    let mut connection = brought_up_by(STEPS);
    migrate(&mut connection, Path::new("x")).unwrap();
    connection.execute("INSERT INTO meta (key, value) VALUES ('a', x'00')", []).unwrap();
}

#[test]
fn an_older_schema_is_brought_up_to_date_and_keeps_its_rows() {
    let mut connection = brought_up_by(&STEPS[..1]);
    connection.execute("INSERT INTO blocks VALUES (0, 0, x'00', 0, 0, 0, 0, 3, x'00')", []).unwrap();
    migrate(&mut connection, Path::new("x")).unwrap();
    let alerts: i64 = connection.query_row("SELECT alerts_up_to FROM blocks", [], |row| row.get(0)).unwrap();
    assert_eq!(alerts, 0, "an old block speaks for no alert");
    connection.execute_batch("SELECT * FROM undecoded").unwrap();
}

#[test]
fn a_newer_schema_whose_steps_only_add_is_left_as_it_is() {
    let known = STEPS.len() as i64;
    let mut connection = brought_up_by(&next(known));
    migrate(&mut connection, Path::new("x")).unwrap();
    assert_eq!(version(&connection), known + 1, "an older program does not turn the number back");
    migrate_by(&next(known), &mut connection, Path::new("x")).unwrap();
    connection.execute_batch("SELECT a FROM of_the_future").unwrap();
}

#[test]
fn a_newer_schema_that_changes_what_was_there_is_refused_with_all_numbers() {
    let known = STEPS.len() as i64;
    let mut connection = brought_up_by(&next(known + 1));
    let error = migrate(&mut connection, Path::new("x")).unwrap_err();
    assert!(
        matches!(error, OpenError::Newer { found, known: ours, needed } if found == known + 1 && ours == known && needed == known + 1)
    );
    assert!(error.to_string().contains("newer pitchside"));
}

#[test]
fn one_step_that_changes_is_enough_to_be_refused() {
    let known = STEPS.len() as i64;
    let last = Step { up: "CREATE TABLE later (a INTEGER) STRICT;", reader: known };
    let mut connection = brought_up_by(&[next(known + 1).as_slice(), &[last]].concat());
    let error = migrate(&mut connection, Path::new("x")).unwrap_err();
    assert!(matches!(error, OpenError::Newer { needed, .. } if needed == known + 1));
}

#[test]
fn a_newer_schema_that_does_not_say_what_it_asks_is_refused() {
    let mut connection = brought_up_by(STEPS);
    connection.pragma_update(None, "user_version", 99).unwrap();
    let error = migrate(&mut connection, Path::new("x")).unwrap_err();
    assert!(matches!(error, OpenError::Newer { found: 99, needed: 99, .. }));
}

#[test]
fn somebody_elses_database_is_left_alone() {
    let mut connection = Connection::open_in_memory().unwrap();
    connection.execute_batch("CREATE TABLE t (a)").unwrap();
    assert!(matches!(migrate(&mut connection, Path::new("x")), Err(OpenError::Foreign(_))));
}

/// The statements of a text, in capitals, without comments.
fn statements(text: &str) -> Vec<String> {
    let bare: String = text.lines().map(|line| line.split("--").next().unwrap_or_default().to_owned() + "\n").collect();
    let words = |statement: &str| statement.to_uppercase().split_whitespace().collect::<Vec<_>>().join(" ");
    bare.split(';').map(words).filter(|statement| !statement.is_empty()).collect()
}

/// Why a statement takes something from an older program; none if it only adds.
fn takes(statement: &str, made_here: &[String]) -> Option<&'static str> {
    let words: Vec<&str> = statement.split([' ', '(']).collect();
    let here = |name: &str| made_here.iter().any(|table| table == name);
    match words.as_slice() {
        ["CREATE", "TABLE", ..] => None,
        ["CREATE", "INDEX", ..] => None,
        ["CREATE", "UNIQUE", "INDEX", _, "ON", table, ..] if here(table) => None,
        ["CREATE", "UNIQUE", ..] => Some("refuses rows that an older program may write"),
        ["INSERT", "INTO", table, ..] if here(table) => None,
        // What it writes by itself stands in a table of this step, and never refuses what the older program writes.
        ["CREATE", "TRIGGER", _, "AFTER", "INSERT", "ON", _, "BEGIN", "INSERT", "INTO", table, .., "DO", "NOTHING"]
            if here(table) =>
        {
            None
        }
        ["END"] => None,
        ["ALTER", "TABLE", _, "ADD", "COLUMN", rest @ ..] if !rest.contains(&"NOT") || rest.contains(&"DEFAULT") => {
            None
        }
        ["ALTER", "TABLE", _, "ADD", "COLUMN", ..] => Some("asks for a column that an older program does not fill"),
        _ => Some("changes what an older program relies on"),
    }
}

#[test]
fn a_step_that_older_programs_may_live_with_only_adds() {
    for (number, step) in (1i64..).zip(STEPS).filter(|(number, step)| step.reader < *number) {
        let statements = statements(step.up);
        let made: Vec<String> = statements
            .iter()
            .filter_map(|statement| statement.strip_prefix("CREATE TABLE "))
            .filter_map(|rest| rest.split([' ', '(']).next().map(str::to_owned))
            .collect();
        for statement in &statements {
            assert_eq!(takes(statement, &made), None, "step {number}: {statement}");
        }
    }
}

#[test]
fn the_rule_knows_what_takes_and_what_adds() {
    let made = ["NEW".to_owned()];
    for adds in [
        "CREATE TABLE NEW (A)",
        "ALTER TABLE BLOCKS ADD COLUMN A INTEGER NOT NULL DEFAULT 0",
        "INSERT INTO NEW (A) VALUES (1)",
        "CREATE TRIGGER T AFTER INSERT ON BLOCKS BEGIN INSERT INTO NEW (A) VALUES (1) ON CONFLICT (A) DO NOTHING",
    ] {
        assert_eq!(takes(adds, &made), None, "{adds}");
    }
    for takes_away in [
        "DROP TABLE BLOCKS",
        "CREATE TRIGGER T AFTER INSERT ON BLOCKS BEGIN DELETE FROM BLOCKS WHERE A = 1",
        "CREATE TRIGGER T AFTER INSERT ON BLOCKS BEGIN INSERT INTO NEW (A) VALUES (1)",
        "ALTER TABLE BLOCKS RENAME TO OLD",
        "ALTER TABLE BLOCKS ADD COLUMN A INTEGER NOT NULL",
        "UPDATE BLOCKS SET LEVEL = 0",
        "CREATE UNIQUE INDEX A ON BLOCKS (HASH)",
        "CREATE TRIGGER A AFTER INSERT ON BLOCKS BEGIN SELECT 1",
        "INSERT INTO USERS (NAME) VALUES (1)",
    ] {
        assert!(takes(takes_away, &made).is_some(), "{takes_away}");
    }
}

/// A column that a later version adds must not shift what a statement of this one writes or reads.
#[test]
fn every_statement_names_its_columns() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql");
    let tables = std::fs::read_dir(folder).unwrap().map(|table| table.unwrap().path());
    let files = tables.flat_map(|table| std::fs::read_dir(table).unwrap().map(|file| file.unwrap().path()));
    let mut seen = 0;
    for file in files {
        for statement in statements(&std::fs::read_to_string(&file).unwrap()) {
            seen += 1;
            assert!(!statement.contains("SELECT *"), "{}: reads whatever columns there are", file.display());
            let named = statement.split(" INTO ").skip(1).all(|rest| {
                let after = rest.split_once([' ', '(']).map_or("", |(table, _)| &rest[table.len()..]);
                after.trim_start().starts_with('(')
            });
            assert!(named, "{}: writes whatever columns there are", file.display());
        }
    }
    assert!(seen > 50, "{seen} statements");
}
