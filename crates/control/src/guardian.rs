//! The guardian: carries out, for every partition that needs it, what [`crate::choice`] decides
//! (`spec/meta.md` 4.9, 5).

use pegasus_types::{PartitionConfig, PartitionId, Proposal};

use crate::choice::Decision;
use crate::partition::{Cure, without_primary};
use crate::state::{ClusterState, partition_mut};
use crate::{Effect, Effects, Token};

impl ClusterState {
    /// Looks at every partition that something happened to.
    pub(crate) fn guard(&mut self, out: &mut Effects) {
        self.settle();
        let mut deposed: Vec<(PartitionConfig, Vec<Token>)> = Vec::new();
        for pid in std::mem::take(&mut self.dirty) {
            let decision = match self.partition_ref(pid) {
                Some((app, partition)) if app.is_available() => {
                    if partition.pending.is_some() {
                        // Comes back as dirty when the outcome is known.
                        continue;
                    }
                    self.decide(app, partition)
                }
                _ => {
                    self.set_cure(pid, None);
                    self.ill.remove(&pid);
                    continue;
                }
            };
            if decision == Decision::Healthy {
                self.ill.remove(&pid);
            } else {
                self.ill.insert(pid);
            }
            match decision {
                Decision::Healthy | Decision::Wait(_) => self.set_cure(pid, None),
                Decision::Depose => {
                    self.set_cure(pid, None);
                    let config = self.partition(pid).and_then(without_primary);
                    deposed.extend(config.map(|config| (config, Vec::new())));
                }
                Decision::Propose { kind, node, to } => {
                    let now = self.now;
                    let fresh = Cure {
                        kind,
                        node,
                        to,
                        since: now,
                        last_sent: now,
                        learning_seen: false,
                        failed: false,
                    };
                    self.propose(pid, fresh, out);
                }
            }
        }
        if !deposed.is_empty() {
            self.store_configs(deposed, out);
        }
    }

    /// Sends a proposal that is new, or repeats one whose last sending was long enough ago.
    fn propose(&mut self, pid: PartitionId, fresh: Cure, out: &mut Effects) {
        let resend_ms = self.options.resend_ms;
        let Some(partition) = partition_mut(&mut self.apps, pid) else {
            return;
        };
        let mut same = partition
            .cure
            .as_mut()
            .filter(|old| (old.kind, &old.node, &old.to) == (fresh.kind, &fresh.node, &fresh.to));
        match &mut same {
            None => self.set_cure(pid, Some(fresh.clone())),
            Some(old) => {
                // Chosen again although it failed: there is nobody else.
                old.failed = false;
                if self.now.since(old.last_sent) < resend_ms {
                    return;
                }
                old.last_sent = self.now;
            }
        }
        if let Some((config, app)) = self.with_app(pid) {
            let proposal = Proposal { config, kind: fresh.kind, node: fresh.node };
            out.push(Effect::Propose { to: fresh.to, proposal, app });
        }
    }
}
