//! No client hears of success before the mutation is on at least the minimum number of disks, and
//! on the disk of every member of the configuration it was acknowledged in.
//!
//! Origin: design 3, rules 4 and 11; gap H of `spec/replication.md` 3.9.

use pegasus_types::{Decree, PartitionId};

use super::Violation;

/// An acknowledgement: by whom, of what, and where it is.
pub struct Acknowledged<'a> {
    pub pid: PartitionId,
    pub decree: Decree,
    /// The configuration of the primary that acknowledged it, without nodes whose data was
    /// destroyed.
    pub members: &'a [usize],
    /// Nodes, up or down, whose log or engine has the acknowledged mutation on disk.
    pub holders: &'a [usize],
    /// A later configuration is stored. Its members may have left since and dropped the mutation;
    /// that its primaries have it is what `acked_write_is_durable` says.
    pub deposed: bool,
}

pub fn check(minimum: usize, ack: &Acknowledged<'_>) -> Result<(), Violation> {
    let everywhere = ack.members.iter().all(|m| ack.holders.contains(m));
    let enough = ack.holders.len() >= minimum && everywhere;
    if enough || (ack.deposed && !ack.holders.is_empty()) {
        return Ok(());
    }
    let Acknowledged { pid, decree, members, holders, .. } = ack;
    Err(Violation::new(
        "min_member_ack",
        format!(
            "partition {pid}: decree {decree} was acknowledged by members {members:?} but is on \
             {holders:?}; at least {minimum} are needed"
        ),
    ))
}
