use bytes::{BufMut, BytesMut};
use pegasus_types::ErrorCode;

use super::ttype;

/// Appends values to a buffer.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut BytesMut,
    old_clients: bool,
}

impl<'a> Writer<'a> {
    pub fn new(out: &'a mut BytesMut) -> Writer<'a> {
        Writer { out, old_clients: false }
    }

    /// A writer that replaces error names which a THFT client cannot decode.
    pub fn for_old_clients(out: &'a mut BytesMut) -> Writer<'a> {
        Writer { out, old_clients: true }
    }

    #[inline]
    pub fn u8(&mut self, value: u8) {
        self.out.put_u8(value);
    }

    #[inline]
    pub fn i16(&mut self, value: i16) {
        self.out.put_i16(value);
    }

    #[inline]
    pub fn i32(&mut self, value: i32) {
        self.out.put_i32(value);
    }

    #[inline]
    pub fn i64(&mut self, value: i64) {
        self.out.put_i64(value);
    }

    /// A field header.
    #[inline]
    pub fn field(&mut self, ttype: u8, id: i16) {
        self.out.put_u8(ttype);
        self.out.put_i16(id);
    }

    /// The end of a struct.
    #[inline]
    pub fn stop(&mut self) {
        self.out.put_u8(ttype::STOP);
    }

    /// Length and bytes. More than the 2 GiB that the length can say are cut off; no frame that
    /// long is ever sent.
    #[inline]
    pub fn sized(&mut self, bytes: &[u8]) {
        let len = self.count(bytes.len());
        self.out.put_slice(bytes.get(..len).unwrap_or(bytes));
    }

    /// An element count; answers how many elements to write.
    pub fn count(&mut self, count: usize) -> usize {
        let written = i32::try_from(count).unwrap_or(i32::MAX);
        self.out.put_i32(written);
        count.min(i32::MAX as usize)
    }

    /// The name of an error inside a struct.
    pub fn error_code(&mut self, code: ErrorCode) {
        let name = if self.old_clients { code.field_name_for_old_clients() } else { code.as_str() };
        self.sized(name.as_bytes());
    }
}
