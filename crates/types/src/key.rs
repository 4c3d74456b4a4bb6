/// The longest hash key, in bytes. `0xffff` in the length prefix is reserved (`spec/data.md` 1.1).
pub const MAX_HASH_KEY_LEN: usize = 65534;

/// The bytes are not a stored key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("a key of {0} bytes has no room for its length prefix")]
    TooShort(usize),
    #[error("a key of {len} bytes claims a hash key of {hash_key_len} bytes")]
    HashKeyLength { hash_key_len: usize, len: usize },
}

/// The stored form of a key: `u16 BE len(hash_key) | hash_key | sort_key` (`spec/data.md` 1.1).
///
/// `hash_key` must not be longer than [`MAX_HASH_KEY_LEN`]; from a longer one comes a key that
/// [`decode_key`] refuses.
pub fn encode_key(hash_key: &[u8], sort_key: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(2 + hash_key.len() + sort_key.len());
    encode_key_into(&mut key, hash_key, sort_key);
    key
}

/// [`encode_key`] at the end of `out`.
pub fn encode_key_into(out: &mut Vec<u8>, hash_key: &[u8], sort_key: &[u8]) {
    let len = u16::try_from(hash_key.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(hash_key);
    out.extend_from_slice(sort_key);
}

/// Split a stored key into hash key and sort key.
pub fn decode_key(key: &[u8]) -> Result<(&[u8], &[u8]), KeyError> {
    let Some((prefix, rest)) = key.split_first_chunk::<2>() else {
        return Err(KeyError::TooShort(key.len()));
    };
    let hash_key_len = usize::from(u16::from_be_bytes(*prefix));
    if hash_key_len > MAX_HASH_KEY_LEN || hash_key_len > rest.len() {
        return Err(KeyError::HashKeyLength { hash_key_len, len: key.len() });
    }
    Ok(rest.split_at(hash_key_len))
}

/// The first key that does not start with `prefix` (an encoded key or the beginning of one): the
/// exclusive upper bound of a prefix scan. Empty if there is none, i.e. if `prefix` is all `ff`.
pub fn next_prefix(prefix: &[u8]) -> Vec<u8> {
    let kept = prefix.iter().rposition(|&byte| byte != 0xff).map_or(0, |last| last + 1);
    let mut next = prefix.get(..kept).unwrap_or_default().to_vec();
    if let Some(last) = next.last_mut() {
        *last = last.wrapping_add(1);
    }
    next
}

/// The hash that places a key in a partition: `hash % partition_count` (`spec/data.md` 1.4).
/// CRC-64/NVME of the hash key, or of the sort key if the hash key is empty.
pub fn partition_hash(hash_key: &[u8], sort_key: &[u8]) -> u64 {
    let hashed = if hash_key.is_empty() { sort_key } else { hash_key };
    crc_fast::crc64_nvme(hashed)
}

/// [`partition_hash`] of a stored key.
pub fn partition_hash_of_key(key: &[u8]) -> Result<u64, KeyError> {
    let (hash_key, sort_key) = decode_key(key)?;
    Ok(partition_hash(hash_key, sort_key))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hash key, sort key, hash, hash mod 8, hash mod 16.
    type HashRow = (&'static [u8], &'static [u8], u64, u64, u64);

    /// Table of `spec/data.md` 1.4.
    #[test]
    fn partition_hashes_of_the_specification() {
        let rows: &[HashRow] = &[
            (b"", b"", 0, 0, 0),
            (b"", b"sk", 0xed73_59d9_888d_f024, 4, 4),
            (b"hk", b"any", 0x5d9a_d5b5_1c9a_4ab3, 3, 3),
            (b"a", b"", 0x8c2f_8445_b4cb_fc3c, 4, 12),
            (b"hash_key", b"", 0x6564_1f36_e9f6_a96d, 5, 13),
            (b"hashkey_1", b"", 0xa784_52dc_e7e3_00bf, 7, 15),
            (&[0x00], b"", 0xd5da_5047_efec_8728, 0, 8),
            (&[0xff], b"", 0xff00_0000_0000_0000, 0, 0),
            (b"123456789", b"", 0xae8b_1486_0a79_9888, 0, 8),
            (b"h0", b"", 0xd58f_0ddf_d600_6da3, 3, 3),
            (b"h1", b"", 0xaae1_fd17_e635_e4da, 2, 10),
            ("中文".as_bytes(), b"", 0x5203_42bc_8474_68ba, 2, 10),
        ];
        for (hash_key, sort_key, hash, mod8, mod16) in rows {
            assert_eq!(partition_hash(hash_key, sort_key), *hash, "{hash_key:?}");
            assert_eq!(partition_hash_of_key(&encode_key(hash_key, sort_key)), Ok(*hash));
            assert_eq!((hash % 8, hash % 16), (*mod8, *mod16));
        }
    }

    /// Table of `spec/data.md` 1.1.
    #[test]
    fn next_prefixes_of_the_specification() {
        let rows: &[(&[u8], &[u8], &[u8])] = &[
            (b"", b"", &[0x00, 0x01]),
            (&[0x0a], b"", &[0x00, 0x01, 0x0b]),
            (&[0xfe], b"", &[0x00, 0x01, 0xff]),
            (&[0xff], b"", &[0x00, 0x02]),
            (&[0x0a, 0xff], b"", &[0x00, 0x02, 0x0b]),
            (&[0xff, 0xff], b"", &[0x00, 0x03]),
            (&[0x44], &[0xff], &[0x00, 0x01, 0x45]),
            (&[0xff], &[0x55], &[0x00, 0x01, 0xff, 0x56]),
        ];
        for (hash_key, sort_key, next) in rows {
            assert_eq!(next_prefix(&encode_key(hash_key, sort_key)), *next, "{hash_key:?}");
        }
        assert!(next_prefix(&[0xff, 0xff]).is_empty());
        assert!(next_prefix(b"").is_empty());
    }

    #[test]
    fn keys_read_back() {
        let key = encode_key(b"hk", b"sk");
        assert_eq!(key, [0x00, 0x02, b'h', b'k', b's', b'k']);
        assert_eq!(decode_key(&key), Ok((&b"hk"[..], &b"sk"[..])));
        assert_eq!(decode_key(&[0, 0]), Ok((&b""[..], &b""[..])));
        let longest = vec![7; MAX_HASH_KEY_LEN];
        assert_eq!(decode_key(&encode_key(&longest, b"x")), Ok((&longest[..], &b"x"[..])));
    }

    #[test]
    fn malformed_keys_are_refused() {
        assert_eq!(decode_key(b""), Err(KeyError::TooShort(0)));
        assert_eq!(decode_key(&[0]), Err(KeyError::TooShort(1)));
        assert_eq!(
            decode_key(&[0, 2, b'h']),
            Err(KeyError::HashKeyLength { hash_key_len: 2, len: 3 })
        );
        assert!(decode_key(&encode_key(&vec![7; 65535], b"")).is_err());
        assert!(decode_key(&encode_key(&vec![7; 70000], b"")).is_err());
    }

    /// Order is by hash key length first.
    #[test]
    fn shorter_hash_keys_come_first() {
        assert!(encode_key(b"b", b"") < encode_key(b"aa", b""));
        assert!(encode_key(b"aa", b"1") < encode_key(b"aa", b"2"));
    }
}
