//! The handshake of a new ballot: the primary tells each member its history, the member drops what
//! the primary does not have and says how far they agree (design 3, rule 5). The same handshake
//! repairs a stream after a reset and confirms a primary in a new lease epoch.

use pegasus_types::{Ballot, Decree, NodeId, PartitionConfig, Tick};

use crate::event::{Followed, LearnerMark};
use crate::message::{Message, Sync, SyncAck, SyncOutcome};
use crate::replica::{Ctx, Replica};
use crate::role::{Follower, LearnStage, OwedAck, Phase, Role};

impl Replica {
    /// Primary: send a Sync to every peer that needs one.
    pub(crate) fn sync_peers(&mut self, cx: &mut Ctx<'_>) {
        let Role::Primary(primary) = &self.role else {
            return;
        };
        if !matches!(primary.phase, Phase::Syncing | Phase::Open) {
            return;
        }
        let retransmit_ms = self.options.retransmit_ms;
        let last = self.window.last();
        let mut wanted = Vec::new();
        for (node, peer) in primary.streams() {
            let held = cx.leases.held(cx.now, node);
            let rested = cx.now.since(peer.sync_at) >= retransmit_ms || peer.round == 0;
            let stuck = peer.acked < last
                && cx.now.since(peer.waiting_since.max(peer.sync_at)) >= retransmit_ms;
            // A lease epoch counts only once the peer confirmed this primary within it.
            let unconfirmed = held.is_some() && peer.confirmed != held;
            let asked_in_it = peer.sync_epoch == held;
            if (!peer.synced && rested)
                || (unconfirmed && (rested || !asked_in_it))
                || (peer.synced && stuck)
            {
                wanted.push(node.clone());
            }
        }
        for node in wanted {
            self.send_sync(cx, &node);
        }
    }

    fn send_sync(&mut self, cx: &mut Ctx<'_>, node: &NodeId) {
        let committed = self.committed.decree();
        let ballot = self.config.ballot;
        let config = self.config.clone();
        let chains = self.window.chains_from(committed);
        let held = cx.leases.held(cx.now, node);
        let Role::Primary(primary) = &mut self.role else {
            return;
        };
        let barrier = primary.barrier;
        let learner = primary.learners.get(node).map(|l| l.nonce);
        primary.next_round += 1;
        let round = primary.next_round;
        let Some(peer) = self.peer_mut(node) else {
            return;
        };
        peer.round = round;
        peer.sync_at = cx.now;
        peer.sync_epoch = held;
        let sync = Sync { ballot, config, learner, round, committed, barrier, chains };
        cx.send(node, Message::Sync(sync));
    }

    /// Member: compare histories with the primary of an equal or higher ballot.
    pub(crate) fn sync_received(&mut self, cx: &mut Ctx<'_>, from: NodeId, sync: Sync) {
        let ballot = self.config.ballot;
        let known = self.followed.as_ref().is_some_and(|f| f.primary == from);
        let sound = sync.config.ballot == sync.ballot
            && sync.config.is_primary(&from)
            && !sync.chains.is_empty()
            && sync.config.pid == self.options.pid;
        if !sound || self.copying() {
            return;
        }
        if sync.ballot < ballot {
            return cx.send(&from, Message::Stale { ballot });
        }
        // In an equal ballot somebody else can be primary only if a message is forged.
        if sync.ballot == ballot && self.config.primary.as_ref().is_some_and(|p| *p != from) {
            return;
        }
        if !known && !self.free_to_follow(cx, &from) {
            return self.warn_former(cx, sync.ballot);
        }
        if !self.become_follower(cx, &from, &sync) {
            return;
        }
        self.followed = Some(Followed { primary: from, ballot: sync.ballot });
        let ballot_seq = self.adopt(cx, sync.config.clone());
        let fresh = self.follower().is_some_and(|f| sync.round > f.last_round);
        if !fresh {
            return;
        }
        let outcome = self.match_history(cx, sync.committed, &sync.chains);
        let log_seq = self.log_seq;
        let state_seq = match outcome {
            SyncOutcome::Matched { matched } if matched >= sync.barrier => {
                self.note_match(cx, sync.learner)
            }
            _ => ballot_seq,
        };
        let agreed = !matches!(outcome, SyncOutcome::Ahead { .. });
        if let Some(follower) = self.follower_mut() {
            follower.last_round = sync.round;
            follower.synced = agreed;
            follower.acked = Decree::ZERO;
            follower.owed = Some(OwedAck { round: sync.round, outcome, state_seq, log_seq });
        }
    }

    /// The log holds everything that was or may have been committed: from now on this replica is as
    /// good as a member.
    fn note_match(&mut self, cx: &mut Ctx<'_>, learner: Option<u64>) -> u64 {
        self.learner_mark = learner.map(|nonce| LearnerMark { nonce, matched: true });
        if self.config.is_member(&self.options.me) {
            self.member_ballot = self.config.ballot;
        }
        self.save_state(cx)
    }

    /// Whether the promise to the primary this node followed so far has run out or was handed
    /// back, so that another may take its place (design 3, rule 1).
    pub(crate) fn free_to_follow(&self, cx: &Ctx<'_>, other: &NodeId) -> bool {
        self.promised_until(cx, other).is_none()
    }

    /// When this node becomes free to have `other` as primary, None if it is.
    pub(crate) fn promised_until(&self, cx: &Ctx<'_>, other: &NodeId) -> Option<Tick> {
        let followed = self.followed.as_ref().map(|f| &f.primary);
        let known = followed.or(self.config.primary.as_ref());
        // A restarted node that does not know whom it followed must honour what its predecessor
        // may have promised; to itself a node never promises, so that is just the unknown part.
        let unknown = known.is_none().then_some(&self.options.me);
        let formers = followed.into_iter().chain(self.config.primary.as_ref()).chain(unknown);
        formers
            .filter(|p| *p != other)
            .filter(|p| known.is_none() || **p != self.options.me)
            .filter(|p| !self.has_released(p))
            .map(|p| cx.leases.promise_until(p))
            .filter(|until| cx.now < *until)
            .max()
    }

    /// Tell the primary followed so far that there is a higher ballot, so that it hands its
    /// promises back instead of renewing them.
    pub(crate) fn warn_former(&self, cx: &mut Ctx<'_>, ballot: Ballot) {
        let former = self.followed.as_ref().map(|f| &f.primary).or(self.config.primary.as_ref());
        if let Some(former) = former
            && *former != self.options.me
        {
            cx.send(former, Message::Stale { ballot });
        }
    }

    fn has_released(&self, primary: &NodeId) -> bool {
        let since = self.followed.as_ref().map_or(self.config.ballot, |f| {
            if f.primary == *primary { f.ballot } else { self.config.ballot }
        });
        self.released.as_ref().is_some_and(|r| r.primary == *primary && r.ballot >= since)
    }

    /// Take the role that a Sync gives; false if this replica cannot.
    fn become_follower(&mut self, cx: &mut Ctx<'_>, from: &NodeId, sync: &Sync) -> bool {
        let newer = sync.ballot > self.config.ballot;
        if let Some(nonce) = sync.learner {
            let Role::Learner(learner) = &mut self.role else {
                cx.send(from, Message::Absent { ballot: sync.ballot });
                return false;
            };
            if learner.nonce != nonce || learner.primary != *from {
                cx.send(from, Message::Absent { ballot: sync.ballot });
                return false;
            }
            if matches!(learner.stage, LearnStage::Copying | LearnStage::CopyWanted) {
                return false;
            }
            if newer {
                learner.follower = Follower::default();
            }
            learner.stage = LearnStage::Streaming;
            return true;
        }
        if !sync.config.is_secondary(&self.options.me) {
            return false;
        }
        match &mut self.role {
            Role::Secondary(_) if !newer => {}
            // A learner is upgraded only while it streams; otherwise it lacks something.
            Role::Learner(learner) if learner.stage != LearnStage::Streaming => {
                cx.send(from, Message::Absent { ballot: sync.ballot });
                return false;
            }
            Role::Primary(_) if !newer => return false,
            Role::Primary(_) => {
                self.step_down(cx);
                self.role = Role::Secondary(Follower::default());
            }
            _ => self.role = Role::Secondary(Follower::default()),
        }
        self.update = None;
        true
    }

    /// Find the last decree up to which both histories agree, and drop what is above it.
    fn match_history(&mut self, cx: &mut Ctx<'_>, base: Decree, chains: &[u64]) -> SyncOutcome {
        let theirs = |d: Decree| {
            let offset = usize::try_from(d.0.checked_sub(base.0)?).ok()?;
            chains.get(offset).copied()
        };
        let their_last = base.0.saturating_add(chains.len() as i64 - 1);
        let committed = self.committed.decree();
        let low = base.max(self.window.base()).0;
        let matched = (low..=their_last.min(self.window.last().0))
            .rev()
            .map(Decree)
            .find(|d| theirs(*d).is_some() && theirs(*d) == self.window.chain_at(*d));
        match matched {
            Some(matched) if matched >= committed => {
                self.truncate(cx, matched);
                SyncOutcome::Matched { matched }
            }
            // Committed here, but not part of the primary's history.
            Some(_) => SyncOutcome::Ahead { committed },
            None if committed > base => SyncOutcome::Ahead { committed },
            None => {
                if self.window.last() >= base {
                    self.truncate(cx, committed);
                }
                let last = self.window.last();
                SyncOutcome::Behind { last, chain: self.window.last_chain() }
            }
        }
    }

    /// Primary: a peer said how far it agrees.
    pub(crate) fn sync_answered(&mut self, cx: &mut Ctx<'_>, from: &NodeId, ack: SyncAck) {
        if ack.ballot != self.config.ballot {
            return;
        }
        let barrier = if let Role::Primary(p) = &self.role { p.barrier } else { Decree::ZERO };
        let now = cx.now;
        let Some(peer) = self.peer_mut(from) else {
            return;
        };
        if peer.round != ack.round {
            return;
        }
        peer.confirmed = peer.sync_epoch;
        match ack.outcome {
            SyncOutcome::Matched { matched } => {
                peer.matched |= matched >= barrier;
                self.resume_stream(now, from, matched);
            }
            SyncOutcome::Behind { last, chain } => {
                if self.window.chain_at(last) == Some(chain) {
                    self.resume_stream(now, from, last);
                } else {
                    self.peer_lacks_history(cx, from);
                }
            }
            SyncOutcome::Ahead { committed } => self.peer_is_ahead(cx, from, committed),
        }
    }

    fn resume_stream(&mut self, now: Tick, node: &NodeId, agreed: Decree) {
        if let Some(peer) = self.peer_mut(node) {
            peer.synced = true;
            peer.acked = agreed;
            peer.sent = agreed;
            peer.waiting_since = now;
        }
    }

    /// A member that committed what the primary does not have: the primary lost acknowledged data
    /// and must not serve. A learner in that state merely holds another history.
    fn peer_is_ahead(&mut self, cx: &mut Ctx<'_>, from: &NodeId, committed: Decree) {
        let Role::Primary(primary) = &mut self.role else {
            return;
        };
        if primary.learners.contains_key(from) {
            return self.restart_learner(cx, from);
        }
        let ours = self.window.last();
        self.fence(
            cx,
            format!("{from} committed decree {committed}, this primary's history ends at {ours} or differs"),
        );
    }

    /// Member: give the answer that was owed once everything it claims is on disk, then
    /// acknowledge what reached the log since.
    pub(crate) fn advance_follower(&mut self, cx: &mut Ctx<'_>) {
        let behind = self.window.last().0 - self.applied.decree().0;
        let lagging = usize::try_from(behind).unwrap_or(usize::MAX) >= self.options.apply_backlog;
        let (state_done, log_done, persisted) = (self.state_done, self.log_done, self.persisted);
        let ballot = self.config.ballot;
        let Some(primary) = self.followed.as_ref().map(|f| f.primary.clone()) else {
            return;
        };
        let Some(follower) = self.follower_mut() else {
            return;
        };
        if let Some(owed) = &follower.owed {
            if owed.state_seq > state_done || owed.log_seq > log_done {
                return;
            }
            let ack = SyncAck { ballot, round: owed.round, outcome: owed.outcome.clone() };
            follower.acked = match owed.outcome {
                SyncOutcome::Matched { matched } => matched,
                SyncOutcome::Behind { last, .. } => last,
                SyncOutcome::Ahead { .. } => Decree::ZERO,
            };
            follower.owed = None;
            cx.send(&primary, Message::SyncAck(ack));
        }
        let Some(follower) = self.follower_mut() else {
            return;
        };
        // An engine that lags far behind must not let the log run on.
        if follower.synced && persisted > follower.acked && !lagging {
            follower.acked = persisted;
            cx.send(&primary, Message::PrepareAck { ballot, acked: persisted });
        }
    }

    pub(crate) fn follower(&self) -> Option<&Follower> {
        match &self.role {
            Role::Secondary(follower) => Some(follower),
            Role::Learner(learner) => Some(&learner.follower),
            _ => None,
        }
    }

    pub(crate) fn follower_mut(&mut self) -> Option<&mut Follower> {
        match &mut self.role {
            Role::Secondary(follower) => Some(follower),
            Role::Learner(learner) => Some(&mut learner.follower),
            _ => None,
        }
    }

    /// Primary: this peer lost its place in the stream.
    pub(crate) fn sync_wanted(&mut self, now: Tick, from: &NodeId, ballot: Ballot) {
        if ballot != self.config.ballot {
            return;
        }
        // One answer per Sync: repeats of the complaint while a Sync is under way say nothing new.
        self.unsync(now, from);
    }

    /// The link to a peer was set up anew: what was sent may be lost.
    pub(crate) fn peer_reset(&mut self, now: Tick, node: &NodeId) {
        self.unsync(now, node);
    }

    fn unsync(&mut self, now: Tick, node: &NodeId) {
        if let Some(peer) = self.peer_mut(node)
            && peer.synced
        {
            peer.unsync(now);
        }
    }

    /// Member or former primary: the configuration of a higher ballot leaves this node out.
    pub(crate) fn dismissed(
        &mut self,
        cx: &mut Ctx<'_>,
        from: &NodeId,
        ballot: Ballot,
        config: PartitionConfig,
    ) {
        let sound = config.ballot == ballot
            && config.is_primary(from)
            && config.pid == self.options.pid
            && !config.is_member(&self.options.me);
        if !sound || ballot < self.config.ballot || !self.free_to_follow(cx, from) {
            return;
        }
        if matches!(self.role, Role::Primary(_)) {
            if ballot == self.config.ballot {
                return;
            }
            self.step_down(cx);
        }
        self.update = None;
        self.role = Role::Inactive;
    }
}
