//! From prepared to committed to applied to answered.

use pegasus_types::{Applied, Ballot, Committed, Decree, Durable, Mutation, NodeId};

use crate::event::{Effect, WriteResult};
use crate::message::Message;
use crate::replica::{Ctx, Replica};
use crate::role::{Phase, Primary, Role};

impl Replica {
    /// Primary: what is ready is committed. A primary without other members does so only under the
    /// meta server's lease; nobody else could object if it was deposed.
    ///
    /// A decree is ready once it is in the log of the primary and of every member,
    /// and, while a change is being decided, of every member it would add (design 3, rule 4).
    pub(crate) fn commit_ready(&mut self, cx: &mut Ctx<'_>) {
        let Role::Primary(primary) = &mut self.role else {
            return;
        };
        if !matches!(primary.phase, Phase::Syncing | Phase::Open) {
            return;
        }
        if self.config.secondaries.is_empty() && !confirmed_by_meta(cx, primary) {
            return;
        }
        let mut ready = self.persisted;
        for node in &self.config.secondaries {
            ready = ready.min(primary.members.get(node).map_or(Decree::ZERO, |p| p.acked));
        }
        if let Some(update) = &self.update {
            for node in &update.request.config.secondaries {
                if let Some(learner) = primary.learners.get(node) {
                    let acked = learner.stream.as_ref().map_or(Decree::ZERO, |p| p.acked);
                    ready = ready.min(acked);
                }
            }
        }
        if ready > self.committed.decree() {
            self.committed = Committed(ready);
            let due = cx.now + self.options.commit_notice_ms;
            primary.notice_at.get_or_insert(due);
        }
    }

    /// Member: the primary of `ballot` committed up to `committed`, where its chain is `chain`.
    ///
    /// The window is a prefix of the primary's history, so everything in it up to that decree is
    /// committed too; the chain is compared all the same (design 3, rule 7).
    pub(crate) fn commit_told(
        &mut self,
        cx: &mut Ctx<'_>,
        from: &NodeId,
        ballot: Ballot,
        committed: Decree,
        chain: u64,
    ) {
        if ballot != self.config.ballot || !self.follows(from) {
            return;
        }
        if self.window.chain_at(committed).is_some_and(|ours| ours != chain) {
            cx.send(from, Message::NeedSync { ballot });
            return;
        }
        let up_to = committed.min(self.window.last());
        self.committed = self.committed.max(Committed(up_to));
    }

    /// Hand everything newly committed to the engine.
    pub(crate) fn apply_committed(&mut self, cx: &mut Ctx<'_>) {
        if self.copying() || self.committed.decree() <= self.applying {
            return;
        }
        let mutations: Vec<Mutation> = self
            .window
            .range(self.applying, self.committed.decree())
            .map(|slot| slot.mutation.clone())
            .collect();
        self.applying = self.committed.decree();
        cx.out.push(Effect::Apply { mutations });
    }

    /// The engine shows everything up to `up_to`: answer whoever waited for it.
    pub(crate) fn engine_applied(&mut self, cx: &mut Ctx<'_>, up_to: Decree) {
        let up_to = up_to.min(self.applying);
        if up_to <= self.applied.decree() {
            return;
        }
        let first = self.applied.decree().next();
        self.applied = Applied(up_to);
        let enough = self.config.member_count() >= self.options.min_ack_members;
        for decree in first.0..=up_to.0 {
            let decree = Decree(decree);
            let Some(token) = self.window.take_token(decree) else {
                continue;
            };
            match &mut self.role {
                Role::Primary(primary) if enough => primary.held_replies.push((decree, token)),
                _ => cx.out.push(Effect::Forget { token }),
            }
        }
        self.answer_held(cx);
    }

    /// Answers need no lease where members acknowledged the write; a configuration of one member
    /// needs the meta server's lease (design 3, rule 1).
    pub(crate) fn answer_held(&mut self, cx: &mut Ctx<'_>) {
        let alone = self.config.secondaries.is_empty();
        let Role::Primary(primary) = &mut self.role else {
            return;
        };
        if alone && !confirmed_by_meta(cx, primary) {
            return;
        }
        for (decree, token) in primary.held_replies.drain(..) {
            cx.out.push(Effect::Reply { token, result: WriteResult::Committed(decree) });
        }
    }

    pub(crate) fn engine_flushed(&mut self, cx: &mut Ctx<'_>, up_to: Decree) {
        let up_to = up_to.min(self.applying);
        if up_to > self.durable.decree() {
            self.durable = Durable(up_to.min(self.applied.decree()));
            cx.out.push(Effect::CollectLog { below: self.durable.decree() });
        }
    }

    /// Log operations up to `seq` are done: the persisted part of the window grows.
    pub(crate) fn log_persisted(&mut self, seq: u64) {
        self.log_done = self.log_done.max(seq.min(self.log_seq));
        let done = self.log_done;
        self.persisted = self
            .window
            .range(self.persisted, self.window.last())
            .take_while(|slot| slot.seq <= done)
            .map(|slot| slot.mutation.decree)
            .last()
            .unwrap_or(self.persisted);
    }
}

/// Whether the meta server confirmed the configuration within the lease it gives now.
fn confirmed_by_meta(cx: &Ctx<'_>, primary: &Primary) -> bool {
    let lease = cx.leases.held_from_meta(cx.now);
    lease.is_some() && lease == primary.meta_confirmed
}
