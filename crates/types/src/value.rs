use serde::{Deserialize, Serialize};

/// Unix time of 2016-01-01 00:00:00 UTC, from which expiry times count (`spec/data.md` 1.3).
pub const EPOCH_BEGIN: i64 = 1_451_606_400;

/// Layout of the values of one database (`spec/data.md` 1.2), kept in its meta column family.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum DataVersion {
    /// `u32 BE expire_ts | data`
    V0 = 0,
    /// `u32 BE expire_ts | u64 BE timetag | data`; new databases.
    #[default]
    V1 = 1,
}

impl DataVersion {
    /// `None` for a version that this build cannot read.
    pub fn from_number(number: u32) -> Option<DataVersion> {
        match number {
            0 => Some(DataVersion::V0),
            1 => Some(DataVersion::V1),
            _ => None,
        }
    }

    pub const fn number(self) -> u32 {
        self as u32
    }

    /// Bytes in front of the user's data.
    pub const fn header_len(self) -> usize {
        match self {
            DataVersion::V0 => 4,
            DataVersion::V1 => 12,
        }
    }
}

/// The bytes are too short for a stored value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a stored value of {len} bytes is shorter than its header of {header_len}")]
pub struct ValueError {
    pub len: usize,
    pub header_len: usize,
}

/// What stands in front of the user's data in a stored value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ValueHeader {
    /// Seconds since [`EPOCH_BEGIN`], 0 for "never".
    pub expire_ts: u32,
    /// See [`timetag`]; not stored (read as 0) in version 0.
    pub timetag: u64,
}

impl ValueHeader {
    /// Write the header; the user's data follows it.
    pub fn encode_into(&self, version: DataVersion, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.expire_ts.to_be_bytes());
        if version == DataVersion::V1 {
            out.extend_from_slice(&self.timetag.to_be_bytes());
        }
    }

    /// The whole stored value.
    pub fn encode(&self, version: DataVersion, data: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(version.header_len() + data.len());
        self.encode_into(version, &mut out);
        out.extend_from_slice(data);
        out
    }

    /// Split a stored value into header and user's data.
    pub fn decode(version: DataVersion, value: &[u8]) -> Result<(ValueHeader, &[u8]), ValueError> {
        let short = ValueError { len: value.len(), header_len: version.header_len() };
        let (expire_ts, rest) = value.split_first_chunk::<4>().ok_or(short)?;
        let expire_ts = u32::from_be_bytes(*expire_ts);
        match version {
            DataVersion::V0 => Ok((ValueHeader { expire_ts, timetag: 0 }, rest)),
            DataVersion::V1 => {
                let (timetag, data) = rest.split_first_chunk::<8>().ok_or(short)?;
                Ok((ValueHeader { expire_ts, timetag: u64::from_be_bytes(*timetag) }, data))
            }
        }
    }
}

/// Whether a record is gone at `now_epoch_secs` (seconds since [`EPOCH_BEGIN`]). The second of
/// expiry itself counts as expired.
pub const fn is_expired(expire_ts: u32, now_epoch_secs: u32) -> bool {
    expire_ts > 0 && expire_ts <= now_epoch_secs
}

/// Seconds since [`EPOCH_BEGIN`] of a unix time, 0 before it and the largest number after 2152.
pub fn epoch_secs(unix_secs: i64) -> u32 {
    let since = unix_secs.saturating_sub(EPOCH_BEGIN).max(0);
    u32::try_from(since).unwrap_or(u32::MAX)
}

/// `timestamp_us << 8 | cluster_id << 1 | deleted`: 56 bits of microseconds since the unix epoch,
/// 7 bits of cluster id (`spec/data.md` 1.2). Higher bits of either are cut off.
pub const fn timetag(timestamp_us: i64, cluster_id: u8, deleted: bool) -> u64 {
    ((timestamp_us as u64) << 8) | (((cluster_id & 0x7f) as u64) << 1) | deleted as u64
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn version_0_layout() {
        let header = ValueHeader { expire_ts: 0x0102_0304, timetag: 99 };
        let value = header.encode(DataVersion::V0, b"v1");
        assert_eq!(value, [1, 2, 3, 4, b'v', b'1']);
        let (read, data) = ValueHeader::decode(DataVersion::V0, &value).unwrap();
        assert_eq!((read.expire_ts, read.timetag, data), (0x0102_0304, 0, &b"v1"[..]));
    }

    #[test]
    fn version_1_layout() {
        let header =
            ValueHeader { expire_ts: 5, timetag: timetag(0x0011_2233_4455_6677, 2, false) };
        let value = header.encode(DataVersion::V1, b"");
        assert_eq!(value, [0, 0, 0, 5, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x04]);
        assert_eq!(ValueHeader::decode(DataVersion::V1, &value), Ok((header, &b""[..])));
    }

    #[test]
    fn short_values_are_refused() {
        assert!(ValueHeader::decode(DataVersion::V0, &[0; 3]).is_err());
        assert!(ValueHeader::decode(DataVersion::V1, &[0; 3]).is_err());
        let error = ValueHeader::decode(DataVersion::V1, &[0; 11]).unwrap_err();
        assert_eq!(error, ValueError { len: 11, header_len: 12 });
    }

    #[test]
    fn expiry() {
        assert!(!is_expired(0, u32::MAX));
        assert!(!is_expired(10, 9));
        assert!(is_expired(10, 10));
        assert!(is_expired(10, 11));
        assert_eq!(epoch_secs(EPOCH_BEGIN + 7), 7);
        assert_eq!(epoch_secs(0), 0);
        assert_eq!(epoch_secs(i64::MAX), u32::MAX);
    }

    #[test]
    fn timetags() {
        assert_eq!(timetag(1, 0, false), 0x100);
        assert_eq!(timetag(0, 0x7f, true), 0xff);
        assert_eq!(timetag(-1, 0xff, true), u64::MAX);
        assert_eq!(DataVersion::from_number(2), None);
        assert_eq!(DataVersion::from_number(1), Some(DataVersion::V1));
    }
}
