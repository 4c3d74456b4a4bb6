//! What a partition needs, and who should provide it (`spec/meta.md` 5). Decides, changes nothing.

use pegasus_types::{ChangeKind, NodeId, PartitionId, ReplicaReport, ReplicaStatus};

use crate::partition::{Cure, Partition, min_write_members};
use crate::state::{App, ClusterState};
use crate::{FunctionLevel, Node};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Healthy,
    /// Not as it should be, and nothing can be done now; why.
    Wait(&'static str),
    /// The meta server itself takes the primary away.
    Depose,
    Propose {
        kind: ChangeKind,
        node: NodeId,
        to: NodeId,
    },
}

impl Decision {
    fn propose(kind: ChangeKind, node: &NodeId, to: &NodeId) -> Decision {
        Decision::Propose { kind, node: node.clone(), to: to.clone() }
    }
}

impl ClusterState {
    /// Why a partition is not healthy and stays so for now; None if it is healthy or being cured.
    pub fn ailment(&self, pid: PartitionId) -> Option<&'static str> {
        let (app, partition) = self.partition_ref(pid)?;
        if !app.is_available() || partition.pending.is_some() {
            return None;
        }
        match self.decide(app, partition) {
            Decision::Wait(reason) => Some(reason),
            _ => None,
        }
    }

    pub(crate) fn decide(&self, app: &App, partition: &Partition) -> Decision {
        let config = &partition.config;
        let level = self.effective_level();
        if let Some(primary) = &config.primary
            && self.must_depose(partition, primary)
        {
            return if level > FunctionLevel::Blind {
                Decision::Depose
            } else {
                Decision::Wait("the function level forbids changes")
            };
        }
        let decision = match &config.primary {
            Some(primary) => self.with_primary(app, partition, primary),
            None if !config.secondaries.is_empty() => self.upgrade(app, partition),
            None if partition.is_brand_new() => self.assign_first(app, partition),
            None => self.assign_again(partition),
        };
        match decision {
            Decision::Propose { .. } if level <= FunctionLevel::Freezed => {
                Decision::Wait("too few nodes live, or the function level forbids changes")
            }
            decision => decision,
        }
    }

    /// The primary is dead, or its node lost the replica and another member can take over.
    fn must_depose(&self, partition: &Partition, primary: &NodeId) -> bool {
        self.nodes.is_dead(primary)
            || (self.lacks(primary, partition)
                && partition.config.secondaries.iter().any(|n| self.is_fit(n, partition)))
    }

    fn lacks(&self, node: &NodeId, partition: &Partition) -> bool {
        self.nodes.get(node).is_some_and(|n| n.certainly_lacks(partition.config.pid))
    }

    fn is_fit(&self, node: &NodeId, partition: &Partition) -> bool {
        self.nodes.is_alive(node) && !self.lacks(node, partition)
    }

    /// `spec/meta.md` 5.5 and 5.6; dead secondaries first, and repeatedly, unlike 4.8.
    fn with_primary(&self, app: &App, partition: &Partition, primary: &NodeId) -> Decision {
        let config = &partition.config;
        if !self.nodes.is_alive(primary) {
            return Decision::Wait("the primary was not heard of yet");
        }
        if self.lacks(primary, partition) {
            return Decision::Wait("the only living member lost its replica");
        }
        let lost = |n: &&NodeId| self.nodes.is_dead(n) || self.lacks(n, partition);
        if let Some(node) = config.secondaries.iter().find(lost) {
            return Decision::propose(ChangeKind::DowngradeToInactive, node, primary);
        }
        let wanted = usize::try_from(config.max_replica_count).unwrap_or(1);
        let members = config.member_count();
        if members < wanted {
            return match self.secondary_to_add(app, partition, wanted) {
                Ok(node) => Decision::propose(ChangeKind::AddSecondary, &node, primary),
                Err(reason) => Decision::Wait(reason),
            };
        }
        if members > wanted {
            return match self.secondary_to_remove(partition) {
                Some(node) => Decision::propose(ChangeKind::Remove, node, primary),
                None => Decision::Healthy,
            };
        }
        Decision::Healthy
    }

    fn secondary_to_remove<'a>(&self, partition: &'a Partition) -> Option<&'a NodeId> {
        let secondaries = &partition.config.secondaries;
        if let Some(cure) = cure_of(partition, ChangeKind::Remove)
            && let Some(same) = secondaries.iter().find(|n| **n == cure.node)
        {
            return Some(same);
        }
        // The first one on ties, so not max_by_key.
        secondaries.iter().min_by_key(|n| -self.loads.total_partitions(n))
    }

    fn secondary_to_add(
        &self,
        app: &App,
        partition: &Partition,
        wanted: usize,
    ) -> Result<NodeId, &'static str> {
        let config = &partition.config;
        let usable = |n: &NodeId| self.nodes.is_alive(n) && !config.is_member(n);
        let cure = cure_of(partition, ChangeKind::AddSecondary);
        // A node may be alive for us and out of the primary's reach: then it never starts.
        let hopeless = |cure: &Cure| {
            let idle =
                !cure.learning_seen && self.now.since(cure.since) >= self.options.patience_ms;
            cure.failed || idle
        };
        if let Some(cure) = cure.filter(|cure| !hopeless(cure) && usable(&cure.node)) {
            return Ok(cure.node.clone());
        }
        let failed = |n: &NodeId| cure.is_some_and(|cure| hopeless(cure) && cure.node == *n);
        if let Some((newest, at)) = partition.drops.last() {
            let min_write = min_write_members(
                self.options.mutation_2pc_min_replica_count,
                config.max_replica_count,
            );
            let delay_ms = self.options.replica_assign_delay_ms_for_dropouts;
            let emergency = (wanted > min_write && config.member_count() < min_write)
                || self.now.since(*at) > delay_ms
                || failed(newest);
            if !emergency {
                // It has most of the data already; copying everything elsewhere can wait.
                return if usable(newest) {
                    Ok(newest.clone())
                } else {
                    Err("waiting for the member that left last")
                };
            }
        }
        let candidates: Vec<&Node> = self.nodes.alive().filter(|n| usable(&n.id)).collect();
        let best = candidates.iter().min_by_key(|node| {
            (
                failed(&node.id),
                self.staleness(node, partition),
                self.loads.partition_key(&node.id, app.info.app_id),
            )
        });
        best.map(|node| node.id.clone()).ok_or("no node is left to hold another replica")
    }

    /// Orders nodes by what they still have of a partition: a replica first (the fresher the
    /// better), then former members, then all others.
    fn staleness(&self, node: &Node, partition: &Partition) -> (u8, [i64; 3], usize) {
        let dropped = partition.drops.iter().rev().position(|(n, _)| *n == node.id);
        let order = dropped.unwrap_or(usize::MAX);
        match (node.report(partition.config.pid), dropped) {
            (Some(report), _) => {
                let freshness = freshness(report);
                (0, freshness.map(|value| value.checked_neg().unwrap_or(i64::MAX)), order)
            }
            (None, Some(_)) => (1, [0; 3], order),
            (None, None) => (2, [0; 3], order),
        }
    }

    /// `spec/meta.md` 5.3. Every secondary has all committed data, so the choice is about balance;
    /// one that may have lost the tail of its log comes last.
    fn upgrade(&self, app: &App, partition: &Partition) -> Decision {
        let config = &partition.config;
        let cure = cure_of(partition, ChangeKind::UpgradeToPrimary);
        let impatient = |cure: &Cure| self.now.since(cure.since) >= self.options.patience_ms;
        let fit = || config.secondaries.iter().filter(|n| self.is_fit(n, partition));
        if let Some(cure) = cure {
            let candidate = fit().any(|n| *n == cure.node);
            if candidate && (!impatient(cure) || fit().count() == 1) {
                return Decision::propose(cure.kind, &cure.node, &cure.node);
            }
        }
        let best = fit().min_by_key(|id| {
            let suspect = self
                .nodes
                .get(id)
                .and_then(|node| node.report(config.pid))
                .is_some_and(|report| report.suspect);
            let tried = cure.is_some_and(|cure| cure.node == **id);
            (tried, suspect, self.loads.primary_key(id, app.info.app_id))
        });
        match best {
            Some(node) => Decision::propose(ChangeKind::UpgradeToPrimary, node, node),
            None => Decision::Wait("no secondary is alive with its replica"),
        }
    }

    /// `spec/meta.md` 5.4a: never had a member.
    fn assign_first(&self, app: &App, partition: &Partition) -> Decision {
        if !self.settled {
            return Decision::Wait("waiting for more nodes before the first assignment");
        }
        let pid = partition.config.pid;
        let has_data = |node: &Node| node.report(pid).is_some_and(|r| r.ballot.0 > 0);
        if self.nodes.alive().any(has_data) {
            // The store lost this partition; starting it anew would lose its data too.
            return Decision::Wait(
                "a node holds data of this partition, which the store calls new",
            );
        }
        let cure = cure_of(partition, ChangeKind::AssignPrimary);
        let others = self.nodes.alive().count() > 1;
        if let Some(cure) = cure.filter(|cure| self.nodes.is_alive(&cure.node))
            && (self.now.since(cure.since) < self.options.patience_ms || !others)
        {
            return Decision::propose(cure.kind, &cure.node, &cure.node);
        }
        let best = self.nodes.alive().min_by_key(|node| {
            let tried = cure.is_some_and(|cure| cure.node == node.id);
            (tried, self.loads.primary_key(&node.id, app.info.app_id))
        });
        match best {
            Some(node) => Decision::propose(ChangeKind::AssignPrimary, &node.id, &node.id),
            None => Decision::Wait("no node is alive"),
        }
    }

    /// `spec/meta.md` 5.4b: all members are gone. A partition that had data goes only to a node
    /// that reported what must be the newest copy; otherwise an operator has to decide.
    fn assign_again(&self, partition: &Partition) -> Decision {
        match self.successor(partition) {
            Ok(node) => Decision::propose(ChangeKind::AssignPrimary, node, node),
            Err(reason) => Decision::Wait(reason),
        }
    }

    fn successor<'a>(&self, partition: &'a Partition) -> Result<&'a NodeId, &'static str> {
        let config = &partition.config;
        let configured = self.options.mutation_2pc_min_replica_count;
        let one_suffices = min_write_members(configured, config.max_replica_count) < 2;
        let (best, [_, committed, prepared]) = match config.last_drops.as_slice() {
            [] => return Err("no former member is known"),
            [only] => {
                let held = self.held(only, partition)?;
                (only, held.ok_or("the last member no longer has a replica")?)
            }
            [.., previous, latest] => {
                let (a, b) = (self.held(previous, partition)?, self.held(latest, partition)?);
                match (a, b) {
                    (None, None) => return Err("neither of the last two members has a replica"),
                    // The last one may have acknowledged writes that nobody else has.
                    (Some(_), None) if one_suffices => {
                        return Err("the last member no longer has a replica");
                    }
                    (Some(a), None) => (previous, a),
                    (None, Some(b)) => (latest, b),
                    (Some(a), Some(b)) => {
                        // A replica that restarted knows a lower committed decree than it holds,
                        // so only what it holds speaks against a newer ballot (the reference
                        // compares the committed decrees, `spec/meta.md` 5.4).
                        let (newer, older) = if a[0] > b[0] { (a, b) } else { (b, a) };
                        if newer[0] > older[0] && newer[2] < older[1] {
                            return Err("the last two members contradict each other");
                        }
                        let rank =
                            |[ballot, committed, prepared]: [i64; 3]| (ballot, prepared, committed);
                        // Equal in everything: the latest.
                        if rank(a) > rank(b) { (previous, a) } else { (latest, b) }
                    }
                }
            }
        };
        if prepared < config.last_committed.0 || prepared < committed {
            return Err("the last members lack data that is known to be committed");
        }
        Ok(best)
    }

    /// (ballot, committed, prepared) of the replica on a node; None: it has none.
    fn held(&self, node: &NodeId, partition: &Partition) -> Result<Option<[i64; 3]>, &'static str> {
        let node = self.nodes.get(node).filter(|node| node.is_alive());
        let Some(node) = node else {
            return Err("the last members have not come back yet");
        };
        if !node.collected {
            return Err("the last members have not reported their replicas yet");
        }
        match node.report(partition.config.pid) {
            Some(report) if report.status == ReplicaStatus::Error => {
                Err("the replica of one of the last members cannot be used")
            }
            report => Ok(report.map(freshness)),
        }
    }
}

fn freshness(report: &ReplicaReport) -> [i64; 3] {
    [report.ballot.0, report.committed.0, report.prepared.0]
}

fn cure_of(partition: &Partition, kind: ChangeKind) -> Option<&Cure> {
    partition.cure.as_ref().filter(|cure| cure.kind == kind)
}
