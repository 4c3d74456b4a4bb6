//! The ballot of a replica never decreases: not in memory, not over a restart, as long as its data
//! directory lives.
//!
//! Origin: assertion A3 of `spec/replication.md` 3.9 and 3.10.5 (adoption is durable before any
//! answer depends on it).

use std::collections::BTreeMap;

use pegasus_types::{Ballot, PartitionId};

use super::Violation;

#[derive(Default)]
pub struct BallotNeverDecreases {
    highest: BTreeMap<(usize, PartitionId), Ballot>,
}

impl BallotNeverDecreases {
    pub fn check(
        &mut self,
        node: usize,
        pid: PartitionId,
        ballot: Ballot,
    ) -> Result<(), Violation> {
        let highest = self.highest.entry((node, pid)).or_insert(ballot);
        if ballot < *highest {
            return Err(Violation::new(
                "ballot_never_decreases",
                format!("node {node} partition {pid}: ballot {ballot} after {highest}"),
            ));
        }
        *highest = ballot;
        Ok(())
    }

    /// The process is gone; what it had only in memory does not count, what it had on disk does.
    pub fn restarted(&mut self, node: usize, pid: PartitionId, on_disk: Option<Ballot>) {
        match on_disk {
            Some(ballot) => self.highest.insert((node, pid), ballot),
            None => self.highest.remove(&(node, pid)),
        };
    }
}
