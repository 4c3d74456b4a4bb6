use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::error::LogError;
use crate::log::{Log, LogOp};

#[derive(Clone, Copy, Debug, Default)]
pub struct WriterOptions {
    /// Whether `done` waits until its batch survives a power loss.
    pub force_flush: bool,
    /// Without `force_flush`: how often what was written is synced, 0 for never.
    pub sync_interval_ms: u64,
}

/// What one partition wants written.
pub struct LogBatch {
    pub log: Arc<Mutex<Log>>,
    pub ops: Vec<LogOp>,
    /// Called on the writer's thread, in the order of submission; it must be quick.
    pub done: Box<dyn FnOnce(Result<(), LogError>) + Send>,
}

impl fmt::Debug for LogBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogBatch").field("ops", &self.ops.len()).finish_non_exhaustive()
    }
}

/// The thread that writes all logs of a disk. It takes everything that is queued, appends it, syncs
/// each touched log once, and then answers: the more comes in during a sync, the more shares the
/// next one. Dropping it finishes what was submitted and joins.
#[derive(Debug)]
pub struct DiskWriter {
    handle: WriterHandle,
    threads: Vec<JoinHandle<()>>,
}

/// Submits to a [`DiskWriter`] from anywhere; cheap to clone.
#[derive(Clone, Debug)]
pub struct WriterHandle {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    submitted: Condvar,
    unsynced: Mutex<Unsynced>,
    stopping: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    batches: VecDeque<LogBatch>,
    stopped: bool,
}

/// Logs by address, so that each is there once.
type Logs = BTreeMap<usize, Arc<Mutex<Log>>>;

#[derive(Debug, Default)]
struct Unsynced {
    logs: Logs,
    stopped: bool,
}

impl DiskWriter {
    /// Start the thread(s); `name` is the disk's, for thread names.
    pub fn start(name: &str, options: WriterOptions) -> Result<DiskWriter, LogError> {
        let shared = Arc::new(Shared::default());
        let mut writer = DiskWriter {
            handle: WriterHandle { shared: Arc::clone(&shared) },
            threads: Vec::new(),
        };
        let spawn = |role: &str, run: Box<dyn FnOnce() + Send>| -> io::Result<JoinHandle<()>> {
            thread::Builder::new().name(format!("{role}-{name}")).spawn(run)
        };
        let io = |e| LogError::io(Path::new(name), e);
        let to_write = Arc::clone(&shared);
        let write = Box::new(move || to_write.write_loop(options.force_flush));
        writer.threads.push(spawn("log", write).map_err(io)?);
        if !options.force_flush && options.sync_interval_ms > 0 {
            // A thread of its own: a slow disk must not hold up appends that nobody syncs.
            let interval = Duration::from_millis(options.sync_interval_ms);
            let sync = Box::new(move || shared.sync_loop(interval));
            writer.threads.push(spawn("sync", sync).map_err(io)?);
        }
        Ok(writer)
    }

    pub fn handle(&self) -> WriterHandle {
        self.handle.clone()
    }

    /// See [`WriterHandle::submit`].
    pub fn submit(&self, batches: Vec<LogBatch>) {
        self.handle.submit(batches);
    }
}

impl Drop for DiskWriter {
    fn drop(&mut self) {
        let shared = &self.handle.shared;
        lock(&shared.queue).stopped = true;
        shared.submitted.notify_all();
        let mut threads = self.threads.drain(..);
        // The writer first: what it still writes is for the other one to sync.
        let writer = threads.next();
        let syncer = threads.next();
        join(writer);
        lock(&shared.unsynced).stopped = true;
        shared.stopping.notify_all();
        join(syncer);
        shared.sync_all();
    }
}

fn join(thread: Option<JoinHandle<()>>) {
    if let Some(thread) = thread
        && thread.join().is_err()
    {
        tracing::error!("a log thread panicked");
    }
}

impl WriterHandle {
    /// Queue batches; never blocks on the disk. Batches of one log are written in the order of
    /// submission. After the writer has stopped they fail with [`LogError::Stopped`].
    pub fn submit(&self, batches: Vec<LogBatch>) {
        if batches.is_empty() {
            return;
        }
        let mut queue = lock(&self.shared.queue);
        if queue.stopped {
            drop(queue);
            for batch in batches {
                answer(batch.done, Err(LogError::Stopped));
            }
            return;
        }
        queue.batches.extend(batches);
        drop(queue);
        self.shared.submitted.notify_one();
    }
}

impl Shared {
    fn write_loop(&self, force_flush: bool) {
        loop {
            let mut queue = lock(&self.queue);
            while queue.batches.is_empty() && !queue.stopped {
                queue = self.submitted.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
            let batches = std::mem::take(&mut queue.batches);
            drop(queue);
            if batches.is_empty() {
                return;
            }
            self.write(batches, force_flush);
        }
    }

    /// One group commit.
    fn write(&self, batches: VecDeque<LogBatch>, force_flush: bool) {
        let mut logs = Logs::new();
        let mut answers = Vec::with_capacity(batches.len());
        for LogBatch { log, ops, done } in batches {
            let result = lock(&log).append(&ops).map(|_| ());
            let key = Arc::as_ptr(&log) as usize;
            answers.push((key, done, result));
            logs.insert(key, log);
        }
        let mut failures = BTreeMap::new();
        if force_flush {
            for (key, log) in &logs {
                if let Err(error) = sync(log) {
                    failures.insert(*key, error);
                }
            }
        } else {
            lock(&self.unsynced).logs.append(&mut logs);
        }
        for (key, done, result) in answers {
            let synced = failures.get(&key).map_or(Ok(()), |error| Err(error.clone()));
            answer(done, result.and(synced));
        }
    }

    fn sync_loop(&self, interval: Duration) {
        loop {
            let unsynced = lock(&self.unsynced);
            let (unsynced, _) = self
                .stopping
                .wait_timeout_while(unsynced, interval, |unsynced| !unsynced.stopped)
                .unwrap_or_else(PoisonError::into_inner);
            if unsynced.stopped {
                return;
            }
            drop(unsynced);
            self.sync_all();
        }
    }

    /// Sync what was written without. The next append to a log that failed says so.
    fn sync_all(&self) {
        let logs = std::mem::take(&mut lock(&self.unsynced).logs);
        for log in logs.values() {
            if let Err(error) = sync(log) {
                tracing::error!(%error, "syncing a log failed");
            }
        }
    }
}

/// Sync a log without keeping it locked meanwhile.
fn sync(log: &Mutex<Log>) -> Result<(), LogError> {
    let (file, path) = {
        let mut log = lock(log);
        if let Some(failure) = log.failure() {
            // A later append of the same turn failed: what is on disk of the earlier is unknown.
            return Err(LogError::Failed(Arc::from(failure)));
        }
        match log.begin_sync() {
            Some(file) => (file, log.path().to_owned()),
            None => return Ok(()),
        }
    };
    file.sync_data().map_err(|e| {
        let error = LogError::io(&path, e);
        lock(log).fail(&error);
        error
    })
}

/// A callback's panic is its own problem, not that of every partition on the disk.
fn answer(done: Box<dyn FnOnce(Result<(), LogError>) + Send>, result: Result<(), LogError>) {
    if catch_unwind(AssertUnwindSafe(|| done(result))).is_err() {
        tracing::error!("a log callback panicked");
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use std::sync::mpsc;

    use bytes::Bytes;
    use pegasus_types::{Ballot, Decree, Mutation, chain_after};

    use super::*;
    use crate::log::LogOptions;

    fn mutation(decree: i64, prev_chain: u64) -> Mutation {
        let body = Bytes::from_static(b"body");
        Mutation {
            decree: Decree(decree),
            ballot: Ballot(1),
            timestamp_us: decree,
            committed: Decree(decree - 1),
            prev_chain,
            chain: chain_after(prev_chain, Decree(decree), decree, &body),
            body,
        }
    }

    fn options() -> [WriterOptions; 3] {
        [(true, 0), (false, 0), (false, 1)]
            .map(|(force_flush, sync_interval_ms)| WriterOptions { force_flush, sync_interval_ms })
    }

    fn open(dir: &Path, name: &str) -> Arc<Mutex<Log>> {
        let (log, _) = Log::open(&dir.join(name), LogOptions::default()).unwrap();
        Arc::new(Mutex::new(log))
    }

    #[test]
    fn batches_are_answered_in_order_and_are_in_the_log() {
        for options in options() {
            let dir = tempfile::tempdir().unwrap();
            let logs = [open(dir.path(), "a"), open(dir.path(), "b")];
            let writer = DiskWriter::start("test", options).unwrap();
            let (sender, answers) = mpsc::channel();
            let mut chains = [0, 0];
            for decree in 1..=50 {
                let mut batches = Vec::new();
                for (at, log) in logs.iter().enumerate() {
                    let mutation = mutation(decree, chains[at]);
                    chains[at] = mutation.chain;
                    let sender = sender.clone();
                    let watched = Arc::clone(log);
                    batches.push(LogBatch {
                        log: Arc::clone(log),
                        ops: vec![LogOp::Mutation(mutation)],
                        done: Box::new(move |result| {
                            let clean = lock(&watched).begin_sync().is_none();
                            sender.send((at, decree, result.is_ok(), clean)).unwrap();
                        }),
                    });
                }
                writer.submit(batches);
            }
            drop(sender);
            let answers: Vec<_> = answers.iter().collect();
            for at in [0, 1] {
                let decrees: Vec<_> =
                    answers.iter().filter(|answer| answer.0 == at).map(|answer| answer.1).collect();
                assert!(decrees.into_iter().eq(1..=50));
            }
            assert!(answers.iter().all(|answer| answer.2));
            if options.force_flush {
                assert!(answers.iter().all(|answer| answer.3), "acknowledged unsynced");
            }
            drop(writer);
            for log in &logs {
                assert_eq!(lock(log).last(), Decree(50));
            }
        }
    }

    #[test]
    fn a_failed_log_fails_every_batch_of_its_turn() {
        let dir = tempfile::tempdir().unwrap();
        let log = open(dir.path(), "a");
        let shared = Shared::default();
        let (sender, answers) = mpsc::channel();
        let batch = |mutation| {
            let sender = sender.clone();
            LogBatch {
                log: Arc::clone(&log),
                ops: vec![LogOp::Mutation(mutation)],
                done: Box::new(move |result| sender.send(result).unwrap()),
            }
        };
        let good = mutation(1, 0);
        let bad = mutation(2, good.chain ^ 1);
        shared.write([batch(good), batch(bad)].into(), true);
        let first = answers.try_recv().unwrap();
        assert!(matches!(first, Err(LogError::Failed(_))), "{first:?}");
        let second = answers.try_recv().unwrap();
        assert!(matches!(second, Err(LogError::Misplaced { .. })));
    }

    #[test]
    fn stopping_finishes_what_was_submitted_and_refuses_the_rest() {
        for options in options() {
            let dir = tempfile::tempdir().unwrap();
            let log = open(dir.path(), "a");
            let writer = DiskWriter::start("test", options).unwrap();
            let handle = writer.handle();
            let (sender, answers) = mpsc::channel();
            let submit = |mutation| {
                let sender = sender.clone();
                handle.submit(vec![LogBatch {
                    log: Arc::clone(&log),
                    ops: vec![LogOp::Mutation(mutation)],
                    done: Box::new(move |result| sender.send(result).unwrap()),
                }]);
            };
            let first = mutation(1, 0);
            submit(first.clone());
            drop(writer);
            assert!(answers.try_recv().unwrap().is_ok());
            assert!(lock(&log).begin_sync().is_none(), "stopped with unsynced data");
            submit(mutation(2, first.chain));
            assert!(matches!(answers.try_recv().unwrap(), Err(LogError::Stopped)));
        }
    }

    #[test]
    fn a_panicking_callback_does_not_stop_the_writer() {
        let dir = tempfile::tempdir().unwrap();
        let log = open(dir.path(), "a");
        let writer = DiskWriter::start("test", options()[0]).unwrap();
        let (sender, answers) = mpsc::channel();
        writer.submit(vec![
            LogBatch {
                log: Arc::clone(&log),
                ops: Vec::new(),
                done: Box::new(|_| panic!("on purpose")),
            },
            LogBatch {
                log,
                ops: Vec::new(),
                done: Box::new(move |result| sender.send(result.is_ok()).unwrap()),
            },
        ]);
        assert!(answers.recv().unwrap());
    }
}
