//! The collector's daemon: arguments, configuration, telemetry, run, signals.

mod args;
mod observe;

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Context;
use args::Args;
use clap::Parser;
use pegasus_collector::CancellationToken;
use pegasus_config::{Config, Role, check_report};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::LocalSet;

/// A bad command line or configuration.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let args = Args::parse();
    let config = Config::load(&args.config, Role::Collector, &args.set);
    if args.check_config {
        let good = config.is_ok();
        // Nobody is left to tell if stdout is closed.
        let _ = io::stdout().write_all(check_report(&config).as_bytes());
        return if good { ExitCode::SUCCESS } else { ExitCode::from(USAGE) };
    }
    let config = match config {
        Ok(config) => config,
        Err(problems) => {
            complain(&problems);
            return ExitCode::from(USAGE);
        }
    };
    if !config.run {
        complain(&format_args!("nothing to do: [apps.collector] run is false"));
        return ExitCode::SUCCESS;
    }
    match run(&config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("collector failed: {error:#}");
            complain(&format_args!("collector: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(config: &Config) -> anyhow::Result<()> {
    let _logging = observe::start_logging(config)?;
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    // Connections are served by tasks of this thread.
    let result = LocalSet::new().block_on(&runtime, async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let _metrics = observe::start_metrics(config).await?;
        let shutdown = CancellationToken::new();
        let running = pegasus_collector::run(config, observe::git_commit(), shutdown.clone());
        tokio::pin!(running);
        let name = tokio::select! {
            ended = &mut running => return ended,
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!("{name}: shutting down");
        shutdown.cancel();
        running.await
    });
    // A mail that is being sent keeps nobody from stopping.
    runtime.shutdown_background();
    result
}

/// Where a person who started the daemon by hand looks.
fn complain(message: &dyn std::fmt::Display) {
    let _ = writeln!(io::stderr(), "{message}");
}
