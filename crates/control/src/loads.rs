use std::collections::{BTreeMap, BTreeSet};

use pegasus_types::{NodeId, PartitionConfig, PartitionId};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Count {
    primaries: i64,
    partitions: i64,
}

impl Count {
    fn add(&mut self, primaries: i64, partitions: i64) {
        self.primaries = self.primaries.saturating_add(primaries);
        self.partitions = self.partitions.saturating_add(partitions);
    }

    fn is_zero(&self) -> bool {
        *self == Count::default()
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct NodeLoad {
    members: BTreeSet<PartitionId>,
    tables: BTreeMap<i32, Count>,
    total: Count,
}

/// Who serves how much, including what was promised to it by proposals under way, so that the
/// decisions of one round spread (the "newly" counters of `spec/meta.md` 5.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Loads {
    nodes: BTreeMap<NodeId, NodeLoad>,
}

impl Loads {
    pub fn add(&mut self, config: &PartitionConfig) {
        for node in config.members() {
            let primary = i64::from(config.is_primary(node));
            self.change(node, config.pid.app_id, primary, 1);
            let load = self.nodes.entry(node.clone()).or_default();
            load.members.insert(config.pid);
        }
    }

    pub fn remove(&mut self, config: &PartitionConfig) {
        for node in config.members() {
            let primary = i64::from(config.is_primary(node));
            if let Some(load) = self.nodes.get_mut(node) {
                load.members.remove(&config.pid);
            }
            self.change(node, config.pid.app_id, -primary, -1);
        }
    }

    /// Counts (or with negative numbers no longer counts) something promised to `node`.
    pub fn change(&mut self, node: &NodeId, app_id: i32, primaries: i64, partitions: i64) {
        let load = self.nodes.entry(node.clone()).or_default();
        load.total.add(primaries, partitions);
        let table = load.tables.entry(app_id).or_default();
        table.add(primaries, partitions);
        if table.is_zero() {
            load.tables.remove(&app_id);
        }
        if load.total.is_zero() && load.tables.is_empty() && load.members.is_empty() {
            self.nodes.remove(node);
        }
    }

    /// The partitions that list `node` as a member.
    pub fn members_of(&self, node: &NodeId) -> impl Iterator<Item = PartitionId> {
        self.nodes.get(node).into_iter().flat_map(|load| load.members.iter().copied())
    }

    fn of(&self, node: &NodeId, app_id: i32) -> (Count, Count) {
        match self.nodes.get(node) {
            None => (Count::default(), Count::default()),
            Some(load) => (load.tables.get(&app_id).copied().unwrap_or_default(), load.total),
        }
    }

    /// Order in which nodes should become primary: least first.
    pub fn primary_key(&self, node: &NodeId, app_id: i32) -> [i64; 4] {
        let (table, total) = self.of(node, app_id);
        [table.primaries, table.partitions, total.primaries, total.partitions]
    }

    /// Order in which nodes should become secondary: least first.
    pub fn partition_key(&self, node: &NodeId, app_id: i32) -> [i64; 2] {
        let (table, total) = self.of(node, app_id);
        [table.partitions, total.partitions]
    }

    /// Partitions of all tables on `node`.
    pub fn total_partitions(&self, node: &NodeId) -> i64 {
        self.nodes.get(node).map_or(0, |load| load.total.partitions)
    }
}
