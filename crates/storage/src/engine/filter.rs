use std::ffi::CStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use pegasus_types::{DataVersion, ValueHeader, epoch_secs, is_expired};
use rocksdb::CompactionDecision;
use rocksdb::compaction_filter::CompactionFilter;
use rocksdb::compaction_filter_factory::{CompactionFilterContext, CompactionFilterFactory};

const UNKNOWN: u32 = u32::MAX;

/// What the engine tells its compaction filters.
pub(super) struct FilterState {
    /// Number of the data version, `UNKNOWN` until the database is open.
    data_version: AtomicU32,
}

impl FilterState {
    pub(super) fn new() -> FilterState {
        FilterState { data_version: AtomicU32::new(UNKNOWN) }
    }

    pub(super) fn set_data_version(&self, version: DataVersion) {
        self.data_version.store(version.number(), Ordering::Release);
    }

    fn data_version(&self) -> Option<DataVersion> {
        DataVersion::from_number(self.data_version.load(Ordering::Acquire))
    }
}

/// Makes one [`ExpiryFilter`] per compaction.
pub(super) struct ExpiryFilterFactory {
    state: Arc<FilterState>,
}

impl ExpiryFilterFactory {
    pub(super) fn new(state: Arc<FilterState>) -> ExpiryFilterFactory {
        ExpiryFilterFactory { state }
    }
}

impl CompactionFilterFactory for ExpiryFilterFactory {
    type Filter = ExpiryFilter;

    fn create(&mut self, _: CompactionFilterContext) -> ExpiryFilter {
        let unix =
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs());
        ExpiryFilter {
            data_version: self.state.data_version(),
            now: epoch_secs(i64::try_from(unix).unwrap_or(i64::MAX)),
        }
    }

    fn name(&self) -> &CStr {
        c"KeyWithTTLCompactionFilterFactory"
    }
}

/// Drops records that were expired when the compaction began. Reads never depend on it: they
/// check expiry themselves (`spec/replication.md` 6.6).
pub(super) struct ExpiryFilter {
    data_version: Option<DataVersion>,
    now: u32,
}

impl CompactionFilter for ExpiryFilter {
    fn filter(&mut self, _level: u32, key: &[u8], value: &[u8]) -> CompactionDecision {
        let Some(version) = self.data_version else {
            return CompactionDecision::Keep;
        };
        if key.len() < 2 {
            return CompactionDecision::Keep;
        }
        match ValueHeader::decode(version, value) {
            Ok((header, _)) if is_expired(header.expire_ts, self.now) => CompactionDecision::Remove,
            // A damaged value is for the reader to report.
            _ => CompactionDecision::Keep,
        }
    }

    fn name(&self) -> &CStr {
        c"KeyWithTTLCompactionFilter"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decisions() {
        let value = |expire_ts| ValueHeader { expire_ts, timetag: 0 }.encode(DataVersion::V1, b"x");
        let mut filter = ExpiryFilter { data_version: Some(DataVersion::V1), now: 100 };
        let mut removes = |key: &[u8], value: &[u8]| {
            matches!(filter.filter(0, key, value), CompactionDecision::Remove)
        };
        assert!(removes(b"\0\0", &value(100)));
        assert!(!removes(b"\0\0", &value(101)));
        assert!(!removes(b"\0\0", &value(0)));
        assert!(!removes(b"", &value(1)));
        assert!(!removes(b"\0\0", b"bad"));
        filter.data_version = None;
        assert!(matches!(filter.filter(0, b"\0\0", &value(1)), CompactionDecision::Keep));
    }
}
