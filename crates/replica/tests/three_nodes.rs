//! Three real replica servers on loopback, a scripted meta server, and a client on the public
//! protocol.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::time::{Duration, Instant};

use pegasus_types::{ChangeKind, PartitionConfig, PartitionId, ReplicaStatus};
use support::{Client, Cluster, Outcome};

const PID: PartitionId = PartitionId { app_id: 1, index: 0 };

/// Waits until `done` or fails with the state at that time.
fn wait_for<T>(what: &str, mut probe: impl FnMut() -> Result<T, String>) -> T {
    let give_up = Instant::now() + Duration::from_secs(30);
    loop {
        match probe() {
            Ok(value) => return value,
            Err(state) if Instant::now() > give_up => panic!("{what}: {state}"),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// Makes `count` members: the first node primary, the others secondaries in order.
fn form_group(cluster: &Cluster, count: usize) -> PartitionConfig {
    let first = cluster.id(0);
    cluster.propose(0, ChangeKind::AssignPrimary, &first, PID);
    for member in 1..count {
        let node = cluster.id(member);
        wait_for("a secondary joins", || {
            let config = cluster.meta.config(PID);
            if config.is_secondary(&node) {
                return Ok(());
            }
            if config.is_primary(&first) {
                cluster.propose(0, ChangeKind::AddSecondary, &node, PID);
            } else {
                cluster.propose(0, ChangeKind::AssignPrimary, &first, PID);
            }
            Err(format!("{config:?}"))
        });
    }
    cluster.meta.config(PID)
}

fn put_until_ok(client: &mut Client, key: &str, value: &str) -> i64 {
    wait_for("a put is answered", || match client.put(PID, key, value) {
        Outcome::Ok(decree) => Ok(decree),
        other => Err(format!("{other:?}")),
    })
}

fn get_until_ok(client: &mut Client, key: &str) -> Option<String> {
    wait_for("a get is answered", || match client.get(PID, key) {
        Outcome::Ok(value) => Ok(value),
        other => Err(format!("{other:?}")),
    })
}

#[test]
fn writes_survive_the_loss_of_the_primary_and_restarts() {
    let mut cluster = Cluster::start(3);
    let config = form_group(&cluster, 3);
    assert_eq!(config.secondaries.len(), 2);

    let mut client = cluster.client(0);
    let mut last = 0;
    for i in 0..50 {
        let decree = put_until_ok(&mut client, &format!("key{i}"), &format!("value{i}"));
        assert!(decree > last, "decrees grow");
        last = decree;
    }
    assert_eq!(get_until_ok(&mut client, "key7").as_deref(), Some("value7"));
    assert_eq!(get_until_ok(&mut client, "nothing"), None);

    // A secondary refuses, a stranger does not know the partition.
    let mut other = cluster.client(1);
    assert!(matches!(other.get(PID, "key7"), Outcome::Error(_)));
    let unknown = PartitionId::new(9, 0);
    assert_eq!(other.get(unknown, "key7"), Outcome::Error("ERR_OBJECT_NOT_FOUND".to_owned()));

    // The primary leaves; a secondary is told to take over.
    cluster.stop(0);
    cluster.meta.drop_primary(PID);
    let second = cluster.id(1);
    wait_for("a secondary takes over", || {
        let config = cluster.meta.config(PID);
        if config.is_primary(&second) {
            return Ok(());
        }
        cluster.propose(1, ChangeKind::UpgradeToPrimary, &second, PID);
        Err(format!("{config:?}"))
    });
    for i in 0..50 {
        let value = get_until_ok(&mut other, &format!("key{i}"));
        assert_eq!(value, Some(format!("value{i}")), "nothing acknowledged is lost");
    }
    put_until_ok(&mut other, "after", "failover");

    // The first node comes back with its data and joins again.
    cluster.restart(0);
    let first = cluster.id(0);
    wait_for("the old primary rejoins", || {
        let config = cluster.meta.config(PID);
        if config.is_secondary(&first) {
            return Ok(());
        }
        cluster.propose(1, ChangeKind::AddSecondary, &first, PID);
        Err(format!("{config:?}"))
    });

    // Everybody restarts: logs and engines alone bring it all back.
    for node in 0..3 {
        cluster.stop(node);
    }
    for node in 0..3 {
        cluster.restart(node);
    }
    let mut again = cluster.client(1);
    assert_eq!(get_until_ok(&mut again, "after").as_deref(), Some("failover"));
    assert_eq!(get_until_ok(&mut again, "key49").as_deref(), Some("value49"));
    cluster.stop_all();
}

#[test]
fn a_node_without_data_learns_from_a_checkpoint() {
    // Flushes every moment, small segments: the log soon reaches back only a little.
    let mut cluster = Cluster::start_with(3, |settings| {
        settings.checkpoint_interval_ms = 100;
        settings.log_segment_bytes = 16 << 10;
    });
    form_group(&cluster, 2);
    let mut client = cluster.client(0);
    // More than the primary keeps in memory.
    for i in 0..60 {
        put_until_ok(&mut client, &format!("key{i}"), &"v".repeat(50_000));
    }
    let first = cluster.id(0);
    wait_for("the primary has flushed", || {
        let reports = cluster.meta.reports(&first);
        match reports.iter().find(|r| r.pid == PID) {
            Some(r) if r.durable.0 >= 60 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    put_until_ok(&mut client, "late", "value");
    let third = cluster.id(2);
    wait_for("the third node joins", || {
        let config = cluster.meta.config(PID);
        if config.is_secondary(&third) {
            return Ok(());
        }
        if config.is_primary(&first) {
            cluster.propose(0, ChangeKind::AddSecondary, &third, PID);
        }
        Err(format!("{config:?} {:?}", cluster.meta.reports(&third)))
    });
    wait_for("the third node has everything", || {
        let reports = cluster.meta.reports(&third);
        match reports.iter().find(|r| r.pid == PID) {
            Some(r) if r.status == ReplicaStatus::Secondary && r.committed.0 > 60 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    // What was copied is good enough to lead.
    cluster.stop(0);
    cluster.meta.drop_primary(PID);
    wait_for("the third node takes over", || {
        let config = cluster.meta.config(PID);
        if config.is_primary(&third) {
            return Ok(());
        }
        cluster.propose(2, ChangeKind::UpgradeToPrimary, &third, PID);
        Err(format!("{config:?}"))
    });
    let mut client = cluster.client(2);
    for i in 0..60 {
        let value = get_until_ok(&mut client, &format!("key{i}"));
        assert_eq!(value.map(|value| value.len()), Some(50_000));
    }
    cluster.stop_all();
}
