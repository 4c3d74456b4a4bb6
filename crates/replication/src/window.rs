use std::collections::VecDeque;

use pegasus_types::{Decree, Mutation};

/// One mutation in memory.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub mutation: Mutation,
    /// Number of the log operation that carries it, 0 if it was found in the log.
    pub seq: u64,
    /// Who waits for it, on the primary that proposed it.
    pub token: Option<u64>,
}

/// The end of a replica's history: what is prepared, and as much of what is applied as fits, for
/// peers that lag. Decrees are contiguous and every chain follows from the one before, so two
/// replicas with the same chain at a decree agree on everything up to it.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    base: Decree,
    base_chain: u64,
    slots: VecDeque<Slot>,
    bytes: usize,
}

impl Window {
    pub fn new(base: Decree, base_chain: u64) -> Window {
        Window { base, base_chain, slots: VecDeque::new(), bytes: 0 }
    }

    /// The decree just before the first slot.
    pub fn base(&self) -> Decree {
        self.base
    }

    pub fn last(&self) -> Decree {
        self.slots.back().map_or(self.base, |s| s.mutation.decree)
    }

    pub fn last_chain(&self) -> u64 {
        self.slots.back().map_or(self.base_chain, |s| s.mutation.chain)
    }

    fn index(&self, decree: Decree) -> Option<usize> {
        let offset = decree.0.checked_sub(self.base.0)?.checked_sub(1)?;
        usize::try_from(offset).ok().filter(|i| *i < self.slots.len())
    }

    pub fn get(&self, decree: Decree) -> Option<&Slot> {
        self.slots.get(self.index(decree)?)
    }

    pub fn take_token(&mut self, decree: Decree) -> Option<u64> {
        let index = self.index(decree)?;
        self.slots.get_mut(index)?.token.take()
    }

    /// The chain at `decree`, if it is the base or in the window.
    pub fn chain_at(&self, decree: Decree) -> Option<u64> {
        if decree == self.base {
            return Some(self.base_chain);
        }
        self.get(decree).map(|s| s.mutation.chain)
    }

    /// Chains at `from`, `from + 1`, ... `last()`; `from` must be at or above the base.
    pub fn chains_from(&self, from: Decree) -> Vec<u64> {
        (from.0..=self.last().0).filter_map(|d| self.chain_at(Decree(d))).collect()
    }

    /// Whether `mutation` is the next one of this history.
    pub fn fits(&self, mutation: &Mutation) -> bool {
        mutation.decree == self.last().next() && mutation.prev_chain == self.last_chain()
    }

    /// Append the next mutation; the caller has checked that it fits.
    pub fn push(&mut self, slot: Slot) {
        assert!(self.fits(&slot.mutation), "window: {:?} does not follow", slot.mutation.decree);
        self.bytes += slot.mutation.weight();
        self.slots.push_back(slot);
    }

    /// Drop everything above `decree`; returns the tokens that were waiting.
    pub fn truncate_above(&mut self, decree: Decree) -> Vec<u64> {
        assert!(decree >= self.base, "window: truncation below the base");
        let mut tokens = Vec::new();
        while self.last() > decree {
            if let Some(slot) = self.slots.pop_back() {
                self.bytes -= slot.mutation.weight();
                tokens.extend(slot.token);
            }
        }
        tokens
    }

    /// Forget the oldest slots up to `limit` while they cost more than `bytes`.
    pub fn trim(&mut self, limit: Decree, bytes: usize) {
        while self.bytes > bytes {
            match self.slots.front() {
                Some(slot) if slot.mutation.decree <= limit => {
                    self.base = slot.mutation.decree;
                    self.base_chain = slot.mutation.chain;
                    self.bytes -= slot.mutation.weight();
                    self.slots.pop_front();
                }
                _ => return,
            }
        }
    }

    /// Mutations `after + 1 ..= up_to`, as far as the window has them.
    pub fn range(&self, after: Decree, up_to: Decree) -> impl Iterator<Item = &Slot> {
        let start = self.index(after.next()).unwrap_or(self.slots.len());
        self.slots.iter().skip(start).take_while(move |s| s.mutation.decree <= up_to)
    }

    /// Every waiting token, leaving none.
    pub fn take_tokens(&mut self) -> Vec<u64> {
        self.slots.iter_mut().filter_map(|s| s.token.take()).collect()
    }

    pub fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter()
    }
}
