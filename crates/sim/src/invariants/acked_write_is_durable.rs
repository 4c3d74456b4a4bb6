//! An acknowledged write is in the history of every later primary.
//!
//! Origin: promise 1 of the design (section 1); `spec/replication.md` 3.9, argument 2 and 3;
//! gaps C and E (barrier after a restart).

use std::collections::BTreeMap;

use pegasus_types::{Ballot, Decree, PartitionId};

use super::Violation;

const NAME: &str = "acked_write_is_durable";

/// A primary that may serve reads: its ballot, and what it held when it began to.
#[derive(Clone, Copy, Debug)]
struct Tenure {
    node: usize,
    ballot: Ballot,
    barrier: Decree,
}

#[derive(Default)]
pub struct AckedWriteIsDurable {
    /// Chain of every acknowledged decree.
    acked: BTreeMap<PartitionId, BTreeMap<Decree, u64>>,
    /// The last acknowledged decree per open replica that acknowledged it.
    by_replica: BTreeMap<PartitionId, BTreeMap<u64, Decree>>,
    newest: BTreeMap<PartitionId, Tenure>,
}

impl AckedWriteIsDurable {
    /// `node` told a client that its write is committed at `decree`; `birth` distinguishes the
    /// replicas that were opened on it one after the other.
    pub fn acknowledged(
        &mut self,
        (node, birth): (usize, u64),
        pid: PartitionId,
        ballot: Ballot,
        decree: Decree,
        chain: u64,
    ) -> Result<(), Violation> {
        if let Some(newest) = self.newest.get(&pid).filter(|t| t.ballot > ballot)
            && decree > newest.barrier
        {
            return Err(Violation::new(
                NAME,
                format!(
                    "partition {pid}: node {node} acknowledges {decree} in ballot {ballot}, but \
                     node {} already serves in ballot {} with barrier {}",
                    newest.node, newest.ballot, newest.barrier
                ),
            ));
        }
        self.acked.entry(pid).or_default().insert(decree, chain);
        let last = self.by_replica.entry(pid).or_default().entry(birth).or_default();
        *last = decree.max(*last);
        Ok(())
    }

    /// `node` opened its gate as primary. What it acknowledged itself it has.
    pub fn gate_opened(
        &mut self,
        (node, birth): (usize, u64),
        pid: PartitionId,
        ballot: Ballot,
        barrier: Decree,
    ) -> Result<(), Violation> {
        let others = self.by_replica.get(&pid).into_iter().flatten();
        let acked = others.filter(|(b, _)| **b != birth).map(|(_, d)| *d).max();
        if let Some(acked) = acked.filter(|acked| *acked > barrier) {
            return Err(Violation::new(
                NAME,
                format!(
                    "partition {pid}: node {node} opens its gate in ballot {ballot} with barrier \
                     {barrier}, but {acked} was acknowledged by another"
                ),
            ));
        }
        if self.newest.get(&pid).is_none_or(|t| t.ballot <= ballot) {
            self.newest.insert(pid, Tenure { node, ballot, barrier });
        }
        Ok(())
    }

    /// At the end of a run: the primary's history, as chain at a decree, holds everything.
    pub fn check_final(
        &self,
        pid: PartitionId,
        applied: Decree,
        chain_at: impl Fn(Decree) -> Option<u64>,
    ) -> Result<(), Violation> {
        for (decree, chain) in self.acked.get(&pid).into_iter().flatten() {
            if *decree > applied || chain_at(*decree) != Some(*chain) {
                return Err(Violation::new(
                    NAME,
                    format!("partition {pid}: acknowledged decree {decree} is lost"),
                ));
            }
        }
        Ok(())
    }
}
