//! Configurations of tables and partitions (`spec/wire.md` 3.7).

use std::collections::BTreeMap;

use pegasus_types as types;
use pegasus_types::{ErrorCode, NodeId, PartitionId};

use crate::special::{HostPort, RpcAddress};
use crate::{thrift_enum, thrift_struct};

thrift_enum! {
    /// `app_status`. Life cycle of a table.
    pub enum AppStatus {
        Invalid = 0 "AS_INVALID",
        Available = 1 "AS_AVAILABLE",
        Creating = 2 "AS_CREATING",
        CreateFailed = 3 "AS_CREATE_FAILED",
        Dropping = 4 "AS_DROPPING",
        DropFailed = 5 "AS_DROP_FAILED",
        Dropped = 6 "AS_DROPPED",
        Recalling = 7 "AS_RECALLING",
    }
}

thrift_struct! {
    /// `partition_configuration`. Who serves a partition. The `hp_*` twins of the addresses are
    /// for peers that know them:
    /// see `spec/wire.md` 6.5 before setting one.
    pub struct PartitionConfiguration {
        1 pid: PartitionId,
        2 ballot: i64,
        3 max_replica_count: i32,
        4 primary: RpcAddress,
        5 secondaries: Vec<RpcAddress>,
        6 last_drops: Vec<RpcAddress>,
        7 last_committed_decree: i64,
        8 partition_flags: i32,
        9 hp_primary: Option<HostPort>,
        10 hp_secondaries: Option<Vec<HostPort>>,
        11 hp_last_drops: Option<Vec<HostPort>>,
    }

    /// `query_cfg_request`. Argument of QUERY_PARTITION_CONFIG_BY_INDEX; without indices all
    /// partitions are meant.
    pub struct QueryCfgRequest {
        1 app_name: String,
        2 partition_indices: Vec<i32>,
    }

    /// `query_cfg_response`. Answer to QUERY_PARTITION_CONFIG_BY_INDEX; on a meta server that does
    /// not lead, `spec/wire.md` 6.1.
    pub struct QueryCfgResponse {
        1 err: ErrorCode,
        2 app_id: i32,
        3 partition_count: i32,
        4 is_stateful: bool,
        5 partitions: Vec<PartitionConfiguration>,
    }

    /// `app_info`. A table.
    pub struct AppInfo {
        1 status: AppStatus,
        2 app_type: String,
        3 app_name: String,
        4 app_id: i32,
        5 partition_count: i32,
        6 envs: BTreeMap<String, String>,
        7 is_stateful: bool,
        8 max_replica_count: i32,
        /// Unix seconds, as the next two.
        9 expire_second: i64,
        10 create_second: i64,
        11 drop_second: i64,
        12 duplicating: Option<bool>,
        13 init_partition_count: i32 = -1,
        14 is_bulk_loading: Option<bool>,
        15 atomic_idempotent: Option<bool>,
    }
}

impl PartitionConfiguration {
    /// The wire form of a configuration. `resolve` gives the address that clients are to use for a
    /// node; `with_host_ports` fills the `hp_*` fields, which only some peers can decode
    /// (`spec/wire.md` 6.5).
    pub fn from_config(
        config: &types::PartitionConfig,
        resolve: impl Fn(&NodeId) -> RpcAddress,
        with_host_ports: bool,
    ) -> PartitionConfiguration {
        let host_ports = |nodes: &[NodeId]| nodes.iter().map(HostPort::from).collect();
        PartitionConfiguration {
            pid: config.pid,
            ballot: config.ballot.0,
            max_replica_count: config.max_replica_count,
            primary: config.primary.as_ref().map(&resolve).unwrap_or_default(),
            secondaries: config.secondaries.iter().map(&resolve).collect(),
            last_drops: config.last_drops.iter().map(&resolve).collect(),
            last_committed_decree: config.last_committed.0,
            partition_flags: 0,
            hp_primary: config.primary.as_ref().filter(|_| with_host_ports).map(HostPort::from),
            hp_secondaries: with_host_ports.then(|| host_ports(&config.secondaries)),
            hp_last_drops: with_host_ports.then(|| host_ports(&config.last_drops)),
        }
    }
}

impl From<types::AppStatus> for AppStatus {
    fn from(status: types::AppStatus) -> AppStatus {
        AppStatus::from_i32(status as i32)
    }
}

/// A number that is not in the specification becomes `Invalid`.
impl From<AppStatus> for types::AppStatus {
    fn from(status: AppStatus) -> types::AppStatus {
        match status {
            AppStatus::Invalid | AppStatus::Unknown(_) => types::AppStatus::Invalid,
            AppStatus::Available => types::AppStatus::Available,
            AppStatus::Creating => types::AppStatus::Creating,
            AppStatus::CreateFailed => types::AppStatus::CreateFailed,
            AppStatus::Dropping => types::AppStatus::Dropping,
            AppStatus::DropFailed => types::AppStatus::DropFailed,
            AppStatus::Dropped => types::AppStatus::Dropped,
            AppStatus::Recalling => types::AppStatus::Recalling,
        }
    }
}

impl From<&types::AppInfo> for AppInfo {
    fn from(app: &types::AppInfo) -> AppInfo {
        AppInfo {
            status: app.status.into(),
            app_type: app.app_type.clone(),
            app_name: app.app_name.clone(),
            app_id: app.app_id,
            partition_count: app.partition_count,
            envs: app.envs.clone(),
            is_stateful: app.is_stateful,
            max_replica_count: app.max_replica_count,
            expire_second: app.expire_second,
            create_second: app.create_second,
            drop_second: app.drop_second,
            duplicating: Some(app.duplicating),
            init_partition_count: app.init_partition_count,
            is_bulk_loading: Some(app.is_bulk_loading),
            atomic_idempotent: Some(app.atomic_idempotent),
        }
    }
}

impl From<AppInfo> for types::AppInfo {
    fn from(app: AppInfo) -> types::AppInfo {
        types::AppInfo {
            status: app.status.into(),
            app_type: app.app_type,
            app_name: app.app_name,
            app_id: app.app_id,
            partition_count: app.partition_count,
            envs: app.envs,
            is_stateful: app.is_stateful,
            max_replica_count: app.max_replica_count,
            expire_second: app.expire_second,
            create_second: app.create_second,
            drop_second: app.drop_second,
            duplicating: app.duplicating.unwrap_or(false),
            init_partition_count: app.init_partition_count,
            is_bulk_loading: app.is_bulk_loading.unwrap_or(false),
            atomic_idempotent: app.atomic_idempotent.unwrap_or(false),
        }
    }
}
