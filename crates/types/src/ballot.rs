use std::fmt;

use serde::{Deserialize, Serialize};

/// The number of one configuration of a partition. Only the meta server creates ballots, by
/// compare-and-set, one at a time; at most one node is primary in a ballot.
///
/// 0 means that no primary was ever assigned (`spec/wire.md` 6.4); -1 marks a split child that is
/// not registered yet.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Ballot(pub i64);

impl Ballot {
    pub const ZERO: Ballot = Ballot(0);

    #[must_use]
    pub fn next(self) -> Ballot {
        Ballot(self.0 + 1)
    }
}

impl fmt::Display for Ballot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
