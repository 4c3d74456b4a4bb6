//! What the partitions of a shard want done in one turn, merged: one batch of log operations per
//! disk, then one bundle of messages per peer (design 4).

use std::collections::BTreeMap;

use pegasus_replication::Message;
use pegasus_storage::LogBatch;
use pegasus_types::{NodeId, PartitionId};

use crate::shared::Shared;

/// See the module's documentation.
pub struct Turn {
    disks: Vec<Vec<LogBatch>>,
    sends: BTreeMap<NodeId, Vec<(PartitionId, Message)>>,
}

impl Turn {
    pub fn new(disks: usize) -> Turn {
        Turn { disks: (0..disks).map(|_| Vec::new()).collect(), sends: BTreeMap::new() }
    }

    pub fn log(&mut self, disk: usize, batch: LogBatch) {
        if let Some(batches) = self.disks.get_mut(disk) {
            batches.push(batch);
        }
    }

    /// Messages to one node keep their order.
    pub fn send(&mut self, to: NodeId, pid: PartitionId, message: Message) {
        self.sends.entry(to).or_default().push((pid, message));
    }

    /// Hands everything over. Disks first: an envelope to a peer is work for its whole way, and
    /// the local write should run beside it.
    pub fn finish(&mut self, shared: &Shared) {
        for (writer, batches) in shared.disks.iter().zip(&mut self.disks) {
            if !batches.is_empty() {
                writer.submit(std::mem::take(batches));
            }
        }
        for (peer, messages) in std::mem::take(&mut self.sends) {
            shared.links.queue(&peer, messages);
        }
    }
}
