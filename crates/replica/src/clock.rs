//! The clocks of a node. Only differences of [`now`] on one node mean anything.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pegasus_types::{EPOCH_BEGIN, Tick};
use rustix::time::{ClockId, clock_gettime};

/// `CLOCK_BOOTTIME` in milliseconds: unlike the monotonic clock it also runs while the machine is
/// suspended, so a lease cannot outlive a suspension (design 3, rule 2).
pub fn now() -> Tick {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let millis = u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000_000;
    Tick(seconds.saturating_mul(1000).saturating_add(millis))
}

/// Microseconds since the unix epoch.
pub fn unix_micros() -> i64 {
    i64::try_from(since_unix_epoch().as_micros()).unwrap_or(i64::MAX)
}

/// Seconds since 2016-01-01, the unit of every expiry time (`spec/data.md` 1.3).
pub fn pegasus_seconds() -> u32 {
    let unix = i64::try_from(since_unix_epoch().as_secs()).unwrap_or(i64::MAX);
    u32::try_from(unix.saturating_sub(EPOCH_BEGIN)).unwrap_or(0)
}

/// The instant of the async runtime at which [`now`] will read `tick`.
pub fn instant_of(tick: Tick) -> tokio::time::Instant {
    // Far deadlines only mean "not soon"; tokio's timer takes no unbounded ones.
    let wait = tick.since(now()).min(3_600_000);
    tokio::time::Instant::now() + Duration::from_millis(wait)
}

fn since_unix_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
