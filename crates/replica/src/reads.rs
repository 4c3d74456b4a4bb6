//! Client reads, on the connection's own shard (design 4): through the gate, then from memory right
//! here; only what needs the disk, and every range read, moves to the blocking pool.

use std::sync::Arc;

use bytes::Bytes;
use pegasus_net::ReplySender;
use pegasus_protocol::code::TaskCode;
use pegasus_protocol::frame::Request;
use pegasus_protocol::rrdb::{
    CountResponse, KeyValue, MultiGetRequest, MultiGetResponse, ReadResponse, TtlResponse,
};
use pegasus_replication::Event;
use pegasus_storage::{Engine, MultiGet, ReadError, ReadTier};
use pegasus_types::{ErrorCode, MAX_HASH_KEY_LEN, PartitionId, Status, decode_key};

use crate::clock;
use crate::inbox::ToShard;
use crate::readers::TooManyReads;
use crate::shared::Shared;
use crate::table::Hosted;

/// Serves a read, or answers why not.
pub fn read(
    shared: &Arc<Shared>,
    hosted: &Hosted,
    code: TaskCode,
    request: &Request,
    reply: ReplySender,
) {
    let read = Read { shared, hosted, request, reply };
    match code {
        TaskCode::Get => read.point(Point::Get),
        TaskCode::Ttl => read.point(Point::Ttl),
        TaskCode::MultiGet => read.multi_get(),
        TaskCode::SortkeyCount => read.sortkey_count(),
        _ => read.reply.handler_not_found(),
    }
}

struct Read<'a> {
    shared: &'a Arc<Shared>,
    hosted: &'a Hosted,
    request: &'a Request,
    reply: ReplySender,
}

impl Read<'_> {
    fn point(self, what: Point) {
        let Ok(key) = self.request.decode_args::<Bytes>() else {
            return self.reply.invalid_data();
        };
        let Some((answerer, reply)) = self.enter() else { return };
        if decode_key(&key).is_err() {
            return answerer.point(what.failed(Status::InvalidArgument), reply);
        }
        match answerer.lookup(what, &key, ReadTier::CacheOnly) {
            Ok(found) => answerer.point(found, reply),
            Err(ReadError::Incomplete) => {
                let shared = Arc::clone(&answerer.shared);
                let Ok(place) = shared.readers.place() else {
                    return reply.error(ErrorCode::Busy);
                };
                shared.readers.run(place, move || {
                    match answerer.lookup(what, &key, ReadTier::All) {
                        Ok(found) => answerer.point(found, reply),
                        Err(e) => answerer.point_failed(what, &e, reply),
                    }
                });
            }
            Err(e) => answerer.point_failed(what, &e, reply),
        }
    }

    fn multi_get(self) {
        let Ok(request) = self.request.decode_args::<MultiGetRequest>() else {
            return self.reply.invalid_data();
        };
        let Some((answerer, reply)) = self.enter() else { return };
        let shared = Arc::clone(&answerer.shared);
        match shared.readers.place() {
            Ok(place) => shared.readers.run(place, move || answerer.multi_get(request, reply)),
            Err(TooManyReads) => reply.error(ErrorCode::Busy),
        }
    }

    fn sortkey_count(self) {
        let Ok(hash_key) = self.request.decode_args::<Bytes>() else {
            return self.reply.invalid_data();
        };
        let Some((answerer, reply)) = self.enter() else { return };
        let shared = Arc::clone(&answerer.shared);
        match shared.readers.place() {
            Ok(place) => {
                shared.readers.run(place, move || answerer.sortkey_count(&hash_key, reply))
            }
            Err(TooManyReads) => reply.error(ErrorCode::Busy),
        }
    }

    /// Through the gate. The request was decoded before, the clock is read after the gate was taken
    /// (design 3, rule 3).
    fn enter(self) -> Option<(Answerer, ReplySender)> {
        let gate = self.hosted.gate.load();
        let now = clock::now();
        let backup = self.request.header.is_backup_request;
        match gate.pass(now, self.hosted.applied(), backup) {
            Some(engine) => {
                let answerer = Answerer {
                    shared: Arc::clone(self.shared),
                    engine: Arc::clone(engine),
                    pid: self.hosted.pid,
                };
                Some((answerer, self.reply))
            }
            None => {
                self.reply.error(ErrorCode::InvalidState);
                None
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Point {
    Get,
    Ttl,
}

impl Point {
    fn failed(self, status: Status) -> Found {
        match self {
            Point::Get => Found::Value(status, Bytes::new()),
            Point::Ttl => Found::Ttl(status, 0),
        }
    }
}

/// What a point read found.
enum Found {
    Value(Status, Bytes),
    /// Seconds left, -1 for a record that does not expire.
    Ttl(Status, i32),
}

/// A read that passed the gate. Keeps the engine of that gate open until it has answered.
struct Answerer {
    shared: Arc<Shared>,
    engine: Arc<Engine>,
    pid: PartitionId,
}

impl Answerer {
    fn lookup(&self, what: Point, key: &[u8], tier: ReadTier) -> Result<Found, ReadError> {
        let now = clock::pegasus_seconds();
        Ok(match what {
            Point::Get => match self.engine.get(key, now, tier)? {
                Some(value) => Found::Value(Status::Ok, value),
                None => what.failed(Status::NotFound),
            },
            Point::Ttl => match self.engine.ttl(key, now, tier)? {
                Some(seconds) => Found::Ttl(Status::Ok, seconds),
                None => what.failed(Status::NotFound),
            },
        })
    }

    fn point(&self, found: Found, reply: ReplySender) {
        let (app_id, partition_index) = (self.pid.app_id, self.pid.index);
        let server = self.shared.server.clone();
        match found {
            Found::Value(status, value) => reply.ok(&ReadResponse {
                error: status.code(),
                value,
                app_id,
                partition_index,
                server,
            }),
            Found::Ttl(status, ttl_seconds) => reply.ok(&TtlResponse {
                error: status.code(),
                ttl_seconds,
                app_id,
                partition_index,
                server,
            }),
        }
    }

    fn multi_get(&self, request: MultiGetRequest, reply: ReplySender) {
        let (status, kvs) = self.find_many(request);
        reply.ok(&MultiGetResponse {
            error: status.code(),
            kvs,
            app_id: self.pid.app_id,
            partition_index: self.pid.index,
            server: self.shared.server.clone(),
        });
    }

    fn find_many(&self, request: MultiGetRequest) -> (Status, Vec<KeyValue>) {
        let limits = &self.shared.settings.read_limits;
        let query = multi_get_query(request);
        let result = self.engine.multi_get(&query, limits, clock::pegasus_seconds());
        if let Some(fault) = &result.fault {
            self.report(fault);
        }
        let found = result.kvs.into_iter();
        let kvs =
            found.map(|kv| KeyValue { key: kv.key, value: kv.value, expire_ts_seconds: None });
        (result.status, kvs.collect())
    }

    fn sortkey_count(&self, hash_key: &[u8], reply: ReplySender) {
        let limits = &self.shared.settings.read_limits;
        let (status, count) = if hash_key.len() > MAX_HASH_KEY_LEN {
            (Status::InvalidArgument, 0)
        } else {
            match self.engine.sortkey_count(hash_key, clock::pegasus_seconds(), limits) {
                Ok(count) => (Status::Ok, count),
                Err(e) => {
                    self.report(&e);
                    (e.status(), 0)
                }
            }
        };
        reply.ok(&CountResponse {
            error: status.code(),
            count,
            app_id: self.pid.app_id,
            partition_index: self.pid.index,
            server: self.shared.server.clone(),
        });
    }

    /// A point read that met a fault of the disk.
    fn point_failed(&self, what: Point, error: &ReadError, reply: ReplySender) {
        self.report(error);
        self.point(what.failed(error.status()), reply);
    }

    /// A replica whose files cannot be read must not stay a member.
    fn report(&self, error: &impl std::fmt::Display) {
        let reason = format!("cannot read from the engine: {error}");
        let event = Event::Failed { reason };
        self.shared.tell(self.pid, ToShard::Event { pid: self.pid, event });
    }
}

fn multi_get_query(request: MultiGetRequest) -> MultiGet {
    MultiGet {
        hash_key: request.hash_key,
        sort_keys: request.sort_keys,
        max_kv_count: request.max_kv_count,
        max_kv_size: request.max_kv_size,
        no_value: request.no_value,
        start_sortkey: request.start_sortkey,
        stop_sortkey: request.stop_sortkey,
        start_inclusive: request.start_inclusive,
        stop_inclusive: request.stop_inclusive,
        sort_key_filter_type: request.sort_key_filter_type.as_i32(),
        sort_key_filter_pattern: request.sort_key_filter_pattern,
        reverse: request.reverse,
    }
}
