use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use pegasus_control::{PersistError, StoreOp};

use super::MetaStore;

/// Ops that are committed together at most.
const MAX_GROUP: usize = 4096;

type Done = Box<dyn Fn(u64, Result<(), PersistError>) + Send>;

struct Transaction {
    seq: u64,
    ops: Vec<StoreOp>,
}

/// Runs the store on a thread of its own, because a commit waits for the disk. Everything that is
/// queued is committed as one: no two transactions under way touch the same node.
pub(crate) struct StoreThread {
    queue: Option<Sender<Transaction>>,
    thread: Option<JoinHandle<()>>,
}

impl StoreThread {
    /// `done` is called on that thread, once for each transaction.
    pub fn start(store: Box<dyn MetaStore>, done: Done) -> io::Result<StoreThread> {
        let (queue, inbox) = channel();
        let run = move || run(store, &inbox, &done);
        let thread = std::thread::Builder::new().name("metadata".to_owned()).spawn(run)?;
        Ok(StoreThread { queue: Some(queue), thread: Some(thread) })
    }

    pub fn submit(&self, seq: u64, ops: Vec<StoreOp>) {
        if let Some(queue) = &self.queue {
            // Fails only if the thread is gone, and then nothing can be promised any more: the
            // transaction stays without an answer.
            let _ = queue.send(Transaction { seq, ops });
        }
    }
}

impl Drop for StoreThread {
    /// Finishes what is queued.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the metadata thread had panicked");
        }
    }
}

fn run(mut store: Box<dyn MetaStore>, inbox: &Receiver<Transaction>, done: &Done) {
    while let Ok(first) = inbox.recv() {
        let mut seqs = vec![first.seq];
        let mut ops = first.ops;
        while ops.len() < MAX_GROUP
            && let Ok(next) = inbox.try_recv()
        {
            seqs.push(next.seq);
            ops.extend(next.ops);
        }
        let result = store.commit(&ops);
        for seq in seqs {
            done(seq, result.clone());
        }
    }
}
