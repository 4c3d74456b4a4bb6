//! Replacing a database by a checkpoint.
//!
//! `data.new` is prepared and synced first; then `data` becomes `data.old`, `data.new` becomes
//! `data`, and `data.old` is deleted. Whenever `data` is missing, `data.new` is complete.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use pegasus_types::Decree;

use super::checkpoint::{names, read_position, remove_text_logs};
use crate::error::StorageError;
use crate::fs_util::{remove_tree, rename_synced, sync_dir, sync_parent};

struct Places {
    data: PathBuf,
    new: PathBuf,
    old: PathBuf,
}

impl Places {
    fn of(replica_dir: &Path) -> Places {
        Places {
            data: replica_dir.join("data"),
            new: replica_dir.join("data.new"),
            old: replica_dir.join("data.old"),
        }
    }
}

pub(super) fn install(replica_dir: &Path, from: &Path) -> Result<(Decree, u64), StorageError> {
    recover(replica_dir)?;
    let position = read_position(from)?;
    remove_text_logs(from)?;
    sync_files(from)?;

    let places = Places::of(replica_dir);
    fs::create_dir(&places.new).map_err(|e| StorageError::io(&places.new, e))?;
    let staged = places.new.join("rdb");
    fs::rename(from, &staged).map_err(|e| StorageError::io(from, e))?;
    sync_parent(from)?;
    sync_parent(&staged)?;
    sync_parent(&places.new)?;

    if places.data.exists() {
        rename_synced(&places.data, &places.old)?;
    }
    rename_synced(&places.new, &places.data)?;
    drop_old(&places);
    Ok(position)
}

/// Finish or undo an interrupted installation.
pub(super) fn recover(replica_dir: &Path) -> Result<(), StorageError> {
    let places = Places::of(replica_dir);
    if is_pending(replica_dir) {
        rename_synced(&places.new, &places.data)?;
    } else {
        remove_tree(&places.new)?;
    }
    if !places.data.exists() && places.old.exists() {
        // Not a state that `install` leaves; keep what there is.
        rename_synced(&places.old, &places.data)?;
    }
    drop_old(&places);
    Ok(())
}

/// Whether a complete new database waits for its last rename.
pub(super) fn is_pending(replica_dir: &Path) -> bool {
    let places = Places::of(replica_dir);
    !places.data.exists() && places.new.join("rdb").join("CURRENT").exists()
}

/// The new database is in place whether or not this works; the next open tries again.
fn drop_old(places: &Places) {
    if let Err(error) = remove_tree(&places.old) {
        tracing::warn!(%error, "cannot delete a replaced database");
    }
}

fn sync_files(dir: &Path) -> Result<(), StorageError> {
    for name in names(dir)? {
        let path = dir.join(name);
        File::open(&path)
            .and_then(|file| file.sync_all())
            .map_err(|e| StorageError::io(&path, e))?;
    }
    sync_dir(dir).map_err(|e| StorageError::io(dir, e))
}
