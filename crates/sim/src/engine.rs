use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use pegasus_types::{Decree, Mutation};

pub type Key = u8;
pub type Value = u64;

/// The body of a mutation in the simulator: any number of (key, value).
pub fn encode_body(writes: &[(Key, Value)]) -> Bytes {
    let mut body = Vec::with_capacity(writes.len() * 9);
    for (key, value) in writes {
        body.push(*key);
        body.extend_from_slice(&value.to_be_bytes());
    }
    Bytes::from(body)
}

pub fn decode_body(body: &[u8]) -> impl Iterator<Item = (Key, Value)> + '_ {
    body.chunks_exact(9).map(|chunk| {
        let mut value = [0; 8];
        value.copy_from_slice(&chunk[1..]);
        (chunk[0], Value::from_be_bytes(value))
    })
}

/// The state after some decree: what a checkpoint holds and what reads see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    pub values: BTreeMap<Key, Value>,
    pub decree: Decree,
    pub chain: u64,
}

impl Image {
    /// Applies the next mutation; an error says why it is not the next one.
    pub fn apply(&mut self, mutation: &Mutation) -> Result<(), String> {
        if mutation.decree != self.decree.next() || mutation.prev_chain != self.chain {
            return Err(format!(
                "engine is at {} with chain {:x} and gets {} after chain {:x}",
                self.decree, self.chain, mutation.decree, mutation.prev_chain
            ));
        }
        self.values.extend(decode_body(&mutation.body));
        self.decree = mutation.decree;
        self.chain = mutation.chain;
        Ok(())
    }
}

/// The storage engine of one replica: what reads see, what survives a crash, and what is under way.
#[derive(Clone, Debug, Default)]
pub struct Engine {
    pub live: Image,
    /// Holds without the log.
    pub flushed: Image,
    pub applying: VecDeque<Vec<Mutation>>,
    /// A flush that was started: it becomes `flushed` when it is done.
    pub flushing: Option<Image>,
}

impl Engine {
    /// The process is gone. `flush_made_it`: whether a flush under way reached the disk.
    pub fn crash(&mut self, flush_made_it: bool) {
        self.applying.clear();
        if let Some(image) = self.flushing.take().filter(|_| flush_made_it) {
            self.flushed = image;
        }
        self.live = self.flushed.clone();
    }

    /// Replaces everything by a checkpoint.
    pub fn install(&mut self, image: Image) {
        self.flushing = None;
        self.flushed = image.clone();
        self.live = image;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_round_trip() {
        let writes = [(3, 77), (4, u64::MAX)];
        assert_eq!(decode_body(&encode_body(&writes)).collect::<Vec<_>>(), writes);
        assert_eq!(decode_body(b"").count(), 0);
    }
}
