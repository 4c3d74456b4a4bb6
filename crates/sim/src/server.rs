use std::collections::{BTreeMap, VecDeque};

use pegasus_replication::{Effect, Gate, LeaseTable, Message, Replica};
use pegasus_types::{
    AppInfo, Decree, NodeId, PartitionConfig, PartitionId, Proposal, Tick, UpdateOutcome,
};

use crate::clock::{Clock, Instant};
use crate::disk::{DiskLog, StateFile};
use crate::engine::{Engine, Image};
use crate::history::{OpId, Request};

/// What happens to a server process. It is dropped if the process it was meant for is gone.
#[derive(Clone, Debug)]
pub enum ServerEvent {
    Message {
        from: usize,
        pid: PartitionId,
        message: Message,
    },
    /// The link to or from this server was lost or set up anew.
    LinkReset {
        peer: usize,
    },
    Heartbeat {
        from: usize,
        life: u64,
        sent: Tick,
    },
    HeartbeatAnswer {
        from: usize,
        sent: Tick,
    },
    HeartbeatTimer,
    BeaconTimer,
    SyncTimer,
    FlushTimer {
        pid: PartitionId,
        birth: u64,
    },
    Wake {
        pid: PartitionId,
        birth: u64,
    },
    LogWritten {
        pid: PartitionId,
        birth: u64,
    },
    StateWritten {
        pid: PartitionId,
        birth: u64,
    },
    ApplyDone {
        pid: PartitionId,
        birth: u64,
    },
    FlushDone {
        pid: PartitionId,
        birth: u64,
    },
    LogRead {
        pid: PartitionId,
        birth: u64,
        to: NodeId,
        nonce: u64,
        after: Decree,
        up_to: Decree,
        max_bytes: usize,
    },
    CopyStep {
        pid: PartitionId,
        birth: u64,
    },
    BeaconAck {
        sent: Tick,
        lease_ms: u64,
    },
    Told {
        config: PartitionConfig,
        app: Option<AppInfo>,
        asked_in: Option<u64>,
    },
    Propose {
        proposal: Proposal,
        app: AppInfo,
        nonce: u64,
    },
    UpdateReply {
        pid: PartitionId,
        config: PartitionConfig,
        outcome: UpdateOutcome,
    },
    Client {
        op: OpId,
        pid: PartitionId,
        request: Request,
    },
}

/// Things that arrive in the order in which they were sent; two channels do not wait for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Channel {
    Link(usize),
    Partition(PartitionId),
    Other(u64),
}

/// One machine and the server process on it.
pub struct Server {
    pub id: NodeId,
    pub clock: Clock,
    pub up: bool,
    /// Number of the process; grows with every start.
    pub life: u64,
    /// While paused: when it goes on, and what waits.
    pub paused_until: Option<Instant>,
    pub deferred: Vec<(Channel, ServerEvent)>,
    pub leases: LeaseTable,
    /// The leases as the replicas last heard of them.
    pub known_leases: BTreeMap<NodeId, Option<u64>>,
    pub known_meta_lease: Option<u64>,
    /// Since when a peer is watched, and when it was last called silent.
    pub watched: BTreeMap<NodeId, Tick>,
    pub partitions: BTreeMap<PartitionId, Partition>,
    /// Crash after so many more effects.
    pub fuse: Option<u64>,
    /// Its data directory was lost and the last word about that is not spoken.
    pub lost_data: bool,
}

/// One partition on one machine.
pub struct Partition {
    pub disk: Disk,
    /// None while the process is down.
    pub hosted: Option<Hosted>,
}

/// What survives the process.
#[derive(Clone, Debug)]
pub struct Disk {
    pub app: AppInfo,
    pub log: DiskLog,
    pub state: StateFile,
    pub engine: Engine,
    /// The tail of the log may have been lost.
    pub suspect: bool,
}

/// What the process has in memory.
pub struct Hosted {
    /// Distinguishes this open replica from earlier ones.
    pub birth: u64,
    pub replica: Replica,
    pub gate: Option<Gate>,
    pub waiting: VecDeque<(OpId, Request, Instant)>,
    pub tokens: BTreeMap<u64, Vec<OpId>>,
    pub next_token: u64,
    /// When the next wake-up is scheduled.
    pub wake: Option<Instant>,
    pub copy: Option<Copy>,
    /// Effects that need an engine, kept while it is being replaced.
    pub deferred: VecDeque<Effect>,
}

/// A checkpoint on its way here.
pub struct Copy {
    pub from: usize,
    pub from_life: u64,
    pub nonce: u64,
    pub stage: CopyStage,
}

pub enum CopyStage {
    /// The source is asked.
    Asking,
    /// The image is being transferred.
    Transferring(Image),
    /// The image is complete and replaces engine and log.
    Installing(Image),
}

impl Disk {
    pub fn new(app: AppInfo) -> Disk {
        Disk {
            app,
            log: DiskLog::default(),
            state: StateFile::default(),
            engine: Engine::default(),
            suspect: false,
        }
    }

    /// Whether the mutation with this chain at `decree` would be found again after a crash.
    pub fn holds(
        &self,
        decree: Decree,
        chain: u64,
        chain_at: impl Fn(Decree) -> Option<u64>,
    ) -> bool {
        let image = &self.engine.flushed;
        if image.decree >= decree {
            return image.decree == Decree::ZERO || chain_at(image.decree) == Some(image.chain);
        }
        self.log.at(decree).is_some_and(|m| m.chain == chain)
    }
}

impl Server {
    pub fn new(index: usize, clock: Clock, leases: LeaseTable) -> Server {
        Server {
            id: node_id(index),
            clock,
            up: false,
            life: 0,
            paused_until: None,
            deferred: Vec::new(),
            leases,
            known_leases: BTreeMap::new(),
            known_meta_lease: None,
            watched: BTreeMap::new(),
            partitions: BTreeMap::new(),
            fuse: None,
            lost_data: false,
        }
    }

    pub fn hosted(&self, pid: PartitionId) -> Option<&Hosted> {
        self.partitions.get(&pid)?.hosted.as_ref()
    }

    /// Every node that some replica here needs.
    pub fn peers(&self) -> std::collections::BTreeSet<NodeId> {
        let hosted = self.partitions.values().filter_map(|p| p.hosted.as_ref());
        hosted.flat_map(|h| h.replica.peers()).filter(|peer| *peer != self.id).collect()
    }
}

/// Servers are called n1, n2, ...
pub fn node_id(index: usize) -> NodeId {
    NodeId::new(&format!("n{}", index + 1), 34801)
}

/// The index of a server; None for a node that is none of ours.
pub fn index_of(node: &NodeId) -> Option<usize> {
    node.host().strip_prefix('n')?.parse::<usize>().ok()?.checked_sub(1)
}
