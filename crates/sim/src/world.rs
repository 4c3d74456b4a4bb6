use std::collections::BTreeMap;

use pegasus_replication::Effects;
use pegasus_types::{PartitionId, Tick};

use crate::client::Client;
use crate::clock::Instant;
use crate::dice::Dice;
use crate::faults::FaultEvent;
use crate::history::{History, OpId, Outcome};
use crate::invariants::{Oracle, Violation};
use crate::meta::{MetaEvent, MetaNode};
use crate::network::{LinkEvent, Network};
use crate::profile::Profile;
use crate::queue::Queue;
use crate::server::{Channel, Server, ServerEvent};
use crate::trace::Trace;

/// Something that is going to happen.
#[derive(Debug)]
pub enum Item {
    Server {
        node: usize,
        life: u64,
        channel: Channel,
        event: ServerEvent,
    },
    /// A pause of this process ends.
    Resume {
        node: usize,
        life: u64,
    },
    Meta {
        life: u64,
        event: MetaEvent,
    },
    Link(LinkEvent),
    /// A client thinks of something to do.
    ClientTurn {
        client: usize,
    },
    ClientAnswer {
        op: OpId,
        outcome: Outcome,
        at: usize,
    },
    ClientTimeout {
        op: OpId,
    },
    Fault(FaultEvent),
}

/// Everything there is: machines, network, meta server, clients and those who watch them.
pub struct World {
    pub now: Instant,
    pub dice: Dice,
    pub profile: Profile,
    pub queue: Queue<Item>,
    pub servers: Vec<Server>,
    pub network: Network,
    pub meta: MetaNode,
    pub clients: Vec<Client>,
    pub history: History,
    pub oracle: Oracle,
    pub trace: Trace,
    /// The partitions of the table, once it was created.
    pub pids: Vec<PartitionId>,
    /// Set by the first broken invariant; the run ends there.
    pub violation: Option<Violation>,
    /// False after the faults were healed.
    pub stormy: bool,
    /// False while no new requests shall come.
    pub busy: bool,
    pub births: u64,
    pub stats: BTreeMap<&'static str, u64>,
    pub(crate) effects: Effects,
}

impl World {
    /// A world of powered-off machines and one meta server that is up and has an empty store.
    pub fn new(seed: u64, profile: Profile, verbose: bool) -> World {
        let mut dice = Dice::new(seed);
        let servers =
            (0..profile.servers).map(|i| Server::random(i, &profile, &mut dice)).collect();
        let clients = (0..profile.clients).map(|_| Client::default()).collect();
        let meta = MetaNode::new(&profile, &mut dice);
        let mut world = World {
            now: 0,
            dice,
            queue: Queue::new(),
            servers,
            network: Network::default(),
            meta,
            clients,
            history: History::default(),
            oracle: Oracle::default(),
            trace: Trace::new(verbose),
            pids: Vec::new(),
            violation: None,
            stormy: true,
            busy: true,
            births: 0,
            stats: BTreeMap::new(),
            effects: Effects::new(),
            profile,
        };
        world.trace.line(0, || "world".to_owned());
        world.start_meta();
        for client in 0..world.clients.len() {
            let first = world.dice.range(0..world.profile.think);
            world.schedule(first, Item::ClientTurn { client });
        }
        world
    }

    pub fn count(&mut self, what: &'static str) {
        *self.stats.entry(what).or_default() += 1;
    }

    pub fn schedule(&mut self, delay: Instant, item: Item) {
        self.queue.push(self.now + delay, item);
    }

    /// Lets everything happen up to and including `until`, or until an invariant breaks.
    pub fn run_until(&mut self, until: Instant) {
        while self.violation.is_none()
            && let Some((at, item)) = self.queue.pop_until(until)
        {
            self.now = at;
            self.trace.mix(at);
            self.happen(item);
        }
        if self.violation.is_none() {
            self.now = self.now.max(until);
        }
    }

    fn happen(&mut self, item: Item) {
        match item {
            Item::Server { node, life, channel, event } => {
                self.deliver(node, life, channel, event);
            }
            Item::Resume { node, life } => self.resume(node, life),
            Item::Meta { life, event } => self.meta_event(life, event),
            Item::Link(event) => self.link_event(event),
            Item::ClientTurn { client } => self.client_turn(client),
            Item::ClientAnswer { op, outcome, at } => self.client_answer(op, outcome, at),
            Item::ClientTimeout { op } => self.client_timeout(op),
            Item::Fault(event) => self.fault(event),
        }
    }

    pub fn is_up(&self, node: usize) -> bool {
        self.servers.get(node).is_some_and(|s| s.up)
    }

    pub fn tick_of(&self, node: usize) -> Tick {
        self.servers.get(node).map_or(Tick::ZERO, |s| s.clock.tick(self.now))
    }

    /// For the process that runs on `node` now.
    pub fn send_to_server(
        &mut self,
        node: usize,
        delay: Instant,
        channel: Channel,
        event: ServerEvent,
    ) {
        let Some(server) = self.servers.get(node).filter(|s| s.up) else {
            return;
        };
        let life = server.life;
        self.schedule(delay, Item::Server { node, life, channel, event });
    }

    fn deliver(&mut self, node: usize, life: u64, channel: Channel, event: ServerEvent) {
        let Some(server) = self.servers.get_mut(node) else {
            return;
        };
        if !server.up || server.life != life {
            return;
        }
        if server.paused_until.is_some() {
            server.deferred.push((channel, event));
            return;
        }
        self.trace.mix(node as u64 + 1);
        self.server_event(node, event);
    }

    /// A pause is over: what came meanwhile is handled now, in order within each channel.
    fn resume(&mut self, node: usize, life: u64) {
        let now = self.now;
        let Some(server) = self.servers.get_mut(node) else {
            return;
        };
        let due = server.paused_until.is_some_and(|until| until <= now);
        if !server.up || server.life != life || !due {
            return;
        }
        server.paused_until = None;
        let deferred = std::mem::take(&mut server.deferred);
        self.trace.line(now, || format!("n{} resumes", node + 1));
        let mut lots: BTreeMap<Channel, u64> = BTreeMap::new();
        for (channel, _) in &deferred {
            if !lots.contains_key(channel) {
                let lot = self.dice.any();
                lots.insert(*channel, lot);
            }
        }
        let mut drawn: Vec<(u64, usize, Channel, ServerEvent)> = Vec::new();
        for (place, (channel, event)) in deferred.into_iter().enumerate() {
            let lot = lots.get(&channel).copied().unwrap_or(0);
            drawn.push((lot, place, channel, event));
        }
        drawn.sort_by_key(|(lot, place, ..)| (*lot, *place));
        for (_, _, channel, event) in drawn {
            self.deliver(node, life, channel, event);
        }
    }

    pub fn violate(&mut self, violation: Violation) {
        self.trace.line(self.now, || format!("VIOLATION {violation:?}"));
        self.violation.get_or_insert(violation);
    }

    pub fn ensure(&mut self, result: Result<(), Violation>) {
        if let Err(violation) = result {
            self.violate(violation);
        }
    }
}
