use std::net::SocketAddr;

use anyhow::Context;
use pegasus_config::{Config, LogFormat};
use pegasus_telemetry::{
    Guard, MetricsOptions, PrometheusEndpoint, TelemetryOptions, init, install_metrics,
    serve_prometheus,
};

const ROLE: &str = "replica";

/// Starts logging; lines are written until the guard is dropped.
pub fn start_logging(config: &Config) -> anyhow::Result<Guard> {
    let quiet = |level: &str| {
        // One span per private call, which nobody reads.
        format!("{level},tarpc=warn")
    };
    let options = TelemetryOptions {
        level: quiet(&config.log.level),
        stderr_level: quiet(&config.log.stderr_level),
        json: config.log.format == LogFormat::Json,
        max_files: config.log.max_files,
        ..TelemetryOptions::new(ROLE, Some(config.log_dir.clone()))
    };
    init(&options).context("cannot start logging")
}

/// Publishes metrics, if a port is configured, on the current runtime.
pub async fn start_metrics(config: &Config) -> anyhow::Result<Option<PrometheusEndpoint>> {
    let options = MetricsOptions { cluster: config.cluster_name.clone(), role: ROLE.to_owned() };
    let metrics = install_metrics(&options)?;
    metrics
        .build_info(env!("CARGO_PKG_VERSION"), option_env!("PEGASUS_GIT_SHA").unwrap_or("unknown"));
    let Some(port) = config.prometheus_port else { return Ok(None) };
    let address = SocketAddr::new(config.listen.ip(), port);
    let endpoint = serve_prometheus(address, metrics).await;
    endpoint.map(Some).with_context(|| format!("cannot serve metrics on {address}"))
}
