#![allow(clippy::unwrap_used, clippy::expect_used)]

use bytes::Bytes;
use pegasus_types::{Ballot, Mutation, Status, chain_after, encode_key, timetag};
use tempfile::TempDir;

mod checkpoint;
mod range;

use super::*;
use crate::body::BodyBuilder;
use crate::error::{ApplyError, ReadError};

const NOW: u32 = 1000;

/// An engine and the history it was given.
struct Bed {
    dir: TempDir,
    engine: Option<Engine>,
    options: EngineOptions,
    history: Vec<Mutation>,
}

impl Bed {
    fn new() -> Bed {
        let options = EngineOptions {
            // Closing is meant to be a crash here.
            flush_on_close: false,
            cluster_id: 3,
            ..EngineOptions::default()
        };
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::open(dir.path(), &options).unwrap();
        Bed { dir, engine: Some(engine), options, history: Vec::new() }
    }

    fn engine(&self) -> &Engine {
        self.engine.as_ref().unwrap()
    }

    fn reopen(&mut self) {
        self.engine = None;
        self.engine = Some(Engine::open(self.dir.path(), &self.options).unwrap());
    }

    fn next(&self, body: Bytes) -> Mutation {
        let decree = Decree(self.history.len() as i64 + 1);
        let prev_chain = self.history.last().map_or(0, |m| m.chain);
        let timestamp_us = decree.0 * 1000;
        Mutation {
            decree,
            ballot: Ballot(1),
            timestamp_us,
            committed: decree.prev(),
            prev_chain,
            chain: chain_after(prev_chain, decree, timestamp_us, &body),
            body,
        }
    }

    fn write(&mut self, build: impl FnOnce(&mut BodyBuilder)) {
        let mut body = BodyBuilder::new();
        build(&mut body);
        let mutation = self.next(body.finish());
        self.engine().apply(std::slice::from_ref(&mutation), true).unwrap();
        self.history.push(mutation);
    }

    /// Records of one hash key, (sort key, expire_ts), values are `v-<sort key>`.
    fn fill(&mut self, hash_key: &[u8], records: &[(&[u8], u32)]) {
        self.write(|body| {
            for (sort_key, expire_ts) in records {
                let value = [b"v-", *sort_key].concat();
                body.put(&encode_key(hash_key, sort_key), &value, *expire_ts);
            }
        });
    }

    fn multi_get(&self, request: &MultiGet) -> (Status, Vec<String>) {
        self.multi_get_within(request, &ReadLimits::default())
    }

    fn multi_get_within(&self, request: &MultiGet, limits: &ReadLimits) -> (Status, Vec<String>) {
        let result = self.engine().multi_get(request, limits, NOW);
        assert!(result.fault.is_none());
        for kv in &result.kvs {
            if request.no_value {
                assert!(kv.value.is_empty());
            } else {
                assert_eq!(kv.value, [b"v-", &kv.key[..]].concat());
            }
        }
        (result.status, names(&result.kvs))
    }
}

fn names(kvs: &[KeyValue]) -> Vec<String> {
    kvs.iter().map(|kv| String::from_utf8_lossy(&kv.key).into_owned()).collect()
}

/// A range read with both ends included.
fn range(hash_key: &[u8], start: &[u8], stop: &[u8]) -> MultiGet {
    MultiGet {
        hash_key: Bytes::copy_from_slice(hash_key),
        start_sortkey: Bytes::copy_from_slice(start),
        stop_sortkey: Bytes::copy_from_slice(stop),
        start_inclusive: true,
        stop_inclusive: true,
        ..MultiGet::default()
    }
}

fn points(hash_key: &[u8], sort_keys: &[&[u8]]) -> MultiGet {
    MultiGet {
        hash_key: Bytes::copy_from_slice(hash_key),
        sort_keys: sort_keys.iter().map(|key| Bytes::copy_from_slice(key)).collect(),
        ..MultiGet::default()
    }
}

#[test]
fn a_new_engine_is_empty_and_durable() {
    let mut bed = Bed::new();
    assert_eq!(bed.engine().applied(), (Decree(0), 0));
    assert_eq!(bed.engine().data_version(), DataVersion::V1);
    assert!(Engine::exists(bed.dir.path()));
    bed.reopen();
    assert_eq!(bed.engine().data_version(), DataVersion::V1);
    assert_eq!(bed.engine().flushed(), Decree(0));
    assert!(!Engine::exists(&bed.dir.path().join("elsewhere")));
}

#[test]
fn puts_and_removes() {
    let mut bed = Bed::new();
    let (a, b) = (encode_key(b"h", b"a"), encode_key(b"", b"b"));
    bed.write(|body| {
        body.put(&a, b"one", 0);
        body.put(&b, b"", 0);
        body.put(&a, b"two", 0);
    });
    let get = |bed: &Bed, key: &[u8]| bed.engine().get(key, NOW, ReadTier::All).unwrap();
    assert_eq!(get(&bed, &a).unwrap(), "two");
    assert_eq!(get(&bed, &b).unwrap(), "");
    bed.write(|body| {
        body.put(&b, b"x", 0);
        body.remove(&b);
    });
    assert_eq!(get(&bed, &b), None);
    assert_eq!(get(&bed, b""), None);
    assert_eq!(bed.engine().applied().0, Decree(2));
    assert_eq!(bed.engine().applied_decree(), Decree(2));
}

#[test]
fn stored_bytes_are_those_of_pegasus() {
    let mut bed = Bed::new();
    bed.write(|body| body.put(&encode_key(b"hk", b"sk"), b"value", 0x0102_0304));
    bed.write(|_| {});
    let stored = bed.engine().db.get(b"\0\x02hksk").unwrap().unwrap();
    let mut wanted = vec![1, 2, 3, 4];
    wanted.extend_from_slice(&timetag(1000, 3, false).to_be_bytes());
    wanted.extend_from_slice(b"value");
    assert_eq!(stored, wanted);
    // The empty write.
    assert_eq!(bed.engine().db.get(b"").unwrap().unwrap(), [0; 12]);
    let meta = meta::family(&bed.engine().db, bed.engine().path()).unwrap();
    let read = |key: &str| bed.engine().db.get_cf(meta, key).unwrap().unwrap();
    assert_eq!(read("pegasus_data_version"), b"1");
    assert_eq!(read("pegasus_last_flushed_decree"), b"2");
    assert_eq!(read("pegasus_last_chain"), bed.history[1].chain.to_string().as_bytes());
    let mut dumped = Vec::new();
    bed.engine()
        .dump(|key, expire_ts, tag, data| {
            dumped.push((key.to_vec(), expire_ts, tag, data.to_vec()));
        })
        .unwrap();
    assert_eq!(
        dumped,
        [(b"\0\x02hksk".to_vec(), 0x0102_0304, timetag(1000, 3, false), b"value".to_vec())]
    );
}

#[test]
fn the_second_of_expiry_counts_as_expired() {
    let mut bed = Bed::new();
    bed.fill(b"h", &[(b"now", NOW), (b"next", NOW + 1), (b"never", 0), (b"past", 1)]);
    let engine = bed.engine();
    let key = |sort_key: &str| encode_key(b"h", sort_key.as_bytes());
    let ttl = |sort_key: &str| engine.ttl(&key(sort_key), NOW, ReadTier::All).unwrap();
    assert_eq!(ttl("now"), None);
    assert_eq!(ttl("past"), None);
    assert_eq!(ttl("next"), Some(1));
    assert_eq!(ttl("never"), Some(-1));
    assert_eq!(ttl("missing"), None);
    let get = |sort_key: &str| engine.get(&key(sort_key), NOW, ReadTier::All).unwrap();
    assert_eq!(get("now"), None);
    assert_eq!(get("next").unwrap(), "v-next");
    let record = engine.lookup(&key("next"), NOW, ReadTier::All).unwrap().unwrap();
    assert_eq!((record.expire_ts, record.timetag), (NOW + 1, timetag(1000, 3, false)));
    assert_eq!(bed.multi_get(&range(b"h", b"", b"")).1, ["never", "next"]);
    assert_eq!(bed.multi_get(&points(b"h", &[b"now", b"next", b"past"])).1, ["next"]);
    let limits = ReadLimits::default();
    assert_eq!(engine.sortkey_count(b"h", NOW, &limits).unwrap(), 2);
    assert_eq!(engine.sortkey_count(b"h", NOW + 1, &limits).unwrap(), 1);
}

#[test]
fn compaction_drops_expired_records_only() {
    let mut bed = Bed::new();
    bed.fill(b"h", &[(b"expired", 1), (b"future", u32::MAX), (b"never", 0)]);
    bed.write(|_| {});
    let count = |bed: &Bed| {
        let mut count = 0;
        bed.engine().dump(|_, _, _, _| count += 1).unwrap();
        count
    };
    assert_eq!(count(&bed), 3);
    bed.engine().flush().unwrap();
    bed.engine().compact().unwrap();
    assert_eq!(count(&bed), 2);
    assert!(bed.engine().db.get(b"").unwrap().is_some());
    bed.reopen();
    assert_eq!(bed.engine().applied().0, Decree(2));
}

#[test]
fn only_what_continues_the_history_is_applied() {
    let mut bed = Bed::new();
    bed.fill(b"h", &[(b"a", 0)]);
    let good = bed.next(Bytes::new());
    let gap = Mutation { decree: Decree(3), ..good.clone() };
    let old = bed.history[0].clone();
    let other_chain = Mutation { prev_chain: 1, ..good.clone() };
    let after_max = Mutation { decree: Decree(i64::MIN), ..good.clone() };
    for bad in [gap, old, other_chain, after_max] {
        let result = bed.engine().apply(&[bad], false);
        assert!(matches!(result, Err(ApplyError::Corrupt { .. })));
    }
    let repeated = bed.engine().apply(&[good.clone(), good.clone()], false);
    assert!(matches!(repeated, Err(ApplyError::Corrupt { .. })));
    assert_eq!(bed.engine().applied().0, Decree(1));
    bed.engine().apply(&[], false).unwrap();
    bed.engine().apply(std::slice::from_ref(&good), false).unwrap();
    assert_eq!(bed.engine().applied(), (Decree(2), good.chain));
}

#[test]
fn an_undecodable_body_advances_nothing() {
    let mut bed = Bed::new();
    bed.fill(b"h", &[(b"a", 0)]);
    let mut body = BodyBuilder::new();
    body.put(&encode_key(b"h", b"b"), b"v", 0);
    let body = body.finish();
    let bad = bed.next(body.slice(..body.len() - 1));
    let result = bed.engine().apply(&[bad], false);
    assert!(matches!(result, Err(ApplyError::Corrupt { decree: Decree(2), .. })));
    assert_eq!(bed.engine().applied().0, Decree(1));
    assert_eq!(bed.multi_get(&range(b"h", b"", b"")).1, ["a"]);
}

#[test]
fn after_a_crash_only_flushed_data_counts() {
    let mut bed = Bed::new();
    bed.fill(b"h", &[(b"1", 0)]);
    bed.fill(b"h", &[(b"2", 0)]);
    assert_eq!(bed.engine().refresh_flushed().unwrap(), Decree(0));
    bed.engine().flush().unwrap();
    assert_eq!(bed.engine().flushed(), Decree(2));
    bed.fill(b"h", &[(b"3", 0)]);
    bed.write(|_| {});
    assert_eq!(bed.engine().applied().0, Decree(4));
    assert_eq!(bed.engine().refresh_flushed().unwrap(), Decree(2));
    bed.reopen();
    assert_eq!(bed.engine().applied(), (Decree(2), bed.history[1].chain));
    assert_eq!(bed.engine().flushed(), Decree(2));
    assert_eq!(bed.multi_get(&range(b"h", b"", b"")).1, ["1", "2"]);
    // The log has the rest.
    let rest = bed.history[2..].to_vec();
    bed.engine().apply(&rest, false).unwrap();
    assert_eq!(bed.multi_get(&range(b"h", b"", b"")).1, ["1", "2", "3"]);
}

#[test]
fn a_clean_close_flushes_if_asked_to() {
    let mut bed = Bed::new();
    bed.options = EngineOptions::default();
    bed.reopen();
    bed.fill(b"h", &[(b"1", 0)]);
    bed.reopen();
    assert_eq!(bed.engine().applied().0, Decree(1));
}

/// Log and engine together: whatever is flushed when, replay restores everything.
#[test]
fn log_replay_covers_what_was_not_flushed() {
    use crate::log::{Log, LogOp, LogOptions};
    let mut bed = Bed::new();
    let log_dir = bed.dir.path().join("plog");
    let options = LogOptions { segment_bytes: 500 };
    let (mut log, _) = Log::open(&log_dir, options).unwrap();
    for i in 0..50u32 {
        bed.fill(b"h", &[(format!("{i:03}").as_bytes(), 0)]);
        let mutation = bed.history.last().unwrap().clone();
        log.append(&[LogOp::Mutation(mutation)]).unwrap();
        if i == 20 || i == 35 {
            bed.engine().flush().unwrap();
            log.collect(bed.engine().flushed()).unwrap();
        }
    }
    drop(log);
    bed.reopen();
    let (durable, chain) = bed.engine().applied();
    assert_eq!(durable, Decree(36));
    let (_, replayed) = Log::open_after(&log_dir, options, durable).unwrap();
    assert_eq!(replayed.mutations[0].prev_chain, chain);
    bed.engine().apply(&replayed.mutations, false).unwrap();
    assert_eq!(bed.engine().applied(), (Decree(50), bed.history[49].chain));
    assert_eq!(bed.multi_get(&range(b"h", b"", b"")).1.len(), 50);
}

#[test]
fn cache_tier_reads_never_touch_the_disk() {
    let mut bed = Bed::new();
    bed.fill(b"h", &[(b"a", 0)]);
    let key = encode_key(b"h", b"a");
    let cached = |bed: &Bed| bed.engine().get(&key, NOW, ReadTier::CacheOnly);
    assert_eq!(cached(&bed).unwrap().unwrap(), "v-a");
    bed.engine().flush().unwrap();
    assert!(matches!(cached(&bed), Err(ReadError::Incomplete)));
    assert_eq!(bed.engine().get(&key, NOW, ReadTier::All).unwrap().unwrap(), "v-a");
    assert_eq!(cached(&bed).unwrap().unwrap(), "v-a");
}

#[test]
fn a_damaged_value_is_reported() {
    let mut bed = Bed::new();
    bed.fill(b"h", &[(b"a", 0)]);
    let key = encode_key(b"h", b"b");
    bed.engine().db.put_opt(&key, b"short", &no_wal()).unwrap();
    let error = bed.engine().get(&key, NOW, ReadTier::All).unwrap_err();
    assert_eq!(error.status(), Status::Corruption);
    let requests = [range(b"h", b"", b""), points(b"h", &[b"a", b"b"])];
    for request in requests {
        let result = bed.engine().multi_get(&request, &ReadLimits::default(), NOW);
        assert_eq!(result.status, Status::Corruption);
        assert!(result.kvs.is_empty() && result.fault.unwrap().is_corruption());
    }
    let limits = ReadLimits::default();
    assert!(bed.engine().sortkey_count(b"h", NOW, &limits).is_err());
}

/// A database of Apache Pegasus: version 0 values and no chain.
#[test]
fn an_old_database_is_read_and_written_as_it_is() {
    let mut bed = Bed::new();
    {
        let db = &bed.engine().db;
        let meta = meta::family(db, bed.engine().path()).unwrap();
        let mut batch = rocksdb::WriteBatch::default();
        batch.delete_cf(meta, meta::DATA_VERSION);
        batch.put_cf(meta, meta::LAST_DECREE, "7");
        batch.put(encode_key(b"h", b"old"), b"\0\0\0\0v-old");
        batch.put(b"", b"\0\0\0\0");
        db.write_opt(batch, &no_wal()).unwrap();
    }
    bed.engine().flush().unwrap();
    bed.reopen();
    assert_eq!(bed.engine().data_version(), DataVersion::V0);
    assert_eq!(bed.engine().applied(), (Decree(7), 0));
    let mut body = BodyBuilder::new();
    body.put(&encode_key(b"h", b"new"), b"v-new", 0);
    let next = Mutation { decree: Decree(8), prev_chain: 12345, ..bed.next(body.finish()) };
    bed.engine().apply(&[next], false).unwrap();
    assert_eq!(bed.multi_get(&range(b"h", b"", b"")).1, ["new", "old"]);
    let stored = bed.engine().db.get(encode_key(b"h", b"new")).unwrap();
    assert_eq!(stored.unwrap(), b"\0\0\0\0v-new");
}

#[test]
fn unusual_options_work() {
    let options = EngineOptions {
        block_cache_capacity: 1 << 20,
        filter_type: FilterType::Common,
        index_type: IndexType::TwoLevelIndexSearch,
        partition_filters: true,
        format_version: 5,
        enable_write_buffer_manager: true,
        total_size_across_write_buffer: 8 << 20,
        limiter_enable_auto_tune: true,
        compression: "per_level:zstd,snappy,lz4".parse().unwrap(),
        ..EngineOptions::production()
    };
    let mut bed = Bed::new();
    bed.options = options;
    bed.reopen();
    bed.fill(b"h", &[(b"a", 0), (b"b", 0)]);
    bed.engine().flush().unwrap();
    bed.engine().compact().unwrap();
    assert_eq!(bed.multi_get(&range(b"h", b"", b"")).1, ["a", "b"]);
    assert!(bed.options.block_cache().unwrap().usage() > 0);
    assert!(bed.engine().files_size() > 0);
}
