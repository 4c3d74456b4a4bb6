use std::collections::VecDeque;

use pegasus_types::Decree;

/// Where a surviving mutation is, and what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub segment: u32,
    pub offset: u32,
    pub chain: u64,
}

/// What to do with a mutation that comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// The log has it already.
    Repeat,
    /// It now counts; everything from its decree on that was there before is void.
    New,
}

/// The surviving mutations of a log: decrees `base + 1 ..= last`, without holes. Records are only
/// ever appended, and one for decree d voids all from d on, so positions ascend with decrees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Index {
    base: Decree,
    entries: VecDeque<Entry>,
}

impl Index {
    pub(super) fn new(base: Decree) -> Index {
        Index { base, entries: VecDeque::new() }
    }

    /// The decree before the first.
    pub(super) fn base(&self) -> Decree {
        self.base
    }

    /// The last decree, `base` if there is none.
    pub(super) fn last(&self) -> Decree {
        let len = i64::try_from(self.entries.len()).unwrap_or(i64::MAX);
        Decree(self.base.0.saturating_add(len))
    }

    pub(super) fn get(&self, decree: Decree) -> Option<&Entry> {
        self.entries.get(self.position(decree)?)
    }

    /// Number of entries in front of `decree`; `None` for a decree at or below `base`.
    fn position(&self, decree: Decree) -> Option<usize> {
        let distance = decree.0.checked_sub(self.base.0)?.checked_sub(1)?;
        usize::try_from(distance).ok()
    }

    /// Take in a mutation: the rule of replay and of appending alike.
    ///
    /// A decree beyond the next one starts anew: the log had lost its tail in a crash, and what
    /// was between is in the engine.
    pub(super) fn admit(
        &mut self,
        decree: Decree,
        prev_chain: u64,
        entry: Entry,
    ) -> Result<Admission, &'static str> {
        if self.get(decree).is_some_and(|old| old.chain == entry.chain) {
            return Ok(Admission::Repeat);
        }
        if self.entries.is_empty() || decree > self.last().next() {
            *self = Index::new(decree.prev());
        }
        let Some(position) = self.position(decree) else {
            return Err("it lies before the log's first mutation");
        };
        let before = position.checked_sub(1).and_then(|at| self.entries.get(at));
        if before.is_some_and(|before| before.chain != prev_chain) {
            return Err("its chain does not continue the mutation before it");
        }
        self.entries.truncate(position);
        self.entries.push_back(entry);
        Ok(Admission::New)
    }

    /// Void everything above `above`.
    pub(super) fn truncate(&mut self, above: Decree) {
        if above < self.base {
            *self = Index::new(above);
        } else if above < self.last()
            && let Some(keep) = self.position(above.next())
        {
            self.entries.truncate(keep);
        }
    }

    /// Last surviving decree in segments up to `segment`.
    pub(super) fn last_in(&self, segment: u32) -> Decree {
        let count = self.entries.partition_point(|entry| entry.segment <= segment);
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        Decree(self.base.0.saturating_add(count))
    }

    /// Forget what is in segments up to `segment`.
    pub(super) fn forget(&mut self, segment: u32) {
        self.base = self.last_in(segment);
        while self.entries.front().is_some_and(|entry| entry.segment <= segment) {
            self.entries.pop_front();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn admit(
        index: &mut Index,
        decree: i64,
        prev: u64,
        chain: u64,
    ) -> Result<Admission, &'static str> {
        let entry = Entry { segment: 1, offset: 0, chain };
        index.admit(Decree(decree), prev, entry)
    }

    fn filled(decrees: std::ops::RangeInclusive<i64>) -> Index {
        let mut index = Index::default();
        for d in decrees {
            admit(&mut index, d, d as u64 - 1, d as u64).unwrap();
        }
        index
    }

    #[test]
    fn repeats_and_replacements() {
        let mut index = filled(5..=10);
        assert_eq!((index.base(), index.last()), (Decree(4), Decree(10)));
        assert_eq!(admit(&mut index, 7, 6, 7), Ok(Admission::Repeat));
        assert_eq!(index.last(), Decree(10));
        assert_eq!(admit(&mut index, 8, 7, 88), Ok(Admission::New));
        assert_eq!(index.last(), Decree(8));
        assert!(admit(&mut index, 9, 8, 9).is_err(), "chain 8 was replaced");
        assert_eq!(admit(&mut index, 9, 88, 99), Ok(Admission::New));
        assert_eq!(admit(&mut index, 5, 0, 55), Ok(Admission::New));
        assert_eq!((index.base(), index.last()), (Decree(4), Decree(5)));
        assert!(admit(&mut index, 4, 3, 4).is_err());
    }

    #[test]
    fn a_gap_starts_anew() {
        let mut index = filled(1..=3);
        assert_eq!(admit(&mut index, 6, 5, 6), Ok(Admission::New));
        assert_eq!((index.base(), index.last()), (Decree(5), Decree(6)));
        assert_eq!(index.get(Decree(3)), None);
    }

    #[test]
    fn truncation() {
        let mut index = filled(5..=10);
        index.truncate(Decree(20));
        assert_eq!(index.last(), Decree(10));
        index.truncate(Decree(7));
        assert_eq!(index.last(), Decree(7));
        index.truncate(Decree(4));
        assert_eq!((index.base(), index.last()), (Decree(4), Decree(4)));
        let mut index = filled(5..=10);
        index.truncate(Decree(2));
        assert_eq!((index.base(), index.last()), (Decree(2), Decree(2)));
    }

    #[test]
    fn forgetting_segments() {
        let mut index = Index::default();
        for d in 1..=6u32 {
            let entry = Entry { segment: d.div_ceil(2), offset: 0, chain: d.into() };
            index.admit(Decree(d.into()), u64::from(d) - 1, entry).unwrap();
        }
        assert_eq!(index.last_in(2), Decree(4));
        index.forget(2);
        assert_eq!((index.base(), index.last()), (Decree(4), Decree(6)));
        index.forget(9);
        assert_eq!((index.base(), index.last()), (Decree(6), Decree(6)));
    }
}
