//! What reaches a shard from other threads.

use std::sync::{Arc, Mutex};

use pegasus_net::ReplySender;
use pegasus_replication::{CopiedState, Event, Message, Restored};
use pegasus_storage::{Engine, Log, ReplicaDir};
use pegasus_types::{AppInfo, Decree, NodeId, PartitionConfig, PartitionId, Tick};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use crate::writes::WriteOp;

/// One item of a shard's inbox. Items of one partition are handled in the order of arrival.
pub enum ToShard {
    /// A validated write of a client.
    Write(ClientWrite),
    /// Part of an envelope of a peer.
    Messages { from: NodeId, messages: Vec<(PartitionId, Message)> },
    /// The completion of something this partition asked for. Dropped if the partition was closed
    /// and opened again in between.
    Done { pid: PartitionId, generation: u64, done: Completion },
    /// An event for one partition from outside.
    Event { pid: PartitionId, event: Event },
    /// A proposal of the meta server; may create the partition.
    Proposal { proposal: pegasus_types::Proposal, app: AppInfo },
    /// What the meta server says about a partition and its table.
    Told { config: PartitionConfig, app: AppInfo, asked_in: Option<u64> },
    /// An event for every partition of the shard that has this peer (every partition if None).
    Everybody { peer: Option<NodeId>, event: Event },
    /// A replica that was opened in the background, or not.
    Opened { pid: PartitionId, result: Result<Box<Opened>, String> },
    /// The table of this replica is gone for good: close it and move its files aside.
    Garbage { pid: PartitionId },
    /// Answered when everything sent before has been taken in.
    Reached { done: oneshot::Sender<()> },
    /// Serve nothing from now on and hand everything over.
    Stop { left: oneshot::Sender<Vec<Left>> },
}

/// The end of something that a partition started.
pub enum Completion {
    Event(Event),
    /// The blocking pool applied a batch that the engine would not take without a stall.
    Applied(Result<Decree, String>),
    /// The state with this number is on disk.
    StateSaved {
        seq: u64,
        result: Result<(), String>,
    },
    /// A checkpoint is complete in the learn directory.
    Downloaded {
        nonce: u64,
        result: Result<CopiedState, String>,
    },
    /// The engine was exchanged, or not.
    Installed {
        nonce: u64,
        outcome: InstallOutcome,
    },
    /// A flush ended.
    Flushed(Result<Decree, String>),
}

pub enum InstallOutcome {
    Done {
        engine: Arc<Engine>,
        copied: CopiedState,
    },
    /// Engine and log are as before.
    Unchanged {
        engine: Arc<Engine>,
        reason: String,
    },
    /// There is no usable engine any more.
    Broken {
        reason: String,
    },
}

/// A replica directory with everything in it open.
pub struct Opened {
    pub dir: ReplicaDir,
    pub engine: Arc<Engine>,
    pub log: Arc<Mutex<Log>>,
    pub restored: Restored,
}

/// What a stopped partition leaves behind, to be flushed.
pub struct Left {
    pub pid: PartitionId,
    pub engine: Option<Arc<Engine>>,
    pub log: Arc<Mutex<Log>>,
}

pub struct ClientWrite {
    pub pid: PartitionId,
    pub op: WriteOp,
    pub reply: ReplySender,
    pub expires: Tick,
}

/// The way back to one incarnation of a partition.
#[derive(Clone)]
pub struct Home {
    pub inbox: UnboundedSender<ToShard>,
    pub pid: PartitionId,
    pub generation: u64,
}

impl Home {
    /// Lost if the shard has ended: then nobody waits for it.
    pub fn send(&self, done: Completion) {
        let _ = self.inbox.send(ToShard::Done { pid: self.pid, generation: self.generation, done });
    }

    pub fn event(&self, event: Event) {
        self.send(Completion::Event(event));
    }
}
