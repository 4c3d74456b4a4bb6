use std::collections::BTreeMap;

use pegasus_types::{NodeId, Tick};

/// Lengths in milliseconds, all on the local clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseOptions {
    /// A lease runs this long from the send time of the heartbeat that was answered.
    pub lease_ms: u64,
    /// A promise runs this long from the receipt of the heartbeat; longer than `lease_ms` by the
    /// allowed difference of clock rates.
    pub promise_ms: u64,
    /// How often to send a heartbeat to each peer.
    pub heartbeat_ms: u64,
    /// A peer from which nothing was heard for this long is called silent.
    pub silence_ms: u64,
}

impl Default for LeaseOptions {
    fn default() -> LeaseOptions {
        LeaseOptions { lease_ms: 1500, promise_ms: 1800, heartbeat_ms: 200, silence_ms: 1000 }
    }
}

/// What a replica may know about the leases of its node when it takes a step.
pub trait LeaseView {
    /// Until when this node has promised `holder` to accept no other primary in its place.
    fn promise_until(&self, holder: &NodeId) -> Tick;
    /// The epoch of the unexpired lease that `grantor` gave this node, None if there is none.
    fn held(&self, now: Tick, grantor: &NodeId) -> Option<u64>;
    /// The epoch of the unexpired lease from the meta server, None if there is none.
    fn held_from_meta(&self, now: Tick) -> Option<u64>;
    /// When a heartbeat of `peer`, or its answer to one, was last heard; `Tick::ZERO` if never.
    fn last_heard(&self, peer: &NodeId) -> Tick;
}

/// A view in which nobody promised anything; for tests.
pub struct NoLeases;

impl LeaseView for NoLeases {
    fn promise_until(&self, _: &NodeId) -> Tick {
        Tick::ZERO
    }

    fn held(&self, _: Tick, _: &NodeId) -> Option<u64> {
        None
    }

    fn held_from_meta(&self, _: Tick) -> Option<u64> {
        None
    }

    fn last_heard(&self, _: &NodeId) -> Tick {
        Tick::ZERO
    }
}

#[derive(Clone, Debug, Default)]
struct PeerLease {
    epoch: u64,
    deadline: Tick,
    promise_until: Tick,
    last_heard: Tick,
}

/// The leases of one node: those it holds from peers and from the meta server, and the promises it
/// gave (design 3, rules 1 and 2; PacificA section 3.1 has primaries hold leases from secondaries).
///
/// A heartbeat carries its send time on the holder's clock and comes back with the answer; the
/// lease runs from that send time, so it always ends before the promise does. Whenever a lease had
/// lapsed before a new deadline is set, its epoch grows first, so that nothing decided under the
/// old lease is served under the new one.
#[derive(Clone, Debug)]
pub struct LeaseTable {
    options: LeaseOptions,
    /// Promises given by an earlier incarnation of this process may still run until then.
    unknown_promises_until: Tick,
    peers: BTreeMap<NodeId, PeerLease>,
    meta: PeerLease,
}

impl LeaseTable {
    /// `started` is now; a restarted process honours what its predecessor may have promised.
    pub fn new(options: LeaseOptions, started: Tick) -> LeaseTable {
        LeaseTable {
            options,
            unknown_promises_until: started + options.promise_ms,
            peers: BTreeMap::new(),
            meta: PeerLease::default(),
        }
    }

    pub fn options(&self) -> LeaseOptions {
        self.options
    }

    /// A heartbeat of `holder` arrived: promise. Must be recorded before the answer is sent.
    /// Returns the end of the promise.
    pub fn promise(&mut self, now: Tick, holder: &NodeId) -> Tick {
        let until = now + self.options.promise_ms;
        let peer = self.peers.entry(holder.clone()).or_default();
        peer.promise_until = peer.promise_until.max(until);
        peer.last_heard = peer.last_heard.max(now);
        peer.promise_until
    }

    /// `grantor` answered the heartbeat that this node sent at `sent`. Returns (epoch, deadline).
    pub fn granted(&mut self, now: Tick, grantor: &NodeId, sent: Tick) -> (u64, Tick) {
        let lease_ms = self.options.lease_ms;
        let peer = self.peers.entry(grantor.clone()).or_default();
        peer.last_heard = peer.last_heard.max(now);
        extend(peer, now, sent + lease_ms);
        (peer.epoch, peer.deadline)
    }

    /// The meta server answered the beacon that this node sent at `sent`; its lease lasts `lease_ms`.
    pub fn granted_by_meta(&mut self, now: Tick, sent: Tick, lease_ms: u64) -> (u64, Tick) {
        extend(&mut self.meta, now, sent + lease_ms);
        (self.meta.epoch, self.meta.deadline)
    }
}

fn extend(lease: &mut PeerLease, now: Tick, deadline: Tick) {
    if now >= deadline {
        return;
    }
    if now >= lease.deadline {
        lease.epoch += 1;
    }
    lease.deadline = lease.deadline.max(deadline);
}

impl LeaseView for LeaseTable {
    fn promise_until(&self, holder: &NodeId) -> Tick {
        let given = self.peers.get(holder).map_or(Tick::ZERO, |p| p.promise_until);
        given.max(self.unknown_promises_until)
    }

    fn held(&self, now: Tick, grantor: &NodeId) -> Option<u64> {
        self.peers.get(grantor).filter(|p| now < p.deadline).map(|p| p.epoch)
    }

    fn held_from_meta(&self, now: Tick) -> Option<u64> {
        Some(&self.meta).filter(|m| now < m.deadline).map(|m| m.epoch)
    }

    fn last_heard(&self, peer: &NodeId) -> Tick {
        self.peers.get(peer).map_or(Tick::ZERO, |p| p.last_heard)
    }
}
