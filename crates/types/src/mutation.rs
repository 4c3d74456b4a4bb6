use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{Ballot, Decree};

/// One decree of a partition: the unit of replication, logging and application.
///
/// The body holds results (puts and removes), never recipes, so every replica that applies it ends
/// in the same state (design 3, rule 10). Its layout belongs to the storage crate; nobody between
/// the primary's RPC handler and the engine looks inside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mutation {
    pub decree: Decree,
    /// Ballot in which this content was first proposed.
    pub ballot: Ballot,
    /// Microseconds since the unix epoch, strictly increasing within a partition.
    pub timestamp_us: i64,
    /// Highest committed decree its primary knew when it proposed this one.
    pub committed: Decree,
    /// `chain` of the previous decree, 0 before decree 1.
    pub prev_chain: u64,
    /// Checksum over this and all earlier mutations of the partition, see [`chain_after`].
    pub chain: u64,
    pub body: Bytes,
}

/// The chain checksum after a mutation: two replicas with the same chain at a decree hold the same
/// history up to it (gap A11 of `spec/replication.md` 3.9).
///
/// CRC-64/NVME over `prev_chain | decree | timestamp_us` (each 8 bytes, big endian) and the body;
/// never 0, so that 0 can mean "empty history".
pub fn chain_after(prev_chain: u64, decree: Decree, timestamp_us: i64, body: &[u8]) -> u64 {
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Nvme);
    digest.update(&prev_chain.to_be_bytes());
    digest.update(&decree.0.to_be_bytes());
    digest.update(&timestamp_us.to_be_bytes());
    digest.update(body);
    digest.finalize().max(1)
}

impl Mutation {
    /// Whether `chain` really follows from the rest; false means damaged content.
    pub fn is_intact(&self) -> bool {
        chain_after(self.prev_chain, self.decree, self.timestamp_us, &self.body) == self.chain
    }

    /// Bytes this mutation costs in a buffer, give or take a constant.
    pub fn weight(&self) -> usize {
        self.body.len() + 64
    }
}
