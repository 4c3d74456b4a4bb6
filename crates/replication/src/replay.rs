//! How a replica comes back from its disk.

use pegasus_types::{Applied, Ballot, Committed, Decree, Durable, PartitionConfig, Tick};

use crate::options::{Options, Restored};
use crate::replica::Replica;
use crate::role::Role;
use crate::window::{Slot, Window};

impl Replica {
    /// Rebuild a replica. It takes no part until the meta server or a primary speaks to it.
    ///
    /// Log records that do not follow from what the engine holds cannot be used; they are dropped
    /// and the replica is suspect, for it may have acknowledged them.
    pub fn open(options: Options, restored: Restored, now: Tick) -> Replica {
        let Restored { state, app, durable, durable_chain, log, mut suspect } = restored;
        let mut window = Window::new(durable, durable_chain);
        let mut committed = durable;
        let mut last_timestamp_us = 0;
        for mutation in log.into_iter().skip_while(|m| m.decree <= durable) {
            if !window.fits(&mutation) {
                suspect = true;
                break;
            }
            committed = committed.max(mutation.committed);
            last_timestamp_us = last_timestamp_us.max(mutation.timestamp_us);
            window.push(Slot { mutation, seq: 0, token: None });
        }
        let committed = committed.min(window.last());
        let member_ballot = state.as_ref().map_or(Ballot::ZERO, |s| s.member_ballot);
        let followed = state.as_ref().and_then(|s| s.followed.clone());
        let learner_mark = state.as_ref().and_then(|s| s.learner);
        let config = state.as_ref().map_or_else(
            || PartitionConfig::new(options.pid, app.max_replica_count),
            |state| state.config.clone(),
        );
        let persisted = window.last();
        Replica {
            options,
            app,
            config,
            member_ballot,
            learner_mark,
            state,
            role: Role::Inactive,
            window,
            committed: Committed(committed),
            applied: Applied(durable),
            durable: Durable(durable),
            applying: durable,
            persisted,
            log_seq: 0,
            log_done: 0,
            state_seq: 0,
            state_done: 0,
            update: None,
            copy: None,
            followed,
            released: None,
            suspect,
            last_timestamp_us,
            published: None,
            stepped_at: now,
            awake_since: now,
            wake: now,
        }
    }

    /// Forget everything after a checkpoint took the place of engine and log.
    pub(crate) fn restart_from(&mut self, decree: Decree, chain: u64) {
        self.window = Window::new(decree, chain);
        self.committed = Committed(decree);
        self.applied = Applied(decree);
        self.durable = Durable(decree);
        self.applying = decree;
        self.persisted = decree;
    }
}
