//! At most one node is primary in a ballot, and at most one node is able to serve reads at any
//! moment of real time.
//!
//! Origin: PacificA paper, section 3.1 ("primary invariant"); design 3, rules 1 and 3; gap D of
//! `spec/replication.md` 3.9.

use std::collections::BTreeMap;

use pegasus_types::{Ballot, PartitionId, ReplicaStatus};

use super::{Seen, Violation};

const NAME: &str = "one_primary_per_ballot";

#[derive(Default)]
pub struct OnePrimaryPerBallot {
    holders: BTreeMap<(PartitionId, Ballot), usize>,
}

impl OnePrimaryPerBallot {
    pub fn check_ballot(&mut self, seen: &Seen<'_>) -> Result<(), Violation> {
        if seen.status != ReplicaStatus::Primary {
            return Ok(());
        }
        let holder = *self.holders.entry((seen.pid, seen.ballot)).or_insert(seen.node);
        if holder == seen.node {
            return Ok(());
        }
        Err(Violation::new(
            NAME,
            format!(
                "partition {} ballot {}: node {} is primary and node {holder} was",
                seen.pid, seen.ballot, seen.node
            ),
        ))
    }

    /// `able`: the nodes whose gate would let a read pass at this instant.
    pub fn check_gates(&self, pid: PartitionId, able: &[(usize, Ballot)]) -> Result<(), Violation> {
        if able.len() < 2 {
            return Ok(());
        }
        Err(Violation::new(
            NAME,
            format!("partition {pid}: more than one node can serve reads now: {able:?}"),
        ))
    }
}
