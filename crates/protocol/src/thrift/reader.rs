use bytes::Bytes;

use super::{ThriftError, ttype};

/// Deepest nesting of a field that is skipped. Fields that are read nest as deep as their types.
const MAX_DEPTH: u32 = 32;

/// How many times its own length a message may take in memory when decoded. The densest honest
/// message, a list of empty blobs, takes eight times its length.
const MAX_EXPANSION: usize = 16;

/// Memory that is granted whatever the length of the message is.
const FREE_MEMORY: usize = 4096;

/// Reads values from a frame. Blobs share the memory of the frame.
#[derive(Debug)]
pub struct Reader<'a> {
    frame: &'a Bytes,
    at: usize,
    /// Bytes of container elements that may still be decoded.
    memory: usize,
}

impl<'a> Reader<'a> {
    pub fn new(frame: &'a Bytes) -> Reader<'a> {
        let memory = frame.len().saturating_mul(MAX_EXPANSION).saturating_add(FREE_MEMORY);
        Reader { frame, at: 0, memory }
    }

    /// Bytes read so far.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Bytes not read yet.
    pub fn remaining(&self) -> usize {
        self.frame.len().saturating_sub(self.at)
    }

    /// The next `len` bytes, borrowed.
    #[inline]
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], ThriftError> {
        let end = self.at.checked_add(len).ok_or(ThriftError::Truncated)?;
        let part = self.frame.get(self.at..end).ok_or(ThriftError::Truncated)?;
        self.at = end;
        Ok(part)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], ThriftError> {
        let rest = self.frame.get(self.at..).ok_or(ThriftError::Truncated)?;
        let array = rest.first_chunk::<N>().ok_or(ThriftError::Truncated)?;
        self.at += N;
        Ok(*array)
    }

    #[inline]
    pub fn u8(&mut self) -> Result<u8, ThriftError> {
        self.array::<1>().map(|[byte]| byte)
    }

    #[inline]
    pub fn i16(&mut self) -> Result<i16, ThriftError> {
        self.array().map(i16::from_be_bytes)
    }

    #[inline]
    pub fn i32(&mut self) -> Result<i32, ThriftError> {
        self.array().map(i32::from_be_bytes)
    }

    #[inline]
    pub fn i64(&mut self) -> Result<i64, ThriftError> {
        self.array().map(i64::from_be_bytes)
    }

    /// An i32 length that must fit into what is left.
    #[inline]
    fn length(&mut self) -> Result<usize, ThriftError> {
        let length = self.i32()?;
        match usize::try_from(length) {
            Ok(len) if len <= self.remaining() => Ok(len),
            _ => Err(ThriftError::Count(length)),
        }
    }

    /// Length and bytes, borrowed.
    #[inline]
    pub fn sized(&mut self) -> Result<&'a [u8], ThriftError> {
        let len = self.length()?;
        self.take(len)
    }

    /// Length and bytes, sharing the frame.
    #[inline]
    pub fn blob(&mut self) -> Result<Bytes, ThriftError> {
        let len = self.length()?;
        let start = self.at;
        self.take(len)?;
        Ok(self.frame.slice(start..self.at))
    }

    /// Length and UTF-8 text.
    #[inline]
    pub fn text(&mut self) -> Result<&'a str, ThriftError> {
        std::str::from_utf8(self.sized()?).map_err(|_| ThriftError::NotUtf8)
    }

    /// The next field header, `None` at the end of the struct.
    #[inline]
    pub fn field(&mut self) -> Result<Option<(u8, i16)>, ThriftError> {
        match self.u8()? {
            ttype::STOP => Ok(None),
            ttype => Ok(Some((ttype, self.i16()?))),
        }
    }

    /// The header of a list or set of `expected` elements. `min_len` is the least encoded size of
    /// one element, `memory` its size when decoded.
    pub fn list(
        &mut self,
        expected: u8,
        min_len: usize,
        memory: usize,
    ) -> Result<usize, ThriftError> {
        let found = self.u8()?;
        let count = self.count(min_len, memory)?;
        // An empty container of anything is an empty container.
        if found != expected && count > 0 {
            return Err(ThriftError::ElementType { expected, found });
        }
        Ok(count)
    }

    /// The header of a map; the sizes are those of a key and its value together.
    pub fn map(
        &mut self,
        expected: (u8, u8),
        min_len: usize,
        memory: usize,
    ) -> Result<usize, ThriftError> {
        let found = (self.u8()?, self.u8()?);
        let count = self.count(min_len, memory)?;
        if count == 0 || found == expected {
            return Ok(count);
        }
        let (expected, found) =
            if found.0 == expected.0 { (expected.1, found.1) } else { (expected.0, found.0) };
        Err(ThriftError::ElementType { expected, found })
    }

    fn count(&mut self, min_len: usize, memory: usize) -> Result<usize, ThriftError> {
        let claimed = self.i32()?;
        let count = usize::try_from(claimed).map_err(|_| ThriftError::Count(claimed))?;
        if count.saturating_mul(min_len.max(1)) > self.remaining() {
            return Err(ThriftError::Count(claimed));
        }
        self.memory =
            self.memory.checked_sub(count.saturating_mul(memory)).ok_or(ThriftError::TooBig)?;
        Ok(count)
    }

    /// Skip a value whose field is not known. A special type (`spec/wire.md` 2.3) cannot be told
    /// from a struct, so one in an unknown field usually ends in an error.
    pub fn skip(&mut self, ttype: u8) -> Result<(), ThriftError> {
        self.skip_nested(ttype, 0)
    }

    fn skip_nested(&mut self, ttype: u8, depth: u32) -> Result<(), ThriftError> {
        if depth > MAX_DEPTH {
            return Err(ThriftError::TooDeep(MAX_DEPTH));
        }
        if let Some(len) = fixed_len(ttype) {
            self.take(len)?;
            return Ok(());
        }
        match ttype {
            ttype::STRING => {
                self.sized()?;
            }
            ttype::STRUCT => {
                while let Some((inner, _)) = self.field()? {
                    self.skip_nested(inner, depth + 1)?;
                }
            }
            ttype::LIST | ttype::SET => {
                let element = self.u8()?;
                self.skip_elements(&[element], depth)?;
            }
            ttype::MAP => {
                let entry = [self.u8()?, self.u8()?];
                self.skip_elements(&entry, depth)?;
            }
            unknown => return Err(ThriftError::UnknownType(unknown)),
        }
        Ok(())
    }

    fn skip_elements(&mut self, entry: &[u8], depth: u32) -> Result<(), ThriftError> {
        // Every value takes at least a byte, so the count bounds the work.
        for _ in 0..self.count(entry.len(), 0)? {
            for ttype in entry {
                self.skip_nested(*ttype, depth + 1)?;
            }
        }
        Ok(())
    }
}

const fn fixed_len(ttype: u8) -> Option<usize> {
    match ttype {
        ttype::BOOL | ttype::BYTE => Some(1),
        ttype::I16 => Some(2),
        ttype::I32 => Some(4),
        ttype::I64 | ttype::U64 | ttype::DOUBLE => Some(8),
        _ => None,
    }
}
