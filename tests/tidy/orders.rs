//! What a line on the box's stick runs: the orders of `orders.sh`, with our program and the stick's own helpers stood in for.

use std::path::Path;
use std::process::Command;

use crate::root;

/// As in `stick`, but for the user and the box's paths. Our program writes down its arguments, a line each call, and its standard input.
const STAND_INS: &str = r#"
set -u
stick=$1/stick
say() { printf 'say %s\n' "$*"; }
lines() { cat "$1"; }
own() { rm -rf "$1"; mkdir -p "$1"; }
give() { cp "$1" "$2"; }
as_pitchside() { "$@"; }
. "$2"
desk=$1/desk
pitchside() {
  printf '%s|' "$@" >>"$stick/../calls"; echo >>"$stick/../calls"
  case "$*" in *secret\ --*) cat >>"$stick/../read" ;; esac
  case "$*" in
    *eve*) echo "no such user"; return 1 ;;
    *generate*) printf '{\n  "value": "whsec_a/b+c="\n}\n' ;;
    --json*) printf '{\n  "password": "abcde-fghij"\n}\n' ;;
    *checkout*) mkdir -p "$desk/hot"; for f in rule.toml rule.rhai cases.txt README.md .base; do echo 1 >"$desk/hot/$f"; done ;;
    *) echo done ;;
  esac
}
set -f
while read -r line || [ -n "$line" ]; do admin_order $line || echo "another's: $line"; done
"#;

/// What was said of these orders, and what was run for them.
fn ordered(at: &Path, orders: &str) -> (String, String) {
    use std::io::Write as _;
    use std::process::Stdio;
    let script = root().join("images/root/usr/lib/pitchside/orders.sh");
    let mut shell = Command::new("sh")
        .args(["-c", STAND_INS, "sh"])
        .arg(at)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a shell");
    shell.stdin.take().expect("piped").write_all(orders.as_bytes()).expect("written");
    let said = shell.wait_with_output().expect("ended").stdout;
    let calls = std::fs::read_to_string(at.join("calls")).unwrap_or_default();
    let _ = std::fs::remove_file(at.join("calls"));
    (String::from_utf8(said).expect("UTF-8"), calls.replace(&*at.to_string_lossy(), ""))
}

fn box_with(files: &[(&str, &str)]) -> tempfile::TempDir {
    let at = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(at.path().join("stick")).expect("a stick");
    for (name, text) in files {
        let path = at.path().join("stick").join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }
    at
}

#[test]
fn an_order_runs_the_command_of_its_name() {
    let rule = ["rule.toml", "rule.rhai", "cases.txt", "README.md", ".base"].map(|file| format!("rules/cold/{file}"));
    let mut files: Vec<(&str, &str)> = rule.iter().map(|file| (file.as_str(), "1")).collect();
    files.extend([("a-1.tar", "tar"), ("a-1.tar.note", "note"), ("acme.pub", "key")]);
    let at = box_with(&files);
    for (order, call) in [
        ("grant hook http:hooks.example.org:443", "plugin|grant|--|hook|http:hooks.example.org:443|"),
        ("revoke hook mqtt:hall/#", "plugin|revoke|--|hook|mqtt:hall/#|"),
        ("set mail subject Meldung vom  Süd-Feld *", "plugin|set|--|mail|subject|Meldung vom Süd-Feld *|"),
        ("set hook offset -5", "plugin|set|--|hook|offset|-5|"),
        ("unset hook path", "plugin|unset|--|hook|path|"),
        ("enable hook", "plugin|enable|--|hook|"),
        ("secret hook token remove", "plugin|secret|--remove|--|hook|token|"),
        ("install a-1.tar http:a.example", "plugin|install|--grant=http:a.example|--|/desk/a-1.tar|"),
        ("update a-1.tar", "plugin|update|--|/desk/a-1.tar|"),
        ("trust acme.pub", "plugin|trust|--|/desk/key.pub|"),
        ("rollback hook", "plugin|rollback|--|hook|"),
        ("rollback hot 2", "rules|rollback|--author|stick|--|hot|2|"),
        ("checkout hot 2", "rules|checkout|--|hot@2|/desk/hot|"),
        ("publish cold", "rules|publish|--note|by stick|--author|stick|--|/desk/cold|"),
        ("publish cold 3", "rules|publish|--note|by stick|--author|stick|--base=3|--|/desk/cold|"),
        ("user remove ann", "user|remove|--|ann|"),
        ("erase ann ann", "athlete|erase|--confirm=ann|--|ann|"),
        ("drill", "alerts|drill|"),
    ] {
        let (said, calls) = ordered(at.path(), order);
        assert_eq!(calls.trim_end(), call, "{order}: {said}");
        assert!(said.starts_with("say "), "{order}: {said}");
    }
    let taken_out = std::fs::read_to_string(at.path().join("stick/rules/hot/.base")).expect("checked out");
    assert_eq!(taken_out, "1\n");
}

#[test]
fn secrets_and_passwords_go_by_files_and_no_argument_holds_one() {
    let at = box_with(&[("token.txt", "tk_1\n")]);
    let orders = "secret hook token token.txt\nsecret hook signing generate\nuser add ann clinician\npassword ann\nuser add eve admin\n";
    let (said, calls) = ordered(at.path(), orders);
    let expected = "plugin|secret|--|hook|token|\n--json|plugin|secret|--generate|--|hook|signing|\n\
                    --json|user|add|--role=clinician|--|ann|\n--json|user|password|--|ann|\n--json|user|add|--role=admin|--|eve|\n";
    assert_eq!(calls, expected, "{said}");
    let file = |name: &str| std::fs::read_to_string(at.path().join(name)).unwrap_or_default();
    assert_eq!(file("read"), "tk_1\n");
    assert_eq!(
        (file("stick/secrets/hook-signing.txt"), file("stick/users/ann.txt")),
        ("whsec_a/b+c=\n".into(), "abcde-fghij\n".into())
    );
    assert!(said.contains("no password for eve: no such user") && file("stick/users/eve.txt").is_empty(), "{said}");
    assert!(!["tk_1", "whsec", "abcde"].iter().any(|secret| said.contains(secret)), "{said}");
}

#[test]
fn what_is_no_name_no_file_or_too_much_is_refused_and_runs_nothing() {
    let large = "x".repeat((256 << 10) + 1);
    let at =
        box_with(&[("key.pub", &large), ("a.tar", "tar"), ("../outside", "secret"), ("rules/cold/rule.toml", "1")]);
    for order in [
        "publish ..",
        "publish ../outside",
        "publish -x",
        "publish cold",
        "checkout .",
        "checkout hot ../2",
        "install ../outside",
        "install a.tar",
        "secret hook token ../outside",
        "secret hook ../token generate",
        "user add ../ann viewer",
        "user drop ann",
        "trust key.pub",
        "set --config x y",
    ] {
        let (said, calls) = ordered(at.path(), order);
        assert_eq!(calls, "", "{order}: {said}");
        assert!(said.starts_with("say "), "{order}: {said}");
    }
    for order in ["", "enrol s p1", "revoke s", "grant hook", "erase ann", "set hook a", "set hook a \u{7}"] {
        assert_eq!(ordered(at.path(), &format!("{order}\n")), (format!("another's: {order}\n"), String::new()));
    }
}
