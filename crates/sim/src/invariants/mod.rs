//! One file per thing that must always hold, each naming where it comes from.

mod acked_write_is_durable;
mod ballot_never_decreases;
mod committed_content_never_changes;
mod config_matches_store;
mod linearizable_per_key;
mod min_member_ack;
mod one_primary_per_ballot;
mod watermark_order;

pub use acked_write_is_durable::AckedWriteIsDurable;
pub use ballot_never_decreases::BallotNeverDecreases;
pub use committed_content_never_changes::CommittedContentNeverChanges;
pub use config_matches_store::ConfigMatchesStore;
pub use linearizable_per_key::{Kind, Operation, check as check_linearizable};
pub use min_member_ack::{Acknowledged, check as check_min_member_ack};
pub use one_primary_per_ballot::OnePrimaryPerBallot;
pub use watermark_order::check as check_watermark_order;

use pegasus_types::{
    Applied, Ballot, Committed, Durable, PartitionConfig, PartitionId, Prepared, ReplicaStatus,
};

/// Something that must never happen, and what is known about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The file in this directory that says what was expected.
    pub invariant: &'static str,
    pub detail: String,
}

impl Violation {
    pub fn new(invariant: &'static str, detail: String) -> Violation {
        Violation { invariant, detail }
    }
}

/// One replica after a step, seen from outside.
pub struct Seen<'a> {
    pub node: usize,
    pub pid: PartitionId,
    pub status: ReplicaStatus,
    pub ballot: Ballot,
    pub config: &'a PartitionConfig,
    pub prepared: Prepared,
    pub committed: Committed,
    pub applied: Applied,
    pub durable: Durable,
}

/// The invariants that have a memory.
#[derive(Default)]
pub struct Oracle {
    pub acked: AckedWriteIsDurable,
    pub ballots: BallotNeverDecreases,
    pub content: CommittedContentNeverChanges,
    pub store: ConfigMatchesStore,
    pub primaries: OnePrimaryPerBallot,
}

impl Oracle {
    /// Looks at a replica after each of its steps.
    pub fn after_step(&mut self, seen: &Seen<'_>) -> Result<(), Violation> {
        check_watermark_order(seen)?;
        self.ballots.check(seen.node, seen.pid, seen.ballot)?;
        self.primaries.check_ballot(seen)?;
        self.store.check_replica(seen)
    }
}
