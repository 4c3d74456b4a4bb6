//! Messages about one node: disks, hot keys, remote commands (`spec/wire.md` 3.13) and the
//! negotiation of security (`spec/wire.md` 5).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use pegasus_types::{ErrorCode, PartitionId};

use crate::special::{HostPort, RpcAddress};
use crate::{thrift_enum, thrift_struct};

thrift_enum! {
    /// `partition_status`. What a replica is at the moment.
    pub enum PartitionStatus {
        Invalid = 0 "PS_INVALID",
        Inactive = 1 "PS_INACTIVE",
        Error = 2 "PS_ERROR",
        Primary = 3 "PS_PRIMARY",
        Secondary = 4 "PS_SECONDARY",
        PotentialSecondary = 5 "PS_POTENTIAL_SECONDARY",
        PartitionSplit = 6 "PS_PARTITION_SPLIT",
    }

    /// `split_status`.
    pub enum SplitStatus {
        NotSplit = 0 "NOT_SPLIT",
        Splitting = 1 "SPLITTING",
        Pausing = 2 "PAUSING",
        Paused = 3 "PAUSED",
        Canceling = 4 "CANCELING",
    }

    /// `disk_status`.
    pub enum DiskStatus {
        Normal = 0 "NORMAL",
        SpaceInsufficient = 1 "SPACE_INSUFFICIENT",
        IoError = 2 "IO_ERROR",
    }

    /// `manual_compaction_status`.
    pub enum ManualCompactionStatus {
        Idle = 0 "IDLE",
        Queuing = 1 "QUEUING",
        Running = 2 "RUNNING",
        Finished = 3 "FINISHED",
    }

    /// `disk_migration_status`.
    pub enum DiskMigrationStatus {
        Idle = 0 "IDLE",
        Moving = 1 "MOVING",
        Moved = 2 "MOVED",
        Closed = 3 "CLOSED",
    }

    /// `hotkey_type`.
    pub enum HotkeyType {
        Read = 0 "READ",
        Write = 1 "WRITE",
    }

    /// `detect_action`.
    pub enum DetectAction {
        Start = 0 "START",
        Stop = 1 "STOP",
        Query = 2 "QUERY",
    }

    /// `pattern_match_type`.
    pub enum PatternMatchType {
        Invalid = 0 "PMT_INVALID",
        MatchAll = 1 "PMT_MATCH_ALL",
        MatchExact = 2 "PMT_MATCH_EXACT",
        MatchAnywhere = 3 "PMT_MATCH_ANYWHERE",
        MatchPrefix = 4 "PMT_MATCH_PREFIX",
        MatchPostfix = 5 "PMT_MATCH_POSTFIX",
        MatchRegex = 6 "PMT_MATCH_REGEX",
    }

    /// `checksum_type`.
    pub enum ChecksumType {
        Invalid = 0 "CST_INVALID",
        None = 1 "CST_NONE",
        Md5 = 2 "CST_MD5",
    }
}

thrift_struct! {
    /// `query_replica_decree_request`.
    pub struct QueryReplicaDecreeRequest {
        1 pid: PartitionId,
        2 node1: RpcAddress,
        3 hp_node1: Option<HostPort>,
    }

    /// `query_replica_decree_response`.
    pub struct QueryReplicaDecreeResponse {
        1 err: ErrorCode,
        2 last_decree: i64,
    }

    /// `query_replica_info_request`.
    pub struct QueryReplicaInfoRequest {
        1 node1: RpcAddress,
        2 hp_node1: Option<HostPort>,
    }

    /// `query_replica_info_response`.
    pub struct QueryReplicaInfoResponse {
        1 err: ErrorCode,
        2 replicas: Vec<ReplicaInfo>,
    }

    /// `disk_info`.
    pub struct DiskInfo {
        1 tag: String,
        2 full_dir: String,
        3 disk_capacity_mb: i64,
        4 disk_available_mb: i64,
        5 holding_primary_replicas: BTreeMap<i32, BTreeSet<PartitionId>>,
        6 holding_secondary_replicas: BTreeMap<i32, BTreeSet<PartitionId>>,
    }

    /// `query_disk_info_request`.
    pub struct QueryDiskInfoRequest {
        1 node1: RpcAddress,
        /// Empty for all tables.
        2 app_name: String,
        3 hp_node1: Option<HostPort>,
    }

    /// `query_disk_info_response`.
    pub struct QueryDiskInfoResponse {
        1 err: ErrorCode,
        2 total_capacity_mb: i64,
        3 total_available_mb: i64,
        4 disk_infos: Vec<DiskInfo>,
    }

    /// `replica_disk_migrate_request`.
    pub struct ReplicaDiskMigrateRequest {
        1 pid: PartitionId,
        2 origin_disk: String,
        3 target_disk: String,
    }

    /// `replica_disk_migrate_response`.
    pub struct ReplicaDiskMigrateResponse {
        1 err: ErrorCode,
        2 hint: Option<String>,
    }

    /// `detect_hotkey_request`.
    pub struct DetectHotkeyRequest {
        1 r#type: HotkeyType,
        2 action: DetectAction,
        3 pid: PartitionId,
    }

    /// `detect_hotkey_response`.
    pub struct DetectHotkeyResponse {
        1 err: ErrorCode,
        2 err_hint: Option<String>,
        3 hotkey_result: Option<String>,
    }

    /// `add_new_disk_request`.
    pub struct AddNewDiskRequest {
        /// `tag:dir,tag2:dir2`.
        1 disk_str: String,
    }

    /// `add_new_disk_response`.
    pub struct AddNewDiskResponse {
        1 err: ErrorCode,
        2 err_hint: Option<String>,
    }

    /// `file_meta`.
    pub struct FileMeta {
        1 name: String,
        2 size: i64,
        3 md5: String,
    }

    /// `replica_configuration`.
    pub struct ReplicaConfiguration {
        1 pid: PartitionId,
        2 ballot: i64,
        3 primary: RpcAddress,
        4 status: PartitionStatus,
        5 learner_signature: i64,
        6 pop_all: Option<bool>,
        7 split_sync_to_child: Option<bool>,
        8 hp_primary: Option<HostPort>,
    }

    /// `replica_info`.
    pub struct ReplicaInfo {
        1 pid: PartitionId,
        2 ballot: i64,
        3 status: PartitionStatus,
        4 last_committed_decree: i64,
        5 last_prepared_decree: i64,
        6 last_durable_decree: i64,
        7 app_type: String,
        8 disk_tag: String,
        9 manual_compact_status: Option<ManualCompactionStatus>,
    }
}

thrift_struct! {
    /// `command`: a remote command; the answer is a bare string.
    pub struct Command {
        1 cmd: String,
        2 arguments: Vec<String>,
    }

    /// `negotiation_request` and `negotiation_response`.
    pub struct Negotiation {
        1 status: NegotiationStatus,
        2 msg: Bytes,
    }
}

thrift_enum! {
    /// Step of a negotiation. A server without authentication answers `SaslAuthDisable`.
    pub enum NegotiationStatus {
        Invalid = 0 "INVALID",
        SaslListMechanisms = 1 "SASL_LIST_MECHANISMS",
        SaslListMechanismsResp = 2 "SASL_LIST_MECHANISMS_RESP",
        SaslSelectMechanisms = 3 "SASL_SELECT_MECHANISMS",
        SaslSelectMechanismsResp = 4 "SASL_SELECT_MECHANISMS_RESP",
        SaslInitiate = 5 "SASL_INITIATE",
        SaslChallenge = 6 "SASL_CHALLENGE",
        SaslChallengeResp = 7 "SASL_CHALLENGE_RESP",
        SaslSucc = 8 "SASL_SUCC",
        SaslAuthDisable = 9 "SASL_AUTH_DISABLE",
        SaslAuthFail = 10 "SASL_AUTH_FAIL",
    }
}
