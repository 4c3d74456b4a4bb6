//! The first phase: proposing a mutation, and taking one from the primary.

use bytes::Bytes;
use pegasus_types::{Ballot, Decree, Mutation, NodeId, chain_after};

use crate::event::{Admission, Effect, Refusal};
use crate::message::Message;
use crate::replica::{Ctx, Replica};
use crate::role::{Peer, Role};
use crate::window::Slot;

impl Replica {
    /// Primary: give a batch of client writes the next decree and send it to everybody.
    pub(crate) fn write(&mut self, cx: &mut Ctx<'_>, token: u64, timestamp_us: i64, body: Bytes) {
        match self.admission() {
            Admission::Open => {}
            Admission::Wait => return self.refuse(cx, token, Refusal::Busy),
            Admission::Refuse(refusal) => return self.refuse(cx, token, refusal),
        }
        let decree = self.window.last().next();
        let timestamp_us = timestamp_us.max(self.last_timestamp_us.saturating_add(1));
        let prev_chain = self.window.last_chain();
        let mutation = Mutation {
            decree,
            ballot: self.config.ballot,
            timestamp_us,
            committed: self.committed.decree(),
            prev_chain,
            chain: chain_after(prev_chain, decree, timestamp_us, &body),
            body,
        };
        self.append(cx, mutation, Some(token));
    }

    /// Put a mutation at the end of the history and into the log.
    pub(crate) fn append(&mut self, cx: &mut Ctx<'_>, mutation: Mutation, token: Option<u64>) {
        self.log_seq += 1;
        self.last_timestamp_us = self.last_timestamp_us.max(mutation.timestamp_us);
        cx.out.push(Effect::Append { seq: self.log_seq, mutation: mutation.clone() });
        self.window.push(Slot { mutation, seq: self.log_seq, token });
    }

    /// Drop everything above `above` from the history, in the log too.
    pub(crate) fn truncate(&mut self, cx: &mut Ctx<'_>, above: Decree) {
        let above = above.max(self.committed.decree());
        if self.window.last() <= above {
            return;
        }
        for token in self.window.truncate_above(above) {
            cx.out.push(Effect::Forget { token });
        }
        self.persisted = self.persisted.min(above);
        self.log_seq += 1;
        cx.out.push(Effect::TruncateLog { seq: self.log_seq, above });
    }

    /// Primary: peers whose place in the stream has left memory need another way to get on.
    pub(crate) fn reroute_laggards(&mut self, cx: &mut Ctx<'_>) {
        let base = self.window.base();
        let Role::Primary(primary) = &self.role else {
            return;
        };
        let laggards: Vec<NodeId> = primary
            .streams()
            .filter(|(_, peer)| peer.synced && peer.sent < base)
            .map(|(node, _)| node.clone())
            .collect();
        for node in laggards {
            self.peer_lacks_history(cx, &node);
        }
    }

    /// Primary: send every synced peer what it has not been sent yet.
    pub(crate) fn pump(&mut self, cx: &mut Ctx<'_>) {
        let committed = self.committed.decree();
        let committed_chain = self.window.chain_at(committed);
        let Role::Primary(primary) = &mut self.role else {
            return;
        };
        let last = self.window.last();
        let mut told_all = true;
        for (node, peer) in primary.streams_mut() {
            if !peer.synced || peer.sent >= last {
                told_all = false;
                continue;
            }
            let room = self.options.stream_limit as i64 - (peer.sent.0 - peer.acked.0);
            let up_to = Decree(last.0.min(peer.sent.0.saturating_add(room.max(0))));
            if peer.acked >= peer.sent {
                peer.waiting_since = cx.now;
            }
            for slot in self.window.range(peer.sent, up_to) {
                let message = Message::Prepare {
                    ballot: self.config.ballot,
                    mutation: slot.mutation.clone(),
                    committed,
                    committed_chain: committed_chain.unwrap_or(0),
                };
                cx.out.push(Effect::Send { to: node.clone(), message });
                peer.sent = slot.mutation.decree;
            }
        }
        if told_all {
            primary.noticed = committed;
            primary.notice_at = None;
        }
    }

    /// Member: take a mutation if it continues the history that Sync established. Returns false
    /// if the message as a whole means nothing here; the sender was told why.
    pub(crate) fn prepare_received(
        &mut self,
        cx: &mut Ctx<'_>,
        from: &NodeId,
        ballot: Ballot,
        mutation: Mutation,
    ) -> bool {
        if ballot < self.config.ballot {
            cx.send(from, Message::Stale { ballot: self.config.ballot });
            return false;
        }
        let here = ballot == self.config.ballot && self.follows(from);
        let repeat = mutation.decree <= self.window.last();
        let fits = if repeat {
            self.window.chain_at(mutation.decree).is_none_or(|c| c == mutation.chain)
        } else {
            self.window.fits(&mutation) && mutation.is_intact()
        };
        if !here || !fits {
            cx.send(from, Message::NeedSync { ballot });
            return false;
        }
        if !repeat {
            self.append(cx, mutation, None);
        }
        true
    }

    /// Primary: a peer's log holds everything up to `acked`.
    pub(crate) fn prepare_acked(
        &mut self,
        cx: &mut Ctx<'_>,
        from: &NodeId,
        ballot: Ballot,
        acked: Decree,
    ) {
        if ballot > self.config.ballot {
            return self.told_stale(cx, from, ballot);
        }
        if ballot < self.config.ballot {
            return;
        }
        let now = cx.now;
        if let Some(peer) = self.peer_mut(from)
            && peer.synced
            && acked > peer.acked
        {
            peer.acked = acked.min(peer.sent);
            peer.waiting_since = now;
        }
    }

    /// The stream state of a member or streaming learner.
    pub(crate) fn peer_mut(&mut self, node: &NodeId) -> Option<&mut Peer> {
        let Role::Primary(primary) = &mut self.role else {
            return None;
        };
        if let Some(peer) = primary.members.get_mut(node) {
            return Some(peer);
        }
        primary.learners.get_mut(node)?.stream.as_mut()
    }

    /// Whether this replica takes prepares and commits of `primary` in its current ballot.
    pub(crate) fn follows(&self, primary: &NodeId) -> bool {
        let synced = match &self.role {
            Role::Secondary(follower) => follower.synced,
            Role::Learner(learner) => learner.follower.synced,
            _ => false,
        };
        synced && self.followed.as_ref().is_some_and(|f| f.primary == *primary)
    }
}
