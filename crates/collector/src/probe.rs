//! One probe: write, read back, compare, delete.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use pegasus_client::{Error, Table};
use pegasus_telemetry::{LatencyHistogram, latency};

/// A step of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Set,
    Get,
    Del,
}

impl Operation {
    pub fn name(self) -> &'static str {
        match self {
            Operation::Set => "set",
            Operation::Get => "get",
            Operation::Del => "del",
        }
    }
}

/// How long the steps take, shown as `pegasus_availability_probe_seconds`.
#[derive(Debug)]
pub struct Latencies([Arc<LatencyHistogram>; 3]);

impl Latencies {
    pub fn new() -> Latencies {
        let of = |operation: Operation| {
            let help = "Duration of the operations of availability probes";
            let labels = [("op", operation.name())];
            latency("pegasus_availability_probe_seconds", help, &labels)
        };
        Latencies([of(Operation::Set), of(Operation::Get), of(Operation::Del)])
    }

    fn of(&self, operation: Operation) -> &LatencyHistogram {
        let [set, get, del] = &self.0;
        match operation {
            Operation::Set => set,
            Operation::Get => get,
            Operation::Del => del,
        }
    }
}

impl Default for Latencies {
    fn default() -> Latencies {
        Latencies::new()
    }
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Ok,
    Timeout,
    Error,
    /// The value read is not the one just written.
    Mismatch,
}

impl Outcome {
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Timeout => "timeout",
            Outcome::Error => "error",
            Outcome::Mismatch => "mismatch",
        }
    }
}

/// The step that failed; those after it were not tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeFailure {
    pub operation: Operation,
    pub outcome: Outcome,
    pub text: String,
}

impl fmt::Display for ProbeFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.operation.name(), self.text)
    }
}

/// For each partition the hash key that is probed: `detect_available_p<p>_<n>` with the smallest n
/// from 1 that belongs to partition p.
pub fn hash_keys(partition_count: usize) -> Vec<String> {
    let belongs = |key: &str, partition: usize| {
        let hash = pegasus_types::partition_hash(key.as_bytes(), b"");
        hash % partition_count.max(1) as u64 == partition as u64
    };
    (0..partition_count)
        .filter_map(|partition| {
            (1_u64..)
                .map(|n| format!("detect_available_p{partition}_{n}"))
                .find(|key| belongs(key, partition))
        })
        .collect()
}

/// Probes one key. Every step has the table's deadline. `sort_key` names the prober, so that two
/// of them do not read each other's values.
pub async fn probe(
    table: &Table,
    partition: usize,
    hash_key: &str,
    sort_key: &str,
    value: &str,
    latencies: &Latencies,
) -> Result<(), ProbeFailure> {
    let mut steps = Steps { partition, latencies, begin: Instant::now() };
    steps.done(Operation::Set, table.set(hash_key, sort_key, value, None).await)?;
    let read = steps.done(Operation::Get, table.get(hash_key, sort_key).await)?;
    if read.as_deref() != Some(value.as_bytes()) {
        let text = match read {
            Some(read) => format!("read \"{}\", wrote \"{value}\"", read.escape_ascii()),
            None => format!("read nothing, wrote \"{value}\""),
        };
        let outcome = Outcome::Mismatch;
        count(partition, Operation::Get, outcome);
        return Err(ProbeFailure { operation: Operation::Get, outcome, text });
    }
    steps.done(Operation::Del, table.del(hash_key, sort_key).await)?;
    Ok(())
}

struct Steps<'a> {
    partition: usize,
    latencies: &'a Latencies,
    begin: Instant,
}

impl Steps<'_> {
    /// Records how long a step took and how it ended.
    fn done<T>(
        &mut self,
        operation: Operation,
        result: Result<T, Error>,
    ) -> Result<T, ProbeFailure> {
        self.latencies.of(operation).record(self.begin.elapsed());
        self.begin = Instant::now();
        let outcome = match &result {
            Ok(_) => Outcome::Ok,
            Err(Error::Timeout { .. } | Error::OutcomeUnknown { .. }) => Outcome::Timeout,
            Err(_) => Outcome::Error,
        };
        count(self.partition, operation, outcome);
        result.map_err(|error| ProbeFailure { operation, outcome, text: error.to_string() })
    }
}

fn count(partition: usize, operation: Operation, outcome: Outcome) {
    metrics::counter!(
        "pegasus_availability_probes_total",
        "partition_id" => partition.to_string(),
        "op" => operation.name(),
        "result" => outcome.name(),
    )
    .increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_partition_has_a_key_of_its_own() {
        for count in [1, 2, 7, 8, 64] {
            let keys = hash_keys(count);
            assert_eq!(keys.len(), count);
            for (partition, key) in keys.iter().enumerate() {
                let hash = pegasus_types::partition_hash(key.as_bytes(), b"");
                assert_eq!(hash % count as u64, partition as u64);
                assert!(key.starts_with(&format!("detect_available_p{partition}_")));
            }
        }
    }
}
