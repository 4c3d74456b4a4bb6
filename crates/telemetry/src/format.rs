use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// One line per event that begins as the reference's do (spec config 1.7), so that greps and log
/// shippers go on working: level letter, date and time to the millisecond, nanoseconds since 1970
/// and the thread in brackets. Times are UTC and say so.
///
/// `I2026-11-21 04:38:00.123Z (1795235880123000000 shard-0) pegasus_replica::turn:88: text key=1`
#[derive(Clone, Copy, Debug)]
pub(crate) struct PegasusFormat;

impl<S, N> FormatEvent<S, N> for PegasusFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let metadata = event.metadata();
        writer.write_char(letter(*metadata.level()))?;
        write_time(&mut writer, since_epoch.as_secs(), since_epoch.subsec_millis())?;
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("-");
        write!(writer, " ({} {thread}) {}", since_epoch.as_nanos(), metadata.target())?;
        if let Some(line) = metadata.line() {
            write!(writer, ":{line}")?;
        }
        writer.write_str(": ")?;
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            writer.write_str(span.name())?;
            let extensions = span.extensions();
            match extensions.get::<FormattedFields<N>>() {
                Some(fields) if !fields.is_empty() => write!(writer, "{{{fields}}}: ")?,
                _ => writer.write_str(": ")?,
            }
        }
        context.field_format().format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

fn letter(level: Level) -> char {
    match level {
        Level::ERROR => 'E',
        Level::WARN => 'W',
        Level::INFO => 'I',
        Level::DEBUG | Level::TRACE => 'D',
    }
}

fn write_time(writer: &mut impl fmt::Write, seconds: u64, millis: u32) -> fmt::Result {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    write!(writer, "{year:04}-{month:02}-{day:02} ")?;
    write!(writer, "{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// (year, month, day) of a day counted from 1970-01-01. The year is taken to begin in March, so
/// that the leap day is its last.
fn date(days: u64) -> (u64, u64, u64) {
    const DAYS_PER_ERA: u64 = 146_097; // 400 years
    const MARCH_OF_YEAR_0: u64 = 719_468; // days from 0000-03-01 to 1970-01-01
    let days = days.saturating_add(MARCH_OF_YEAR_0);
    let (era, day_of_era) = (days / DAYS_PER_ERA, days % DAYS_PER_ERA);
    let leap_days = day_of_era / 1_460 + day_of_era / 146_096 - day_of_era / 36_524;
    let year_of_era = (day_of_era - leap_days) / 365;
    let first_of_year = 365 * year_of_era + year_of_era / 4 - year_of_era / 100;
    let day_of_year = day_of_era - first_of_year;
    // Five months from March on have 153 days together.
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (days, expected) in [
            (0, (1970, 1, 1)),
            (59, (1970, 3, 1)),
            (365 + 365 + 59, (1972, 2, 29)),
            (10_957, (2000, 1, 1)),
            (11_016, (2000, 2, 29)),
            (11_017, (2000, 3, 1)),
            (16_801, (2016, 1, 1)),
            (47_540, (2100, 2, 28)),
            (47_541, (2100, 3, 1)),
        ] {
            assert_eq!(date(days), expected, "{days}");
        }
        let mut previous = date(0);
        for days in 1..60_000 {
            let next = date(days);
            assert!(next > previous);
            previous = next;
        }
    }

    #[test]
    fn time_of_day() {
        let mut text = String::new();
        write_time(&mut text, 1_700_000_000, 7).unwrap();
        assert_eq!(text, "2023-11-14 22:13:20.007Z");
    }
}
