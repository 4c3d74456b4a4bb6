use std::collections::BTreeSet;

use pegasus_types::PartitionId;

use crate::loads::Loads;
use crate::partition::{MAX_LAST_DROPS, Partition};
use crate::state::{App, ClusterState};
use crate::writes::Purpose;

impl ClusterState {
    /// Every invariant; Err names the first one that is broken. Costs a pass over everything.
    pub fn check(&self) -> Result<(), String> {
        let mut loads = Loads::default();
        for (app_id, app) in &self.apps {
            check_app(*app_id, app)?;
            for partition in &app.partitions {
                check_partition(partition)
                    .map_err(|problem| format!("{}: {problem}", partition.config.pid))?;
                loads.add(&partition.config);
                if let Some(cure) = &partition.cure {
                    let (primaries, partitions) = cure.promise();
                    loads.change(&cure.node, *app_id, primaries, partitions);
                }
            }
        }
        if loads != self.loads {
            return Err("the load counters differ from the configurations".to_owned());
        }
        self.check_names()?;
        self.check_writes()
    }

    fn check_names(&self) -> Result<(), String> {
        for (name, app_id) in &self.names {
            let app = self.apps.get(app_id).ok_or(format!("name {name} leads nowhere"))?;
            if app.info.app_name != *name {
                return Err(format!("name {name} leads to table {}", app.info.app_name));
            }
        }
        let last = self.apps.keys().next_back().copied().unwrap_or(0);
        if last >= self.next_app_id {
            return Err(format!("the next table id {} is in use", self.next_app_id));
        }
        Ok(())
    }

    fn check_writes(&self) -> Result<(), String> {
        let mut busy: BTreeSet<PartitionId> = BTreeSet::new();
        for (seq, purpose) in self.writes.purposes() {
            let Purpose::Configs(pids) = purpose else {
                continue;
            };
            for pid in pids {
                let pending = self.partition_ref(*pid).and_then(|(_, p)| p.pending.as_ref());
                if pending.is_none_or(|pending| pending.seq != seq) || !busy.insert(*pid) {
                    return Err(format!("{pid}: two changes are on their way to the store"));
                }
            }
        }
        let pending = self.apps.values().flat_map(|app| &app.partitions);
        let pending = pending.filter(|p| p.pending.is_some()).count();
        if pending != busy.len() {
            return Err("a pending configuration is not on its way to the store".to_owned());
        }
        Ok(())
    }
}

fn check_app(app_id: i32, app: &App) -> Result<(), String> {
    if app.info.app_id != app_id {
        return Err(format!("table {app_id} says it is {}", app.info.app_id));
    }
    if usize::try_from(app.info.partition_count) != Ok(app.partitions.len()) {
        return Err(format!("table {app_id} has {} partitions", app.partitions.len()));
    }
    for (index, partition) in app.partitions.iter().enumerate() {
        let pid = partition.config.pid;
        if pid.app_id != app_id || usize::try_from(pid.index) != Ok(index) {
            return Err(format!("table {app_id} holds {pid} at {index}"));
        }
        if app.is_available() && (partition.dropped || !partition.stored) {
            return Err(format!("{pid} of an available table is dropped or not stored"));
        }
    }
    Ok(())
}

fn check_partition(partition: &Partition) -> Result<(), String> {
    let config = &partition.config;
    let members: BTreeSet<_> = config.members().collect();
    if members.len() != config.member_count() {
        return Err("a node is a member twice".to_owned());
    }
    if config.last_drops.len() > MAX_LAST_DROPS
        || config.last_drops.iter().any(|node| members.contains(node))
    {
        return Err("last_drops is too long or names a member".to_owned());
    }
    if config.ballot.0 < 0 {
        return Err("the ballot is negative".to_owned());
    }
    if config.ballot.0 > 0
        && members.is_empty()
        && config.last_drops.is_empty()
        && !partition.dropped
    {
        return Err("nobody is known to have the data".to_owned());
    }
    if let Some(pending) = &partition.pending
        && pending.config.ballot != config.ballot.next()
    {
        return Err("a pending configuration does not raise the ballot by one".to_owned());
    }
    Ok(())
}
