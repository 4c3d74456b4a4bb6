//! What every thread of a node shares.

use std::sync::Arc;

use pegasus_net::Identity;
use pegasus_replication::Event;
use pegasus_storage::{DataDirs, DiskWriter, EngineOptions};
use pegasus_types::{NodeId, PartitionId};
use tokio::sync::mpsc::UnboundedSender;

use crate::inbox::ToShard;
use crate::leases::LeaseBoard;
use crate::meta_link::MetaAsk;
use crate::peers::Links;
use crate::readers::Readers;
use crate::settings::Settings;
use crate::table::Table;

/// See the module's documentation.
pub struct Shared {
    pub settings: Settings,
    pub me: NodeId,
    /// What this node says about itself when it dials.
    pub identity: Identity,
    /// `server` of every response.
    pub server: Arc<str>,
    pub board: LeaseBoard,
    pub table: Table,
    pub shards: Vec<UnboundedSender<ToShard>>,
    /// One per configured disk, in the order of `dirs`.
    pub disks: Vec<DiskWriter>,
    pub dirs: DataDirs,
    pub engine_options: EngineOptions,
    /// The runtime for everything that may wait: blocking pool, learning, meta server.
    pub background: tokio::runtime::Handle,
    /// For client reads that may wait for the disk.
    pub readers: Readers,
    pub meta: UnboundedSender<MetaAsk>,
    pub links: Links,
}

impl Shared {
    pub fn shard_of(&self, pid: PartitionId) -> usize {
        shard_of(pid, self.shards.len())
    }

    /// Hands an item to the shard that owns `pid`.
    pub fn tell(&self, pid: PartitionId, item: ToShard) {
        if let Some(inbox) = self.shards.get(self.shard_of(pid)) {
            let _ = inbox.send(item);
        }
    }

    /// Gives an event to every partition that has `peer`, or to all.
    pub fn tell_everybody(&self, peer: Option<&NodeId>, event: &Event) {
        for inbox in &self.shards {
            let item = ToShard::Everybody { peer: peer.cloned(), event: event.clone() };
            let _ = inbox.send(item);
        }
    }

    /// Runs `job` where it may block.
    pub fn blocking(self: &Arc<Self>, job: impl FnOnce(&Arc<Shared>) + Send + 'static) {
        let shared = Arc::clone(self);
        self.background.spawn_blocking(move || job(&shared));
    }
}

/// The owner of a partition: a fixed hash of its id, so that it can be found without a table. Both
/// parts are mixed well, or the partitions of a small table would gather on few shards.
pub fn shard_of(pid: PartitionId, shards: usize) -> usize {
    let (app_id, index) = (u64::from(pid.app_id as u32), u64::from(pid.index as u32));
    let spread = app_id.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(index);
    let shards = u64::try_from(shards.max(1)).unwrap_or(1);
    usize::try_from(spread % shards).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_partitions_live_on_different_shards() {
        let owners: Vec<_> = (0..4).map(|i| shard_of(PartitionId::new(2, i), 4)).collect();
        let mut sorted = owners.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, vec![0, 1, 2, 3], "{owners:?}");
        assert_eq!(shard_of(PartitionId::new(-1, -1), 1), 0);
    }
}
