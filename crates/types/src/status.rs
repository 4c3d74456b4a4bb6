use std::fmt;

use serde::{Deserialize, Serialize};

/// The `error` field of data-plane responses: status codes of RocksDB (`spec/wire.md` 4.3).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum Status {
    #[default]
    Ok = 0,
    /// Missing or expired; a scan with an unknown context.
    NotFound = 1,
    Corruption = 2,
    NotSupported = 3,
    InvalidArgument = 4,
    IoError = 5,
    MergeInProgress = 6,
    /// A multi_get or scan stopped at a limit; what it found is in the response.
    Incomplete = 7,
    ShutdownInProgress = 8,
    TimedOut = 9,
    Aborted = 10,
    Busy = 11,
    Expired = 12,
    /// The check of a check_and_set or check_and_mutate did not pass.
    TryAgain = 13,
}

impl Status {
    const ALL: [Status; 14] = [
        Status::Ok,
        Status::NotFound,
        Status::Corruption,
        Status::NotSupported,
        Status::InvalidArgument,
        Status::IoError,
        Status::MergeInProgress,
        Status::Incomplete,
        Status::ShutdownInProgress,
        Status::TimedOut,
        Status::Aborted,
        Status::Busy,
        Status::Expired,
        Status::TryAgain,
    ];

    /// The number on the wire.
    pub const fn code(self) -> i32 {
        self as i32
    }

    pub fn from_code(code: i32) -> Option<Status> {
        usize::try_from(code).ok().and_then(|i| Status::ALL.get(i).copied())
    }

    pub const fn is_ok(self) -> bool {
        matches!(self, Status::Ok)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_read_back() {
        for code in 0..14 {
            assert_eq!(Status::from_code(code).map(Status::code), Some(code));
        }
        assert_eq!(Status::from_code(14), None);
        assert_eq!(Status::from_code(-1), None);
        assert_eq!(Status::TryAgain.code(), 13);
    }
}
