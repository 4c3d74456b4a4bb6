//! What is in the store after a crash at any point, and what is made of it.

use pegasus_control::{Event, Options, app_path, apps_root, partition_path};
use pegasus_types::{AppStatus, PartitionId};

use crate::world::*;

const ROOT: &str = "/pegasus/test";

fn with_defaults() -> Options {
    let default_apps = vec![default_app("a", 700, 3), default_app("b", 4, 3)];
    Options { default_apps, ..options() }
}

#[test]
fn a_new_store_gets_the_default_tables_once() {
    let mut world = World::idle(with_defaults());
    world.load();
    assert_eq!(world.store[&apps_root(ROOT)], "unlock");
    assert!(world.store.contains_key(&app_path(ROOT, 2)));
    assert!(world.store.contains_key(&partition_path(ROOT, PartitionId::new(1, 699))));
    let before = world.store.clone();
    world.restart_meta();
    assert_eq!(world.store, before);
    assert_eq!(world.state.apps().count(), 2);
}

#[test]
fn a_store_without_default_tables_stays_empty() {
    let mut world = World::idle(options());
    world.load();
    world.state = pegasus_control::ClusterState::new(with_defaults(), world.now);
    world.load();
    assert_eq!(world.state.apps().count(), 0, "it is not new any more");
}

/// Crashes after every transaction of the set-up; the next start must finish it.
#[test]
fn an_interrupted_set_up_is_finished() {
    let complete = {
        let mut world = World::idle(with_defaults());
        world.load();
        world.store
    };
    for crash_after in 0..8 {
        let mut world = World::idle(with_defaults());
        world.persist = false;
        world.load();
        for _ in 0..crash_after {
            if !world.writes.is_empty() {
                world.commit();
            }
        }
        world.persist = true;
        world.restart_meta();
        assert!(world.store == complete, "after {crash_after} transactions");
        assert!(world.state.apps().all(|app| app.status == AppStatus::Available));
    }
}

#[test]
fn an_interrupted_creation_is_finished() {
    for crash_after in 1..4 {
        let mut world = World::healthy(options(), 3, 1, 3);
        world.persist = false;
        let token = world.token();
        world.feed(Event::CreateApp { token, request: create("big", 1200, 3) });
        for _ in 0..crash_after {
            world.commit();
        }
        world.persist = true;
        world.restart_meta();
        assert_eq!(world.state.app("big").unwrap().status, AppStatus::Available);
        assert_eq!(world.state.partitions(2).count(), 1200);
        assert!(world.store.contains_key(&partition_path(ROOT, PartitionId::new(2, 1199))));
    }
}

#[test]
fn an_interrupted_drop_is_finished() {
    for crash_after in 1..4 {
        let mut world = World::healthy(options(), 3, 1200, 1);
        world.persist = false;
        let token = world.token();
        world.feed(Event::DropApp { token, request: drop_request("t") });
        for _ in 0..crash_after {
            world.commit();
        }
        world.persist = true;
        world.restart_meta();
        assert!(world.state.app("t").is_none());
        assert_eq!(world.state.app_by_id(1).unwrap().status, AppStatus::Dropped);
        assert!(world.partitions().iter().all(|config| config.member_count() == 0));
    }
}

#[test]
fn a_dropped_table_that_never_had_a_member_loads() {
    let mut world =
        World::idle(Options { default_apps: vec![default_app("t", 2, 3)], ..options() });
    world.load();
    let token = world.token();
    world.feed(Event::DropApp { token, request: drop_request("t") });
    world.restart_meta();
    assert_eq!(world.failure, None);
    assert!(world.state.is_serving());
}

#[test]
fn reloading_gives_the_same_state() {
    let mut world = World::healthy(options(), 3, 8, 3);
    let configs = world.partitions();
    let info = world.state.app("t").cloned();
    world.restart_meta();
    assert_eq!(world.partitions(), configs);
    assert_eq!(world.state.app("t").cloned(), info);
}

#[test]
fn a_damaged_store_is_refused() {
    let path = partition_path(ROOT, PartitionId::new(1, 0));
    let broken: [(String, String); 4] = [
        (apps_root(ROOT), "something".to_owned()),
        (app_path(ROOT, 1), "{".to_owned()),
        (path.clone(), "{}".to_owned()),
        // Members gone without a trace: giving this to any node would lose the data.
        (path, r#"{"pid":"1.0","ballot":7,"max_replica_count":3,"hp_secondaries":[]}"#.to_owned()),
    ];
    for (path, data) in broken {
        let mut world = World::healthy(options(), 3, 1, 3);
        world.store.insert(path.clone(), data);
        world.restart_meta();
        assert!(world.failure.as_ref().is_some_and(|reason| reason.contains(&path)));
        assert!(!world.state.is_serving());
    }
}
