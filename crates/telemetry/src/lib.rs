//! What a process tells about itself: log files, metrics, panics.
//!
//! [`init`] sets logging up, [`install_metrics`] the metrics, [`serve_prometheus`] publishes them.
//! Counters and gauges go through the `metrics` crate; latencies through [`LatencyHistogram`].

mod endpoint;
mod format;
mod histogram;
mod logging;
mod panic_hook;
mod prometheus;
mod registry;

pub use endpoint::{CONTENT_TYPE, PrometheusEndpoint, serve_prometheus};
pub use histogram::{LatencyHistogram, Snapshot};
pub use logging::{Guard, LevelHandle, TelemetryError, TelemetryOptions, init};
pub use panic_hook::install_panic_hook;
pub use prometheus::{Metrics, MetricsOptions, install_metrics};
pub use registry::{LatencyRegistry, Series, latency};
