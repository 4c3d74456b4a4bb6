//! The operations on each key, as clients saw them, are linearizable as a register.
//!
//! Origin: promise 1 of the design; Herlihy and Wing, "Linearizability" (1990). Every value is
//! written once, so the check of Gibbons and Korach, "Testing Shared Memories" (1997), section 4,
//! decides it exactly in n log n: a write and its reads form a cluster; with `first` the earliest
//! finish and `last` the latest start in a cluster, the cluster needs [first, last] for itself if
//! first < last (a forward zone), otherwise it only needs some point of [last, first].

use std::collections::BTreeMap;

use super::Violation;
use crate::clock::Instant;
use crate::engine::{Key, Value};

const NAME: &str = "linearizable_per_key";

/// One finished or unanswered operation. A failed read is not an operation, nor is a write that
/// was refused for certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    pub key: Key,
    pub start: Instant,
    /// None: unanswered, so it may take effect at any time or never.
    pub finish: Option<Instant>,
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Write(Value),
    /// None: the key was not there.
    Read(Option<Value>),
}

#[derive(Clone, Copy, Debug)]
struct Zone {
    value: Option<Value>,
    first: Instant,
    last: Instant,
}

pub fn check(operations: &[Operation]) -> Result<(), Violation> {
    let mut keys: BTreeMap<Key, Vec<Operation>> = BTreeMap::new();
    for operation in operations {
        keys.entry(operation.key).or_default().push(*operation);
    }
    for (key, operations) in keys {
        check_key(&operations).map_err(|why| Violation::new(NAME, format!("key {key}: {why}")))?;
    }
    Ok(())
}

fn check_key(operations: &[Operation]) -> Result<(), String> {
    let zones = zones(operations)?;
    let (mut forward, backward): (Vec<Zone>, Vec<Zone>) =
        zones.into_iter().partition(|z| z.first < z.last);
    forward.sort_by_key(|z| z.first);
    for pair in forward.windows(2) {
        if let [a, b] = pair
            && b.first < a.last
        {
            return Err(format!("values {:?} and {:?} take turns: {a:?} {b:?}", a.value, b.value));
        }
    }
    for zone in backward {
        let before = forward.partition_point(|f| f.first < zone.last);
        let around = before.checked_sub(1).and_then(|i| forward.get(i));
        if let Some(around) = around.filter(|f| zone.first < f.last) {
            return Err(format!("{zone:?} lies within {around:?}"));
        }
    }
    Ok(())
}

/// One zone per value that was certainly there; the initial absence is a write at time 0.
fn zones(operations: &[Operation]) -> Result<Vec<Zone>, String> {
    let mut writes: BTreeMap<Option<Value>, (Instant, Option<Instant>)> = BTreeMap::new();
    writes.insert(None, (0, Some(0)));
    for operation in operations {
        if let Kind::Write(value) = operation.kind {
            writes.insert(Some(value), (operation.start, operation.finish));
        }
    }
    let mut zones: BTreeMap<Option<Value>, Zone> = BTreeMap::new();
    for (value, (start, finish)) in &writes {
        let first = finish.unwrap_or(Instant::MAX);
        zones.insert(*value, Zone { value: *value, first, last: *start });
    }
    for operation in operations {
        let (Kind::Read(value), Some(finish)) = (operation.kind, operation.finish) else {
            continue;
        };
        let Some((written, _)) = writes.get(&value) else {
            return Err(format!("{operation:?} returns a value that nobody wrote"));
        };
        if finish < *written {
            return Err(format!("{operation:?} returns a value before it was written"));
        }
        if let Some(zone) = zones.get_mut(&value) {
            zone.first = zone.first.min(finish);
            zone.last = zone.last.max(operation.start);
        }
    }
    // A write that nobody answered and nobody read may never have happened.
    zones.retain(|_, zone| zone.first != Instant::MAX);
    Ok(zones.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::Dice;

    fn op(start: Instant, finish: Option<Instant>, kind: Kind) -> Operation {
        Operation { key: 0, start, finish, kind }
    }

    /// Wing and Gong's search, for short histories.
    fn search(operations: &[Operation], done: u32, value: Option<Value>) -> bool {
        let open = |i: usize| done & (1 << i) == 0;
        let must: Vec<usize> =
            (0..operations.len()).filter(|i| open(*i) && operations[*i].finish.is_some()).collect();
        if must.is_empty() {
            return true;
        }
        let horizon = must.iter().filter_map(|i| operations[*i].finish).min().unwrap_or(0);
        (0..operations.len()).filter(|i| open(*i) && operations[*i].start <= horizon).any(|i| {
            match operations[i].kind {
                Kind::Write(new) => search(operations, done | 1 << i, Some(new)),
                Kind::Read(seen) => seen == value && search(operations, done | 1 << i, value),
            }
        })
    }

    #[test]
    fn agrees_with_exhaustive_search() {
        let mut dice = Dice::new(7);
        let (mut good, mut bad) = (0, 0);
        for _ in 0..20_000 {
            let mut operations = Vec::new();
            let mut times: Vec<Instant> = (1..15).map(|t| t * 10).collect();
            let mut written = 0;
            for _ in 0..7 {
                let a = times.swap_remove(dice.index(times.len()));
                let b = times.swap_remove(dice.index(times.len()));
                let (start, finish) = (a.min(b), a.max(b));
                let kind = if dice.chance(500) {
                    written += 1;
                    Kind::Write(written)
                } else {
                    Kind::Read(Some(dice.range(0..written + 1)).filter(|v| *v > 0))
                };
                let unknown = matches!(kind, Kind::Write(_)) && dice.chance(200);
                operations.push(op(start, Some(finish).filter(|_| !unknown), kind));
            }
            let expected = search(&operations, 0, None);
            if expected {
                good += 1
            } else {
                bad += 1
            }
            assert_eq!(check(&operations).is_ok(), expected, "{operations:?}");
        }
        assert!(good > 1000 && bad > 1000, "{good} {bad}");
    }

    #[test]
    fn stale_read_is_found() {
        let history = [
            op(1, Some(2), Kind::Write(1)),
            op(3, Some(4), Kind::Write(2)),
            op(5, Some(6), Kind::Read(Some(1))),
        ];
        assert!(check(&history).is_err());
        assert!(check(&history[..2]).is_ok());
    }
}
