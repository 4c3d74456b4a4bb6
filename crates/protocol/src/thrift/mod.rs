//! Thrift binary encoding (`spec/wire.md` 2): a [`Reader`] that hands out parts of the frame
//! without copying, a [`Writer`] that appends to the connection's outgoing buffer, and the macros
//! [`thrift_struct!`](crate::thrift_struct) and [`thrift_enum!`](crate::thrift_enum) with which
//! every message is declared once.

mod declare;
mod reader;
mod values;
mod writer;

pub use reader::Reader;
pub use writer::Writer;

/// Type bytes.
pub mod ttype {
    pub const STOP: u8 = 0;
    pub const BOOL: u8 = 2;
    pub const BYTE: u8 = 3;
    pub const DOUBLE: u8 = 4;
    pub const I16: u8 = 6;
    pub const I32: u8 = 8;
    /// Never a field of a message; the reference names it for a bare unsigned number.
    pub const U64: u8 = 9;
    pub const I64: u8 = 10;
    pub const STRING: u8 = 11;
    pub const STRUCT: u8 = 12;
    pub const MAP: u8 = 13;
    pub const SET: u8 = 14;
    pub const LIST: u8 = 15;
}

/// Why bytes are not the message they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ThriftError {
    #[error("the message ends too early")]
    Truncated,
    #[error("length or count {0} is negative or more than the message can hold")]
    Count(i32),
    #[error("unknown thrift type {0}")]
    UnknownType(u8),
    #[error("container of thrift type {found} where {expected} is expected")]
    ElementType { expected: u8, found: u8 },
    #[error("nested deeper than {0} levels")]
    TooDeep(u32),
    #[error("text is not UTF-8")]
    NotUtf8,
    #[error("the message would take far more memory than its own length")]
    TooBig,
    #[error("bad message envelope: {0}")]
    Envelope(&'static str),
    #[error("no argument or result in the message")]
    Missing,
    #[error("serialization format {0} is not supported")]
    Format(u8),
}

/// A value with an encoding of its own: a primitive, a container, a struct, or one of the special
/// types of `spec/wire.md` 2.3, which carry the type byte of a struct but raw contents.
pub trait Thrift: Sized {
    /// The type byte in front of the value.
    const TYPE: u8;
    /// The fewest bytes a value takes; bounds the element count of containers.
    const MIN_LEN: usize;

    fn write(&self, writer: &mut Writer<'_>);

    fn read(reader: &mut Reader<'_>) -> Result<Self, ThriftError>;
}

/// A field of a struct: any [`Thrift`] value, always written, or an `Option` of one, written only
/// when set.
pub trait Field: Sized {
    const TYPE: u8;

    fn write_field(&self, id: i16, writer: &mut Writer<'_>);

    fn read_field(reader: &mut Reader<'_>) -> Result<Self, ThriftError>;
}

impl<T: Thrift> Field for T {
    const TYPE: u8 = T::TYPE;

    #[inline]
    fn write_field(&self, id: i16, writer: &mut Writer<'_>) {
        writer.field(T::TYPE, id);
        self.write(writer);
    }

    #[inline]
    fn read_field(reader: &mut Reader<'_>) -> Result<T, ThriftError> {
        T::read(reader)
    }
}

impl<T: Thrift> Field for Option<T> {
    const TYPE: u8 = T::TYPE;

    #[inline]
    fn write_field(&self, id: i16, writer: &mut Writer<'_>) {
        if let Some(value) = self {
            value.write_field(id, writer);
        }
    }

    #[inline]
    fn read_field(reader: &mut Reader<'_>) -> Result<Option<T>, ThriftError> {
        T::read(reader).map(Some)
    }
}
