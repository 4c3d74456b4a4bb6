//! The command line tool of operators: the commands of the Pegasus shell (`spec/admin.md` 1).

// A command line tool talks to its user through stdout and stderr.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod commands;
mod failure;
mod flags;
mod output;
mod prompt;
mod session;
mod text;

use std::io::{BufRead, IsTerminal};
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use tokio::runtime::Runtime;

use crate::commands::After;
use crate::session::{Session, print};

/// Shell for a Pegasus cluster.
///
/// Without -c, commands are read from the terminal, or one per line from a pipe.
#[derive(Debug, Parser)]
#[command(name = "pegasus-shell", version)]
struct Arguments {
    /// Meta servers of the cluster, HOST:PORT[,HOST:PORT...]
    #[arg(long)]
    cluster: String,

    /// Run this and exit; several commands are separated by ';' and end at the first that fails
    #[arg(short = 'c', long = "command", value_name = "COMMAND")]
    commands: Vec<String>,

    /// Print results as JSON
    #[arg(short, long)]
    json: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let mut session = Session::connect(&arguments.cluster, arguments.json)
        .with_context(|| format!("--cluster {}", arguments.cluster))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let success = if !arguments.commands.is_empty() {
        run_given(&runtime, &mut session, &arguments.commands)
    } else if std::io::stdin().is_terminal() {
        print(&format!(
            "Pegasus Shell {}\nType \"help\" for more information.\n\
             Type \"Ctrl-D\" or \"Ctrl-C\" to exit the shell.\n\n",
            env!("CARGO_PKG_VERSION")
        ));
        print(&runtime.block_on(commands::cluster_lines(&session)));
        prompt::run(&runtime, &mut session)?;
        true
    } else {
        if !arguments.json {
            // Scripts learn the meta servers from these lines.
            print(&runtime.block_on(commands::cluster_lines(&session)));
        }
        run_piped(&runtime, &mut session)?
    };
    // Connections need no farewell.
    runtime.shutdown_background();
    Ok(if success { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The commands of `-c`, up to the first that fails.
fn run_given(runtime: &Runtime, session: &mut Session, given: &[String]) -> bool {
    for command in given.iter().flat_map(|text| text::split_commands(text)) {
        match run_line(runtime, session, command.as_bytes()) {
            Some(After::Continue) => {}
            Some(After::Exit) => return true,
            None => return false,
        }
    }
    true
}

/// One command per line until the end; false if any of them failed.
fn run_piped(runtime: &Runtime, session: &mut Session) -> anyhow::Result<bool> {
    let mut success = true;
    for line in std::io::stdin().lock().split(b'\n') {
        match run_line(runtime, session, &line.context("reading commands")?) {
            Some(After::Continue) => {}
            Some(After::Exit) => break,
            None => success = false,
        }
    }
    Ok(success)
}

/// Runs one line and reports its failure; `None` if it failed.
fn run_line(runtime: &Runtime, session: &mut Session, line: &[u8]) -> Option<After> {
    let words = match text::split(line) {
        Ok(words) => words,
        Err(error) => {
            eprintln!("Invalid argument(s): {error}");
            return None;
        }
    };
    match runtime.block_on(commands::run(session, &words)) {
        Ok(after) => Some(after),
        Err(failure) => {
            let name = words.first().map(|name| String::from_utf8_lossy(name).into_owned());
            report(session, &failure, &name.unwrap_or_default());
            None
        }
    }
}

fn report(session: &Session, failure: &failure::Failure, command: &str) {
    if session.json {
        eprint!("{}", output::pretty(&failure.json()));
        return;
    }
    let text = failure.text();
    if !text.is_empty() {
        eprintln!("{text}");
    }
    if let failure::Failure::Usage(_) = failure {
        eprint!("{}", commands::usage(command));
    }
}
