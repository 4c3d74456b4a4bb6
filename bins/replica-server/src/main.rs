//! The replica server's daemon: arguments, configuration, telemetry, run, signals.

mod args;
mod observe;

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Context;
use args::Args;
use clap::Parser;
use pegasus_config::{Config, Role, check_report};
use pegasus_replica::{Node, Settings};
use tokio::signal::unix::{SignalKind, signal};

/// RocksDB and the shards allocate from many threads; the system's allocator fragments under that.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// A bad command line or configuration.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let args = Args::parse();
    let config = Config::load(&args.config, Role::Replica, &args.set);
    if args.check_config {
        let good = config.is_ok();
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
        complain(&format_args!("nothing to do: [apps.replica] run is false"));
        return ExitCode::SUCCESS;
    }
    let logging = match observe::start_logging(&config) {
        Ok(logging) => logging,
        Err(e) => {
            complain(&format_args!("replica-server: {e:#}"));
            return ExitCode::FAILURE;
        }
    };
    let result = run(&config);
    if let Err(e) = &result {
        tracing::error!("replica server failed: {e:#}");
    }
    // Writes what is still queued.
    drop(logging);
    if result.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(config: &Config) -> anyhow::Result<()> {
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    let settings = Settings::from_config(config).context("bad engine option")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the main runtime")?;
    // Before the node: a signal that comes while replicas are being loaded must not be lost.
    let (mut terminate, mut interrupt) = {
        let _context = runtime.enter();
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
    };
    let _metrics = runtime.block_on(observe::start_metrics(config))?;
    // Its message is complete; the chain of its sources would only repeat it.
    let node = Node::start(settings).map_err(|e| anyhow::anyhow!("{e}"))?;
    let name = runtime.block_on(async {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    });
    tracing::info!("{name}: shutting down");
    node.shutdown();
    Ok(())
}

/// Where a person who started the daemon by hand looks.
fn complain(message: &dyn std::fmt::Display) {
    let _ = writeln!(io::stderr(), "{message}");
}
