use std::collections::BTreeMap;

/// Settings of the cluster state. Times are milliseconds unless the name says otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Absolute path of the cluster in the store, e.g. `/pegasus/onebox`.
    pub cluster_root: String,
    /// A node from which nothing was heard for longer than this is dead. Must be longer than the
    /// lease that the answer to a beacon grants.
    pub fd_grace_ms: u64,
    /// How often `Event::Tick` comes; should be well below `fd_grace_ms`.
    pub tick_ms: u64,
    /// Period of the full scan; everything else reacts to events.
    pub sweep_ms: u64,
    /// The same proposal is not sent again before this time has passed.
    pub resend_ms: u64,
    /// After this time without effect another candidate is asked to become primary.
    pub patience_ms: u64,
    /// A member whose replica is not in its node's reports for this long has lost it.
    pub absence_ms: u64,
    pub replica_assign_delay_ms_for_dropouts: u64,
    /// Below this many live nodes nothing is decided (`spec/meta.md` 7).
    pub min_live_node_count_for_unfreeze: usize,
    /// Percent of all known nodes that must live.
    pub node_live_percentage_threshold_for_update: u64,
    /// With this many live nodes the first assignment need not wait for more to come.
    pub settle_node_count: usize,
    pub function_level_on_start: FunctionLevel,
    /// `[replication] mutation_2pc_min_replica_count`; 0 or less: derived from the replica count.
    pub mutation_2pc_min_replica_count: i32,
    pub min_allowed_replica_count: i32,
    pub max_allowed_replica_count: i32,
    pub hold_seconds_for_dropped_app: i64,
    /// Tables to create when the store is empty.
    pub default_apps: Vec<DefaultApp>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            cluster_root: "/pegasus".to_owned(),
            fd_grace_ms: 22_000,
            tick_ms: 100,
            sweep_ms: 10_000,
            resend_ms: 1000,
            patience_ms: 10_000,
            absence_ms: 1000,
            replica_assign_delay_ms_for_dropouts: 600_000,
            min_live_node_count_for_unfreeze: 3,
            node_live_percentage_threshold_for_update: 65,
            settle_node_count: 3,
            function_level_on_start: FunctionLevel::Steady,
            mutation_2pc_min_replica_count: 2,
            min_allowed_replica_count: 1,
            max_allowed_replica_count: 5,
            hold_seconds_for_dropped_app: 604_800,
            default_apps: Vec::new(),
        }
    }
}

/// A `[meta_server.apps.*]` section (`spec/meta.md` 2.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefaultApp {
    pub app_name: String,
    pub app_type: String,
    pub partition_count: i32,
    pub max_replica_count: i32,
    pub envs: BTreeMap<String, String>,
}

/// How much the meta server may do (`spec/meta.md` 7; values are the wire's).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum FunctionLevel {
    Stopped = 100,
    Blind = 200,
    /// Configurations change only by removal of dead primaries.
    Freezed = 300,
    #[default]
    Steady = 400,
    Lively = 500,
}

impl FunctionLevel {
    pub const ALL: [FunctionLevel; 5] = [
        FunctionLevel::Stopped,
        FunctionLevel::Blind,
        FunctionLevel::Freezed,
        FunctionLevel::Steady,
        FunctionLevel::Lively,
    ];

    /// The name that configuration files and `cluster_info` use.
    pub fn name(self) -> &'static str {
        match self {
            FunctionLevel::Stopped => "stopped",
            FunctionLevel::Blind => "blind",
            FunctionLevel::Freezed => "freezed",
            FunctionLevel::Steady => "steady",
            FunctionLevel::Lively => "lively",
        }
    }

    pub fn from_name(name: &str) -> Option<FunctionLevel> {
        FunctionLevel::ALL.into_iter().find(|level| level.name() == name)
    }
}
