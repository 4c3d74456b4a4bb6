use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use crate::histogram::{LatencyHistogram, Snapshot};

/// Buckets of the Prometheus text: 2^13 ns (8 us) to 2^35 ns (34 s), each twice the one before.
const EXPONENTS: std::ops::RangeInclusive<u32> = 13..=35;

type Labels = Vec<(String, String)>;

/// One live histogram at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    pub name: String,
    /// As its owner gave them, without the labels of the process.
    pub labels: Vec<(String, String)>,
    pub snapshot: Snapshot,
}

/// A name, its help text, and its live histograms.
type Live = (String, String, Vec<(Labels, Arc<LatencyHistogram>)>);

struct Family {
    help: String,
    series: Vec<(Labels, Weak<LatencyHistogram>)>,
}

/// The latency histograms of a process, by name and labels. It holds them weakly: a series is gone
/// as soon as its owner is.
#[derive(Default)]
pub struct LatencyRegistry {
    families: Mutex<BTreeMap<String, Family>>,
}

/// The process's histogram `name` with these labels: the one that exists, or a new one. Ask once
/// and keep the handle; this takes a lock. `name` ends in `_seconds`.
pub fn latency(name: &str, help: &str, labels: &[(&str, &str)]) -> Arc<LatencyHistogram> {
    LatencyRegistry::global().histogram(name, help, labels)
}

impl LatencyRegistry {
    /// The one that [`crate::Metrics::render`] shows.
    pub fn global() -> &'static LatencyRegistry {
        static GLOBAL: OnceLock<LatencyRegistry> = OnceLock::new();
        GLOBAL.get_or_init(LatencyRegistry::default)
    }

    pub fn histogram(
        &self,
        name: &str,
        help: &str,
        labels: &[(&str, &str)],
    ) -> Arc<LatencyHistogram> {
        let labels: Labels =
            labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let mut families = self.families.lock().unwrap_or_else(PoisonError::into_inner);
        let family = families
            .entry(name.to_owned())
            .or_insert_with(|| Family { help: help.to_owned(), series: Vec::new() });
        family.series.retain(|(_, histogram)| histogram.strong_count() > 0);
        let same = family.series.iter().find(|(other, _)| *other == labels);
        if let Some(existing) = same.and_then(|(_, histogram)| histogram.upgrade()) {
            return existing;
        }
        let histogram = Arc::new(LatencyHistogram::new());
        family.series.push((labels, Arc::downgrade(&histogram)));
        histogram
    }

    /// Every live series, for other renderings than Prometheus text.
    pub fn snapshots(&self) -> Vec<Series> {
        let mut all = Vec::new();
        for (name, _, series) in self.live() {
            for (labels, histogram) in series {
                let name = name.clone();
                all.push(Series { name, labels, snapshot: histogram.snapshot() });
            }
        }
        all
    }

    /// Appends the histograms in the Prometheus text format; `global` are labels of every series.
    pub(crate) fn render(&self, global: &[(String, String)], text: &mut String) {
        for (name, help, series) in self.live() {
            if series.is_empty() {
                continue;
            }
            // Writing to a string cannot fail.
            let _ = writeln!(text, "# HELP {name} {}", help.replace('\n', " "));
            let _ = writeln!(text, "# TYPE {name} histogram");
            for (labels, histogram) in series {
                let labels: Vec<String> = global
                    .iter()
                    .chain(&labels)
                    .map(|(key, value)| format!("{key}=\"{}\"", escaped(value)))
                    .collect();
                render_one(text, &name, &labels.join(","), &histogram.snapshot());
            }
            text.push('\n');
        }
    }

    fn live(&self) -> Vec<Live> {
        let families = self.families.lock().unwrap_or_else(PoisonError::into_inner);
        let live = |family: &Family| {
            let series = family.series.iter();
            series.filter_map(|(labels, h)| Some((labels.clone(), h.upgrade()?))).collect()
        };
        families.iter().map(|(name, f)| (name.clone(), f.help.clone(), live(f))).collect()
    }
}

fn render_one(text: &mut String, name: &str, labels: &str, snapshot: &Snapshot) {
    let separator = if labels.is_empty() { "" } else { "," };
    for (exponent, count) in snapshot.below_powers_of_two(EXPONENTS) {
        let bound = seconds(1u64.checked_shl(exponent).unwrap_or(u64::MAX));
        let _ = writeln!(text, "{name}_bucket{{{labels}{separator}le=\"{bound}\"}} {count}");
    }
    let count = snapshot.count();
    let _ = writeln!(text, "{name}_bucket{{{labels}{separator}le=\"+Inf\"}} {count}");
    let braces = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
    let _ = writeln!(text, "{name}_sum{braces} {}", seconds(snapshot.sum_ns()));
    let _ = writeln!(text, "{name}_count{braces} {count}");
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn render(registry: &LatencyRegistry, global: &[(String, String)]) -> String {
        let mut text = String::new();
        registry.render(global, &mut text);
        text
    }

    #[test]
    fn a_series_lives_as_long_as_its_owner() {
        let registry = LatencyRegistry::default();
        let one = registry.histogram("x_seconds", "help", &[("table", "a")]);
        let same = registry.histogram("x_seconds", "help", &[("table", "a")]);
        assert!(Arc::ptr_eq(&one, &same));
        let other = registry.histogram("x_seconds", "help", &[("table", "b")]);
        assert_eq!(registry.snapshots().len(), 2);
        drop((one, same));
        assert_eq!(registry.snapshots().len(), 1);
        drop(other);
        assert_eq!(render(&registry, &[]), "");
    }

    #[test]
    fn the_text_has_cumulative_buckets_sum_and_count() {
        let registry = LatencyRegistry::default();
        let histogram = registry.histogram("x_seconds", "how long", &[("table", "a\"b")]);
        histogram.record_ns(10_000);
        histogram.record_ns(500_000_000);
        let text = render(&registry, &[("role".to_owned(), "meta".to_owned())]);
        assert!(text.starts_with("# HELP x_seconds how long\n# TYPE x_seconds histogram\n"));
        for line in [
            "x_seconds_bucket{role=\"meta\",table=\"a\\\"b\",le=\"0.000008192\"} 0",
            "x_seconds_bucket{role=\"meta\",table=\"a\\\"b\",le=\"0.000016384\"} 1",
            "x_seconds_bucket{role=\"meta\",table=\"a\\\"b\",le=\"34.359738368\"} 2",
            "x_seconds_bucket{role=\"meta\",table=\"a\\\"b\",le=\"+Inf\"} 2",
            "x_seconds_sum{role=\"meta\",table=\"a\\\"b\"} 0.50001",
            "x_seconds_count{role=\"meta\",table=\"a\\\"b\"} 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
