//! The meta server daemon: `meta-server CONFIG [--check-config] [--set section.key=value]...`.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use pegasus_config::{Config, LogFormat, Role, check_report, parse_override};
use pegasus_meta::{Server, Settings};
use pegasus_telemetry::{self as telemetry, MetricsOptions, TelemetryOptions};
use tokio::signal::unix::{SignalKind, signal};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Meta server of a Pegasus cluster.
#[derive(Debug, Parser)]
#[command(name = "meta-server", version)]
struct Arguments {
    /// The ini file of this server.
    config: PathBuf,
    /// Say what is wrong with the configuration and end.
    #[arg(long)]
    check_config: bool,
    /// Use another value than the file's.
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE", value_parser = parse_override)]
    overrides: Vec<(String, String)>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let loaded = Config::load(&arguments.config, Role::Meta, &arguments.overrides);
    if arguments.check_config {
        let mut report = check_report(&loaded);
        let settings = loaded.as_ref().ok().map(Settings::from_config);
        if let Some(Err(unsupported)) = &settings {
            report.push_str(&format!("{unsupported}\n"));
        }
        // A closed pipe is the reader's decision.
        let _ = std::io::stdout().write_all(report.as_bytes());
        return if matches!(settings, Some(Ok(_))) { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let config = match loaded {
        Ok(config) => config,
        Err(problems) => return fail(&problems),
    };
    if !config.run {
        complain("[apps.meta] run = false: nothing to do");
        return ExitCode::SUCCESS;
    }
    match run(&config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => fail(&format_args!("{e:#}")),
    }
}

fn fail(problem: &dyn std::fmt::Display) -> ExitCode {
    complain(problem);
    ExitCode::FAILURE
}

/// To the terminal, because there may be no log yet.
fn complain(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "meta-server: {text}");
}

fn log_options(config: &Config) -> TelemetryOptions {
    TelemetryOptions {
        dir: Some(config.log_dir.clone()),
        level: config.log.level.clone(),
        stderr_level: config.log.stderr_level.clone(),
        json: config.log.format == LogFormat::Json,
        role: Role::Meta.name().to_owned(),
        max_files: config.log.max_files,
    }
}

fn run(config: &Config) -> anyhow::Result<()> {
    let settings = Settings::from_config(config)?;
    let _log = telemetry::init(&log_options(config))?;
    let metrics = telemetry::install_metrics(&MetricsOptions {
        cluster: config.cluster_name.clone(),
        role: Role::Meta.name().to_owned(),
    })?;
    metrics
        .build_info(env!("CARGO_PKG_VERSION"), option_env!("PEGASUS_GIT_SHA").unwrap_or("unknown"));
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).context("cannot listen to SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen to SIGINT")?;
        let prometheus = config.prometheus_port;
        let prometheus = prometheus.map(|port| SocketAddr::new(config.listen.ip(), port));
        let _prometheus = match prometheus {
            Some(address) => Some(
                telemetry::serve_prometheus(address, metrics)
                    .await
                    .with_context(|| format!("cannot serve Prometheus on {address}"))?,
            ),
            None => None,
        };
        let server = Server::open(settings).await?;
        let shutdown = pegasus_meta::CancellationToken::new();
        let stop = shutdown.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => tracing::info!("SIGTERM: ending"),
                _ = interrupt.recv() => tracing::info!("SIGINT: ending"),
            }
            stop.cancel();
        });
        Ok(server.run(shutdown).await?)
    })
}
