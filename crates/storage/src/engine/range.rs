//! Reads of several records of one hash key (`spec/data.md` 2.10, 2.12).

use std::time::{Duration, Instant};

use bytes::Bytes;
use pegasus_types::{MAX_HASH_KEY_LEN, Status, encode_key, is_expired, next_prefix};
use rocksdb::ReadOptions;

use super::Engine;
use crate::error::{ReadError, StorageError};

/// Keys looked up by one call of RocksDB, which works in batches of this size anyway.
const POINT_BATCH: usize = 32;
/// How often `sortkey_count` looks at the clock.
const COUNT_CHECK_INTERVAL: u64 = 100;

/// What bounds a range read (`spec/data.md` 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimits {
    /// Records looked at, expired and filtered ones included, by one multi_get.
    pub max_iteration_count: u32,
    /// Bytes of sort keys and values returned by one multi_get in range mode.
    pub max_iteration_size: u64,
    /// `None`: no limit.
    pub time_limit: Option<Duration>,
}

impl Default for ReadLimits {
    fn default() -> ReadLimits {
        ReadLimits {
            max_iteration_count: 3000,
            max_iteration_size: 30 << 20,
            time_limit: Some(Duration::from_secs(30)),
        }
    }
}

/// A multi_get request; fields as in the wire struct of that name (`spec/wire.md` 3.6).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MultiGet {
    pub hash_key: Bytes,
    /// Empty: read the range instead.
    pub sort_keys: Vec<Bytes>,
    /// 0 or less: no limit of the request's own.
    pub max_kv_count: i32,
    pub max_kv_size: i32,
    pub no_value: bool,
    pub start_sortkey: Bytes,
    /// Empty: to the end of the hash key.
    pub stop_sortkey: Bytes,
    pub start_inclusive: bool,
    pub stop_inclusive: bool,
    /// 0 none, 1 anywhere, 2 prefix, 3 postfix; anything else answers `InvalidArgument`.
    pub sort_key_filter_type: i32,
    pub sort_key_filter_pattern: Bytes,
    pub reverse: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue {
    /// Sort key only.
    pub key: Bytes,
    pub value: Bytes,
}

#[derive(Clone, Debug)]
pub struct MultiGetResult {
    /// `Ok`, `Incomplete` (a limit stopped it), `InvalidArgument`, or the status of `fault`.
    pub status: Status,
    /// Ascending in range mode also for a reverse read; in the request's order in point mode.
    pub kvs: Vec<KeyValue>,
    /// What went wrong with the engine, if anything.
    pub fault: Option<StorageError>,
}

impl MultiGetResult {
    fn of(status: Status, kvs: Vec<KeyValue>) -> MultiGetResult {
        MultiGetResult { status, kvs, fault: None }
    }
}

/// Half-open range of stored keys.
struct KeyRange {
    lower: Vec<u8>,
    upper: Vec<u8>,
}

impl KeyRange {
    /// `None`: empty.
    fn of(request: &MultiGet, filter: &SortKeyFilter<'_>) -> Option<KeyRange> {
        let key = |sort_key: &[u8]| encode_key(&request.hash_key, sort_key);
        let mut lower = key(&request.start_sortkey);
        if !request.start_inclusive {
            lower.push(0);
        }
        let mut upper = if request.stop_sortkey.is_empty() {
            next_prefix(&key(&[]))
        } else {
            let mut upper = key(&request.stop_sortkey);
            if request.stop_inclusive {
                upper.push(0);
            }
            upper
        };
        if let SortKeyFilter::Prefix(pattern) = filter {
            let first = key(pattern);
            upper = upper.min(next_prefix(&first));
            lower = lower.max(first);
        }
        (lower < upper).then_some(KeyRange { lower, upper })
    }
}

/// Which sort keys are wanted. An empty pattern matches everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SortKeyFilter<'a> {
    None,
    Anywhere(&'a [u8]),
    Prefix(&'a [u8]),
    Postfix(&'a [u8]),
}

impl<'a> SortKeyFilter<'a> {
    fn of(kind: i32, pattern: &'a [u8]) -> Option<SortKeyFilter<'a>> {
        match kind {
            0..=3 if pattern.is_empty() => Some(SortKeyFilter::None),
            0 => Some(SortKeyFilter::None),
            1 => Some(SortKeyFilter::Anywhere(pattern)),
            2 => Some(SortKeyFilter::Prefix(pattern)),
            3 => Some(SortKeyFilter::Postfix(pattern)),
            _ => None,
        }
    }

    fn matches(&self, sort_key: &[u8]) -> bool {
        match self {
            SortKeyFilter::None => true,
            SortKeyFilter::Anywhere(pattern) => {
                sort_key.windows(pattern.len().max(1)).any(|window| window == *pattern)
            }
            SortKeyFilter::Prefix(pattern) => sort_key.starts_with(pattern),
            SortKeyFilter::Postfix(pattern) => sort_key.ends_with(pattern),
        }
    }
}

/// Looks at the clock every few records.
struct Stopwatch {
    started: Instant,
    limit: Option<Duration>,
    interval: u64,
}

impl Stopwatch {
    fn new(limit: Option<Duration>, interval: u64) -> Stopwatch {
        Stopwatch { started: Instant::now(), limit, interval: interval.max(1) }
    }

    fn is_over(&self, iterated: u64) -> bool {
        let Some(limit) = self.limit else {
            return false;
        };
        iterated > 0 && iterated.is_multiple_of(self.interval) && self.started.elapsed() >= limit
    }
}

/// The limits of one multi_get.
struct Budget {
    max_count: usize,
    max_size: u64,
    max_iterated: u64,
    stopwatch: Stopwatch,
    size: u64,
    iterated: u64,
}

impl Budget {
    fn new(request: &MultiGet, limits: &ReadLimits, size_cap: u64) -> Budget {
        let or_all = |limit: i32| u64::try_from(limit).ok().filter(|&n| n > 0).unwrap_or(u64::MAX);
        let max_iterated = u64::from(limits.max_iteration_count.max(1));
        let max_count = or_all(request.max_kv_count).min(max_iterated);
        Budget {
            max_count: usize::try_from(max_count).unwrap_or(usize::MAX),
            max_size: or_all(request.max_kv_size).min(size_cap),
            max_iterated,
            stopwatch: Stopwatch::new(limits.time_limit, max_iterated / 10),
            size: 0,
            iterated: 0,
        }
    }

    fn is_full(&self, count: usize) -> bool {
        count >= self.max_count || self.size >= self.max_size
    }

    fn is_spent(&self, count: usize) -> bool {
        self.is_full(count)
            || self.iterated >= self.max_iterated
            || self.stopwatch.is_over(self.iterated)
    }

    fn charge(&mut self, kv: &KeyValue) {
        let bytes = kv.key.len() + kv.value.len();
        self.size = self.size.saturating_add(bytes as u64);
    }
}

impl Engine {
    /// Several records of one hash key. Blocks on disk reads.
    pub fn multi_get(&self, request: &MultiGet, limits: &ReadLimits, now: u32) -> MultiGetResult {
        let filter =
            SortKeyFilter::of(request.sort_key_filter_type, &request.sort_key_filter_pattern);
        let Some(filter) = filter else {
            return MultiGetResult::of(Status::InvalidArgument, Vec::new());
        };
        if request.hash_key.len() > MAX_HASH_KEY_LEN {
            return MultiGetResult::of(Status::InvalidArgument, Vec::new());
        }
        let result = if request.sort_keys.is_empty() {
            self.read_range(request, &filter, limits, now)
        } else {
            self.read_points(request, limits, now)
        };
        match result {
            Ok((kvs, true)) => MultiGetResult::of(Status::Ok, kvs),
            Ok((kvs, false)) => MultiGetResult::of(Status::Incomplete, kvs),
            Err(fault) => {
                MultiGetResult { status: fault.status(), kvs: Vec::new(), fault: Some(fault) }
            }
        }
    }

    /// Live records of a hash key, -1 if the time limit was hit.
    pub fn sortkey_count(
        &self,
        hash_key: &[u8],
        now: u32,
        limits: &ReadLimits,
    ) -> Result<i64, ReadError> {
        if hash_key.len() > MAX_HASH_KEY_LEN {
            return Ok(0);
        }
        let lower = encode_key(hash_key, &[]);
        let stopwatch = Stopwatch::new(limits.time_limit, COUNT_CHECK_INTERVAL);
        let mut options = ReadOptions::default();
        options.set_prefix_same_as_start(true);
        options.set_iterate_upper_bound(next_prefix(&lower));
        let mut iter = self.db.raw_iterator_opt(options);
        let (mut count, mut iterated) = (0i64, 0u64);
        iter.seek(&lower);
        while let Some(value) = iter.value() {
            if stopwatch.is_over(iterated) {
                return Ok(-1);
            }
            iterated += 1;
            let (header, _) = self.decode(value)?;
            count += i64::from(!is_expired(header.expire_ts, now));
            iter.next();
        }
        iter.status().map_err(|e| self.fault(e))?;
        Ok(count)
    }

    /// Records of a range and whether that was all of it. "All" is only denied if a record of the
    /// range is left, so it is exact at the ends of range and hash key, in both directions; the
    /// record that is left may be expired or unwanted.
    fn read_range(
        &self,
        request: &MultiGet,
        filter: &SortKeyFilter<'_>,
        limits: &ReadLimits,
        now: u32,
    ) -> Result<(Vec<KeyValue>, bool), StorageError> {
        let Some(range) = KeyRange::of(request, filter) else {
            return Ok((Vec::new(), true));
        };
        let mut budget = Budget::new(request, limits, limits.max_iteration_size);
        let sort_key_at = 2 + request.hash_key.len();
        let mut kvs = Vec::new();
        let mut complete = true;
        let mut iter = self.db.raw_iterator_opt(range_options(&range, request.reverse));
        if request.reverse {
            iter.seek_to_last();
        } else {
            iter.seek(&range.lower);
        }
        while let Some((key, value)) = iter.item() {
            if budget.is_spent(kvs.len()) {
                complete = false;
                break;
            }
            budget.iterated += 1;
            let (header, data) = self.decode(value)?;
            let sort_key = key.get(sort_key_at..).unwrap_or_default();
            if !is_expired(header.expire_ts, now) && filter.matches(sort_key) {
                let kv = copy_out(sort_key, data, request.no_value);
                budget.charge(&kv);
                kvs.push(kv);
            }
            if request.reverse {
                iter.prev();
            } else {
                iter.next();
            }
        }
        iter.status().map_err(|e| self.fault(e))?;
        if request.reverse {
            kvs.reverse();
        }
        Ok((kvs, complete))
    }

    /// Records of given sort keys and whether no live one was left out.
    fn read_points(
        &self,
        request: &MultiGet,
        limits: &ReadLimits,
        now: u32,
    ) -> Result<(Vec<KeyValue>, bool), StorageError> {
        let mut budget = Budget::new(request, limits, u64::MAX);
        let mut kvs = Vec::new();
        let family = self.data_family()?;
        // One view for all batches: a multi_put must not be seen in halves.
        let snapshot = (request.sort_keys.len() > POINT_BATCH).then(|| self.db.snapshot());
        let mut options = ReadOptions::default();
        if let Some(snapshot) = &snapshot {
            options.set_snapshot(snapshot);
        }
        for sort_keys in request.sort_keys.chunks(POINT_BATCH) {
            let keys: Vec<Vec<u8>> =
                sort_keys.iter().map(|sort_key| encode_key(&request.hash_key, sort_key)).collect();
            let values = self.db.batched_multi_get_cf_opt(family, &keys, false, &options);
            for (sort_key, value) in sort_keys.iter().zip(values) {
                let Some(value) = value.map_err(|e| self.fault(e))? else {
                    continue;
                };
                let (header, data) = self.decode(&value)?;
                if is_expired(header.expire_ts, now) {
                    continue;
                }
                if budget.is_full(kvs.len()) {
                    return Ok((kvs, false));
                }
                let kv = copy_out(sort_key, data, request.no_value);
                budget.charge(&kv);
                kvs.push(kv);
            }
        }
        Ok((kvs, true))
    }
}

fn range_options(range: &KeyRange, reverse: bool) -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_iterate_upper_bound(range.upper.clone());
    if reverse {
        // The prefix filter only works forward from a key of the prefix.
        options.set_iterate_lower_bound(range.lower.clone());
        options.set_total_order_seek(true);
    } else {
        options.set_prefix_same_as_start(true);
    }
    options
}

/// Key and value in one allocation, each byte copied once.
fn copy_out(sort_key: &[u8], data: &[u8], no_value: bool) -> KeyValue {
    let data = if no_value { &[] } else { data };
    let mut buf = Vec::with_capacity(sort_key.len() + data.len());
    buf.extend_from_slice(sort_key);
    buf.extend_from_slice(data);
    let mut value = Bytes::from(buf);
    let key = value.split_to(sort_key.len());
    KeyValue { key, value }
}
