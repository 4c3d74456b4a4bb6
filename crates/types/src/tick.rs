use std::ops::Add;

use serde::{Deserialize, Serialize};

/// A reading of one node's own clock in milliseconds since an arbitrary start (`CLOCK_BOOTTIME` in
/// the daemons). Ticks of two nodes must never be compared.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Tick(pub u64);

impl Tick {
    pub const ZERO: Tick = Tick(0);
    /// Later than every reading.
    pub const NEVER: Tick = Tick(u64::MAX);

    /// Milliseconds from `earlier` to `self`, 0 if `earlier` is in fact later.
    pub fn since(self, earlier: Tick) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<u64> for Tick {
    type Output = Tick;

    fn add(self, ms: u64) -> Tick {
        Tick(self.0.saturating_add(ms))
    }
}
