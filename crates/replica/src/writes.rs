//! Client writes that wait for their turn, and how they become mutations (`spec/data.md` 2, 3.1).
//!
//! Puts and removes share a mutation; multi_put and multi_remove have one of their own. A body
//! holds results only, so the default TTL of a table is added here, once, by the primary.

use std::collections::VecDeque;

use bytes::Bytes;
use pegasus_storage::BodyBuilder;
use pegasus_types::{Status, Tick, encode_key};

/// Bounds of one partition's queue and of one mutation.
#[derive(Clone, Copy, Debug)]
pub struct WriteLimits {
    /// Bytes of requests that may wait.
    pub queue_bytes: usize,
    /// Bytes after which a mutation takes no further request.
    pub mutation_bytes: usize,
    /// Requests in one mutation.
    pub mutation_count: usize,
}

impl Default for WriteLimits {
    fn default() -> WriteLimits {
        WriteLimits { queue_bytes: 64 << 20, mutation_bytes: 1 << 20, mutation_count: 1024 }
    }
}

/// A validated write of one client. Expiry times are absolute, 0 means never.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteOp {
    Put { key: Bytes, value: Bytes, expire_ts: u32 },
    Remove { key: Bytes },
    MultiPut { hash_key: Bytes, kvs: Vec<(Bytes, Bytes)>, expire_ts: u32 },
    MultiRemove { hash_key: Bytes, sort_keys: Vec<Bytes> },
}

impl WriteOp {
    fn is_batchable(&self) -> bool {
        matches!(self, WriteOp::Put { .. } | WriteOp::Remove { .. })
    }

    /// Bytes of keys and values.
    pub fn weight(&self) -> usize {
        let content: usize = match self {
            WriteOp::Put { key, value, .. } => key.len().saturating_add(value.len()),
            WriteOp::Remove { key } => key.len(),
            WriteOp::MultiPut { hash_key, kvs, .. } => kvs
                .iter()
                .map(|(sort_key, value)| hash_key.len() + sort_key.len() + value.len() + 16)
                .sum(),
            WriteOp::MultiRemove { hash_key, sort_keys } => {
                sort_keys.iter().map(|sort_key| hash_key.len() + sort_key.len() + 16).sum()
            }
        };
        content.saturating_add(64)
    }

    /// What the client is told once the write is committed.
    fn answer(&self) -> Answer {
        match self {
            WriteOp::Put { .. } | WriteOp::Remove { .. } => Answer::Update(Status::Ok),
            // An empty list is an error, committed as an empty write (`spec/data.md` 2.3, 2.4).
            WriteOp::MultiPut { kvs, .. } if kvs.is_empty() => {
                Answer::Update(Status::InvalidArgument)
            }
            WriteOp::MultiPut { .. } => Answer::Update(Status::Ok),
            WriteOp::MultiRemove { sort_keys, .. } if sort_keys.is_empty() => {
                Answer::MultiRemove(Status::InvalidArgument, 0)
            }
            WriteOp::MultiRemove { sort_keys, .. } => {
                let count = i64::try_from(sort_keys.len()).unwrap_or(i64::MAX);
                Answer::MultiRemove(Status::Ok, count)
            }
        }
    }

    fn append_to(&self, body: &mut BodyBuilder, default_expire: u32) {
        let expire = |own: u32| if own == 0 { default_expire } else { own };
        match self {
            WriteOp::Put { key, value, expire_ts } => body.put(key, value, expire(*expire_ts)),
            WriteOp::Remove { key } => body.remove(key),
            WriteOp::MultiPut { hash_key, kvs, expire_ts } => {
                for (sort_key, value) in kvs {
                    body.put(&encode_key(hash_key, sort_key), value, expire(*expire_ts));
                }
            }
            WriteOp::MultiRemove { hash_key, sort_keys } => {
                for sort_key in sort_keys {
                    body.remove(&encode_key(hash_key, sort_key));
                }
            }
        }
    }
}

/// Which response a committed write gets, with its status (and count).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Update(Status),
    MultiRemove(Status, i64),
}

/// A waiting write; `R` is the way back to its client.
pub struct Queued<R> {
    pub op: WriteOp,
    pub reply: R,
    /// After this it is refused: it waited too long for its turn.
    pub expires: Tick,
}

/// One mutation in the making.
pub struct Batch<R> {
    pub body: Bytes,
    pub replies: Vec<(R, Answer)>,
}

/// The writes of one partition that are not prepared yet, oldest first.
pub struct WriteQueue<R> {
    items: VecDeque<Queued<R>>,
    bytes: usize,
    limits: WriteLimits,
}

impl<R> WriteQueue<R> {
    pub fn new(limits: WriteLimits) -> WriteQueue<R> {
        WriteQueue { items: VecDeque::new(), bytes: 0, limits }
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Gives the reply handle back if the queue is full.
    pub fn push(&mut self, item: Queued<R>) -> Result<(), R> {
        let weight = item.op.weight();
        if !self.items.is_empty() && self.bytes.saturating_add(weight) > self.limits.queue_bytes {
            return Err(item.reply);
        }
        self.bytes = self.bytes.saturating_add(weight);
        self.items.push_back(item);
        Ok(())
    }

    /// The next mutation. `default_expire` is the expiry time for puts that have none, 0 for never.
    pub fn next_batch(&mut self, default_expire: u32) -> Option<Batch<R>> {
        let mut body = BodyBuilder::default();
        let mut replies = Vec::new();
        let mut bytes = 0;
        while let Some(next) = self.items.front() {
            let weight = next.op.weight();
            let alone = !next.op.is_batchable();
            let full = bytes + weight > self.limits.mutation_bytes
                || replies.len() >= self.limits.mutation_count;
            if !replies.is_empty() && (alone || full) {
                break;
            }
            let Some(item) = self.pop() else { break };
            item.op.append_to(&mut body, default_expire);
            replies.push((item.reply, item.op.answer()));
            bytes += weight;
            if alone {
                break;
            }
        }
        (!replies.is_empty()).then(|| Batch { body: body.finish(), replies })
    }

    /// Takes out what waited too long, to be refused.
    pub fn expire(&mut self, now: Tick) -> Vec<R> {
        let mut expired = Vec::new();
        while self.items.front().is_some_and(|item| item.expires <= now) {
            expired.extend(self.pop().map(|item| item.reply));
        }
        expired
    }

    /// When [`WriteQueue::expire`] should look again.
    pub fn next_expiry(&self) -> Tick {
        self.items.front().map_or(Tick::NEVER, |item| item.expires)
    }

    /// Takes everything out, to be refused.
    pub fn drain(&mut self) -> Vec<R> {
        self.bytes = 0;
        self.items.drain(..).map(|item| item.reply).collect()
    }

    fn pop(&mut self) -> Option<Queued<R>> {
        let item = self.items.pop_front()?;
        self.bytes = self.bytes.saturating_sub(item.op.weight());
        Some(item)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn put(key: &'static str) -> WriteOp {
        WriteOp::Put {
            key: Bytes::from(encode_key(key.as_bytes(), b"")),
            value: Bytes::from_static(b"value"),
            expire_ts: 0,
        }
    }

    fn multi_put(count: usize) -> WriteOp {
        let pair = (Bytes::from_static(b"s"), Bytes::from_static(b"v"));
        WriteOp::MultiPut {
            hash_key: Bytes::from_static(b"h"),
            kvs: vec![pair; count],
            expire_ts: 0,
        }
    }

    fn queue(limits: WriteLimits, ops: Vec<WriteOp>) -> WriteQueue<usize> {
        let mut queue = WriteQueue::new(limits);
        for (reply, op) in ops.into_iter().enumerate() {
            queue.push(Queued { op, reply, expires: Tick(100) }).unwrap();
        }
        queue
    }

    fn batches(mut queue: WriteQueue<usize>) -> Vec<Vec<usize>> {
        let mut found = Vec::new();
        while let Some(batch) = queue.next_batch(0) {
            found.push(batch.replies.iter().map(|(reply, _)| *reply).collect());
        }
        assert_eq!(queue.bytes, 0);
        found
    }

    #[test]
    fn puts_and_removes_share_a_mutation_and_the_rest_does_not() {
        let remove = WriteOp::Remove { key: Bytes::from(encode_key(b"k", b"")) };
        let alone = WriteOp::MultiRemove { hash_key: Bytes::new(), sort_keys: vec![Bytes::new()] };
        let ops = vec![put("a"), remove, put("b"), multi_put(2), put("c"), alone, put("d")];
        let expected = vec![vec![0, 1, 2], vec![3], vec![4], vec![5], vec![6]];
        assert_eq!(batches(queue(WriteLimits::default(), ops)), expected);
    }

    #[test]
    fn a_mutation_is_bounded_in_bytes_and_count() {
        let by_count = WriteLimits { mutation_count: 2, ..WriteLimits::default() };
        let ops = vec![put("a"), put("b"), put("c")];
        assert_eq!(batches(queue(by_count, ops.clone())), vec![vec![0, 1], vec![2]]);
        let by_bytes = WriteLimits { mutation_bytes: 1, ..WriteLimits::default() };
        assert_eq!(batches(queue(by_bytes, ops)), vec![vec![0], vec![1], vec![2]]);
    }

    #[test]
    fn empty_multi_operations_are_errors_that_are_committed() {
        let empty = WriteOp::MultiRemove { hash_key: Bytes::new(), sort_keys: Vec::new() };
        let mut queue = queue(WriteLimits::default(), vec![multi_put(0), empty]);
        let first = queue.next_batch(0).unwrap();
        assert_eq!(first.replies, vec![(0, Answer::Update(Status::InvalidArgument))]);
        let second = queue.next_batch(0).unwrap();
        assert_eq!(second.replies, vec![(1, Answer::MultiRemove(Status::InvalidArgument, 0))]);
    }

    #[test]
    fn multi_remove_counts_what_was_asked() {
        let sort_keys = vec![Bytes::from_static(b"x"); 3];
        let op = WriteOp::MultiRemove { hash_key: Bytes::new(), sort_keys };
        let batch = queue(WriteLimits::default(), vec![op]).next_batch(0).unwrap();
        assert_eq!(batch.replies, vec![(0, Answer::MultiRemove(Status::Ok, 3))]);
    }

    #[test]
    fn a_full_queue_gives_the_reply_back_but_always_takes_one() {
        let limits = WriteLimits { queue_bytes: 1, ..WriteLimits::default() };
        let mut queue = queue(limits, vec![put("a")]);
        let refused = queue.push(Queued { op: put("b"), reply: 7, expires: Tick(100) });
        assert_eq!(refused, Err(7));
        assert_eq!(queue.drain(), vec![0]);
        assert!(queue.is_empty());
    }

    #[test]
    fn writes_expire() {
        let mut queue = queue(WriteLimits::default(), vec![put("a"), put("b")]);
        assert_eq!(queue.next_expiry(), Tick(100));
        assert!(queue.expire(Tick(99)).is_empty());
        assert_eq!(queue.expire(Tick(100)), vec![0, 1]);
        assert_eq!(queue.next_expiry(), Tick::NEVER);
    }
}
