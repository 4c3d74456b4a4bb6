//! Compares the replicas of stopped servers record by record.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pegasus_storage::{Engine, EngineOptions};

use crate::Cluster;

type Records = BTreeMap<Vec<u8>, (u32, u64, Vec<u8>)>;

/// Directories `<app>.<index>.pegasus` below `dir`.
fn replica_dirs(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("read a directory").flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|e| e == "pegasus") {
            found.push(path);
        } else if path.is_dir() {
            replica_dirs(&path, found);
        }
    }
}

/// All records of the replicas of one stopped server, by replica.
fn records(dir: &Path) -> BTreeMap<String, Records> {
    let mut dirs = Vec::new();
    replica_dirs(&dir.join("data"), &mut dirs);
    let read = |path: &PathBuf| {
        let engine = Engine::open(path, &EngineOptions::default()).expect("open a replica");
        let mut records = Records::new();
        engine
            .dump(|key, expire, timetag, value| {
                records.insert(key.to_vec(), (expire, timetag, value.to_vec()));
            })
            .expect("read a replica");
        (path.file_name().expect("name").to_string_lossy().into_owned(), records)
    };
    dirs.iter().map(read).collect()
}

/// Assert that all replicas of each partition hold the same records - keys, values, expiry and
/// time tags - and that nobody lacks one; returns the number of records of one copy of all
/// partitions. The servers must be stopped.
pub fn equal_replicas(cluster: &Cluster) -> usize {
    let servers: Vec<_> =
        (0..cluster.shape.replicas).map(|i| records(cluster.replica_dir(i))).collect();
    for (name, first) in &servers[0] {
        for (i, other) in servers.iter().enumerate().skip(1) {
            let other = other.get(name).unwrap_or_else(|| panic!("server {i} lacks {name}"));
            assert_eq!(first.len(), other.len(), "records of {name} on server {i}");
            let different = first.iter().find(|(key, record)| other.get(*key) != Some(*record));
            assert_eq!(different, None, "{name} differs on server {i}");
        }
    }
    servers[0].values().map(BTreeMap::len).sum()
}
