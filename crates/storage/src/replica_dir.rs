use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pegasus_types::{AppInfo, PartitionId};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::StorageError;
use crate::fs_util::{now_us, remove_tree, rename_synced, with_suffix};
use crate::small_file;

const APP_INFO: &str = ".app-info";
const INIT_INFO: &str = ".init-info";
/// The only type of table there is; the last part of a replica directory's name.
const APP_TYPE: &str = "pegasus";

/// The directory of one replica, `<disk>/<app id>.<partition index>.pegasus` (`spec/replication.md`
/// 1.3). Not guarded against two users in one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaDir {
    pid: PartitionId,
    path: PathBuf,
    disk: usize,
    tag: Arc<str>,
}

impl ReplicaDir {
    pub(crate) fn new(
        pid: PartitionId,
        disk_path: &Path,
        disk: usize,
        tag: Arc<str>,
    ) -> ReplicaDir {
        ReplicaDir { pid, path: disk_path.join(dir_name(pid)), disk, tag }
    }

    pub fn pid(&self) -> PartitionId {
        self.pid
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Index of the disk in [`DataDirs::disks`](crate::DataDirs::disks).
    pub fn disk(&self) -> usize {
        self.disk
    }

    pub fn disk_tag(&self) -> &str {
        &self.tag
    }

    /// Where the private log lives.
    pub fn log_path(&self) -> PathBuf {
        self.path.join("plog")
    }

    /// Table facts. An IO error of kind `NotFound` if they were never saved, which is what an
    /// interrupted creation leaves.
    pub fn load_app(&self) -> Result<AppInfo, StorageError> {
        let path = self.path.join(APP_INFO);
        small_file::load(&path)?
            .ok_or_else(|| StorageError::io(&path, io::ErrorKind::NotFound.into()))
    }

    /// Replaces the file crash-safely and synced.
    pub fn save_app(&self, app: &AppInfo) -> Result<(), StorageError> {
        small_file::save(&self.path.join(APP_INFO), app)
    }

    /// What the replication core keeps besides log and engine; `None` if it was never saved.
    pub fn load_state<T: DeserializeOwned>(&self) -> Result<Option<T>, StorageError> {
        small_file::load(&self.path.join(INIT_INFO))
    }

    /// Replaces the file crash-safely and synced.
    pub fn save_state<T: Serialize>(&self, state: &T) -> Result<(), StorageError> {
        small_file::save(&self.path.join(INIT_INFO), state)
    }

    /// Give the replica up: after the rename to `.gar` it is gone for good, whatever happens to
    /// the deletion that follows. Engine and log must be closed.
    pub fn remove(&self) -> Result<(), StorageError> {
        let garbage = self.set_aside("gar")?;
        remove_tree(&garbage)
    }

    /// Keep an unusable replica for inspection under a name that is never loaded again. Engine and
    /// log must be closed.
    pub fn quarantine(&self) -> Result<PathBuf, StorageError> {
        self.set_aside("err")
    }

    fn set_aside(&self, suffix: &str) -> Result<PathBuf, StorageError> {
        let aside = with_suffix(&self.path, &format!(".{}.{suffix}", now_us()));
        rename_synced(&self.path, &aside)?;
        Ok(aside)
    }

    /// Make the directory; it must not exist.
    pub(crate) fn create(&self) -> Result<(), StorageError> {
        match fs::create_dir(&self.path) {
            Ok(()) => crate::fs_util::sync_parent(&self.path),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                Err(StorageError::Exists { path: self.path.clone() })
            }
            Err(e) => Err(StorageError::io(&self.path, e)),
        }
    }
}

pub(crate) fn dir_name(pid: PartitionId) -> String {
    format!("{}.{}.{APP_TYPE}", pid.app_id, pid.index)
}

/// The partition a directory name stands for, `None` if it is not a replica's.
pub(crate) fn parse_dir_name(name: &str) -> Option<PartitionId> {
    let (app_id, rest) = name.split_once('.')?;
    let (index, app_type) = rest.split_once('.')?;
    if app_type != APP_TYPE {
        return None;
    }
    Some(PartitionId::new(number(app_id)?, number(index)?))
}

/// A non-negative number in digits only, as `dir_name` writes it.
fn number(text: &str) -> Option<i32> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(parse_dir_name("2.3.pegasus"), Some(PartitionId::new(2, 3)));
        assert_eq!(dir_name(PartitionId::new(2, 3)), "2.3.pegasus");
        for bad in [
            "1.-2.pegasus",
            "1.2a.pegasus",
            "+1.2.pegasus",
            "1.pegasus",
            "",
            "1.2.",
            "1.2.pegasus.err",
            "1.2.pegasus.123.gar",
            "99999999999.2.pegasus",
        ] {
            assert_eq!(parse_dir_name(bad), None, "{bad}");
        }
    }
}
