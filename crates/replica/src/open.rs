//! From a replica directory to an open replica, and from nothing to a new one.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use pegasus_replication::{PersistentState, Restored};
use pegasus_storage::{Engine, EngineOptions, Log, LogOp, LogOptions, ReplicaDir, StorageError};
use pegasus_types::{AppInfo, Decree, Mutation, PartitionId};
use serde::{Deserialize, Serialize};

use crate::inbox::Opened;
use crate::run_marker::{self, LastEnd};
use crate::shared::Shared;

/// Written before an engine is exchanged for a checkpoint, removed after the log was emptied.
const INSTALLING_FILE: &str = ".installing";
/// Beginning of the names of pinned checkpoints inside a replica directory.
pub const PIN_PREFIX: &str = "checkpoint.tmp.";
/// Where a checkpoint is copied to.
pub const LEARN_DIR: &str = "learn";

/// Why a replica directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{0}")]
    Storage(#[from] StorageError),
    #[error("log: {0}")]
    Log(#[from] pegasus_storage::LogError),
    #[error("{what}: {source}")]
    Io { what: &'static str, source: io::Error },
    #[error("{0}")]
    Refused(String),
}

/// What is needed to open any replica of this node.
#[derive(Clone)]
pub struct OpenOptions {
    pub engine: EngineOptions,
    pub log_segment_bytes: u64,
}

/// The state that a checkpoint under installation will bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installing {
    pub decree: Decree,
    pub chain: u64,
}

/// Opens what an earlier run left. `last_end` tells how that run ended, for this disk; None if the
/// log's tail cannot have been lost because every acknowledgement waited for a sync.
pub fn open_existing(
    dir: ReplicaDir,
    options: &OpenOptions,
    last_end: Option<LastEnd>,
) -> Result<Opened, OpenError> {
    let app: AppInfo = dir.load_app()?;
    if app.app_id != dir.pid().app_id || dir.pid().index >= app.partition_count.max(1) {
        let found = format!(".app-info is of table {} with {}", app.app_id, app.partition_count);
        return Err(OpenError::Refused(format!("{found} partitions")));
    }
    let state: Option<PersistentState> = dir.load_state()?;
    // Opening makes what is missing, which must not happen to a replica that ever took part.
    if state.is_some() && !Engine::exists(dir.path()) {
        return Err(OpenError::Refused("the database is gone".to_owned()));
    }
    remove_leftovers(dir.path());
    if last_end == Some(LastEnd::MaybeLost) {
        let io = |source| OpenError::Io { what: "cannot mark as suspect", source };
        run_marker::mark_suspect(dir.path()).map_err(io)?;
    }
    let suspect = run_marker::is_suspect(dir.path());
    let torn = last_end == Some(LastEnd::MaybeLost);
    open_parts(dir, options, app, state, Doubt { suspect, torn })
}

/// Makes an empty replica. Refused if the partition has a directory already: a partition that has
/// data is never created anew (design 6).
pub fn create(shared: &Shared, pid: PartitionId, app: &AppInfo) -> Result<Opened, OpenError> {
    if app.app_id != pid.app_id || pid.index < 0 || pid.index >= app.partition_count {
        return Err(OpenError::Refused(format!("{pid} is no partition of table {}", app.app_id)));
    }
    let dir = shared.dirs.create_replica(pid)?;
    dir.save_app(app)?;
    open_parts(
        dir,
        &shared.settings.open_options(&shared.engine_options),
        app.clone(),
        None,
        Doubt::default(),
    )
}

/// What may be wrong with a log.
#[derive(Clone, Copy, Default)]
struct Doubt {
    /// The replica has not caught up with the others since its log's tail may have been lost.
    suspect: bool,
    /// The machine failed while the log was written without syncing.
    torn: bool,
}

fn open_parts(
    dir: ReplicaDir,
    options: &OpenOptions,
    app: AppInfo,
    state: Option<PersistentState>,
    doubt: Doubt,
) -> Result<Opened, OpenError> {
    let engine = Engine::open(dir.path(), &options.engine)?;
    let (durable, durable_chain) = engine.applied();
    let log_options = LogOptions { segment_bytes: options.log_segment_bytes };
    let log_path = dir.log_path();
    let (mut log, replayed) = if doubt.torn {
        Log::open_after_power_loss(&log_path, log_options)?
    } else {
        Log::open_after(&log_path, log_options, durable)?
    };
    let mut mutations = replayed.mutations;
    if replayed.torn_bytes > 0 {
        tracing::info!(partition = %dir.pid(), bytes = replayed.torn_bytes, "torn tail of the log");
    }
    if finish_installation(&dir, durable, durable_chain, &mut log)? {
        mutations.clear();
    }
    mutations.retain(|m| m.decree > durable);
    let mut suspect = doubt.suspect;
    if !cut_misfits(&dir, &mut log, (durable, durable_chain), &mut mutations)? {
        suspect = true;
    }
    let restored = Restored { state, app, durable, durable_chain, log: mutations, suspect };
    Ok(Opened { dir, engine: Arc::new(engine), log: Arc::new(Mutex::new(log)), restored })
}

/// Drops log records that do not follow from what the engine holds: nobody can use them. False if
/// there were any; this replica may have acknowledged them, so it is a suspect from now on.
fn cut_misfits(
    dir: &ReplicaDir,
    log: &mut Log,
    engine: (Decree, u64),
    mutations: &mut Vec<Mutation>,
) -> Result<bool, OpenError> {
    let (mut last, mut chain) = engine;
    let fitting = mutations.iter().take_while(|m| {
        let fits = m.decree == last.next() && m.prev_chain == chain;
        (last, chain) = (m.decree, m.chain);
        fits
    });
    let fitting = fitting.count();
    if fitting == mutations.len() {
        return Ok(true);
    }
    let keep = mutations.get(..fitting).and_then(<[Mutation]>::last).map_or(engine.0, |m| m.decree);
    tracing::warn!(partition = %dir.pid(), above = %keep, dropped = mutations.len() - fitting,
        "log records do not follow from the engine");
    let io = |source| OpenError::Io { what: "cannot mark as suspect", source };
    run_marker::mark_suspect(dir.path()).map_err(io)?;
    if fitting == 0 {
        // Nothing in it continues the engine, so what lies below may be of another history too.
        log.reset(keep)?;
    } else {
        log.append(&[LogOp::Truncate { above: keep }])?;
        log.sync()?;
    }
    mutations.truncate(fitting);
    Ok(false)
}

/// Notes that the engine is about to become the checkpoint `next`.
pub fn begin_installation(replica: &Path, next: Installing) -> io::Result<()> {
    let content = serde_json::to_vec(&next).map_err(io::Error::other)?;
    run_marker::write_synced(replica, INSTALLING_FILE, &content)
}

/// Takes the note back, durably: it must not come back with a power loss. None is fine too.
pub fn end_installation(replica: &Path) -> io::Result<()> {
    match fs::remove_file(replica.join(INSTALLING_FILE)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => fs::File::open(replica)?.sync_all(),
    }
}

/// A crash may have come between the exchange of the engine and the emptying of the log. True if it
/// did, and the log (of another history) is now empty.
fn finish_installation(
    dir: &ReplicaDir,
    durable: Decree,
    chain: u64,
    log: &mut Log,
) -> Result<bool, OpenError> {
    let io = |source| OpenError::Io { what: "installation mark", source };
    let path = dir.path().join(INSTALLING_FILE);
    let content = match fs::read(&path) {
        Ok(content) => content,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(io(e)),
    };
    let next: Option<Installing> = serde_json::from_slice(&content).ok();
    let exchanged = next == Some(Installing { decree: durable, chain });
    if exchanged {
        log.reset(durable)?;
    }
    end_installation(dir.path()).map_err(io)?;
    Ok(exchanged)
}

/// Removes what copies in either direction left behind.
fn remove_leftovers(replica: &Path) {
    let Ok(entries) = fs::read_dir(replica) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if (name == LEARN_DIR || name.starts_with(PIN_PREFIX))
            && let Err(e) = fs::remove_dir_all(entry.path())
        {
            tracing::warn!(path = %entry.path().display(), "cannot remove leftovers: {e}");
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bytes::Bytes;
    use pegasus_storage::{BodyBuilder, DataDirs};
    use pegasus_types::{AppStatus, Ballot, chain_after};

    use super::*;

    fn app() -> AppInfo {
        AppInfo {
            status: AppStatus::Available,
            app_type: "pegasus".to_owned(),
            app_name: "temp".to_owned(),
            app_id: 1,
            partition_count: 4,
            envs: std::collections::BTreeMap::new(),
            is_stateful: true,
            max_replica_count: 3,
            expire_second: 0,
            create_second: 0,
            drop_second: 0,
            duplicating: false,
            init_partition_count: -1,
            is_bulk_loading: false,
            atomic_idempotent: false,
        }
    }

    fn options() -> OpenOptions {
        let mut engine = EngineOptions::production();
        engine.block_cache_capacity = 8 << 20;
        OpenOptions { engine, log_segment_bytes: 1 << 20 }
    }

    /// Mutations after `(decree, chain)`, each with one put.
    fn mutations(mut decree: Decree, mut chain: u64, count: usize) -> Vec<Mutation> {
        let one = |_| {
            let mut body = BodyBuilder::new();
            body.put(b"\x00\x01hs", b"v", 0);
            let body: Bytes = body.finish();
            let (committed, prev_chain, timestamp_us) = (decree, chain, 1);
            decree = decree.next();
            chain = chain_after(prev_chain, decree, timestamp_us, &body);
            let ballot = Ballot(1);
            Mutation { decree, ballot, timestamp_us, committed, prev_chain, chain, body }
        };
        (0..count).map(one).collect()
    }

    fn log_ops(mutations: &[Mutation]) -> Vec<LogOp> {
        mutations.iter().cloned().map(LogOp::Mutation).collect()
    }

    fn fill(dir: &ReplicaDir, applied: &[Mutation], logged: &[Mutation]) {
        dir.save_app(&app()).unwrap();
        let opened = open_existing(dir.clone(), &options(), None).unwrap();
        opened.engine.apply(applied, false).unwrap();
        opened.engine.flush().unwrap();
        opened.log.lock().unwrap().append(&log_ops(logged)).unwrap();
    }

    fn open_dirs(root: &Path) -> DataDirs {
        DataDirs::open(&[("disk".to_owned(), root.to_owned())], "test").unwrap()
    }

    #[test]
    fn a_replica_comes_back_with_what_the_log_holds_beyond_the_engine() {
        let root = tempfile::tempdir().unwrap();
        let dir = open_dirs(root.path()).create_replica(PartitionId::new(1, 0)).unwrap();
        let all = mutations(Decree::ZERO, 0, 10);
        fill(&dir, &all[..4], &all);
        let opened = open_existing(dir, &options(), Some(LastEnd::Intact)).unwrap();
        assert_eq!(opened.restored.durable, Decree(4));
        assert_eq!(opened.restored.log, all[4..]);
        assert!(!opened.restored.suspect);
    }

    #[test]
    fn a_log_of_another_history_makes_a_suspect_for_good() {
        let root = tempfile::tempdir().unwrap();
        let dir = open_dirs(root.path()).create_replica(PartitionId::new(1, 0)).unwrap();
        let all = mutations(Decree::ZERO, 0, 10);
        let other = mutations(Decree(4), 77, 3);
        fill(&dir, &all[..4], &other);
        for _ in 0..2 {
            let opened = open_existing(dir.clone(), &options(), None).unwrap();
            assert!(opened.restored.log.is_empty());
            assert!(opened.restored.suspect);
        }
    }

    #[test]
    fn a_lost_tail_makes_a_suspect_and_a_lost_database_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let dir = open_dirs(root.path()).create_replica(PartitionId::new(1, 0)).unwrap();
        let all = mutations(Decree::ZERO, 0, 3);
        fill(&dir, &all, &[]);
        let opened = open_existing(dir.clone(), &options(), Some(LastEnd::MaybeLost)).unwrap();
        assert!(opened.restored.suspect);
        drop(opened);
        let config = pegasus_types::PartitionConfig::new(dir.pid(), 3);
        dir.save_state(&PersistentState {
            config,
            member_ballot: Ballot(0),
            followed: None,
            learner: None,
        })
        .unwrap();
        fs::remove_dir_all(dir.path().join("data")).unwrap();
        assert!(matches!(open_existing(dir, &options(), None), Err(OpenError::Refused(_))));
    }

    #[test]
    fn a_crash_between_exchange_and_reset_empties_the_log() {
        let root = tempfile::tempdir().unwrap();
        let dir = open_dirs(root.path()).create_replica(PartitionId::new(1, 0)).unwrap();
        let all = mutations(Decree::ZERO, 0, 4);
        let other = mutations(Decree(4), 77, 3);
        fill(&dir, &all, &other);
        let last = all.last().unwrap();
        let next = Installing { decree: last.decree, chain: last.chain };
        begin_installation(dir.path(), next).unwrap();
        let opened = open_existing(dir.clone(), &options(), None).unwrap();
        assert!(opened.restored.log.is_empty());
        assert!(!opened.restored.suspect, "the log was to be thrown away");
        drop(opened);
        // The mark of an exchange that never happened is only removed.
        begin_installation(dir.path(), Installing { decree: Decree(99), chain: 1 }).unwrap();
        let opened = open_existing(dir.clone(), &options(), None).unwrap();
        opened.log.lock().unwrap().append(&log_ops(&mutations(Decree(4), last.chain, 2))).unwrap();
        drop(opened);
        let again = open_existing(dir, &options(), None).unwrap();
        assert_eq!(again.restored.log.len(), 2);
    }
}
