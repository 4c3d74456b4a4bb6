use pegasus_types::{AppInfo, Ballot, Decree, Mutation, PartitionConfig};
use serde::{Deserialize, Serialize};

/// What replicas of one partition say to each other. Every message names the sender's ballot;
/// the link delivers in order or tells both sides that it was reset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// Primary to member or streaming learner: first message of a ballot, and again whenever the
    /// peer's position is in doubt (link reset, new lease epoch, restart of the peer).
    Sync(Sync),
    SyncAck(SyncAck),
    /// Primary to member or streaming learner: append this.
    Prepare {
        ballot: Ballot,
        mutation: Mutation,
        /// The primary's committed decree and its chain at that decree.
        committed: Decree,
        committed_chain: u64,
    },
    /// "My log holds everything up to `acked`, as you sent it, persisted under the log's policy."
    PrepareAck {
        ballot: Ballot,
        acked: Decree,
    },
    /// Primary to members: commit up to here if your chain at `committed` is the same.
    Commit {
        ballot: Ballot,
        committed: Decree,
        chain: u64,
    },
    /// "I know a higher ballot than yours": a deposed primary learns that it was deposed.
    Stale {
        ballot: Ballot,
    },
    /// "I am not ready for this; start again with Sync" (restarted, gap, or chain mismatch).
    NeedSync {
        ballot: Ballot,
    },
    /// "I have no usable replica here": sent for a node that lost its data or gave up.
    Absent {
        ballot: Ballot,
    },
    /// Primary to a node: become my learner.
    AddLearner {
        ballot: Ballot,
        nonce: u64,
        config: PartitionConfig,
        app: Box<AppInfo>,
    },
    /// Learner to primary: my history ends at `last` with `chain`; give me what follows.
    LearnRequest {
        ballot: Ballot,
        nonce: u64,
        last: Decree,
        chain: u64,
    },
    /// Learner to primary, in answer to a repeated invitation: still at it.
    Learning {
        ballot: Ballot,
        nonce: u64,
    },
    LearnReply {
        ballot: Ballot,
        nonce: u64,
        plan: LearnPlan,
    },
    /// A former primary tells a member that it serves nothing in this or an older ballot, so the
    /// member need not wait until its promise expires.
    Released {
        ballot: Ballot,
    },
    /// Primary to a learner or former member: you are not part of this ballot.
    Dismiss {
        ballot: Ballot,
        config: PartitionConfig,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sync {
    pub ballot: Ballot,
    pub config: PartitionConfig,
    /// Some for a learner, with the nonce it was added with.
    pub learner: Option<u64>,
    /// Distinguishes repeated Syncs; echoed.
    pub round: u64,
    /// The primary's committed decree.
    pub committed: Decree,
    /// What was prepared when this primary's tenure began: an earlier ballot may have committed it.
    pub barrier: Decree,
    /// The primary's chain at `committed`, `committed + 1`, ... up to its last prepared decree;
    /// never empty.
    pub chains: Vec<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncAck {
    pub ballot: Ballot,
    pub round: u64,
    pub outcome: SyncOutcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SyncOutcome {
    /// The member holds exactly the primary's history up to `matched` (persisted) and nothing after.
    Matched { matched: Decree },
    /// The member's history ends at `last` with `chain`, below the primary's committed decree;
    /// the primary may resend from there if it still has the records and the chain fits.
    Behind { last: Decree, chain: u64 },
    /// The member committed something the primary does not have: the primary must not serve.
    Ahead { committed: Decree },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LearnPlan {
    /// Committed mutations that follow the learner's `last`, in order, without holes.
    Records { mutations: Vec<Mutation> },
    /// The rest comes as Sync and Prepare.
    Stream,
    /// Too far behind, or another history: copy a checkpoint from the primary.
    Copy,
    /// Ask again a little later.
    Retry,
}
