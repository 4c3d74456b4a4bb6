//! What the read path may rely on (design 3, rules 1 and 3).

use pegasus_types::Decree;

use crate::event::{Effect, Gate, GateRole};
use crate::replica::{Ctx, Replica};
use crate::role::Role;

impl Replica {
    /// Publish the gate if it changed.
    pub(crate) fn publish_gate(&mut self, cx: &mut Ctx<'_>) {
        let gate = self.gate();
        if self.published.as_ref() != Some(&gate) {
            self.published = Some(gate.clone());
            cx.out.push(Effect::Gate(gate));
        }
    }

    fn gate(&self) -> Gate {
        let closed = Gate {
            ballot: self.config.ballot,
            role: GateRole::Closed,
            leases: Vec::new(),
            meta_lease: None,
            barrier: Decree::ZERO,
        };
        match &self.role {
            Role::Primary(_) => self.primary_gate().unwrap_or(closed),
            Role::Secondary(follower) if follower.synced => {
                Gate { role: GateRole::Secondary, ..closed }
            }
            _ => closed,
        }
    }

    /// Open only while every member, and a node that is about to become one, has confirmed this
    /// primary within a lease; a configuration of one needs the meta server's word instead.
    fn primary_gate(&self) -> Option<Gate> {
        let Role::Primary(primary) = &self.role else {
            return None;
        };
        if !primary.serving {
            return None;
        }
        let mut leases = Vec::with_capacity(primary.members.len() + 1);
        for (node, peer) in &primary.members {
            leases.push((node.clone(), peer.confirmed?));
        }
        if let Some(node) = self.joining()
            && let Some(learner) = primary.learners.get(node)
        {
            leases.push((node.clone(), learner.stream.as_ref()?.confirmed?));
        }
        let meta_lease =
            if self.config.secondaries.is_empty() { Some(primary.meta_confirmed?) } else { None };
        Some(Gate {
            ballot: self.config.ballot,
            role: GateRole::Primary,
            leases,
            meta_lease,
            barrier: primary.barrier,
        })
    }
}
