//! Gauges of the cluster's state (`spec/config-envs-metrics.md` 4.3, 4.4).

use metrics::gauge;
use pegasus_control::Health;
use pegasus_types::AppStatus;

use crate::view::{AppView, View};

const STATES: [(Health, &str); 5] = [
    (Health::Dead, "pegasus_dead_partitions"),
    (Health::Unreadable, "pegasus_unreadable_partitions"),
    (Health::Unwritable, "pegasus_unwritable_partitions"),
    (Health::WritableIll, "pegasus_writable_ill_partitions"),
    (Health::Healthy, "pegasus_healthy_partitions"),
];

/// Sets the gauges to `view`; tables that are as in `before` keep theirs.
#[allow(clippy::cast_precision_loss, reason = "small counts")]
pub fn publish(before: &View, view: &View) {
    let alive = view.nodes.iter().filter(|node| node.alive).count();
    gauge!("pegasus_alive_replica_servers").set(alive as f64);
    gauge!("pegasus_unalive_replica_servers").set((view.nodes.len() - alive) as f64);
    for (app_id, app) in &view.apps {
        if before.apps.get(app_id).is_none_or(|known| known.version != app.version) {
            publish_table(app);
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "small counts")]
fn publish_table(app: &AppView) {
    let served = app.info.status == AppStatus::Available;
    for (state, name) in STATES {
        let count = app.partitions.iter().filter(|(_, health)| served && *health == state).count();
        let (id, table) = (app.info.app_id.to_string(), app.info.app_name.clone());
        gauge!(name, "table_id" => id, "table" => table).set(count as f64);
    }
}
