//! durable <= applied <= committed <= prepared on every replica after every step.
//!
//! Origin: assertion A1 of `spec/replication.md` 3.9; PacificA paper, section 2.2 (the committed
//! list is a prefix of the prepared list).

use super::{Seen, Violation};

pub fn check(seen: &Seen<'_>) -> Result<(), Violation> {
    let (durable, applied) = (seen.durable.decree(), seen.applied.decree());
    let (committed, prepared) = (seen.committed.decree(), seen.prepared.decree());
    if durable <= applied && applied <= committed && committed <= prepared {
        return Ok(());
    }
    Err(Violation::new(
        "watermark_order",
        format!(
            "node {} partition {}: durable {durable} applied {applied} committed {committed} \
             prepared {prepared}",
            seen.node, seen.pid
        ),
    ))
}
