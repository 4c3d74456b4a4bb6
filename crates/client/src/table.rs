use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use pegasus_protocol::code::TaskCode;
use pegasus_protocol::rrdb::{
    CountResponse, KeyValue, MultiGetResponse, MultiPutRequest, MultiRemoveRequest,
    MultiRemoveResponse, ReadResponse, TtlResponse, UpdateRequest, UpdateResponse,
};
use pegasus_protocol::thrift::Thrift;
use pegasus_types::{
    Decree, MAX_HASH_KEY_LEN, NodeId, PartitionId, Status, encode_key, epoch_secs, partition_hash,
};

use crate::Error;
use crate::call::call;
use crate::multi::{MultiGet, MultiGetResult, copy};
use crate::pool::Pool;
use crate::routing::Router;

/// Values smaller than this are copied out of the receive buffer, so that a caller who keeps a
/// small value does not keep the whole buffer in memory.
const SHARED_FROM: usize = 4 << 10;

/// A handle on one table; cheap to clone, safe to share. Get it from
/// [`Client::table`](crate::Client::table).
///
/// Every operation runs until it succeeded, failed for good, or the deadline passed; meanwhile it
/// follows the partition to another server as needed. Dropping the future of a write leaves its
/// outcome unknown.
#[derive(Clone, Debug)]
pub struct Table {
    pool: Arc<Pool>,
    router: Arc<Router>,
    timeout: Duration,
}

/// What a server says about a write it has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    pub partition: PartitionId,
    /// The place of the write in the partition's history.
    pub decree: Decree,
    /// The server's own address, as text.
    pub server: Arc<str>,
}

/// Time to live of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ttl {
    NotFound,
    /// The record never expires.
    Infinite,
    /// Seconds left, 1 or more.
    Seconds(u32),
}

impl Table {
    pub(crate) fn new(pool: Arc<Pool>, router: Arc<Router>, timeout: Duration) -> Table {
        Table { pool, router, timeout }
    }

    pub fn name(&self) -> &str {
        self.router.table()
    }

    /// The table's number, as of the last look at its configuration.
    pub fn app_id(&self) -> i32 {
        self.router.routes().app_id()
    }

    /// The number of partitions, as of the last look at the table's configuration.
    pub fn partition_count(&self) -> usize {
        self.router.routes().partition_count()
    }

    /// The partition a key lives in and its primary, as of the last look at the configuration.
    pub fn locate(
        &self,
        hash_key: impl AsRef<[u8]>,
        sort_key: impl AsRef<[u8]>,
    ) -> (PartitionId, Option<NodeId>) {
        let hash = partition_hash(hash_key.as_ref(), sort_key.as_ref());
        let target = self.router.routes().target(hash);
        (PartitionId::new(target.app_id, target.partition_index), target.primary)
    }

    /// The same table with another deadline for its operations.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Table {
        Table { timeout, ..self.clone() }
    }

    async fn call<A: Thrift, R: Thrift>(
        &self,
        code: TaskCode,
        hash: u64,
        args: &A,
    ) -> Result<(R, NodeId), Error> {
        call(&self.pool, &self.router, code, hash, args, self.timeout).await
    }

    /// Stores a value, in place of the old one if there is any. With a `ttl` the record disappears
    /// after that many seconds (rounded up, at least 1); without one it stays, unless the table
    /// has a default.
    ///
    /// ```no_run
    /// # async fn example(table: pegasus_client::Table) -> Result<(), pegasus_client::Error> {
    /// use std::time::Duration;
    ///
    /// table.set("user1", "name", "Ada", None).await?;
    /// match table.set("user1", "session", "x", Some(Duration::from_secs(60))).await {
    ///     Ok(receipt) => println!("decree {}", receipt.decree),
    ///     Err(error) if error.outcome_unknown() => println!("perhaps: {error}"),
    ///     Err(error) => return Err(error),
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::OutcomeUnknown`] if the write was sent and its answer never came.
    pub async fn set(
        &self,
        hash_key: impl AsRef<[u8]>,
        sort_key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        ttl: Option<Duration>,
    ) -> Result<Receipt, Error> {
        let (key, hash) = stored_key(hash_key.as_ref(), sort_key.as_ref())?;
        let request = UpdateRequest {
            key,
            value: copy(value.as_ref()),
            expire_ts_seconds: expire_ts(ttl)?,
            ..UpdateRequest::default()
        };
        let (response, server) = self.call(TaskCode::Put, hash, &request).await?;
        receipt(response, &server)
    }

    /// The value of a key, `None` if there is none (any more).
    ///
    /// ```no_run
    /// # async fn example(table: pegasus_client::Table) -> Result<(), pegasus_client::Error> {
    /// if let Some(value) = table.get("user1", "name").await? {
    ///     println!("{} bytes", value.len());
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn get(
        &self,
        hash_key: impl AsRef<[u8]>,
        sort_key: impl AsRef<[u8]>,
    ) -> Result<Option<Bytes>, Error> {
        let (key, hash) = stored_key(hash_key.as_ref(), sort_key.as_ref())?;
        let (response, server): (ReadResponse, _) = self.call(TaskCode::Get, hash, &key).await?;
        match found(response.error, &server)? {
            true => Ok(Some(detach(response.value))),
            false => Ok(None),
        }
    }

    /// Whether the key exists.
    pub async fn exist(
        &self,
        hash_key: impl AsRef<[u8]>,
        sort_key: impl AsRef<[u8]>,
    ) -> Result<bool, Error> {
        Ok(self.ttl(hash_key, sort_key).await? != Ttl::NotFound)
    }

    /// How long the record will stay.
    pub async fn ttl(
        &self,
        hash_key: impl AsRef<[u8]>,
        sort_key: impl AsRef<[u8]>,
    ) -> Result<Ttl, Error> {
        let (key, hash) = stored_key(hash_key.as_ref(), sort_key.as_ref())?;
        let (response, server): (TtlResponse, _) = self.call(TaskCode::Ttl, hash, &key).await?;
        if !found(response.error, &server)? {
            return Ok(Ttl::NotFound);
        }
        Ok(u32::try_from(response.ttl_seconds).map_or(Ttl::Infinite, Ttl::Seconds))
    }

    /// Deletes a key. Succeeds also if there is none.
    ///
    /// # Errors
    /// [`Error::OutcomeUnknown`] if the delete was sent and its answer never came.
    pub async fn del(
        &self,
        hash_key: impl AsRef<[u8]>,
        sort_key: impl AsRef<[u8]>,
    ) -> Result<Receipt, Error> {
        let (key, hash) = stored_key(hash_key.as_ref(), sort_key.as_ref())?;
        let (response, server) = self.call(TaskCode::Remove, hash, &key).await?;
        receipt(response, &server)
    }

    /// Stores several sort keys of one hash key in one atomic step, all with the same `ttl`.
    ///
    /// ```no_run
    /// # async fn example(table: pegasus_client::Table) -> Result<(), pegasus_client::Error> {
    /// table.multi_set("user1", [("name", "Ada"), ("city", "London")], None).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for an empty hash key, no pairs, or a sort key that occurs
    /// twice; [`Error::OutcomeUnknown`] as for [`Table::set`].
    pub async fn multi_set<S: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        hash_key: impl AsRef<[u8]>,
        kvs: impl IntoIterator<Item = (S, V)>,
        ttl: Option<Duration>,
    ) -> Result<Receipt, Error> {
        let hash_key = multi_hash_key(hash_key.as_ref())?;
        let kvs = kvs.into_iter().map(|(sort_key, value)| KeyValue {
            key: copy(sort_key.as_ref()),
            value: copy(value.as_ref()),
            expire_ts_seconds: None,
        });
        let kvs: Vec<KeyValue> = kvs.collect();
        distinct(kvs.iter().map(|kv| &kv.key))?;
        let request =
            MultiPutRequest { hash_key: copy(hash_key), kvs, expire_ts_seconds: expire_ts(ttl)? };
        let hash = partition_hash(hash_key, b"");
        let (response, server) = self.call(TaskCode::MultiPut, hash, &request).await?;
        receipt(response, &server)
    }

    /// Reads several sort keys of one hash key, by list or by range.
    ///
    /// ```no_run
    /// # async fn example(table: pegasus_client::Table) -> Result<(), pegasus_client::Error> {
    /// use pegasus_client::MultiGet;
    ///
    /// let result = table.multi_get("user1", &MultiGet::all().max_count(100)).await?;
    /// for (sort_key, value) in &result.kvs {
    ///     println!("{sort_key:?} => {value:?}");
    /// }
    /// if !result.complete {
    ///     println!("there is more");
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn multi_get(
        &self,
        hash_key: impl AsRef<[u8]>,
        what: &MultiGet,
    ) -> Result<MultiGetResult, Error> {
        let hash_key = multi_hash_key(hash_key.as_ref())?;
        let hash = partition_hash(hash_key, b"");
        let (response, server): (MultiGetResponse, _) =
            self.call(TaskCode::MultiGet, hash, &what.request(hash_key)).await?;
        let complete = match Status::from_code(response.error) {
            Some(Status::Ok) => true,
            Some(Status::Incomplete) => false,
            _ => return Err(storage_error(response.error, &server)),
        };
        let kvs = response.kvs.into_iter().map(|kv| (detach(kv.key), detach(kv.value)));
        Ok(MultiGetResult { kvs: kvs.collect(), complete })
    }

    /// Deletes several sort keys of one hash key in one atomic step. Returns how many were asked
    /// for; whether they existed is not known.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for an empty hash key or an empty list;
    /// [`Error::OutcomeUnknown`] as for [`Table::del`].
    pub async fn multi_del<S: AsRef<[u8]>>(
        &self,
        hash_key: impl AsRef<[u8]>,
        sort_keys: impl IntoIterator<Item = S>,
    ) -> Result<(u64, Receipt), Error> {
        let hash_key = multi_hash_key(hash_key.as_ref())?;
        let sort_keys: Vec<Bytes> = sort_keys.into_iter().map(|key| copy(key.as_ref())).collect();
        if sort_keys.is_empty() {
            return Err(Error::InvalidArgument("no sort keys given".to_owned()));
        }
        let request = MultiRemoveRequest { hash_key: copy(hash_key), sort_keys, max_count: 0 };
        let hash = partition_hash(hash_key, b"");
        let (response, server): (MultiRemoveResponse, _) =
            self.call(TaskCode::MultiRemove, hash, &request).await?;
        if response.error != Status::Ok.code() {
            return Err(write_error(response.error, &server));
        }
        let partition = PartitionId::new(response.app_id, response.partition_index);
        let decree = Decree(response.decree);
        let receipt = Receipt { partition, decree, server: response.server };
        Ok((u64::try_from(response.count).unwrap_or(0), receipt))
    }

    /// Number of sort keys of a hash key.
    ///
    /// # Errors
    /// [`Error::Storage`] with status `Incomplete` if the server gave up counting because it took
    /// too long.
    pub async fn sort_key_count(&self, hash_key: impl AsRef<[u8]>) -> Result<u64, Error> {
        let hash_key = multi_hash_key(hash_key.as_ref())?;
        let hash = partition_hash(hash_key, b"");
        let (response, server): (CountResponse, _) =
            self.call(TaskCode::SortkeyCount, hash, &copy(hash_key)).await?;
        if response.error != Status::Ok.code() {
            return Err(storage_error(response.error, &server));
        }
        // -1: the count took too long.
        u64::try_from(response.count).map_err(|_| storage_error(Status::Incomplete.code(), &server))
    }
}

fn storage_error(code: i32, server: &NodeId) -> Error {
    Error::Storage { server: server.clone(), code }
}

/// A replica that failed to store a replicated write does not speak for the other replicas.
fn write_error(code: i32, server: &NodeId) -> Error {
    let error = storage_error(code, server);
    match error.status() {
        Some(Status::InvalidArgument | Status::NotSupported | Status::TryAgain) => error,
        _ => Error::OutcomeUnknown { cause: Box::new(error) },
    }
}

fn found(error: i32, server: &NodeId) -> Result<bool, Error> {
    match Status::from_code(error) {
        Some(Status::Ok) => Ok(true),
        Some(Status::NotFound) => Ok(false),
        _ => Err(storage_error(error, server)),
    }
}

fn receipt(response: UpdateResponse, server: &NodeId) -> Result<Receipt, Error> {
    if response.error != Status::Ok.code() {
        return Err(write_error(response.error, server));
    }
    Ok(Receipt {
        partition: PartitionId::new(response.app_id, response.partition_index),
        decree: Decree(response.decree),
        server: response.server,
    })
}

fn check_hash_key(hash_key: &[u8]) -> Result<(), Error> {
    if hash_key.len() <= MAX_HASH_KEY_LEN {
        return Ok(());
    }
    let text = format!("hash key of {} bytes, at most {MAX_HASH_KEY_LEN}", hash_key.len());
    Err(Error::InvalidArgument(text))
}

fn stored_key(hash_key: &[u8], sort_key: &[u8]) -> Result<(Bytes, u64), Error> {
    check_hash_key(hash_key)?;
    let hash = partition_hash(hash_key, sort_key);
    Ok((Bytes::from(encode_key(hash_key, sort_key)), hash))
}

/// Operations on a whole hash key need one: with an empty hash key the sort keys are spread over
/// all partitions (`spec/data.md` 1.1).
fn multi_hash_key(hash_key: &[u8]) -> Result<&[u8], Error> {
    if hash_key.is_empty() {
        return Err(Error::InvalidArgument("the hash key must not be empty".to_owned()));
    }
    check_hash_key(hash_key)?;
    Ok(hash_key)
}

fn distinct<'a>(keys: impl Iterator<Item = &'a Bytes>) -> Result<(), Error> {
    let mut seen = HashSet::new();
    for key in keys {
        if !seen.insert(key) {
            let text = format!("duplicate sort key \"{}\"", key.escape_ascii());
            return Err(Error::InvalidArgument(text));
        }
    }
    if seen.is_empty() {
        return Err(Error::InvalidArgument("no pairs given".to_owned()));
    }
    Ok(())
}

/// The moment of expiry in seconds since 2016-01-01, 0 for never (`spec/data.md` 1.3).
fn expire_ts(ttl: Option<Duration>) -> Result<i32, Error> {
    let Some(ttl) = ttl else { return Ok(0) };
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let now = epoch_secs(i64::try_from(since_1970).unwrap_or(i64::MAX));
    let seconds = ttl.as_secs().saturating_add(u64::from(ttl.subsec_nanos() > 0)).max(1);
    u64::from(now)
        .checked_add(seconds)
        .and_then(|at| u32::try_from(at).ok())
        // Servers take the field as unsigned.
        .map(u32::cast_signed)
        .ok_or_else(|| Error::InvalidArgument(format!("a ttl of {seconds} s is too long")))
}

fn detach(value: Bytes) -> Bytes {
    if value.len() < SHARED_FROM { copy(&value) } else { value }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn expiry_rounds_up_and_is_bounded() {
        assert_eq!(expire_ts(None).unwrap(), 0);
        let short = expire_ts(Some(Duration::ZERO)).unwrap();
        let longer = expire_ts(Some(Duration::from_millis(100_001))).unwrap();
        assert!((100..=101).contains(&(longer - short)), "{short} {longer}");
        assert!(expire_ts(Some(Duration::from_secs(1 << 33))).is_err());
        assert!(expire_ts(Some(Duration::MAX)).is_err());
    }

    #[test]
    fn bad_arguments_are_refused_before_sending() {
        assert!(stored_key(&[b'x'; 65535], b"").is_err());
        assert!(stored_key(&[b'x'; 65534], b"").is_ok());
        assert!(stored_key(b"", b"s").is_ok());
        assert!(multi_hash_key(b"").is_err());
        let keys = [copy(b"a"), copy(b"b"), copy(b"a")];
        assert!(distinct(keys.iter()).is_err());
        assert!(distinct(keys.iter().take(2)).is_ok());
        assert!(distinct(keys.iter().take(0)).is_err());
    }
}
