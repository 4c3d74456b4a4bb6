use pegasus_types::NodeId;
use serde::Deserialize;

use super::{flag, list};

/// `[meta_server]`, and `lb_interval_ms` of `[replication]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct MetaConfig {
    /// Key `meta_state_service_type`: where the metadata is stored.
    #[serde(rename = "meta_state_service_type")]
    pub state_service: ServiceKind,
    /// Key `distributed_lock_service_type`: always the same kind as `state_service`.
    #[serde(rename = "distributed_lock_service_type")]
    pub lock_service: ServiceKind,
    /// First word of `distributed_lock_service_parameters`; not empty with ZooKeeper.
    #[serde(rename = "distributed_lock_service_parameters")]
    pub lock_root: String,
    /// Tables created in an empty store, in the order in which their ids are given out (by section
    /// name, spec config 1.8).
    #[serde(skip)]
    pub default_tables: Vec<DefaultTable>,

    #[serde(rename = "meta_function_level_on_start")]
    pub function_level_on_start: FunctionLevel,
    #[serde(deserialize_with = "flag")]
    pub recover_from_replica_server: bool,
    /// Key `node_live_percentage_threshold_for_update`: fewer live nodes than this freeze the
    /// cluster's configuration; 0..=100.
    #[serde(rename = "node_live_percentage_threshold_for_update")]
    pub node_live_percentage: u32,
    pub min_live_node_count_for_unfreeze: usize,
    pub hold_seconds_for_dropped_app: u64,
    pub max_allowed_replica_count: i32,
    pub min_allowed_replica_count: i32,
    pub max_reserved_dropped_replicas: usize,
    pub replica_assign_delay_ms_for_dropouts: u64,
    #[serde(deserialize_with = "flag")]
    pub add_secondary_enable_flow_control: bool,
    pub add_secondary_max_count_for_one_node: usize,
    pub stable_rs_min_running_seconds: u64,
    /// The misspelling is the key's name.
    pub max_succssive_unstable_restart: usize,
    #[serde(deserialize_with = "flag")]
    pub enable_white_list: bool,
    #[serde(deserialize_with = "list")]
    pub replica_white_list: Vec<NodeId>,

    /// Period of the health and balance loop.
    pub lb_interval_ms: u64,
    #[serde(deserialize_with = "flag")]
    pub balancer_in_turn: bool,
    #[serde(deserialize_with = "flag")]
    pub only_primary_balancer: bool,
    #[serde(deserialize_with = "flag")]
    pub only_move_primary: bool,
    #[serde(deserialize_with = "flag")]
    pub balance_cluster: bool,
    pub balance_op_count_per_round: usize,
}

/// `*_simple` (embedded store, one meta server) or `*_zookeeper`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum ServiceKind {
    #[serde(alias = "meta_state_service_simple", alias = "distributed_lock_service_simple")]
    Simple,
    #[serde(alias = "meta_state_service_zookeeper", alias = "distributed_lock_service_zookeeper")]
    Zookeeper,
}

/// `meta_function_level_on_start`, lowest first; each level allows what those before it allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FunctionLevel {
    Stopped,
    Blind,
    Freezed,
    Steady,
    Lively,
}

/// One `[meta_server.apps.*]` section, or `[replication.app]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefaultTable {
    pub app_name: String,
    /// `pegasus`.
    pub app_type: String,
    /// At least 1.
    pub partition_count: i32,
    /// At least 1.
    pub max_replica_count: i32,
    pub stateful: bool,
    /// In the order of the file. Not validated as table variables; that is the meta server's part.
    pub envs: Vec<(String, String)>,
}

/// `[zookeeper]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ZookeeperConfig {
    /// `host:port,...`, a chroot suffix allowed; not empty when a service of the meta server uses
    /// ZooKeeper.
    #[serde(rename = "hosts_list")]
    pub hosts: String,
    /// Session timeout.
    pub timeout_ms: u64,
}
