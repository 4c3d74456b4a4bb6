//! Probe results by minute, hour and day (`spec/config-envs-metrics.md` 5.5). Pure: time comes in
//! as labels.

use std::collections::BTreeMap;

use jiff::Zoned;
use serde::Serialize;

/// The three lengths of time that are reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Span {
    Minute,
    Hour,
    Day,
}

impl Span {
    pub const ALL: [Span; 3] = [Span::Minute, Span::Hour, Span::Day];

    pub fn name(self) -> &'static str {
        match self {
            Span::Minute => "minute",
            Span::Hour => "hour",
            Span::Day => "day",
        }
    }

    /// The hash key under which reports are stored; tools read it.
    pub fn hash_key(self) -> String {
        format!("detect_available_{}", self.name())
    }

    /// The local time at which a window begins, in the form that is also its sort key. Labels of
    /// one span sort by time.
    pub fn label(self, at: &Zoned) -> String {
        let format = match self {
            Span::Minute => "%Y-%m-%d %H:%M",
            Span::Hour => "%Y-%m-%d %H",
            Span::Day => "%Y-%m-%d",
        };
        at.strftime(format).to_string()
    }
}

/// Probes of one window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    pub detect: u64,
    pub success: u64,
}

impl Counts {
    /// Parts per million that succeeded, 0 without a probe.
    pub fn ppm(self) -> u64 {
        let success = u128::from(self.success.min(self.detect)) * 1_000_000;
        let ppm = success.checked_div(u128::from(self.detect)).unwrap_or(0);
        u64::try_from(ppm).unwrap_or(0)
    }

    /// Share that succeeded, 0 to 1; 1 without a probe, as nothing is known to be wrong.
    pub fn ratio(self) -> f64 {
        if self.detect == 0 { 1.0 } else { self.success as f64 / self.detect as f64 }
    }

    /// The form in which a report is stored: `<detect>,<success>,<ppm>`.
    pub fn line(self) -> String {
        format!("{},{},{}", self.detect, self.success, self.ppm())
    }

    /// Reads [`Counts::line`] back.
    pub fn parse(line: &str) -> Option<Counts> {
        let mut fields = line.split(',');
        let detect = fields.next()?.trim().parse().ok()?;
        let success = fields.next()?.trim().parse().ok()?;
        (success <= detect).then_some(Counts { detect, success })
    }

    pub fn add(&mut self, other: Counts) {
        self.detect = self.detect.saturating_add(other.detect);
        self.success = self.success.saturating_add(other.success);
    }
}

/// A window that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    pub span: Span,
    pub label: String,
    #[serde(flatten)]
    pub counts: Counts,
}

/// The windows that are still open, and the last that were closed.
#[derive(Debug, Default)]
pub struct Windows {
    open: BTreeMap<(Span, String), Counts>,
    last: BTreeMap<Span, Report>,
}

impl Windows {
    /// Counts a probe in the windows in which it *started*.
    pub fn count(&mut self, started: &Zoned, success: bool) {
        let counts = Counts { detect: 1, success: u64::from(success) };
        for span in Span::ALL {
            self.add(span, span.label(started), counts);
        }
    }

    /// Adds what was counted elsewhere, such as before a restart.
    pub fn add(&mut self, span: Span, label: String, counts: Counts) {
        self.open.entry((span, label)).or_default().add(counts);
    }

    /// Closes the windows that ended before `settled`, the time before which no probe that is
    /// still under way can have started.
    pub fn close(&mut self, settled: &Zoned) -> Vec<Report> {
        let labels = Span::ALL.map(|span| (span, span.label(settled)));
        let ended: Vec<(Span, String)> = self
            .open
            .keys()
            .filter(|(span, label)| labels.iter().any(|(s, now)| s == span && label < now))
            .cloned()
            .collect();
        let mut reports = Vec::with_capacity(ended.len());
        for key in ended {
            if let Some(counts) = self.open.remove(&key) {
                let report = Report { span: key.0, label: key.1, counts };
                self.last.insert(report.span, report.clone());
                reports.push(report);
            }
        }
        reports
    }

    /// The newest open window of a span.
    pub fn current(&self, span: Span) -> Option<Report> {
        let mut of_span = self.open.iter().filter(|((s, _), _)| *s == span);
        let ((_, label), counts) = of_span.next_back()?;
        Some(Report { span, label: label.clone(), counts: *counts })
    }

    /// The window of a span that was closed last.
    pub fn last(&self, span: Span) -> Option<&Report> {
        self.last.get(&span)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(text: &str) -> Zoned {
        let civil: jiff::civil::DateTime = text.parse().unwrap();
        civil.to_zoned(jiff::tz::TimeZone::UTC).unwrap()
    }

    #[test]
    fn a_window_is_reported_once_when_it_has_settled() {
        let mut windows = Windows::default();
        windows.count(&at("2026-11-21T05:14:58"), true);
        windows.count(&at("2026-11-21T05:14:59"), false);
        windows.count(&at("2026-11-21T05:15:00"), true);
        assert!(windows.close(&at("2026-11-21T05:14:59")).is_empty());
        let reports = windows.close(&at("2026-11-21T05:15:00"));
        let minute = Report {
            span: Span::Minute,
            label: "2026-11-21 05:14".to_owned(),
            counts: Counts { detect: 2, success: 1 },
        };
        assert_eq!(reports, std::slice::from_ref(&minute));
        assert_eq!(windows.last(Span::Minute), Some(&minute));
        assert_eq!(windows.current(Span::Minute).unwrap().label, "2026-11-21 05:15");
        assert_eq!(windows.current(Span::Hour).unwrap().counts.detect, 3);
        assert!(windows.close(&at("2026-11-21T05:15:30")).is_empty());
        let spans: Vec<Span> =
            windows.close(&at("2026-11-22T00:00:00")).iter().map(|report| report.span).collect();
        assert_eq!(spans, [Span::Minute, Span::Hour, Span::Day]);
    }

    #[test]
    fn lines_are_those_of_the_reference() {
        assert_eq!(Counts { detect: 160, success: 159 }.line(), "160,159,993750");
        assert_eq!(Counts::default().line(), "0,0,0");
        assert_eq!(Counts { detect: u64::MAX, success: u64::MAX }.ppm(), 1_000_000);
        assert_eq!(Counts::parse("160,159,993750"), Some(Counts { detect: 160, success: 159 }));
        assert_eq!(Counts::parse("1,2,3"), None);
        assert_eq!(Counts::parse("x"), None);
    }

    #[test]
    fn what_was_counted_before_a_restart_is_kept() {
        let mut windows = Windows::default();
        windows.count(&at("2026-11-21T05:14:58"), true);
        let before = Counts { detect: 100, success: 90 };
        windows.add(Span::Day, "2026-11-21".to_owned(), before);
        assert_eq!(windows.current(Span::Day).unwrap().counts, Counts { detect: 101, success: 91 });
    }
}
