/// Declare thrift structs: `id name: type [= default]` per field, in ascending order of ids.
///
/// Plain fields are always written; a field of type `Option<T>` is optional and written only when
/// set. A missing field keeps its default, an unknown one or one of another type is skipped.
#[macro_export]
macro_rules! thrift_struct {
    ($(
        $(#[$attr:meta])*
        $vis:vis struct $name:ident {
            $($(#[$field_attr:meta])* $id:literal $field:ident: $ty:ty $(= $default:expr)?,)*
        }
    )*) => {$(
        $(#[$attr])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        $vis struct $name {
            $($(#[$field_attr])* pub $field: $ty,)*
        }

        impl ::std::default::Default for $name {
            fn default() -> Self {
                Self { $($field: $crate::thrift_struct!(@default $($default)?),)* }
            }
        }

        impl $crate::thrift::Thrift for $name {
            const TYPE: u8 = $crate::thrift::ttype::STRUCT;
            const MIN_LEN: usize = 1;

            fn write(&self, writer: &mut $crate::thrift::Writer<'_>) {
                $($crate::thrift::Field::write_field(&self.$field, $id, writer);)*
                writer.stop();
            }

            #[allow(unused_mut, clippy::match_single_binding)]
            fn read(
                reader: &mut $crate::thrift::Reader<'_>,
            ) -> ::std::result::Result<Self, $crate::thrift::ThriftError> {
                let mut value = <Self as ::std::default::Default>::default();
                while let Some((ttype, id)) = reader.field()? {
                    match id {
                        $($id if ttype == <$ty as $crate::thrift::Field>::TYPE => {
                            value.$field = $crate::thrift::Field::read_field(reader)?;
                        })*
                        _ => reader.skip(ttype)?,
                    }
                }
                Ok(value)
            }
        }
    )*};
    (@default) => { ::std::default::Default::default() };
    (@default $default:expr) => { $default };
}

/// Declare thrift enums: `Variant = number "NAME"`. A number without a variant becomes
/// `Unknown(number)`, so that a handler can refuse it instead of the decoder; the default is what
/// the number 0 means.
#[macro_export]
macro_rules! thrift_enum {
    ($(
        $(#[$attr:meta])*
        $vis:vis enum $name:ident {
            $($(#[$variant_attr:meta])* $variant:ident = $number:literal $text:literal,)*
        }
    )*) => {$(
        $(#[$attr])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis enum $name {
            $($(#[$variant_attr])* $variant,)*
            /// A number that is not in the specification.
            Unknown(i32),
        }

        impl $name {
            /// Every variant that has a name.
            pub const ALL: &[$name] = &[$($name::$variant,)*];

            pub const fn from_i32(number: i32) -> $name {
                match number {
                    $($number => $name::$variant,)*
                    other => $name::Unknown(other),
                }
            }

            pub const fn as_i32(self) -> i32 {
                match self {
                    $($name::$variant => $number,)*
                    $name::Unknown(number) => number,
                }
            }

            /// The name in the reference's interface definition, `UNKNOWN` without one.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $($name::$variant => $text,)*
                    $name::Unknown(_) => "UNKNOWN",
                }
            }

            /// The variant with exactly this name.
            pub fn from_name(name: &str) -> Option<$name> {
                match name {
                    $($text => Some($name::$variant),)*
                    _ => None,
                }
            }
        }

        impl ::std::default::Default for $name {
            fn default() -> $name {
                $name::from_i32(0)
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl $crate::thrift::Thrift for $name {
            const TYPE: u8 = $crate::thrift::ttype::I32;
            const MIN_LEN: usize = 4;

            fn write(&self, writer: &mut $crate::thrift::Writer<'_>) {
                writer.i32(self.as_i32());
            }

            fn read(
                reader: &mut $crate::thrift::Reader<'_>,
            ) -> ::std::result::Result<$name, $crate::thrift::ThriftError> {
                reader.i32().map($name::from_i32)
            }
        }
    )*};
}
