//! The meta column family (`spec/data.md` 3.4): ASCII keys, values in decimal.

use std::path::Path;

use pegasus_types::{DataVersion, Decree};
use rocksdb::{ColumnFamily, DB, ReadOptions};

use crate::error::StorageError;

pub(super) const META_FAMILY: &str = "pegasus_meta_cf";
pub(super) const DATA_VERSION: &str = "pegasus_data_version";
pub(super) const LAST_DECREE: &str = "pegasus_last_flushed_decree";
/// Ours; a database of Apache Pegasus does not have it.
pub(super) const LAST_CHAIN: &str = "pegasus_last_chain";

pub(super) fn family<'a>(db: &'a DB, path: &Path) -> Result<&'a ColumnFamily, StorageError> {
    db.cf_handle(META_FAMILY).ok_or_else(|| StorageError::corrupt(path, "no meta column family"))
}

/// Read a number.
fn read<T: std::str::FromStr>(
    db: &DB,
    path: &Path,
    options: &ReadOptions,
    key: &str,
) -> Result<Option<T>, StorageError> {
    let value = db
        .get_pinned_cf_opt(family(db, path)?, key, options)
        .map_err(|e| StorageError::rocks(path, e))?;
    let Some(value) = value else { return Ok(None) };
    std::str::from_utf8(&value)
        .ok()
        .and_then(|text| text.parse().ok())
        .map(Some)
        .ok_or_else(|| StorageError::corrupt(path, format!("{key} is not a number")))
}

/// `None`: the database has none, which stands for version 0.
pub(super) fn read_data_version(db: &DB, path: &Path) -> Result<Option<DataVersion>, StorageError> {
    let Some(number) = read::<u32>(db, path, &ReadOptions::default(), DATA_VERSION)? else {
        return Ok(None);
    };
    DataVersion::from_number(number).map(Some).ok_or_else(|| {
        StorageError::foreign(path, format!("data version {number} is newer than this release"))
    })
}

/// Last decree and the chain after it; chain 0 if it is not known (or the decree is 0).
pub(super) fn read_position(
    db: &DB,
    path: &Path,
    options: &ReadOptions,
) -> Result<Option<(Decree, u64)>, StorageError> {
    let Some(decree) = read::<i64>(db, path, options, LAST_DECREE)? else {
        return Ok(None);
    };
    if !(0..=i64::MAX / 2).contains(&decree) {
        return Err(StorageError::corrupt(path, format!("decree {decree}")));
    }
    let chain = read::<u64>(db, path, options, LAST_CHAIN)?.unwrap_or(0);
    Ok(Some((Decree(decree), chain)))
}
