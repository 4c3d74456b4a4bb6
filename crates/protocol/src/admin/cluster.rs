//! Nodes, function levels, proposals and diagnosis (`spec/wire.md` 3.8).

use std::collections::BTreeMap;

use pegasus_types::{ErrorCode, PartitionId};

use super::config::{AppInfo, PartitionConfiguration};
use super::node::{ReplicaInfo, SplitStatus};
use crate::special::{HostPort, RpcAddress};
use crate::{thrift_enum, thrift_struct};

thrift_enum! {
    /// `config_type`. Kinds of membership change.
    pub enum ConfigType {
        Invalid = 0 "CT_INVALID",
        AssignPrimary = 1 "CT_ASSIGN_PRIMARY",
        UpgradeToPrimary = 2 "CT_UPGRADE_TO_PRIMARY",
        AddSecondary = 3 "CT_ADD_SECONDARY",
        UpgradeToSecondary = 4 "CT_UPGRADE_TO_SECONDARY",
        DowngradeToSecondary = 5 "CT_DOWNGRADE_TO_SECONDARY",
        DowngradeToInactive = 6 "CT_DOWNGRADE_TO_INACTIVE",
        Remove = 7 "CT_REMOVE",
        AddSecondaryForLb = 8 "CT_ADD_SECONDARY_FOR_LB",
        PrimaryForceUpdateBallot = 9 "CT_PRIMARY_FORCE_UPDATE_BALLOT",
        DropPartition = 10 "CT_DROP_PARTITION",
        RegisterChild = 11 "CT_REGISTER_CHILD",
    }

    /// `node_status`. Liveness of a replica server; `Invalid` in a request means any.
    pub enum NodeStatus {
        Invalid = 0 "NS_INVALID",
        Alive = 1 "NS_ALIVE",
        Unalive = 2 "NS_UNALIVE",
    }

    /// `meta_function_level`. How much the meta server may do by itself, from nothing to
    /// balancing.
    pub enum MetaFunctionLevel {
        Stopped = 100 "fl_stopped",
        Blind = 200 "fl_blind",
        Freezed = 300 "fl_freezed",
        Steady = 400 "fl_steady",
        Lively = 500 "fl_lively",
        Invalid = 10000 "fl_invalid",
    }

    /// `balancer_request_type`.
    pub enum BalancerRequestType {
        MovePrimary = 0 "move_primary",
        CopyPrimary = 1 "copy_primary",
        CopySecondary = 2 "copy_secondary",
    }
}

thrift_struct! {
    /// `node_info`.
    pub struct NodeInfo {
        1 status: NodeStatus,
        2 node: RpcAddress,
        3 hp_node: Option<HostPort>,
    }

    /// `configuration_list_nodes_request`.
    pub struct ListNodesRequest {
        1 status: NodeStatus,
    }

    /// `configuration_list_nodes_response`.
    pub struct ListNodesResponse {
        1 err: ErrorCode,
        2 infos: Vec<NodeInfo>,
    }

    /// `configuration_cluster_info_request`.
    pub struct ClusterInfoRequest {}

    /// `configuration_cluster_info_response`.
    pub struct ClusterInfoResponse {
        1 err: ErrorCode,
        2 keys: Vec<String>,
        3 values: Vec<String>,
    }

    /// `configuration_meta_control_request`.
    pub struct MetaControlRequest {
        1 level: MetaFunctionLevel,
    }

    /// `configuration_meta_control_response`.
    pub struct MetaControlResponse {
        1 err: ErrorCode,
        2 old_level: MetaFunctionLevel,
    }

    /// `configuration_proposal_action`.
    pub struct ProposalAction {
        1 target: RpcAddress,
        2 node: RpcAddress,
        3 r#type: ConfigType,
        // Id 4 is retired.
        5 hp_target: Option<HostPort>,
        6 hp_node: Option<HostPort>,
    }

    /// `configuration_balancer_request`.
    pub struct BalancerRequest {
        1 gpid: PartitionId,
        2 action_list: Vec<ProposalAction>,
        3 force: Option<bool>,
        4 balance_type: Option<BalancerRequestType>,
    }

    /// `configuration_balancer_response`.
    pub struct BalancerResponse {
        1 err: ErrorCode,
    }

    /// `configuration_recovery_request`.
    pub struct RecoveryRequest {
        1 recovery_nodes: Vec<RpcAddress>,
        2 skip_bad_nodes: bool,
        3 skip_lost_partitions: bool,
        4 hp_recovery_nodes: Option<Vec<HostPort>>,
    }

    /// `configuration_recovery_response`.
    pub struct RecoveryResponse {
        1 err: ErrorCode,
        2 hint_message: String,
    }

    /// `ddd_diagnose_request`. Ask for partitions that cannot choose a primary by themselves.
    pub struct DddDiagnoseRequest {
        /// Table -1 asks for all tables, index -1 for the whole table.
        1 pid: PartitionId,
    }

    /// `ddd_node_info`.
    pub struct DddNodeInfo {
        1 node: RpcAddress,
        /// Unix milliseconds.
        2 drop_time_ms: i64,
        3 is_alive: bool,
        4 is_collected: bool,
        5 ballot: i64,
        6 last_committed_decree: i64,
        7 last_prepared_decree: i64,
        8 hp_node: Option<HostPort>,
    }

    /// `ddd_partition_info`.
    pub struct DddPartitionInfo {
        1 config: PartitionConfiguration,
        2 dropped: Vec<DddNodeInfo>,
        3 reason: String,
    }

    /// `ddd_diagnose_response`.
    pub struct DddDiagnoseResponse {
        1 err: ErrorCode,
        2 partitions: Vec<DddPartitionInfo>,
    }

    /// `configuration_update_request`. A change of one partition's configuration, as the servers
    /// of the reference send it.
    pub struct ConfigurationUpdateRequest {
        1 info: AppInfo,
        2 config: PartitionConfiguration,
        3 r#type: ConfigType,
        4 node: RpcAddress,
        /// Deprecated, always invalid.
        5 host_node: RpcAddress,
        6 meta_split_status: Option<SplitStatus>,
        7 hp_node: Option<HostPort>,
    }

    /// `configuration_update_response`.
    pub struct ConfigurationUpdateResponse {
        1 err: ErrorCode,
        2 config: PartitionConfiguration,
    }

    /// `replica_server_info`.
    pub struct ReplicaServerInfo {
        1 geo_tags: BTreeMap<String, String>,
        2 total_capacity_mb: i64,
    }

    /// `configuration_query_by_node_request`.
    pub struct QueryByNodeRequest {
        1 node: RpcAddress,
        2 stored_replicas: Option<Vec<ReplicaInfo>>,
        3 info: Option<ReplicaServerInfo>,
        4 hp_node: Option<HostPort>,
    }

    /// `configuration_query_by_node_response`.
    pub struct QueryByNodeResponse {
        1 err: ErrorCode,
        2 partitions: Vec<ConfigurationUpdateRequest>,
        3 gc_replicas: Option<Vec<ReplicaInfo>>,
    }
}
