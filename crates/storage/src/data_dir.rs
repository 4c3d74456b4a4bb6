use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pegasus_types::PartitionId;
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use crate::error::StorageError;
use crate::fs_util::{random_bytes, remove_tree, sync_parent};
use crate::replica_dir::{ReplicaDir, parse_dir_name};
use crate::small_file;

const FORMAT_FILE: &str = "FORMAT";
const LOCK_FILE: &str = "LOCK";
const FORMAT_VERSION: u32 = 1;

/// Content of the `FORMAT` file of a data directory.
#[derive(Serialize, Deserialize)]
struct Format {
    version: u32,
    /// 32 hex digits, random; tells a disk from a copy of another.
    disk_uuid: String,
    cluster: String,
}

/// One disk: a data directory that this process has locked.
#[derive(Debug)]
pub struct DataDir {
    tag: Arc<str>,
    path: PathBuf,
    uuid: String,
    /// The lock lasts as long as this file is open.
    _lock: File,
}

impl DataDir {
    pub fn tag(&self) -> &str {
        &self.tag
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn uuid(&self) -> &str {
        &self.uuid
    }

    /// Capacity and what an unprivileged process may still use, in bytes.
    pub fn space(&self) -> Result<(u64, u64), StorageError> {
        let stat =
            rustix::fs::statvfs(&self.path).map_err(|e| StorageError::io(&self.path, e.into()))?;
        Ok((
            stat.f_blocks.saturating_mul(stat.f_frsize),
            stat.f_bavail.saturating_mul(stat.f_frsize),
        ))
    }

    fn open(tag: &str, path: &Path, cluster: &str) -> Result<DataDir, StorageError> {
        fs::create_dir_all(path).map_err(|e| StorageError::io(path, e))?;
        let lock = lock(path)?;
        let format_path = path.join(FORMAT_FILE);
        let format = match small_file::load::<Format>(&format_path)? {
            Some(format) => format,
            None => create_format(path, &format_path, cluster)?,
        };
        if format.version > FORMAT_VERSION {
            return Err(StorageError::foreign(
                &format_path,
                format!(
                    "format version {} was written by a newer release, this one knows {FORMAT_VERSION}",
                    format.version
                ),
            ));
        }
        if format.cluster != cluster {
            return Err(StorageError::foreign(
                &format_path,
                format!(
                    "the disk belongs to cluster \"{}\", this is \"{cluster}\"",
                    format.cluster
                ),
            ));
        }
        Ok(DataDir {
            tag: Arc::from(tag),
            path: path.to_owned(),
            uuid: format.disk_uuid,
            _lock: lock,
        })
    }

    fn entries(&self) -> Result<Vec<String>, StorageError> {
        list(&self.path)
    }
}

/// Names in a directory, sorted; names that are not UTF-8 are not ours.
fn list(dir: &Path) -> Result<Vec<String>, StorageError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(|e| StorageError::io(dir, e))? {
        let entry = entry.map_err(|e| StorageError::io(dir, e))?;
        if let Ok(name) = entry.file_name().into_string() {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Keep a second process (or a second copy of us in this one) out.
fn lock(dir: &Path) -> Result<File, StorageError> {
    let path = dir.join(LOCK_FILE);
    let io = |e: io::Error| StorageError::io(&path, e);
    let mut file =
        File::options().create(true).truncate(false).write(true).open(&path).map_err(io)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Err(StorageError::Locked { path }),
        Err(e) => return Err(io(e.into())),
    }
    // Only for a person who wonders who holds it.
    file.set_len(0).map_err(io)?;
    writeln!(file, "{}", std::process::id()).map_err(io)?;
    Ok(file)
}

fn create_format(dir: &Path, path: &Path, cluster: &str) -> Result<Format, StorageError> {
    // An interrupted creation leaves the temporary form of the file.
    let ours = |name: &str| name == LOCK_FILE || name == "FORMAT.tmp" || name == "lost+found";
    if let Some(name) = list(dir)?.iter().find(|name| !ours(name)) {
        return Err(StorageError::foreign(
            dir,
            format!(
                "has no FORMAT file but is not empty (\"{name}\"): not a data directory of ours"
            ),
        ));
    }
    let id = u128::from_be_bytes(
        random_bytes().map_err(|e| StorageError::io(Path::new("/dev/urandom"), e))?,
    );
    let format = Format {
        version: FORMAT_VERSION,
        disk_uuid: format!("{id:032x}"),
        cluster: cluster.to_owned(),
    };
    small_file::save(path, &format)?;
    // The directory itself may be new as well.
    sync_parent(dir)?;
    Ok(format)
}

/// All disks of a replica server, locked until dropped.
#[derive(Debug)]
pub struct DataDirs {
    disks: Vec<DataDir>,
}

impl DataDirs {
    /// Lock and check the configured directories, given as (tag, path); missing ones are created.
    pub fn open(dirs: &[(String, PathBuf)], cluster: &str) -> Result<DataDirs, StorageError> {
        if dirs.is_empty() {
            return Err(StorageError::BadOption("no data directory".to_owned()));
        }
        let mut disks: Vec<DataDir> = Vec::with_capacity(dirs.len());
        for (tag, path) in dirs {
            if disks.iter().any(|disk| disk.tag() == tag) {
                return Err(StorageError::BadOption(format!(
                    "two data directories are tagged \"{tag}\""
                )));
            }
            let disk = DataDir::open(tag, path, cluster)?;
            if let Some(twin) = disks.iter().find(|other| other.uuid == disk.uuid) {
                return Err(StorageError::foreign(
                    path,
                    format!("is a copy of {}", twin.path.display()),
                ));
            }
            disks.push(disk);
        }
        Ok(DataDirs { disks })
    }

    pub fn disks(&self) -> &[DataDir] {
        &self.disks
    }

    /// Every replica directory on every disk. A partition that occurs twice (a copy put there by
    /// hand) is returned twice: the caller decides by what is in them. A disk that cannot be listed
    /// counts as empty here, after an ERROR in the log; [`DataDirs::create_replica`] refuses then.
    pub fn replicas(&self) -> Vec<ReplicaDir> {
        let mut found = Vec::new();
        for (index, disk) in self.disks.iter().enumerate() {
            match self.replicas_on(index, disk) {
                Ok(replicas) => found.extend(replicas),
                Err(error) => tracing::error!(disk = disk.tag(), %error, "cannot list a disk"),
            }
        }
        found
    }

    fn try_replicas(&self) -> Result<Vec<ReplicaDir>, StorageError> {
        let mut found = Vec::new();
        for (index, disk) in self.disks.iter().enumerate() {
            found.extend(self.replicas_on(index, disk)?);
        }
        Ok(found)
    }

    fn replicas_on(&self, index: usize, disk: &DataDir) -> Result<Vec<ReplicaDir>, StorageError> {
        let names = disk.entries()?;
        let pids = names.iter().filter_map(|name| parse_dir_name(name));
        Ok(pids.map(|pid| self.replica_on(index, disk, pid)).collect())
    }

    /// Make an empty directory for a replica on the disk with the fewest replicas of its table,
    /// then the fewest of all, then the most free space (`spec/replication.md` 1.5).
    pub fn create_replica(&self, pid: PartitionId) -> Result<ReplicaDir, StorageError> {
        let mut loads: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
        for replica in self.try_replicas()? {
            if replica.pid() == pid {
                return Err(StorageError::Exists { path: replica.path().to_owned() });
            }
            let load = loads.entry(replica.disk()).or_default();
            load.0 += usize::from(replica.pid().app_id == pid.app_id);
            load.1 += 1;
        }
        let rank = |index: usize, disk: &DataDir| {
            let (of_app, of_all) = loads.get(&index).copied().unwrap_or_default();
            let free = disk.space().map_or(0, |(_, free)| free);
            (of_app, of_all, u64::MAX - free)
        };
        let (index, disk) = self
            .disks
            .iter()
            .enumerate()
            .min_by_key(|(index, disk)| rank(*index, disk))
            .ok_or_else(|| StorageError::BadOption("no data directory".to_owned()))?;
        let dir = self.replica_on(index, disk, pid);
        dir.create()?;
        Ok(dir)
    }

    /// Delete what interrupted removals left (`*.gar`). May take long.
    pub fn sweep(&self) -> Result<(), StorageError> {
        for disk in &self.disks {
            for name in disk.entries()? {
                if name.ends_with(".gar") {
                    remove_tree(&disk.path.join(name))?;
                }
            }
        }
        Ok(())
    }

    fn replica_on(&self, index: usize, disk: &DataDir, pid: PartitionId) -> ReplicaDir {
        ReplicaDir::new(pid, &disk.path, index, Arc::clone(&disk.tag))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn dirs(root: &Path, tags: &[&str]) -> Vec<(String, PathBuf)> {
        tags.iter().map(|tag| ((*tag).to_owned(), root.join(tag))).collect()
    }

    #[test]
    fn a_directory_is_locked_and_remembers_its_cluster() {
        let root = tempfile::tempdir().unwrap();
        let config = dirs(root.path(), &["a"]);
        let open = DataDirs::open(&config, "c1").unwrap();
        let uuid = open.disks()[0].uuid().to_owned();
        assert!(matches!(DataDirs::open(&config, "c1"), Err(StorageError::Locked { .. })));
        drop(open);
        assert!(matches!(DataDirs::open(&config, "c2"), Err(StorageError::Foreign { .. })));
        assert_eq!(DataDirs::open(&config, "c1").unwrap().disks()[0].uuid(), uuid);
    }

    #[test]
    fn foreign_and_newer_directories_are_refused() {
        let root = tempfile::tempdir().unwrap();
        let config = dirs(root.path(), &["a"]);
        fs::create_dir_all(root.path().join("a/2.3.pegasus")).unwrap();
        assert!(matches!(DataDirs::open(&config, "c"), Err(StorageError::Foreign { .. })));
        fs::remove_dir(root.path().join("a/2.3.pegasus")).unwrap();
        drop(DataDirs::open(&config, "c").unwrap());
        let newer = Format {
            version: FORMAT_VERSION + 1,
            disk_uuid: String::new(),
            cluster: "c".to_owned(),
        };
        small_file::save(&root.path().join("a/FORMAT"), &newer).unwrap();
        assert!(matches!(DataDirs::open(&config, "c"), Err(StorageError::Foreign { .. })));
    }

    #[test]
    fn same_tag_or_same_disk_twice() {
        let root = tempfile::tempdir().unwrap();
        let one = dirs(root.path(), &["a"]);
        let twice = vec![one[0].clone(), one[0].clone()];
        assert!(matches!(DataDirs::open(&twice, "c"), Err(StorageError::BadOption(_))));
        drop(DataDirs::open(&one, "c").unwrap());
        fs::create_dir(root.path().join("b")).unwrap();
        fs::copy(root.path().join("a/FORMAT"), root.path().join("b/FORMAT")).unwrap();
        assert!(matches!(
            DataDirs::open(&dirs(root.path(), &["a", "b"]), "c"),
            Err(StorageError::Foreign { .. })
        ));
    }

    #[test]
    fn replicas_spread_over_disks() {
        let root = tempfile::tempdir().unwrap();
        let disks = DataDirs::open(&dirs(root.path(), &["a", "b"]), "c").unwrap();
        let mut per_disk = [0, 0];
        for index in 0..6 {
            let dir = disks.create_replica(PartitionId::new(2, index)).unwrap();
            per_disk[dir.disk()] += 1;
        }
        assert_eq!(per_disk, [3, 3]);
        assert_eq!(disks.replicas().len(), 6);
        assert!(matches!(
            disks.create_replica(PartitionId::new(2, 0)),
            Err(StorageError::Exists { .. })
        ));
    }

    #[test]
    fn removed_and_quarantined_replicas_are_not_listed() {
        let root = tempfile::tempdir().unwrap();
        let disks = DataDirs::open(&dirs(root.path(), &["a"]), "c").unwrap();
        let one = disks.create_replica(PartitionId::new(1, 0)).unwrap();
        let two = disks.create_replica(PartitionId::new(1, 1)).unwrap();
        fs::write(one.path().join("file"), b"x").unwrap();
        one.remove().unwrap();
        let kept = two.quarantine().unwrap();
        assert!(kept.exists());
        assert!(disks.replicas().is_empty());
        fs::create_dir(root.path().join("a/1.7.pegasus.1.gar")).unwrap();
        disks.sweep().unwrap();
        assert!(!root.path().join("a/1.7.pegasus.1.gar").exists());
        assert!(kept.exists());
    }

    #[test]
    fn small_files_of_a_replica() {
        let root = tempfile::tempdir().unwrap();
        let disks = DataDirs::open(&dirs(root.path(), &["a"]), "c").unwrap();
        let dir = disks.create_replica(PartitionId::new(1, 0)).unwrap();
        assert_eq!(dir.load_state::<u64>().unwrap(), None);
        assert!(dir.load_app().unwrap_err().is_disk_fault());
        dir.save_state(&7u64).unwrap();
        assert_eq!(dir.load_state::<u64>().unwrap(), Some(7));
        fs::write(dir.path().join(".init-info"), b"garbage").unwrap();
        assert!(dir.load_state::<u64>().unwrap_err().is_corruption());
    }
}
