use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use pegasus_types::{Decree, Mutation};

use super::block::{BLOCK_HEADER_LEN, Block, Record};
use crate::error::LogError;

/// Mutations to read, fixed while the log was locked; reading them needs no lock and is not
/// disturbed by later appends or collections.
#[derive(Debug)]
pub struct ReadPlan {
    pub(super) places: Vec<Place>,
    pub(super) max_bytes: usize,
}

#[derive(Debug)]
pub(super) struct Place {
    pub decree: Decree,
    pub chain: u64,
    pub offset: u64,
    pub file: Arc<OpenSegment>,
}

#[derive(Debug)]
pub(super) struct OpenSegment {
    pub file: File,
    pub path: PathBuf,
    pub salt: u64,
    pub len: u64,
}

impl ReadPlan {
    /// Read in decree order until `max_bytes` of bodies would be exceeded, but at least one.
    pub fn run(self) -> Result<Vec<Mutation>, LogError> {
        let mut mutations: Vec<Mutation> = Vec::with_capacity(self.places.len().min(1024));
        let mut bytes = 0usize;
        for place in &self.places {
            let mutation = place.read()?;
            bytes = bytes.saturating_add(mutation.weight());
            if bytes > self.max_bytes && !mutations.is_empty() {
                break;
            }
            mutations.push(mutation);
        }
        Ok(mutations)
    }
}

impl Place {
    fn read(&self) -> Result<Mutation, LogError> {
        let segment = &self.file;
        let corrupt = |reason| LogError::corrupt(&segment.path, self.offset, reason);
        let mut header = [0; BLOCK_HEADER_LEN];
        self.read_at(&mut header)?;
        let len = Block::len_from_header(&header, segment.salt)
            .filter(|&len| self.offset.saturating_add(len as u64) <= segment.len)
            .ok_or_else(|| corrupt("damaged block"))?;
        let mut data = vec![0; len];
        self.read_at(&mut data)?;
        let record = Block::read(&Bytes::from(data), self.offset, segment.salt)
            .ok_or_else(|| corrupt("damaged block"))?
            .decode()
            .map_err(corrupt)?;
        match record {
            Record::Mutation(mutation)
                if mutation.decree == self.decree && mutation.chain == self.chain =>
            {
                Ok(mutation)
            }
            _ => Err(corrupt("not the mutation that was written here")),
        }
    }

    fn read_at(&self, buf: &mut [u8]) -> Result<(), LogError> {
        self.file.file.read_exact_at(buf, self.offset).map_err(|e| LogError::io(&self.file.path, e))
    }
}
