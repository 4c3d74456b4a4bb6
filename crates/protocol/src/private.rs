//! The private protocol between our own daemons: tarpc services whose messages are the cores' own
//! types (design 5). Bulk data and heartbeats travel on connections of their own.

use bytes::Bytes;
use pegasus_replication::Message;
use pegasus_types::{
    AppInfo, ConfigUpdate, Decree, NodeId, PartitionConfig, PartitionId, Proposal, ReplicaReport,
    Tick, UpdateOutcome,
};
use serde::{Deserialize, Serialize};

/// First bytes of every private connection, followed by a [`Hello`] (u32 LE length, bincode).
pub const PREAMBLE: [u8; 4] = *b"PGRS";

/// Oldest and newest version of the private protocol this build speaks.
pub const VERSION_MIN: u16 = 1;
pub const VERSION_MAX: u16 = 1;

/// Which service the dialling side wants on this connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServiceKind {
    /// [`Peer`]: replica server to replica server, mutations and membership.
    Peer,
    /// [`Lease`]: replica server to replica server, heartbeats only.
    Lease,
    /// [`Checkpoints`]: replica server to replica server, bulk copies.
    Checkpoints,
    /// [`MetaService`]: replica server to meta server.
    Meta,
    /// [`ReplicaControl`]: meta server to replica server.
    ReplicaControl,
}

/// What the dialling side says after the preamble. The answer is a [`HelloReply`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    pub version_min: u16,
    pub version_max: u16,
    pub cluster: String,
    pub node: NodeId,
    /// Grows with every start of the process (microseconds since the epoch at start).
    pub incarnation: u64,
    pub service: ServiceKind,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HelloReply {
    Welcome {
        version: u16,
        node: NodeId,
        incarnation: u64,
    },
    /// Why not; the connection is closed after this.
    Refused {
        reason: String,
    },
}

/// Everything queued for one peer since the last envelope. `sequence` starts at 1 on each
/// connection and grows by one; a gap means the link must be reset (design 3, rule 8).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    pub sequence: u64,
    pub messages: Vec<(PartitionId, Message)>,
}

#[tarpc::service]
pub trait Peer {
    /// Returns when the envelope was handed to the shards of its partitions.
    async fn deliver(envelope: Envelope);
}

#[tarpc::service]
pub trait Lease {
    /// Ask for a lease. The answer echoes `sent` and is given after the promise was recorded.
    async fn heartbeat(sent: Tick) -> Tick;
}

/// A pinned checkpoint: it stays readable until closed or until its connection ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointManifest {
    /// Names the pin in later calls on the same connection.
    pub pin: u64,
    pub decree: Decree,
    pub chain: u64,
    pub files: Vec<CheckpointFile>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointFile {
    /// Plain file name, no directory part.
    pub name: String,
    pub size: u64,
    /// CRC-32C of the whole file.
    pub crc32c: u32,
}

#[tarpc::service]
pub trait Checkpoints {
    /// Make and pin a checkpoint of this partition.
    async fn open(pid: PartitionId) -> Result<CheckpointManifest, String>;
    /// Read up to `len` bytes (at most 4 MiB) of a file of a pinned checkpoint.
    async fn read(pin: u64, name: String, offset: u64, len: u32) -> Result<Bytes, String>;
    async fn close(pin: u64);
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beacon {
    pub node: NodeId,
    pub incarnation: u64,
    /// On the sender's clock; echoed.
    pub sent: Tick,
    /// True in the last beacon of a process that shuts down: it serves nothing any more.
    pub goodbye: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeaconAck {
    pub sent: Tick,
    /// How long the lease lasts from `sent`, milliseconds; 0 grants none.
    pub lease_ms: u64,
    /// False: this meta server is not the leader; see `leader`.
    pub is_leader: bool,
    pub leader: Option<NodeId>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigSync {
    pub node: NodeId,
    pub incarnation: u64,
    pub replicas: Vec<ReplicaReport>,
}

/// Every partition that lists the asking node as a member, plus every partition that the node
/// reported, with its table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigSyncReply {
    pub partitions: Vec<(PartitionConfig, AppInfo)>,
    /// Reported replicas whose table is gone for good.
    pub garbage: Vec<PartitionId>,
}

/// A meta server that is not the leader says who is, if it knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotLeader {
    pub leader: Option<NodeId>,
}

#[tarpc::service]
pub trait MetaService {
    async fn beacon(beacon: Beacon) -> BeaconAck;
    async fn config_sync(request: ConfigSync) -> Result<ConfigSyncReply, NotLeader>;
    /// The configuration of one partition, as stored.
    async fn query_partition(pid: PartitionId) -> Result<Option<PartitionConfig>, NotLeader>;
    async fn update_configuration(request: ConfigUpdate) -> Result<UpdateOutcome, NotLeader>;
}

#[tarpc::service]
pub trait ReplicaControl {
    /// One-way in spirit: the answer only says that it arrived.
    async fn propose(proposal: Proposal, app: AppInfo);
    /// Configurations that changed, for the nodes they concern.
    async fn push_config(partitions: Vec<(PartitionConfig, AppInfo)>);
}
