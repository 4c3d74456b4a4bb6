use std::collections::BTreeMap;

use pegasus_types::{
    AppInfo, ConfigUpdate, ErrorCode, NodeId, PartitionConfig, PartitionId, Proposal,
    ReplicaReport, UpdateOutcome,
};

use crate::FunctionLevel;

/// Names a request of the outside; its [`Effect::Reply`] carries it back exactly once.
pub type Token = u64;

/// Everything that can happen to the cluster state. Events are fed one at a time, in an order that
/// keeps what one node said in the order in which it said it.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Everything the store holds at and below [`crate::apps_root`], as (path, data); empty for a
    /// new store. Must be the first event, or follow the loss of leadership.
    Loaded {
        nodes: Vec<(String, String)>,
    },
    /// The transaction of the `Persist` effect with this number was carried out, or not.
    Persisted {
        seq: u64,
        result: Result<(), PersistError>,
    },
    /// A node is alive. `goodbye`: it shuts down and serves nothing any more.
    Beacon {
        node: NodeId,
        incarnation: u64,
        goodbye: bool,
    },
    /// Time passes; at least every `Options::tick_ms`.
    Tick,
    /// The wall clock, seconds since the unix epoch; only used for the times that tables record.
    WallClock {
        unix_secs: i64,
    },
    /// A replica wants a configuration changed (`spec/meta.md` 4.3).
    UpdateConfig {
        token: Token,
        update: ConfigUpdate,
    },
    /// All replicas that a node has on its disks (`spec/meta.md` 4.6), those that cannot be used
    /// with status `Error`. A node has at most one of these under way.
    ConfigSync {
        token: Token,
        node: NodeId,
        incarnation: u64,
        replicas: Vec<ReplicaReport>,
    },
    /// A replica asks for the configuration of one partition.
    QueryPartition {
        token: Token,
        pid: PartitionId,
    },
    CreateApp {
        token: Token,
        request: CreateApp,
    },
    DropApp {
        token: Token,
        request: DropApp,
    },
    /// None asks only (`spec/meta.md` 7).
    SetLevel {
        token: Token,
        level: Option<FunctionLevel>,
    },
}

/// Why a transaction did not report success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PersistError {
    /// It may or may not have been carried out: the same transaction is asked for again later.
    Unknown,
    /// Nothing of it was carried out and it will not be tried again.
    Refused(String),
}

/// One change of one store node. All ops of an effect are one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreOp {
    /// An existing node counts as success and keeps its data.
    Create { path: String, data: String },
    /// Creates the node if it is missing.
    Set { path: String, data: String },
    /// A missing node counts as success.
    Delete { path: String },
}

/// What the outside must do, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Carry out in one transaction, then `Event::Persisted`. The ops of two transactions under
    /// way never touch the same path. Repeated with the same number after `PersistError::Unknown`.
    Persist {
        seq: u64,
        ops: Vec<StoreOp>,
    },
    /// Unreliable; repeated while it is wanted.
    Propose {
        to: NodeId,
        proposal: Proposal,
        app: AppInfo,
    },
    /// Configurations that changed, to a node they concern. Unreliable.
    PushConfig {
        to: NodeId,
        partitions: Vec<(PartitionConfig, AppInfo)>,
    },
    Reply {
        token: Token,
        response: Response,
    },
    /// The store holds something that cannot be understood: this meta server must not serve.
    LoadFailed {
        reason: String,
    },
}

pub type Effects = Vec<Effect>;

#[derive(Clone, Debug, PartialEq)]
pub enum Response {
    Update(UpdateOutcome),
    Sync(SyncReply),
    Partition(Option<PartitionConfig>),
    /// The id of the table.
    Create(Result<i32, ErrorCode>),
    Drop(Result<(), ErrorCode>),
    /// The raw level before the change.
    Level(FunctionLevel),
    /// Nothing is loaded yet, or a report left a doubt: ask (report) again a little later.
    AskAgain,
}

/// Answer to a config sync.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SyncReply {
    /// Every partition that lists the node as a member, and every one it reported, if its table is
    /// known.
    pub partitions: Vec<(PartitionConfig, AppInfo)>,
    /// Reported replicas of tables that were dropped and whose reserve time is over.
    pub garbage: Vec<PartitionId>,
}

/// `configuration_create_app_request` (`spec/wire.md` 3.8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateApp {
    pub app_name: String,
    pub app_type: String,
    pub partition_count: i32,
    pub replica_count: i32,
    pub success_if_exist: bool,
    pub is_stateful: bool,
    pub envs: BTreeMap<String, String>,
    pub atomic_idempotent: bool,
}

/// `configuration_drop_app_request` (`spec/wire.md` 3.8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropApp {
    pub app_name: String,
    pub success_if_not_exist: bool,
    /// Seconds until the data may be deleted; None or not positive: the default.
    pub reserve_seconds: Option<i64>,
}
