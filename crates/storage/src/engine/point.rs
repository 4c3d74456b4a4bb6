use bytes::Bytes;
use pegasus_types::{ValueHeader, is_expired};
use rocksdb::{ErrorKind, ReadOptions};

use super::Engine;
use crate::error::{ReadError, StorageError};

/// How far a read may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadTier {
    All,
    /// Memory only; what is not there answers [`ReadError::Incomplete`].
    CacheOnly,
}

/// A live record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Seconds since 2016, 0 for "never".
    pub expire_ts: u32,
    pub timetag: u64,
    pub value: Bytes,
}

impl Engine {
    /// The user's data under an encoded key, `None` if missing or expired at `now` (seconds since
    /// 2016). The data is copied once, out of the block cache.
    pub fn get(&self, key: &[u8], now: u32, tier: ReadTier) -> Result<Option<Bytes>, ReadError> {
        self.get_with(key, now, tier, |_, data| Bytes::copy_from_slice(data))
    }

    /// [`Engine::get`] with expiry time and timetag.
    pub fn lookup(
        &self,
        key: &[u8],
        now: u32,
        tier: ReadTier,
    ) -> Result<Option<Record>, ReadError> {
        self.get_with(key, now, tier, |header, data| Record {
            expire_ts: header.expire_ts,
            timetag: header.timetag,
            value: Bytes::copy_from_slice(data),
        })
    }

    /// Seconds until the record expires, -1 if never; `None` if missing or expired.
    pub fn ttl(&self, key: &[u8], now: u32, tier: ReadTier) -> Result<Option<i32>, ReadError> {
        self.get_with(key, now, tier, |header, _| match header.expire_ts {
            0 => -1,
            expire_ts => i32::try_from(expire_ts.saturating_sub(now)).unwrap_or(i32::MAX),
        })
    }

    /// [`Engine::get`] without any copy: `read` looks at the data where it is. It must be quick,
    /// the block stays pinned.
    pub fn get_with<R>(
        &self,
        key: &[u8],
        now: u32,
        tier: ReadTier,
        read: impl FnOnce(ValueHeader, &[u8]) -> R,
    ) -> Result<Option<R>, ReadError> {
        if key.is_empty() {
            // The record of empty writes is nobody's.
            return Ok(None);
        }
        let options = match tier {
            ReadTier::All => &self.read_all,
            ReadTier::CacheOnly => &self.read_cache,
        };
        let value = self.db.get_pinned_opt(key, options).map_err(|e| match e.kind() {
            ErrorKind::Incomplete if tier == ReadTier::CacheOnly => ReadError::Incomplete,
            _ => self.fault(e).into(),
        })?;
        let Some(value) = value else { return Ok(None) };
        let (header, data) = self.decode(&value)?;
        Ok((!is_expired(header.expire_ts, now)).then(|| read(header, data)))
    }

    /// Every stored record in key order, expired ones too: `visit(key, expire_ts, timetag, data)`.
    /// For tests and tools.
    pub fn dump(&self, mut visit: impl FnMut(&[u8], u32, u64, &[u8])) -> Result<(), StorageError> {
        let mut options = ReadOptions::default();
        options.set_total_order_seek(true);
        options.fill_cache(false);
        let mut iter = self.db.raw_iterator_opt(options);
        iter.seek_to_first();
        while let Some((key, value)) = iter.item() {
            if !key.is_empty() {
                let (header, data) = self.decode(value)?;
                visit(key, header.expire_ts, header.timetag, data);
            }
            iter.next();
        }
        iter.status().map_err(|e| self.fault(e))
    }

    pub(super) fn decode<'a>(
        &self,
        value: &'a [u8],
    ) -> Result<(ValueHeader, &'a [u8]), StorageError> {
        ValueHeader::decode(self.data_version, value)
            .map_err(|e| StorageError::corrupt(&self.path, e))
    }
}
