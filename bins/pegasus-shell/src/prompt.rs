//! The interactive prompt: history, completion of command names, usage as a hint.

use std::borrow::Cow;
use std::path::PathBuf;

use anyhow::Context as _;
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::Validator;
use rustyline::{Context, Editor, Helper};
use tokio::runtime::Runtime;

use crate::commands::{After, COMMANDS};
use crate::session::Session;

/// Reads and runs commands until the end of the input or `exit`.
pub fn run(runtime: &Runtime, session: &mut Session) -> anyhow::Result<()> {
    let mut editor: Editor<Assistant, DefaultHistory> =
        Editor::new().context("opening the terminal")?;
    editor.set_helper(Some(Assistant));
    let history = history_path();
    if let Some(path) = &history {
        // There is none before the first session.
        let _ = editor.load_history(path);
    }
    loop {
        match editor.readline(">>> ") {
            Ok(line) if line.trim().is_empty() => {}
            Ok(line) => {
                let _ = editor.add_history_entry(&line);
                if let Some(path) = &history {
                    let _ = editor.save_history(path);
                }
                if crate::run_line(runtime, session, line.as_bytes()) == Some(After::Exit) {
                    return Ok(());
                }
            }
            Err(ReadlineError::Eof | ReadlineError::Interrupted) => return Ok(()),
            Err(error) => return Err(error).context("reading from the terminal"),
        }
    }
}

/// `$XDG_STATE_HOME/pegasus-shell/history`, by default below `~/.local/state`; none without a
/// home.
fn history_path() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).or_else(|| {
        std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local").join("state"))
    })?;
    let directory = state.join("pegasus-shell");
    std::fs::create_dir_all(&directory).ok()?;
    Some(directory.join("history"))
}

struct Assistant;

impl Helper for Assistant {}

impl Validator for Assistant {}

impl Completer for Assistant {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let start = line.get(..position).unwrap_or(line);
        if start.contains(char::is_whitespace) {
            return Ok((position, Vec::new()));
        }
        let start = start.to_ascii_lowercase();
        let names = COMMANDS.iter().map(|command| command.name);
        let names = names.filter(|name| name.starts_with(&start));
        Ok((0, names.map(|name| format!("{name} ")).collect()))
    }
}

impl Hinter for Assistant {
    type Hint = String;

    fn hint(&self, line: &str, position: usize, _: &Context<'_>) -> Option<String> {
        let name = line.strip_suffix(' ').filter(|_| position == line.len())?;
        let command = COMMANDS.iter().find(|command| command.name == name)?;
        (!command.usage.is_empty()).then(|| command.usage.to_owned())
    }
}

impl Highlighter for Assistant {
    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        if std::env::var_os("NO_COLOR").is_some() {
            return Cow::Borrowed(hint);
        }
        Cow::Owned(format!("\x1b[90m{hint}\x1b[0m"))
    }
}
