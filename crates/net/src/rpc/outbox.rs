use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use bytes::BytesMut;

/// What a connection shares with the replies that are being prepared for it, on any thread.
#[derive(Debug)]
pub(crate) struct Outbox {
    peer: SocketAddr,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Encoded replies that the connection has not taken yet.
    queued: BytesMut,
    /// Requests handed to the handler whose reply is neither given nor dropped.
    in_flight: usize,
    /// The connection is in a turn or was woken for one, so it needs no (further) wake-up.
    awake: bool,
    /// Something changed since the connection last looked.
    changed: bool,
    closed: bool,
    waker: Option<Waker>,
}

/// What the connection sees when it looks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Glance {
    pub in_flight: usize,
    /// Bytes queued and not taken by the connection.
    pub queued: usize,
}

impl Outbox {
    pub fn new(peer: SocketAddr) -> Outbox {
        Outbox { peer, state: Mutex::default() }
    }

    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// A request is about to be handed to the handler. The result includes it.
    pub fn begin_request(&self) -> Glance {
        let mut state = self.lock();
        state.in_flight += 1;
        Glance { in_flight: state.in_flight, queued: state.queued.len() }
    }

    /// A request is done; `encode` appends its reply, unless the connection is gone.
    pub fn finish_request(&self, encode: impl FnOnce(&mut BytesMut)) {
        let mut state = self.lock();
        state.in_flight = state.in_flight.saturating_sub(1);
        if state.closed {
            return;
        }
        encode(&mut state.queued);
        state.changed = true;
        if !state.awake {
            state.awake = true;
            let waker = state.waker.clone();
            drop(state);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    /// The connection starts a turn: replies need not wake it until [`Outbox::end_turn`].
    pub fn begin_turn(&self, waker: &Waker) {
        let mut state = self.lock();
        state.awake = true;
        if !state.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            state.waker = Some(waker.clone());
        }
    }

    /// Give everything queued to the connection if it has written all it had.
    pub fn exchange(&self, writing: &mut BytesMut) -> Glance {
        let mut state = self.lock();
        state.changed = false;
        if writing.is_empty() && !state.queued.is_empty() {
            std::mem::swap(writing, &mut state.queued);
        }
        Glance { in_flight: state.in_flight, queued: state.queued.len() }
    }

    /// False if something changed since the last [`Outbox::exchange`]: the connection must look
    /// again before it sleeps.
    pub fn end_turn(&self) -> bool {
        let mut state = self.lock();
        state.awake = state.changed;
        !state.changed
    }

    /// Give memory back that one large reply needed.
    pub fn shrink(&self, keep: usize) {
        let mut state = self.lock();
        if state.queued.is_empty() && state.queued.capacity() > keep {
            state.queued = BytesMut::new();
        }
    }

    /// Replies that still come are dropped.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.queued = BytesMut::new();
        state.waker = None;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
