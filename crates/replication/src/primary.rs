//! The tenure of a primary: entering a ballot, opening it, keeping its peers going.

use std::collections::BTreeMap;

use pegasus_types::{ChangeKind, NodeId, PartitionConfig, Tick};

use crate::event::{Effect, Followed};
use crate::message::Message;
use crate::replica::{Ctx, Replica};
use crate::role::{LearnerPeer, Peer, Phase, Primary, Role};

/// Pause between two questions to the meta server, and between two warnings to a former primary.
const ASK_AGAIN_MS: u64 = 300;
/// A learner that says nothing for this long is invited again.
const INVITE_AGAIN_MS: u64 = 1000;

impl Replica {
    /// The meta server stored a configuration with this node as primary, as asked for.
    pub(crate) fn enter_ballot(&mut self, cx: &mut Ctx<'_>, config: PartitionConfig) {
        if !matches!(self.role, Role::Primary(_)) {
            self.begin_tenure(cx);
        }
        let now = cx.now;
        let Role::Primary(primary) = &mut self.role else {
            return;
        };
        primary.phase = Phase::Persisting;
        primary.meta_confirmed = None;
        self.learner_mark = None;
        self.member_ballot = config.ballot;
        let mut former = std::mem::take(&mut primary.members);
        for node in &config.secondaries {
            let joined = primary.learners.remove(node).and_then(|l| l.stream);
            let mut peer = former.remove(node).or(joined).unwrap_or_else(|| Peer::new(now));
            peer.unsync(now);
            primary.members.insert(node.clone(), peer);
        }
        for learner in primary.learners.values_mut() {
            if let Some(stream) = &mut learner.stream {
                stream.unsync(now);
            }
        }
        self.adopt(cx, config);
    }

    /// Everything in the window becomes part of the new primary's history; it is not readable
    /// before it is committed again (`spec/replication.md` 3.9, gaps E and G).
    fn begin_tenure(&mut self, cx: &Ctx<'_>) {
        let me = &self.options.me;
        let former = self.config.primary.clone().filter(|p| p != me);
        let unknown =
            self.followed.is_none() && self.config.primary.is_none() && self.config.ballot.0 > 0;
        let not_before = if unknown { cx.leases.promise_until(me) } else { Tick::ZERO };
        if self.followed.is_none() {
            let ballot = self.config.ballot;
            self.followed = former.map(|primary| Followed { primary, ballot });
        }
        self.role = Role::Primary(Box::new(Primary {
            phase: Phase::Persisting,
            members: BTreeMap::new(),
            learners: BTreeMap::new(),
            not_before,
            barrier: self.window.last(),
            serving: false,
            meta_confirmed: None,
            meta_asked: None,
            held_replies: Vec::new(),
            noticed: self.committed.decree(),
            notice_at: None,
            group_check_at: cx.now + self.options.group_check_ms,
            next_round: 0,
        }));
    }

    pub(crate) fn advance_primary(&mut self, cx: &mut Ctx<'_>) {
        if !matches!(self.role, Role::Primary(_)) {
            return;
        }
        self.open_ballot(cx);
        self.sync_peers(cx);
        self.commit_ready(cx);
        self.reroute_laggards(cx);
        self.pump(cx);
        self.tend_members(cx);
        self.tend_learners(cx);
        self.send_notices(cx);
        self.ask_meta(cx);
        self.answer_held(cx);
    }

    fn phase(&self) -> Option<Phase> {
        if let Role::Primary(primary) = &self.role { Some(primary.phase) } else { None }
    }

    fn set_phase(&mut self, phase: Phase) {
        if let Role::Primary(primary) = &mut self.role {
            primary.phase = phase;
        }
    }

    /// Walk through the phases as far as possible.
    fn open_ballot(&mut self, cx: &mut Ctx<'_>) {
        if self.phase() == Some(Phase::Persisting) && self.state_done >= self.state_seq {
            self.set_phase(Phase::Promised);
        }
        if self.phase() == Some(Phase::Promised) {
            let me = self.options.me.clone();
            let Role::Primary(primary) = &mut self.role else {
                return;
            };
            // A primary that already serves holds the promises itself.
            let early = !primary.serving && cx.now < primary.not_before;
            let serving = primary.serving;
            if serving || (!early && self.free_to_follow(cx, &me)) {
                self.followed = None;
                self.set_phase(Phase::Syncing);
            } else if !early {
                self.warn_former_again(cx);
            }
        }
        if self.phase() == Some(Phase::Syncing)
            && let Role::Primary(primary) = &mut self.role
            && primary.members.values().all(|p| p.synced)
        {
            primary.phase = Phase::Open;
            primary.serving = true;
        }
    }

    fn warn_former_again(&mut self, cx: &mut Ctx<'_>) {
        let Role::Primary(primary) = &mut self.role else {
            return;
        };
        let due = primary.meta_asked.is_none_or(|(_, at)| cx.now.since(at) >= ASK_AGAIN_MS);
        if due {
            primary.meta_asked = Some((0, cx.now));
            self.warn_former(cx, self.config.ballot);
        }
    }

    /// Whether no heartbeat was heard from a peer for too long. `since` is when it became one.
    fn is_silent(&self, cx: &Ctx<'_>, node: &NodeId, since: Tick) -> bool {
        let heard = cx.leases.last_heard(node).max(since).max(self.awake_since);
        cx.now.since(heard) >= self.options.silence_ms
    }

    /// A member that is silent, or owes something for too long, has failed.
    fn tend_members(&mut self, cx: &mut Ctx<'_>) {
        let Role::Primary(primary) = &self.role else {
            return;
        };
        if !matches!(primary.phase, Phase::Syncing | Phase::Open) || self.update.is_some() {
            return;
        }
        let silent = primary.members.iter().find(|(n, p)| self.is_silent(cx, n, p.since));
        if let Some((node, _)) = silent {
            let node = node.clone();
            return self.member_failed(cx, &node, true);
        }
        let limit = self.options.prepare_timeout_ms;
        let late = primary
            .members
            .iter()
            .find(|(_, p)| {
                (!p.synced || p.acked < p.sent) && cx.now.since(p.waiting_since) >= limit
            })
            .map(|(node, _)| node.clone());
        if let Some(node) = late {
            self.member_failed(cx, &node, false);
        }
    }

    /// Drop learners that are gone, remind those that say nothing, and ask to make one a member
    /// once its log holds everything committed and it confirmed this primary within a lease.
    fn tend_learners(&mut self, cx: &mut Ctx<'_>) {
        let Role::Primary(primary) = &self.role else {
            return;
        };
        let gone = |node: &NodeId, learner: &LearnerPeer| {
            self.is_silent(cx, node, learner.since + self.options.silence_ms)
                || cx.now.since(learner.heard_at) >= self.options.learner_timeout_ms
        };
        let lost: Vec<NodeId> =
            primary.learners.iter().filter(|(n, l)| gone(n, l)).map(|(n, _)| n.clone()).collect();
        for node in lost {
            self.drop_learner(&node);
        }
        let Role::Primary(primary) = &mut self.role else {
            return;
        };
        // What this tenure inherited may be committed although nobody here knows it.
        let needed = self.committed.decree().max(primary.barrier);
        let mut invite = Vec::new();
        let mut ready = None;
        for (node, learner) in &mut primary.learners {
            let now = cx.now;
            let quiet_since = learner.heard_at.max(learner.asked_at);
            if cx.now.since(quiet_since) >= INVITE_AGAIN_MS {
                learner.asked_at = cx.now;
                invite.push((node.clone(), learner.nonce));
            }
            let held = cx.leases.held(cx.now, node);
            let Some(peer) = learner.stream.as_mut().filter(|p| p.synced && p.acked >= needed)
            else {
                continue;
            };
            if !peer.matched {
                // It has caught up; one more Sync lets it note that.
                peer.unsync(now);
            } else if held.is_some() && peer.confirmed == held {
                ready = Some(node.clone());
            }
        }
        let open = primary.phase == Phase::Open;
        for (node, nonce) in invite {
            self.invite_learner(cx, &node, nonce);
        }
        if let Some(node) = ready.filter(|_| open && self.update.is_none()) {
            self.upgrade_learner(cx, node);
        }
    }

    /// Tell peers about commits that no prepare carried, soon after, and now and then anyway.
    fn send_notices(&mut self, cx: &mut Ctx<'_>) {
        let committed = self.committed.decree();
        let Some(chain) = self.window.chain_at(committed) else {
            return;
        };
        let ballot = self.config.ballot;
        let Role::Primary(primary) = &mut self.role else {
            return;
        };
        let noticed = primary.noticed >= committed;
        if noticed {
            primary.notice_at = None;
        }
        let due = primary.notice_at.is_some_and(|at| cx.now >= at);
        let check = cx.now >= primary.group_check_at;
        if !due && !check {
            return;
        }
        primary.notice_at = None;
        primary.noticed = committed;
        primary.group_check_at = cx.now + self.options.group_check_ms;
        let nodes: Vec<NodeId> =
            primary.streams().filter(|(_, p)| p.synced).map(|(n, _)| n.clone()).collect();
        for node in nodes {
            cx.send(&node, Message::Commit { ballot, committed, chain });
        }
    }

    /// Without other members the meta server's lease counts, and it must have confirmed the
    /// configuration within that lease.
    fn ask_meta(&mut self, cx: &mut Ctx<'_>) {
        let alone = self.config.secondaries.is_empty();
        let Role::Primary(primary) = &mut self.role else {
            return;
        };
        if !alone || primary.phase != Phase::Open {
            return;
        }
        let Some(epoch) = cx.leases.held_from_meta(cx.now) else {
            return;
        };
        if primary.meta_confirmed == Some(epoch) {
            return;
        }
        let asked =
            primary.meta_asked.is_some_and(|(e, at)| e == epoch && cx.now.since(at) < ASK_AGAIN_MS);
        if !asked {
            primary.meta_asked = Some((epoch, cx.now));
            cx.out.push(Effect::AskMeta { epoch });
        }
    }

    /// Whether a change that is being decided would add this node.
    pub(crate) fn joining(&self) -> Option<&NodeId> {
        self.update
            .as_ref()
            .filter(|u| u.request.kind == ChangeKind::UpgradeToSecondary)
            .map(|u| &u.request.node)
    }
}
