mod block;
mod index;
mod read;
mod replay;
mod segment;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use pegasus_types::{Decree, Mutation};

pub use read::ReadPlan;

use crate::error::LogError;
use crate::fs_util::sync_dir;
use block::{BLOCK_HEADER_LEN, MAX_PAYLOAD};
use index::{Admission, Entry, Index};
use read::{OpenSegment, Place};
use replay::Policy;
use segment::Segment;

/// A body up to this long is copied into the write buffer; a longer one is written from where it is.
const COPY_BELOW: usize = 4 << 10;
/// Offsets in a segment are 32 bits.
const MAX_SEGMENT: u64 = u32::MAX as u64;

#[derive(Clone, Copy, Debug)]
pub struct LogOptions {
    /// A new segment is begun when the current one has reached this size.
    pub segment_bytes: u64,
}

impl Default for LogOptions {
    fn default() -> LogOptions {
        LogOptions { segment_bytes: 32 << 20 }
    }
}

/// What opening a log found.
#[derive(Debug)]
pub struct Replayed {
    /// The surviving mutations, without holes.
    pub mutations: Vec<Mutation>,
    /// Bytes of a torn tail that were cut off.
    pub torn_bytes: u64,
}

/// One thing to append.
#[derive(Clone, Debug)]
pub enum LogOp {
    /// Must be the next decree, a repeat (skipped), or a replacement: then everything from its
    /// decree on that was there before is void. A decree further ahead starts the log anew.
    Mutation(Mutation),
    /// Everything above is void.
    Truncate { above: Decree },
}

/// The private log of one partition. Not synchronised; the disk's writer thread shares it behind a
/// mutex with the replica.
#[derive(Debug)]
pub struct Log {
    dir: PathBuf,
    options: LogOptions,
    /// Oldest first, never empty; the last one is `file`.
    segments: VecDeque<Segment>,
    file: Arc<File>,
    /// Whether `file` holds bytes that may not be on disk.
    dirty: bool,
    index: Index,
    failed: Option<Arc<str>>,
}

impl Log {
    /// Open the log in `dir`, creating it if there is none.
    pub fn open(dir: &Path, options: LogOptions) -> Result<(Log, Replayed), LogError> {
        let policy = Policy { after: Decree::ZERO, unsynced_tail: false };
        Log::open_with(dir, options, policy)
    }

    /// [`Log::open`], but returning only the mutations above `after`.
    pub fn open_after(
        dir: &Path,
        options: LogOptions,
        after: Decree,
    ) -> Result<(Log, Replayed), LogError> {
        let policy = Policy { after, unsynced_tail: false };
        Log::open_with(dir, options, policy)
    }

    /// [`Log::open`] after a power loss of a host that acknowledges without syncing. The system may
    /// have written later pages and lost earlier ones, so a damaged block in the last segment ends
    /// the log even if intact ones follow. Only for a replica that counts as suspect.
    pub fn open_after_power_loss(
        dir: &Path,
        options: LogOptions,
    ) -> Result<(Log, Replayed), LogError> {
        let policy = Policy { after: Decree::ZERO, unsynced_tail: true };
        Log::open_with(dir, options, policy)
    }

    fn open_with(
        dir: &Path,
        options: LogOptions,
        policy: Policy,
    ) -> Result<(Log, Replayed), LogError> {
        if !dir.exists() {
            fs::create_dir_all(dir)
                .and_then(|()| sync_dir(&dir.join("..")))
                .map_err(|e| LogError::io(dir, e))?;
        }
        let state = replay::replay(dir, policy)?;
        let mut segments = VecDeque::from(state.segments);
        let file = match segments.back() {
            Some(last) => last.open_for_append()?,
            None => {
                let (segment, file) = Segment::create(dir, 1, Decree::ZERO, false)?;
                segments.push_back(segment);
                file
            }
        };
        let mut log = Log {
            dir: dir.to_owned(),
            options,
            segments,
            file: Arc::new(file),
            dirty: false,
            index: state.index,
            failed: None,
        };
        // The process that wrote this may not have come to syncing it, but from now on it counts.
        log.sync()?;
        let replayed = Replayed { mutations: state.mutations, torn_bytes: state.torn_bytes };
        Ok((log, replayed))
    }

    /// Last surviving decree; the decree before the first one if there is none.
    pub fn last(&self) -> Decree {
        self.index.last()
    }

    /// The decree before the first one that can be read.
    pub fn base(&self) -> Decree {
        self.index.base()
    }

    /// The directory of the segments.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// Bytes of all segments.
    pub fn size(&self) -> u64 {
        self.segments.iter().map(|segment| segment.len).sum()
    }

    /// Write all of `ops` in one go, without syncing; returns the bytes written. Any error makes
    /// the log unusable.
    pub fn append(&mut self, ops: &[LogOp]) -> Result<u64, LogError> {
        self.usable()?;
        let result = self.try_append(ops);
        self.fail_on_error(result)
    }

    fn try_append(&mut self, ops: &[LogOp]) -> Result<u64, LogError> {
        let total = check_sizes(ops)?;
        let (index, mut len, mut salt) = self.tail();
        if len >= self.options.segment_bytes || len.saturating_add(total) > MAX_SEGMENT {
            if index == u32::MAX || total > MAX_SEGMENT / 2 {
                return Err(LogError::TooLarge {
                    len: usize::try_from(total).unwrap_or(usize::MAX),
                    limit: (MAX_SEGMENT / 2) as usize,
                });
            }
            self.rotate()?;
            (_, len, salt) = self.tail();
        }
        let mut output = Output::new(len, salt);
        let (segment, start) = (self.tail().0, len);
        for op in ops {
            match op {
                LogOp::Truncate { above } => {
                    check_decree(*above)?;
                    self.index.truncate(*above);
                    output.truncate(*above);
                }
                LogOp::Mutation(mutation) => {
                    check_decree(mutation.decree.prev())?;
                    check_decree(mutation.committed)?;
                    let entry = Entry {
                        segment,
                        // Checked above against MAX_SEGMENT.
                        offset: u32::try_from(output.offset).unwrap_or(u32::MAX),
                        chain: mutation.chain,
                    };
                    let admission = self
                        .index
                        .admit(mutation.decree, mutation.prev_chain, entry)
                        .map_err(|reason| misplaced(mutation.decree, reason))?;
                    if admission == Admission::New {
                        output.mutation(mutation);
                    }
                }
            }
        }
        if output.offset > start {
            self.dirty = true;
            output.write(&self.file).map_err(|e| LogError::io(&self.tail_path(), e))?;
            if let Some(tail) = self.segments.back_mut() {
                tail.len = output.offset;
            }
        }
        Ok(output.offset.saturating_sub(start))
    }

    /// Make everything appended so far survive a power loss (fdatasync). An error makes the log
    /// unusable: what the disk holds then is unknown.
    pub fn sync(&mut self) -> Result<(), LogError> {
        self.usable()?;
        let result = self.file.sync_data().map_err(|e| LogError::io(&self.tail_path(), e));
        self.dirty = false;
        self.fail_on_error(result)
    }

    /// The file to sync if there is anything to sync, for syncing without holding a lock on the
    /// log. What is appended later counts as unsynced again. Report a failure to [`Log::fail`].
    pub(crate) fn begin_sync(&mut self) -> Option<Arc<File>> {
        std::mem::take(&mut self.dirty).then(|| Arc::clone(&self.file))
    }

    /// Make the log unusable.
    pub(crate) fn fail(&mut self, error: &LogError) {
        self.failed.get_or_insert_with(|| Arc::from(error.to_string()));
    }

    /// The error that made the log unusable, if any.
    pub fn failure(&self) -> Option<&str> {
        self.failed.as_deref()
    }

    /// Delete old segments that hold nothing above `below`, oldest first. The current one stays.
    pub fn collect(&mut self, below: Decree) -> Result<(), LogError> {
        self.usable()?;
        let mut deleted = false;
        while self.segments.len() > 1 {
            let Some(oldest) = self.segments.front() else {
                break;
            };
            if self.index.last_in(oldest.index) > below {
                break;
            }
            oldest.delete()?;
            self.index.forget(oldest.index);
            self.segments.pop_front();
            deleted = true;
        }
        if deleted {
            sync_dir(&self.dir).map_err(|e| LogError::io(&self.dir, e))?;
        }
        Ok(())
    }

    /// Surviving mutations `after + 1 ..= up_to`, as many as fit into `max_bytes` but at least one;
    /// empty if there are none. `None`: the log does not reach back that far.
    pub fn read(
        &self,
        after: Decree,
        up_to: Decree,
        max_bytes: usize,
    ) -> Result<Option<Vec<Mutation>>, LogError> {
        self.plan_read(after, up_to, max_bytes)?.map(ReadPlan::run).transpose()
    }

    /// [`Log::read`] in two steps, the second of which needs no lock on the log.
    pub fn plan_read(
        &self,
        after: Decree,
        up_to: Decree,
        max_bytes: usize,
    ) -> Result<Option<ReadPlan>, LogError> {
        self.usable()?;
        if after < self.index.base() {
            return Ok(None);
        }
        let mut places: Vec<Place> = Vec::new();
        let mut bytes = 0u64;
        let mut open: Option<(u32, Arc<OpenSegment>)> = None;
        let mut decree = after;
        while decree < up_to.min(self.index.last()) && bytes <= max_bytes as u64 {
            decree = decree.next();
            let Some(entry) = self.index.get(decree) else {
                break;
            };
            let file = match &open {
                Some((index, file)) if *index == entry.segment => Arc::clone(file),
                _ => self.open_segment(entry.segment)?,
            };
            let offset = u64::from(entry.offset);
            if let Some(last) = places.last().filter(|last| Arc::ptr_eq(&last.file, &file)) {
                bytes = bytes.saturating_add(offset.saturating_sub(last.offset));
            }
            open = Some((entry.segment, Arc::clone(&file)));
            places.push(Place { decree, chain: entry.chain, offset, file });
        }
        Ok(Some(ReadPlan { places, max_bytes }))
    }

    fn open_segment(&self, index: u32) -> Result<Arc<OpenSegment>, LogError> {
        let segment = self
            .segments
            .iter()
            .find(|segment| segment.index == index)
            .ok_or_else(|| LogError::corrupt(&self.dir, 0, "segment is gone"))?;
        let file = File::open(&segment.path).map_err(|e| LogError::io(&segment.path, e))?;
        Ok(Arc::new(OpenSegment {
            file,
            path: segment.path.clone(),
            salt: segment.salt,
            len: segment.len,
        }))
    }

    /// Drop everything, durably; the next mutation is expected to be `at + 1`. For use after the
    /// engine was replaced by a checkpoint of `at`.
    pub fn reset(&mut self, at: Decree) -> Result<(), LogError> {
        self.usable()?;
        let result = self.try_reset(at);
        self.fail_on_error(result)
    }

    fn try_reset(&mut self, at: Decree) -> Result<(), LogError> {
        // From here on the old segments are void, whether or not their deletion is completed.
        self.begin_segment(at, true)?;
        self.index = Index::new(at);
        while self.segments.len() > 1 {
            if let Some(old) = self.segments.pop_front() {
                old.delete()?;
            }
        }
        sync_dir(&self.dir).map_err(|e| LogError::io(&self.dir, e))
    }

    /// Older segments are always whole: only the last one may have a torn tail.
    fn rotate(&mut self) -> Result<(), LogError> {
        // Even if it is not dirty: another thread's sync may still be under way.
        self.file.sync_data().map_err(|e| LogError::io(&self.tail_path(), e))?;
        self.begin_segment(self.index.last(), false)
    }

    fn begin_segment(&mut self, base: Decree, reset: bool) -> Result<(), LogError> {
        let index = self.tail().0.checked_add(1).ok_or_else(|| {
            LogError::io(&self.dir, std::io::Error::other("segment numbers are used up"))
        })?;
        let (segment, file) = Segment::create(&self.dir, index, base, reset)?;
        self.segments.push_back(segment);
        self.file = Arc::new(file);
        self.dirty = false;
        Ok(())
    }

    /// Number, length and salt of the current segment.
    fn tail(&self) -> (u32, u64, u64) {
        self.segments.back().map_or((0, 0, 0), |tail| (tail.index, tail.len, tail.salt))
    }

    fn tail_path(&self) -> PathBuf {
        self.segments.back().map_or_else(|| self.dir.clone(), |tail| tail.path.clone())
    }

    fn usable(&self) -> Result<(), LogError> {
        match &self.failed {
            Some(reason) => Err(LogError::Failed(Arc::clone(reason))),
            None => Ok(()),
        }
    }

    fn fail_on_error<T>(&mut self, result: Result<T, LogError>) -> Result<T, LogError> {
        if let Err(error) = &result {
            self.fail(error);
        }
        result
    }
}

/// Replay would refuse what is out of range.
fn check_decree(decree: Decree) -> Result<(), LogError> {
    if (0..block::MAX_DECREE).contains(&decree.0) {
        Ok(())
    } else {
        Err(misplaced(decree, "decree out of range"))
    }
}

fn misplaced(decree: Decree, reason: &str) -> LogError {
    LogError::Misplaced { decree, reason: reason.to_owned() }
}

/// Upper bound of the bytes that `ops` take.
fn check_sizes(ops: &[LogOp]) -> Result<u64, LogError> {
    let mut total = 0u64;
    for op in ops {
        let len = match op {
            LogOp::Mutation(mutation) => block::payload_len(mutation),
            LogOp::Truncate { .. } => 8,
        };
        if len > MAX_PAYLOAD {
            return Err(LogError::TooLarge { len, limit: MAX_PAYLOAD });
        }
        total = total.saturating_add((BLOCK_HEADER_LEN + len) as u64);
    }
    Ok(total)
}

/// Blocks to be written together. Long bodies are not copied.
struct Output {
    buf: Vec<u8>,
    /// Bodies to be put in after so many bytes of `buf`.
    bodies: Vec<(usize, Bytes)>,
    /// Where in the segment the next block goes.
    offset: u64,
    salt: u64,
}

impl Output {
    fn new(offset: u64, salt: u64) -> Output {
        Output { buf: Vec::new(), bodies: Vec::new(), offset, salt }
    }

    fn truncate(&mut self, above: Decree) {
        let block = block::truncate_block(self.salt, self.offset, above);
        self.push(&block);
    }

    fn mutation(&mut self, mutation: &Mutation) {
        let head = block::mutation_head(self.salt, self.offset, mutation);
        self.push(&head);
        if mutation.body.len() <= COPY_BELOW {
            self.push(&mutation.body);
        } else {
            self.bodies.push((self.buf.len(), mutation.body.clone()));
            self.offset += mutation.body.len() as u64;
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
        self.offset += bytes.len() as u64;
    }

    fn write(&self, file: &File) -> std::io::Result<()> {
        let mut slices = Vec::with_capacity(2 * self.bodies.len() + 1);
        let mut rest = self.buf.as_slice();
        let mut done = 0;
        for (at, body) in &self.bodies {
            let (before, after) = rest.split_at(at - done);
            slices.push(IoSlice::new(before));
            slices.push(IoSlice::new(body));
            (rest, done) = (after, *at);
        }
        slices.push(IoSlice::new(rest));
        segment::write_all(&mut &*file, &mut slices)
    }
}
