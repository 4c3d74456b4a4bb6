//! How each effect of the core is carried out.

use std::sync::{Arc, PoisonError};

use pegasus_protocol::rrdb::{MultiRemoveResponse, UpdateResponse};
use pegasus_replication::{Effect, Event, PersistentState, WriteResult};
use pegasus_storage::{ApplyError, LogOp, ReadPlan};
use pegasus_types::{Decree, Mutation, ReplicaStatus, Status};

use crate::gate::GateSnapshot;
use crate::inbox::Completion;
use crate::meta_link::MetaAsk;
use crate::partition::{Partition, error_of};
use crate::shared::Shared;
use crate::turn::Turn;
use crate::writes::Answer;

impl Partition {
    /// Effects of one step arrive in order. Log operations and messages are only gathered here; the
    /// turn hands them over together at its end.
    pub(crate) fn execute(&mut self, shared: &Arc<Shared>, turn: &mut Turn, effect: Effect) {
        if self.engine.is_none() && needs_engine(&effect) {
            return self.deferred.push_back(effect);
        }
        let pid = self.hosted.pid;
        match effect {
            Effect::PersistState { seq, state } => {
                self.state.next = Some((seq, state));
                self.save_state(shared);
            }
            Effect::Append { seq, mutation } => {
                self.flush.log_bytes = self.flush.log_bytes.saturating_add(weight(&mutation));
                self.log_op(seq, LogOp::Mutation(mutation));
            }
            Effect::TruncateLog { seq, above } => self.log_op(seq, LogOp::Truncate { above }),
            Effect::CollectLog { below } => self.collect_log(shared, below),
            Effect::Send { to, message } => turn.send(to, pid, message),
            Effect::Apply { mutations } => self.apply(shared, mutations),
            Effect::Reply { token, result } => self.reply(shared, token, result),
            Effect::Forget { token } => drop(self.tokens.remove(&token)),
            Effect::Gate(gate) => {
                let snapshot = GateSnapshot::new(&gate, &shared.board, self.engine.clone());
                self.hosted.gate.store(Arc::new(snapshot));
            }
            Effect::Update(update) => drop(shared.meta.send(MetaAsk::Update(update))),
            Effect::AskMeta { epoch } => drop(shared.meta.send(MetaAsk::Query { pid, epoch })),
            Effect::ReadLog { to, nonce, after, up_to, max_bytes } => {
                let (log, home) = (Arc::clone(&self.log), self.home.clone());
                shared.blocking(move |_| {
                    let plan = log
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .plan_read(after, up_to, max_bytes);
                    let read = plan.and_then(|plan| plan.map(ReadPlan::run).transpose());
                    let mutations = read.unwrap_or_else(|e| {
                        tracing::error!(partition = %home.pid, "cannot read the log: {e}");
                        None
                    });
                    home.event(Event::LogRead { to, nonce, after, mutations });
                });
            }
            Effect::CopyCheckpoint { from, nonce } => self.copy_checkpoint(shared, from, nonce),
            Effect::Fenced { reason } => {
                tracing::error!(partition = %pid, reason, "replica takes no further part");
                self.hosted.set_status(ReplicaStatus::Error);
            }
        }
    }

    fn log_op(&mut self, seq: u64, op: LogOp) {
        self.log_ops.ops.push(op);
        self.log_ops.seq = seq;
    }

    fn collect_log(&mut self, shared: &Arc<Shared>, below: Decree) {
        let (log, pid) = (Arc::clone(&self.log), self.hosted.pid);
        shared.blocking(move |_| {
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            if let Err(e) = log.collect(below) {
                tracing::warn!(partition = %pid, "cannot delete old log segments: {e}");
            }
        });
    }

    /// Memtable inserts run right here; only if the engine would stall does the blocking pool take
    /// over, in order (design 4).
    fn apply(&mut self, shared: &Arc<Shared>, mutations: Vec<Mutation>) {
        let Some(engine) = &self.engine else { return };
        let Some(up_to) = mutations.last().map(|m| m.decree) else { return };
        if self.applies.running {
            return self.applies.waiting.push_back(mutations);
        }
        match engine.apply(&mutations, true) {
            Ok(()) => self.now_applied(up_to),
            Err(ApplyError::Stalled) => {
                self.applies.waiting.push_back(mutations);
                self.apply_elsewhere(shared);
            }
            Err(e) => self.push(Event::Failed { reason: format!("cannot apply: {e}") }),
        }
    }

    fn now_applied(&mut self, up_to: Decree) {
        self.hosted.set_applied(up_to);
        self.push(Event::Applied { up_to });
    }

    fn apply_elsewhere(&mut self, shared: &Arc<Shared>) {
        let Some(engine) = self.engine.clone() else { return };
        let Some(mutations) = self.applies.waiting.pop_front() else { return };
        self.applies.running = true;
        let home = self.home.clone();
        shared.blocking(move |_| {
            let up_to = mutations.last().map_or(Decree::ZERO, |m| m.decree);
            let result = engine.apply(&mutations, false);
            home.send(Completion::Applied(result.map(|()| up_to).map_err(|e| e.to_string())));
        });
    }

    pub(crate) fn applied(&mut self, shared: &Arc<Shared>, result: Result<Decree, String>) {
        self.applies.running = false;
        match result {
            Ok(up_to) => {
                self.now_applied(up_to);
                self.apply_elsewhere(shared);
            }
            Err(reason) => {
                self.applies.waiting.clear();
                self.push(Event::Failed { reason: format!("cannot apply: {reason}") });
            }
        }
    }

    /// One write of the state file at a time; of those that wait only the newest matters.
    fn save_state(&mut self, shared: &Arc<Shared>) {
        if self.state.running {
            return;
        }
        let Some((seq, state)) = self.state.next.take() else { return };
        self.state.running = true;
        let (dir, home) = (self.dir.clone(), self.home.clone());
        shared.blocking(move |_| {
            let result = dir.save_state::<PersistentState>(&state).map_err(|e| e.to_string());
            home.send(Completion::StateSaved { seq, result });
        });
    }

    pub(crate) fn state_saved(
        &mut self,
        shared: &Arc<Shared>,
        seq: u64,
        result: Result<(), String>,
    ) {
        self.state.running = false;
        match result {
            Ok(()) => {
                self.push(Event::StatePersisted { seq });
                self.save_state(shared);
            }
            Err(reason) => {
                self.push(Event::Failed { reason: format!("cannot save the state: {reason}") });
            }
        }
    }

    fn reply(&mut self, shared: &Shared, token: u64, result: WriteResult) {
        let Some(waiting) = self.tokens.remove(&token) else { return };
        let decree = match result {
            WriteResult::Committed(decree) => decree,
            WriteResult::Refused(refusal) => {
                let error = error_of(refusal);
                return waiting.into_iter().for_each(|(reply, _)| reply.error(error));
            }
        };
        for (reply, answer) in waiting {
            match answer {
                Answer::Update(status) => reply.ok(&self.update_response(shared, status, decree)),
                Answer::MultiRemove(status, count) => reply.ok(&MultiRemoveResponse {
                    error: status.code(),
                    count,
                    app_id: self.hosted.pid.app_id,
                    partition_index: self.hosted.pid.index,
                    decree: decree.0,
                    server: shared.server.clone(),
                }),
            }
        }
    }

    fn update_response(&self, shared: &Shared, status: Status, decree: Decree) -> UpdateResponse {
        UpdateResponse {
            error: status.code(),
            app_id: self.hosted.pid.app_id,
            partition_index: self.hosted.pid.index,
            decree: decree.0,
            server: shared.server.clone(),
        }
    }
}

fn needs_engine(effect: &Effect) -> bool {
    matches!(
        effect,
        Effect::Append { .. }
            | Effect::TruncateLog { .. }
            | Effect::CollectLog { .. }
            | Effect::Apply { .. }
            | Effect::ReadLog { .. }
            | Effect::CopyCheckpoint { .. }
    )
}

fn weight(mutation: &Mutation) -> u64 {
    u64::try_from(mutation.weight()).unwrap_or(u64::MAX)
}
