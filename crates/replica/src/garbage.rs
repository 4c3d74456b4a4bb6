//! Replicas whose time is over: they are moved aside, never deleted in the same breath.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use pegasus_storage::{Engine, StorageError};
use pegasus_types::PartitionId;

use crate::inbox::Left;
use crate::shared::Shared;

/// Longest wait for reads that still use an engine.
const PATIENCE: Duration = Duration::from_secs(30);

/// The table of this replica was deleted for good, says the meta server. Blocks.
pub fn remove(shared: &Arc<Shared>, pid: PartitionId, left: Option<Left>) {
    close(left);
    for dir in shared.dirs.replicas().into_iter().filter(|dir| dir.pid() == pid) {
        let path = dir.path().display().to_string();
        match dir.remove() {
            Ok(()) => {
                tracing::info!(partition = %pid, path, "removed a replica of a dropped table")
            }
            Err(e) => tracing::error!(partition = %pid, path, "cannot remove a replica: {e}"),
        }
    }
    shared.table.remove_broken(pid);
}

/// Moves the directory of an unusable replica aside, so that a new one can be made. Only for when
/// another node is known to hold the data. Blocks.
pub fn set_aside(
    shared: &Arc<Shared>,
    pid: PartitionId,
    left: Option<Left>,
) -> Result<(), StorageError> {
    close(left);
    for dir in shared.dirs.replicas().into_iter().filter(|dir| dir.pid() == pid) {
        let to = dir.quarantine()?;
        tracing::warn!(partition = %pid, to = %to.display(), "moved an unusable replica aside");
    }
    shared.table.remove_broken(pid);
    Ok(())
}

fn close(left: Option<Left>) {
    let Some(engine) = left.and_then(|left| left.engine) else { return };
    if let Err(engine) = close_engine(engine) {
        tracing::warn!("reads hold on to the engine of a closed replica");
        drop(engine);
    }
}

/// Closes an engine: waits until this is the last handle to it, then drops it. The handle comes
/// back if others hold on to it for too long. Blocks.
pub fn close_engine(mut engine: Arc<Engine>) -> Result<(), Arc<Engine>> {
    let give_up = Instant::now() + PATIENCE;
    loop {
        match Arc::try_unwrap(engine) {
            Ok(last) => {
                drop(last);
                return Ok(());
            }
            Err(shared) if Instant::now() >= give_up => return Err(shared),
            Err(shared) => engine = shared,
        }
        thread::sleep(Duration::from_millis(5));
    }
}
