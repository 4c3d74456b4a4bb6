//! Protocol scenarios as text: one command a line, `#` begins a comment.
//!
//! ```text
//! set NAME VALUE            before `begin`: seed servers partitions min_ack flush_ms cache_bytes
//! begin                     start everything and wait until the table is complete
//! run MS                    let time pass
//! write KEY VALUE           ask the primary and expect success within 3 s
//! send KEY VALUE [NODE]     ask, and go on at once
//! read KEY VALUE [NODE]     ask the primary (or NODE) and expect this value, or `none`, or `refused`
//! later KEY VALUE [NODE]    like read, but the answer is only looked at by `answered`
//! answered                  the request of `later` was answered as it said
//! fill COUNT                that many writes of key 0, all successful
//! call NAME NODE            give a node another name; NODE: n1 n2 ... primary secondary outsider, or a name
//! crash NODE | start NODE | stop NODE | wipe NODE (of a crashed node: its data are gone)
//! pause NODE MS
//! block NODE NODE | unblock NODE NODE      one direction; `meta` is a node here
//! isolate NODE | rejoin NODE               both directions, to everybody
//! reset NODE NODE           the peer link from the first to the second
//! expect primary NODE | expect no-primary NODE | expect members COUNT | expect complete   within 20 s
//! expect role NODE primary|secondary|learner|inactive|none                                within 20 s
//! expect at-least COUNT WHAT               WHAT: copies log_reads reconfigurations ...
//! expect at-most COUNT WHAT
//! forget WHAT               count WHAT from here
//! end                       no more writes; all members become equal, every invariant holds
//! ```

use std::collections::BTreeMap;

use pegasus_types::{PartitionId, ReplicaStatus};

use crate::clock::{Instant, MS, SECOND};
use crate::history::{OpId, Outcome, Request};
use crate::invariants::check_linearizable;
use crate::network::META;
use crate::profile::Profile;
use crate::server::index_of;
use crate::world::World;

const PATIENCE: Instant = 20 * SECOND;

/// Runs a scenario; the error names the line and says what happened instead.
pub fn run_script(text: &str) -> Result<(), String> {
    let mut player = Player::new(false);
    player.play(text)
}

/// The same, with everything that happened.
pub fn trace_script(text: &str) -> (Result<(), String>, Vec<String>) {
    let mut player = Player::new(true);
    let result = player.play(text);
    let lines = player.world.as_mut().map(|w| w.trace.take_lines()).unwrap_or_default();
    (result, lines)
}

struct Player {
    profile: Profile,
    seed: u64,
    verbose: bool,
    world: Option<World>,
    names: BTreeMap<String, usize>,
    awaited: Option<(OpId, String)>,
    base: BTreeMap<String, u64>,
}

impl Player {
    fn new(verbose: bool) -> Player {
        Player {
            profile: Profile::quiet(),
            seed: 1,
            verbose,
            world: None,
            names: BTreeMap::new(),
            awaited: None,
            base: BTreeMap::new(),
        }
    }

    fn play(&mut self, text: &str) -> Result<(), String> {
        for (number, line) in text.lines().enumerate() {
            let command = line.split('#').next().unwrap_or("");
            let words: Vec<&str> = command.split_whitespace().collect();
            if words.is_empty() {
                continue;
            }
            self.command(&words).map_err(|e| format!("line {}: {line}: {e}", number + 1))?;
            let violation = self.world.as_ref().and_then(|w| w.violation.as_ref());
            if let Some(violation) = violation {
                return Err(format!("line {}: {line}: {violation:?}", number + 1));
            }
        }
        Ok(())
    }

    fn command(&mut self, words: &[&str]) -> Result<(), String> {
        match words {
            ["set", name, value] => self.set(name, number(value)?),
            ["begin"] => self.begin(),
            ["run", ms] => {
                let lasting = number(ms)? * MS;
                let world = self.world()?;
                world.run_until(world.now + lasting);
                Ok(())
            }
            ["write", key, value] => self.write(number(key)? as u8, number(value)?),
            ["send", key, value, node @ ..] => {
                let request = Request::Write { key: number(key)? as u8, value: number(value)? };
                self.ask(request, node).map(|_| ())
            }
            ["fill", count] => (1..=number(count)?).try_for_each(|i| self.write(0, 1_000_000 + i)),
            ["read", key, value, node @ ..] => {
                let op = self.ask(Request::Read { key: number(key)? as u8 }, node)?;
                self.awaited = Some((op, (*value).to_owned()));
                self.answered()
            }
            ["later", key, value, node @ ..] => {
                let op = self.ask(Request::Read { key: number(key)? as u8 }, node)?;
                self.awaited = Some((op, (*value).to_owned()));
                Ok(())
            }
            ["answered"] => self.answered(),
            ["call", name, node] => {
                let node = self.node(node)?;
                self.names.insert((*name).to_owned(), node);
                Ok(())
            }
            ["expect", rest @ ..] => self.expect(rest),
            ["forget", what] => {
                let count = self.count(what)?;
                self.base.insert((*what).to_owned(), count);
                Ok(())
            }
            ["end"] => self.end(),
            _ => self.disturb(words),
        }
    }

    fn disturb(&mut self, words: &[&str]) -> Result<(), String> {
        let nodes: Vec<usize> = words[1..].iter().map_while(|word| self.node(word).ok()).collect();
        let world = self.world()?;
        let everybody = 0..world.servers.len();
        match (words, nodes.as_slice()) {
            (["crash", _], [node]) => world.crash(*node),
            (["start", _], [node]) => world.start(*node),
            (["stop", _], [node]) => world.stop(*node),
            (["wipe", _], [node]) => world.wipe(*node),
            (["pause", _, ms], [node]) => world.pause_for(*node, number(ms)? * MS),
            (["block", ..], [from, to]) => world.block(*from, *to),
            (["unblock", ..], [from, to]) => world.unblock(*from, *to),
            (["reset", ..], [from, to]) => world.reset_link(*from, *to),
            (["isolate", _], [node]) => {
                for other in everybody.chain([META]).filter(|other| other != node) {
                    world.block(*node, other);
                    world.block(other, *node);
                }
            }
            (["rejoin", _], [node]) => {
                for other in everybody.chain([META]).filter(|other| other != node) {
                    world.unblock(*node, other);
                    world.unblock(other, *node);
                }
            }
            _ => return Err("unknown command or node".to_owned()),
        }
        Ok(())
    }

    fn set(&mut self, name: &str, value: u64) -> Result<(), String> {
        let profile = &mut self.profile;
        match name {
            "seed" => self.seed = value,
            "servers" => profile.servers = value as usize,
            "partitions" => profile.partitions = value as i32,
            "min_ack" => profile.min_ack_members = value as usize,
            "flush_ms" => profile.flush_every = value * MS,
            "cache_bytes" => profile.cache_bytes = value as usize,
            _ => return Err("no such setting".to_owned()),
        }
        Ok(())
    }

    fn begin(&mut self) -> Result<(), String> {
        let mut world = World::new(self.seed, self.profile.clone(), self.verbose);
        world.stormy = false;
        for node in 0..world.servers.len() {
            world.start(node);
        }
        self.world = Some(world);
        self.wait("the table is not complete", |world| {
            !world.pids.is_empty() && world.pids.iter().all(|pid| world.is_complete(*pid))
        })
    }

    fn world(&mut self) -> Result<&mut World, String> {
        self.world.as_mut().ok_or_else(|| "`begin` is missing".to_owned())
    }

    fn wait(&mut self, why: &str, done: impl Fn(&World) -> bool) -> Result<(), String> {
        let world = self.world()?;
        let limit = world.now + PATIENCE;
        while !done(world) {
            if world.now > limit || world.violation.is_some() {
                let configs: Vec<_> =
                    world.pids.iter().map(|pid| world.meta.config(*pid)).collect();
                return Err(format!("{why}: {configs:?} {:?}", world.violation));
            }
            world.run_until(world.now + 20 * MS);
        }
        Ok(())
    }

    /// Scenarios that name a primary have one partition.
    fn pid(&mut self) -> Result<PartitionId, String> {
        self.world()?.pids.first().copied().ok_or_else(|| "there is no table".to_owned())
    }

    fn node(&mut self, name: &str) -> Result<usize, String> {
        if let Some(node) = self.names.get(name) {
            return Ok(*node);
        }
        if name == "meta" {
            return Ok(META);
        }
        let pid = self.pid()?;
        let world = self.world()?;
        let config = world.meta.config(pid).cloned();
        let servers = world.servers.len();
        let found = match name {
            "primary" => config.and_then(|c| c.primary).as_ref().and_then(index_of),
            "secondary" => config.and_then(|c| c.secondaries.first().and_then(index_of)),
            "outsider" => config
                .and_then(|c| (0..servers).find(|n| !c.is_member(&crate::server::node_id(*n)))),
            _ => name.strip_prefix('n').and_then(|n| n.parse::<usize>().ok()?.checked_sub(1)),
        };
        found.filter(|n| *n < servers).ok_or_else(|| format!("there is no {name}"))
    }

    fn ask(&mut self, request: Request, node: &[&str]) -> Result<OpId, String> {
        let node = self.node(node.first().copied().unwrap_or("primary"))?;
        let world = self.world()?;
        let pid = world.pid_of(request.key());
        Ok(world.request(None, pid, request, node))
    }

    /// Like a client: asks again whoever is primary then, until it works.
    fn write(&mut self, key: u8, value: u64) -> Result<(), String> {
        let limit = self.world()?.now + 3 * SECOND;
        loop {
            let op = self.ask(Request::Write { key, value }, &[]);
            let world = self.world()?;
            let outcome = match op {
                Ok(op) => {
                    world.await_answer(op);
                    world.history.ops.get(op).map(|op| op.outcome)
                }
                Err(_) => {
                    world.run_until(world.now + 50 * MS);
                    None
                }
            };
            match outcome {
                Some(Outcome::Written(_)) => return Ok(()),
                Some(Outcome::Unknown) => return Err("nobody answered the write".to_owned()),
                _ if world.now > limit => return Err(format!("the write failed: {outcome:?}")),
                _ => world.run_until(world.now + 20 * MS),
            }
        }
    }

    fn answered(&mut self) -> Result<(), String> {
        let (op, wanted) = self.awaited.take().ok_or("nothing was asked")?;
        let world = self.world()?;
        world.await_answer(op);
        let outcome = world.history.ops.get(op).map(|op| op.outcome);
        let text = match outcome {
            Some(Outcome::Found(Some(value))) => value.to_string(),
            Some(Outcome::Found(None)) => "none".to_owned(),
            Some(Outcome::Refused) => "refused".to_owned(),
            _ => "unanswered".to_owned(),
        };
        if text == wanted { Ok(()) } else { Err(format!("the answer is {text}")) }
    }

    fn count(&mut self, what: &str) -> Result<u64, String> {
        Ok(self.world()?.stats.get(what).copied().unwrap_or(0))
    }

    fn expect(&mut self, words: &[&str]) -> Result<(), String> {
        let pid = self.pid()?;
        match words {
            ["primary", node] => {
                let node = self.node(node)?;
                self.wait("another primary", move |world| world.serving(pid) == Some(node))
            }
            ["no-primary", node] => {
                let node = self.node(node)?;
                self.wait("still the primary", move |world| {
                    world.serving(pid).is_some_and(|n| n != node)
                })
            }
            ["members", count] => {
                let count = number(count)? as usize;
                self.wait("other members", move |world| {
                    world.meta.config(pid).is_some_and(|c| c.member_count() == count)
                })
            }
            ["complete"] => self.wait("not complete", move |world| world.is_complete(pid)),
            ["role", node, role] => {
                let node = self.node(node)?;
                let role = match *role {
                    "primary" => Some(ReplicaStatus::Primary),
                    "secondary" => Some(ReplicaStatus::Secondary),
                    "learner" => Some(ReplicaStatus::Learner),
                    "inactive" => Some(ReplicaStatus::Inactive),
                    _ => None,
                };
                self.wait("another role", move |world| {
                    world.servers[node].hosted(pid).map(|h| h.replica.status()) == role
                })
            }
            [relation @ ("at-least" | "at-most"), limit, what] => {
                let since = self.base.get(*what).copied().unwrap_or(0);
                let count = self.count(what)? - since;
                let limit = number(limit)?;
                let fits = if *relation == "at-least" { count >= limit } else { count <= limit };
                if fits { Ok(()) } else { Err(format!("{what} is {count}")) }
            }
            _ => Err("unknown expectation".to_owned()),
        }
    }

    fn end(&mut self) -> Result<(), String> {
        let world = self.world()?;
        world.settle();
        let linear = check_linearizable(&world.history.operations());
        world.ensure(linear);
        Ok(())
    }
}

fn number(word: &str) -> Result<u64, String> {
    word.parse().map_err(|_| format!("{word} is no number"))
}

impl World {
    /// Lets time pass until the client has its answer or has given up.
    fn await_answer(&mut self, op: OpId) {
        while self.violation.is_none()
            && self.history.ops.get(op).is_some_and(|op| op.finish.is_none())
        {
            self.run_until(self.now + MS);
        }
    }
}
