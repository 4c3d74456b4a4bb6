//! What `cluster_info` shows (`spec/admin.md` 1, 5).

use std::fmt::Display;

use pegasus_protocol::admin::ClusterInfoResponse;
use pegasus_types::ErrorCode;

use crate::shared::Shared;
use crate::view::{NodeView, View};

pub fn response(shared: &Shared) -> ClusterInfoResponse {
    let view = shared.view.load();
    if !view.serving {
        let err = ErrorCode::ServiceNotActive;
        return ClusterInfoResponse { err, keys: Vec::new(), values: Vec::new() };
    }
    let mut pairs = pairs(shared, &view);
    pairs.push(("cluster_name", shared.settings.cluster.clone()));
    let (keys, values) = pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).unzip();
    ClusterInfoResponse { err: ErrorCode::Ok, keys, values }
}

/// All but the cluster's name, which the HTTP form does not have.
pub fn pairs(shared: &Shared, view: &View) -> Vec<(&'static str, String)> {
    let settings = &shared.settings;
    vec![
        ("meta_servers", joined(&settings.meta_servers)),
        ("primary_meta_server", shared.identity.node.to_string()),
        // The store is embedded; tools expect the keys all the same.
        ("zookeeper_hosts", String::new()),
        ("zookeeper_root", settings.control.cluster_root.clone()),
        ("meta_function_level", view.level.name().to_owned()),
        ("balance_operation_count", balance_operations()),
        ("primary_replica_count_stddev", deviation(view, |node| node.primaries)),
        (
            "total_replica_count_stddev",
            deviation(view, |node| node.primaries.saturating_add(node.secondaries)),
        ),
    ]
}

/// Nothing is balanced yet; the shape is the reference's.
fn balance_operations() -> String {
    "{\n  \"copy_pri\": 0,\n  \"copy_sec\": 0,\n  \"move_pri\": 0,\n  \"total\": 0\n}".to_owned()
}

fn joined<T: Display>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(",")
}

/// Standard deviation over the live nodes, two decimals.
#[allow(clippy::cast_precision_loss, reason = "counts are small and the result is rounded")]
fn deviation(view: &View, count: impl Fn(&NodeView) -> usize) -> String {
    let counts: Vec<f64> =
        view.nodes.iter().filter(|node| node.alive).map(|node| count(node) as f64).collect();
    let nodes = counts.len().max(1) as f64;
    let mean = counts.iter().sum::<f64>() / nodes;
    let variance = counts.iter().map(|c| (c - mean) * (c - mean)).sum::<f64>() / nodes;
    // An empty sum is -0.0.
    format!("{:.2}", variance.sqrt().abs())
}

#[cfg(test)]
mod tests {
    use pegasus_types::NodeId;

    use super::*;

    #[test]
    fn deviation_is_that_of_the_reference() {
        let node = |port, primaries| NodeView {
            id: NodeId::new("127.0.0.1", port),
            alive: true,
            primaries,
            secondaries: 8 - primaries,
        };
        let nodes = vec![node(1, 0), node(2, 3), node(3, 5)];
        let view = View { nodes, ..View::default() };
        assert_eq!(deviation(&view, |n| n.primaries), "2.05");
        assert_eq!(deviation(&view, |n| n.primaries + n.secondaries), "0.00");
        assert_eq!(deviation(&View::default(), |n| n.primaries), "0.00");
    }
}
