//! Changes of configurations: by compare-and-set on the ballot, stored first, then in force
//! (`spec/meta.md` 4.3).

use pegasus_types::{
    AppStatus, ChangeKind, ConfigUpdate, PartitionConfig, PartitionId, UpdateOutcome,
};

use crate::partition::{Partition, Pending, is_in_force, next_config};
use crate::state::{ClusterState, partition_mut};
use crate::store::{encode_partition, partition_path};
use crate::writes::{MAX_OPS, Purpose};
use crate::{Effect, Effects, FunctionLevel, PersistError, Response, StoreOp, Token};

impl ClusterState {
    pub(crate) fn update_config(&mut self, token: Token, update: ConfigUpdate, out: &mut Effects) {
        let pid = update.config.pid;
        let outcome = match self.judge(&update) {
            Verdict::Answer(outcome) => outcome,
            Verdict::Join => {
                let pending = partition_mut(&mut self.apps, pid).and_then(|p| p.pending.as_mut());
                if let Some(pending) = pending {
                    pending.waiting.push(token);
                }
                return;
            }
            Verdict::Store(config) => {
                self.store_configs(vec![(config, vec![token])], out);
                return;
            }
        };
        out.push(Effect::Reply { token, response: Response::Update(outcome) });
    }

    fn judge(&self, update: &ConfigUpdate) -> Verdict {
        let Some((app, partition)) = self.partition_ref(update.config.pid) else {
            return Verdict::Answer(UpdateOutcome::NotFound);
        };
        let current = &partition.config;
        if let Some(pending) = &partition.pending {
            if is_in_force(&pending.config, update) {
                return Verdict::Join;
            }
            return Verdict::Answer(UpdateOutcome::Busy);
        }
        if is_in_force(current, update) {
            return Verdict::Answer(UpdateOutcome::Accepted(current.clone()));
        }
        match app.info.status {
            AppStatus::Available => {}
            AppStatus::Dropped => {
                return Verdict::Answer(UpdateOutcome::Refused(current.clone()));
            }
            _ => return Verdict::Answer(UpdateOutcome::Busy),
        }
        if self.effective_level() <= FunctionLevel::Freezed {
            return Verdict::Answer(UpdateOutcome::Busy);
        }
        let Some(next) = next_config(current, update).filter(|_| may_become(partition, update))
        else {
            return Verdict::Answer(UpdateOutcome::Refused(current.clone()));
        };
        let new_primary =
            matches!(update.kind, ChangeKind::AssignPrimary | ChangeKind::UpgradeToPrimary);
        if new_primary && self.nodes.is_dead(&update.node) {
            // Its beacons may be on their way; it must not become primary before they are here.
            return Verdict::Answer(UpdateOutcome::Busy);
        }
        Verdict::Store(next)
    }

    /// Sends new configurations to the store, several in one transaction.
    pub(crate) fn store_configs(
        &mut self,
        configs: Vec<(PartitionConfig, Vec<Token>)>,
        out: &mut Effects,
    ) {
        let root = self.options.cluster_root.clone();
        for chunk in configs.chunks(MAX_OPS) {
            let ops = chunk.iter().map(|(config, _)| StoreOp::Set {
                path: partition_path(&root, config.pid),
                data: encode_partition(config, false),
            });
            let pids = chunk.iter().map(|(config, _)| config.pid).collect();
            let seq = self.writes.begin(ops.collect(), Purpose::Configs(pids), out);
            for (config, waiting) in chunk {
                if let Some(partition) = partition_mut(&mut self.apps, config.pid) {
                    let pending = Pending { seq, config: config.clone(), waiting: waiting.clone() };
                    partition.pending = Some(pending);
                }
            }
        }
    }

    pub(crate) fn persisted(
        &mut self,
        seq: u64,
        result: &Result<(), PersistError>,
        out: &mut Effects,
    ) {
        let retry_at = self.now + self.options.resend_ms;
        let Some(purpose) = self.writes.finish(seq, result, retry_at) else {
            return;
        };
        match purpose {
            Purpose::Configs(pids) => {
                for pid in pids {
                    self.config_persisted(pid, seq, result.is_ok(), out);
                }
            }
            Purpose::Table { app_id, first, from, to } => {
                self.table_persisted(app_id, first, from..to, result.is_ok(), out);
            }
            Purpose::Root => self.root_persisted(out),
        }
        // A drop waits until no configuration of its table is pending.
        self.continue_tables(out);
    }

    fn config_persisted(&mut self, pid: PartitionId, seq: u64, ok: bool, out: &mut Effects) {
        let Some(pending) = partition_mut(&mut self.apps, pid)
            .and_then(|p| p.pending.take_if(|pending| pending.seq == seq))
        else {
            return;
        };
        let outcome = if ok {
            self.install(pid, pending.config.clone());
            UpdateOutcome::Accepted(pending.config)
        } else {
            self.ill.insert(pid);
            UpdateOutcome::Busy
        };
        for token in pending.waiting {
            let response = Response::Update(outcome.clone());
            out.push(Effect::Reply { token, response });
        }
    }
}

enum Verdict {
    Answer(UpdateOutcome),
    /// The same change is being stored: share its outcome.
    Join,
    Store(PartitionConfig),
}

/// A partition that had data is only ever given to the node that the guardian chose for it: an old
/// proposal may have named one that has less.
fn may_become(partition: &Partition, update: &ConfigUpdate) -> bool {
    update.kind != ChangeKind::AssignPrimary
        || partition.is_brand_new()
        || partition
            .cure
            .as_ref()
            .is_some_and(|c| c.kind == ChangeKind::AssignPrimary && c.node == update.node)
}
