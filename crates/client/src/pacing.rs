use std::time::Duration;

use rand::Rng;
use tokio::time::Instant;

use crate::Error;

/// The end of an operation, retries included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    started: Instant,
    at: Instant,
}

impl Deadline {
    pub(crate) fn after(timeout: Duration) -> Deadline {
        let started = Instant::now();
        // A timeout too long to add means "a day", which is as good as never here.
        let at =
            started.checked_add(timeout).unwrap_or_else(|| started + Duration::from_secs(86_400));
        Deadline { started, at }
    }

    pub(crate) fn at(&self) -> Instant {
        self.at
    }

    /// This deadline or `timeout` from now, whichever is earlier.
    pub(crate) fn capped(&self, timeout: Duration) -> Deadline {
        let now = Instant::now();
        let at = now.checked_add(timeout).map_or(self.at, |at| at.min(self.at));
        Deadline { started: now, at }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) fn passed(&self) -> bool {
        Instant::now() >= self.at
    }

    /// Milliseconds left as the header field `client_timeout` wants them, at least 1.
    pub(crate) fn remaining_ms(&self) -> i32 {
        let left = self.at.saturating_duration_since(Instant::now()).as_millis();
        i32::try_from(left).unwrap_or(i32::MAX).max(1)
    }

    /// The error of an operation that got this far without success.
    pub(crate) fn timeout(&self, last: Option<Error>) -> Error {
        let last = match last {
            Some(Error::Timeout { last, .. }) => last,
            other => other.map(Box::new),
        };
        Error::Timeout { after: self.elapsed(), last }
    }
}

/// Exponential pauses with jitter, from 8 ms doubling to 250 ms: the reference's C++ client goes up
/// to 1 s (`spec/wire.md` 4.2), which would be most of a fail-over here.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(8);
    const LONGEST: Duration = Duration::from_millis(250);

    pub(crate) fn new() -> Backoff {
        Backoff { next: Backoff::FIRST }
    }

    fn advance(&mut self) -> Duration {
        let full = self.next;
        self.next = full.saturating_mul(2).min(Backoff::LONGEST);
        full.mul_f64(rand::rng().random_range(0.5..1.0))
    }

    /// Sleeps for the next pause, but never past the deadline. False if the deadline is reached.
    pub(crate) async fn pause(&mut self, deadline: &Deadline) -> bool {
        let until = Instant::now() + self.advance();
        tokio::time::sleep_until(until.min(deadline.at())).await;
        !deadline.passed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_bounded() {
        let mut backoff = Backoff::new();
        let mut ceiling = Backoff::FIRST;
        for _ in 0..12 {
            let pause = backoff.advance();
            assert!(pause >= ceiling / 2 && pause <= ceiling, "{pause:?} of {ceiling:?}");
            ceiling = (ceiling * 2).min(Backoff::LONGEST);
        }
    }

    #[tokio::test]
    async fn a_pause_ends_at_the_deadline() {
        let deadline = Deadline::after(Duration::from_millis(1));
        assert!(!Backoff::new().pause(&deadline).await);
        assert!(deadline.passed());
        assert_eq!(deadline.remaining_ms(), 1);
    }

    #[test]
    fn an_absurd_timeout_is_accepted() {
        assert!(!Deadline::after(Duration::MAX).passed());
        assert!(!Deadline::after(Duration::MAX).capped(Duration::MAX).passed());
    }
}
