use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::clock::Instant;

/// Everything that is going to happen, earliest first; what was scheduled first comes first among
/// things that happen at the same instant.
pub struct Queue<T> {
    heap: BinaryHeap<Reverse<Entry<T>>>,
    serial: u64,
}

struct Entry<T> {
    at: Instant,
    serial: u64,
    item: T,
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.serial) == (other.at, other.serial)
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.serial).cmp(&(other.at, other.serial))
    }
}

impl<T> Queue<T> {
    pub fn new() -> Queue<T> {
        Queue { heap: BinaryHeap::new(), serial: 0 }
    }

    pub fn push(&mut self, at: Instant, item: T) {
        self.serial += 1;
        self.heap.push(Reverse(Entry { at, serial: self.serial, item }));
    }

    /// The next thing and when it happens, unless that is after `limit`.
    pub fn pop_until(&mut self, limit: Instant) -> Option<(Instant, T)> {
        if self.heap.peek()?.0.at > limit {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| (entry.at, entry.item))
    }
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Queue::new()
    }
}
