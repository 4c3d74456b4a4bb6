//! Short names for the value types in the tables of keys.

pub(super) use super::keys;
pub(super) use super::{Key, Roles, Treatment};
use crate::value::{Kind, Unit};

const U32_MAX: i128 = u32::MAX as i128;
const I64_MAX: i128 = i64::MAX as i128;
/// Milliseconds are kept small enough that sums of a few never overflow 64 bits.
const MS_MAX: i128 = 1000 * U32_MAX;

const fn int(min: i128, max: i128, unit: Unit) -> Kind {
    Kind::Int { min, max, unit }
}

pub(super) const BOOL: Kind = Kind::Bool;
pub(super) const TEXT: Kind = Kind::Text;
pub(super) const DOUBLE: Kind = Kind::Double { min: 0.0, max: 1e9 };
pub(super) const LOG_LEVEL: Kind = Kind::LogLevel;
pub(super) const COMPRESSION: Kind = Kind::Compression;
pub(super) const NODES: Kind = Kind::Nodes;
pub(super) const PORTS: Kind = Kind::Ports;
pub(super) const PORT_OR_OFF: Kind = int(0, 65_535, Unit::None);

pub(super) const I32: Kind = int(i32::MIN as i128, i32::MAX as i128, Unit::None);
pub(super) const U32: Kind = int(0, U32_MAX, Unit::None);
pub(super) const I64: Kind = int(i64::MIN as i128, I64_MAX, Unit::None);
pub(super) const U64: Kind = int(0, u64::MAX as i128, Unit::None);
pub(super) const POSITIVE: Kind = int(1, i32::MAX as i128, Unit::None);
pub(super) const PERCENT: Kind = int(0, 100, Unit::Percent);
pub(super) const BYTES: Kind = int(0, I64_MAX, Unit::Bytes);
pub(super) const POS_BYTES: Kind = int(1, I64_MAX, Unit::Bytes);
pub(super) const MB: Kind = int(0, 1 << 30, Unit::Megabytes);
pub(super) const POS_MB: Kind = int(1, 1 << 30, Unit::Megabytes);
pub(super) const NANOS: Kind = int(0, I64_MAX, Unit::Nanoseconds);
pub(super) const POS_NANOS: Kind = int(1, I64_MAX, Unit::Nanoseconds);
pub(super) const MS: Kind = int(0, MS_MAX, Unit::Milliseconds);
pub(super) const POS_MS: Kind = int(1, MS_MAX, Unit::Milliseconds);
pub(super) const SECONDS: Kind = int(0, U32_MAX, Unit::Seconds);
pub(super) const POS_SECONDS: Kind = int(1, U32_MAX, Unit::Seconds);
pub(super) const MINUTES: Kind = int(0, 1 << 24, Unit::Minutes);
pub(super) const POS_HOURS: Kind = int(1, 1 << 20, Unit::Hours);
pub(super) const DAYS: Kind = int(0, 36_500, Unit::Days);

pub(super) const COUNT: Kind = Kind::OneOf(&["1"]);
pub(super) const SHARDS: Kind = int(0, 1024, Unit::None);
pub(super) const CLUSTER_ID: Kind = int(1, 127, Unit::None);
pub(super) const LEVELS: Kind = int(1, 7, Unit::None);
pub(super) const FORMAT_VERSION: Kind = Kind::OneOf(&["2", "5"]);
pub(super) const FILTER_TYPE: Kind = Kind::OneOf(&["prefix", "common"]);
pub(super) const INDEX_TYPE: Kind = Kind::OneOf(&[
    "binary_search",
    "hash_search",
    "two_level_index_search",
    "binary_search_with_first_key",
]);
pub(super) const STATE_SERVICE: Kind =
    Kind::OneOf(&["meta_state_service_simple", "meta_state_service_zookeeper"]);
pub(super) const LOCK_SERVICE: Kind =
    Kind::OneOf(&["distributed_lock_service_simple", "distributed_lock_service_zookeeper"]);
pub(super) const FUNCTION_LEVEL: Kind =
    Kind::OneOf(&["stopped", "blind", "freezed", "steady", "lively"]);
pub(super) const LOG_FORMAT: Kind = Kind::OneOf(&["text", "json"]);
pub(super) const TOOL: Kind = Kind::OneOf(&["nativerun"]);
