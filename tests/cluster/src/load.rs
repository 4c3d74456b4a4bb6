//! Writers that remember what was acknowledged, and when.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pegasus_client::{Client, ClientOptions, Table};

use crate::runtime;

/// What a load has achieved so far.
#[derive(Default)]
pub struct Progress {
    /// Hash key -> value of every acknowledged write. Keys are written once.
    pub acked: BTreeMap<String, String>,
    /// Longest time between two successes, and the last success, per partition index.
    gaps: BTreeMap<usize, (Duration, Instant)>,
    pub failed: usize,
}

/// A background thread with a few concurrent writers.
pub struct Load {
    stop: Arc<AtomicBool>,
    progress: Arc<Mutex<Progress>>,
    thread: JoinHandle<()>,
}

impl Load {
    /// Write 100-byte values under fresh keys until stopped; at most `limit` of them.
    pub fn start(meta: String, table: String, writers: usize, limit: usize) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let progress = Arc::new(Mutex::new(Progress::default()));
        let (stop2, progress2) = (stop.clone(), progress.clone());
        let thread = std::thread::spawn(move || {
            runtime().block_on(async {
                let options =
                    ClientOptions { timeout: Duration::from_secs(2), ..ClientOptions::default() };
                let client = Client::connect(meta.as_str(), options).expect("client");
                let table = client.table(&table).await.expect("table");
                let tasks = (0..writers).map(|w| {
                    write(table.clone(), w, limit / writers, stop2.clone(), progress2.clone())
                });
                futures_join(tasks.collect()).await;
            });
        });
        Load { stop, progress, thread }
    }

    pub fn acked(&self) -> usize {
        self.progress.lock().expect("progress").acked.len()
    }

    pub fn stop(self) -> Progress {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("writers");
        std::mem::take(&mut *self.progress.lock().expect("progress"))
    }
}

async fn futures_join(tasks: Vec<impl Future<Output = ()>>) {
    let mut tasks: Vec<_> = tasks.into_iter().map(Box::pin).collect();
    std::future::poll_fn(|cx| {
        tasks.retain_mut(|t| t.as_mut().poll(cx).is_pending());
        if tasks.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

async fn write(
    table: Table,
    writer: usize,
    count: usize,
    stop: Arc<AtomicBool>,
    progress: Arc<Mutex<Progress>>,
) {
    for i in 0..count {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let key = format!("w{writer}-{i}");
        let value = format!("{key:<100}");
        let result = table.set(key.as_str(), "s", value.as_str(), None).await;
        let mut progress = progress.lock().expect("progress");
        match result {
            Ok(receipt) => {
                let now = Instant::now();
                let index = usize::try_from(receipt.partition.index).expect("index");
                let (gap, last) = progress.gaps.entry(index).or_insert((Duration::ZERO, now));
                *gap = (*gap).max(now - *last);
                *last = now;
                progress.acked.insert(key, value);
            }
            Err(_) => progress.failed += 1,
        }
    }
}

impl Progress {
    /// The longest time that a partition went without a success between two successes.
    pub fn longest_gap(&self) -> Duration {
        self.gaps.values().map(|(gap, _)| *gap).max().unwrap_or_default()
    }

    /// Read everything acknowledged back; returns the keys that are missing or different.
    pub fn missing(&self, meta: &str, table: &str) -> Vec<String> {
        runtime().block_on(async {
            let options =
                ClientOptions { timeout: Duration::from_secs(10), ..ClientOptions::default() };
            let client = Client::connect(meta, options).expect("client");
            let table = client.table(table).await.expect("table");
            let mut missing = Vec::new();
            for (key, value) in &self.acked {
                let found = table.get(key.as_str(), "s").await.expect("read");
                if found.as_deref() != Some(value.as_bytes()) {
                    missing.push(key.clone());
                }
            }
            missing
        })
    }
}
