use std::io;

use pegasus_types::NodeId;

/// What can go wrong on a connection, for the side that must decide what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    #[error("cannot {what}: {source}")]
    Io { what: String, source: io::Error },
    #[error("no answer within the time limit while trying to {what}")]
    Timeout { what: String },
    /// The other side answered, and said no.
    #[error("{target} refused the connection: {reason}")]
    Refused { target: NodeId, reason: String },
    #[error("handshake failed: {reason}")]
    Handshake { reason: String },
    /// Something else than the wanted node listens at this address.
    #[error("expected {expected}, but the process there calls itself {found}")]
    WrongNode { expected: NodeId, found: NodeId },
    #[error("connection lost: {reason}")]
    Lost { reason: String },
    /// An envelope is missing or repeated: order is lost (design 3, rule 8).
    #[error("envelope {found} arrived where {expected} was due")]
    Gap { expected: u64, found: u64 },
    #[error("a newer connection of the same peer took over")]
    Superseded,
    /// More was queued for a peer than may wait in memory.
    #[error("the queue to the peer overflowed")]
    Overflow,
}

impl NetError {
    pub(crate) fn io(what: impl Into<String>, source: io::Error) -> NetError {
        NetError::Io { what: what.into(), source }
    }

    pub(crate) fn handshake(reason: impl Into<String>) -> NetError {
        NetError::Handshake { reason: reason.into() }
    }

    pub(crate) fn lost(reason: impl ToString) -> NetError {
        NetError::Lost { reason: reason.to_string() }
    }
}
