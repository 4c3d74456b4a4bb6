use std::collections::{BTreeMap, BTreeSet, VecDeque};

use pegasus_replication::Message;
use pegasus_types::PartitionId;

use crate::clock::{Instant, MS, SECOND};
use crate::server::{Channel, ServerEvent};
use crate::world::{Item, World};

/// The meta server's place in the network.
pub const META: usize = usize::MAX;

const KEPT_WHILE_DOWN: usize = 16;

type Parcel = (PartitionId, Message);

/// The connection on which one server sends to another: in order, or reset.
#[derive(Default)]
struct Link {
    up: bool,
    /// Every established connection has a number of its own.
    incarnation: u64,
    in_flight: VecDeque<(Instant, Parcel)>,
    last_arrival: Instant,
    /// Sent while the connection was down.
    kept: VecDeque<Parcel>,
    reconnecting: bool,
}

#[derive(Clone, Copy, Debug)]
pub enum LinkEvent {
    /// Something may have arrived.
    Pump {
        from: usize,
        to: usize,
    },
    Reconnect {
        from: usize,
        to: usize,
    },
    /// A direction was blocked at `since`; TCP gives up if it still is.
    Lost {
        from: usize,
        to: usize,
        since: Instant,
    },
}

#[derive(Default)]
pub struct Network {
    links: BTreeMap<(usize, usize), Link>,
    /// Directions in which nothing gets through, and since when.
    blocked: BTreeMap<(usize, usize), Instant>,
    meta_arrivals: BTreeMap<(usize, usize), Instant>,
}

impl Network {
    pub fn is_blocked(&self, from: usize, to: usize) -> bool {
        self.blocked.contains_key(&(from, to))
    }
}

impl World {
    /// A message on the peer link. Without a connection it is lost or kept until there is one.
    pub fn send(&mut self, from: usize, to: usize, pid: PartitionId, message: Message) {
        let keep = self.profile.links_keep_queue;
        let delay = self.peer_delay();
        let link = self.network.links.entry((from, to)).or_default();
        if !link.up {
            if keep {
                link.kept.push_back((pid, message));
                if link.kept.len() > KEPT_WHILE_DOWN {
                    link.kept.pop_front();
                }
            }
            if !std::mem::replace(&mut link.reconnecting, true) {
                self.schedule(MS, Item::Link(LinkEvent::Reconnect { from, to }));
            }
            return;
        }
        self.enqueue(from, to, delay, (pid, message));
    }

    fn enqueue(&mut self, from: usize, to: usize, delay: Instant, parcel: Parcel) {
        let now = self.now;
        let link = self.network.links.entry((from, to)).or_default();
        let arrival = link.last_arrival.max(now + delay);
        link.last_arrival = arrival;
        link.in_flight.push_back((arrival, parcel));
        self.schedule(arrival - now, Item::Link(LinkEvent::Pump { from, to }));
    }

    pub fn peer_delay(&mut self) -> Instant {
        self.dice.delay(100..1_500, self.profile.slow_permille, 5 * MS..300 * MS)
    }

    pub fn link_event(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Pump { from, to } => self.pump(from, to),
            LinkEvent::Reconnect { from, to } => self.reconnect(from, to),
            LinkEvent::Lost { from, to, since } => {
                if self.network.blocked.get(&(from, to)) == Some(&since) {
                    self.reset_link(from, to);
                    self.reset_link(to, from);
                }
            }
        }
    }

    fn pump(&mut self, from: usize, to: usize) {
        if self.network.is_blocked(from, to) {
            return;
        }
        let now = self.now;
        while let Some(link) = self.network.links.get_mut(&(from, to))
            && link.in_flight.front().is_some_and(|(at, _)| *at <= now)
            && let Some((_, parcel)) = link.in_flight.pop_front()
        {
            self.hand_over(from, to, parcel);
        }
    }

    fn hand_over(&mut self, from: usize, to: usize, (pid, message): Parcel) {
        let event = ServerEvent::Message { from, pid, message };
        self.send_to_server(to, 0, Channel::Link(from), event);
    }

    /// The connection is gone: a first part of what is in flight still arrives, the rest is lost,
    /// and both sides hear of it, not at the same time.
    pub fn reset_link(&mut self, from: usize, to: usize) {
        let Some(link) = self.network.links.get_mut(&(from, to)).filter(|l| l.up) else {
            return;
        };
        link.up = false;
        link.reconnecting = true;
        let parcels = std::mem::take(&mut link.in_flight);
        let arriving = if self.network.is_blocked(from, to) || !self.is_up(to) {
            0
        } else {
            self.dice.index(parcels.len() + 1)
        };
        for (_, parcel) in parcels.into_iter().take(arriving) {
            self.hand_over(from, to, parcel);
        }
        self.trace.line(self.now, || format!("link n{} -> n{} reset", from + 1, to + 1));
        let (near, far) = (self.dice.range(100..200 * MS), self.dice.range(100..200 * MS));
        self.send_to_server(from, near, Channel::Link(to), ServerEvent::LinkReset { peer: to });
        self.send_to_server(to, far, Channel::Link(from), ServerEvent::LinkReset { peer: from });
        let back = near.max(far) + self.dice.range(MS..200 * MS);
        self.schedule(back, Item::Link(LinkEvent::Reconnect { from, to }));
    }

    fn reconnect(&mut self, from: usize, to: usize) {
        let cut = self.network.is_blocked(from, to) || self.network.is_blocked(to, from);
        if cut || !self.is_up(from) || !self.is_up(to) {
            let again = self.dice.range(50 * MS..250 * MS);
            return self.schedule(again, Item::Link(LinkEvent::Reconnect { from, to }));
        }
        let now = self.now;
        let link = self.network.links.entry((from, to)).or_default();
        if std::mem::replace(&mut link.up, true) {
            return;
        }
        link.reconnecting = false;
        link.incarnation += 1;
        link.last_arrival = now;
        let kept = std::mem::take(&mut link.kept);
        self.trace.line(now, || format!("link n{} -> n{} is up", from + 1, to + 1));
        self.send_to_server(from, 0, Channel::Link(to), ServerEvent::LinkReset { peer: to });
        self.send_to_server(to, 0, Channel::Link(from), ServerEvent::LinkReset { peer: from });
        for parcel in kept {
            let delay = self.peer_delay();
            self.enqueue(from, to, delay, parcel);
        }
    }

    /// Nothing gets through in this direction until [`World::unblock`].
    pub fn block(&mut self, from: usize, to: usize) {
        let now = self.now;
        if self.network.blocked.insert((from, to), now).is_none() && from != META && to != META {
            let patience = self.dice.range(SECOND / 2..3 * SECOND);
            self.schedule(patience, Item::Link(LinkEvent::Lost { from, to, since: now }));
        }
    }

    pub fn unblock(&mut self, from: usize, to: usize) {
        if self.network.blocked.remove(&(from, to)).is_some() && from != META && to != META {
            self.pump(from, to);
        }
    }

    pub fn unblock_all(&mut self) {
        let blocked: Vec<_> = self.network.blocked.keys().copied().collect();
        for (from, to) in blocked {
            self.unblock(from, to);
        }
    }

    /// Connections of a process that is gone: what it sent may arrive, what was sent to it is lost.
    pub fn drop_links_of(&mut self, node: usize) {
        let pairs: Vec<_> = self.network.links.keys().copied().collect();
        for (from, to) in pairs {
            if from == node || to == node {
                self.reset_link(from, to);
            }
            if from == node
                && let Some(link) = self.network.links.get_mut(&(from, to))
            {
                link.kept.clear();
            }
        }
    }

    /// Peers between which messages were ever sent, for faults.
    pub fn linked(&self) -> Vec<(usize, usize)> {
        self.network.links.keys().copied().collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// How long a call to or from the meta server, or a heartbeat, is under way; None: it is lost.
    /// Calls of one server to the meta server keep their order.
    pub fn call_delay(&mut self, from: usize, to: usize) -> Option<Instant> {
        if self.network.is_blocked(from, to) || self.dice.chance(self.profile.loss_permille) {
            return None;
        }
        let delay = self.dice.delay(100..3 * MS, self.profile.slow_permille, 5 * MS..900 * MS);
        if to != META {
            return Some(delay);
        }
        let now = self.now;
        let last = self.network.meta_arrivals.entry((from, to)).or_default();
        *last = (*last).max(now + delay);
        Some(*last - now)
    }
}
