//! Configurations change only in the store, by compare-and-set and one ballot at a time, and every
//! primary or secondary works in a configuration that was stored.
//!
//! Origin: `spec/meta.md` 2.4 and 4.3; `spec/replication.md` 3.9, argument 1; PacificA paper,
//! section 3.2.

use std::collections::BTreeMap;

use pegasus_types::{Ballot, NodeId, PartitionConfig, PartitionId, ReplicaStatus};

use super::{Seen, Violation};

const NAME: &str = "config_matches_store";

#[derive(Default)]
pub struct ConfigMatchesStore {
    history: BTreeMap<PartitionId, BTreeMap<Ballot, PartitionConfig>>,
}

impl ConfigMatchesStore {
    /// The store now holds `config`.
    pub fn stored(&mut self, config: &PartitionConfig) -> Result<(), Violation> {
        let history = self.history.entry(config.pid).or_default();
        let Some((ballot, last)) = history.last_key_value() else {
            history.insert(config.ballot, config.clone());
            return Ok(());
        };
        let same = config.ballot == *ballot && members(config) == members(last);
        if !same && config.ballot.0 != ballot.0 + 1 {
            return Err(Violation::new(
                NAME,
                format!("the store went from {last:?} to {config:?}"),
            ));
        }
        history.insert(config.ballot, config.clone());
        Ok(())
    }

    /// The ballot in force, 0 for an unknown partition.
    pub fn ballot(&self, pid: PartitionId) -> Ballot {
        let last = self.history.get(&pid).and_then(|h| h.last_key_value());
        last.map_or(Ballot::ZERO, |(ballot, _)| *ballot)
    }

    pub fn check_replica(&self, seen: &Seen<'_>) -> Result<(), Violation> {
        if !matches!(seen.status, ReplicaStatus::Primary | ReplicaStatus::Secondary) {
            return Ok(());
        }
        let stored = self.history.get(&seen.pid).and_then(|h| h.get(&seen.ballot));
        if stored.is_some_and(|stored| members(stored) == members(seen.config)) {
            return Ok(());
        }
        Err(Violation::new(
            NAME,
            format!(
                "node {} partition {} is {:?} in ballot {} with {:?}, stored was {stored:?}",
                seen.node, seen.pid, seen.status, seen.ballot, seen.config
            ),
        ))
    }
}

fn members(config: &PartitionConfig) -> (Option<&NodeId>, Vec<&NodeId>) {
    let mut secondaries: Vec<_> = config.secondaries.iter().collect();
    secondaries.sort();
    (config.primary.as_ref(), secondaries)
}
