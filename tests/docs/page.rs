//! A page of `docs/` as what there is to be done with it.

/// Something a page holds that can be right or wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its first line, from 1.
    pub line: usize,
    /// Its lines.
    pub text: Vec<String>,
    /// What it is.
    pub kind: Kind,
}

/// What it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Commands, what they answer, and how they end.
    Console,
    /// A file of the reader's, by its path: the second word of the fence.
    File(String),
    /// What happens meanwhile, as a stage direction that readers don't see.
    Stage(String),
}

/// The parts of a page, in order. What nobody would run is an error: a fence of another kind, a file without a path, code that
/// is only indented.
pub fn parts(page: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut lines = page.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let number = at + 1;
        if let Some(direction) = line.trim().strip_prefix("<!--") {
            let direction = direction.strip_suffix("-->").map(str::trim).and_then(|text| text.strip_prefix("stage:"));
            let direction = direction.ok_or_else(|| format!("{number}: a comment that is no `<!-- stage: … -->`"))?;
            parts.push(Part { line: number, text: Vec::new(), kind: Kind::Stage(direction.trim().to_owned()) });
            continue;
        }
        let Some(info) = line.trim_start().strip_prefix("```") else {
            if line.starts_with("    ") && !line.trim().is_empty() {
                return Err(format!("{number}: indented by four, which is code that nobody runs: use a fence"));
            }
            continue;
        };
        if !line.starts_with("```") {
            return Err(format!("{number}: a fence that is indented"));
        }
        let text: Vec<String> =
            lines.by_ref().map(|(_, line)| line.to_owned()).take_while(|line| !line.starts_with("```")).collect();
        let kind = match info.split_whitespace().collect::<Vec<_>>()[..] {
            ["console"] => Kind::Console,
            ["text"] => continue,
            [_, path] => Kind::File(path.to_owned()),
            _ => return Err(format!("{number}: ```{info} is run by nobody: `console`, a file's path, or `text`")),
        };
        parts.push(Part { line: number + 1, text, kind });
    }
    Ok(parts)
}

/// One command of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// As typed, without the `$`.
    pub command: String,
    /// How it ends: `? 1` in a line of its own; 0 if there is none.
    pub code: i32,
    /// What it answers.
    pub answer: Vec<String>,
}

/// The commands of a block, as trycmd writes them.
pub fn exchanges(lines: &[String]) -> Result<Vec<Exchange>, String> {
    let mut all: Vec<Exchange> = Vec::new();
    for line in lines {
        if let Some(command) = line.strip_prefix("$ ") {
            all.push(Exchange { command: command.to_owned(), code: 0, answer: Vec::new() });
            continue;
        }
        let last = all.last_mut().ok_or("a conversation begins with `$ `")?;
        let fresh = last.answer.is_empty();
        match line.strip_prefix("? ").and_then(|code| code.parse().ok()) {
            Some(code) if fresh => last.code = code,
            _ => last.answer.push(line.clone()),
        }
    }
    for exchange in &mut all {
        while exchange.answer.last().is_some_and(|line| line.trim().is_empty()) {
            exchange.answer.pop();
        }
    }
    Ok(all)
}

/// Whether an answer is as it is written down: `[..]` stands for anything in a line, a line `...` for any lines.
pub fn fits(written: &[String], said: &[&str]) -> bool {
    match written.split_first() {
        None => said.is_empty(),
        Some((line, rest)) if line == "..." => (0..=said.len()).any(|at| fits(rest, &said[at..])),
        Some((line, rest)) => said
            .split_first()
            .is_some_and(|(first, said)| line_fits(line.trim_end(), first.trim_end()) && fits(rest, said)),
    }
}

fn line_fits(written: &str, said: &str) -> bool {
    let Some((before, after)) = written.split_once("[..]") else { return written == said };
    let Some(rest) = said.strip_prefix(before) else { return false };
    rest.char_indices().map(|(at, _)| at).chain([rest.len()]).any(|at| line_fits(after, &rest[at..]))
}

/// An answer with what differs from run to run left out: times, long hexadecimal words, the folder it was said in.
pub fn without_chance(said: &str, folder: &str) -> String {
    let said = said.replace(folder, "[..]");
    let of_word = |c: char| c.is_ascii_alphanumeric() || "-:.+".contains(c);
    let mut out = String::new();
    for piece in said.split_inclusive(|c: char| !of_word(c)) {
        let word = piece.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        let time = word.len() >= 10 && word.starts_with("20") && word.as_bytes().get(4) == Some(&b'-');
        if time {
            out.push_str("[..]");
        } else {
            word.split_inclusive(|c: char| !c.is_ascii_alphanumeric())
                .for_each(|part| out.push_str(&without_hex(part)));
        }
        out.push_str(piece.strip_prefix(word).unwrap_or_default());
    }
    out
}

/// A word of eight hexadecimal digits or more is an id, a hash or a key.
fn without_hex(part: &str) -> String {
    let word = part.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
    let hex =
        word.len() >= 8 && word.bytes().all(|b| b.is_ascii_hexdigit()) && word.bytes().any(|b| b.is_ascii_digit());
    if hex { format!("[..]{}", part.strip_prefix(word).unwrap_or_default()) } else { part.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn what_nobody_runs_is_refused() {
        for page in
            ["```rhai\n1\n```\n", "```\n1\n```\n", "a\n\n    pitchside run\n", "- a\n  ```console\n", "<!-- x -->\n"]
        {
            assert!(parts(page).is_err(), "{page}");
        }
        let page =
            "<!-- stage: a box -->\n```rhai a/rule.rhai\nvalue > 1.0\n```\n```text\nx\n```\n```console\n$ true\n```\n";
        let kinds: Vec<Kind> = parts(page).unwrap().into_iter().map(|part| part.kind).collect();
        assert_eq!(kinds, [Kind::Stage("a box".into()), Kind::File("a/rule.rhai".into()), Kind::Console]);
    }

    #[test]
    fn a_conversation_is_commands_codes_and_answers() {
        let all = exchanges(&lines("$ a b\n? 3\nsaid\n\n$ c\n")).unwrap();
        assert_eq!((all[0].command.as_str(), all[0].code, &all[0].answer), ("a b", 3, &vec!["said".to_owned()]));
        assert_eq!((all[1].command.as_str(), all[1].code, all[1].answer.len()), ("c", 0, 0));
        assert!(exchanges(&lines("said\n")).is_err());
    }

    #[test]
    fn an_answer_fits_where_only_what_is_left_out_differs() {
        assert!(fits(&lines("at [..], 3 blocks"), &["at 2026-01-01, 3 blocks"]));
        assert!(!fits(&lines("at [..], 3 blocks"), &["at 2026-01-01, 4 blocks"]));
        assert!(fits(&lines("a\n...\nz"), &["a", "b", "c", "z"]) && fits(&lines("...\nz"), &["z"]));
        assert!(!fits(&lines("a\n..."), &["b"]) && !fits(&lines("a"), &["a", "b"]));
        let said = "wrote /tmp/x/a-1.0.0-00ff00ff.tar at 2026-01-01T00:00:00.000Z, id 00ff00ff00ff00ff, 12345 readings";
        assert_eq!(without_chance(said, "/tmp/x"), "wrote [..]/a-1.0.0-[..].tar at [..], id [..], 12345 readings");
    }
}
