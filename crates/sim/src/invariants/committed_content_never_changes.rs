//! Once any replica considers a decree committed, no replica ever commits other content there.
//!
//! Origin: assertion A11 of `spec/replication.md` 3.9 (the reference does not check it); PacificA
//! paper, section 2.2, "commit invariant".

use std::collections::BTreeMap;

use pegasus_types::{Decree, PartitionId};

use super::Violation;

#[derive(Default)]
pub struct CommittedContentNeverChanges {
    chains: BTreeMap<PartitionId, BTreeMap<Decree, (u64, usize)>>,
}

impl CommittedContentNeverChanges {
    /// `node` treats `chain` at `decree` as committed.
    pub fn observe(
        &mut self,
        node: usize,
        pid: PartitionId,
        decree: Decree,
        chain: u64,
    ) -> Result<(), Violation> {
        let chains = self.chains.entry(pid).or_default();
        let (known, first) = *chains.entry(decree).or_insert((chain, node));
        if known == chain {
            return Ok(());
        }
        Err(Violation::new(
            "committed_content_never_changes",
            format!(
                "partition {pid} decree {decree}: node {first} committed chain {known:x}, \
                 node {node} commits chain {chain:x}"
            ),
        ))
    }

    /// The chain of the committed history at `decree`, if anybody committed that far.
    pub fn chain_at(&self, pid: PartitionId, decree: Decree) -> Option<u64> {
        self.chains.get(&pid)?.get(&decree).map(|(chain, _)| *chain)
    }
}
