//! Logs and metrics of the process.

use std::net::SocketAddr;

use anyhow::Context;
use pegasus_config::{Config, LogFormat};
use pegasus_telemetry::{
    Guard, MetricsOptions, PrometheusEndpoint, TelemetryOptions, init, install_metrics,
    serve_prometheus,
};

/// Set by the packaging script when it builds.
pub fn git_commit() -> &'static str {
    option_env!("PEGASUS_GIT_SHA").unwrap_or("unknown")
}

/// The guard must live as long as the process logs.
pub fn start_logging(config: &Config) -> anyhow::Result<Guard> {
    let options = TelemetryOptions {
        level: config.log.level.clone(),
        stderr_level: config.log.stderr_level.clone(),
        json: config.log.format == LogFormat::Json,
        max_files: config.log.max_files,
        ..TelemetryOptions::new(config.role.name(), Some(config.log_dir.clone()))
    };
    init(&options).context("cannot start logging")
}

/// Metrics, and their Prometheus text if a port is configured, until the result is dropped.
pub async fn start_metrics(config: &Config) -> anyhow::Result<Option<PrometheusEndpoint>> {
    let options = MetricsOptions {
        cluster: config.cluster_name.clone(),
        role: config.role.name().to_owned(),
    };
    let metrics = install_metrics(&options)?;
    metrics.build_info(env!("CARGO_PKG_VERSION"), git_commit());
    let Some(port) = config.prometheus_port else { return Ok(None) };
    let address = SocketAddr::new(config.listen.ip(), port);
    let endpoint = serve_prometheus(address, metrics).await;
    let endpoint =
        endpoint.with_context(|| format!("prometheus_port: cannot listen on {address}"))?;
    Ok(Some(endpoint))
}
