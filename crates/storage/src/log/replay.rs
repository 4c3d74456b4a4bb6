use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use pegasus_types::{Decree, Mutation};

use super::block::{Block, HEADER_LEN, Record, SegmentHeader};
use super::index::{Admission, Entry, Index};
use super::segment::{self, Segment};
use crate::error::LogError;
use crate::fs_util::sync_dir;

/// What is in the files.
#[derive(Debug)]
pub(super) struct State {
    pub index: Index,
    /// Surviving mutations above the asked decree.
    pub mutations: Vec<Mutation>,
    /// Oldest first; they can be appended to.
    pub segments: Vec<Segment>,
    pub torn_bytes: u64,
}

/// What to make of damage.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    /// Only mutations above it are returned.
    pub after: Decree,
    /// In the last segment, everything from the first damaged block on was never synced.
    pub unsynced_tail: bool,
}

/// Read a log, cut off a torn tail, and remove what an interrupted reset or rotation left.
pub(super) fn replay(dir: &Path, policy: Policy) -> Result<State, LogError> {
    let mut files = segment::list(dir)?;
    let mut torn_bytes = drop_unborn(dir, &mut files)?;
    let headers = read_headers(&files)?;
    let first = headers.iter().rposition(|header| header.reset).unwrap_or(0);
    for (_, path) in files.drain(..first) {
        segment::delete(&path)?;
    }
    let headers = headers.get(first..).unwrap_or_default();
    let base = headers.first().map_or(Decree::ZERO, |header| header.base);
    let mut state = State {
        index: Index::new(base),
        mutations: Vec::new(),
        segments: Vec::new(),
        torn_bytes: 0,
    };
    for (at, ((_, path), header)) in files.iter().zip(headers).enumerate() {
        let is_last = at + 1 == files.len();
        let previous = state.segments.last().map(|segment| segment.index);
        if previous.is_some_and(|previous| previous.checked_add(1) != Some(header.index)) {
            return Err(LogError::corrupt(path, 0, "the segment before it is missing"));
        }
        torn_bytes += state.read_segment(path, header, is_last, policy)?;
    }
    state.torn_bytes = torn_bytes;
    Ok(state)
}

/// A header is synced before anything follows it, so a last file that is not longer than a header
/// and has none was being created at a crash.
fn drop_unborn(dir: &Path, files: &mut Vec<(u32, PathBuf)>) -> Result<u64, LogError> {
    let Some((_, path)) = files.last() else {
        return Ok(0);
    };
    let io = |e| LogError::io(path, e);
    let len = fs::metadata(path).map_err(io)?.len();
    if len > HEADER_LEN as u64 {
        return Ok(0);
    }
    let data = fs::read(path).map_err(io)?;
    if SegmentHeader::decode(&data).is_ok() {
        return Ok(0);
    }
    segment::delete(path)?;
    sync_dir(dir).map_err(|e| LogError::io(dir, e))?;
    files.pop();
    Ok(len)
}

fn read_headers(files: &[(u32, PathBuf)]) -> Result<Vec<SegmentHeader>, LogError> {
    let mut headers = Vec::with_capacity(files.len());
    for (index, path) in files {
        let mut data = Vec::with_capacity(HEADER_LEN);
        File::open(path)
            .and_then(|file| file.take(HEADER_LEN as u64).read_to_end(&mut data))
            .map_err(|e| LogError::io(path, e))?;
        let header =
            SegmentHeader::decode(&data).map_err(|reason| LogError::corrupt(path, 0, reason))?;
        if header.index != *index {
            return Err(LogError::corrupt(path, 0, "number differs from the name's"));
        }
        headers.push(header);
    }
    Ok(headers)
}

impl State {
    /// Take in one segment; returns the bytes cut off.
    fn read_segment(
        &mut self,
        path: &Path,
        header: &SegmentHeader,
        is_last: bool,
        policy: Policy,
    ) -> Result<u64, LogError> {
        let data = Bytes::from(fs::read(path).map_err(|e| LogError::io(path, e))?);
        let mut rest = data.slice(HEADER_LEN.min(data.len())..);
        let mut offset = HEADER_LEN as u64;
        let mut torn = 0;
        while !rest.is_empty() {
            let Some(block) = Block::read(&rest, offset, header.salt) else {
                let behind = rest.slice(1..);
                if !is_last {
                    return Err(LogError::corrupt(path, offset, "damaged block"));
                }
                if !policy.unsynced_tail
                    && let Some(next) = Block::find(&behind, offset + 1, header.salt)
                {
                    let reason = format!("damaged block, intact again at byte {next}");
                    return Err(LogError::corrupt(path, offset, reason));
                }
                torn = rest.len() as u64;
                Segment::cut(path, offset)?;
                break;
            };
            self.take(&block, header.index, offset, policy.after)
                .map_err(|reason| LogError::corrupt(path, offset, reason))?;
            offset += block.len() as u64;
            rest = rest.slice(block.len()..);
        }
        self.segments.push(Segment {
            index: header.index,
            salt: header.salt,
            len: offset,
            path: path.to_owned(),
        });
        Ok(torn)
    }

    fn take(
        &mut self,
        block: &Block,
        segment: u32,
        offset: u64,
        after: Decree,
    ) -> Result<(), &'static str> {
        match block.decode()? {
            Record::Truncate { above } => {
                self.index.truncate(above);
                self.drop_from(above.next());
            }
            Record::Mutation(mutation) => {
                let entry = Entry {
                    segment,
                    offset: u32::try_from(offset).map_err(|_| "segment too long")?,
                    chain: mutation.chain,
                };
                let decree = mutation.decree;
                let admission = self.index.admit(decree, mutation.prev_chain, entry)?;
                if admission == Admission::New {
                    self.drop_from(decree);
                    if self.index.base() == decree.prev() {
                        self.mutations.clear();
                    }
                    if decree > after {
                        self.mutations.push(mutation);
                    }
                }
            }
        }
        Ok(())
    }

    fn drop_from(&mut self, decree: Decree) {
        while self.mutations.last().is_some_and(|last| last.decree >= decree) {
            self.mutations.pop();
        }
    }
}
