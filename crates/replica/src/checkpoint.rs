//! Flushing engines: on a timer and when the log has grown, so that restarts replay little and old
//! log segments can go (`checkpoint_interval_seconds`).

use std::sync::Arc;

use pegasus_replication::Event;
use pegasus_types::{Decree, PartitionId, Tick};

use crate::clock;
use crate::inbox::Completion;
use crate::partition::Partition;
use crate::shared::Shared;

/// Flush early when this much was appended to the log since the last flush.
const LOG_BYTES: u64 = 256 << 20;

/// The first flush of a partition is put somewhere within the interval, by its id, so that the
/// partitions of a node do not all flush at once.
pub fn first_flush(pid: PartitionId, interval_ms: u64) -> Tick {
    let spread = u64::from(pid.index.unsigned_abs()).wrapping_mul(7919)
        + u64::from(pid.app_id.unsigned_abs()).wrapping_mul(104_729);
    clock::now() + (interval_ms / 2).saturating_add(spread % (interval_ms / 2).max(1))
}

impl Partition {
    pub(crate) fn flush_if_due(&mut self, shared: &Arc<Shared>) {
        let now = clock::now();
        let grown = self.flush.log_bytes >= LOG_BYTES;
        if self.flush.running || (now < self.flush.due && !grown) {
            return;
        }
        self.flush.due = now + shared.settings.checkpoint_interval_ms;
        let Some(engine) = self.engine.clone() else { return };
        self.flush.running = true;
        self.flush.log_bytes = 0;
        let home = self.home.clone();
        shared.blocking(move |_| {
            // RocksDB may have flushed on its own meanwhile.
            let result = engine.refresh_flushed().and_then(|flushed| {
                if flushed < engine.applied_decree() {
                    engine.flush()?;
                }
                Ok(engine.flushed())
            });
            let result = result.map_err(|e| e.to_string());
            home.send(Completion::Flushed(result));
        });
    }

    pub(crate) fn flushed(&mut self, _: &Arc<Shared>, result: Result<Decree, String>) {
        self.flush.running = false;
        self.push(match result {
            Ok(up_to) => Event::Flushed { up_to },
            Err(reason) => Event::Failed { reason: format!("cannot flush the engine: {reason}") },
        });
    }

    /// Takes the mark off the directory once the core trusts this replica again.
    pub(crate) fn clear_suspicion(&mut self, shared: &Arc<Shared>) {
        if !self.suspect_marked || self.hosted.is_suspect() {
            return;
        }
        self.suspect_marked = false;
        let path = self.dir.path().to_path_buf();
        shared.blocking(move |_| crate::run_marker::clear_suspect(&path));
    }
}
