use std::fmt;

use serde::{Deserialize, Serialize};

/// The place of a mutation in the history of one partition: 1, 2, 3, ... without holes.
/// 0 is the state before the first mutation.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Decree(pub i64);

impl Decree {
    pub const ZERO: Decree = Decree(0);

    #[must_use]
    pub fn next(self) -> Decree {
        Decree(self.0 + 1)
    }

    /// The decree before this one; `Decree::ZERO` stays where it is.
    #[must_use]
    pub fn prev(self) -> Decree {
        Decree((self.0 - 1).max(0))
    }
}

impl fmt::Display for Decree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Watermarks of one replica. They are types of their own so that a "prepared" decree cannot be
/// passed where an "applied" one is meant. Always durable <= applied <= committed <= prepared.
macro_rules! watermark {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        pub struct $name(pub Decree);

        impl $name {
            pub const ZERO: $name = $name(Decree::ZERO);

            #[must_use]
            pub fn decree(self) -> Decree {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

watermark!(
    /// Highest decree this replica has in its window.
    Prepared
);
watermark!(
    /// Highest decree known to be committed: held by every member of a configuration.
    Committed
);
watermark!(
    /// Highest decree visible to reads of the storage engine.
    Applied
);
watermark!(
    /// Highest decree the storage engine has without the help of the log.
    Durable
);
