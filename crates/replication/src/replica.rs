use pegasus_types::{
    AppInfo, Applied, Ballot, Committed, Decree, Durable, NodeId, PartitionConfig, Prepared,
    ReplicaReport, ReplicaStatus, Tick,
};

use crate::event::{
    Admission, Effect, Effects, Event, Followed, Gate, LearnerMark, PersistentState, Refusal,
    WriteResult,
};
use crate::lease::LeaseView;
use crate::message::Message;
use crate::options::Options;
use crate::role::{PendingUpdate, Phase, Role};
use crate::window::Window;

/// One replica of one partition. See the crate documentation for the protocol.
#[derive(Clone, Debug)]
pub struct Replica {
    pub(crate) options: Options,
    pub(crate) app: AppInfo,
    pub(crate) config: PartitionConfig,
    /// The last ballot in which this replica was a member and since when it only gained history.
    /// Only that ballot counts when the last members of a partition are compared.
    pub(crate) member_ballot: Ballot,
    pub(crate) learner_mark: Option<LearnerMark>,
    /// What was handed out to be written down last.
    pub(crate) state: Option<PersistentState>,
    pub(crate) role: Role,
    pub(crate) window: Window,
    pub(crate) committed: Committed,
    pub(crate) applied: Applied,
    pub(crate) durable: Durable,
    /// Highest decree handed to the engine; `applied` follows.
    pub(crate) applying: Decree,
    /// Highest decree of the window that is in the log.
    pub(crate) persisted: Decree,
    /// Log operations are numbered 1, 2, ...; everything up to `log_done` is in the log.
    pub(crate) log_seq: u64,
    pub(crate) log_done: u64,
    pub(crate) state_seq: u64,
    pub(crate) state_done: u64,
    pub(crate) update: Option<PendingUpdate>,
    /// The nonce of a checkpoint copy that was ordered and has not ended, whatever the role is by
    /// now: until then engine and log may be exchanged at any moment.
    pub(crate) copy: Option<u64>,
    pub(crate) followed: Option<Followed>,
    /// A former primary that said it stopped, and in which ballot.
    pub(crate) released: Option<Followed>,
    pub(crate) suspect: bool,
    pub(crate) last_timestamp_us: i64,
    pub(crate) published: Option<Gate>,
    /// When the last step was, and since when steps came without a long pause.
    pub(crate) stepped_at: Tick,
    pub(crate) awake_since: Tick,
    /// When the next `Tick` is wanted.
    pub(crate) wake: Tick,
}

/// What a step works with besides the replica itself.
pub(crate) struct Ctx<'a> {
    pub now: Tick,
    pub leases: &'a dyn LeaseView,
    pub out: &'a mut Effects,
}

impl Ctx<'_> {
    pub fn send(&mut self, to: &NodeId, message: Message) {
        self.out.push(Effect::Send { to: to.clone(), message });
    }
}

impl Replica {
    /// Let one event happen. Effects are appended to `out` in the order in which they must be
    /// carried out. Never fails: whatever arrives, the replica stays within its invariants.
    pub fn step(&mut self, now: Tick, leases: &dyn LeaseView, event: Event, out: &mut Effects) {
        let cx = &mut Ctx { now, leases, out };
        if now.since(self.stepped_at) >= self.options.silence_ms {
            // Nobody could be heard while this process was paused.
            self.awake_since = now;
        }
        self.stepped_at = now;
        match event {
            Event::Write { token, timestamp_us, body } => self.write(cx, token, timestamp_us, body),
            Event::Message { from, message } => self.message(cx, from, message),
            Event::Persisted { seq } => self.log_persisted(seq),
            Event::StatePersisted { seq } => self.state_done = self.state_done.max(seq),
            Event::Applied { up_to } => self.engine_applied(cx, up_to),
            Event::Flushed { up_to } => self.engine_flushed(cx, up_to),
            Event::Config { config, asked_in } => self.config_told(cx, config, asked_in),
            Event::Proposal { proposal, nonce } => self.proposed(cx, proposal, nonce),
            Event::UpdateReply { asked, outcome } => self.update_answered(cx, asked, outcome),
            Event::LogRead { to, nonce, after, mutations } => {
                self.log_was_read(cx, to, nonce, after, mutations);
            }
            Event::CopyFinished { nonce, result } => self.copy_finished(cx, nonce, result),
            Event::PeerReset { peer } => self.peer_reset(now, &peer),
            Event::App { app } => self.app = *app,
            Event::Failed { reason } => self.fence(cx, reason),
            Event::PeerSilent { .. } | Event::LeasesChanged | Event::Tick => {}
        }
        self.advance(cx);
    }

    /// Whatever the event was: do everything that has become possible.
    fn advance(&mut self, cx: &mut Ctx<'_>) {
        if matches!(self.role, Role::Fenced) {
            self.wake = Tick::NEVER;
            return;
        }
        self.advance_update(cx);
        self.advance_primary(cx);
        self.advance_follower(cx);
        self.advance_learner(cx);
        self.apply_committed(cx);
        let kept_elsewhere = self.applied.decree().min(self.persisted);
        self.window.trim(kept_elsewhere, self.options.cache_bytes);
        self.publish_gate(cx);
        self.wake = self.next_wake(cx.now);
    }

    fn message(&mut self, cx: &mut Ctx<'_>, from: NodeId, message: Message) {
        if matches!(self.role, Role::Fenced) {
            return self.answer_fenced(cx, &from, &message);
        }
        match message {
            Message::Sync(sync) => self.sync_received(cx, from, sync),
            Message::SyncAck(ack) => self.sync_answered(cx, &from, ack),
            Message::Prepare { ballot, mutation, committed, committed_chain } => {
                if self.prepare_received(cx, &from, ballot, mutation) {
                    self.commit_told(cx, &from, ballot, committed, committed_chain);
                }
            }
            Message::PrepareAck { ballot, acked } => self.prepare_acked(cx, &from, ballot, acked),
            Message::Commit { ballot, committed, chain } => {
                self.commit_told(cx, &from, ballot, committed, chain);
            }
            Message::Stale { ballot } => self.told_stale(cx, &from, ballot),
            Message::NeedSync { ballot } => self.sync_wanted(cx.now, &from, ballot),
            Message::Absent { ballot } => self.peer_absent(cx, &from, ballot),
            Message::AddLearner { ballot, nonce, config, app } => {
                self.learner_wanted(cx, from, ballot, nonce, config, *app);
            }
            Message::LearnRequest { nonce, last, chain, .. } => {
                self.learn_requested(cx, &from, nonce, last, chain);
            }
            Message::Learning { nonce, .. } => self.learner_heard(cx, &from, nonce),
            Message::LearnReply { nonce, plan, .. } => self.learn_answered(cx, &from, nonce, plan),
            Message::Released { ballot } => {
                self.released = Some(Followed { primary: from, ballot });
            }
            Message::Dismiss { ballot, config } => self.dismissed(cx, &from, ballot, config),
        }
    }

    /// A fenced replica still says that it is of no use, so that nobody waits for it.
    fn answer_fenced(&self, cx: &mut Ctx<'_>, from: &NodeId, message: &Message) {
        let ballot = self.config.ballot;
        match message {
            Message::Sync(_) | Message::Prepare { .. } | Message::Commit { .. } => {
                cx.send(from, Message::Absent { ballot });
            }
            Message::Stale { .. } => cx.send(from, Message::Released { ballot }),
            _ => {}
        }
    }

    /// Take a configuration as one's own and write it down; nothing that depends on it may be
    /// said before the number returned here is persisted.
    pub(crate) fn adopt(&mut self, cx: &mut Ctx<'_>, config: PartitionConfig) -> u64 {
        assert!(config.ballot >= self.config.ballot, "a ballot never decreases");
        if self.followed.is_none()
            && let Some(primary) = self.config.primary.clone().filter(|p| *p != self.options.me)
        {
            // It may still hold promises of an earlier incarnation of this node, renewed since.
            self.followed = Some(Followed { primary, ballot: self.config.ballot });
        }
        if config.is_member(&self.options.me) && self.is_complete() {
            self.member_ballot = config.ballot;
        }
        self.config = config;
        self.save_state(cx)
    }

    /// Whether this replica holds everything it ever acknowledged as a member or as a learner that
    /// may have become one; only then may it become primary. One that never was either of them
    /// (made anew after its disk was lost, say) is not, even if a configuration lists its node.
    pub(crate) fn is_complete(&self) -> bool {
        self.learner_mark.map_or(self.member_ballot > Ballot::ZERO, |mark| mark.matched)
    }

    /// Write down what has to survive a restart, if it changed; returns the number to wait for.
    pub(crate) fn save_state(&mut self, cx: &mut Ctx<'_>) -> u64 {
        let state = PersistentState {
            config: self.config.clone(),
            member_ballot: self.member_ballot,
            followed: self.followed.clone(),
            learner: self.learner_mark,
        };
        if self.state.as_ref() != Some(&state) {
            self.state = Some(state.clone());
            self.state_seq += 1;
            cx.out.push(Effect::PersistState { seq: self.state_seq, state });
        }
        self.state_seq
    }

    /// Give up for good: a disk failed or an invariant is broken. The files stay.
    pub(crate) fn fence(&mut self, cx: &mut Ctx<'_>, reason: String) {
        if matches!(self.role, Role::Fenced) {
            return;
        }
        if matches!(self.role, Role::Primary(_)) {
            self.step_down(cx);
            self.ask_to_leave(cx);
        }
        self.role = Role::Fenced;
        self.update = None;
        for token in self.window.take_tokens() {
            cx.out.push(Effect::Forget { token });
        }
        self.publish_gate(cx);
        self.wake = Tick::NEVER;
        cx.out.push(Effect::Fenced { reason });
    }

    /// Whether a write may be offered now.
    pub fn admission(&self) -> Admission {
        let Role::Primary(primary) = &self.role else {
            return Admission::Refuse(Refusal::NotPrimary);
        };
        if self.update.is_some() || primary.phase != Phase::Open {
            return Admission::Wait;
        }
        if self.config.member_count() < self.options.min_ack_members {
            return Admission::Refuse(Refusal::NotEnoughMembers);
        }
        let last = self.window.last().0;
        let beyond = |decree: Decree| usize::try_from(last - decree.0).unwrap_or(usize::MAX);
        if beyond(self.committed.decree()) >= self.options.window
            || beyond(self.applied.decree()) >= self.options.apply_backlog
        {
            return Admission::Wait;
        }
        Admission::Open
    }

    /// Feed `Event::Tick` no later than this.
    pub fn next_tick(&self) -> Tick {
        self.wake
    }

    fn next_wake(&self, now: Tick) -> Tick {
        let retry = now + 50;
        match &self.role {
            Role::Fenced => Tick::NEVER,
            Role::Inactive => {
                if self.update.is_some() {
                    retry
                } else {
                    now + 1000
                }
            }
            Role::Secondary(_) => {
                if self.update.is_some() {
                    retry
                } else {
                    now + 1000
                }
            }
            Role::Learner(_) => now + 100,
            Role::Primary(primary) => {
                let busy = self.update.is_some()
                    || primary.phase != Phase::Open
                    || self.window.last() > self.committed.decree()
                    || !primary.learners.is_empty()
                    || !primary.held_replies.is_empty()
                    || primary.members.values().any(|p| !p.synced || p.confirmed.is_none());
                let usual = if busy { retry } else { (now + 500).min(primary.group_check_at) };
                primary.notice_at.map_or(usual, |at| at.min(usual))
            }
        }
    }

    pub fn report(&self) -> ReplicaReport {
        ReplicaReport {
            pid: self.options.pid,
            ballot: self.member_ballot,
            status: self.status(),
            committed: self.committed.decree(),
            prepared: self.window.last(),
            durable: self.durable.decree(),
            suspect: self.suspect,
            disk_tag: String::new(),
        }
    }

    pub fn status(&self) -> ReplicaStatus {
        match &self.role {
            Role::Inactive => ReplicaStatus::Inactive,
            Role::Primary(_) => ReplicaStatus::Primary,
            Role::Secondary(_) => ReplicaStatus::Secondary,
            Role::Learner(_) => ReplicaStatus::Learner,
            Role::Fenced => ReplicaStatus::Error,
        }
    }

    pub fn ballot(&self) -> Ballot {
        self.config.ballot
    }

    pub fn config(&self) -> &PartitionConfig {
        &self.config
    }

    pub fn app(&self) -> &AppInfo {
        &self.app
    }

    pub fn prepared(&self) -> Prepared {
        Prepared(self.window.last())
    }

    pub fn committed(&self) -> Committed {
        self.committed
    }

    pub fn applied(&self) -> Applied {
        self.applied
    }

    pub fn durable(&self) -> Durable {
        self.durable
    }

    /// The chain at `decree`, if it is still in memory; for comparing replicas.
    pub fn chain_at(&self, decree: Decree) -> Option<u64> {
        self.window.chain_at(decree)
    }

    /// Nodes this replica exchanges messages and leases with at the moment.
    pub fn peers(&self) -> Vec<NodeId> {
        let mut peers: Vec<NodeId> =
            self.config.members().filter(|n| **n != self.options.me).cloned().collect();
        match &self.role {
            Role::Primary(primary) => peers.extend(primary.learners.keys().cloned()),
            Role::Learner(learner) => peers.push(learner.primary.clone()),
            _ => {}
        }
        peers.sort();
        peers.dedup();
        peers
    }

    pub(crate) fn refuse(&self, cx: &mut Ctx<'_>, token: u64, refusal: Refusal) {
        cx.out.push(Effect::Reply { token, result: WriteResult::Refused(refusal) });
    }
}
