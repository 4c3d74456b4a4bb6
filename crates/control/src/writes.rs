use std::collections::BTreeMap;

use pegasus_types::{PartitionId, Tick};

use crate::{Effect, Effects, PersistError, StoreOp};

/// Ops in one transaction at most; keeps it well below the 1 MB that ZooKeeper takes.
pub(crate) const MAX_OPS: usize = 512;

/// What a transaction brings about once it is carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The node above all tables: a new store, or the end of its set-up.
    Root,
    /// A step of the creation or the drop of a table: its partitions `from..to`. `first`: nothing
    /// of the operation is in the store yet.
    Table { app_id: i32, first: bool, from: usize, to: usize },
    /// The pending configurations of these partitions.
    Configs(Vec<PartitionId>),
}

#[derive(Clone, Debug)]
struct Write {
    ops: Vec<StoreOp>,
    purpose: Purpose,
    /// Set while its last try ended without a known outcome.
    retry_at: Option<Tick>,
}

/// Transactions under way. Never two on the same path: a table and each of its partitions has at
/// most one change pending.
#[derive(Clone, Debug, Default)]
pub(crate) struct Writes {
    last_seq: u64,
    under_way: BTreeMap<u64, Write>,
}

impl Writes {
    pub fn begin(&mut self, ops: Vec<StoreOp>, purpose: Purpose, out: &mut Effects) -> u64 {
        self.last_seq += 1;
        let seq = self.last_seq;
        out.push(Effect::Persist { seq, ops: ops.clone() });
        self.under_way.insert(seq, Write { ops, purpose, retry_at: None });
        seq
    }

    /// Ends the transaction and says what it was for; None if it is unknown or goes on.
    pub fn finish(
        &mut self,
        seq: u64,
        result: &Result<(), PersistError>,
        retry_at: Tick,
    ) -> Option<Purpose> {
        let write = self.under_way.get_mut(&seq)?;
        // Nothing works without the root, so there is no giving up on it.
        let again = match result {
            Ok(()) => false,
            Err(PersistError::Unknown) => true,
            Err(PersistError::Refused(_)) => write.purpose == Purpose::Root,
        };
        if again {
            write.retry_at = Some(retry_at);
            return None;
        }
        self.under_way.remove(&seq).map(|write| write.purpose)
    }

    /// Asks again for what is due.
    pub fn resume(&mut self, now: Tick, out: &mut Effects) {
        for (seq, write) in &mut self.under_way {
            if write.retry_at.is_some_and(|at| now >= at) {
                write.retry_at = None;
                out.push(Effect::Persist { seq: *seq, ops: write.ops.clone() });
            }
        }
    }

    pub fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// Whether everything up to `seq` has ended.
    pub fn all_done_up_to(&self, seq: u64) -> bool {
        self.under_way.keys().next().is_none_or(|oldest| *oldest > seq)
    }

    pub fn purposes(&self) -> impl Iterator<Item = (u64, &Purpose)> {
        self.under_way.iter().map(|(seq, write)| (*seq, &write.purpose))
    }

    /// Forgets everything under way; late completions will find nothing.
    pub fn abandon(&mut self) {
        self.under_way.clear();
    }
}
