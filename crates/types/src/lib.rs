//! The vocabulary that every other crate shares: identifiers, ballots, decrees, partition
//! configurations, error codes, and the key and value schema of Pegasus.
//!
//! Nothing here knows how a message is encoded, what a socket is, or what time it is.

mod ballot;
mod config;
mod decree;
mod id;
mod membership;
mod mutation;
mod tick;

pub use ballot::Ballot;
pub use config::{AppInfo, AppStatus, PartitionConfig};
pub use decree::{Applied, Committed, Decree, Durable, Prepared};
pub use id::{NodeId, NodeIdError, PartitionId};
pub use membership::{
    ChangeKind, ConfigUpdate, Proposal, ReplicaReport, ReplicaStatus, UpdateOutcome,
};
pub use mutation::{Mutation, chain_after};
pub use tick::Tick;

pub mod error;
pub mod key;
pub mod status;
pub mod value;

pub use error::{ErrorCode, UnknownErrorCode};
pub use key::{
    KeyError, MAX_HASH_KEY_LEN, decode_key, encode_key, encode_key_into, next_prefix,
    partition_hash, partition_hash_of_key,
};
pub use status::Status;
pub use value::{
    DataVersion, EPOCH_BEGIN, ValueError, ValueHeader, epoch_secs, is_expired, timetag,
};
