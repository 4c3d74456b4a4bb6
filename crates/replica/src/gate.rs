//! What a read must pass (design 3, rule 3): one immutable snapshot per partition, swapped by the
//! owning shard. A reader takes the snapshot first, then the clock, then checks, then reads through
//! the engine of that same snapshot.

use std::sync::Arc;

use pegasus_replication::{Gate, GateRole};
use pegasus_storage::Engine;
use pegasus_types::{Decree, Tick};

use crate::leases::{LeaseBoard, Slot};

/// See the module's documentation.
pub struct GateSnapshot<E = Engine> {
    role: GateRole,
    leases: Vec<(Arc<Slot>, u64)>,
    meta: Option<(Arc<Slot>, u64)>,
    barrier: Decree,
    engine: Option<Arc<E>>,
}

impl<E> GateSnapshot<E> {
    /// The state before the core said anything, and after it ended.
    pub fn closed() -> GateSnapshot<E> {
        GateSnapshot {
            role: GateRole::Closed,
            leases: Vec::new(),
            meta: None,
            barrier: Decree::ZERO,
            engine: None,
        }
    }

    /// Looks up the lease slots once, so that reads need no lookup.
    pub fn new(gate: &Gate, board: &LeaseBoard, engine: Option<Arc<E>>) -> GateSnapshot<E> {
        GateSnapshot {
            role: gate.role,
            leases: gate.leases.iter().map(|(peer, epoch)| (board.slot(peer), *epoch)).collect(),
            meta: gate.meta_lease.map(|epoch| (board.meta_slot(), epoch)),
            barrier: gate.barrier,
            engine,
        }
    }

    /// The engine to read from, or None: this replica must not answer (ERR_INVALID_STATE).
    ///
    /// `now` must have been read after this snapshot was taken. Backup requests tolerate old data,
    /// so a secondary may answer them and no lease is needed.
    pub fn pass(&self, now: Tick, applied: Decree, backup: bool) -> Option<&Arc<E>> {
        let engine = self.engine.as_ref()?;
        let open = match self.role {
            GateRole::Closed => false,
            GateRole::Primary | GateRole::Secondary if backup => true,
            GateRole::Secondary => false,
            GateRole::Primary => self.leases_hold(now) && applied >= self.barrier,
        };
        open.then_some(engine)
    }

    /// A gate that names no lease at all would be open for ever, so it counts as closed.
    fn leases_hold(&self, now: Tick) -> bool {
        if self.leases.is_empty() && self.meta.is_none() {
            return false;
        }
        let mut needed = self.leases.iter().chain(self.meta.iter());
        needed.all(|(slot, epoch)| slot.is_valid(now, *epoch))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use pegasus_replication::{LeaseOptions, LeaseView};
    use pegasus_types::{Ballot, NodeId};

    use super::*;
    use crate::clock;

    fn peer() -> NodeId {
        NodeId::new("peer", 1)
    }

    fn gate(role: GateRole, leases: Vec<(NodeId, u64)>) -> Gate {
        Gate { ballot: Ballot(3), role, leases, meta_lease: None, barrier: Decree(5) }
    }

    fn board() -> LeaseBoard {
        LeaseBoard::new(LeaseOptions::default(), clock::now())
    }

    #[test]
    fn a_primary_needs_its_leases_and_the_barrier() {
        let board = board();
        let gate = gate(GateRole::Primary, vec![(peer(), 1)]);
        let snapshot = GateSnapshot::new(&gate, &board, Some(Arc::new(())));
        assert!(snapshot.pass(clock::now(), Decree(5), false).is_none(), "no lease yet");
        board.granted(&peer(), clock::now());
        assert_eq!(board.held(clock::now(), &peer()), Some(1));
        assert!(snapshot.pass(clock::now(), Decree(5), false).is_some());
        assert!(snapshot.pass(clock::now(), Decree(4), false).is_none(), "below the barrier");
        let expired = clock::now() + 10_000;
        assert!(snapshot.pass(expired, Decree(5), false).is_none(), "expired lease");
    }

    #[test]
    fn an_older_epoch_does_not_open_the_gate() {
        let board = board();
        board.granted(&peer(), clock::now());
        let stale = gate(GateRole::Primary, vec![(peer(), 0)]);
        let snapshot = GateSnapshot::new(&stale, &board, Some(Arc::new(())));
        assert!(snapshot.pass(clock::now(), Decree(9), false).is_none());
    }

    #[test]
    fn a_gate_without_any_lease_is_closed() {
        let alone = gate(GateRole::Primary, Vec::new());
        let snapshot = GateSnapshot::new(&alone, &board(), Some(Arc::new(())));
        assert!(snapshot.pass(clock::now(), Decree(9), false).is_none());
    }

    #[test]
    fn a_lone_primary_needs_the_meta_lease() {
        let board = board();
        let mut alone = gate(GateRole::Primary, Vec::new());
        alone.meta_lease = Some(1);
        let snapshot = GateSnapshot::new(&alone, &board, Some(Arc::new(())));
        assert!(snapshot.pass(clock::now(), Decree(9), false).is_none());
        board.granted_by_meta(clock::now(), 5_000);
        assert!(snapshot.pass(clock::now(), Decree(9), false).is_some());
    }

    #[test]
    fn a_secondary_serves_backup_requests_only() {
        let secondary = gate(GateRole::Secondary, Vec::new());
        let snapshot = GateSnapshot::new(&secondary, &board(), Some(Arc::new(())));
        assert!(snapshot.pass(clock::now(), Decree::ZERO, true).is_some());
        assert!(snapshot.pass(clock::now(), Decree(9), false).is_none());
        let closed = GateSnapshot::<()>::closed();
        assert!(closed.pass(clock::now(), Decree(9), true).is_none());
    }
}
