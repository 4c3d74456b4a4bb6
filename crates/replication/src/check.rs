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
    /// The invariants that cost nothing to check; the shell does so after every step.
    pub fn check_marks(&self) -> Result<(), Violation> {
        let (durable, applied) = (self.durable.decree(), self.applied.decree());
        let (committed, last) = (self.committed.decree(), self.window.last());
        self.ensure(durable <= applied, "durable <= applied")?;
        self.ensure(applied <= self.applying, "applied <= applying")?;
        self.ensure(self.applying <= committed, "applying <= committed")?;
        self.ensure(committed <= last, "committed <= prepared")?;
        self.ensure(self.persisted <= last, "persisted <= prepared")?;
        self.ensure(
            self.window.base() <= applied.min(self.persisted),
            "only applied and logged records leave memory",
        )
    }

    fn ensure(&self, holds: bool, what: &str) -> Result<(), Violation> {
        if holds {
            return Ok(());
        }
        Err(Violation(format!("{}: {what}", self.options.pid)))
    }

    /// Check every invariant that can be seen from inside one replica. Costs a walk through the
    /// window.
    pub fn check(&self) -> Result<(), Violation> {
        self.check_marks()?;
        let ensure = |holds: bool, what: &str| self.ensure(holds, what);
        let mut prev = self.window.chain_at(self.window.base());
        let mut decree = self.window.base();
        for slot in self.window.slots() {
            ensure(slot.mutation.decree == decree.next(), "decrees are contiguous")?;
            ensure(Some(slot.mutation.prev_chain) == prev, "chains follow")?;
            decree = slot.mutation.decree;
            prev = Some(slot.mutation.chain);
        }
        if let Role::Primary(primary) = &self.role {
            ensure(self.config.is_primary(&self.options.me), "a primary is primary of its config")?;
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
