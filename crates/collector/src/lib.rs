//! The collector: watches a cluster from the outside, through the client. For now it detects
//! availability (`spec/config-envs-metrics.md` 5.5); table statistics, capacity units and hot
//! partitions are not built yet.

mod board;
mod daemon;
mod detector;
mod http;
mod probe;
mod windows;

pub use board::{Board, Change};
pub use daemon::run;
pub use detector::{Detector, Mail, Settings};
pub use http::{Facts, routes};
pub use pegasus_net::CancellationToken;
pub use probe::{Latencies, Operation, Outcome, ProbeFailure, hash_keys, probe};
pub use windows::{Counts, Report, Span, Windows};
