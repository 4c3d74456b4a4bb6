use serde::{Deserialize, Serialize};

use crate::{Ballot, Decree, NodeId, PartitionConfig, PartitionId};

/// Kinds of membership change (`config_type` of `spec/wire.md` 3.8; values are the wire's).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ChangeKind {
    AssignPrimary = 1,
    UpgradeToPrimary = 2,
    AddSecondary = 3,
    UpgradeToSecondary = 4,
    DowngradeToSecondary = 5,
    DowngradeToInactive = 6,
    Remove = 7,
    AddSecondaryForBalance = 8,
    ForceUpdateBallot = 9,
}

/// A hint from the meta server to a replica server: "please bring this change about". Sent without
/// reliability and repeated while it is still wanted (`spec/meta.md` 4.4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// The configuration the meta server had when it decided.
    pub config: PartitionConfig,
    pub kind: ChangeKind,
    /// The node the change is about; the proposal itself goes to the node that must act.
    pub node: NodeId,
}

/// A replica's request to the meta server to install `config`, whose ballot must be the stored one
/// plus one (`spec/meta.md` 4.3). Repeating it is harmless.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigUpdate {
    pub kind: ChangeKind,
    pub node: NodeId,
    pub config: PartitionConfig,
}

/// The meta server's answer to a [`ConfigUpdate`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum UpdateOutcome {
    /// Stored (now or by an earlier try); the configuration in force.
    Accepted(PartitionConfig),
    /// The ballot or the change did not fit; the configuration in force.
    Refused(PartitionConfig),
    /// Nothing was decided: try again.
    Busy,
    /// The table or partition does not exist (any more).
    NotFound,
}

/// What a replica is at the moment (`partition_status` of `spec/wire.md` 3.13; values are the wire's).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum ReplicaStatus {
    #[default]
    Inactive = 1,
    Error = 2,
    Primary = 3,
    Secondary = 4,
    /// `PS_POTENTIAL_SECONDARY`.
    Learner = 5,
}

/// One replica in a node's report to the meta server (`replica_info` of `spec/wire.md` 3.13).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaReport {
    pub pid: PartitionId,
    /// The last ballot in which it was a member, 0 for a learner: what it is worth when the last
    /// members of a partition without any are compared.
    pub ballot: Ballot,
    pub status: ReplicaStatus,
    pub committed: Decree,
    pub prepared: Decree,
    pub durable: Decree,
    /// True while the tail of its log may have been lost (design 3, rule 6).
    pub suspect: bool,
    pub disk_tag: String,
}
