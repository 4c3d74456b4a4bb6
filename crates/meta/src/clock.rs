//! The clocks of this process. Only differences of [`now`] mean anything.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pegasus_types::Tick;
use rustix::time::{ClockId, clock_gettime};

/// `CLOCK_BOOTTIME` in milliseconds; it also runs while the machine is suspended (design 3, rule 2).
pub fn now() -> Tick {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let millis = u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000_000;
    Tick(seconds.saturating_mul(1000).saturating_add(millis))
}

/// Seconds since the unix epoch.
pub fn unix_secs() -> i64 {
    i64::try_from(since_unix_epoch().as_secs()).unwrap_or(i64::MAX)
}

/// Microseconds since the unix epoch.
pub fn unix_micros() -> u64 {
    u64::try_from(since_unix_epoch().as_micros()).unwrap_or(u64::MAX)
}

fn since_unix_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// `YYYY-MM-DD hh:mm:ss.000` in UTC, `-` for a time that was never set.
pub fn format_secs(unix_secs: i64) -> String {
    if unix_secs <= 0 {
        return "-".to_owned();
    }
    let (days, second) = (unix_secs.div_euclid(86_400), unix_secs.rem_euclid(86_400));
    let (year, month, day) = civil_from_days(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.000")
}

/// Days since 1970-01-01 to (year, month, day) of the Gregorian calendar. Counts years from March,
/// so that the leap day is the last one of a year.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days.saturating_add(719_468);
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_readable() {
        assert_eq!(format_secs(0), "-");
        assert_eq!(format_secs(951_782_399), "2000-02-28 23:59:59.000");
        assert_eq!(format_secs(951_782_400), "2000-02-29 00:00:00.000");
        assert_eq!(format_secs(1_795_231_899), "2026-11-21 03:31:39.000");
    }
}
