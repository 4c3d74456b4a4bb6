//! The invariants of one replica, checkable at any time (A1, A3, A5 of `spec/replication.md` 3.9).

use std::fmt;

use crate::replica::Replica;
use crate::role::{Phase, Role};

/// A broken invariant: a bug, not a fault of the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation(pub String);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Violation {}

impl Replica {
    /// Check every invariant that can be seen from inside one replica. Costs a walk through the
    /// window.
    pub fn check(&self) -> Result<(), Violation> {
        let ensure = |holds: bool, what: &str| {
            if holds {
                Ok(())
            } else {
                Err(Violation(format!("{}: {what}", self.options.pid)))
            }
        };
        let (durable, applied) = (self.durable.decree(), self.applied.decree());
        let (committed, last) = (self.committed.decree(), self.window.last());
        ensure(durable <= applied, "durable <= applied")?;
        ensure(applied <= self.applying, "applied <= applying")?;
        ensure(self.applying <= committed, "applying <= committed")?;
        ensure(committed <= last, "committed <= prepared")?;
        ensure(self.persisted <= last, "persisted <= prepared")?;
        ensure(
            self.window.base() <= applied,
            "only applied records leave memory",
        )?;
        let mut prev = self.window.chain_at(self.window.base());
        let mut decree = self.window.base();
        for slot in self.window.slots() {
            ensure(
                slot.mutation.decree == decree.next(),
                "decrees are contiguous",
            )?;
            ensure(Some(slot.mutation.prev_chain) == prev, "chains follow")?;
            decree = slot.mutation.decree;
            prev = Some(slot.mutation.chain);
        }
        if let Role::Primary(primary) = &self.role {
            ensure(
                self.config.is_primary(&self.options.me),
                "a primary is primary of its config",
            )?;
            ensure(
                primary.members.keys().all(|n| self.config.is_secondary(n))
                    && primary.members.len() == self.config.secondaries.len(),
                "the members are the secondaries of the configuration",
            )?;
            ensure(
                primary.phase == Phase::Persisting || self.state_done >= self.state_seq,
                "nothing happens in a ballot that is not on disk",
            )?;
        }
        Ok(())
    }
}
