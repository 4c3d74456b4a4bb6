//! Creating, listing and changing tables (`spec/wire.md` 3.8).

use std::collections::BTreeMap;

use pegasus_types::ErrorCode;

use super::config::{AppInfo, AppStatus};
use super::node::PatternMatchType;
use crate::special::{HostPort, RpcAddress};
use crate::{thrift_enum, thrift_struct};

thrift_enum! {
    /// `app_env_operation`.
    pub enum AppEnvOperation {
        Invalid = 0 "APP_ENV_OP_INVALID",
        Set = 1 "APP_ENV_OP_SET",
        Del = 2 "APP_ENV_OP_DEL",
        Clear = 3 "APP_ENV_OP_CLEAR",
    }
}

thrift_struct! {
    /// `create_app_options`.
    pub struct CreateAppOptions {
        1 partition_count: i32,
        2 replica_count: i32,
        3 success_if_exist: bool,
        4 app_type: String,
        5 is_stateful: bool,
        6 envs: BTreeMap<String, String>,
        7 atomic_idempotent: Option<bool>,
    }

    /// `configuration_create_app_request`.
    pub struct CreateAppRequest {
        1 app_name: String,
        2 options: CreateAppOptions,
    }

    /// `configuration_create_app_response`.
    pub struct CreateAppResponse {
        1 err: ErrorCode,
        2 appid: i32,
    }

    /// `drop_app_options`.
    pub struct DropAppOptions {
        1 success_if_not_exist: bool,
        2 reserve_seconds: Option<i64>,
    }

    /// `configuration_drop_app_request`.
    pub struct DropAppRequest {
        1 app_name: String,
        2 options: DropAppOptions,
    }

    /// `configuration_drop_app_response`.
    pub struct DropAppResponse {
        1 err: ErrorCode,
    }

    /// `configuration_rename_app_request`.
    pub struct RenameAppRequest {
        1 old_app_name: String,
        2 new_app_name: String,
    }

    /// `configuration_rename_app_response`.
    pub struct RenameAppResponse {
        1 err: ErrorCode,
        2 hint_message: String,
    }

    /// `configuration_recall_app_request`.
    pub struct RecallAppRequest {
        1 app_id: i32,
        2 new_app_name: String,
    }

    /// `configuration_recall_app_response`.
    pub struct RecallAppResponse {
        1 err: ErrorCode,
        2 info: AppInfo,
    }

    /// `configuration_list_apps_request`.
    pub struct ListAppsRequest {
        1 status: AppStatus,
        2 app_name_pattern: Option<String>,
        3 match_type: Option<PatternMatchType>,
    }

    /// `configuration_list_apps_response`.
    pub struct ListAppsResponse {
        1 err: ErrorCode,
        2 infos: Vec<AppInfo>,
        3 hint_message: Option<String>,
    }

    /// `query_app_info_request`.
    pub struct QueryAppInfoRequest {
        1 meta_server: RpcAddress,
        2 hp_meta_server: Option<HostPort>,
    }

    /// `query_app_info_response`.
    pub struct QueryAppInfoResponse {
        1 err: ErrorCode,
        2 apps: Vec<AppInfo>,
    }

    /// `configuration_update_app_env_request`.
    pub struct UpdateAppEnvRequest {
        1 app_name: String,
        2 op: AppEnvOperation,
        3 keys: Option<Vec<String>>,
        4 values: Option<Vec<String>>,
        5 clear_prefix: Option<String>,
    }

    /// `configuration_update_app_env_response`.
    pub struct UpdateAppEnvResponse {
        1 err: ErrorCode,
        2 hint_message: String,
    }

    /// `start_app_manual_compact_request`.
    pub struct StartAppManualCompactRequest {
        1 app_name: String,
        2 trigger_time: Option<i64>,
        3 target_level: Option<i32>,
        4 bottommost: Option<bool>,
        5 max_running_count: Option<i32>,
    }

    /// `start_app_manual_compact_response`.
    pub struct StartAppManualCompactResponse {
        1 err: ErrorCode,
        2 hint_msg: String,
    }

    /// `query_app_manual_compact_request`.
    pub struct QueryAppManualCompactRequest {
        1 app_name: String,
    }

    /// `query_app_manual_compact_response`.
    pub struct QueryAppManualCompactResponse {
        1 err: ErrorCode,
        2 hint_msg: String,
        3 progress: Option<i32>,
    }

    /// `configuration_get_max_replica_count_request`.
    pub struct GetMaxReplicaCountRequest {
        1 app_name: String,
    }

    /// `configuration_get_max_replica_count_response`.
    pub struct GetMaxReplicaCountResponse {
        1 err: ErrorCode,
        2 max_replica_count: i32,
        3 hint_message: String,
    }

    /// `configuration_set_max_replica_count_request`.
    pub struct SetMaxReplicaCountRequest {
        1 app_name: String,
        2 max_replica_count: i32,
    }

    /// `configuration_set_max_replica_count_response`.
    pub struct SetMaxReplicaCountResponse {
        1 err: ErrorCode,
        2 old_max_replica_count: i32,
        3 hint_message: String,
    }

    /// `configuration_get_atomic_idempotent_request`.
    pub struct GetAtomicIdempotentRequest {
        1 app_name: String,
    }

    /// `configuration_get_atomic_idempotent_response`.
    pub struct GetAtomicIdempotentResponse {
        1 err: ErrorCode,
        2 atomic_idempotent: bool,
        3 hint_message: String,
    }

    /// `configuration_set_atomic_idempotent_request`.
    pub struct SetAtomicIdempotentRequest {
        1 app_name: String,
        2 atomic_idempotent: bool,
    }

    /// `configuration_set_atomic_idempotent_response`.
    pub struct SetAtomicIdempotentResponse {
        1 err: ErrorCode,
        2 old_atomic_idempotent: bool,
        3 hint_message: String,
    }
}
