//! The one task that owns the cluster state: events in, effects carried out.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use pegasus_control::{ClusterState, Effect, Event, Response, Token};
use pegasus_net::CancellationToken;
use pegasus_protocol::private::{Beacon, BeaconAck};
use pegasus_types::Tick;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, info};

use crate::links::Links;
use crate::shared::Shared;
use crate::store::StoreThread;
use crate::{clock, metrics};

/// Commands taken in one turn at most, so that ticks and answers are never far away.
const TURN: usize = 512;
/// How often every invariant of the state is checked.
const CHECK_INTERVAL_MS: u64 = 10_000;

type MakeEvent = Box<dyn FnOnce(Token) -> Event + Send>;

/// What others want from the owner.
pub enum Command {
    Event(Event),
    Ask { make: MakeEvent, reply: oneshot::Sender<Response> },
    Beacon { beacon: Beacon, reply: oneshot::Sender<BeaconAck> },
}

/// The way to the owner, for any thread.
#[derive(Clone)]
pub struct OwnerHandle {
    inbox: UnboundedSender<Command>,
}

impl OwnerHandle {
    pub fn new() -> (OwnerHandle, UnboundedReceiver<Command>) {
        let (inbox, receiver) = unbounded_channel();
        (OwnerHandle { inbox }, receiver)
    }

    pub fn tell(&self, event: Event) {
        // Without an owner the process is ending.
        let _ = self.inbox.send(Command::Event(event));
    }

    /// The core's answer; None if there will be none, because the process ends.
    pub async fn ask(
        &self,
        make: impl FnOnce(Token) -> Event + Send + 'static,
    ) -> Option<Response> {
        let (reply, answer) = oneshot::channel();
        self.inbox.send(Command::Ask { make: Box::new(make), reply }).ok()?;
        answer.await.ok()
    }

    pub async fn beacon(&self, beacon: Beacon) -> Option<BeaconAck> {
        let (reply, answer) = oneshot::channel();
        self.inbox.send(Command::Beacon { beacon, reply }).ok()?;
        answer.await.ok()
    }
}

/// Why the owner cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum OwnerError {
    #[error("the metadata cannot be used: {0}")]
    Load(String),
    /// What is in memory cannot be trusted; a restart takes it from the store again.
    #[error("an invariant of the cluster state is broken: {0}")]
    Invariant(String),
}

pub struct Owner {
    state: ClusterState,
    shared: Arc<Shared>,
    store: StoreThread,
    links: Links,
    waiting: HashMap<Token, oneshot::Sender<Response>>,
    /// Answers of this turn; given once readers can see what they speak of.
    answers: Vec<(oneshot::Sender<Response>, Response)>,
    last_token: Token,
    unix_secs: i64,
    next_check: Tick,
    failure: Option<OwnerError>,
}

impl Owner {
    pub fn new(shared: Arc<Shared>, store: StoreThread) -> Owner {
        let state = ClusterState::new(shared.settings.control.clone(), clock::now());
        let links = Links::new(shared.identity.clone());
        Owner {
            state,
            shared,
            store,
            links,
            waiting: HashMap::new(),
            answers: Vec::new(),
            last_token: 0,
            unix_secs: 0,
            next_check: Tick::ZERO,
            failure: None,
        }
    }

    /// Serves until `shutdown`; what is under way to the store is finished.
    pub async fn run(
        mut self,
        nodes: Vec<(String, String)>,
        mut inbox: UnboundedReceiver<Command>,
        shutdown: CancellationToken,
    ) -> Result<(), OwnerError> {
        let tick = Duration::from_millis(self.shared.settings.control.tick_ms.max(1));
        let mut ticks = interval(tick);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.wall_clock();
        self.step(Event::Loaded { nodes });
        self.end_turn()?;
        info!(tables = self.state.apps().count(), "metadata loaded");
        let mut commands = Vec::with_capacity(TURN);
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                _ = ticks.tick() => {
                    self.wall_clock();
                    self.step(Event::Tick);
                    self.check();
                }
                taken = inbox.recv_many(&mut commands, TURN) => {
                    if taken == 0 {
                        return Ok(());
                    }
                    commands.drain(..).for_each(|command| self.obey(command));
                }
            }
            self.end_turn()?;
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Event(event) => self.step(event),
            Command::Ask { make, reply } => {
                self.last_token += 1;
                self.waiting.insert(self.last_token, reply);
                self.step(make(self.last_token));
            }
            Command::Beacon { beacon, reply } => {
                let Beacon { node, incarnation, sent, goodbye } = beacon;
                self.step(Event::Beacon { node: node.clone(), incarnation, goodbye });
                let granted = self.state.is_living(&node, incarnation) && !goodbye;
                let is_leader = self.state.is_serving();
                // The caller may be gone; its beacon counts all the same.
                let _ = reply.send(BeaconAck {
                    sent,
                    lease_ms: if granted { self.shared.settings.fd_lease_ms } else { 0 },
                    is_leader,
                    leader: is_leader.then(|| self.shared.identity.node.clone()),
                });
            }
        }
    }

    fn step(&mut self, event: Event) {
        let mut effects = Vec::new();
        self.state.step(clock::now(), event, &mut effects);
        for effect in effects {
            match effect {
                Effect::Persist { seq, ops } => self.store.submit(seq, ops),
                Effect::Propose { to, proposal, app } => {
                    info!(partition = %proposal.config.pid, kind = ?proposal.kind,
                        node = %proposal.node, %to, "proposal");
                    self.links.propose(to, proposal, app);
                }
                Effect::PushConfig { to, partitions } => self.links.push(&to, &partitions),
                Effect::Reply { token, response } => {
                    if let Some(reply) = self.waiting.remove(&token) {
                        self.answers.push((reply, response));
                    }
                }
                Effect::LoadFailed { reason } => self.failure = Some(OwnerError::Load(reason)),
            }
        }
    }

    fn wall_clock(&mut self) {
        let unix_secs = clock::unix_secs();
        if unix_secs != self.unix_secs {
            self.unix_secs = unix_secs;
            self.step(Event::WallClock { unix_secs });
        }
    }

    fn check(&mut self) {
        let now = clock::now();
        if now >= self.next_check {
            self.next_check = now + CHECK_INTERVAL_MS;
            if let Err(problem) = self.state.check() {
                error!("broken invariant: {problem}");
                self.failure = Some(OwnerError::Invariant(problem));
            }
        }
    }

    /// Shows readers what changed, then answers.
    fn end_turn(&mut self) -> Result<(), OwnerError> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let view = self.shared.view.load();
        if view.version != self.state.version() {
            let next = view.next(&self.state);
            metrics::publish(&view, &next);
            self.shared.view.store(Arc::new(next));
        }
        for (reply, response) in self.answers.drain(..) {
            let _ = reply.send(response);
        }
        Ok(())
    }
}
