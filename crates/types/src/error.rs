use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Which clients can decode a name (column K of `spec/wire.md` 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// Java, Python, Node and Go.
    Old,
    /// All of those but Go, whose session ends when it meets the name in a reply header.
    OldButGo,
    /// The C++ client and our own tools only.
    New,
}

macro_rules! error_codes {
    ($($(#[$attr:meta])* $variant:ident $name:literal $known:ident;)*) => {
        /// An RPC level error (`spec/wire.md` 4.1). On the wire only its name travels.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum ErrorCode {
            $($(#[$attr])* $variant,)*
        }

        impl ErrorCode {
            /// Every code, in the order of the reference's registration.
            pub const ALL: &[ErrorCode] = &[$(ErrorCode::$variant,)*];

            /// The name as it travels, e.g. `ERR_OK`.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(ErrorCode::$variant => $name,)*
                }
            }

            /// The code with exactly this name. Readers of messages take `None` for
            /// [`ErrorCode::Unknown`], as the reference does.
            pub fn from_name(name: &str) -> Option<ErrorCode> {
                match name {
                    $($name => Some(ErrorCode::$variant),)*
                    _ => None,
                }
            }

            const fn known(self) -> Known {
                match self {
                    $(ErrorCode::$variant => Known::$known,)*
                }
            }
        }
    };
}

error_codes! {
    #[default]
    Ok "ERR_OK" Old;
    Unknown "ERR_UNKNOWN" Old;
    ServiceNotFound "ERR_SERVICE_NOT_FOUND" Old;
    ServiceAlreadyRunning "ERR_SERVICE_ALREADY_RUNNING" Old;
    IoPending "ERR_IO_PENDING" Old;
    Timeout "ERR_TIMEOUT" Old;
    ServiceNotActive "ERR_SERVICE_NOT_ACTIVE" Old;
    Busy "ERR_BUSY" Old;
    NetworkInitFailed "ERR_NETWORK_INIT_FAILED" Old;
    ForwardToOthers "ERR_FORWARD_TO_OTHERS" Old;
    ObjectNotFound "ERR_OBJECT_NOT_FOUND" Old;
    HandlerNotFound "ERR_HANDLER_NOT_FOUND" Old;
    LearnFileFailed "ERR_LEARN_FILE_FAILED" Old;
    GetLearnStateFailed "ERR_GET_LEARN_STATE_FAILED" Old;
    InvalidVersion "ERR_INVALID_VERSION" Old;
    InvalidParameters "ERR_INVALID_PARAMETERS" Old;
    CapacityExceeded "ERR_CAPACITY_EXCEEDED" Old;
    InvalidState "ERR_INVALID_STATE" Old;
    InactiveState "ERR_INACTIVE_STATE" Old;
    NotEnoughMember "ERR_NOT_ENOUGH_MEMBER" Old;
    FileOperationFailed "ERR_FILE_OPERATION_FAILED" Old;
    HandleEof "ERR_HANDLE_EOF" Old;
    WrongChecksum "ERR_WRONG_CHECKSUM" Old;
    InvalidData "ERR_INVALID_DATA" Old;
    InvalidHandle "ERR_INVALID_HANDLE" Old;
    IncompleteData "ERR_INCOMPLETE_DATA" Old;
    VersionOutdated "ERR_VERSION_OUTDATED" Old;
    PathNotFound "ERR_PATH_NOT_FOUND" Old;
    PathAlreadyExist "ERR_PATH_ALREADY_EXIST" Old;
    AddressAlreadyUsed "ERR_ADDRESS_ALREADY_USED" Old;
    StateFreezed "ERR_STATE_FREEZED" Old;
    LocalAppFailure "ERR_LOCAL_APP_FAILURE" Old;
    BindIocpFailed "ERR_BIND_IOCP_FAILED" Old;
    NetworkStartFailed "ERR_NETWORK_START_FAILED" Old;
    NotImplemented "ERR_NOT_IMPLEMENTED" Old;
    CheckpointFailed "ERR_CHECKPOINT_FAILED" Old;
    WrongTiming "ERR_WRONG_TIMING" Old;
    NoNeedOperate "ERR_NO_NEED_OPERATE" Old;
    Corruption "ERR_CORRUPTION" Old;
    TryAgain "ERR_TRY_AGAIN" Old;
    ClusterNotFound "ERR_CLUSTER_NOT_FOUND" Old;
    ClusterAlreadyExist "ERR_CLUSTER_ALREADY_EXIST" Old;
    ServiceAlreadyExist "ERR_SERVICE_ALREADY_EXIST" Old;
    Injected "ERR_INJECTED" Old;
    ReplicationFailure "ERR_REPLICATION_FAILURE" Old;
    AppExist "ERR_APP_EXIST" Old;
    AppNotExist "ERR_APP_NOT_EXIST" Old;
    BusyCreating "ERR_BUSY_CREATING" Old;
    BusyDropping "ERR_BUSY_DROPPING" Old;
    NetworkFailure "ERR_NETWORK_FAILURE" Old;
    UnderRecovery "ERR_UNDER_RECOVERY" Old;
    LearnerNotFound "ERR_LEARNER_NOT_FOUND" OldButGo;
    OperationDisabled "ERR_OPERATION_DISABLED" Old;
    Expired "ERR_EXPIRED" Old;
    LockAlreadyExist "ERR_LOCK_ALREADY_EXIST" Old;
    HoldByOthers "ERR_HOLD_BY_OTHERS" Old;
    RecursiveLock "ERR_RECURSIVE_LOCK" Old;
    NoOwner "ERR_NO_OWNER" Old;
    NodeAlreadyExist "ERR_NODE_ALREADY_EXIST" Old;
    InconsistentState "ERR_INCONSISTENT_STATE" Old;
    ArrayIndexOutOfRange "ERR_ARRAY_INDEX_OUT_OF_RANGE" Old;
    DirNotEmpty "ERR_DIR_NOT_EMPTY" OldButGo;
    FsInternal "ERR_FS_INTERNAL" OldButGo;
    IgnoreBadData "ERR_IGNORE_BAD_DATA" OldButGo;
    AppDropped "ERR_APP_DROPPED" Old;
    MockInternal "ERR_MOCK_INTERNAL" OldButGo;
    ZookeeperOperation "ERR_ZOOKEEPER_OPERATION" Old;
    ChildRegistered "ERR_CHILD_REGISTERED" Old;
    IngestionFailed "ERR_INGESTION_FAILED" Old;
    Unauthenticated "ERR_UNAUTHENTICATED" Old;
    Krb5Internal "ERR_KRB5_INTERNAL" Old;
    SaslInternal "ERR_SASL_INTERNAL" Old;
    SaslIncomplete "ERR_SASL_INCOMPLETE" Old;
    AclDeny "ERR_ACL_DENY" Old;
    Splitting "ERR_SPLITTING" Old;
    ParentPartitionMisused "ERR_PARENT_PARTITION_MISUSED" Old;
    ChildNotReady "ERR_CHILD_NOT_READY" Old;
    DiskInsufficient "ERR_DISK_INSUFFICIENT" Old;
    RetryExhausted "ERR_RETRY_EXHAUSTED" New;
    SyncRangerPoliciesFailed "ERR_SYNC_RANGER_POLICIES_FAILED" New;
    RangerParseAcl "ERR_RANGER_PARSE_ACL" New;
    RangerPoliciesNoNeedUpdate "ERR_RANGER_POLICIES_NO_NEED_UPDATE" New;
    RdbCorruption "ERR_RDB_CORRUPTION" New;
    DiskIoError "ERR_DISK_IO_ERROR" New;
    CurlFailed "ERR_CURL_FAILED" New;
    DupExist "ERR_DUP_EXIST" New;
    HttpError "ERR_HTTP_ERROR" New;
    NotMatched "ERR_NOT_MATCHED" New;
}

impl ErrorCode {
    /// The name to put into the reply *header* for a peer that speaks THFT: a name that one of the
    /// old clients cannot decode ends the session of the Go client and throws in the others, so
    /// such names become the closest one that all of them know (`spec/wire.md` 4.1).
    pub const fn name_for_old_clients(self) -> &'static str {
        match self.known() {
            Known::Old => self.as_str(),
            Known::OldButGo | Known::New => self.closest_old().as_str(),
        }
    }

    /// The same for an error inside a response struct, where Go takes any string and only Java and
    /// Python insist on the names they know.
    pub const fn field_name_for_old_clients(self) -> &'static str {
        match self.known() {
            Known::Old | Known::OldButGo => self.as_str(),
            Known::New => self.closest_old().as_str(),
        }
    }

    const fn closest_old(self) -> ErrorCode {
        match self {
            ErrorCode::LearnerNotFound => ErrorCode::ObjectNotFound,
            ErrorCode::DirNotEmpty => ErrorCode::PathAlreadyExist,
            ErrorCode::FsInternal | ErrorCode::DiskIoError => ErrorCode::FileOperationFailed,
            ErrorCode::RdbCorruption => ErrorCode::Corruption,
            ErrorCode::DupExist => ErrorCode::ServiceAlreadyExist,
            _ => ErrorCode::Unknown,
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::error::Error for ErrorCode {}

/// The text was not the name of an error code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown error code \"{0}\"")]
pub struct UnknownErrorCode(pub String);

impl FromStr for ErrorCode {
    type Err = UnknownErrorCode;

    fn from_str(name: &str) -> Result<ErrorCode, UnknownErrorCode> {
        ErrorCode::from_name(name).ok_or_else(|| UnknownErrorCode(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_read_back() {
        assert_eq!(ErrorCode::ALL.len(), 88);
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_name(code.as_str()), Some(*code));
        }
        assert_eq!(ErrorCode::from_name("ERR_SESSION_RESET"), None);
        assert_eq!(ErrorCode::default(), ErrorCode::Ok);
    }

    #[test]
    fn old_clients_only_see_names_they_know() {
        for code in ErrorCode::ALL {
            let header = ErrorCode::from_name(code.name_for_old_clients());
            assert_eq!(header.map(ErrorCode::known), Some(Known::Old));
            let field = ErrorCode::from_name(code.field_name_for_old_clients());
            assert_ne!(field.map(ErrorCode::known), Some(Known::New));
        }
        assert_eq!(ErrorCode::Busy.name_for_old_clients(), "ERR_BUSY");
        assert_eq!(ErrorCode::DiskIoError.name_for_old_clients(), "ERR_FILE_OPERATION_FAILED");
        assert_eq!(ErrorCode::DirNotEmpty.field_name_for_old_clients(), "ERR_DIR_NOT_EMPTY");
    }
}
