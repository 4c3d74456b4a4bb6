use pegasus_types::{AppInfo, Decree, Mutation, NodeId, PartitionId};

use crate::event::PersistentState;

/// How one replica behaves. All times in milliseconds.
#[derive(Clone, Debug)]
pub struct Options {
    pub me: NodeId,
    pub pid: PartitionId,
    /// Members (primary included) a configuration needs before a write is taken or acknowledged;
    /// `mutation_2pc_min_replica_count`, 1 or more.
    pub min_ack_members: usize,
    /// Decrees prepared but not yet committed, at most.
    pub window: usize,
    /// Decrees prepared but not yet applied, at most: an engine that stalls holds the log back.
    pub apply_backlog: usize,
    /// Bytes of applied mutations kept in memory for members and learners that lag.
    pub cache_bytes: usize,
    /// Mutations in flight to one peer that catches up, at most.
    pub stream_limit: usize,
    /// Bytes of log records in one learn answer.
    pub learn_bytes: usize,
    /// A peer that owes an answer for this long is asked again.
    pub retransmit_ms: u64,
    /// A member that owes an answer for this long has failed.
    pub prepare_timeout_ms: u64,
    /// A peer from which no heartbeat was heard for this long is gone.
    pub silence_ms: u64,
    /// A learner from which nothing was heard for this long is dropped.
    pub learner_timeout_ms: u64,
    /// A commit that no prepare carried is told to the members after this long.
    pub commit_notice_ms: u64,
    /// An idle primary tells its members the committed decree this often.
    pub group_check_ms: u64,
}

impl Options {
    pub fn new(me: NodeId, pid: PartitionId) -> Options {
        Options {
            me,
            pid,
            min_ack_members: 2,
            window: 64,
            apply_backlog: 4096,
            cache_bytes: 1 << 20,
            stream_limit: 512,
            learn_bytes: 1 << 20,
            retransmit_ms: 500,
            prepare_timeout_ms: 3000,
            silence_ms: 1000,
            learner_timeout_ms: 20_000,
            commit_notice_ms: 3,
            group_check_ms: 10_000,
        }
    }
}

/// What a replica finds on its disk when it opens.
#[derive(Clone, Debug)]
pub struct Restored {
    /// None if this replica never took part.
    pub state: Option<PersistentState>,
    pub app: AppInfo,
    /// What the engine holds without the log, and the chain there.
    pub durable: Decree,
    pub durable_chain: u64,
    /// Surviving log records in order of decree.
    pub log: Vec<Mutation>,
    /// The tail of the log may have been lost (design 3, rule 6).
    pub suspect: bool,
}
