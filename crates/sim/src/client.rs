//! Clients, and what a server does with their requests.

use std::collections::BTreeMap;

use pegasus_replication::{Admission, GateRole};
use pegasus_types::PartitionId;

use crate::clock::{MS, SECOND};
use crate::history::{OpId, Outcome, Request};
use crate::server::{Channel, ServerEvent, index_of};
use crate::world::{Item, World};

const QUEUE_LIMIT: usize = 32;

/// Does one thing after the other and remembers, not always rightly, who is primary.
#[derive(Default)]
pub struct Client {
    routes: BTreeMap<PartitionId, usize>,
    current: Option<OpId>,
}

impl World {
    pub fn client_turn(&mut self, client: usize) {
        if !self.busy || self.pids.is_empty() {
            let again = 50 * MS + self.dice.range(0..50 * MS);
            return self.schedule(again, Item::ClientTurn { client });
        }
        let key = self.dice.index(usize::from(self.profile.keys)) as u8;
        let request = if self.dice.chance(550) {
            Request::Write { key, value: self.history.next_value() }
        } else {
            Request::Read { key }
        };
        let pid = self.pid_of(key);
        let node = self.route(client, pid);
        let op = self.request(Some(client), pid, request, node);
        if let Some(client) = self.clients.get_mut(client) {
            client.current = Some(op);
        }
    }

    pub fn pid_of(&self, key: u8) -> PartitionId {
        let index = usize::from(key) % self.pids.len().max(1);
        self.pids.get(index).copied().unwrap_or_default()
    }

    /// Sends a request to a server and waits for the answer, but not for ever.
    pub fn request(
        &mut self,
        client: Option<usize>,
        pid: PartitionId,
        request: Request,
        node: usize,
    ) -> OpId {
        let op = self.history.begin(self.now, client, pid, request);
        self.trace.line(self.now, || format!("client {client:?} asks n{}: {request:?}", node + 1));
        if !self.dice.chance(self.profile.loss_permille / 4) {
            let delay = self.dice.delay(100..MS, self.profile.slow_permille, MS..500 * MS);
            let channel = Channel::Other(self.dice.any());
            self.send_to_server(node, delay, channel, ServerEvent::Client { op, pid, request });
        }
        let timeout = self.dice.range(SECOND / 2..2 * SECOND);
        self.schedule(timeout, Item::ClientTimeout { op });
        op
    }

    /// Usually what the meta server said once, sometimes somebody else.
    fn route(&mut self, client: usize, pid: PartitionId) -> usize {
        if self.dice.chance(30) {
            return self.dice.index(self.servers.len());
        }
        if let Some(node) = self.clients.get(client).and_then(|c| c.routes.get(&pid)) {
            return *node;
        }
        let Some(node) = self.meta.primary(pid).as_ref().and_then(index_of) else {
            return self.dice.index(self.servers.len());
        };
        if let Some(client) = self.clients.get_mut(client) {
            client.routes.insert(pid, node);
        }
        node
    }

    pub fn client_answer(&mut self, op: OpId, outcome: Outcome, at: usize) {
        if !self.history.finish(self.now, op, outcome) {
            return;
        }
        self.trace.line(self.now, || format!("client op {op} from n{}: {outcome:?}", at + 1));
        self.trace.mix(op as u64);
        match outcome {
            Outcome::Found(_) => self.count("reads"),
            Outcome::Written(_) => self.count("writes"),
            Outcome::Refused | Outcome::Unknown => self.count("refused"),
        }
        self.client_goes_on(op, matches!(outcome, Outcome::Refused));
    }

    pub fn client_timeout(&mut self, op: OpId) {
        if self.history.give_up(self.now, op) {
            self.count("unanswered");
            self.client_goes_on(op, true);
        }
    }

    fn client_goes_on(&mut self, op: OpId, disappointed: bool) {
        let Some((client, pid)) = self.history.ops.get(op).map(|op| (op.client, op.pid)) else {
            return;
        };
        let Some(client) = client else { return };
        let pause = self.dice.range(0..2 * self.profile.think);
        let ask_again = self.dice.chance(700);
        if let Some(client) = self.clients.get_mut(client) {
            client.current = None;
            if disappointed && ask_again {
                client.routes.remove(&pid);
            }
        }
        self.schedule(pause, Item::ClientTurn { client });
    }

    /// A request arrived at a server.
    pub fn client_request(&mut self, node: usize, op: OpId, pid: PartitionId, request: Request) {
        match request {
            Request::Read { key } => {
                let outcome = self.read(node, pid, key);
                self.answer(node, op, outcome);
            }
            Request::Write { .. } => self.write(node, op, pid, request),
        }
    }

    /// The real read path: the gate, then the clock, then the barrier, then the engine.
    fn read(&mut self, node: usize, pid: PartitionId, key: u8) -> Outcome {
        let server = &self.servers[node];
        let Some(partition) = server.partitions.get(&pid) else {
            return Outcome::Refused;
        };
        let Some(gate) = partition.hosted.as_ref().and_then(|h| h.gate.as_ref()) else {
            return Outcome::Refused;
        };
        let live = &partition.disk.engine.live;
        if gate.role != GateRole::Primary
            || !self.may_serve(node, pid)
            || live.decree < gate.barrier
        {
            return Outcome::Refused;
        }
        Outcome::Found(live.values.get(&key).copied())
    }

    fn write(&mut self, node: usize, op: OpId, pid: PartitionId, request: Request) {
        let expires = self.now + SECOND;
        let partition = self.servers[node].partitions.get_mut(&pid);
        let Some(hosted) = partition.and_then(|p| p.hosted.as_mut()) else {
            return self.answer(node, op, Outcome::Refused);
        };
        let refused = matches!(hosted.replica.admission(), Admission::Refuse(_));
        if refused || hosted.waiting.len() >= QUEUE_LIMIT {
            return self.answer(node, op, Outcome::Refused);
        }
        hosted.waiting.push_back((op, request, expires));
        self.pump_writes(node, pid);
    }
}
