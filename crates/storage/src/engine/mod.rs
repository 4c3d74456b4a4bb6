mod apply;
mod checkpoint;
mod filter;
mod install;
mod meta;
mod options;
mod point;
mod range;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pegasus_types::{DataVersion, Decree};
use rocksdb::{
    BottommostLevelCompaction, ColumnFamilyDescriptor, CompactOptions, DB,
    DEFAULT_COLUMN_FAMILY_NAME, FlushOptions, Options, ReadOptions, WriteOptions,
};

pub use checkpoint::{Checkpoint, CheckpointFile};
pub use options::{
    BlockCache, Compression, CompressionPolicy, EngineOptions, FilterType, IndexType,
    SharedResources,
};
pub use point::{ReadTier, Record};
pub use range::{KeyValue, MultiGet, MultiGetResult, ReadLimits};

use crate::error::StorageError;
use apply::Scratch;
use filter::FilterState;

/// The database of one replica. All methods may be called from any thread; callers order their own
/// calls of `apply`.
pub struct Engine {
    db: DB,
    path: PathBuf,
    data_version: DataVersion,
    cluster_id: u8,
    /// First half of `position`, for readers that need only that.
    applied: AtomicI64,
    /// Decree and chain of what reads see.
    position: Mutex<(Decree, u64)>,
    /// Decree of what is in files, as of the last look.
    flushed: AtomicI64,
    /// Held while writing.
    writer: Mutex<Scratch>,
    write_patiently: WriteOptions,
    write_or_stall: WriteOptions,
    read_all: ReadOptions,
    read_cache: ReadOptions,
    /// Size and CRC-32C of the table files of the last checkpoint: such files never change.
    file_sums: Mutex<BTreeMap<String, (u64, u32)>>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("path", &self.path)
            .field("applied", &self.applied_decree())
            .finish_non_exhaustive()
    }
}

/// Whether a database directory has any data file.
fn holds_tables(path: &Path) -> Result<bool, StorageError> {
    let entries = fs::read_dir(path).map_err(|e| StorageError::io(path, e))?;
    let mut names = entries.flatten().map(|entry| entry.path());
    Ok(names.any(|name| name.extension().is_some_and(|e| e == "sst")))
}

impl Engine {
    /// Open `<replica_dir>/data/rdb`, first finishing an interrupted
    /// [`install_checkpoint`](Engine::install_checkpoint). **Creates an empty database if there is
    /// none**; ask [`Engine::exists`] first where that would be wrong.
    pub fn open(replica_dir: &Path, options: &EngineOptions) -> Result<Engine, StorageError> {
        install::recover(replica_dir)?;
        let path = rdb_path(replica_dir);
        let rocks = |e| StorageError::rocks(&path, e);
        if path.join("CURRENT").exists() {
            let families = DB::list_cf(&Options::default(), &path).map_err(rocks)?;
            if !families.iter().any(|name| name == meta::META_FAMILY) {
                if holds_tables(&path)? {
                    return Err(StorageError::corrupt(&path, "no meta column family"));
                }
                // The process died while it created this database: nothing is in it.
                fs::remove_dir_all(&path).map_err(|e| StorageError::io(&path, e))?;
                fs::create_dir_all(&path).map_err(|e| StorageError::io(&path, e))?;
            }
        } else {
            fs::create_dir_all(&path).map_err(|e| StorageError::io(&path, e))?;
        }
        let state = Arc::new(FilterState::new());
        let families = [
            ColumnFamilyDescriptor::new(DEFAULT_COLUMN_FAMILY_NAME, options.data_family(&state)?),
            ColumnFamilyDescriptor::new(meta::META_FAMILY, options.meta_family()?),
        ];
        let db = DB::open_cf_descriptors(&options.database()?, &path, families).map_err(rocks)?;
        initialize(&db, &path)?;
        let data_version = meta::read_data_version(&db, &path)?.unwrap_or(DataVersion::V0);
        state.set_data_version(data_version);
        // Nothing was written since the open, so this is what the files hold.
        let position = meta::read_position(&db, &path, &persisted())?
            .ok_or_else(|| StorageError::corrupt(&path, "no decree"))?;
        Ok(Engine::new(db, path, data_version, position, options.cluster_id))
    }

    fn new(
        db: DB,
        path: PathBuf,
        data_version: DataVersion,
        position: (Decree, u64),
        cluster_id: u8,
    ) -> Engine {
        let mut read_cache = ReadOptions::default();
        read_cache.set_read_tier(rocksdb::ReadTier::BlockCache);
        let mut write_or_stall = no_wal();
        write_or_stall.set_no_slowdown(true);
        Engine {
            db,
            path,
            data_version,
            cluster_id,
            applied: AtomicI64::new(position.0.0),
            position: Mutex::new(position),
            flushed: AtomicI64::new(position.0.0),
            writer: Mutex::default(),
            write_patiently: no_wal(),
            write_or_stall,
            read_all: ReadOptions::default(),
            read_cache,
            file_sums: Mutex::default(),
        }
    }

    /// Whether there is a database to open (or one whose installation can be finished).
    pub fn exists(replica_dir: &Path) -> bool {
        rdb_path(replica_dir).join("CURRENT").exists() || install::is_pending(replica_dir)
    }

    /// Replace the database by the checkpoint in `from`, a directory on the same file system that
    /// is moved away. The engine must be closed; reopen it afterwards. After a crash at any point
    /// the next [`Engine::open`] finds the old or the new state. Returns the new state's decree and
    /// chain.
    pub fn install_checkpoint(
        replica_dir: &Path,
        from: &Path,
    ) -> Result<(Decree, u64), StorageError> {
        install::install(replica_dir, from)
    }

    /// Decree and chain of what reads see. Equal to [`Engine::flushed`] right after opening. Chain 0
    /// with a decree above 0 means a database of Apache Pegasus, which has no chain.
    pub fn applied(&self) -> (Decree, u64) {
        *lock(&self.position)
    }

    /// The decree of [`Engine::applied`]: one atomic load.
    pub fn applied_decree(&self) -> Decree {
        Decree(self.applied.load(Ordering::Acquire))
    }

    /// Decree that the files hold without help of the log, as of the last [`Engine::flush`],
    /// [`Engine::checkpoint`] or [`Engine::refresh_flushed`]: one atomic load. RocksDB also flushes
    /// on its own, so the truth may be higher.
    pub fn flushed(&self) -> Decree {
        Decree(self.flushed.load(Ordering::Acquire))
    }

    /// Look up what the files hold by now. Reads one key from the files.
    pub fn refresh_flushed(&self) -> Result<Decree, StorageError> {
        if let Some((decree, _)) = meta::read_position(&self.db, &self.path, &persisted())? {
            self.flushed.fetch_max(decree.0, Ordering::AcqRel);
        }
        Ok(self.flushed())
    }

    /// Write everything applied so far to files and wait for that. Blocks; writes go on meanwhile.
    pub fn flush(&self) -> Result<(), StorageError> {
        let mut options = FlushOptions::default();
        options.set_wait(true);
        let families = [self.data_family()?, meta::family(&self.db, &self.path)?];
        self.db.flush_cfs_opt(&families, &options).map_err(|e| self.fault(e))?;
        self.refresh_flushed().map(|_| ())
    }

    /// Compact everything down to the last level, which also drops expired records. Blocks long.
    pub fn compact(&self) -> Result<(), StorageError> {
        let mut options = CompactOptions::default();
        options.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
        options.set_exclusive_manual_compaction(false);
        let all = None::<&[u8]>;
        self.db.compact_range_cf_opt(self.data_family()?, all, all, &options);
        Ok(())
    }

    /// A number that RocksDB keeps, such as `rocksdb.estimate-num-keys`.
    pub fn property(&self, name: &str) -> Option<u64> {
        self.db.property_int_value(name).ok().flatten()
    }

    /// Bytes of the table files in use.
    pub fn files_size(&self) -> u64 {
        self.property("rocksdb.total-sst-files-size").unwrap_or(0)
    }

    pub fn data_version(&self) -> DataVersion {
        self.data_version
    }

    /// The directory of the database.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn data_family(&self) -> Result<&rocksdb::ColumnFamily, StorageError> {
        self.db
            .cf_handle(DEFAULT_COLUMN_FAMILY_NAME)
            .ok_or_else(|| StorageError::corrupt(&self.path, "no data column family"))
    }

    fn fault(&self, error: rocksdb::Error) -> StorageError {
        StorageError::rocks(&self.path, error)
    }
}

/// Give a new database its version and decree, durably. A crash in between leaves one without a
/// single write, which is treated the same.
fn initialize(db: &DB, path: &Path) -> Result<(), StorageError> {
    if db.latest_sequence_number() > 0 {
        return Ok(());
    }
    let family = meta::family(db, path)?;
    let mut batch = rocksdb::WriteBatch::default();
    batch.put_cf(family, meta::DATA_VERSION, "1");
    batch.put_cf(family, meta::LAST_DECREE, "0");
    db.write_opt(batch, &no_wal())
        .and_then(|()| db.flush_cf(family))
        .map_err(|e| StorageError::rocks(path, e))
}

fn rdb_path(replica_dir: &Path) -> PathBuf {
    replica_dir.join("data").join("rdb")
}

fn no_wal() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.disable_wal(true);
    options
}

/// Reads that ignore what is only in memory.
fn persisted() -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_read_tier(rocksdb::ReadTier::Persisted);
    options
}

/// A panic elsewhere leaves these values whole, so the poison is ignored.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
