use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Ballot, Decree, NodeId, PartitionId};

/// Who serves a partition: the record that the meta server owns and changes only by raising the
/// ballot by one (`spec/meta.md` 2.4, 4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionConfig {
    pub pid: PartitionId,
    pub ballot: Ballot,
    /// Replicas wanted, 1 or more.
    pub max_replica_count: i32,
    pub primary: Option<NodeId>,
    /// In the order in which they joined.
    pub secondaries: Vec<NodeId>,
    /// At most 3 former members, oldest first.
    pub last_drops: Vec<NodeId>,
    /// What the primary reported with its last reconfiguration, a lower bound.
    pub last_committed: Decree,
}

impl PartitionConfig {
    /// A partition that never had a member.
    pub fn new(pid: PartitionId, max_replica_count: i32) -> PartitionConfig {
        PartitionConfig {
            pid,
            ballot: Ballot::ZERO,
            max_replica_count,
            primary: None,
            secondaries: Vec::new(),
            last_drops: Vec::new(),
            last_committed: Decree::ZERO,
        }
    }

    /// Primary (if any) first, then the secondaries.
    pub fn members(&self) -> impl Iterator<Item = &NodeId> {
        self.primary.iter().chain(self.secondaries.iter())
    }

    pub fn member_count(&self) -> usize {
        self.members().count()
    }

    pub fn is_member(&self, node: &NodeId) -> bool {
        self.members().any(|m| m == node)
    }

    pub fn is_primary(&self, node: &NodeId) -> bool {
        self.primary.as_ref() == Some(node)
    }

    pub fn is_secondary(&self, node: &NodeId) -> bool {
        self.secondaries.contains(node)
    }
}

/// Life cycle of a table (`spec/wire.md` 3.7). Only `Available` and `Dropped` are ever stored.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum AppStatus {
    #[default]
    Invalid = 0,
    Available = 1,
    Creating = 2,
    CreateFailed = 3,
    Dropping = 4,
    DropFailed = 5,
    Dropped = 6,
    Recalling = 7,
}

/// A table (`spec/meta.md` 2.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppInfo {
    pub status: AppStatus,
    /// `pegasus` for every table we serve.
    pub app_type: String,
    pub app_name: String,
    pub app_id: i32,
    pub partition_count: i32,
    pub envs: BTreeMap<String, String>,
    pub is_stateful: bool,
    pub max_replica_count: i32,
    /// Unix seconds after which a dropped table may be deleted, 0 if not dropped.
    pub expire_second: i64,
    /// Unix seconds.
    pub create_second: i64,
    /// Unix seconds, 0 if not dropped.
    pub drop_second: i64,
    pub duplicating: bool,
    /// Partition count at creation; 0 or less means "never split".
    pub init_partition_count: i32,
    pub is_bulk_loading: bool,
    pub atomic_idempotent: bool,
}
