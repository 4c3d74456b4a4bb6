//! Primitives and containers, and the special types that are not types of this crate.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::size_of;
use std::sync::Arc;

use bytes::Bytes;
use pegasus_types::{ErrorCode, PartitionId};

use super::{Reader, Thrift, ThriftError, Writer, ttype};

/// Memory that an ordered set or map takes per entry besides the entry itself, roughly.
const NODE_OVERHEAD: usize = 16;

/// Elements for which room is made before the first one has been read.
const MAX_PREALLOCATED: usize = 1024;

macro_rules! primitives {
    ($($rust:ty, $ttype:ident, $len:literal, $method:ident;)*) => {$(
        impl Thrift for $rust {
            const TYPE: u8 = ttype::$ttype;
            const MIN_LEN: usize = $len;

            #[inline]
            fn write(&self, writer: &mut Writer<'_>) {
                writer.$method(*self);
            }

            #[inline]
            fn read(reader: &mut Reader<'_>) -> Result<$rust, ThriftError> {
                reader.$method()
            }
        }
    )*};
}

primitives! {
    i16, I16, 2, i16;
    i32, I32, 4, i32;
    i64, I64, 8, i64;
}

impl Thrift for bool {
    const TYPE: u8 = ttype::BOOL;
    const MIN_LEN: usize = 1;

    #[inline]
    fn write(&self, writer: &mut Writer<'_>) {
        writer.u8(u8::from(*self));
    }

    #[inline]
    fn read(reader: &mut Reader<'_>) -> Result<bool, ThriftError> {
        reader.u8().map(|byte| byte != 0)
    }
}

impl Thrift for i8 {
    const TYPE: u8 = ttype::BYTE;
    const MIN_LEN: usize = 1;

    fn write(&self, writer: &mut Writer<'_>) {
        writer.u8(self.cast_unsigned());
    }

    fn read(reader: &mut Reader<'_>) -> Result<i8, ThriftError> {
        reader.u8().map(u8::cast_signed)
    }
}

impl Thrift for String {
    const TYPE: u8 = ttype::STRING;
    const MIN_LEN: usize = 4;

    fn write(&self, writer: &mut Writer<'_>) {
        writer.sized(self.as_bytes());
    }

    fn read(reader: &mut Reader<'_>) -> Result<String, ThriftError> {
        reader.text().map(str::to_owned)
    }
}

/// Text that is the same in many messages, such as a server's own address.
impl Thrift for Arc<str> {
    const TYPE: u8 = ttype::STRING;
    const MIN_LEN: usize = 4;

    fn write(&self, writer: &mut Writer<'_>) {
        writer.sized(self.as_bytes());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Arc<str>, ThriftError> {
        reader.text().map(Arc::from)
    }
}

/// `dsn.blob`.
impl Thrift for Bytes {
    const TYPE: u8 = ttype::STRUCT;
    const MIN_LEN: usize = 4;

    #[inline]
    fn write(&self, writer: &mut Writer<'_>) {
        writer.sized(self);
    }

    #[inline]
    fn read(reader: &mut Reader<'_>) -> Result<Bytes, ThriftError> {
        reader.blob()
    }
}

/// `dsn.error_code`; a name that is not in our table reads as [`ErrorCode::Unknown`].
impl Thrift for ErrorCode {
    const TYPE: u8 = ttype::STRUCT;
    const MIN_LEN: usize = 4;

    fn write(&self, writer: &mut Writer<'_>) {
        writer.error_code(*self);
    }

    fn read(reader: &mut Reader<'_>) -> Result<ErrorCode, ThriftError> {
        let name = std::str::from_utf8(reader.sized()?).unwrap_or_default();
        Ok(ErrorCode::from_name(name).unwrap_or(ErrorCode::Unknown))
    }
}

/// `dsn.gpid`: partition index in the high half, table id in the low half.
impl Thrift for PartitionId {
    const TYPE: u8 = ttype::STRUCT;
    const MIN_LEN: usize = 8;

    fn write(&self, writer: &mut Writer<'_>) {
        writer.i32(self.index);
        writer.i32(self.app_id);
    }

    fn read(reader: &mut Reader<'_>) -> Result<PartitionId, ThriftError> {
        let index = reader.i32()?;
        let app_id = reader.i32()?;
        Ok(PartitionId { app_id, index })
    }
}

impl<T: Thrift> Thrift for Vec<T> {
    const TYPE: u8 = ttype::LIST;
    const MIN_LEN: usize = 5;

    fn write(&self, writer: &mut Writer<'_>) {
        writer.u8(T::TYPE);
        let count = writer.count(self.len());
        for element in self.iter().take(count) {
            element.write(writer);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Vec<T>, ThriftError> {
        let count = reader.list(T::TYPE, T::MIN_LEN, size_of::<T>())?;
        let mut list = Vec::with_capacity(count.min(MAX_PREALLOCATED));
        for _ in 0..count {
            list.push(T::read(reader)?);
        }
        Ok(list)
    }
}

impl<T: Thrift + Ord> Thrift for BTreeSet<T> {
    const TYPE: u8 = ttype::SET;
    const MIN_LEN: usize = 5;

    fn write(&self, writer: &mut Writer<'_>) {
        writer.u8(T::TYPE);
        let count = writer.count(self.len());
        for element in self.iter().take(count) {
            element.write(writer);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<BTreeSet<T>, ThriftError> {
        let count = reader.list(T::TYPE, T::MIN_LEN, size_of::<T>() + NODE_OVERHEAD)?;
        (0..count).map(|_| T::read(reader)).collect()
    }
}

impl<K: Thrift + Ord, V: Thrift> Thrift for BTreeMap<K, V> {
    const TYPE: u8 = ttype::MAP;
    const MIN_LEN: usize = 6;

    fn write(&self, writer: &mut Writer<'_>) {
        writer.u8(K::TYPE);
        writer.u8(V::TYPE);
        let count = writer.count(self.len());
        for (key, value) in self.iter().take(count) {
            key.write(writer);
            value.write(writer);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<BTreeMap<K, V>, ThriftError> {
        let memory = size_of::<K>() + size_of::<V>() + NODE_OVERHEAD;
        let min_len = K::MIN_LEN + V::MIN_LEN;
        let count = reader.map((K::TYPE, V::TYPE), min_len, memory)?;
        (0..count).map(|_| Ok((K::read(reader)?, V::read(reader)?))).collect()
    }
}
