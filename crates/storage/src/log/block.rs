//! Blocks and segment headers as bytes. See the crate's documentation for the layout.

use bytes::Bytes;
use crc_fast::{CrcAlgorithm, Digest};
use pegasus_types::{Ballot, Decree, Mutation};

/// Bytes of a segment header.
pub(super) const HEADER_LEN: usize = 44;
/// `u32 magic | u32 length | u32 crc | u8 kind`.
pub(super) const BLOCK_HEADER_LEN: usize = 13;
/// A longer payload is neither written nor believed.
pub(super) const MAX_PAYLOAD: usize = 256 << 20;

const SEGMENT_MAGIC: [u8; 8] = *b"PGSPLOG1";
const SEGMENT_VERSION: u32 = 1;
const FLAG_RESET: u32 = 1;
const MUTATION: u8 = 1;
const TRUNCATE: u8 = 2;
/// Payload of a mutation before its body.
const MUTATION_FIXED: usize = 48;
/// Keeps decree arithmetic away from overflow.
pub(super) const MAX_DECREE: i64 = i64::MAX / 2;

/// What stands at the beginning of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub index: u32,
    /// Everything in earlier segments is void.
    pub reset: bool,
    /// The decree before the first that a reader may expect here.
    pub base: Decree,
    /// Random; part of every checksum in the segment.
    pub salt: u64,
}

impl SegmentHeader {
    pub(super) fn encode(&self) -> [u8; HEADER_LEN] {
        let flags = if self.reset { FLAG_RESET } else { 0 };
        let mut out = [0; HEADER_LEN];
        let fields: [&[u8]; 6] = [
            &SEGMENT_MAGIC,
            &SEGMENT_VERSION.to_be_bytes(),
            &flags.to_be_bytes(),
            &u64::from(self.index).to_be_bytes(),
            &self.base.0.to_be_bytes(),
            &self.salt.to_be_bytes(),
        ];
        let mut at = 0;
        for field in fields {
            out[at..at + field.len()].copy_from_slice(field);
            at += field.len();
        }
        let crc = crc_fast::crc32_iscsi(&out[..at]);
        out[at..].copy_from_slice(&crc.to_be_bytes());
        out
    }

    /// The header at the beginning of `data`, or why there is none.
    pub(super) fn decode(data: &[u8]) -> Result<SegmentHeader, &'static str> {
        let (header, _) =
            data.split_first_chunk::<HEADER_LEN>().ok_or("no complete segment header")?;
        let mut fields = Fields(header);
        let (magic, version) = (fields.take::<8>()?, fields.u32()?);
        let (flags, index) = (fields.u32()?, fields.u64()?);
        let (base, salt, crc) = (fields.i64()?, fields.u64()?, fields.u32()?);
        let covered = header.get(..HEADER_LEN - 4).unwrap_or_default();
        if magic != SEGMENT_MAGIC || crc_fast::crc32_iscsi(covered) != crc {
            return Err("damaged segment header");
        }
        if version != SEGMENT_VERSION || flags & !FLAG_RESET != 0 {
            return Err("segment of a newer release");
        }
        Ok(SegmentHeader {
            index: u32::try_from(index).map_err(|_| "segment number out of range")?,
            reset: flags & FLAG_RESET != 0,
            base: decree(base)?,
            salt,
        })
    }
}

/// What a block says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Record {
    Mutation(Mutation),
    Truncate { above: Decree },
}

/// Everything of a mutation's block but the body.
pub(super) fn mutation_head(salt: u64, offset: u64, mutation: &Mutation) -> Vec<u8> {
    let mut fixed = [0; MUTATION_FIXED];
    let fields = [
        mutation.decree.0.to_be_bytes(),
        mutation.ballot.0.to_be_bytes(),
        mutation.timestamp_us.to_be_bytes(),
        mutation.committed.0.to_be_bytes(),
        mutation.prev_chain.to_be_bytes(),
        mutation.chain.to_be_bytes(),
    ];
    for (slot, field) in fixed.chunks_exact_mut(8).zip(fields) {
        slot.copy_from_slice(&field);
    }
    block_head(salt, offset, MUTATION, &fixed, &mutation.body)
}

pub(super) fn truncate_block(salt: u64, offset: u64, above: Decree) -> Vec<u8> {
    block_head(salt, offset, TRUNCATE, &above.0.to_be_bytes(), &[])
}

/// Block header and `fixed`; `body` is only accounted for. The caller keeps the sum within
/// `MAX_PAYLOAD`.
fn block_head(salt: u64, offset: u64, kind: u8, fixed: &[u8], body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(fixed.len() + body.len()).unwrap_or(u32::MAX);
    let crc = checksum(salt, offset, kind, len, fixed, body);
    let mut out = Vec::with_capacity(BLOCK_HEADER_LEN + fixed.len());
    out.extend_from_slice(&block_magic(salt).to_be_bytes());
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(&crc.to_be_bytes());
    out.push(kind);
    out.extend_from_slice(fixed);
    out
}

/// Bytes of a mutation's payload.
pub(super) fn payload_len(mutation: &Mutation) -> usize {
    MUTATION_FIXED.saturating_add(mutation.body.len())
}

fn block_magic(salt: u64) -> u32 {
    // Neither half is ever all zeroes, which is what a hole in a file looks like.
    ((salt >> 32) as u32) | 1
}

fn checksum(salt: u64, offset: u64, kind: u8, len: u32, fixed: &[u8], body: &[u8]) -> u32 {
    let mut place = [0; 21];
    place[..8].copy_from_slice(&salt.to_be_bytes());
    place[8..16].copy_from_slice(&offset.to_be_bytes());
    place[16..20].copy_from_slice(&len.to_be_bytes());
    place[20] = kind;
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    digest.update(&place);
    digest.update(fixed);
    digest.update(body);
    u32::try_from(digest.finalize()).unwrap_or(u32::MAX)
}

/// An intact block of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub kind: u8,
    pub payload: Bytes,
}

impl Block {
    /// Bytes in the file.
    pub(super) fn len(&self) -> usize {
        BLOCK_HEADER_LEN + self.payload.len()
    }

    /// The block at the beginning of `data`, which stands at `offset` of its segment. `None`: there
    /// is no intact one.
    pub(super) fn read(data: &Bytes, offset: u64, salt: u64) -> Option<Block> {
        let (len, crc, kind) = block_header(data, salt)?;
        let end = BLOCK_HEADER_LEN.checked_add(len as usize)?;
        if data.len() < end {
            return None;
        }
        let payload = data.slice(BLOCK_HEADER_LEN..end);
        let intact = checksum(salt, offset, kind, len, &payload, &[]) == crc;
        intact.then_some(Block { kind, payload })
    }

    /// Bytes of the whole block that begins with `header`, if that is a believable block header.
    pub(super) fn len_from_header(header: &[u8], salt: u64) -> Option<usize> {
        let (len, _, _) = block_header(header, salt)?;
        BLOCK_HEADER_LEN.checked_add(len as usize)
    }

    /// Where in `data` (which stands at `offset`) the first intact block begins.
    pub(super) fn find(data: &Bytes, offset: u64, salt: u64) -> Option<u64> {
        let magic = block_magic(salt).to_be_bytes();
        (0..data.len()).find_map(|at| {
            if !data.get(at..)?.starts_with(&magic) {
                return None;
            }
            let position = offset.checked_add(at as u64)?;
            Block::read(&data.slice(at..), position, salt).map(|_| position)
        })
    }

    pub(super) fn decode(&self) -> Result<Record, &'static str> {
        let mut fields = Fields(&self.payload);
        match self.kind {
            MUTATION => {
                let mutation = Mutation {
                    decree: decree(fields.i64()?)?,
                    ballot: Ballot(fields.i64()?),
                    timestamp_us: fields.i64()?,
                    committed: decree(fields.i64()?)?,
                    prev_chain: fields.u64()?,
                    chain: fields.u64()?,
                    body: self.payload.slice(MUTATION_FIXED..),
                };
                if mutation.decree == Decree::ZERO {
                    return Err("mutation of decree 0");
                }
                if !mutation.is_intact() {
                    return Err("content does not match its chain checksum");
                }
                Ok(Record::Mutation(mutation))
            }
            TRUNCATE => {
                let above = decree(fields.i64()?)?;
                match fields.0 {
                    [] => Ok(Record::Truncate { above }),
                    _ => Err("surplus bytes"),
                }
            }
            _ => Err("unknown kind of block"),
        }
    }
}

/// Length, checksum and kind.
fn block_header(data: &[u8], salt: u64) -> Option<(u32, u32, u8)> {
    let mut fields = Fields(data);
    let magic = fields.u32().ok()?;
    let (len, crc) = (fields.u32().ok()?, fields.u32().ok()?);
    let [kind] = fields.take::<1>().ok()?;
    (magic == block_magic(salt) && len as usize <= MAX_PAYLOAD).then_some((len, crc, kind))
}

fn decree(number: i64) -> Result<Decree, &'static str> {
    if (0..=MAX_DECREE).contains(&number) { Ok(Decree(number)) } else { Err("decree out of range") }
}

/// Fixed-size fields from the front of a slice.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or("too short")?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u32(&mut self) -> Result<u32, &'static str> {
        self.take().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, &'static str> {
        self.take().map(u64::from_be_bytes)
    }

    fn i64(&mut self) -> Result<i64, &'static str> {
        self.take().map(i64::from_be_bytes)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use pegasus_types::chain_after;
    use proptest::prelude::*;

    use super::*;

    fn mutation(body: &'static [u8]) -> Mutation {
        Mutation {
            decree: Decree(5),
            ballot: Ballot(2),
            timestamp_us: 99,
            committed: Decree(4),
            prev_chain: 7,
            chain: chain_after(7, Decree(5), 99, body),
            body: Bytes::from_static(body),
        }
    }

    fn whole(salt: u64, offset: u64, mutation: &Mutation) -> Vec<u8> {
        let mut bytes = mutation_head(salt, offset, mutation);
        bytes.extend_from_slice(&mutation.body);
        bytes
    }

    #[test]
    fn headers_read_back() {
        let header =
            SegmentHeader { index: 3, reset: true, base: Decree(77), salt: 0x0123_4567_89ab_cdef };
        let bytes = header.encode();
        assert_eq!(SegmentHeader::decode(&bytes), Ok(header));
        for i in 0..HEADER_LEN {
            let mut bad = bytes;
            bad[i] ^= 1;
            assert!(SegmentHeader::decode(&bad).is_err(), "{i}");
            assert!(SegmentHeader::decode(&bytes[..i]).is_err(), "{i}");
        }
    }

    #[test]
    fn blocks_read_back_at_their_own_place_only() {
        let mutation = mutation(b"body");
        let bytes = Bytes::from(whole(42, 100, &mutation));
        let block = Block::read(&bytes, 100, 42).unwrap();
        assert_eq!(block.len(), bytes.len());
        assert_eq!(block.decode(), Ok(Record::Mutation(mutation)));
        assert_eq!(Block::read(&bytes, 101, 42), None);
        assert_eq!(Block::read(&bytes, 100, 43), None);
        for i in 0..bytes.len() {
            let mut bad = bytes.to_vec();
            bad[i] ^= 0x10;
            assert_eq!(Block::read(&Bytes::from(bad), 100, 42), None, "{i}");
            assert_eq!(Block::read(&bytes.slice(..i), 100, 42), None, "{i}");
        }
    }

    #[test]
    fn a_mutation_that_lies_about_its_chain_is_refused() {
        let mut mutation = mutation(b"body");
        mutation.chain ^= 1;
        let bytes = Bytes::from(whole(42, 0, &mutation));
        assert!(Block::read(&bytes, 0, 42).unwrap().decode().is_err());
    }

    #[test]
    fn blocks_are_found_behind_garbage() {
        let mut bytes = vec![0xaa; 1000];
        bytes.extend_from_slice(&truncate_block(42, 1044, Decree(9)));
        let bytes = Bytes::from(bytes);
        assert_eq!(Block::find(&bytes, 44, 42), Some(1044));
        assert_eq!(Block::find(&bytes, 45, 42), None);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300),
                                       salt in any::<u64>(), kind in 0u8..4) {
            let _ = SegmentHeader::decode(&bytes);
            let data = Bytes::from(bytes);
            let _ = Block::read(&data, 0, salt);
            let _ = Block::find(&data, u64::MAX - 5, salt);
            let _ = Block { kind, payload: data }.decode();
        }
    }
}
