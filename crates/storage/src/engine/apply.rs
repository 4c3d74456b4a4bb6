use std::sync::atomic::Ordering;

use pegasus_types::{DataVersion, Decree, Mutation, ValueHeader, timetag};
use rocksdb::{ErrorKind, WriteBatch};

use super::{Engine, lock, meta};
use crate::body::{BodyReader, Op};
use crate::error::ApplyError;

/// A larger buffer is not kept for the next call.
const SCRATCH_KEPT: usize = 1 << 20;
/// Rough cost of an operation in a batch besides its bytes.
const OP_OVERHEAD: usize = 64;

/// Where values get their headers.
#[derive(Default)]
pub(super) struct Scratch {
    value: Vec<u8>,
}

impl Engine {
    /// Apply committed mutations, all or none: they must follow each other and what is applied.
    /// Reads see them when this returns. With `no_slowdown` the call never waits for flushes or
    /// compactions but answers [`ApplyError::Stalled`].
    pub fn apply(&self, mutations: &[Mutation], no_slowdown: bool) -> Result<(), ApplyError> {
        let Some(last) = mutations.last() else {
            return Ok(());
        };
        let mut scratch = lock(&self.writer);
        self.check_order(mutations)?;
        let mut batch = WriteBatch::with_capacity_bytes(estimate(mutations));
        for mutation in mutations {
            self.encode(mutation, &mut batch, &mut scratch.value)?;
        }
        if scratch.value.capacity() > SCRATCH_KEPT {
            scratch.value = Vec::new();
        }
        let family = meta::family(&self.db, &self.path)?;
        batch.put_cf(family, meta::LAST_DECREE, last.decree.to_string());
        batch.put_cf(family, meta::LAST_CHAIN, last.chain.to_string());

        let options = if no_slowdown { &self.write_or_stall } else { &self.write_patiently };
        self.db.write_opt(batch, options).map_err(|e| match e.kind() {
            ErrorKind::Incomplete if no_slowdown => ApplyError::Stalled,
            _ => self.fault(e).into(),
        })?;
        *lock(&self.position) = (last.decree, last.chain);
        self.applied.store(last.decree.0, Ordering::Release);
        Ok(())
    }

    /// Decrees and chain must continue what is applied.
    fn check_order(&self, mutations: &[Mutation]) -> Result<(), ApplyError> {
        let (mut decree, mut chain) = self.applied();
        for mutation in mutations {
            let expected = decree.0.checked_add(1);
            if Some(mutation.decree.0) != expected {
                return Err(corrupt(mutation.decree, format!("it does not follow {decree}")));
            }
            // Chain 0 behind a decree: a database without chain, anything may follow.
            let chainless = chain == 0 && decree > Decree::ZERO;
            if mutation.prev_chain != chain && !chainless {
                return Err(corrupt(
                    mutation.decree,
                    format!(
                        "it continues chain {:016x}, applied is {chain:016x}",
                        mutation.prev_chain
                    ),
                ));
            }
            (decree, chain) = (mutation.decree, mutation.chain);
        }
        Ok(())
    }

    fn encode(
        &self,
        mutation: &Mutation,
        batch: &mut WriteBatch,
        value: &mut Vec<u8>,
    ) -> Result<(), ApplyError> {
        let undecodable = |e| corrupt(mutation.decree, e);
        let tag = timetag(mutation.timestamp_us, self.cluster_id, false);
        let mut empty = true;
        for op in BodyReader::new(&mutation.body).map_err(undecodable)? {
            empty = false;
            match op.map_err(undecodable)? {
                Op::Put { key, value: data, expire_ts } => {
                    let timetag = tag;
                    fill(value, self.data_version, ValueHeader { expire_ts, timetag }, data);
                    batch.put(key, &*value);
                }
                Op::Remove { key } => batch.delete(key),
            }
        }
        if empty {
            // As in the reference: every decree leaves a trace in the data (`spec/data.md` 3.3).
            fill(value, self.data_version, ValueHeader::default(), &[]);
            batch.put(b"", &*value);
        }
        Ok(())
    }
}

fn fill(value: &mut Vec<u8>, version: DataVersion, header: ValueHeader, data: &[u8]) {
    value.clear();
    value.reserve(version.header_len() + data.len());
    header.encode_into(version, value);
    value.extend_from_slice(data);
}

fn corrupt(decree: Decree, reason: impl ToString) -> ApplyError {
    ApplyError::Corrupt { decree, reason: reason.to_string() }
}

fn estimate(mutations: &[Mutation]) -> usize {
    mutations
        .iter()
        .map(|mutation| mutation.body.len() + OP_OVERHEAD)
        .fold(2 * OP_OVERHEAD, usize::saturating_add)
}
