use std::time::Duration;

use pegasus_types::{ErrorCode, NodeId, NodeIdError, Status};

/// Why an operation did not succeed.
///
/// Every variant except [`Error::OutcomeUnknown`] means that a write was **not** applied and never
/// will be by this call.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The meta server does not know the table.
    #[error("table \"{0}\" does not exist")]
    NoSuchTable(String),

    /// A server answered with an error that retrying does not cure, e.g. `ERR_BUSY` (throttled) or
    /// `ERR_ACL_DENY` (`spec/wire.md` 4.2).
    #[error("{server} answered {code}{}", with_hint(.hint))]
    Refused {
        server: NodeId,
        code: ErrorCode,
        /// The server's own explanation, often empty.
        hint: String,
    },

    /// The replica handled the request and reports a failure of the storage or of the request
    /// itself (`spec/wire.md` 4.3).
    #[error("{server} answered status {}", status_text(*.code))]
    Storage {
        server: NodeId,
        /// Number on the wire; see [`Error::status`].
        code: i32,
    },

    /// The deadline passed. For a write: no attempt can have been applied.
    #[error("timeout after {} ms{}", .after.as_millis(), with_cause(.last))]
    Timeout {
        after: Duration,
        /// What the last attempt met, if any attempt ended before the deadline.
        last: Option<Box<Error>>,
    },

    /// A write was sent and its answer was never seen. It **may have been applied, may be applied
    /// a moment later, or never**. Read before deciding what to do; repeating a plain set or
    /// delete is safe as long as nobody else writes the same key meanwhile.
    #[error("outcome of the write unknown: {cause}")]
    OutcomeUnknown { cause: Box<Error> },

    /// No connection to this server.
    #[error("cannot connect to {server}: {reason}")]
    Unreachable { server: NodeId, reason: String },

    /// The connection ended before the answer arrived.
    #[error("connection to {server} lost: {reason}")]
    ConnectionLost { server: NodeId, reason: String },

    /// The answer could not be decoded.
    #[error("{server} sent a malformed reply: {reason}")]
    BadReply { server: NodeId, reason: String },

    /// The partition has no primary at the moment.
    #[error("partition {partition_index} of table \"{table}\" has no primary")]
    NoPrimary { table: String, partition_index: i32 },

    /// The caller's argument cannot be sent.
    #[error("invalid argument: {0}")]
    InvalidArgument(String),
}

impl Error {
    /// True if a write may nevertheless have been (or still be) applied.
    pub fn outcome_unknown(&self) -> bool {
        matches!(self, Error::OutcomeUnknown { .. })
    }

    /// The status a replica answered with, if that is what went wrong and it is a known one.
    pub fn status(&self) -> Option<Status> {
        match self {
            Error::Storage { code, .. } => Status::from_code(*code),
            _ => None,
        }
    }

    /// The error code in the vocabulary of `spec/wire.md` 4.1 that describes this error best.
    pub fn code(&self) -> ErrorCode {
        match self {
            Error::NoSuchTable(_) => ErrorCode::ObjectNotFound,
            Error::Refused { code, .. } => *code,
            Error::Storage { .. } => ErrorCode::LocalAppFailure,
            Error::Timeout { .. } | Error::OutcomeUnknown { .. } => ErrorCode::Timeout,
            Error::Unreachable { .. } | Error::ConnectionLost { .. } => ErrorCode::NetworkFailure,
            Error::BadReply { .. } => ErrorCode::InvalidData,
            Error::NoPrimary { .. } => ErrorCode::InvalidState,
            Error::InvalidArgument(_) => ErrorCode::InvalidParameters,
        }
    }
}

impl From<NodeIdError> for Error {
    fn from(error: NodeIdError) -> Error {
        Error::InvalidArgument(error.to_string())
    }
}

fn with_hint(hint: &str) -> String {
    if hint.is_empty() { String::new() } else { format!(": {hint}") }
}

fn with_cause(last: &Option<Box<Error>>) -> String {
    last.as_ref().map(|error| format!(", last: {error}")).unwrap_or_default()
}

fn status_text(code: i32) -> String {
    match Status::from_code(code) {
        Some(status) => format!("{status} ({code})"),
        None => code.to_string(),
    }
}
