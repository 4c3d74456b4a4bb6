use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};

use crate::logging::TelemetryError;
use crate::registry::LatencyRegistry;

/// Labels of every series (spec config 4.4). No host or port: Prometheus adds the instance.
#[derive(Clone, Debug)]
pub struct MetricsOptions {
    pub cluster: String,
    pub role: String,
}

/// All metrics of the process, ready to be shown.
#[derive(Clone)]
pub struct Metrics {
    handle: PrometheusHandle,
    labels: Vec<(String, String)>,
    registry: &'static LatencyRegistry,
}

/// Installs the recorder behind the macros of the `metrics` crate. Once per process.
pub fn install_metrics(options: &MetricsOptions) -> Result<Metrics, TelemetryError> {
    let handle = builder(options).install_recorder().map_err(|error| match error {
        BuildError::FailedToSetGlobalRecorder(_) => TelemetryError::Twice,
        other => TelemetryError::Metrics(other.to_string()),
    })?;
    Ok(Metrics { handle, labels: labels(options), registry: LatencyRegistry::global() })
}

fn builder(options: &MetricsOptions) -> PrometheusBuilder {
    labels(options).into_iter().fold(PrometheusBuilder::new(), |builder, (key, value)| {
        builder.add_global_label(key, value)
    })
}

fn labels(options: &MetricsOptions) -> Vec<(String, String)> {
    vec![("cluster".to_owned(), options.cluster.clone()), ("role".to_owned(), options.role.clone())]
}

impl Metrics {
    /// The Prometheus text of everything.
    pub fn render(&self) -> String {
        let mut text = self.handle.render();
        self.registry.render(&self.labels, &mut text);
        text
    }

    /// Bounds what the exporter keeps for histograms of the `metrics` crate. To be called every
    /// few seconds; [`crate::serve_prometheus`] does.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }

    /// Sets `pegasus_build_info`, which is always 1 and says in its labels what runs.
    pub fn build_info(&self, version: &'static str, git_sha: &'static str) {
        metrics::describe_gauge!("pegasus_build_info", "Version of the running process");
        metrics::gauge!("pegasus_build_info", "version" => version, "git_sha" => git_sha).set(1.0);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
pub(crate) mod tests {
    use super::*;

    /// Metrics without the global recorder; the second value records into them.
    pub(crate) fn local() -> (Metrics, metrics_exporter_prometheus::PrometheusRecorder) {
        let options = MetricsOptions { cluster: "c1".to_owned(), role: "meta".to_owned() };
        let recorder = builder(&options).build_recorder();
        let registry = Box::leak(Box::new(LatencyRegistry::default()));
        (Metrics { handle: recorder.handle(), labels: labels(&options), registry }, recorder)
    }

    #[test]
    fn counters_gauges_and_latencies_are_shown_together() {
        let (metrics, recorder) = local();
        metrics::with_local_recorder(&recorder, || {
            metrics::counter!("pegasus_get_requests_total", "table" => "temp").increment(3);
            metrics.build_info("0.1.0", "abc");
        });
        let latency = metrics.registry.histogram("pegasus_get_latency_seconds", "get", &[]);
        latency.record_us(50);
        metrics.upkeep();
        let text = metrics.render();
        for part in [
            "pegasus_get_requests_total{cluster=\"c1\",role=\"meta\",table=\"temp\"} 3",
            "pegasus_build_info{",
            "pegasus_get_latency_seconds_count{cluster=\"c1\",role=\"meta\"} 1",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }
}
