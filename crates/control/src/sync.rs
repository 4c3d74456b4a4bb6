//! What replica servers report and ask (`spec/meta.md` 4.6).

use std::collections::BTreeSet;

use pegasus_types::{AppStatus, ChangeKind, NodeId, PartitionId, ReplicaReport, ReplicaStatus};

use crate::nodes::Missing;
use crate::state::{ClusterState, partition_mut};
use crate::{Effect, Effects, Response, SyncReply, Token};

/// A question whose answer must not be older than the question: it waits until everything that was
/// decided before it came is in force. An answer from before would let a node serve on under a new
/// meta lease although its replacement is already on the way to the store.
#[derive(Clone, Debug)]
pub(crate) struct Parked {
    token: Token,
    after_seq: u64,
    question: Question,
}

#[derive(Clone, Debug)]
enum Question {
    Sync { node: NodeId, reported: BTreeSet<PartitionId> },
    Partition(PartitionId),
}

impl ClusterState {
    pub(crate) fn query_partition(&mut self, token: Token, pid: PartitionId) {
        self.park(token, Question::Partition(pid));
    }

    pub(crate) fn config_sync(
        &mut self,
        token: Token,
        node: NodeId,
        incarnation: u64,
        replicas: Vec<ReplicaReport>,
        out: &mut Effects,
    ) {
        let reported: BTreeSet<PartitionId> = replicas.iter().map(|r| r.pid).collect();
        // A report is a sign of life, too; that of a former process says nothing about this one.
        let in_doubt = self.beacon(&node, incarnation, false) && self.collect(&node, replicas);
        if in_doubt {
            out.push(Effect::Reply { token, response: Response::AskAgain });
        } else {
            self.park(token, Question::Sync { node, reported });
        }
    }

    /// Returns whether the report lacks replicas that it ought to have, and another one is needed
    /// to be sure.
    fn collect(&mut self, id: &NodeId, replicas: Vec<ReplicaReport>) -> bool {
        for report in &replicas {
            self.track_learner(id, report);
        }
        let members: Vec<PartitionId> = self.loads.members_of(id).collect();
        let Some(node) = self.nodes.get_mut(id) else {
            return false;
        };
        node.collected = true;
        node.reports = replicas.into_iter().map(|r| (r.pid, r)).collect();
        let mut in_doubt = false;
        for pid in members {
            let usable = |report: &ReplicaReport| report.status != ReplicaStatus::Error;
            if node.report(pid).is_some_and(usable) {
                node.missing.remove(&pid);
                continue;
            }
            let Some(partition) = partition_mut(&mut self.apps, pid) else {
                continue;
            };
            let ballot = partition.config.ballot;
            let fresh = Missing { ballot, since: self.now, certain: false };
            let missing = node.missing.entry(pid).or_insert(fresh);
            if missing.ballot != ballot && !missing.certain {
                *missing = fresh;
            }
            missing.certain |= self.now.since(missing.since) >= self.options.absence_ms;
            in_doubt |= !missing.certain;
        }
        // Some partitions waited for this report, others are in need because of it.
        self.dirty.extend(node.missing.keys().copied());
        self.dirty.extend(self.ill.iter().copied());
        in_doubt
    }

    /// A learner that gave up is not asked for ever.
    fn track_learner(&mut self, node: &NodeId, report: &ReplicaReport) {
        let Some(partition) = partition_mut(&mut self.apps, report.pid) else {
            return;
        };
        let Some(cure) = partition.cure.as_mut() else {
            return;
        };
        let adds =
            matches!(cure.kind, ChangeKind::AddSecondary | ChangeKind::AddSecondaryForBalance);
        if !adds || cure.node != *node {
            return;
        }
        match report.status {
            ReplicaStatus::Learner => {
                cure.learning_seen = true;
                cure.failed = false;
            }
            ReplicaStatus::Error | ReplicaStatus::Inactive => cure.failed |= cure.learning_seen,
            ReplicaStatus::Primary | ReplicaStatus::Secondary => {}
        }
    }

    fn park(&mut self, token: Token, question: Question) {
        let after_seq = self.writes.last_seq();
        self.parked.push(Parked { token, after_seq, question });
    }

    /// Answers what no longer has to wait.
    pub(crate) fn release_parked(&mut self, out: &mut Effects) {
        if self.parked.is_empty() {
            return;
        }
        let (ready, waiting): (Vec<Parked>, Vec<Parked>) = std::mem::take(&mut self.parked)
            .into_iter()
            .partition(|parked| self.writes.all_done_up_to(parked.after_seq));
        self.parked = waiting;
        for parked in ready {
            let response = match &parked.question {
                Question::Sync { node, reported } => {
                    Response::Sync(self.sync_reply(node, reported))
                }
                Question::Partition(pid) => Response::Partition(self.partition(*pid).cloned()),
            };
            out.push(Effect::Reply { token: parked.token, response });
        }
    }

    fn sync_reply(&self, node: &NodeId, reported: &BTreeSet<PartitionId>) -> SyncReply {
        let mut pids: BTreeSet<PartitionId> = self.loads.members_of(node).collect();
        pids.extend(reported.iter().copied());
        let mut reply = SyncReply::default();
        for pid in pids {
            let Some(known) = self.with_app(pid) else {
                // An unknown table may be one that this store lost: never ask for its deletion.
                continue;
            };
            let info = &known.1;
            let expired = info.status == AppStatus::Dropped
                && info.expire_second > 0
                && self.unix_secs >= info.expire_second;
            if expired && reported.contains(&pid) {
                reply.garbage.push(pid);
            }
            reply.partitions.push(known);
        }
        reply
    }
}
