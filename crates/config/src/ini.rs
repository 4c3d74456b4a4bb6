use std::collections::BTreeMap;
use std::path::Path;

use crate::problem::{Origin, Problems};

/// A key of a section, as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub key: String,
    /// Trimmed, without comment, escapes resolved.
    pub value: String,
    pub line: u32,
    /// A placeholder was left over; reported already, so the value must not be judged again.
    pub left_over: bool,
}

/// A section with its keys in the order of the file; each key once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    pub name: String,
    pub line: u32,
    pub entries: Vec<Entry>,
}

/// A raw ini file after the normalising pass: the lexical rules of the reference (spec config 1.1),
/// which `serde_ini` does not know, with line numbers kept. Every section and key occurs once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ini {
    sections: Vec<Section>,
}

impl Ini {
    /// Reads `text`; whatever is wrong goes to `problems` under the name of `file`, and the rest of
    /// the text is still read.
    pub fn parse(file: &Path, text: &str, problems: &mut Problems) -> Ini {
        let mut parser = Parser {
            file,
            problems,
            ini: Ini::default(),
            by_name: BTreeMap::new(),
            current: Current::None,
        };
        let mut number: u32 = 0;
        for line in text.split('\n') {
            number = number.saturating_add(1);
            parser.line(number, line);
        }
        parser.ini
    }

    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|s| s.name == name)
    }
}

/// Replaces every `%name%` by its value, as the reference's `-cargs` does before parsing (spec
/// config 1.2).
pub fn substitute(text: &str, variables: &[(String, String)]) -> String {
    let mut result = text.to_owned();
    for (name, value) in variables {
        result = result.replace(&format!("%{name}%"), value);
    }
    result
}

#[derive(Clone, Copy)]
enum Current {
    None,
    /// Index of the open section.
    Section(usize),
    /// The header was bad: its keys are skipped without a word of their own.
    Skip,
}

struct Parser<'a> {
    file: &'a Path,
    problems: &'a mut Problems,
    ini: Ini,
    by_name: BTreeMap<String, usize>,
    current: Current,
}

impl Parser<'_> {
    fn line(&mut self, number: u32, line: &str) {
        let line = without_comment(line);
        let line = line.trim();
        if line.is_empty() {
            return;
        }
        if let Some(rest) = line.strip_prefix('[') {
            self.header(number, line, rest);
        } else {
            self.entry(number, line);
        }
    }

    fn header(&mut self, number: u32, line: &str, rest: &str) {
        self.current = Current::Skip;
        if line.contains('=') {
            return self.error(number, format!("section header contains '=': {line}"));
        }
        let Some((name, _)) = rest.split_once(']') else {
            return self.error(number, format!("section header without ']': {line}"));
        };
        let name = name.trim();
        if name.is_empty() {
            return self.error(number, "section without a name");
        }
        if left_over(name) {
            return self.error(number, placeholder_message(name));
        }
        if let Some(index) = self.by_name.get(name) {
            // Its keys are read as if they stood in the first one, so that they get checked too.
            self.current = Current::Section(*index);
            let first = self.ini.sections.get(*index).map_or(0, |s| s.line);
            return self.error(
                number,
                format!("section [{name}] was opened in line {first} already; put its keys there"),
            );
        }
        let index = self.ini.sections.len();
        self.by_name.insert(name.to_owned(), index);
        self.ini.sections.push(Section {
            name: name.to_owned(),
            line: number,
            entries: Vec::new(),
        });
        self.current = Current::Section(index);
    }

    fn entry(&mut self, number: u32, line: &str) {
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        let (key, mut value) = (key.trim(), value.trim());
        let index = match self.current {
            Current::Section(index) => index,
            Current::Skip => return,
            Current::None => return self.error(number, format!("key outside a section: {line}")),
        };
        if key.is_empty() {
            return self.error(number, format!("'=' without a key: {line}"));
        }
        let left_over = left_over(key) || left_over(value);
        if left_over {
            let name = self.ini.sections.get(index).map_or("", |s| s.name.as_str());
            let message = format!("[{name}] {key}: {}", placeholder_message(line));
            self.error(number, message);
        } else if value.len() > 2 && value.starts_with('%') && value.ends_with('%') {
            self.problems.warning(
                Origin::file(self.file, number),
                format!("{key}: {value} was not replaced and counts as empty"),
            );
            value = "";
        }
        let Some(section) = self.ini.sections.get_mut(index) else {
            return;
        };
        if let Some(first) = section.entries.iter().find(|e| e.key == key) {
            let message =
                format!("{key} was set in line {} already; this one is ignored", first.line);
            self.problems.warning(Origin::file(self.file, number), message);
            return;
        }
        section.entries.push(Entry {
            key: key.to_owned(),
            value: value.to_owned(),
            line: number,
            left_over,
        });
    }

    fn error(&mut self, number: u32, message: impl Into<String>) {
        self.problems.error(Origin::file(self.file, number), message);
    }
}

/// Cuts at the first `#` or `;`; `^#` and `^;` stand for the character itself.
fn without_comment(line: &str) -> String {
    let mut result = String::with_capacity(line.len());
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '#' | ';' => break,
            '^' => match chars.next_if(|next| matches!(next, '#' | ';')) {
                Some(escaped) => result.push(escaped),
                None => result.push('^'),
            },
            _ => result.push(c),
        }
    }
    result
}

fn placeholder_message(text: &str) -> String {
    format!("a placeholder was not filled in: {text} (expected a value)")
}

/// `%{name}` of the deployment template, or `@NAME@` of the reference's single-host template.
fn left_over(text: &str) -> bool {
    if text.contains("%{") {
        return true;
    }
    let name =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
    let parts: Vec<&str> = text.split('@').collect();
    let inner = parts.len().saturating_sub(2);
    parts.iter().skip(1).take(inner).any(|part| name(part))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (Ini, String) {
        let mut problems = Problems::default();
        let ini = Ini::parse(Path::new("c.ini"), text, &mut problems);
        (ini, problems.to_string())
    }

    fn value(text: &str) -> String {
        let (ini, problems) = parse(&format!("[s]\n{text}\n"));
        assert_eq!(problems, "");
        ini.section("s").unwrap().entries[0].value.clone()
    }

    #[test]
    fn values_lose_comments_and_keep_escapes() {
        assert_eq!(value("  k = 1 ; note"), "1");
        assert_eq!(value("k=a^;b^#c#d"), "a;b#c");
        assert_eq!(value("\tk = a = b\r"), "a = b");
        assert_eq!(value("k"), "");
        assert_eq!(value("k = x^y"), "x^y");
    }

    #[test]
    fn headers_may_be_indented_and_followed_by_text() {
        let (ini, problems) = parse("  [a.b] tail\n   ; x = 1\n    \n k = v\n[c]\n");
        assert_eq!(problems, "");
        assert_eq!(ini.sections().len(), 2);
        assert_eq!(ini.sections()[0].name, "a.b");
        assert_eq!(ini.sections()[0].entries[0].line, 4);
    }

    #[test]
    fn every_lexical_error_is_reported_with_its_line() {
        let (_, problems) = parse("k = 1\n[]\n[a\n[b = c]\n[d]\n = 1\n[d]\n");
        let lines: Vec<&str> = problems.lines().map(|l| l.split(": ").next().unwrap()).collect();
        assert_eq!(lines, ["c.ini:1", "c.ini:2", "c.ini:3", "c.ini:4", "c.ini:6", "c.ini:7"]);
    }

    #[test]
    fn the_first_of_two_equal_keys_wins() {
        let (ini, problems) = parse("[s]\nk = 1\nk = 2\n");
        assert_eq!(ini.section("s").unwrap().entries[0].value, "1");
        assert_eq!(problems, "c.ini:3: warning: k was set in line 2 already; this one is ignored");
    }

    #[test]
    fn left_over_placeholders_are_found() {
        for text in ["k = %{app.dir}/x", "k = @META_PORT@", "%{cluster.name} = a:1"] {
            let (_, problems) = parse(&format!("[s]\n{text}\n"));
            assert!(problems.starts_with("c.ini:2: error: "), "{text}: {problems}");
        }
        let (_, problems) = parse("[s]\nk = a@b.c, d@e.f\n");
        assert_eq!(problems, "");
    }

    #[test]
    fn percent_variables() {
        let variables = [("port".to_owned(), "1".to_owned())];
        assert_eq!(substitute("p = %port% %x%", &variables), "p = 1 %x%");
        let (ini, problems) = parse("[s]\nk = %x%\n");
        assert_eq!(ini.section("s").unwrap().entries[0].value, "");
        assert!(problems.contains("warning"));
    }
}
