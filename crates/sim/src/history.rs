use pegasus_types::{Decree, PartitionId};

use crate::clock::Instant;
use crate::engine::{Key, Value};
use crate::invariants::{Kind, Operation};

pub type OpId = usize;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    Write { key: Key, value: Value },
    Read { key: Key },
}

impl Request {
    pub fn key(&self) -> Key {
        match self {
            Request::Write { key, .. } | Request::Read { key } => *key,
        }
    }
}

/// What a client knows about its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// No answer (yet): a write may take effect at any time or never.
    Unknown,
    Written(Decree),
    Found(Option<Value>),
    /// Refused before anything was done.
    Refused,
}

#[derive(Clone, Debug)]
pub struct Op {
    pub client: Option<usize>,
    pub pid: PartitionId,
    pub request: Request,
    pub start: Instant,
    pub finish: Option<Instant>,
    pub outcome: Outcome,
}

/// Everything the clients did.
#[derive(Default)]
pub struct History {
    pub ops: Vec<Op>,
    last_value: Value,
}

impl History {
    pub fn next_value(&mut self) -> Value {
        self.last_value += 1;
        self.last_value
    }

    pub fn begin(
        &mut self,
        now: Instant,
        client: Option<usize>,
        pid: PartitionId,
        request: Request,
    ) -> OpId {
        let outcome = Outcome::Unknown;
        self.ops.push(Op { client, pid, request, start: now, finish: None, outcome });
        self.ops.len() - 1
    }

    /// The answer reached the client; only the first one counts.
    pub fn finish(&mut self, now: Instant, op: OpId, outcome: Outcome) -> bool {
        let Some(op) = self.ops.get_mut(op).filter(|op| op.finish.is_none()) else {
            return false;
        };
        op.finish = Some(now);
        op.outcome = outcome;
        true
    }

    /// The client waits no longer; its outcome stays unknown.
    pub fn give_up(&mut self, now: Instant, op: OpId) -> bool {
        self.finish(now, op, Outcome::Unknown)
    }

    /// For the linearizability check. A refused write certainly did not happen, so a read that
    /// returns its value is an error there.
    pub fn operations(&self) -> Vec<Operation> {
        let operation = |op: &Op| {
            let (kind, finish) = match (op.request, op.outcome) {
                (Request::Write { value, .. }, Outcome::Written(_)) => {
                    (Kind::Write(value), op.finish)
                }
                (Request::Write { value, .. }, Outcome::Unknown) => (Kind::Write(value), None),
                (Request::Read { .. }, Outcome::Found(value)) => (Kind::Read(value), op.finish),
                _ => return None,
            };
            Some(Operation { key: op.request.key(), start: op.start, finish, kind })
        };
        self.ops.iter().filter_map(operation).collect()
    }
}
