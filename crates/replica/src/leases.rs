//! The leases of this node, shared by every thread.
//!
//! The pure `LeaseTable` decides; what it decides is published in atomics, one slot per peer, so
//! that a read checks its leases without a lock. Two orders matter:
//! - writer: the new epoch first, then the new deadline; reader: the deadline first, then the epoch.
//!   Whoever sees a deadline of a new epoch therefore sees that epoch (design 3, rule 2);
//! - a promise is published before the heartbeat is answered (rule 1).

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use pegasus_replication::{LeaseOptions, LeaseTable, LeaseView};
use pegasus_types::{NodeId, Tick};

use crate::clock;

/// What is published about one peer (or about the meta server).
#[derive(Debug, Default)]
pub struct Slot {
    epoch: AtomicU64,
    deadline: AtomicU64,
    promise_until: AtomicU64,
    last_heard: AtomicU64,
}

impl Slot {
    fn publish_lease(&self, epoch: u64, deadline: Tick) {
        self.epoch.store(epoch, Ordering::Release);
        self.deadline.store(deadline.0, Ordering::Release);
    }

    /// Whether the lease of exactly this epoch is unexpired at `now`.
    pub fn is_valid(&self, now: Tick, epoch: u64) -> bool {
        let deadline = self.deadline.load(Ordering::Acquire);
        now.0 < deadline && self.epoch.load(Ordering::Acquire) == epoch
    }

    /// The epoch of the unexpired lease.
    pub fn held(&self, now: Tick) -> Option<u64> {
        loop {
            let before = self.epoch.load(Ordering::Acquire);
            let deadline = self.deadline.load(Ordering::Acquire);
            if self.epoch.load(Ordering::Acquire) == before {
                return (now.0 < deadline).then_some(before);
            }
        }
    }

    pub fn last_heard(&self) -> Tick {
        Tick(self.last_heard.load(Ordering::Acquire))
    }
}

/// See the module's documentation.
pub struct LeaseBoard {
    table: Mutex<LeaseTable>,
    slots: ArcSwap<HashMap<NodeId, Arc<Slot>>>,
    meta: Arc<Slot>,
    options: LeaseOptions,
    /// An earlier incarnation of this process may have promised until then.
    unknown_promises_until: Tick,
}

impl LeaseBoard {
    /// `started`: now, on this node's clock.
    pub fn new(options: LeaseOptions, started: Tick) -> LeaseBoard {
        LeaseBoard {
            table: Mutex::new(LeaseTable::new(options, started)),
            slots: ArcSwap::default(),
            meta: Arc::default(),
            options,
            unknown_promises_until: started + options.promise_ms,
        }
    }

    pub fn options(&self) -> LeaseOptions {
        self.options
    }

    /// The slot of a peer, made at the first question.
    pub fn slot(&self, peer: &NodeId) -> Arc<Slot> {
        if let Some(slot) = self.slots.load().get(peer) {
            return Arc::clone(slot);
        }
        let _one_writer = self.lock();
        let mut slots = HashMap::clone(&self.slots.load());
        let slot = Arc::clone(slots.entry(peer.clone()).or_default());
        self.slots.store(Arc::new(slots));
        slot
    }

    pub fn meta_slot(&self) -> Arc<Slot> {
        Arc::clone(&self.meta)
    }

    /// A heartbeat of `holder` arrived. The promise is in force when this returns, so only then may
    /// the heartbeat be answered.
    pub fn promise(&self, holder: &NodeId) {
        let slot = self.slot(holder);
        let mut table = self.lock();
        let now = clock::now();
        let until = table.promise(now, holder);
        slot.promise_until.store(until.0, Ordering::Release);
        slot.last_heard.fetch_max(now.0, Ordering::AcqRel);
    }

    /// `grantor` answered the heartbeat sent at `sent`. True if the lease is a new one: reads and
    /// replicas that relied on an older epoch have to look again.
    pub fn granted(&self, grantor: &NodeId, sent: Tick) -> bool {
        let slot = self.slot(grantor);
        let mut table = self.lock();
        let now = clock::now();
        let before = table.held(now, grantor);
        let (epoch, deadline) = table.granted(now, grantor, sent);
        slot.publish_lease(epoch, deadline);
        slot.last_heard.fetch_max(now.0, Ordering::AcqRel);
        table.held(now, grantor) != before
    }

    /// The meta server answered the beacon sent at `sent` with a lease of `lease_ms`. True as above.
    pub fn granted_by_meta(&self, sent: Tick, lease_ms: u64) -> bool {
        let mut table = self.lock();
        let now = clock::now();
        let before = table.held_from_meta(now);
        let (epoch, deadline) = table.granted_by_meta(now, sent, lease_ms);
        self.meta.publish_lease(epoch, deadline);
        table.held_from_meta(now) != before
    }

    fn lock(&self) -> MutexGuard<'_, LeaseTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LeaseView for LeaseBoard {
    fn promise_until(&self, holder: &NodeId) -> Tick {
        let given = self
            .slots
            .load()
            .get(holder)
            .map_or(Tick::ZERO, |slot| Tick(slot.promise_until.load(Ordering::Acquire)));
        given.max(self.unknown_promises_until)
    }

    fn held(&self, now: Tick, grantor: &NodeId) -> Option<u64> {
        self.slots.load().get(grantor).and_then(|slot| slot.held(now))
    }

    fn held_from_meta(&self, now: Tick) -> Option<u64> {
        self.meta.held(now)
    }

    fn last_heard(&self, peer: &NodeId) -> Tick {
        self.slots.load().get(peer).map_or(Tick::ZERO, |slot| slot.last_heard())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board() -> LeaseBoard {
        LeaseBoard::new(LeaseOptions::default(), clock::now())
    }

    fn peer() -> NodeId {
        NodeId::new("peer", 34801)
    }

    #[test]
    fn a_lapse_raises_the_epoch_before_the_deadline_moves() {
        let board = board();
        assert!(board.granted(&peer(), clock::now()));
        let now = clock::now();
        let first = board.held(now, &peer());
        assert_eq!(first, Some(1));
        assert!(!board.granted(&peer(), clock::now()), "an extension is no news");

        let slot = board.slot(&peer());
        assert!(slot.is_valid(clock::now(), 1));
        // A lease that ran out: what the lapsed epoch allowed is not allowed by the next one.
        let later = clock::now() + 5_000;
        assert!(!slot.is_valid(later, 1));
        slot.publish_lease(2, later + 1_000);
        assert!(!slot.is_valid(later, 1));
        assert!(slot.is_valid(later, 2));
    }

    #[test]
    fn an_answer_that_took_too_long_grants_nothing() {
        let board = board();
        let long_ago = Tick(clock::now().0.saturating_sub(60_000));
        assert!(!board.granted(&peer(), long_ago));
        assert_eq!(board.held(clock::now(), &peer()), None);
        assert!(!board.granted_by_meta(long_ago, 9_000));
        assert_eq!(board.held_from_meta(clock::now()), None);
    }

    #[test]
    fn promises_hold_from_the_moment_they_are_made() {
        let board = board();
        let before = clock::now();
        board.promise(&peer());
        assert!(board.promise_until(&peer()) >= before + board.options().promise_ms);
        // Nobody asked, but a predecessor of this process may have promised.
        let stranger = NodeId::new("stranger", 1);
        assert!(board.promise_until(&stranger) >= before);
        assert!(board.slot(&peer()).last_heard() >= before);
    }
}
