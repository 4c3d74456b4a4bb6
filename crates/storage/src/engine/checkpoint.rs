use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use pegasus_types::Decree;
use rocksdb::{ColumnFamilyDescriptor, DB, DEFAULT_COLUMN_FAMILY_NAME, Options, ReadOptions};
use serde::{Deserialize, Serialize};

use super::{Engine, lock, meta};
use crate::error::StorageError;
use crate::fs_util::{remove_tree, rename_synced, with_suffix};

/// A complete database of one moment, in files that never change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    pub decree: Decree,
    /// Chain after `decree`, 0 if not known.
    pub chain: u64,
    /// In order of their names.
    pub files: Vec<CheckpointFile>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointFile {
    /// Plain file name.
    pub name: String,
    pub size: u64,
    pub crc32c: u32,
}

impl CheckpointFile {
    /// Describe a file as it is now, by reading it: for checking a copy.
    pub fn of(dir: &Path, name: &str) -> Result<CheckpointFile, StorageError> {
        let path = dir.join(name);
        let (size, crc32c) = sum(&path).map_err(|e| StorageError::io(&path, e))?;
        Ok(CheckpointFile { name: name.to_owned(), size, crc32c })
    }
}

impl Engine {
    /// Flush and make a checkpoint in `target`, which must not exist and must be on the same file
    /// system: table files are hard links. Writes go on meanwhile; the result says how far it
    /// reaches. Blocks; reads every table file that earlier checkpoints did not have.
    pub fn checkpoint(&self, target: &Path) -> Result<Checkpoint, StorageError> {
        if target.exists() {
            return Err(StorageError::Exists { path: target.to_owned() });
        }
        let building = with_suffix(target, ".building");
        remove_tree(&building)?;
        let result = self.build_checkpoint(&building);
        if result.is_ok() {
            rename_synced(&building, target)?;
        } else {
            // The error that matters is the first one.
            let _ = remove_tree(&building);
        }
        result
    }

    fn build_checkpoint(&self, dir: &Path) -> Result<Checkpoint, StorageError> {
        let maker = rocksdb::checkpoint::Checkpoint::new(&self.db).map_err(|e| self.fault(e))?;
        maker.create_checkpoint(dir).map_err(|e| self.fault(e))?;
        self.refresh_flushed()?;
        // Mutations may have been applied while it was made, so only the files know the decree.
        let (decree, chain) = read_position(dir)?;
        remove_text_logs(dir)?;
        let files = self.describe(dir)?;
        crate::fs_util::sync_dir(dir).map_err(|e| StorageError::io(dir, e))?;
        Ok(Checkpoint { decree, chain, files })
    }

    fn describe(&self, dir: &Path) -> Result<Vec<CheckpointFile>, StorageError> {
        let known = lock(&self.file_sums).clone();
        let mut sums = BTreeMap::new();
        let mut files = Vec::new();
        for name in names(dir)? {
            let path = dir.join(&name);
            let len = fs::metadata(&path).map_err(|e| StorageError::io(&path, e))?.len();
            let file = match known.get(&name) {
                Some(&(size, crc32c)) if size == len => CheckpointFile { name, size, crc32c },
                _ => CheckpointFile::of(dir, &name)?,
            };
            if file.name.ends_with(".sst") {
                sums.insert(file.name.clone(), (file.size, file.crc32c));
            }
            files.push(file);
        }
        *lock(&self.file_sums) = sums;
        Ok(files)
    }
}

/// Decree and chain of a database that nobody has open. Leaves a text log behind.
pub(super) fn read_position(dir: &Path) -> Result<(Decree, u64), StorageError> {
    let mut options = Options::default();
    // Otherwise every table file would be opened.
    options.set_max_open_files(64);
    options.set_skip_stats_update_on_db_open(true);
    let families = [DEFAULT_COLUMN_FAMILY_NAME, meta::META_FAMILY]
        .map(|name| ColumnFamilyDescriptor::new(name, Options::default()));
    let db = DB::open_cf_descriptors_read_only(&options, dir, families, false)
        .map_err(|e| StorageError::rocks(dir, e))?;
    meta::read_data_version(&db, dir)?;
    meta::read_position(&db, dir, &ReadOptions::default())?
        .ok_or_else(|| StorageError::corrupt(dir, "no decree"))
}

/// Remove what is not part of the data: RocksDB's text logs and lock.
pub(super) fn remove_text_logs(dir: &Path) -> Result<(), StorageError> {
    for name in names(dir)? {
        if name == "LOCK" || name == "LOG" || name.starts_with("LOG.old") {
            let path = dir.join(name);
            fs::remove_file(&path).map_err(|e| StorageError::io(&path, e))?;
        }
    }
    Ok(())
}

/// Sorted names of the files in a directory.
pub(super) fn names(dir: &Path) -> Result<Vec<String>, StorageError> {
    let io = |e| StorageError::io(dir, e);
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(io)? {
        let entry = entry.map_err(io)?;
        if let (true, Ok(name)) =
            (entry.file_type().map_err(io)?.is_file(), entry.file_name().into_string())
        {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Size and CRC-32C of a file's content.
fn sum(path: &Path) -> io::Result<(u64, u32)> {
    let mut file = File::open(path)?;
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
    let mut buf = vec![0; 256 << 10];
    let mut size = 0;
    loop {
        let len = match file.read(&mut buf) {
            Ok(0) => break,
            Ok(len) => len,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        digest.update(buf.get(..len).unwrap_or_default());
        size += len as u64;
    }
    // A 32-bit checksum in 64 bits.
    Ok((size, u32::try_from(digest.finalize()).unwrap_or(u32::MAX)))
}
