use pegasus_control::{CreateApp, DropApp, Event, Options, PersistError, Response};
use pegasus_types::{AppStatus, ErrorCode, PartitionId, ReplicaStatus};

use crate::world::*;

fn try_create(world: &mut World, request: CreateApp) -> Result<i32, ErrorCode> {
    match world.ask(|token| Event::CreateApp { token, request }) {
        Response::Create(result) => result,
        other => panic!("{other:?}"),
    }
}

fn try_drop(world: &mut World, request: DropApp) -> Result<(), ErrorCode> {
    match world.ask(|token| Event::DropApp { token, request }) {
        Response::Drop(result) => result,
        other => panic!("{other:?}"),
    }
}

#[test]
fn create_validates_in_order() {
    let mut world = World::healthy(options(), 3, 1, 3);
    let bad = [
        create("a", 0, 3),
        create("a", -4, 3),
        create("a", 1 << 20, 3),
        create("a", 4, 0),
        create("a", 4, 4),
        create("", 4, 3),
        create("sp ace", 4, 3),
        CreateApp { app_type: "other".to_owned(), ..create("a", 4, 3) },
        CreateApp {
            envs: [("rocksdb.num_levels".to_owned(), "11".to_owned())].into(),
            ..create("a", 4, 3)
        },
    ];
    for request in bad {
        assert_eq!(try_create(&mut world, request), Err(ErrorCode::InvalidParameters));
    }
    assert_eq!(try_create(&mut world, create("t", 1, 3)), Err(ErrorCode::AppExist));
    let same = CreateApp { success_if_exist: true, ..create("t", 1, 3) };
    assert_eq!(try_create(&mut world, same.clone()), Ok(1));
    let other = CreateApp { partition_count: 2, ..same };
    assert_eq!(try_create(&mut world, other), Err(ErrorCode::InvalidParameters));
    assert_eq!(try_create(&mut world, create("a:b_c.D1", 3, 2)), Ok(2));
}

#[test]
fn create_is_refused_while_frozen() {
    let frozen = Options { min_live_node_count_for_unfreeze: 2, ..options() };
    let mut world = World::healthy(frozen, 3, 1, 3);
    world.goodbye(1);
    world.goodbye(2);
    assert_eq!(try_create(&mut world, create("a", 4, 1)), Err(ErrorCode::StateFreezed));
}

#[test]
fn create_answers_once_everything_is_stored() {
    let mut world = World::healthy(options(), 3, 1, 3);
    world.persist = false;
    let token = world.token();
    // More partitions than one transaction takes.
    world.feed(Event::CreateApp { token, request: create("big", 1200, 3) });
    assert_eq!(world.state.app("big").unwrap().status, AppStatus::Creating);
    assert_eq!(try_create(&mut world, create("big", 1200, 3)), Err(ErrorCode::BusyCreating));
    assert_eq!(try_drop(&mut world, drop_request("big")), Err(ErrorCode::BusyCreating));
    for _ in 0..2 {
        world.commit();
        assert!(world.replies.is_empty());
        assert_eq!(world.proposed(), vec![], "no primary before the table is complete");
    }
    world.commit();
    assert_eq!(world.replies[&token], Response::Create(Ok(2)));
    assert_eq!(world.state.app("big").unwrap().status, AppStatus::Available);
    assert_eq!(world.proposed().len(), 1200);
}

#[test]
fn a_refused_creation_leaves_nothing() {
    let mut world = World::healthy(options(), 3, 1, 3);
    world.persist = false;
    let token = world.token();
    world.feed(Event::CreateApp { token, request: create("a", 4, 3) });
    world.fail_write(PersistError::Refused("full".to_owned()));
    assert_eq!(world.replies[&token], Response::Create(Err(ErrorCode::TryAgain)));
    assert!(world.state.app("a").is_none());
    world.persist = true;
    assert_eq!(try_create(&mut world, create("a", 4, 3)), Ok(3), "ids are not used twice");
}

#[test]
fn drop_frees_the_name_and_empties_the_partitions() {
    let mut world = World::healthy(options(), 3, 2, 3);
    world.feed(Event::WallClock { unix_secs: 1000 });
    let before = world.config(0);
    let request = DropApp { reserve_seconds: Some(50), ..drop_request("t") };
    assert_eq!(try_drop(&mut world, request), Ok(()));
    assert!(world.state.app("t").is_none());
    let info = world.state.app_by_id(1).unwrap();
    assert_eq!(info.status, AppStatus::Dropped);
    assert_eq!((info.drop_second, info.expire_second), (1000, 1050));
    let after = world.config(0);
    assert_eq!(after.ballot, before.ballot.next());
    assert_eq!(after.member_count(), 0);
    let mut expected = before.secondaries.clone();
    expected.push(before.primary.clone().unwrap());
    assert_eq!(after.last_drops, expected);
    world.pass(5000);
    assert_eq!(world.proposed(), vec![], "a dropped table is left alone");

    assert_eq!(try_drop(&mut world, drop_request("t")), Err(ErrorCode::AppNotExist));
    let lenient = DropApp { success_if_not_exist: true, ..drop_request("t") };
    assert_eq!(try_drop(&mut world, lenient), Ok(()));
    assert_eq!(try_create(&mut world, create("t", 2, 3)), Ok(2), "the name is free, the id new");
}

#[test]
fn dropped_replicas_become_garbage_when_the_reserve_time_is_over() {
    let mut world = World::healthy(options(), 3, 1, 3);
    world.feed(Event::WallClock { unix_secs: 1000 });
    let request = DropApp { reserve_seconds: Some(50), ..drop_request("t") };
    try_drop(&mut world, request).unwrap();
    let (known, unknown) = (PartitionId::new(1, 0), PartitionId::new(9, 0));
    let replicas: Vec<_> =
        [known, unknown].map(|pid| report(pid, ReplicaStatus::Inactive, [5, 1, 1])).into();
    for (at, garbage) in [(1049, vec![]), (1050, vec![known])] {
        world.feed(Event::WallClock { unix_secs: at });
        let Response::Sync(reply) = world.sync(1, replicas.clone()) else { panic!() };
        assert_eq!(reply.garbage, garbage);
        assert_eq!(reply.partitions.len(), 1);
        assert_eq!(reply.partitions[0].1.status, AppStatus::Dropped);
    }
}

#[test]
fn a_drop_waits_for_the_change_under_way() {
    let mut world = World::healthy(options(), 3, 1, 3);
    world.persist = false;
    let config = world.config(0);
    let update =
        change(&config, pegasus_types::ChangeKind::DowngradeToInactive, &config.secondaries[0]);
    let (updating, dropping) = (world.token(), world.token());
    world.feed(Event::UpdateConfig { token: updating, update });
    world.feed(Event::DropApp { token: dropping, request: drop_request("t") });
    assert_eq!(world.writes.len(), 1);
    world.commit();
    assert!(world.replies.contains_key(&updating));
    world.commit();
    assert_eq!(world.replies[&dropping], Response::Drop(Ok(())));
    assert_eq!(world.config(0).ballot.0, config.ballot.0 + 2);
}

#[test]
fn a_refused_drop_leaves_the_table_in_service() {
    let mut world = World::healthy(options(), 3, 1, 3);
    world.persist = false;
    let token = world.token();
    world.feed(Event::DropApp { token, request: drop_request("t") });
    world.fail_write(PersistError::Refused("full".to_owned()));
    assert_eq!(world.replies[&token], Response::Drop(Err(ErrorCode::TryAgain)));
    let info = world.state.app("t").unwrap();
    assert_eq!((info.status, info.drop_second), (AppStatus::Available, 0));
}

#[test]
fn a_node_hears_of_all_its_partitions() {
    let mut world = World::healthy(options(), 3, 4, 3);
    let present = |index| report(PartitionId::new(1, index), ReplicaStatus::Secondary, [4, 0, 0]);
    let Response::Sync(reply) = world.sync(2, (0..4).map(present).collect()) else { panic!() };
    assert_eq!(reply.partitions.len(), 4);
    assert!(reply.garbage.is_empty());
    assert!(
        reply
            .partitions
            .iter()
            .all(|(config, app)| { config.is_member(&node(2)) && app.app_name == "t" })
    );
}
