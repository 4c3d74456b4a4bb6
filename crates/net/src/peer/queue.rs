use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bincode::Options;
use pegasus_replication::Message;
use pegasus_types::PartitionId;
use tokio::sync::Notify;

use crate::private::{MAX_PRIVATE_FRAME, wire_options};

/// Room that an envelope and tarpc's own fields may take beside the messages.
const FRAME_OVERHEAD: usize = 64 << 10;

/// Messages for one peer, bounded in bytes. Filled from any thread, emptied by the link's task.
#[derive(Debug)]
pub(super) struct LinkQueue {
    max_bytes: usize,
    state: Mutex<State>,
    /// Something was added to an empty queue, or the queue overflowed.
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    messages: VecDeque<(PartitionId, Message, usize)>,
    bytes: usize,
    /// Messages were thrown away since the last reset.
    lossy: bool,
}

/// What there is to send.
#[derive(Debug, PartialEq)]
pub(super) enum Taken {
    Nothing,
    Messages(Vec<(PartitionId, Message)>),
    /// Messages are missing: the link must be reset.
    Lossy,
}

impl LinkQueue {
    pub fn new(max_bytes: usize) -> LinkQueue {
        LinkQueue { max_bytes, state: Mutex::default(), changed: Notify::new() }
    }

    pub fn push(&self, messages: impl IntoIterator<Item = (PartitionId, Message)>) {
        let mut state = self.lock();
        let was_idle = state.messages.is_empty() && !state.lossy;
        for (pid, message) in messages {
            let weight = encoded_size(&message);
            let too_long = weight > MAX_PRIVATE_FRAME - FRAME_OVERHEAD;
            if too_long || state.bytes.saturating_add(weight) > self.max_bytes {
                *state = State { lossy: true, ..State::default() };
                break;
            }
            state.bytes = state.bytes.saturating_add(weight);
            state.messages.push_back((pid, message, weight));
        }
        let worth_a_wake = state.lossy || !state.messages.is_empty();
        drop(state);
        if was_idle && worth_a_wake {
            self.changed.notify_one();
        }
    }

    /// Up to about `max_bytes` of messages, at least one if there is any.
    pub fn take(&self, max_bytes: usize) -> Taken {
        let mut state = self.lock();
        if state.lossy {
            return Taken::Lossy;
        }
        let mut taken = Vec::new();
        let mut bytes = 0_usize;
        while let Some((_, _, weight)) = state.messages.front() {
            bytes = bytes.saturating_add(*weight);
            if bytes > max_bytes && !taken.is_empty() {
                break;
            }
            if let Some((pid, message, weight)) = state.messages.pop_front() {
                state.bytes = state.bytes.saturating_sub(weight);
                taken.push((pid, message));
            }
        }
        if taken.is_empty() { Taken::Nothing } else { Taken::Messages(taken) }
    }

    /// Drop everything: what is queued from now on follows a reset. Returns whether anything was
    /// lost since the last reset.
    pub fn reset(&self) -> bool {
        let mut state = self.lock();
        let lost = state.lossy || !state.messages.is_empty();
        *state = State::default();
        lost
    }

    pub fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// Returns after something was pushed; may also return for no reason.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes of a message on the wire, including what its container adds.
fn encoded_size(message: &Message) -> usize {
    const PARTITION_ID: u64 = 10;
    let size = wire_options().serialized_size(message);
    // An error means that it is longer than any frame.
    size.map_or(usize::MAX, |size| usize::try_from(size + PARTITION_ID).unwrap_or(usize::MAX))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use bytes::Bytes;
    use pegasus_types::{Ballot, Decree, Mutation};

    use super::*;

    fn message(decree: i64, body: usize) -> (PartitionId, Message) {
        let mutation = Mutation {
            decree: Decree(decree),
            ballot: Ballot(1),
            timestamp_us: 1,
            committed: Decree::ZERO,
            prev_chain: 0,
            chain: 1,
            body: Bytes::from(vec![7; body]),
        };
        let prepare = Message::Prepare {
            ballot: Ballot(1),
            mutation,
            committed: Decree::ZERO,
            committed_chain: 0,
        };
        (PartitionId::new(1, 0), prepare)
    }

    #[test]
    fn an_envelope_is_bounded_but_never_empty() {
        let queue = LinkQueue::new(1 << 20);
        let sent: Vec<_> = [10, 500, 2000, 10].map(|body| message(1, body)).into();
        queue.push(sent.clone());
        assert_eq!(queue.take(1000), Taken::Messages(sent[..2].to_vec()));
        assert_eq!(queue.take(1000), Taken::Messages(sent[2..3].to_vec()));
        assert_eq!(queue.take(1000), Taken::Messages(sent[3..].to_vec()));
        assert_eq!(queue.take(1000), Taken::Nothing);
        assert_eq!(queue.bytes(), 0);
    }

    #[test]
    fn overflow_loses_everything_until_reset() {
        let queue = LinkQueue::new(2000);
        queue.push([message(1, 1000), message(2, 1000), message(3, 10)]);
        assert_eq!(queue.take(1000), Taken::Lossy);
        queue.push([message(4, 10)]);
        assert_eq!(queue.take(1000), Taken::Lossy, "a message after a hole must not be sent");
        assert!(queue.reset());
        assert!(!queue.reset());
        queue.push([message(5, 10)]);
        assert_eq!(queue.take(1000), Taken::Messages(vec![message(5, 10)]));
    }

    #[test]
    fn a_message_longer_than_a_frame_is_an_overflow() {
        let queue = LinkQueue::new(usize::MAX);
        queue.push([message(1, MAX_PRIVATE_FRAME)]);
        assert_eq!(queue.take(1000), Taken::Lossy);
    }
}
