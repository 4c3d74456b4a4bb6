use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Zoned;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::probe::ProbeFailure;
use crate::windows::{Report, Span, Windows};

/// Reports that could not be stored yet; more than a day of minutes.
const MAX_UNSTORED: usize = 2000;

/// What is known about the availability of the cluster: written by the detector, read by HTTP.
#[derive(Debug)]
pub struct Board {
    cluster: String,
    table: String,
    state: Mutex<State>,
    probes: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    status: String,
    partitions: Vec<Partition>,
    windows: Windows,
    unstored: VecDeque<Report>,
}

#[derive(Clone, Debug)]
struct Partition {
    hash_key: String,
    consecutive_failures: u32,
    last_failure: Option<String>,
}

/// What a result means for its partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// As before.
    None,
    /// The first failure after a success.
    Failing,
    /// The first success after this many failures.
    Recovered { after: u32 },
    /// It has failed as often in a row as raises an alert.
    Alert { failures: u32 },
}

impl Board {
    pub fn new(cluster: &str, table: &str) -> Board {
        let state = State {
            status: "starting".to_owned(),
            partitions: Vec::new(),
            windows: Windows::default(),
            unstored: VecDeque::new(),
        };
        Board {
            cluster: cluster.to_owned(),
            table: table.to_owned(),
            state: Mutex::new(state),
            probes: watch::Sender::new(0),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of probes that have ended, for whoever wants to wait for some.
    pub fn probes(&self) -> watch::Receiver<u64> {
        self.probes.subscribe()
    }

    pub(crate) fn set_waiting(&self, why: &str) {
        self.state().status = format!("waiting for the table: {why}");
    }

    /// From now on these keys are probed, one per partition.
    pub(crate) fn set_partitions(&self, hash_keys: &[String]) {
        let mut state = self.state();
        state.status = "running".to_owned();
        let partitions = hash_keys.iter().map(|hash_key| Partition {
            hash_key: hash_key.clone(),
            consecutive_failures: 0,
            last_failure: None,
        });
        state.partitions = partitions.collect();
    }

    pub(crate) fn with_windows<T>(&self, change: impl FnOnce(&mut Windows) -> T) -> T {
        change(&mut self.state().windows)
    }

    /// Counts one probe.
    pub(crate) fn record(
        &self,
        partition: usize,
        started: &Zoned,
        result: &Result<(), ProbeFailure>,
        alert_after: u32,
    ) -> Change {
        let mut state = self.state();
        state.windows.count(started, result.is_ok());
        let change = match state.partitions.get_mut(partition) {
            Some(known) => known.note(result, alert_after),
            None => Change::None,
        };
        if matches!(change, Change::Alert { .. }) {
            // As in the reference: one alert speaks for all partitions.
            state.partitions.iter_mut().for_each(|known| known.consecutive_failures = 0);
        }
        drop(state);
        self.probes.send_modify(|count| *count = count.wrapping_add(1));
        change
    }

    /// Closes the windows that have settled and queues them for storing.
    pub(crate) fn close(&self, settled: &Zoned) -> Vec<Report> {
        let mut state = self.state();
        let reports = state.windows.close(settled);
        state.unstored.extend(reports.iter().cloned());
        while state.unstored.len() > MAX_UNSTORED {
            state.unstored.pop_front();
        }
        reports
    }

    pub(crate) fn first_unstored(&self) -> Option<Report> {
        self.state().unstored.front().cloned()
    }

    pub(crate) fn stored(&self, report: &Report) {
        let mut state = self.state();
        if state.unstored.front() == Some(report) {
            state.unstored.pop_front();
        }
    }

    /// The ratio of the newest closed window, or of the open one while there is none.
    pub(crate) fn ratio(&self, span: Span) -> f64 {
        let state = self.state();
        let report = state.windows.last(span).cloned().or_else(|| state.windows.current(span));
        report.map_or(1.0, |report| report.counts.ratio())
    }

    /// The body of `GET /availability`.
    pub fn to_json(&self) -> Value {
        let state = self.state();
        let show = |report: Option<Report>| match report {
            Some(report) => json!({
                "label": report.label,
                "detect": report.counts.detect,
                "success": report.counts.success,
                "ratio": report.counts.ratio(),
            }),
            None => Value::Null,
        };
        let partitions = state.partitions.iter().enumerate().map(|(index, partition)| {
            json!({
                "index": index,
                "hash_key": partition.hash_key,
                "consecutive_failures": partition.consecutive_failures,
                "last_failure": partition.last_failure,
            })
        });
        let mut body = json!({
            "cluster": self.cluster,
            "table": self.table,
            "status": state.status,
            "partition_count": state.partitions.len(),
            "probes": *self.probes.borrow(),
        });
        if let Some(object) = body.as_object_mut() {
            for span in Span::ALL {
                let current = show(state.windows.current(span));
                let last = show(state.windows.last(span).cloned());
                object.insert(span.name().to_owned(), json!({ "current": current, "last": last }));
            }
            object.insert("unstored_reports".to_owned(), json!(state.unstored.len()));
            object.insert("partitions".to_owned(), Value::Array(partitions.collect()));
        }
        body
    }

    /// Name and value of each number, for the JSON metrics.
    pub(crate) fn metrics(&self) -> Vec<(String, u64)> {
        let state = self.state();
        let mut metrics = Vec::new();
        for span in Span::ALL {
            let counts = state.windows.current(span).map(|report| report.counts);
            let counts = counts.unwrap_or_default();
            let name = span.name();
            metrics.push((format!("availability_detect_times_{name}"), counts.detect));
            let failed = counts.detect.saturating_sub(counts.success);
            metrics.push((format!("availability_fail_times_{name}"), failed));
            let last = state.windows.last(span).map_or(1_000_000, |report| report.counts.ppm());
            metrics.push((format!("availability_ppm_{name}"), last));
        }
        metrics
    }
}

impl Partition {
    fn note(&mut self, result: &Result<(), ProbeFailure>, alert_after: u32) -> Change {
        match result {
            Ok(()) => match std::mem::take(&mut self.consecutive_failures) {
                0 => Change::None,
                after => Change::Recovered { after },
            },
            Err(failure) => {
                self.consecutive_failures = self.consecutive_failures.saturating_add(1);
                self.last_failure = Some(failure.to_string());
                match self.consecutive_failures {
                    failures if failures >= alert_after.max(1) => Change::Alert { failures },
                    1 => Change::Failing,
                    _ => Change::None,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::{Operation, Outcome};

    fn failure() -> ProbeFailure {
        ProbeFailure { operation: Operation::Get, outcome: Outcome::Error, text: "x".to_owned() }
    }

    #[test]
    fn failures_in_a_row_raise_one_alert() {
        let board = Board::new("c", "t");
        board.set_partitions(&["a".to_owned(), "b".to_owned()]);
        let now = Zoned::now();
        let record =
            |partition, result: Result<(), ProbeFailure>| board.record(partition, &now, &result, 3);
        assert_eq!(record(0, Ok(())), Change::None);
        assert_eq!(record(0, Err(failure())), Change::Failing);
        assert_eq!(record(0, Err(failure())), Change::None);
        assert_eq!(record(1, Err(failure())), Change::Failing);
        assert_eq!(record(0, Err(failure())), Change::Alert { failures: 3 });
        assert_eq!(record(1, Ok(())), Change::None, "the alert reset every count");
        assert_eq!(record(0, Err(failure())), Change::Failing);
        assert_eq!(record(0, Ok(())), Change::Recovered { after: 1 });
        let json = board.to_json();
        assert_eq!(json["probes"], 8);
        assert_eq!(json["day"]["current"]["detect"], 8);
        assert_eq!(json["day"]["current"]["success"], 3);
        assert_eq!(json["partitions"][0]["last_failure"], "get: x");
        assert!(board.metrics().contains(&("availability_fail_times_day".to_owned(), 5)));
    }
}
