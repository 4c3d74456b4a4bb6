use std::path::{Path, PathBuf};

use pegasus_control::{PersistError, StoreOp};
use rocksdb::{DB, DBRecoveryMode, IteratorMode, Options, WriteBatch, WriteOptions};
use serde::{Deserialize, Serialize};
use tracing::error;

use super::{MetaStore, StoreError};

/// Newest layout this build understands.
const FORMAT: u32 = 1;
/// Paths begin with '/', so this can be none.
const FORMAT_KEY: &[u8] = b"format";

/// What the directory is, so that nobody else's is taken for ours (design 6).
#[derive(Serialize, Deserialize)]
struct Format {
    version: u32,
    cluster: String,
}

/// The metadata of a cluster with a single meta server: a RocksDB of its own with path as key and
/// text as value, written through its synced log.
pub struct EmbeddedStore {
    dir: PathBuf,
    cluster: String,
    /// None after a failed write: RocksDB refuses all further ones, and what became of that one is
    /// only known after opening again.
    db: Option<DB>,
}

impl EmbeddedStore {
    /// Opens or creates the store of `cluster`. The directory is locked against other processes.
    pub fn open(dir: &Path, cluster: &str) -> Result<EmbeddedStore, StoreError> {
        let failed =
            |problem: String| StoreError::Open { path: dir.display().to_string(), problem };
        std::fs::create_dir_all(dir).map_err(|e| failed(e.to_string()))?;
        let db = DB::open(&options(), dir).map_err(|e| failed(e.to_string()))?;
        check_format(&db, dir, cluster)?;
        Ok(EmbeddedStore { dir: dir.to_owned(), cluster: cluster.to_owned(), db: Some(db) })
    }

    fn db(&mut self) -> Result<&DB, StoreError> {
        if self.db.is_none() {
            self.db = EmbeddedStore::open(&self.dir, &self.cluster)?.db;
        }
        self.db.as_ref().ok_or_else(|| StoreError::Read("not open".to_owned()))
    }

    fn try_commit(&mut self, ops: &[StoreOp]) -> Result<(), StoreError> {
        let read = |e: rocksdb::Error| StoreError::Read(e.to_string());
        let db = self.db()?;
        let mut batch = WriteBatch::default();
        for op in ops {
            match op {
                StoreOp::Create { path, data } => {
                    if db.get_pinned(path).map_err(read)?.is_none() {
                        batch.put(path, data);
                    }
                }
                StoreOp::Set { path, data } => batch.put(path, data),
                StoreOp::Delete { path } => batch.delete(path),
            }
        }
        db.write_opt(batch, &synced()).map_err(read)
    }
}

impl MetaStore for EmbeddedStore {
    fn load(&mut self) -> Result<Vec<(String, String)>, StoreError> {
        let mut nodes = Vec::new();
        for entry in self.db()?.iterator(IteratorMode::Start) {
            let (path, data) = entry.map_err(|e| StoreError::Read(e.to_string()))?;
            if *path == *FORMAT_KEY {
                continue;
            }
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec());
            match (text(&path), text(&data)) {
                (Ok(path), Ok(data)) => nodes.push((path, data)),
                _ => {
                    let path = String::from_utf8_lossy(&path).into_owned();
                    return Err(StoreError::Read(format!("node {path} is not text")));
                }
            }
        }
        Ok(nodes)
    }

    fn commit(&mut self, ops: &[StoreOp]) -> Result<(), PersistError> {
        self.try_commit(ops).map_err(|e| {
            error!("metadata was not written, trying again: {e}");
            self.db = None;
            PersistError::Unknown
        })
    }
}

fn options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    // Every write is synced, so only the last record can be torn; damage before it is damage.
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    // Metadata is small; these bound what the store costs, nothing else.
    options.set_write_buffer_size(4 << 20);
    options.set_max_background_jobs(1);
    options.set_keep_log_file_num(3);
    options
}

fn synced() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(true);
    options
}

fn check_format(db: &DB, dir: &Path, cluster: &str) -> Result<(), StoreError> {
    let path = || dir.display().to_string();
    let foreign = |problem: String| StoreError::Foreign { path: path(), problem };
    let failed = |problem: String| StoreError::Open { path: path(), problem };
    let Some(found) = db.get(FORMAT_KEY).map_err(|e| failed(e.to_string()))? else {
        if db.iterator(IteratorMode::Start).next().is_some() {
            return Err(foreign("is not one of ours: it has no format".to_owned()));
        }
        let format = Format { version: FORMAT, cluster: cluster.to_owned() };
        let text = serde_json::to_vec(&format).map_err(|e| failed(e.to_string()))?;
        return db.put_opt(FORMAT_KEY, text, &synced()).map_err(|e| failed(e.to_string()));
    };
    let found: Format =
        serde_json::from_slice(&found).map_err(|e| foreign(format!("has a bad format: {e}")))?;
    if found.version > FORMAT {
        return Err(foreign(format!(
            "has format {}, this version knows formats up to {FORMAT}",
            found.version
        )));
    }
    if found.cluster != cluster {
        return Err(foreign(format!("belongs to cluster {}, not {cluster}", found.cluster)));
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn node(path: &str, data: &str) -> (String, String) {
        (path.to_owned(), data.to_owned())
    }

    #[test]
    fn what_was_committed_is_there_after_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = EmbeddedStore::open(dir.path(), "c").unwrap();
        assert_eq!(store.load().unwrap(), vec![]);
        let path = |path: &str| path.to_owned();
        let ops = [
            StoreOp::Set { path: path("/c/apps"), data: "unlock".to_owned() },
            StoreOp::Create { path: path("/c/apps/1"), data: "a".to_owned() },
            StoreOp::Create { path: path("/c/apps/2"), data: "b".to_owned() },
        ];
        store.commit(&ops).unwrap();
        let ops = [
            StoreOp::Create { path: path("/c/apps/1"), data: "ignored".to_owned() },
            StoreOp::Set { path: path("/c/apps"), data: "x".to_owned() },
            StoreOp::Delete { path: path("/c/apps/2") },
            StoreOp::Delete { path: path("/c/apps/3") },
        ];
        store.commit(&ops).unwrap();
        let expected = vec![node("/c/apps", "x"), node("/c/apps/1", "a")];
        assert_eq!(store.load().unwrap(), expected);
        drop(store);
        let mut store = EmbeddedStore::open(dir.path(), "c").unwrap();
        assert_eq!(store.load().unwrap(), expected);
    }

    #[test]
    fn the_store_of_another_cluster_or_of_the_future_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(dir.path(), "c").unwrap();
        assert!(matches!(EmbeddedStore::open(dir.path(), "c"), Err(StoreError::Open { .. })));
        drop(store);
        assert!(matches!(EmbeddedStore::open(dir.path(), "d"), Err(StoreError::Foreign { .. })));
        let db = DB::open(&options(), dir.path()).unwrap();
        db.put(FORMAT_KEY, br#"{"version":2,"cluster":"c"}"#).unwrap();
        drop(db);
        assert!(matches!(EmbeddedStore::open(dir.path(), "c"), Err(StoreError::Foreign { .. })));
    }
}
