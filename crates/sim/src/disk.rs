use std::collections::VecDeque;

use pegasus_replication::PersistentState;
use pegasus_types::{Decree, Mutation};

use crate::dice::Dice;

/// One operation on the log of a partition, with the number the core gave it.
#[derive(Clone, Debug)]
pub enum LogOp {
    Append { seq: u64, mutation: Mutation },
    Truncate { seq: u64, above: Decree },
}

impl LogOp {
    fn seq(&self) -> u64 {
        match self {
            LogOp::Append { seq, .. } | LogOp::Truncate { seq, .. } => *seq,
        }
    }
}

/// The private log of one partition as the next start of the process would find it, plus what was
/// submitted and not reported yet.
///
/// The rules of the real log (`storage::Log`): a record that is already there with the same chain
/// is a repeat; a different one replaces everything from its decree on; a truncation record drops
/// everything above; one beyond the next decree starts anew. The content never has holes.
#[derive(Clone, Debug, Default)]
pub struct DiskLog {
    /// In order, without holes; survives a crash of the process.
    content: Vec<Mutation>,
    /// What a power loss would leave.
    synced: Vec<Mutation>,
    submitted: VecDeque<LogOp>,
    /// How many of `submitted` the disk is working on; 0 when it is idle.
    writing: usize,
}

impl DiskLog {
    pub fn content(&self) -> &[Mutation] {
        &self.content
    }

    pub fn submit(&mut self, op: LogOp) {
        self.submitted.push_back(op);
    }

    /// Starts a write of everything submitted; false if the disk is busy or nothing is to do.
    pub fn start(&mut self) -> bool {
        if self.writing > 0 || self.submitted.is_empty() {
            return false;
        }
        self.writing = self.submitted.len();
        true
    }

    /// The write that was started is done: the number of the last operation, or what is wrong.
    pub fn finish(&mut self) -> Result<Option<u64>, String> {
        let mut last = None;
        for _ in 0..std::mem::take(&mut self.writing) {
            if let Some(op) = self.submitted.pop_front() {
                last = Some(op.seq());
                self.carry_out(op)?;
            }
        }
        Ok(last)
    }

    fn carry_out(&mut self, op: LogOp) -> Result<(), String> {
        let mutation = match op {
            LogOp::Truncate { above, .. } => {
                self.content.retain(|m| m.decree <= above);
                return Ok(());
            }
            LogOp::Append { mutation, .. } => mutation,
        };
        let decree = mutation.decree;
        if self.at(decree).is_some_and(|held| held.chain == mutation.chain) {
            return Ok(());
        }
        if self.content.last().is_some_and(|last| decree > last.decree.next()) {
            // The log lost its tail in a crash; what was between is in the engine.
            self.content.clear();
        }
        if self.content.first().is_some_and(|first| decree < first.decree) {
            return Err(format!("{decree} lies before the first record of the log"));
        }
        self.content.retain(|m| m.decree < decree);
        if self.content.last().is_some_and(|before| before.chain != mutation.prev_chain) {
            return Err(format!("{decree} does not continue the record before it"));
        }
        self.content.push(mutation);
        Ok(())
    }

    pub fn at(&self, decree: Decree) -> Option<&Mutation> {
        let first = self.content.first()?.decree;
        self.content.get(usize::try_from(decree.0 - first.0).ok()?)
    }

    /// Records `after + 1 ..= up_to`, at least one and otherwise at most `max_bytes`; None if the
    /// log does not reach back that far.
    pub fn read(&self, after: Decree, up_to: Decree, max_bytes: usize) -> Option<Vec<Mutation>> {
        let mut found = Vec::new();
        if after >= up_to {
            return Some(found);
        }
        let mut bytes = 0;
        let mut decree = after.next();
        self.at(decree)?;
        while decree <= up_to {
            let Some(mutation) = self.at(decree) else {
                break;
            };
            bytes += mutation.weight();
            if bytes > max_bytes && !found.is_empty() {
                break;
            }
            found.push(mutation.clone());
            decree = decree.next();
        }
        Some(found)
    }

    /// Drops some of the records at or below `below`; segments decide how many.
    pub fn collect(&mut self, below: Decree, dice: &mut Dice) {
        let may = self.content.iter().take_while(|m| m.decree <= below).count();
        if may > 0 {
            let drop = dice.range(0..may as u64 + 1) as usize;
            self.content.drain(..drop);
        }
    }

    pub fn sync(&mut self) {
        self.synced.clone_from(&self.content);
    }

    /// Empties the log; true if operations were still under way, which the core must not allow.
    pub fn reset(&mut self) -> bool {
        let busy = !self.submitted.is_empty();
        self.content.clear();
        self.synced.clear();
        busy
    }

    /// kill -9: what reached the page cache stays. Of what was submitted and not reported, any
    /// first part may have been written.
    pub fn crash(&mut self, dice: &mut Dice) -> Result<(), String> {
        let survivors = dice.range(0..self.submitted.len() as u64 + 1);
        for _ in 0..survivors {
            if let Some(op) = self.submitted.pop_front() {
                self.carry_out(op)?;
            }
        }
        self.submitted.clear();
        self.writing = 0;
        Ok(())
    }

    /// Power loss: only what was synced stays.
    pub fn lose_power(&mut self) {
        self.submitted.clear();
        self.writing = 0;
        self.content.clone_from(&self.synced);
    }
}

/// The small state file of one partition: one write at a time, and of those that wait only the
/// newest matters.
#[derive(Clone, Debug, Default)]
pub struct StateFile {
    pub content: Option<PersistentState>,
    writing: Option<(u64, PersistentState)>,
    next: Option<(u64, PersistentState)>,
}

impl StateFile {
    pub fn submit(&mut self, seq: u64, state: PersistentState) {
        self.next = Some((seq, state));
    }

    /// Starts the next write; false if the disk is busy or nothing is to do.
    pub fn start(&mut self) -> bool {
        if self.writing.is_some() || self.next.is_none() {
            return false;
        }
        self.writing = self.next.take();
        true
    }

    /// The write that was started is on disk: its number.
    pub fn finish(&mut self) -> Option<u64> {
        let (seq, state) = self.writing.take()?;
        self.content = Some(state);
        Some(seq)
    }

    pub fn crash(&mut self, dice: &mut Dice) {
        if dice.chance(500) {
            self.finish();
        }
        self.writing = None;
        self.next = None;
    }
}
