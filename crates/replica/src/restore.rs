//! Opening everything an earlier run left, when the node starts.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::thread;

use pegasus_replication::PersistentState;
use pegasus_storage::{DataDirs, ReplicaDir, StorageError};
use pegasus_types::{Ballot, PartitionId};

use crate::inbox::Opened;
use crate::open::{self, OpenError, OpenOptions};
use crate::run_marker::LastEnd;
use crate::table::Broken;

/// Replicas opened at the same time.
const PARALLEL: usize = 8;

/// What was found. A bad directory is left alone and reported; the others are served.
#[derive(Default)]
pub struct Restored {
    pub opened: Vec<Opened>,
    pub broken: BTreeMap<PartitionId, Broken>,
}

/// `last_ends`: per disk, as in [`open::open_existing`].
pub fn restore(dirs: &DataDirs, options: &OpenOptions, last_ends: &[Option<LastEnd>]) -> Restored {
    let mut found: BTreeMap<PartitionId, Vec<ReplicaDir>> = BTreeMap::new();
    for dir in dirs.replicas() {
        found.entry(dir.pid()).or_default().push(dir);
    }
    let queue: Mutex<VecDeque<ReplicaDir>> =
        Mutex::new(found.into_values().filter_map(choose).collect());
    let restored = Mutex::new(Restored::default());
    let work = || {
        while let Some(dir) = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front() {
            let (pid, tag, path) = (dir.pid(), dir.disk_tag().to_owned(), dir.path().to_owned());
            let last_end = last_ends.get(dir.disk()).copied().flatten();
            let result = open::open_existing(dir.clone(), options, last_end);
            let mut restored = restored.lock().unwrap_or_else(PoisonError::into_inner);
            match result {
                Ok(opened) => restored.opened.push(opened),
                Err(e) if is_unborn(&e, &path) => discard(&dir),
                Err(e) => {
                    tracing::error!(partition = %pid, path = %path.display(),
                        "cannot load a replica; its directory is left alone: {e}");
                    let broken = Broken { disk_tag: tag, reason: e.to_string() };
                    restored.broken.insert(pid, broken);
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..PARALLEL {
            scope.spawn(work);
        }
    });
    restored.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Of several copies of one partition the one with the highest ballot; the others stay where they
/// are, unused, for a person to look at.
fn choose(mut copies: Vec<ReplicaDir>) -> Option<ReplicaDir> {
    if copies.len() > 1 {
        copies.sort_by_key(|dir| {
            let state = dir.load_state::<PersistentState>().ok().flatten();
            state.map_or(Ballot(-2), |state| state.config.ballot)
        });
        let paths: Vec<PathBuf> = copies.iter().map(|dir| dir.path().to_owned()).collect();
        tracing::error!(?paths, "several copies of one partition, using the last of these");
    }
    copies.pop()
}

/// Creation was interrupted before the table's description was written: there is no data yet.
fn is_unborn(error: &OpenError, path: &std::path::Path) -> bool {
    let OpenError::Storage(StorageError::Io { source, .. }) = error else { return false };
    source.kind() == io::ErrorKind::NotFound
        && !path.join(".app-info").exists()
        && !path.join("data").exists()
}

fn discard(dir: &ReplicaDir) {
    match dir.quarantine() {
        Ok(to) => tracing::info!(to = %to.display(), "moved a half created replica aside"),
        Err(e) => tracing::warn!("cannot move a half created replica aside: {e}"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use pegasus_storage::EngineOptions;

    use super::*;

    #[test]
    fn a_bad_directory_is_reported_and_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let dirs = DataDirs::open(&[("a".to_owned(), root.path().to_owned())], "test").unwrap();
        let bad = dirs.create_replica(PartitionId::new(1, 0)).unwrap();
        fs::write(bad.path().join(".app-info"), b"garbage").unwrap();
        let unborn = dirs.create_replica(PartitionId::new(1, 1)).unwrap();
        let mut engine = EngineOptions::production();
        engine.block_cache_capacity = 8 << 20;
        let options = OpenOptions { engine, log_segment_bytes: 1 << 20 };
        let restored = restore(&dirs, &options, &[None]);
        assert!(restored.opened.is_empty());
        assert_eq!(restored.broken.keys().collect::<Vec<_>>(), vec![&bad.pid()]);
        assert!(bad.path().exists());
        assert!(!unborn.path().exists(), "moved aside, so that it can be created again");
    }
}
