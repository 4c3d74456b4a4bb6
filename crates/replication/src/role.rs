use std::collections::BTreeMap;

use pegasus_types::{ConfigUpdate, Decree, NodeId, Tick};

use crate::message::SyncOutcome;

/// What a replica is doing.
#[derive(Clone, Debug)]
pub(crate) enum Role {
    /// Holds data, takes no part until somebody tells it to.
    Inactive,
    Primary(Box<Primary>),
    Secondary(Follower),
    Learner(Learner),
    /// Gave up after a failure; only answers that it is not there.
    Fenced,
}

#[derive(Clone, Debug)]
pub(crate) struct Primary {
    pub phase: Phase,
    /// The secondaries of the configuration in force.
    pub members: BTreeMap<NodeId, Peer>,
    pub learners: BTreeMap<NodeId, LearnerPeer>,
    /// A restarted node that does not know whom it followed waits until here.
    pub not_before: Tick,
    /// Reads need everything up to here (all that was prepared when this tenure began).
    pub barrier: Decree,
    /// True once every member of some ballot of this tenure was synced.
    pub serving: bool,
    /// The meta lease epoch in which the meta server confirmed this configuration.
    pub meta_confirmed: Option<u64>,
    pub meta_asked: Option<(u64, Tick)>,
    /// Applied decrees whose clients wait for a lease.
    pub held_replies: Vec<(Decree, u64)>,
    /// Committed decree last told to everybody, and when the next notice is due.
    pub noticed: Decree,
    pub notice_at: Option<Tick>,
    pub group_check_at: Tick,
    pub next_round: u64,
}

impl Primary {
    /// Everybody who receives the stream: members, and learners that got that far.
    pub fn streams(&self) -> impl Iterator<Item = (&NodeId, &Peer)> {
        let learners = self.learners.iter().filter_map(|(n, l)| Some((n, l.stream.as_ref()?)));
        self.members.iter().chain(learners)
    }

    pub fn streams_mut(&mut self) -> impl Iterator<Item = (&NodeId, &mut Peer)> {
        let learners = self.learners.iter_mut().filter_map(|(n, l)| Some((n, l.stream.as_mut()?)));
        self.members.iter_mut().chain(learners)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The ballot is being written to disk; nobody may hear of it before.
    Persisting,
    /// Waiting until the promise to the former primary runs out.
    Promised,
    /// Members are being synced.
    Syncing,
    /// Every member of this ballot was synced once.
    Open,
}

/// What a primary knows about one peer that receives its stream.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// When it became a peer of this primary.
    pub since: Tick,
    /// The peer answered the latest Sync and takes prepares.
    pub synced: bool,
    /// Some Sync found its log equal to the primary's.
    pub matched: bool,
    /// Number and send time of the latest Sync, and the lease epoch it was sent in.
    pub round: u64,
    pub sync_at: Tick,
    pub sync_epoch: Option<u64>,
    /// The lease epoch in which the peer confirmed this primary.
    pub confirmed: Option<u64>,
    /// The peer's log holds everything up to here.
    pub acked: Decree,
    /// Prepares were sent up to here.
    pub sent: Decree,
    /// Since when it owes us something without any progress.
    pub waiting_since: Tick,
}

impl Peer {
    pub fn new(now: Tick) -> Peer {
        Peer {
            since: now,
            synced: false,
            matched: false,
            round: 0,
            sync_at: Tick::ZERO,
            sync_epoch: None,
            confirmed: None,
            acked: Decree::ZERO,
            sent: Decree::ZERO,
            waiting_since: now,
        }
    }

    /// The stream must start again with a Sync.
    pub fn unsync(&mut self, now: Tick) {
        if self.synced && self.acked >= self.sent {
            self.waiting_since = now;
        }
        self.synced = false;
        self.sync_at = Tick::ZERO;
    }
}

/// A node that a primary is teaching.
#[derive(Clone, Debug)]
pub(crate) struct LearnerPeer {
    pub nonce: u64,
    /// Some once it receives the stream.
    pub stream: Option<Peer>,
    pub since: Tick,
    pub asked_at: Tick,
    pub heard_at: Tick,
}

/// The follower's side of a Sync, in a secondary or a streaming learner.
#[derive(Clone, Debug, Default)]
pub(crate) struct Follower {
    /// True once a Sync of the current ballot was taken: the window is a prefix of the primary's.
    pub synced: bool,
    pub last_round: u64,
    /// An answer that waits until what it claims is on disk.
    pub owed: Option<OwedAck>,
    /// Highest decree acknowledged in this ballot.
    pub acked: Decree,
}

#[derive(Clone, Debug)]
pub(crate) struct OwedAck {
    pub round: u64,
    pub outcome: SyncOutcome,
    pub state_seq: u64,
    pub log_seq: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Learner {
    pub nonce: u64,
    pub primary: NodeId,
    pub stage: LearnStage,
    pub follower: Follower,
    pub asked_at: Tick,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LearnStage {
    /// Asking for what follows the local history.
    Fetching,
    /// Wants a checkpoint; waits until log and engine are quiet.
    CopyWanted,
    Copying,
    Streaming,
}

/// A configuration change whose outcome is not known yet.
#[derive(Clone, Debug)]
pub(crate) struct PendingUpdate {
    pub request: ConfigUpdate,
    pub asked_at: Tick,
}
