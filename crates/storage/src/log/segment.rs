use std::fs::{self, File};
use std::io::{self, IoSlice, Write};
use std::path::{Path, PathBuf};

use super::block::{HEADER_LEN, SegmentHeader};
use crate::error::LogError;
use crate::fs_util::{random_bytes, sync_dir};
use pegasus_types::Decree;

/// A file of a log.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub index: u32,
    pub salt: u64,
    /// Bytes that count, header included.
    pub len: u64,
    pub path: PathBuf,
}

impl Segment {
    /// Make a new segment, durably, and open it for appending.
    pub(super) fn create(
        dir: &Path,
        index: u32,
        base: Decree,
        reset: bool,
    ) -> Result<(Segment, File), LogError> {
        let path = dir.join(file_name(index));
        let io = |e| LogError::io(&path, e);
        let salt = u64::from_be_bytes(random_bytes().map_err(io)?);
        let header = SegmentHeader { index, reset, base, salt };
        let mut file = File::options().append(true).create_new(true).open(&path).map_err(io)?;
        file.write_all(&header.encode()).map_err(io)?;
        file.sync_all().map_err(io)?;
        sync_dir(dir).map_err(|e| LogError::io(dir, e))?;
        let segment = Segment { index, salt, len: HEADER_LEN as u64, path };
        Ok((segment, file))
    }

    pub(super) fn open_for_append(&self) -> Result<File, LogError> {
        File::options().append(true).open(&self.path).map_err(|e| LogError::io(&self.path, e))
    }

    /// Cut off what does not count, durably.
    pub(super) fn cut(path: &Path, len: u64) -> Result<(), LogError> {
        File::options()
            .write(true)
            .open(path)
            .and_then(|file| {
                file.set_len(len)?;
                file.sync_all()
            })
            .map_err(|e| LogError::io(path, e))
    }

    pub(super) fn delete(&self) -> Result<(), LogError> {
        delete(&self.path)
    }
}

pub(super) fn delete(path: &Path) -> Result<(), LogError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(LogError::io(path, e)),
        _ => Ok(()),
    }
}

fn file_name(index: u32) -> String {
    format!("log.{index:08}")
}

/// Segment files in a directory, by their numbers. Other files are ignored.
pub(super) fn list(dir: &Path) -> Result<Vec<(u32, PathBuf)>, LogError> {
    let io = |e| LogError::io(dir, e);
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(io)? {
        let entry = entry.map_err(io)?;
        let index = entry
            .file_name()
            .to_str()
            .and_then(|name| name.strip_prefix("log."))
            .filter(|digits| digits.len() >= 8)
            .and_then(|digits| digits.parse().ok());
        if let Some(index) = index {
            found.push((index, entry.path()));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Write all of `slices`, in as few calls as the system allows.
pub(super) fn write_all(file: &mut &File, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        match file.write_vectored(slices) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut slices, written),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}
