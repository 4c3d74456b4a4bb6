use serde::Deserialize;

use super::flag;

/// `[core]` and `[tools.simple_logger]`: where and what to log.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct LogConfig {
    /// Lowest level written to the files, as a `tracing` directive: a level name (`info`) or a full
    /// filter (`info,pegasus_meta=debug`). The reference's `LOG_LEVEL_*` names are translated.
    #[serde(rename = "logging_start_level")]
    pub level: String,
    /// Lowest level copied to stderr, a level name (`warn`).
    #[serde(rename = "stderr_start_level")]
    pub stderr_level: String,
    #[serde(rename = "log_format")]
    pub format: LogFormat,
    /// Files kept per role, at least 1.
    #[serde(rename = "max_number_of_log_files_on_disk")]
    pub max_files: usize,
}

/// `[core] log_format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

/// `[network]`, without what decides the node's own address.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct NetworkConfig {
    /// Inbound connections allowed from one address, 0 = no limit.
    pub conn_threshold_per_ip: u32,
    /// SO_SNDBUF in bytes; 0 or less leaves the system's default.
    pub socket_send_buffer_bytes: i32,
    /// SO_RCVBUF in bytes; 0 or less leaves the system's default.
    pub socket_recv_buffer_bytes: i32,
}

/// `[http]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct HttpConfig {
    /// Whether the main port answers HTTP.
    #[serde(deserialize_with = "flag", rename = "enable_http_server")]
    pub enabled: bool,
}

/// `[metrics]` and the Prometheus keys of `[pegasus.server]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct MetricsConfig {
    /// Also export the short list of series per partition (spec config 4.4).
    #[serde(deserialize_with = "flag")]
    pub prometheus_partition_level: bool,
}
