//! How a node gets the history it lacks: records while the primary's log reaches back, a
//! checkpoint otherwise, then the stream like any member.

use pegasus_types::{AppInfo, Ballot, Committed, Decree, Mutation, NodeId, PartitionConfig, Tick};

use crate::event::{CopiedState, Effect, Followed, LearnerMark};
use crate::message::{LearnPlan, Message};
use crate::replica::{Ctx, Replica};
use crate::role::{Follower, LearnStage, Learner, Peer, Role};

const LEARN_RETRY_MS: u64 = 500;

impl Replica {
    /// A primary wants this node as learner.
    pub(crate) fn learner_wanted(
        &mut self,
        cx: &mut Ctx<'_>,
        from: NodeId,
        ballot: Ballot,
        nonce: u64,
        config: PartitionConfig,
        app: AppInfo,
    ) {
        let sound = config.ballot == ballot
            && config.is_primary(&from)
            && config.pid == self.options.pid
            && !config.is_member(&self.options.me);
        if !sound {
            return;
        }
        if ballot < self.config.ballot {
            return cx.send(&from, Message::Stale { ballot: self.config.ballot });
        }
        if let Role::Learner(learner) = &self.role
            && learner.nonce == nonce
        {
            let fetching = learner.stage == LearnStage::Fetching;
            cx.send(&from, Message::Learning { ballot, nonce });
            if fetching {
                self.request_learn(cx);
            }
            return;
        }
        if self.copying() {
            // The engine is being replaced; the new nonce starts when that is over.
            return;
        }
        if !self.free_to_follow(cx, &from) {
            return self.warn_former(cx, ballot);
        }
        self.step_down(cx);
        self.update = None;
        self.app = app;
        // The same primary inviting it again after a restart may already count on what it holds.
        let known = self.learner_mark.filter(|mark| mark.nonce == nonce);
        self.learner_mark = Some(known.unwrap_or(LearnerMark { nonce, matched: false }));
        self.followed = Some(Followed { primary: from.clone(), ballot });
        self.adopt(cx, config);
        self.role = Role::Learner(Learner {
            nonce,
            primary: from,
            stage: LearnStage::Fetching,
            follower: Follower::default(),
            asked_at: Tick::ZERO,
        });
        self.request_learn(cx);
    }

    fn request_learn(&mut self, cx: &mut Ctx<'_>) {
        let ballot = self.config.ballot;
        // Only what is committed is sure to be part of every later history; the rest is compared by
        // the Sync, or by the records themselves.
        let last = self.committed.decree();
        let Some(chain) = self.window.chain_at(last) else {
            return;
        };
        let Role::Learner(learner) = &mut self.role else {
            return;
        };
        learner.asked_at = cx.now;
        let request = Message::LearnRequest { ballot, nonce: learner.nonce, last, chain };
        let primary = learner.primary.clone();
        cx.send(&primary, request);
    }

    /// Primary: decide how this learner gets on.
    pub(crate) fn learn_requested(
        &mut self,
        cx: &mut Ctx<'_>,
        from: &NodeId,
        nonce: u64,
        last: Decree,
        chain: u64,
    ) {
        let ballot = self.config.ballot;
        let committed = self.committed.decree();
        let ours = self.window.chain_at(last);
        let Role::Primary(primary) = &mut self.role else {
            return;
        };
        let Some(learner) = primary.learners.get_mut(from).filter(|l| l.nonce == nonce) else {
            let config = self.config.clone();
            if !config.is_member(from) {
                cx.send(from, Message::Dismiss { ballot, config });
            }
            return;
        };
        learner.heard_at = cx.now;
        if ours.map_or(last > committed, |c| c != chain) {
            let plan = LearnPlan::Copy;
            return cx.send(from, Message::LearnReply { ballot, nonce, plan });
        }
        if ours.is_some() {
            learner.stream = Some(Peer::new(cx.now));
            let plan = LearnPlan::Stream;
            return cx.send(from, Message::LearnReply { ballot, nonce, plan });
        }
        cx.out.push(Effect::ReadLog {
            to: from.clone(),
            nonce,
            after: last,
            up_to: committed,
            max_bytes: self.options.learn_bytes,
        });
    }

    /// Primary: the log was read for a learner.
    pub(crate) fn log_was_read(
        &mut self,
        cx: &mut Ctx<'_>,
        to: NodeId,
        nonce: u64,
        after: Decree,
        mutations: Option<Vec<Mutation>>,
    ) {
        let Role::Primary(primary) = &self.role else {
            return;
        };
        if primary.learners.get(&to).is_none_or(|l| l.nonce != nonce) {
            return;
        }
        let usable = mutations.filter(|m| {
            m.first().is_some_and(|first| first.decree == after.next())
                && m.windows(2).all(|w| w[1].prev_chain == w[0].chain)
        });
        let plan = usable.map_or(LearnPlan::Copy, |mutations| LearnPlan::Records { mutations });
        let ballot = self.config.ballot;
        cx.send(&to, Message::LearnReply { ballot, nonce, plan });
    }

    /// Learner: the primary said how to go on.
    pub(crate) fn learn_answered(
        &mut self,
        cx: &mut Ctx<'_>,
        from: &NodeId,
        nonce: u64,
        plan: LearnPlan,
    ) {
        let Role::Learner(learner) = &mut self.role else {
            return;
        };
        if learner.nonce != nonce || learner.primary != *from {
            return;
        }
        match plan {
            // Sent to a learner that streams when the stream cannot go on: what lies above the
            // committed decree may differ from the primary's history, and since the primary does
            // not count on this learner nobody misses it.
            LearnPlan::Retry if learner.stage == LearnStage::Streaming => {
                learner.stage = LearnStage::Fetching;
                let last_round = learner.follower.last_round;
                learner.follower = Follower { last_round, ..Follower::default() };
                self.truncate(cx, self.committed.decree());
                self.request_learn(cx);
            }
            _ if learner.stage != LearnStage::Fetching => {}
            LearnPlan::Records { mutations } => self.take_records(cx, mutations),
            LearnPlan::Copy => self.want_copy(cx),
            // The Sync that follows makes it stream.
            LearnPlan::Stream | LearnPlan::Retry => {}
        }
    }

    fn want_copy(&mut self, cx: &mut Ctx<'_>) {
        let Role::Learner(learner) = &mut self.role else { return };
        learner.stage = LearnStage::CopyWanted;
        // The copy may end before what was acknowledged here: no longer fit to lead.
        self.learner_mark = Some(LearnerMark { nonce: learner.nonce, matched: false });
        self.member_ballot = Ballot::ZERO;
        self.save_state(cx);
    }

    /// Records in a learn answer are committed; whatever differs from them here never was.
    fn take_records(&mut self, cx: &mut Ctx<'_>, mutations: Vec<Mutation>) {
        let known = self.committed.decree();
        let mut committed = known;
        for mutation in mutations.into_iter().skip_while(|m| m.decree <= known) {
            if mutation.decree != committed.next()
                || self.window.chain_at(committed) != Some(mutation.prev_chain)
                || !mutation.is_intact()
            {
                // Another history below what the primary remembers: only a copy helps.
                return self.want_copy(cx);
            }
            committed = mutation.decree;
            if self.window.chain_at(committed) != Some(mutation.chain) {
                self.truncate(cx, committed.prev());
                self.append(cx, mutation, None);
            }
            self.committed = Committed(committed);
        }
        if committed > known {
            self.request_learn(cx);
        }
    }

    /// Learner: start the copy once nothing else touches engine and log, and ask again when an
    /// answer was lost.
    pub(crate) fn advance_learner(&mut self, cx: &mut Ctx<'_>) {
        let quiet = self.applied.decree() >= self.applying
            && self.log_done >= self.log_seq
            && self.state_done >= self.state_seq;
        let Role::Learner(learner) = &mut self.role else {
            return;
        };
        match learner.stage {
            LearnStage::CopyWanted if quiet => {
                learner.stage = LearnStage::Copying;
                let (from, nonce) = (learner.primary.clone(), learner.nonce);
                self.copy = Some(nonce);
                cx.out.push(Effect::CopyCheckpoint { from, nonce });
            }
            LearnStage::Fetching if cx.now.since(learner.asked_at) >= LEARN_RETRY_MS => {
                self.request_learn(cx);
            }
            _ => {}
        }
    }

    /// Whether engine and log may be replaced at any moment.
    pub(crate) fn copying(&self) -> bool {
        self.copy.is_some()
    }

    pub(crate) fn copy_finished(
        &mut self,
        cx: &mut Ctx<'_>,
        nonce: u64,
        result: Result<CopiedState, String>,
    ) {
        if self.copy != Some(nonce) {
            return;
        }
        self.copy = None;
        if let Ok(state) = &result {
            self.restart_from(state.decree, state.chain);
        }
        let Role::Learner(learner) = &mut self.role else {
            return;
        };
        if learner.nonce == nonce && learner.stage == LearnStage::Copying {
            learner.stage = LearnStage::Fetching;
            learner.asked_at = cx.now;
            if result.is_ok() {
                self.request_learn(cx);
            }
        }
    }

    /// Primary: this learner's history does not fit the stream; let it ask again.
    pub(crate) fn restart_learner(&mut self, cx: &mut Ctx<'_>, node: &NodeId) {
        if self.joining() == Some(node) {
            return;
        }
        let ballot = self.config.ballot;
        let Role::Primary(primary) = &mut self.role else {
            return;
        };
        if let Some(learner) = primary.learners.get_mut(node) {
            learner.stream = None;
            let nonce = learner.nonce;
            let plan = LearnPlan::Retry;
            cx.send(node, Message::LearnReply { ballot, nonce, plan });
        }
    }

    pub(crate) fn learner_heard(&mut self, cx: &mut Ctx<'_>, from: &NodeId, nonce: u64) {
        let ballot = self.config.ballot;
        if let Role::Primary(primary) = &mut self.role
            && let Some(learner) = primary.learners.get_mut(from)
            && learner.nonce == nonce
        {
            learner.heard_at = cx.now;
            if learner.stream.is_none() {
                // It may wait for a stream that ended: a Retry can be lost.
                let plan = LearnPlan::Retry;
                cx.send(from, Message::LearnReply { ballot, nonce, plan });
            }
        }
    }
}
