use std::fmt;

/// Who serves a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A replica, by any read of its data.
    Read,
    /// The primary, through the replicated log.
    Write,
    /// The meta server that leads.
    Meta,
    /// Any daemon, about itself.
    Node,
}

macro_rules! task_codes {
    ($($variant:ident $name:literal $kind:ident;)*) => {
        /// The RPC codes that clients and tools send (`spec/wire.md` 3.1 to 3.3).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum TaskCode {
            $($variant,)*
        }

        impl TaskCode {
            pub const ALL: &[TaskCode] = &[$(TaskCode::$variant,)*];

            /// The name on the wire, e.g. `RPC_RRDB_RRDB_PUT`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(TaskCode::$variant => $name,)*
                }
            }

            pub fn from_name(name: &str) -> Option<TaskCode> {
                match name {
                    $($name => Some(TaskCode::$variant),)*
                    _ => None,
                }
            }

            pub const fn kind(self) -> Kind {
                match self {
                    $(TaskCode::$variant => Kind::$kind,)*
                }
            }
        }
    };
}

task_codes! {
    Put "RPC_RRDB_RRDB_PUT" Write;
    Remove "RPC_RRDB_RRDB_REMOVE" Write;
    MultiPut "RPC_RRDB_RRDB_MULTI_PUT" Write;
    MultiRemove "RPC_RRDB_RRDB_MULTI_REMOVE" Write;
    Incr "RPC_RRDB_RRDB_INCR" Write;
    CheckAndSet "RPC_RRDB_RRDB_CHECK_AND_SET" Write;
    CheckAndMutate "RPC_RRDB_RRDB_CHECK_AND_MUTATE" Write;
    Duplicate "RPC_RRDB_RRDB_DUPLICATE" Write;
    BulkLoad "RPC_RRDB_RRDB_BULK_LOAD" Write;
    Get "RPC_RRDB_RRDB_GET" Read;
    MultiGet "RPC_RRDB_RRDB_MULTI_GET" Read;
    BatchGet "RPC_RRDB_RRDB_BATCH_GET" Read;
    SortkeyCount "RPC_RRDB_RRDB_SORTKEY_COUNT" Read;
    Ttl "RPC_RRDB_RRDB_TTL" Read;
    GetScanner "RPC_RRDB_RRDB_GET_SCANNER" Read;
    Scan "RPC_RRDB_RRDB_SCAN" Read;
    ClearScanner "RPC_RRDB_RRDB_CLEAR_SCANNER" Read;
    QueryCfg "RPC_CM_QUERY_PARTITION_CONFIG_BY_INDEX" Meta;
    CreateApp "RPC_CM_CREATE_APP" Meta;
    DropApp "RPC_CM_DROP_APP" Meta;
    RecallApp "RPC_CM_RECALL_APP" Meta;
    RenameApp "RPC_CM_RENAME_APP" Meta;
    ListApps "RPC_CM_LIST_APPS" Meta;
    ListNodes "RPC_CM_LIST_NODES" Meta;
    ClusterInfo "RPC_CM_CLUSTER_INFO" Meta;
    ControlMeta "RPC_CM_CONTROL_META" Meta;
    ProposeBalancer "RPC_CM_PROPOSE_BALANCER" Meta;
    StartRecovery "RPC_CM_START_RECOVERY" Meta;
    DddDiagnose "RPC_CM_DDD_DIAGNOSE" Meta;
    UpdateAppEnv "RPC_CM_UPDATE_APP_ENV" Meta;
    GetMaxReplicaCount "RPC_CM_GET_MAX_REPLICA_COUNT" Meta;
    SetMaxReplicaCount "RPC_CM_SET_MAX_REPLICA_COUNT" Meta;
    GetAtomicIdempotent "RPC_CM_GET_ATOMIC_IDEMPOTENT" Meta;
    SetAtomicIdempotent "RPC_CM_SET_ATOMIC_IDEMPOTENT" Meta;
    StartManualCompact "RPC_CM_START_MANUAL_COMPACT" Meta;
    QueryManualCompactStatus "RPC_CM_QUERY_MANUAL_COMPACT_STATUS" Meta;
    AddBackupPolicy "RPC_CM_ADD_BACKUP_POLICY" Meta;
    ModifyBackupPolicy "RPC_CM_MODIFY_BACKUP_POLICY" Meta;
    QueryBackupPolicy "RPC_CM_QUERY_BACKUP_POLICY" Meta;
    StartBackupApp "RPC_CM_START_BACKUP_APP" Meta;
    QueryBackupStatus "RPC_CM_QUERY_BACKUP_STATUS" Meta;
    StartRestore "RPC_CM_START_RESTORE" Meta;
    QueryRestoreStatus "RPC_CM_QUERY_RESTORE_STATUS" Meta;
    AddDuplication "RPC_CM_ADD_DUPLICATION" Meta;
    ModifyDuplication "RPC_CM_MODIFY_DUPLICATION" Meta;
    QueryDuplication "RPC_CM_QUERY_DUPLICATION" Meta;
    ListDuplication "RPC_CM_LIST_DUPLICATION" Meta;
    StartPartitionSplit "RPC_CM_START_PARTITION_SPLIT" Meta;
    QueryPartitionSplit "RPC_CM_QUERY_PARTITION_SPLIT" Meta;
    ControlPartitionSplit "RPC_CM_CONTROL_PARTITION_SPLIT" Meta;
    StartBulkLoad "RPC_CM_START_BULK_LOAD" Meta;
    QueryBulkLoadStatus "RPC_CM_QUERY_BULK_LOAD_STATUS" Meta;
    ControlBulkLoad "RPC_CM_CONTROL_BULK_LOAD" Meta;
    ClearBulkLoad "RPC_CM_CLEAR_BULK_LOAD" Meta;
    CliCall "RPC_CLI_CLI_CALL" Node;
    QueryDiskInfo "RPC_QUERY_DISK_INFO" Node;
    ReplicaDiskMigrate "RPC_REPLICA_DISK_MIGRATE" Node;
    DetectHotkey "RPC_DETECT_HOTKEY" Node;
    AddNewDisk "RPC_ADD_NEW_DISK" Node;
    QueryAppInfo "RPC_QUERY_APP_INFO" Node;
    Negotiation "RPC_NEGOTIATION" Node;
}

impl TaskCode {
    /// A oneway code is never answered, whatever happens: a reply to it ends the session of some
    /// clients (`spec/wire.md` 1.4).
    pub const fn is_oneway(self) -> bool {
        matches!(self, TaskCode::ClearScanner)
    }

    /// Whether requests of this code may share one mutation with their neighbours.
    pub const fn is_batchable(self) -> bool {
        matches!(self, TaskCode::Put | TaskCode::Remove)
    }

    /// Whether a write has the same effect when it is done twice. True for everything else.
    pub const fn is_idempotent(self) -> bool {
        !matches!(self, TaskCode::Incr | TaskCode::CheckAndSet | TaskCode::CheckAndMutate)
    }

    /// A read of single keys, as opposed to one that walks over a range.
    pub const fn is_point_read(self) -> bool {
        matches!(self, TaskCode::Get | TaskCode::Ttl | TaskCode::BatchGet)
    }

    /// A code of the data plane, which is addressed to a partition.
    pub const fn is_storage(self) -> bool {
        matches!(self.kind(), Kind::Read | Kind::Write)
    }
}

impl fmt::Display for TaskCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_fit_a_header() {
        for code in TaskCode::ALL {
            assert_eq!(TaskCode::from_name(code.name()), Some(*code));
            assert!(code.name().len() + "_ACK".len() < 48, "{code}");
        }
        assert_eq!(TaskCode::from_name("RPC_PREPARE"), None);
    }
}
