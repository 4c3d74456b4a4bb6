use std::ops::Range;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// The only source of chance in a run.
pub struct Dice {
    rng: StdRng,
}

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice { rng: StdRng::seed_from_u64(seed) }
    }

    /// True in `permille` of 1000 cases.
    pub fn chance(&mut self, permille: u32) -> bool {
        permille > 0 && self.rng.random_range(0..1000) < permille
    }

    /// A number of the range; its start if the range is empty.
    pub fn range(&mut self, range: Range<u64>) -> u64 {
        if range.is_empty() { range.start } else { self.rng.random_range(range) }
    }

    /// An index below `len`; 0 if `len` is 0.
    pub fn index(&mut self, len: usize) -> usize {
        if len == 0 { 0 } else { self.rng.random_range(0..len) }
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        let index = self.index(from.len());
        from.get(index)
    }

    pub fn any(&mut self) -> u64 {
        self.rng.random()
    }

    /// Mostly near the start of the range, now and then far from it: what delays look like.
    pub fn delay(&mut self, usual: Range<u64>, tail_permille: u32, tail: Range<u64>) -> u64 {
        if self.chance(tail_permille) { self.range(tail) } else { self.range(usual) }
    }
}
