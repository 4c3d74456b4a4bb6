//! Changes of the configuration: what the meta server proposes or announces, and what the primary
//! asks for.

use pegasus_types::{
    Ballot, ChangeKind, ConfigUpdate, Decree, NodeId, PartitionConfig, Proposal, UpdateOutcome,
};

use crate::event::Effect;
use crate::message::Message;
use crate::replica::{Ctx, Replica};
use crate::role::{Follower, LearnStage, LearnerPeer, PendingUpdate, Role};

const UPDATE_RETRY_MS: u64 = 1000;

impl Replica {
    /// The meta server would like a change. It repeats itself, so anything that does not fit now
    /// is dropped.
    pub(crate) fn proposed(&mut self, cx: &mut Ctx<'_>, proposal: Proposal, nonce: u64) {
        let Proposal { config, kind, node } = proposal;
        if matches!(self.role, Role::Fenced)
            || self.copying()
            || self.update.is_some()
            || config.pid != self.options.pid
            || config.ballot < self.config.ballot
        {
            return;
        }
        let me = &self.options.me;
        let primary = matches!(self.role, Role::Primary(_)) && config.ballot == self.config.ballot;
        match kind {
            ChangeKind::AssignPrimary if node == *me && config.member_count() == 0 => {
                self.ask_for_primacy(cx, kind, config);
            }
            ChangeKind::UpgradeToPrimary
                if node == *me && config.primary.is_none() && config.is_secondary(me) =>
            {
                self.ask_for_primacy(cx, kind, config);
            }
            ChangeKind::AddSecondary | ChangeKind::AddSecondaryForBalance if primary => {
                let extra = usize::from(kind == ChangeKind::AddSecondaryForBalance);
                self.add_learner(cx, node, nonce, extra);
            }
            ChangeKind::Remove | ChangeKind::DowngradeToInactive if primary => {
                self.ask_to_remove(cx, kind, &node);
            }
            ChangeKind::DowngradeToSecondary if primary && node == *me => {
                let mut wanted = self.config.clone();
                wanted.primary = None;
                wanted.secondaries.push(node.clone());
                self.ask(cx, kind, node, wanted);
            }
            _ => {}
        }
    }

    /// Ask to become primary of what `config` describes.
    fn ask_for_primacy(&mut self, cx: &mut Ctx<'_>, kind: ChangeKind, config: PartitionConfig) {
        let fit = match &self.role {
            Role::Inactive | Role::Secondary(_) => true,
            Role::Learner(learner) => learner.stage == LearnStage::Streaming,
            Role::Primary(_) | Role::Fenced => false,
        };
        // Only the very first primary of a partition may begin with nothing.
        let first = kind == ChangeKind::AssignPrimary && self.never_began(&config);
        let lacks_data = self.window.last() < config.last_committed;
        if !fit || lacks_data || (!first && !self.is_complete()) {
            return;
        }
        let me = self.options.me.clone();
        let mut wanted = config;
        wanted.secondaries.retain(|n| *n != me);
        wanted.primary = Some(me.clone());
        self.ask(cx, kind, me, wanted);
    }

    fn ask_to_remove(&mut self, cx: &mut Ctx<'_>, kind: ChangeKind, node: &NodeId) {
        let mut wanted = self.config.clone();
        if wanted.is_secondary(node) {
            wanted.secondaries.retain(|n| n != node);
        } else if wanted.is_primary(node) && *node == self.options.me {
            wanted.primary = None;
        } else {
            return;
        }
        self.ask(cx, kind, node.clone(), wanted);
    }

    /// A failed primary tells the meta server to look for another; nobody waits for the answer.
    pub(crate) fn ask_to_leave(&mut self, cx: &mut Ctx<'_>) {
        let me = self.options.me.clone();
        let mut config = self.config.clone();
        config.ballot = config.ballot.next();
        config.primary = None;
        let kind = ChangeKind::DowngradeToInactive;
        cx.out.push(Effect::Update(ConfigUpdate { kind, node: me, config }));
    }

    /// Start a change. From now on its outcome is unknown until the meta server answers.
    fn ask(&mut self, cx: &mut Ctx<'_>, kind: ChangeKind, node: NodeId, wanted: PartitionConfig) {
        let mut config = wanted;
        config.ballot = config.ballot.next();
        config.last_committed = config.last_committed.max(self.committed.decree());
        let request = ConfigUpdate { kind, node, config };
        cx.out.push(Effect::Update(request.clone()));
        self.update = Some(PendingUpdate { request, asked_at: cx.now });
    }

    /// Ask again while nothing was heard.
    pub(crate) fn advance_update(&mut self, cx: &mut Ctx<'_>) {
        if let Some(update) = &mut self.update
            && cx.now.since(update.asked_at) >= UPDATE_RETRY_MS
        {
            update.asked_at = cx.now;
            cx.out.push(Effect::Update(update.request.clone()));
        }
    }

    pub(crate) fn update_answered(
        &mut self,
        cx: &mut Ctx<'_>,
        asked: PartitionConfig,
        outcome: UpdateOutcome,
    ) {
        let Some(update) = &self.update else { return };
        if update.request.config != asked {
            return;
        }
        match outcome {
            UpdateOutcome::Accepted(config) => self.config_decided(cx, config),
            UpdateOutcome::Refused(config) => {
                if config.ballot > self.config.ballot {
                    self.config_decided(cx, config);
                } else {
                    self.update = None;
                }
            }
            UpdateOutcome::Busy => {}
            UpdateOutcome::NotFound => {
                self.update = None;
                self.step_down(cx);
                self.role = Role::Inactive;
            }
        }
    }

    /// The meta server tells what is stored: a push, or the answer to a question.
    pub(crate) fn config_told(
        &mut self,
        cx: &mut Ctx<'_>,
        config: PartitionConfig,
        asked_in: Option<u64>,
    ) {
        if config.pid != self.options.pid || matches!(self.role, Role::Fenced) {
            return;
        }
        if config.ballot > self.config.ballot {
            return self.config_decided(cx, config);
        }
        if config.ballot < self.config.ballot {
            return;
        }
        let mine = config.is_primary(&self.options.me);
        match &mut self.role {
            Role::Primary(primary) if mine => {
                primary.meta_confirmed = asked_in.or(primary.meta_confirmed);
            }
            // Back after a restart: a ballot is never used twice.
            Role::Inactive if mine && self.update.is_none() => {
                let me = self.options.me.clone();
                self.ask(cx, ChangeKind::ForceUpdateBallot, me, config);
            }
            _ => {}
        }
    }

    /// `config` is stored with a ballot above ours (or the one we asked for).
    fn config_decided(&mut self, cx: &mut Ctx<'_>, config: PartitionConfig) {
        if config.ballot <= self.config.ballot {
            self.update = None;
            return;
        }
        let asked = self.update.take().is_some_and(|u| {
            let wanted = u.request.config;
            wanted.ballot == config.ballot
                && wanted.primary == config.primary
                && wanted.secondaries == config.secondaries
        });
        let me = self.options.me.clone();
        if config.is_primary(&me) {
            if asked {
                return self.enter_ballot(cx, config);
            }
            // Somebody made us primary without our asking, or we forgot that we asked.
            self.step_down(cx);
            if !self.is_complete() && !self.never_began(&config) {
                return self.ask_to_be_left_out(cx, config);
            }
            return self.ask(cx, ChangeKind::ForceUpdateBallot, me, config);
        }
        if let Role::Learner(learner) = &self.role
            && !config.is_member(&me)
            && config.primary.as_ref() == Some(&learner.primary)
        {
            // Its primary goes on teaching it and will tell it the new ballot itself.
            return;
        }
        self.step_down(cx);
        if !config.is_member(&me) {
            // Not adopted: what this replica holds belongs to the ballot it was a member of.
            self.role = Role::Inactive;
        } else if config.primary.is_none() {
            if !self.is_complete() {
                return self.ask_to_be_left_out(cx, config);
            }
            // Between two primaries. Note the ballot, so that the old one finds nobody.
            self.adopt(cx, config);
            self.role = Role::Secondary(Follower::default());
        }
        // With another primary, its Sync does the rest.
    }

    /// Whether a crash swallowed the answer to this node's very first assignment, so that nobody
    /// served anything yet: no other node was ever a member (former ones are in `last_drops`), so
    /// this empty replica was made for that assignment and not by somebody's invitation to learn.
    fn never_began(&self, config: &PartitionConfig) -> bool {
        let me = &self.options.me;
        config.members().chain(&config.last_drops).all(|n| n == me)
            && self.learner_mark.is_none()
            && self.window.last() == Decree::ZERO
    }

    /// The configuration counts on this replica, which does not hold what a member must hold: let
    /// the meta server look for another.
    fn ask_to_be_left_out(&mut self, cx: &mut Ctx<'_>, config: PartitionConfig) {
        let me = self.options.me.clone();
        let mut wanted = config;
        wanted.primary = wanted.primary.filter(|p| *p != me);
        wanted.secondaries.retain(|n| *n != me);
        self.ask(cx, ChangeKind::DowngradeToInactive, me, wanted);
    }

    /// A peer knows a higher ballot: this primary was deposed, or its meta answer is under way.
    ///
    /// A replica that is not primary answers that it serves nothing: whoever asks waits for that.
    pub(crate) fn told_stale(&mut self, cx: &mut Ctx<'_>, from: &NodeId, ballot: Ballot) {
        if !matches!(self.role, Role::Primary(_)) {
            // It can become primary again only in a ballot above every one that exists by now.
            let released = if self.update.is_none() {
                ballot.max(self.config.ballot)
            } else {
                self.config.ballot
            };
            return cx.send(from, Message::Released { ballot: released });
        }
        if ballot > self.config.ballot {
            let expected = self.update.as_ref().is_some_and(|u| u.request.config.ballot == ballot);
            if !expected {
                self.step_down(cx);
                self.role = Role::Inactive;
                self.update = None;
                cx.out.push(Effect::AskMeta { epoch: 0 });
            }
        }
    }

    /// Stop being primary: close the gate first, then hand the promises back.
    pub(crate) fn step_down(&mut self, cx: &mut Ctx<'_>) {
        let Role::Primary(primary) = &mut self.role else {
            return;
        };
        let peers: Vec<NodeId> =
            primary.members.keys().chain(primary.learners.keys()).cloned().collect();
        let held: Vec<u64> = primary.held_replies.drain(..).map(|(_, token)| token).collect();
        self.role = Role::Inactive;
        self.publish_gate(cx);
        for token in self.window.take_tokens().into_iter().chain(held) {
            cx.out.push(Effect::Forget { token });
        }
        let ballot = self.config.ballot;
        for peer in peers {
            cx.send(&peer, Message::Released { ballot });
        }
    }

    /// A peer says that it has no replica.
    pub(crate) fn peer_absent(&mut self, cx: &mut Ctx<'_>, from: &NodeId, ballot: Ballot) {
        if ballot > self.config.ballot {
            return;
        }
        if let Some(followed) = &self.followed
            && followed.primary == *from
        {
            self.released = Some(followed.clone());
        }
        self.drop_learner(from);
        self.member_failed(cx, from, true);
    }

    /// A peer lacks records that this primary no longer has in memory.
    pub(crate) fn peer_lacks_history(&mut self, cx: &mut Ctx<'_>, from: &NodeId) {
        let Role::Primary(primary) = &self.role else {
            return;
        };
        if primary.learners.contains_key(from) {
            self.restart_learner(cx, from);
        } else {
            self.member_failed(cx, from, true);
        }
    }

    /// Take a failed member out of the configuration. `certain` is false for one that is merely
    /// slow, which must not leave fewer members than writes need (design 3, rule 9).
    pub(crate) fn member_failed(&mut self, cx: &mut Ctx<'_>, node: &NodeId, certain: bool) {
        let Role::Primary(_) = &self.role else { return };
        let enough = self.config.member_count() > self.options.min_ack_members;
        if self.update.is_none() && self.config.is_secondary(node) && (certain || enough) {
            self.ask_to_remove(cx, ChangeKind::DowngradeToInactive, node);
        }
    }

    /// Forget a learner, unless a change that would make it a member is under way.
    pub(crate) fn drop_learner(&mut self, node: &NodeId) {
        let joining = self.update.as_ref().is_some_and(|u| u.request.config.is_member(node));
        if let Role::Primary(primary) = &mut self.role
            && !joining
        {
            primary.learners.remove(node);
        }
    }

    fn add_learner(&mut self, cx: &mut Ctx<'_>, node: NodeId, nonce: u64, extra: usize) {
        let room = usize::try_from(self.config.max_replica_count).unwrap_or(0) + extra;
        let members = self.config.member_count();
        let is_member = self.config.is_member(&node);
        let Role::Primary(primary) = &mut self.role else {
            return;
        };
        if is_member
            || primary.learners.contains_key(&node)
            || members + primary.learners.len() >= room
        {
            return;
        }
        let learner =
            LearnerPeer { nonce, stream: None, since: cx.now, asked_at: cx.now, heard_at: cx.now };
        primary.learners.insert(node.clone(), learner);
        self.invite_learner(cx, &node, nonce);
    }

    pub(crate) fn invite_learner(&self, cx: &mut Ctx<'_>, node: &NodeId, nonce: u64) {
        let message = Message::AddLearner {
            ballot: self.config.ballot,
            nonce,
            config: self.config.clone(),
            app: Box::new(self.app.clone()),
        };
        cx.send(node, message);
    }

    /// Everything streamed to this learner is in its log: ask to make it a member.
    pub(crate) fn upgrade_learner(&mut self, cx: &mut Ctx<'_>, node: NodeId) {
        let mut wanted = self.config.clone();
        wanted.secondaries.push(node.clone());
        self.ask(cx, ChangeKind::UpgradeToSecondary, node, wanted);
    }
}
