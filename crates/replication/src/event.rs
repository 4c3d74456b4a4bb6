use bytes::Bytes;
use pegasus_types::{
    AppInfo, Ballot, ConfigUpdate, Decree, Mutation, NodeId, PartitionConfig, Proposal,
    UpdateOutcome,
};
use serde::{Deserialize, Serialize};

use crate::message::Message;

/// Everything that can happen to a replica. Events of one partition are fed one at a time.
#[derive(Clone, Debug)]
pub enum Event {
    /// A batch of client writes, already turned into results. Only offered while
    /// `Replica::admission` is `Open`; otherwise it is refused.
    Write {
        token: u64,
        timestamp_us: i64,
        body: Bytes,
    },
    Message {
        from: NodeId,
        message: Message,
    },
    /// Every log operation with a number up to `seq` is in the log, under the log's sync policy.
    Persisted {
        seq: u64,
    },
    /// The state of the `PersistState` effect with this number is on disk, synced.
    StatePersisted {
        seq: u64,
    },
    /// The engine holds everything up to `up_to` and reads see it.
    Applied {
        up_to: Decree,
    },
    /// The engine holds everything up to `up_to` without the log.
    Flushed {
        up_to: Decree,
    },
    /// The configuration according to the meta server: a push or an answer to a config sync.
    /// `asked_in` is the meta-lease epoch in which the question was asked, None for a push.
    Config {
        config: PartitionConfig,
        asked_in: Option<u64>,
    },
    /// `nonce` is random; it names the learner if this proposal adds one.
    Proposal {
        proposal: Proposal,
        nonce: u64,
    },
    /// Answer to an `Update` effect; `asked` is the configuration that was asked for, so that a
    /// late answer to an earlier question is not taken for the answer to this one.
    UpdateReply {
        asked: PartitionConfig,
        outcome: UpdateOutcome,
    },
    /// Answer to `ReadLog`; None: the log does not reach back that far.
    LogRead {
        to: NodeId,
        nonce: u64,
        after: Decree,
        mutations: Option<Vec<Mutation>>,
    },
    /// Answer to `CopyCheckpoint`: the engine now holds exactly this state, durable, and the log is
    /// empty; or it failed and engine and log are as before.
    CopyFinished {
        nonce: u64,
        result: Result<CopiedState, String>,
    },
    /// The link to this peer was lost or set up anew: what was sent may not have arrived.
    PeerReset {
        peer: NodeId,
    },
    /// Nothing was heard from this peer for the silence limit.
    PeerSilent {
        peer: NodeId,
    },
    /// A lease to or from somebody changed: look at the lease view again.
    LeasesChanged,
    /// Table facts changed.
    App {
        app: Box<AppInfo>,
    },
    /// A disk, the log or the engine failed: stop taking part.
    Failed {
        reason: String,
    },
    Tick,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopiedState {
    pub decree: Decree,
    pub chain: u64,
}

/// What the outside must do, in this order. Completions come back as events.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Write and sync the small state file, then `StatePersisted`. Later numbers replace earlier.
    PersistState {
        seq: u64,
        state: PersistentState,
    },
    /// Append to the log. Log operations are numbered and must be carried out in order.
    Append {
        seq: u64,
        mutation: Mutation,
    },
    /// Record in the log that everything above `above` is void.
    TruncateLog {
        seq: u64,
        above: Decree,
    },
    /// Drop log records at or below `below` when convenient: the engine holds them durably.
    CollectLog {
        below: Decree,
    },
    Send {
        to: NodeId,
        message: Message,
    },
    /// Apply to the engine in order, then `Applied`.
    Apply {
        mutations: Vec<Mutation>,
    },
    Reply {
        token: u64,
        result: WriteResult,
    },
    /// The outcome of this write will never be known: drop its callers without an answer.
    Forget {
        token: u64,
    },
    /// Publish to the read path, replacing the previous gate before anything else happens.
    Gate(Gate),
    /// Ask the meta server to change the configuration, then `UpdateReply`. May be repeated.
    Update(ConfigUpdate),
    /// Ask the meta server for this partition's configuration, then `Config` with `asked_in`.
    AskMeta {
        epoch: u64,
    },
    /// Read committed log records `after+1 ..= up_to` (at most `max_bytes`), then `LogRead`.
    ReadLog {
        to: NodeId,
        nonce: u64,
        after: Decree,
        up_to: Decree,
        max_bytes: usize,
    },
    /// Replace the local engine by a checkpoint of `from`, empty the log, then `CopyFinished`.
    CopyCheckpoint {
        from: NodeId,
        nonce: u64,
    },
    /// This replica takes no further part; its files stay. Report loudly.
    Fenced {
        reason: String,
    },
}

pub type Effects = Vec<Effect>;

/// What must survive a restart besides log and engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersistentState {
    /// The last configuration this replica took part in, as member or learner.
    pub config: PartitionConfig,
    /// The last ballot in which it was a member, 0 if that says nothing about what it holds now.
    pub member_ballot: Ballot,
    /// The primary it followed last, which may still rely on what this node promised.
    pub followed: Option<Followed>,
    /// Some while it has been a learner since: what it was taught under.
    pub learner: Option<LearnerMark>,
}

/// The primary a replica followed, and in which ballot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Followed {
    pub primary: NodeId,
    pub ballot: Ballot,
}

/// How far a learner has come, kept across restarts: a configuration may list it before it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LearnerMark {
    pub nonce: u64,
    /// Its log held the whole history of its primary once, and lost nothing since.
    pub matched: bool,
}

/// The result of one `Write`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteResult {
    Committed(Decree),
    Refused(Refusal),
}

/// Why a write is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// ERR_INVALID_STATE: not the primary.
    NotPrimary,
    /// ERR_NOT_ENOUGH_MEMBER: fewer members than writes need.
    NotEnoughMembers,
    /// ERR_BUSY: the window is full; the caller should have asked `admission`.
    Busy,
}

/// Whether a `Write` may be offered now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    Open,
    /// Keep it and look again after the next step.
    Wait,
    Refuse(Refusal),
}

/// The read path's view of a replica (design 3, rule 3). Immutable; a new one replaces it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gate {
    pub ballot: Ballot,
    pub role: GateRole,
    /// Reads need an unexpired lease of exactly this epoch from each of these nodes.
    pub leases: Vec<(NodeId, u64)>,
    /// With no other member: the meta lease's epoch that reads need.
    pub meta_lease: Option<u64>,
    /// Reads need `last_applied >= barrier`.
    pub barrier: Decree,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateRole {
    /// Serves all reads while the leases hold.
    Primary,
    /// Serves backup requests only.
    Secondary,
    /// Serves nothing.
    Closed,
}
