//! A shard: one thread that owns partitions and steps them in turns (design 4).

use std::any::Any;
use std::collections::{BTreeSet, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use pegasus_replication::{Event, Message, Replica, Sync};
use pegasus_types::{
    AppInfo, ChangeKind, ErrorCode, NodeId, PartitionConfig, PartitionId, Proposal, ReplicaStatus,
    Tick,
};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::inbox::{ClientWrite, Home, Left, Opened, ToShard};
use crate::partition::Partition;
use crate::shared::Shared;
use crate::table::Hosted;
use crate::turn::Turn;
use crate::{checkpoint, clock, garbage, open};

/// Items taken from the inbox in one turn, at most.
const ITEMS_PER_TURN: usize = 2048;
/// Events kept for a partition that is being opened.
const EVENTS_WHILE_OPENING: usize = 64;

/// See the module's documentation.
pub struct Shard {
    shared: Arc<Shared>,
    index: usize,
    inbox: UnboundedReceiver<ToShard>,
    partitions: HashMap<PartitionId, Partition>,
    /// Partitions being created, and what arrived for them meanwhile.
    opening: HashMap<PartitionId, Vec<Event>>,
    touched: BTreeSet<PartitionId>,
    wakes: BTreeSet<(Tick, PartitionId)>,
    next_generation: u64,
    turn: Turn,
    stopped: bool,
}

impl Shard {
    pub fn new(shared: Arc<Shared>, index: usize, inbox: UnboundedReceiver<ToShard>) -> Shard {
        let turn = Turn::new(shared.disks.len());
        Shard {
            shared,
            index,
            inbox,
            partitions: HashMap::new(),
            opening: HashMap::new(),
            touched: BTreeSet::new(),
            wakes: BTreeSet::new(),
            next_generation: 1,
            turn,
            stopped: false,
        }
    }

    /// Turn after turn until told to stop.
    pub async fn run(mut self) {
        let mut items = Vec::with_capacity(ITEMS_PER_TURN);
        while !self.stopped {
            let wake = self.wakes.first().map_or(Tick::NEVER, |(tick, _)| *tick);
            tokio::select! {
                biased;
                count = self.inbox.recv_many(&mut items, ITEMS_PER_TURN) => {
                    if count == 0 {
                        return;
                    }
                }
                () = tokio::time::sleep_until(clock::instant_of(wake)) => {}
            }
            for item in items.drain(..) {
                self.take(item);
            }
            self.turn();
            // Connections of this thread get their chance between two turns.
            tokio::task::yield_now().await;
        }
    }

    fn take(&mut self, item: ToShard) {
        match item {
            ToShard::Write(write) => self.write(write),
            ToShard::Messages { from, messages } => {
                for (pid, message) in messages {
                    self.message(&from, pid, message);
                }
            }
            ToShard::Done { pid, generation, done } => {
                let shared = Arc::clone(&self.shared);
                if let Some(partition) = self.partitions.get_mut(&pid)
                    && partition.home.generation == generation
                {
                    guarded(partition, |partition| partition.complete(&shared, done));
                    self.touched.insert(pid);
                }
            }
            ToShard::Event { pid, event } => self.event(pid, event),
            ToShard::Proposal { proposal, app } => self.proposal(proposal, app),
            ToShard::Told { config, app, asked_in } => self.told(config, app, asked_in),
            ToShard::Everybody { peer, event } => {
                for (pid, partition) in &mut self.partitions {
                    let concerned = |peer| partition.hosted.peers.load().contains(peer);
                    if peer.as_ref().is_none_or(concerned) {
                        partition.push(event.clone());
                        self.touched.insert(*pid);
                    }
                }
            }
            ToShard::Opened { pid, result } => self.opened(pid, result),
            ToShard::Garbage { pid } => self.garbage(pid),
            ToShard::Reached { done } => drop(done.send(())),
            ToShard::Stop { left } => drop(left.send(self.stop())),
        }
    }

    /// Runs every partition that something happened to or whose time has come.
    fn turn(&mut self) {
        let now = clock::now();
        while let Some((tick, pid)) = self.wakes.first().copied()
            && tick <= now
        {
            self.wakes.pop_first();
            self.touched.insert(pid);
        }
        for pid in std::mem::take(&mut self.touched) {
            let Some(partition) = self.partitions.get_mut(&pid) else { continue };
            self.wakes.remove(&(partition.wake, pid));
            let (shared, turn) = (&self.shared, &mut self.turn);
            guarded(partition, |partition| partition.run(shared, turn));
            if partition.wake != Tick::NEVER {
                self.wakes.insert((partition.wake, pid));
            }
        }
        self.turn.finish(&self.shared);
    }

    fn write(&mut self, write: ClientWrite) {
        match self.partitions.get_mut(&write.pid) {
            Some(partition) => {
                self.touched.insert(write.pid);
                partition.write(write);
            }
            None => write.reply.error(ErrorCode::ObjectNotFound),
        }
    }

    fn event(&mut self, pid: PartitionId, event: Event) {
        if let Some(partition) = self.partitions.get_mut(&pid) {
            partition.push(event);
            self.touched.insert(pid);
        } else if let Some(waiting) = self.opening.get_mut(&pid)
            && waiting.len() < EVENTS_WHILE_OPENING
        {
            waiting.push(event);
        }
    }

    fn message(&mut self, from: &NodeId, pid: PartitionId, message: Message) {
        let replace = match self.partitions.get(&pid) {
            _ if self.opening.contains_key(&pid) => false,
            Some(partition) => self.relearns(partition, &message),
            None => true,
        };
        let silent = self.partitions.get(&pid).is_some_and(|partition| partition.fenced);
        if !replace && !silent {
            return self.event(pid, Event::Message { from: from.clone(), message });
        }
        match message {
            Message::AddLearner { ref app, .. } if replace => {
                let app = AppInfo::clone(app);
                self.create(pid, app, true, Event::Message { from: from.clone(), message });
            }
            // A node that lost a replica must say so, or its primary would wait for it.
            // So must one that is asked whether it still leads.
            Message::Sync(Sync { ballot, .. })
            | Message::Prepare { ballot, .. }
            | Message::Commit { ballot, .. }
            | Message::Stale { ballot } => {
                self.turn.send(from.clone(), pid, Message::Absent { ballot });
            }
            _ => {}
        }
    }

    /// Whether a replica that gave up is to be made anew: a primary that holds the data, and whose
    /// configuration does not count on this replica, wants to teach it.
    fn relearns(&self, partition: &Partition, message: &Message) -> bool {
        let Message::AddLearner { ballot, config, .. } = message else { return false };
        let gave_up = partition.fenced || partition.hosted.status() == ReplicaStatus::Error;
        gave_up && *ballot >= partition.hosted.ballot() && !config.is_member(&self.shared.me)
    }

    fn proposal(&mut self, proposal: Proposal, app: AppInfo) {
        let pid = proposal.config.pid;
        let nonce = rand::random();
        let known = self.partitions.contains_key(&pid) || self.opening.contains_key(&pid);
        // Only the very first primary of a partition may begin with nothing.
        let first = proposal.kind == ChangeKind::AssignPrimary
            && proposal.node == self.shared.me
            && proposal.config.ballot.0 == 0
            && proposal.config.last_drops.is_empty();
        if known {
            self.refresh_app(pid, app);
            self.event(pid, Event::Proposal { proposal, nonce });
        } else if first && !self.shared.table.is_broken(pid) {
            self.create(pid, app, false, Event::Proposal { proposal, nonce });
        } else {
            tracing::warn!(partition = %pid, kind = ?proposal.kind, node = %proposal.node,
                "proposal refused: this node holds no replica of the partition");
        }
    }

    fn told(&mut self, config: PartitionConfig, app: AppInfo, asked_in: Option<u64>) {
        let pid = config.pid;
        if !self.partitions.contains_key(&pid) && config.is_member(&self.shared.me) {
            tracing::debug!(partition = %pid, "listed as a member, but there is no replica here");
        }
        self.refresh_app(pid, app);
        self.event(pid, Event::Config { config, asked_in });
    }

    fn refresh_app(&mut self, pid: PartitionId, app: AppInfo) {
        let Some(partition) = self.partitions.get_mut(&pid) else { return };
        if **partition.hosted.app.load() == app || app.app_id != pid.app_id {
            return;
        }
        let (dir, saved) = (partition.dir.clone(), app.clone());
        self.shared.blocking(move |_| {
            if let Err(e) = dir.save_app(&saved) {
                tracing::warn!(partition = %pid, "cannot save the table's description: {e}");
            }
        });
        partition.app_changed(app);
        self.touched.insert(pid);
    }

    /// Makes an empty replica in the background, then feeds it `event`. `replace`: a replica that
    /// cannot be used is moved aside first.
    fn create(&mut self, pid: PartitionId, app: AppInfo, replace: bool, event: Event) {
        let left = if replace { self.close(pid) } else { None };
        self.opening.insert(pid, vec![event]);
        self.shared.blocking(move |shared| {
            let made = || -> Result<Opened, open::OpenError> {
                if replace {
                    garbage::set_aside(shared, pid, left)?;
                }
                open::create(shared, pid, &app)
            };
            let result = made().map(Box::new).map_err(|e| e.to_string());
            shared.tell(pid, ToShard::Opened { pid, result });
        });
    }

    fn opened(&mut self, pid: PartitionId, result: Result<Box<Opened>, String>) {
        let waiting = self.opening.remove(&pid).unwrap_or_default();
        match result {
            Ok(opened) => {
                self.host(*opened);
                for event in waiting {
                    self.event(pid, event);
                }
            }
            Err(reason) => tracing::error!(partition = %pid, reason, "cannot create a replica"),
        }
    }

    /// Takes a replica in.
    fn host(&mut self, opened: Opened) {
        let Opened { dir, engine, log, restored } = opened;
        let pid = dir.pid();
        let app = restored.app.clone();
        let options = self.shared.settings.replica_options(&self.shared.me, pid, &app);
        let core = Replica::open(options, restored, clock::now());
        let tag = dir.disk_tag().to_owned();
        let hosted = Hosted::new(pid, self.index, tag, Arc::clone(&engine), app);
        let hosted = Arc::new(hosted);
        hosted.publish(&core);
        let Some(inbox) = self.shared.shards.get(self.index).cloned() else { return };
        let home = Home { inbox, pid, generation: self.next_generation };
        self.next_generation += 1;
        let first_flush = checkpoint::first_flush(pid, self.shared.settings.checkpoint_interval_ms);
        let parts = (dir, engine, log);
        let partition = Partition::new(core, Arc::clone(&hosted), home, parts, first_flush);
        self.partitions.insert(pid, partition);
        self.shared.table.insert(hosted);
        self.touched.insert(pid);
    }

    fn close(&mut self, pid: PartitionId) -> Option<Left> {
        let partition = self.partitions.remove(&pid)?;
        self.wakes.remove(&(partition.wake, pid));
        self.touched.remove(&pid);
        self.shared.table.remove(pid);
        Some(partition.stop())
    }

    fn garbage(&mut self, pid: PartitionId) {
        let left = self.close(pid);
        if left.is_some() || self.shared.table.is_broken(pid) {
            self.shared.blocking(move |shared| garbage::remove(shared, pid, left));
        }
    }

    /// Closes every gate, then tells the members of partitions led from here that they need not
    /// wait until their promises run out: nothing is served here any more.
    fn stop(&mut self) -> Vec<Left> {
        self.stopped = true;
        let mut left = Vec::new();
        for (pid, partition) in self.partitions.drain() {
            let leads = partition.hosted.status() == ReplicaStatus::Primary && !partition.fenced;
            let (ballot, secondaries) =
                (partition.core.ballot(), partition.core.config().secondaries.clone());
            left.push(partition.stop());
            for secondary in secondaries.into_iter().filter(|_| leads) {
                self.turn.send(secondary, pid, Message::Released { ballot });
            }
        }
        self.touched.clear();
        self.turn.finish(&self.shared);
        left
    }
}

/// A panic in one partition must not take its neighbours down.
fn guarded(partition: &mut Partition, work: impl FnOnce(&mut Partition)) {
    let outcome = catch_unwind(AssertUnwindSafe(|| work(partition)));
    if let Err(panic) = outcome {
        partition.fence(&format!("panic: {}", panic_text(panic.as_ref())));
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let literal = panic.downcast_ref::<&str>().copied();
    literal.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("unknown")
}
