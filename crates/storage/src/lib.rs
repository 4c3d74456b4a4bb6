//! Everything a replica server keeps on disk.
//!
//! ```text
//! <data dir>/                       one per disk, locked while in use
//!   FORMAT                          format version, disk uuid, cluster; newer or foreign: refused
//!   LOCK                            flock of the process that uses the disk, its pid inside
//!   2.3.pegasus/                    replica of partition 3 of table 2
//!     .app-info  .init-info         small files: header line with length and CRC-32C, then JSON
//!     data/rdb/                     RocksDB: column families `default` and `pegasus_meta_cf`
//!     data.new/ data.old/           only while a checkpoint is being installed
//!     plog/log.00000001 ...         private log, segments in order of their numbers
//!   2.3.pegasus.<us>.gar | .err     given up and being deleted | kept for inspection
//! ```
//!
//! **Engine.** Keys, values and column families are those of Apache Pegasus (`spec/data.md` 1, 3.4).
//! RocksDB runs without its own log. Every write batch also sets `pegasus_last_flushed_decree` and
//! `pegasus_last_chain` in the meta column family; both families flush atomically, so after a crash
//! these two say exactly which prefix of the history is in the files. The rest comes from the log.
//!
//! **Log.** A segment is a 44-byte header (magic, version, flags, number, the decree before its
//! first, salt, CRC) and blocks `u32 magic | u32 length | u32 crc | u8 kind | payload`, integers big
//! endian. Magic and CRC depend on the segment's random salt, the CRC also on the block's offset, so
//! neither a client's value nor a stale block can pass for a block. The last segment may end in a
//! torn block; a damaged block with an intact one behind it, or in an older segment, is corruption.
//!
//! Nothing read from a disk is trusted: lengths are checked before they are used, and damage is an
//! error, never a panic.

mod body;
mod data_dir;
mod engine;
mod error;
mod fs_util;
mod log;
mod replica_dir;
mod small_file;
mod writer;

pub use body::BodyBuilder;
pub use data_dir::{DataDir, DataDirs};
pub use engine::{
    BlockCache, Checkpoint, CheckpointFile, Compression, CompressionPolicy, Engine, EngineOptions,
    FilterType, IndexType, KeyValue, MultiGet, MultiGetResult, ReadLimits, ReadTier, Record,
    SharedResources,
};
pub use error::{ApplyError, LogError, ReadError, StorageError};
pub use log::{Log, LogOp, LogOptions, ReadPlan, Replayed};
pub use replica_dir::ReplicaDir;
pub use writer::{DiskWriter, LogBatch, WriterHandle, WriterOptions};
