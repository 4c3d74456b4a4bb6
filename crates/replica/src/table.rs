//! The partitions of this node as every thread sees them: the way from a partition id to its gate,
//! its engine and its owner shard, and the numbers it shows to meta server and operators.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::{ArcSwap, ArcSwapOption};
use pegasus_replication::Replica;
use pegasus_storage::Engine;
use pegasus_types::{AppInfo, Ballot, Decree, NodeId, PartitionId, ReplicaReport, ReplicaStatus};

use crate::gate::GateSnapshot;

/// One hosted partition, as seen from outside its shard.
pub struct Hosted {
    pub pid: PartitionId,
    /// Index of the shard that owns the partition.
    pub shard: usize,
    pub disk_tag: String,
    pub gate: ArcSwap<GateSnapshot>,
    /// None while the engine is being replaced or after it was closed.
    pub engine: ArcSwapOption<Engine>,
    pub app: ArcSwap<AppInfo>,
    /// Nodes whose leases this replica needs.
    pub peers: ArcSwap<Vec<NodeId>>,
    /// Highest decree that reads see; written only after the engine has it.
    applied: AtomicI64,
    ballot: AtomicI64,
    status: AtomicU8,
    prepared: AtomicI64,
    committed: AtomicI64,
    durable: AtomicI64,
    suspect: AtomicBool,
}

impl Hosted {
    pub fn new(
        pid: PartitionId,
        shard: usize,
        disk_tag: String,
        engine: Arc<Engine>,
        app: AppInfo,
    ) -> Hosted {
        let applied = engine.applied().0;
        Hosted {
            pid,
            shard,
            disk_tag,
            gate: ArcSwap::from_pointee(GateSnapshot::closed()),
            engine: ArcSwapOption::new(Some(engine)),
            app: ArcSwap::from_pointee(app),
            peers: ArcSwap::default(),
            applied: AtomicI64::new(applied.0),
            ballot: AtomicI64::new(0),
            status: AtomicU8::new(ReplicaStatus::Inactive as u8),
            prepared: AtomicI64::new(0),
            committed: AtomicI64::new(0),
            durable: AtomicI64::new(0),
            suspect: AtomicBool::new(false),
        }
    }

    pub fn applied(&self) -> Decree {
        Decree(self.applied.load(Ordering::Acquire))
    }

    /// Call after the engine holds `decree`, or with the decree of a new engine.
    pub fn set_applied(&self, decree: Decree) {
        self.applied.store(decree.0, Ordering::Release);
    }

    pub fn set_status(&self, status: ReplicaStatus) {
        self.status.store(status as u8, Ordering::Relaxed);
    }

    pub fn status(&self) -> ReplicaStatus {
        match self.status.load(Ordering::Relaxed) {
            2 => ReplicaStatus::Error,
            3 => ReplicaStatus::Primary,
            4 => ReplicaStatus::Secondary,
            5 => ReplicaStatus::Learner,
            _ => ReplicaStatus::Inactive,
        }
    }

    pub fn ballot(&self) -> Ballot {
        Ballot(self.ballot.load(Ordering::Relaxed))
    }

    pub fn is_suspect(&self) -> bool {
        self.suspect.load(Ordering::Relaxed)
    }

    /// Shows what the core says now; called by the owning shard at the end of a turn.
    pub fn publish(&self, core: &Replica) {
        let report = core.report();
        self.set_status(report.status);
        self.ballot.store(report.ballot.0, Ordering::Relaxed);
        self.prepared.store(report.prepared.0, Ordering::Relaxed);
        self.committed.store(report.committed.0, Ordering::Relaxed);
        self.durable.store(report.durable.0, Ordering::Relaxed);
        self.suspect.store(report.suspect, Ordering::Relaxed);
    }

    pub fn report(&self) -> ReplicaReport {
        ReplicaReport {
            pid: self.pid,
            ballot: self.ballot(),
            status: self.status(),
            committed: Decree(self.committed.load(Ordering::Relaxed)),
            prepared: Decree(self.prepared.load(Ordering::Relaxed)),
            durable: Decree(self.durable.load(Ordering::Relaxed)),
            suspect: self.is_suspect(),
            disk_tag: self.disk_tag.clone(),
        }
    }
}

type Map = HashMap<PartitionId, Arc<Hosted>>;

/// A replica directory that could not be loaded. It is left alone and reported.
#[derive(Clone, Debug)]
pub struct Broken {
    pub disk_tag: String,
    pub reason: String,
}

/// All partitions of this node.
#[derive(Default)]
pub struct Table {
    map: ArcSwap<Map>,
    writer: Mutex<BTreeMap<PartitionId, Broken>>,
    peers_generation: AtomicU64,
}

impl Table {
    /// The partitions at this moment; hold it only briefly.
    pub fn load(&self) -> arc_swap::Guard<Arc<Map>> {
        self.map.load()
    }

    pub fn get(&self, pid: PartitionId) -> Option<Arc<Hosted>> {
        self.map.load().get(&pid).cloned()
    }

    pub fn insert(&self, hosted: Arc<Hosted>) {
        let mut broken = self.lock();
        broken.remove(&hosted.pid);
        let mut map = Map::clone(&self.map.load());
        map.insert(hosted.pid, hosted);
        self.map.store(Arc::new(map));
        self.peers_changed();
    }

    pub fn remove(&self, pid: PartitionId) {
        let _one_writer = self.lock();
        let mut map = Map::clone(&self.map.load());
        map.remove(&pid);
        self.map.store(Arc::new(map));
        self.peers_changed();
    }

    pub fn add_broken(&self, pid: PartitionId, broken: Broken) {
        self.lock().insert(pid, broken);
    }

    pub fn remove_broken(&self, pid: PartitionId) -> Option<Broken> {
        self.lock().remove(&pid)
    }

    pub fn is_broken(&self, pid: PartitionId) -> bool {
        self.lock().contains_key(&pid)
    }

    pub fn broken(&self) -> BTreeMap<PartitionId, Broken> {
        self.lock().clone()
    }

    /// One report per replica on this node, the broken ones included.
    pub fn reports(&self) -> Vec<ReplicaReport> {
        let mut reports: Vec<_> = self.map.load().values().map(|h| h.report()).collect();
        reports.extend(self.lock().iter().map(|(pid, broken)| ReplicaReport {
            pid: *pid,
            ballot: Ballot::ZERO,
            status: ReplicaStatus::Error,
            committed: Decree::ZERO,
            prepared: Decree::ZERO,
            durable: Decree::ZERO,
            suspect: true,
            disk_tag: broken.disk_tag.clone(),
        }));
        reports.sort_by_key(|r| r.pid);
        reports
    }

    /// Some replica has other peers than before.
    pub fn peers_changed(&self) {
        self.peers_generation.fetch_add(1, Ordering::AcqRel);
    }

    /// Changes whenever [`Table::peers`] may have.
    pub fn peers_generation(&self) -> u64 {
        self.peers_generation.load(Ordering::Acquire)
    }

    /// Every node that some hosted replica needs.
    pub fn peers(&self) -> BTreeSet<NodeId> {
        let map = self.map.load();
        map.values().flat_map(|h| h.peers.load().iter().cloned().collect::<Vec<_>>()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PartitionId, Broken>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
