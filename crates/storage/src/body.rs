//! What a mutation does, as bytes: puts and removes of encoded keys.
//!
//! ```text
//! u8 version = 1, then per operation
//!   u8 1 | u32 BE expire_ts | u32 BE key length | u32 BE value length | key | value     put
//!   u8 2 | u32 BE key length | key                                                      remove
//! ```
//! An empty body is an empty write: it only advances the decree (`spec/data.md` 3.3).

use bytes::Bytes;

const VERSION: u8 = 1;
const PUT: u8 = 1;
const REMOVE: u8 = 2;

/// Collects the operations of one mutation. Later operations on a key win.
#[derive(Debug, Default)]
pub struct BodyBuilder {
    buf: Vec<u8>,
}

impl BodyBuilder {
    pub fn new() -> BodyBuilder {
        BodyBuilder::default()
    }

    pub fn with_capacity(bytes: usize) -> BodyBuilder {
        BodyBuilder { buf: Vec::with_capacity(bytes) }
    }

    /// `key` is an encoded key, `value` the user's data, `expire_ts` in seconds since 2016 (0:
    /// never). Key and value must be shorter than 4 GiB, which every request limit ensures.
    pub fn put(&mut self, key: &[u8], value: &[u8], expire_ts: u32) {
        self.start(13 + key.len() + value.len());
        self.buf.push(PUT);
        self.buf.extend_from_slice(&expire_ts.to_be_bytes());
        self.push_len(key);
        self.push_len(value);
        self.buf.extend_from_slice(key);
        self.buf.extend_from_slice(value);
    }

    /// `key` is an encoded key; it need not exist.
    pub fn remove(&mut self, key: &[u8]) {
        self.start(5 + key.len());
        self.buf.push(REMOVE);
        self.push_len(key);
        self.buf.extend_from_slice(key);
    }

    pub fn is_empty(&self) -> bool {
        self.buf.is_empty()
    }

    /// Bytes of the body so far.
    pub fn len(&self) -> usize {
        self.buf.len()
    }

    pub fn finish(self) -> Bytes {
        Bytes::from(self.buf)
    }

    fn start(&mut self, more: usize) {
        self.buf.reserve(1 + more);
        if self.buf.is_empty() {
            self.buf.push(VERSION);
        }
    }

    fn push_len(&mut self, data: &[u8]) {
        // A longer one gives a body that no replica accepts, rather than a wrong one.
        let len = u32::try_from(data.len()).unwrap_or(u32::MAX);
        self.buf.extend_from_slice(&len.to_be_bytes());
    }
}

/// One operation of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op<'a> {
    Put { key: &'a [u8], value: &'a [u8], expire_ts: u32 },
    Remove { key: &'a [u8] },
}

/// The bytes are not a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("body version {0} is not known")]
    Version(u8),
    #[error("operation {0} is not known")]
    Operation(u8),
    #[error("body ends inside an operation")]
    Truncated,
}

/// Operations of a body in order; ends after the first error.
pub(crate) struct BodyReader<'a> {
    rest: &'a [u8],
}

impl<'a> BodyReader<'a> {
    pub(crate) fn new(body: &'a [u8]) -> Result<BodyReader<'a>, BodyError> {
        match body.split_first() {
            None => Ok(BodyReader { rest: body }),
            Some((&VERSION, rest)) => Ok(BodyReader { rest }),
            Some((&version, _)) => Err(BodyError::Version(version)),
        }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], BodyError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(BodyError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn u32(&mut self) -> Result<u32, BodyError> {
        let (bytes, rest) = self.rest.split_first_chunk::<4>().ok_or(BodyError::Truncated)?;
        self.rest = rest;
        Ok(u32::from_be_bytes(*bytes))
    }

    fn len(&mut self) -> Result<usize, BodyError> {
        usize::try_from(self.u32()?).map_err(|_| BodyError::Truncated)
    }

    fn op(&mut self, kind: u8) -> Result<Op<'a>, BodyError> {
        match kind {
            PUT => {
                let expire_ts = self.u32()?;
                let (key_len, value_len) = (self.len()?, self.len()?);
                let key = self.take(key_len)?;
                let value = self.take(value_len)?;
                Ok(Op::Put { key, value, expire_ts })
            }
            REMOVE => {
                let len = self.len()?;
                Ok(Op::Remove { key: self.take(len)? })
            }
            other => Err(BodyError::Operation(other)),
        }
    }
}

impl<'a> Iterator for BodyReader<'a> {
    type Item = Result<Op<'a>, BodyError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (&kind, rest) = self.rest.split_first()?;
        self.rest = rest;
        let op = self.op(kind);
        if op.is_err() {
            self.rest = &[];
        }
        Some(op)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(body: &[u8]) -> Result<Vec<Op<'_>>, BodyError> {
        BodyReader::new(body)?.collect()
    }

    #[test]
    fn operations_read_back_in_order() {
        let mut builder = BodyBuilder::new();
        assert!(builder.is_empty());
        builder.put(b"k1", b"v1", 7);
        builder.remove(b"k2");
        builder.put(b"", b"", u32::MAX);
        let body = builder.finish();
        assert_eq!(
            read(&body).unwrap(),
            [
                Op::Put { key: b"k1", value: b"v1", expire_ts: 7 },
                Op::Remove { key: b"k2" },
                Op::Put { key: b"", value: b"", expire_ts: u32::MAX },
            ]
        );
    }

    #[test]
    fn an_empty_body_is_an_empty_write() {
        assert!(BodyBuilder::new().finish().is_empty());
        assert_eq!(read(&[]), Ok(vec![]));
        assert_eq!(read(&[VERSION]), Ok(vec![]));
    }

    #[test]
    fn damaged_bodies_are_refused() {
        assert_eq!(read(&[9]), Err(BodyError::Version(9)));
        assert_eq!(read(&[VERSION, 3]), Err(BodyError::Operation(3)));
        let mut builder = BodyBuilder::new();
        builder.put(b"key", b"value", 1);
        let body = builder.finish();
        for cut in 2..body.len() {
            assert_eq!(read(&body[..cut]), Err(BodyError::Truncated), "{cut}");
        }
        assert_eq!(read(&[VERSION, REMOVE, 255, 255, 255, 255]), Err(BodyError::Truncated));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
            if let Some(first) = bytes.first_mut() {
                *first = VERSION;
            }
            let _ = read(&bytes);
        }

        #[test]
        fn round_trip(ops in proptest::collection::vec(
            (any::<bool>(), any::<Vec<u8>>(), any::<Vec<u8>>(), any::<u32>()), 0..8)) {
            let mut builder = BodyBuilder::new();
            for (put, key, value, expire_ts) in &ops {
                if *put { builder.put(key, value, *expire_ts) } else { builder.remove(key) }
            }
            let body = builder.finish();
            let read = read(&body).unwrap();
            prop_assert_eq!(read.len(), ops.len());
            for (got, (put, key, value, expire_ts)) in read.iter().zip(&ops) {
                let want = if *put {
                    Op::Put { key, value, expire_ts: *expire_ts }
                } else {
                    Op::Remove { key }
                };
                prop_assert_eq!(*got, want);
            }
        }
    }
}
