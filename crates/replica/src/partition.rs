//! One hosted partition: the core, what it works on, and the clients that wait for it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use pegasus_net::ReplySender;
use pegasus_replication::{Admission, Effect, Effects, Event, PersistentState, Refusal, Replica};
use pegasus_storage::{Engine, Log, LogBatch, LogOp, ReplicaDir};
use pegasus_types::{AppInfo, ErrorCode, Mutation, ReplicaStatus, Tick};

use crate::gate::GateSnapshot;
use crate::inbox::{ClientWrite, Completion, Home, Left};
use crate::shared::Shared;
use crate::table::Hosted;
use crate::turn::Turn;
use crate::writes::{Answer, Queued, WriteLimits, WriteQueue};
use crate::{clock, envs};

/// See the module's documentation. Lives on one shard; nothing here blocks.
pub struct Partition {
    pub(crate) hosted: Arc<Hosted>,
    pub(crate) core: Replica,
    pub(crate) home: Home,
    pub(crate) dir: ReplicaDir,
    /// None while it is being exchanged for a checkpoint.
    pub(crate) engine: Option<Arc<Engine>>,
    pub(crate) log: Arc<Mutex<Log>>,
    pub(crate) log_ops: LogOps,
    pub(crate) applies: ApplyQueue,
    pub(crate) state: StateWriter,
    /// Effects that need an engine, kept while there is none.
    pub(crate) deferred: VecDeque<Effect>,
    pub(crate) flush: FlushState,
    /// Waiting client writes, and those that the core holds by token.
    queue: WriteQueue<ReplySender>,
    pub(crate) tokens: HashMap<u64, Vec<(ReplySender, Answer)>>,
    next_token: u64,
    last_timestamp_us: i64,
    default_ttl: u32,
    events: VecDeque<Event>,
    effects: Effects,
    /// Gave up after a panic or a broken invariant; the core is not to be asked any more.
    pub(crate) fenced: bool,
    /// The directory says that the log's tail may be lost.
    pub(crate) suspect_marked: bool,
    /// Something happened that may have changed the peers.
    membership_touched: bool,
    /// When the shard should look again.
    pub(crate) wake: Tick,
}

/// Log operations of this turn, and how many of earlier turns are still under way.
#[derive(Default)]
pub(crate) struct LogOps {
    pub ops: Vec<LogOp>,
    /// Number of the newest operation.
    pub seq: u64,
    /// Highest number known to be in the log.
    pub done: u64,
}

/// Mutations on their way into the engine.
#[derive(Default)]
pub(crate) struct ApplyQueue {
    pub waiting: VecDeque<Vec<Mutation>>,
    /// The blocking pool is at it; whatever comes later has to queue up.
    pub running: bool,
}

/// The newest state that is not on its way to disk yet.
#[derive(Default)]
pub(crate) struct StateWriter {
    pub running: bool,
    pub next: Option<(u64, PersistentState)>,
}

/// When to flush the engine.
pub(crate) struct FlushState {
    pub running: bool,
    /// Bytes appended to the log since the last flush.
    pub log_bytes: u64,
    pub due: Tick,
}

impl Partition {
    pub fn new(
        core: Replica,
        hosted: Arc<Hosted>,
        home: Home,
        opened: (ReplicaDir, Arc<Engine>, Arc<Mutex<Log>>),
        first_flush: Tick,
    ) -> Partition {
        let (dir, engine, log) = opened;
        let default_ttl = envs::default_ttl(&hosted.app.load());
        let suspect_marked = core.report().suspect;
        Partition {
            hosted,
            core,
            home,
            dir,
            engine: Some(engine),
            log,
            log_ops: LogOps::default(),
            applies: ApplyQueue::default(),
            state: StateWriter::default(),
            deferred: VecDeque::new(),
            flush: FlushState { running: false, log_bytes: 0, due: first_flush },
            queue: WriteQueue::new(WriteLimits::default()),
            tokens: HashMap::new(),
            next_token: 1,
            last_timestamp_us: 0,
            default_ttl,
            events: VecDeque::from([Event::Tick]),
            effects: Effects::new(),
            fenced: false,
            suspect_marked,
            membership_touched: true,
            wake: Tick::ZERO,
        }
    }

    /// Something for the core, handled in [`Partition::run`].
    pub fn push(&mut self, event: Event) {
        self.events.push_back(event);
    }

    /// A client's write; it joins a mutation in [`Partition::run`].
    pub fn write(&mut self, write: ClientWrite) {
        if self.fenced {
            return write.reply.error(ErrorCode::InvalidState);
        }
        let ClientWrite { op, reply, expires, .. } = write;
        if let Err(reply) = self.queue.push(Queued { op, reply, expires }) {
            reply.error(ErrorCode::Busy);
        }
    }

    /// Table facts from the meta server.
    pub fn app_changed(&mut self, app: AppInfo) {
        self.default_ttl = envs::default_ttl(&app);
        self.hosted.app.store(Arc::new(app.clone()));
        self.push(Event::App { app: Box::new(app) });
    }

    /// Everything that is due, then new writes while the core takes them. May panic if the core
    /// does; the shard catches that and calls [`Partition::fence`].
    pub fn run(&mut self, shared: &Arc<Shared>, turn: &mut Turn) {
        if self.fenced {
            self.events.clear();
            return;
        }
        let now = clock::now();
        if now >= self.core.next_tick() && self.events.is_empty() {
            self.push(Event::Tick);
        }
        self.queue.expire(now).into_iter().for_each(|reply| reply.error(ErrorCode::Timeout));
        self.drain(shared, turn);
        self.admit(shared, turn);
        self.close_turn(shared, turn);
    }

    fn drain(&mut self, shared: &Arc<Shared>, turn: &mut Turn) {
        while self.engine.is_some()
            && let Some(effect) = self.deferred.pop_front()
        {
            self.execute(shared, turn, effect);
        }
        while let Some(event) = self.events.pop_front() {
            if self.fenced {
                return;
            }
            self.membership_touched |= touches_membership(&event);
            self.core.step(clock::now(), &shared.board, event, &mut self.effects);
            if let Err(violation) = self.core.check_marks() {
                return self.fence(&format!("invariant broken: {violation}"));
            }
            let mut effects = std::mem::take(&mut self.effects);
            for effect in effects.drain(..) {
                self.execute(shared, turn, effect);
            }
            // Keep the buffer.
            self.effects = effects;
        }
    }

    /// Offers queued writes to the core, or refuses them.
    fn admit(&mut self, shared: &Arc<Shared>, turn: &mut Turn) {
        while !self.fenced && !self.queue.is_empty() {
            match self.core.admission() {
                Admission::Wait => return,
                Admission::Refuse(refusal) => {
                    let error = error_of(refusal);
                    self.queue.drain().into_iter().for_each(|reply| reply.error(error));
                }
                Admission::Open => {
                    let default_expire = envs::default_expire(self.default_ttl);
                    let Some(batch) = self.queue.next_batch(default_expire) else { return };
                    let token = self.next_token;
                    self.next_token += 1;
                    self.tokens.insert(token, batch.replies);
                    self.last_timestamp_us = clock::unix_micros().max(self.last_timestamp_us + 1);
                    let timestamp_us = self.last_timestamp_us;
                    self.push(Event::Write { token, timestamp_us, body: batch.body });
                    self.drain(shared, turn);
                }
            }
        }
    }

    /// Hands this turn's log operations over and shows the new state to the other threads.
    fn close_turn(&mut self, shared: &Arc<Shared>, turn: &mut Turn) {
        self.submit_log(turn);
        if self.fenced {
            return;
        }
        self.hosted.publish(&self.core);
        if std::mem::take(&mut self.membership_touched) {
            let peers = self.core.peers();
            if **self.hosted.peers.load() != peers {
                self.hosted.peers.store(Arc::new(peers));
                shared.table.peers_changed();
            }
        }
        self.flush_if_due(shared);
        self.clear_suspicion(shared);
        let flush = if self.flush.running { Tick::NEVER } else { self.flush.due };
        self.wake = self.core.next_tick().min(self.queue.next_expiry()).min(flush);
    }

    pub(crate) fn submit_log(&mut self, turn: &mut Turn) {
        if self.log_ops.ops.is_empty() {
            return;
        }
        let home = self.home.clone();
        let seq = self.log_ops.seq;
        let done = Box::new(move |result: Result<(), pegasus_storage::LogError>| {
            home.event(match result {
                Ok(()) => Event::Persisted { seq },
                Err(e) => Event::Failed { reason: format!("cannot write the log: {e}") },
            });
        });
        let ops = std::mem::take(&mut self.log_ops.ops);
        turn.log(self.dir.disk(), LogBatch { log: Arc::clone(&self.log), ops, done });
    }

    /// The completion of something this partition started.
    pub fn complete(&mut self, shared: &Arc<Shared>, done: Completion) {
        match done {
            Completion::Event(event) => {
                if let Event::Persisted { seq } = &event {
                    self.log_ops.done = self.log_ops.done.max(*seq);
                }
                self.push(event);
            }
            Completion::Applied(result) => self.applied(shared, result),
            Completion::StateSaved { seq, result } => self.state_saved(shared, seq, result),
            Completion::Downloaded { nonce, result } => self.downloaded(shared, nonce, result),
            Completion::Installed { nonce, outcome } => self.installed(nonce, outcome),
            Completion::Flushed(result) => self.flushed(shared, result),
        }
    }

    /// Gives up because of a defect: nothing is answered, sent or written from now on, and the
    /// files stay. The other partitions live on (design 3).
    pub fn fence(&mut self, reason: &str) {
        tracing::error!(partition = %self.hosted.pid, reason, "partition fenced");
        self.fenced = true;
        self.hosted.set_status(ReplicaStatus::Error);
        self.hosted.gate.store(Arc::new(GateSnapshot::closed()));
        self.effects.clear();
        self.events.clear();
        self.tokens.clear();
        self.log_ops.ops.clear();
        self.queue.drain().into_iter().for_each(|reply| reply.error(ErrorCode::InvalidState));
        self.wake = Tick::NEVER;
    }

    /// Serves nothing from now on; clients whose writes are under way get no answer.
    pub fn stop(mut self) -> Left {
        self.hosted.gate.store(Arc::new(GateSnapshot::closed()));
        self.hosted.engine.store(None);
        self.tokens.clear();
        self.queue.drain().into_iter().for_each(|reply| reply.error(ErrorCode::InvalidState));
        Left { pid: self.hosted.pid, engine: self.engine.take(), log: self.log }
    }
}

/// ERR codes of `spec/wire.md` 4.5.
pub(crate) fn error_of(refusal: Refusal) -> ErrorCode {
    match refusal {
        Refusal::NotPrimary => ErrorCode::InvalidState,
        Refusal::NotEnoughMembers => ErrorCode::NotEnoughMember,
        Refusal::Busy => ErrorCode::Busy,
    }
}

/// False for the events of the hot path, which never change who the peers are.
fn touches_membership(event: &Event) -> bool {
    use pegasus_replication::Message::{Commit, Prepare, PrepareAck};
    !matches!(
        event,
        Event::Write { .. }
            | Event::Persisted { .. }
            | Event::Applied { .. }
            | Event::Flushed { .. }
            | Event::Message { message: Prepare { .. } | PrepareAck { .. } | Commit { .. }, .. }
    )
}
