//! One replica server dies under load: writes go on, nothing acknowledged is lost, and it comes
//! back into every partition - with its data or without.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::print_stderr)]

use std::time::Duration;

use cluster_tests::{Cluster, Load, RawGet, Shape, runtime};
use pegasus_client::{Client, ClientOptions};

fn kill_one_under_load(delete_data: bool) {
    let mut cluster = Cluster::start(Shape::default());
    let load = Load::start(cluster.meta_address(), "temp".to_owned(), 16, 1_000_000);
    let enough = |load: &Load, more: usize| {
        let goal = load.acked() + more;
        move |load: &Load| load.acked() >= goal
    };
    let reached = enough(&load, 500);
    cluster.wait_for(Duration::from_secs(30), "first writes", |_| reached(&load));
    cluster.kill_replica(0);
    cluster.wait_for(Duration::from_secs(15), "every partition has a primary again", |c| {
        c.health().is_some_and(|(full, served)| full == 0 && served == 8)
    });
    let reached = enough(&load, 500);
    cluster.wait_for(Duration::from_secs(30), "writes go on without it", |_| reached(&load));
    if delete_data {
        cluster.delete_data(0);
    }
    cluster.start_replica(0);
    cluster.wait_healthy(Duration::from_secs(30));
    let reached = enough(&load, 500);
    cluster.wait_for(Duration::from_secs(30), "writes go on with it", |_| reached(&load));
    let progress = load.stop();
    eprintln!("{} acknowledged, longest gap {:?}", progress.acked.len(), progress.longest_gap());
    assert!(
        progress.longest_gap() <= Duration::from_secs(5),
        "a partition took no write for {:?}",
        progress.longest_gap()
    );
    assert_eq!(progress.missing(&cluster.meta_address(), "temp"), Vec::<String>::new());
    // The one that came back must really hold the data: it alone keeps serving with the next one.
    cluster.kill_replica(1);
    assert_eq!(progress.missing(&cluster.meta_address(), "temp"), Vec::<String>::new());
}

#[test]
fn a_killed_server_comes_back_with_its_data() {
    kill_one_under_load(false);
}

#[test]
fn a_killed_server_comes_back_without_its_data() {
    kill_one_under_load(true);
}

/// A primary is stopped (SIGSTOP) beyond its leases, replaced, the key is overwritten through the
/// new primary, and then it wakes up with requests waiting on a connection that it still serves: it
/// must not answer them from its old state.
#[test]
fn a_paused_primary_does_not_answer_stale_reads() {
    let mut cluster = Cluster::start(Shape::default());
    let meta = cluster.meta_address();
    let runtime = runtime();
    let (paused, mut old) = runtime.block_on(async {
        let client = Client::connect(meta.as_str(), ClientOptions::default()).unwrap();
        let table = client.table("temp").await.unwrap();
        table.set("paused", "s", "old", None).await.unwrap();
        let (partition, primary) = table.locate("paused", "s");
        let primary = primary.expect("a primary");
        let paused = (0..3).find(|i| cluster.replica_address(*i) == primary.to_string()).unwrap();
        let raw = RawGet::connect(&primary.to_string(), partition, "paused", "s");
        (paused, raw)
    });
    assert_eq!(old.get().as_deref(), Some(b"old".as_slice()), "it serves before it is paused");
    cluster.pause_replica(paused);
    runtime.block_on(async {
        let options =
            ClientOptions { timeout: Duration::from_secs(20), ..ClientOptions::default() };
        let client = Client::connect(meta.as_str(), options).unwrap();
        client.table("temp").await.unwrap().set("paused", "s", "new", None).await.unwrap();
    });
    // This request waits in the socket of the stopped process.
    old.send();
    cluster.resume_replica(paused);
    let answer = old.receive();
    assert_ne!(answer.as_deref(), Some(b"old".as_slice()), "a stale read");
}
