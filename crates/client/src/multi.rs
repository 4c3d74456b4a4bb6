use bytes::Bytes;
use pegasus_protocol::rrdb::{FilterType, MultiGetRequest};

/// Which sort keys match, by their bytes (`spec/data.md` 2.10). An empty pattern matches all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Filter {
    #[default]
    All,
    Anywhere(Bytes),
    Prefix(Bytes),
    Postfix(Bytes),
}

/// What [`Table::multi_get`](crate::Table::multi_get) reads: every sort key of the hash key unless
/// narrowed. The methods chain.
///
/// ```
/// use pegasus_client::{Filter, MultiGet};
///
/// let everything = MultiGet::all();
/// let two = MultiGet::keys(["a", "b"]);
/// let page = MultiGet::range("2026-01", true, "2026-02", false).max_count(100).reverse();
/// let some = MultiGet::all().filter(Filter::Prefix("user".into())).no_value();
/// # let _ = (everything, two, page, some);
/// ```
#[derive(Clone, Debug)]
pub struct MultiGet {
    sort_keys: Vec<Bytes>,
    start: Bytes,
    start_inclusive: bool,
    stop: Bytes,
    stop_inclusive: bool,
    filter: Filter,
    reverse: bool,
    no_value: bool,
    max_count: i32,
    max_size: i32,
}

impl MultiGet {
    /// Every sort key, in ascending order.
    pub fn all() -> MultiGet {
        MultiGet {
            sort_keys: Vec::new(),
            start: Bytes::new(),
            start_inclusive: true,
            stop: Bytes::new(),
            stop_inclusive: false,
            filter: Filter::All,
            reverse: false,
            no_value: false,
            max_count: -1,
            max_size: -1,
        }
    }

    /// Just these sort keys; those that do not exist are missing from the result. An empty list
    /// means all, as on the wire.
    pub fn keys<K: AsRef<[u8]>>(sort_keys: impl IntoIterator<Item = K>) -> MultiGet {
        let sort_keys = sort_keys.into_iter().map(|key| copy(key.as_ref())).collect();
        MultiGet { sort_keys, ..MultiGet::all() }
    }

    /// The sort keys from `start` to `stop`. An empty `stop` means to the end of the hash key,
    /// whatever `stop_inclusive` says.
    pub fn range(
        start: impl AsRef<[u8]>,
        start_inclusive: bool,
        stop: impl AsRef<[u8]>,
        stop_inclusive: bool,
    ) -> MultiGet {
        let (start, stop) = (copy(start.as_ref()), copy(stop.as_ref()));
        MultiGet { start, start_inclusive, stop, stop_inclusive, ..MultiGet::all() }
    }

    /// Only sort keys that match. Has no effect on [`MultiGet::keys`].
    #[must_use]
    pub fn filter(self, filter: Filter) -> MultiGet {
        MultiGet { filter, ..self }
    }

    /// Take from the end of the range. The result is in ascending order all the same.
    #[must_use]
    pub fn reverse(self) -> MultiGet {
        MultiGet { reverse: true, ..self }
    }

    /// Sort keys only; all values come back empty.
    #[must_use]
    pub fn no_value(self) -> MultiGet {
        MultiGet { no_value: true, ..self }
    }

    /// At most this many pairs; 0 or less: as many as the server allows (3000 by default).
    #[must_use]
    pub fn max_count(self, max_count: i32) -> MultiGet {
        MultiGet { max_count, ..self }
    }

    /// At most about this many bytes of keys and values; 0 or less: as many as the server allows
    /// (30 MiB by default).
    #[must_use]
    pub fn max_size(self, max_size: i32) -> MultiGet {
        MultiGet { max_size, ..self }
    }

    pub(crate) fn request(&self, hash_key: &[u8]) -> MultiGetRequest {
        let (filter_type, pattern) = match &self.filter {
            Filter::All => (FilterType::NoFilter, Bytes::new()),
            Filter::Anywhere(pattern) => (FilterType::MatchAnywhere, pattern.clone()),
            Filter::Prefix(pattern) => (FilterType::MatchPrefix, pattern.clone()),
            Filter::Postfix(pattern) => (FilterType::MatchPostfix, pattern.clone()),
        };
        MultiGetRequest {
            hash_key: copy(hash_key),
            sort_keys: self.sort_keys.clone(),
            max_kv_count: self.max_count,
            max_kv_size: self.max_size,
            no_value: self.no_value,
            start_sortkey: self.start.clone(),
            stop_sortkey: self.stop.clone(),
            start_inclusive: self.start_inclusive,
            stop_inclusive: self.stop_inclusive,
            sort_key_filter_type: filter_type,
            sort_key_filter_pattern: pattern,
            reverse: self.reverse,
        }
    }
}

impl Default for MultiGet {
    fn default() -> MultiGet {
        MultiGet::all()
    }
}

/// What a multi_get found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MultiGetResult {
    /// Sort key and value, ascending by sort key.
    pub kvs: Vec<(Bytes, Bytes)>,
    /// False if a limit, of the request or of the server, stopped the read before its end.
    pub complete: bool,
}

pub(crate) fn copy(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(bytes)
}
