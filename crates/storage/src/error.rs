use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pegasus_types::{Decree, Status};

/// A fault of a disk or of what is on it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StorageError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: Arc<io::Error> },
    #[error("{}: corrupt: {reason}", path.display())]
    Corrupt { path: PathBuf, reason: String },
    #[error("{} is in use by another process", path.display())]
    Locked { path: PathBuf },
    /// Somebody else's directory, or one written by a newer release.
    #[error("{}: {reason}", path.display())]
    Foreign { path: PathBuf, reason: String },
    #[error("{} exists already", path.display())]
    Exists { path: PathBuf },
    #[error("bad option: {0}")]
    BadOption(String),
    /// RocksDB failed with something that is neither corruption nor an IO error.
    #[error("engine at {}: {message}", path.display())]
    Engine { path: PathBuf, status: Status, message: String },
}

impl StorageError {
    pub(crate) fn io(path: &Path, source: io::Error) -> StorageError {
        StorageError::Io { path: path.to_owned(), source: Arc::new(source) }
    }

    pub(crate) fn corrupt(path: &Path, reason: impl ToString) -> StorageError {
        StorageError::Corrupt { path: path.to_owned(), reason: reason.to_string() }
    }

    pub(crate) fn foreign(path: &Path, reason: impl ToString) -> StorageError {
        StorageError::Foreign { path: path.to_owned(), reason: reason.to_string() }
    }

    /// Classify a RocksDB status (`spec/replication.md` 6.7).
    pub(crate) fn rocks(path: &Path, error: rocksdb::Error) -> StorageError {
        match error.kind() {
            rocksdb::ErrorKind::Corruption => StorageError::corrupt(path, error),
            rocksdb::ErrorKind::IOError => {
                StorageError::io(path, io::Error::other(error.into_string()))
            }
            kind => StorageError::Engine {
                path: path.to_owned(),
                status: status_of(&kind),
                message: error.into_string(),
            },
        }
    }

    /// True if the disk itself is to blame rather than what is written on it.
    pub fn is_disk_fault(&self) -> bool {
        matches!(self, StorageError::Io { .. })
    }

    pub fn is_corruption(&self) -> bool {
        matches!(self, StorageError::Corrupt { .. })
    }

    /// What a client's read answers when it runs into this.
    pub fn status(&self) -> Status {
        match self {
            StorageError::Corrupt { .. } | StorageError::Foreign { .. } => Status::Corruption,
            StorageError::Engine { status, .. } => *status,
            _ => Status::IoError,
        }
    }
}

fn status_of(kind: &rocksdb::ErrorKind) -> Status {
    use rocksdb::ErrorKind;
    match kind {
        ErrorKind::NotFound => Status::NotFound,
        ErrorKind::Corruption => Status::Corruption,
        ErrorKind::NotSupported => Status::NotSupported,
        ErrorKind::InvalidArgument => Status::InvalidArgument,
        ErrorKind::MergeInProgress => Status::MergeInProgress,
        ErrorKind::Incomplete => Status::Incomplete,
        ErrorKind::ShutdownInProgress => Status::ShutdownInProgress,
        ErrorKind::TimedOut => Status::TimedOut,
        ErrorKind::Aborted => Status::Aborted,
        ErrorKind::Busy => Status::Busy,
        ErrorKind::Expired => Status::Expired,
        ErrorKind::TryAgain => Status::TryAgain,
        _ => Status::IoError,
    }
}

/// Why mutations were not applied. Nothing of the slice is visible then.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ApplyError {
    /// RocksDB would have made the writer wait; the same call without `no_slowdown` will wait.
    #[error("the engine's write path is stalled")]
    Stalled,
    /// A hole, a broken chain or an undecodable body: this replica is at fault.
    #[error("mutation {decree} cannot be applied: {reason}")]
    Corrupt { decree: Decree, reason: String },
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Why a read has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// Only with the cache tier: the answer is not in memory. Ask again with `ReadTier::All`.
    #[error("not in the cache")]
    Incomplete,
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl ReadError {
    pub fn status(&self) -> Status {
        match self {
            ReadError::Incomplete => Status::Incomplete,
            ReadError::Storage(error) => error.status(),
        }
    }
}

/// A fault of a private log. After any of these from a writing call the log refuses all further
/// work: what is on disk then is unknown.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LogError {
    #[error("log {}: {source}", path.display())]
    Io { path: PathBuf, source: Arc<io::Error> },
    #[error("log {} at byte {offset}: corrupt: {reason}", path.display())]
    Corrupt { path: PathBuf, offset: u64, reason: String },
    #[error("log record of {len} bytes, the limit is {limit}")]
    TooLarge { len: usize, limit: usize },
    /// A mutation that does not follow from what the log holds.
    #[error("mutation {decree} does not fit into the log: {reason}")]
    Misplaced { decree: Decree, reason: String },
    #[error("log unusable after an earlier failure: {0}")]
    Failed(Arc<str>),
    #[error("the log writer has stopped")]
    Stopped,
}

impl LogError {
    pub(crate) fn io(path: &Path, source: io::Error) -> LogError {
        LogError::Io { path: path.to_owned(), source: Arc::new(source) }
    }

    pub(crate) fn corrupt(path: &Path, offset: u64, reason: impl ToString) -> LogError {
        LogError::Corrupt { path: path.to_owned(), offset, reason: reason.to_string() }
    }

    /// True if the disk itself is to blame rather than what is written on it.
    pub fn is_disk_fault(&self) -> bool {
        matches!(self, LogError::Io { .. })
    }
}
