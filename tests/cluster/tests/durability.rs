//! Nothing acknowledged is lost, and the replicas of a partition are the same, record by record.
#![allow(clippy::expect_used, clippy::unwrap_used)]

use std::time::Duration;

use cluster_tests::{Cluster, Load, Shape, equal_replicas};

const WRITES: usize = 4000;

fn written(cluster: &mut Cluster) -> cluster_tests::Progress {
    let load = Load::start(cluster.meta_address(), cluster.shape.table.clone(), 8, WRITES);
    cluster.wait_for(Duration::from_secs(60), "all writes are acknowledged", |_| {
        load.acked() == WRITES
    });
    load.stop()
}

#[test]
fn a_graceful_stop_and_start_keeps_everything_and_the_replicas_are_equal() {
    let mut cluster = Cluster::start(Shape::default());
    let progress = written(&mut cluster);
    cluster.wait_quiet();
    for i in 0..3 {
        assert_eq!(cluster.stop_replica(i), Some(0), "exit code of a SIGTERM");
    }
    assert_eq!(cluster.stop_meta(), Some(0));
    let records = equal_replicas(&cluster);
    assert_eq!(records, WRITES);
    cluster.start_meta();
    for i in 0..3 {
        cluster.start_replica(i);
    }
    cluster.wait_healthy(Duration::from_secs(30));
    assert_eq!(progress.missing(&cluster.meta_address(), "temp"), Vec::<String>::new());
}

#[test]
fn killing_all_three_at_once_keeps_everything() {
    let mut cluster = Cluster::start(Shape::default());
    let progress = written(&mut cluster);
    for i in 0..3 {
        cluster.kill_replica(i);
    }
    for i in 0..3 {
        cluster.start_replica(i);
    }
    cluster.wait_healthy(Duration::from_secs(30));
    assert_eq!(progress.missing(&cluster.meta_address(), "temp"), Vec::<String>::new());
    cluster.wait_quiet();
    for i in 0..3 {
        cluster.stop_replica(i);
    }
    assert_eq!(equal_replicas(&cluster), WRITES);
}

#[test]
fn a_meta_server_killed_and_started_knows_everything_again() {
    let mut cluster = Cluster::start(Shape::default());
    cluster.kill_meta();
    cluster.start_meta();
    cluster.wait_healthy(Duration::from_secs(30));
    let progress = written(&mut cluster);
    assert_eq!(progress.missing(&cluster.meta_address(), "temp"), Vec::<String>::new());
}
