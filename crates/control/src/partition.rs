use pegasus_types::{Ballot, ChangeKind, ConfigUpdate, NodeId, PartitionConfig, Tick};

use crate::Token;

/// Former members kept in a configuration (`spec/meta.md` 2.4).
pub(crate) const MAX_LAST_DROPS: usize = 3;

/// One partition: its stored configuration and what is going on with it.
#[derive(Clone, Debug)]
pub(crate) struct Partition {
    /// Equal to the store's.
    pub config: PartitionConfig,
    /// The store's `partition_flags` bit 0: dropped together with its table.
    pub dropped: bool,
    /// False while the store's node of this partition is not known to exist.
    pub stored: bool,
    /// When `config` came into force here.
    pub changed_at: Tick,
    pub pending: Option<Pending>,
    pub cure: Option<Cure>,
    /// Observed departures of nodes that are not members now, oldest first.
    pub drops: Vec<(NodeId, Tick)>,
}

/// A configuration on its way to the store.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub seq: u64,
    pub config: PartitionConfig,
    /// Requests that want to know how it ends.
    pub waiting: Vec<Token>,
}

/// The proposal that is being repeated for a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cure {
    pub kind: ChangeKind,
    pub node: NodeId,
    /// Who must act.
    pub to: NodeId,
    pub since: Tick,
    pub last_sent: Tick,
    /// The node reported that it is learning.
    pub learning_seen: bool,
    /// It was learning and then reported that it no longer is: choose another.
    pub failed: bool,
}

impl Cure {
    /// (primaries, partitions) that this promises to `node`.
    pub fn promise(&self) -> (i64, i64) {
        match self.kind {
            ChangeKind::AssignPrimary => (1, 1),
            ChangeKind::UpgradeToPrimary => (1, 0),
            ChangeKind::AddSecondary | ChangeKind::AddSecondaryForBalance => (0, 1),
            _ => (0, 0),
        }
    }
}

impl Partition {
    pub fn new(config: PartitionConfig, now: Tick) -> Partition {
        Partition {
            config,
            dropped: false,
            stored: true,
            changed_at: now,
            pending: None,
            cure: None,
            drops: Vec::new(),
        }
    }

    /// Never had a member, so it holds no data that could be lost.
    pub fn is_brand_new(&self) -> bool {
        self.config.ballot <= Ballot::ZERO
            && self.config.last_drops.is_empty()
            && self.config.member_count() == 0
    }
}

/// How well a partition is served (`spec/meta.md` 4.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    Dead,
    Unreadable,
    Unwritable,
    WritableIll,
    Healthy,
}

impl Health {
    /// `min_write` as of [`min_write_members`].
    pub fn of(config: &PartitionConfig, min_write: usize) -> Health {
        let members = config.member_count();
        let wanted = usize::try_from(config.max_replica_count).unwrap_or(0);
        if config.primary.is_none() {
            return if members == 0 { Health::Dead } else { Health::Unreadable };
        }
        if members < min_write {
            Health::Unwritable
        } else if members < wanted {
            Health::WritableIll
        } else {
            Health::Healthy
        }
    }
}

/// Members that a write needs: the configured number, or derived from the replica count if that is
/// not positive (`spec/meta.md` 4.7).
pub fn min_write_members(configured: i32, max_replica_count: i32) -> usize {
    let count = if configured > 0 {
        configured
    } else if max_replica_count <= 2 {
        1
    } else {
        max_replica_count / 2 + 1
    };
    usize::try_from(count).unwrap_or(1)
}

/// The configuration after `current` if `update` is a legal change of it (`spec/meta.md` 4.2).
/// The order of the secondaries is the request's; `last_drops` of the request is not trusted.
pub(crate) fn next_config(
    current: &PartitionConfig,
    update: &ConfigUpdate,
) -> Option<PartitionConfig> {
    let wanted = &update.config;
    if wanted.pid != current.pid
        || current.ballot.0.checked_add(1) != Some(wanted.ballot.0)
        || wanted.max_replica_count != current.max_replica_count
    {
        return None;
    }
    let mut next = changed_members(current, update.kind, &update.node)?;
    if next.primary != wanted.primary || !same_set(&next.secondaries, &wanted.secondaries) {
        return None;
    }
    next.secondaries.clone_from(&wanted.secondaries);
    next.last_committed = current.last_committed.max(wanted.last_committed);
    Some(next)
}

/// `current` with the ballot raised and the change `kind` of `node` made; None if it does not fit.
fn changed_members(
    current: &PartitionConfig,
    kind: ChangeKind,
    node: &NodeId,
) -> Option<PartitionConfig> {
    let mut next = current.clone();
    next.ballot = Ballot(current.ballot.0.checked_add(1)?);
    match kind {
        ChangeKind::AssignPrimary => {
            if current.member_count() != 0 {
                return None;
            }
            next.primary = Some(node.clone());
        }
        ChangeKind::UpgradeToPrimary => {
            if current.primary.is_some() || !current.is_secondary(node) {
                return None;
            }
            next.primary = Some(node.clone());
            next.secondaries.retain(|n| n != node);
        }
        ChangeKind::UpgradeToSecondary => {
            if current.primary.is_none() || current.is_member(node) {
                return None;
            }
            next.secondaries.push(node.clone());
        }
        ChangeKind::DowngradeToSecondary => {
            if !current.is_primary(node) {
                return None;
            }
            next.primary = None;
            next.secondaries.push(node.clone());
        }
        ChangeKind::DowngradeToInactive | ChangeKind::Remove => {
            if !current.is_member(node) {
                return None;
            }
            if current.is_primary(node) {
                next.primary = None;
            }
            next.secondaries.retain(|n| n != node);
        }
        ChangeKind::ForceUpdateBallot => {
            current.primary.as_ref()?;
        }
        ChangeKind::AddSecondary | ChangeKind::AddSecondaryForBalance => return None,
    }
    next.last_drops = last_drops_after(current, &next);
    Some(next)
}

/// A member that left is the newest entry, a member that joined is none.
fn last_drops_after(current: &PartitionConfig, next: &PartitionConfig) -> Vec<NodeId> {
    let mut drops: Vec<NodeId> =
        current.last_drops.iter().filter(|n| !next.is_member(n)).cloned().collect();
    // Secondaries before the primary: the last one is the one trusted most (spec/meta.md 3.4).
    let left = current.secondaries.iter().chain(current.primary.iter());
    for node in left.filter(|n| !next.is_member(n)) {
        drops.retain(|n| n != node);
        drops.push(node.clone());
    }
    let surplus = drops.len().saturating_sub(MAX_LAST_DROPS);
    drops.drain(..surplus);
    drops
}

/// What the meta server writes on its own when the primary is dead: same secondaries, no primary.
pub(crate) fn without_primary(current: &PartitionConfig) -> Option<PartitionConfig> {
    let primary = current.primary.as_ref()?;
    changed_members(current, ChangeKind::DowngradeToInactive, primary)
}

/// What the meta server writes when the table is dropped: no members. A partition that never had
/// one keeps ballot 0, so that it still counts as brand new should the table be recalled.
pub(crate) fn without_members(current: &PartitionConfig) -> Option<PartitionConfig> {
    let mut next = current.clone();
    if current.ballot <= Ballot::ZERO {
        return Some(next);
    }
    next.ballot = Ballot(current.ballot.0.checked_add(1)?);
    next.primary = None;
    next.secondaries.clear();
    next.last_drops = last_drops_after(current, &next);
    Some(next)
}

/// Whether `update` asks for what is in force already: a repeated request whose answer was lost.
/// `last_drops` and `last_committed` are ours and do not count.
pub(crate) fn is_in_force(config: &PartitionConfig, update: &ConfigUpdate) -> bool {
    let wanted = &update.config;
    config.pid == wanted.pid
        && config.ballot == wanted.ballot
        && config.primary == wanted.primary
        && same_set(&config.secondaries, &wanted.secondaries)
}

fn same_set(a: &[NodeId], b: &[NodeId]) -> bool {
    a.len() == b.len() && a.iter().all(|n| b.contains(n)) && b.iter().all(|n| a.contains(n))
}
