//! Partitions without members, and members without a replica.

use pegasus_control::{Event, Options, Response};
use pegasus_types::{
    Ballot, ChangeKind, Decree, NodeId, PartitionId, ReplicaStatus, UpdateOutcome,
};

use crate::world::*;

const PID: PartitionId = PartitionId { app_id: 1, index: 0 };
const INACTIVE: ReplicaStatus = ReplicaStatus::Inactive;

fn n(id: &NodeId) -> u16 {
    id.port() - 34800
}

/// All members leave one after the other; returns (previous, latest) of the last two.
fn dead_partition(world: &mut World) -> (NodeId, NodeId) {
    let config = world.config(0);
    let primary = config.primary.clone().unwrap();
    for secondary in &config.secondaries {
        let mut update = change(&world.config(0), ChangeKind::DowngradeToInactive, secondary);
        update.config.last_committed = Decree(10);
        assert!(matches!(world.update(update), UpdateOutcome::Accepted(_)));
        world.goodbye(n(secondary));
    }
    world.goodbye(n(&primary));
    let config = world.config(0);
    assert_eq!(config.member_count(), 0);
    assert_eq!(config.last_committed, Decree(10));
    let drops = config.last_drops;
    world.proposed();
    (drops[1].clone(), drops[2].clone())
}

#[test]
fn the_only_copy_is_waited_for() {
    let mut world = World::healthy(options(), 3, 1, 1);
    let owner = world.config(0).primary.unwrap();
    world.kill(n(&owner));
    world.pass(GRACE_MS);
    assert_eq!(world.config(0).primary, Some(owner.clone()), "its meta lease may still run");
    world.pass(10 * RESEND_MS);
    assert_eq!(world.config(0).last_drops, vec![owner.clone()]);
    assert_eq!(world.proposed(), vec![], "never given to a node without the data");

    world.restart(n(&owner), 2);
    assert_eq!(world.proposed(), vec![], "not before it reported the replica");
    world.sync(n(&owner), vec![]);
    assert_eq!(world.proposed(), vec![], "its disk is empty");
    world.sync(n(&owner), vec![report(PID, INACTIVE, [1, 5, 5])]);
    let expected = (ChangeKind::AssignPrimary, owner.clone(), owner.clone());
    assert_eq!(world.proposed(), vec![expected]);
    let update = change(&world.config(0), ChangeKind::AssignPrimary, &owner);
    assert!(matches!(world.update(update), UpdateOutcome::Accepted(_)));
    assert_eq!(world.config(0).last_drops, vec![]);
}

#[test]
fn the_better_of_the_last_two_is_chosen() {
    // ([ballot, committed, prepared] of previous, of latest, whether the previous one is right)
    let cases = [
        ([5, 10, 12], [6, 10, 12], Some(false)),
        ([6, 11, 12], [6, 10, 12], Some(true)),
        ([6, 10, 13], [6, 10, 12], Some(true)),
        ([6, 10, 12], [6, 10, 12], Some(false)),
        // Larger ballot with a smaller commit: it restarted, and holds what the other committed.
        ([7, 9, 12], [6, 10, 12], Some(true)),
        // Larger ballot, but it lacks what the other committed.
        ([7, 9, 9], [6, 10, 12], None),
        // Less than what is known to be committed.
        ([6, 9, 9], [6, 9, 9], None),
    ];
    for (previous_has, latest_has, expected) in cases {
        let mut world = World::healthy(options(), 3, 1, 3);
        let (previous, latest) = dead_partition(&mut world);
        world.restart(n(&previous), 2);
        world.sync(n(&previous), vec![report(PID, INACTIVE, previous_has)]);
        assert_eq!(world.proposed(), vec![], "the other one is not back");
        world.restart(n(&latest), 2);
        assert_eq!(world.proposed(), vec![], "the other one did not report");
        world.sync(n(&latest), vec![report(PID, INACTIVE, latest_has)]);
        let chosen = world.proposed().first().map(|p| p.1.clone());
        let expected = expected.map(|first| if first { previous.clone() } else { latest.clone() });
        assert_eq!(chosen, expected, "{previous_has:?} {latest_has:?}");
        assert_eq!(world.state.ailment(PID).is_some(), expected.is_none());
    }
}

#[test]
fn one_of_two_without_a_replica_leaves_the_other() {
    let mut world = World::healthy(options(), 3, 1, 3);
    let (previous, latest) = dead_partition(&mut world);
    world.restart(n(&previous), 2);
    world.sync(n(&previous), vec![report(PID, INACTIVE, [6, 10, 12])]);
    world.restart(n(&latest), 2);
    world.sync(n(&latest), vec![]);
    assert_eq!(world.proposed()[0].1, previous);
}

#[test]
fn where_one_member_may_acknowledge_the_last_one_is_not_passed_over() {
    let mut world =
        World::healthy(Options { mutation_2pc_min_replica_count: 1, ..options() }, 3, 1, 3);
    let (previous, latest) = dead_partition(&mut world);
    world.restart(n(&previous), 2);
    world.sync(n(&previous), vec![report(PID, INACTIVE, [6, 10, 12])]);
    world.restart(n(&latest), 2);
    world.sync(n(&latest), vec![]);
    world.pass(10 * RESEND_MS);
    assert_eq!(world.proposed(), vec![]);
    assert!(world.state.ailment(PID).is_some());
}

#[test]
fn none_of_two_with_a_replica_needs_an_operator() {
    let mut world = World::healthy(options(), 3, 1, 3);
    let (previous, latest) = dead_partition(&mut world);
    for id in [&previous, &latest] {
        world.restart(n(id), 2);
        world.sync(n(id), vec![]);
    }
    world.pass(10 * RESEND_MS);
    assert_eq!(world.proposed(), vec![]);
    assert!(world.state.ailment(PID).is_some());
}

#[test]
fn only_the_chosen_node_may_take_a_partition_that_had_data() {
    let mut world = World::healthy(options(), 3, 1, 3);
    let (previous, latest) = dead_partition(&mut world);
    let config = world.config(0);
    for (id, has) in [(&previous, [5, 10, 12]), (&latest, [6, 11, 12])] {
        world.restart(n(id), 2);
        world.sync(n(id), vec![report(PID, INACTIVE, has)]);
    }
    let update = change(&config, ChangeKind::AssignPrimary, &previous);
    assert_eq!(world.update(update), UpdateOutcome::Refused(config.clone()));
    let update = change(&config, ChangeKind::AssignPrimary, &latest);
    assert!(matches!(world.update(update), UpdateOutcome::Accepted(_)));
}

#[test]
fn a_restarted_primary_without_its_data_is_replaced() {
    let mut world = World::healthy(options(), 3, 2, 3);
    let config = world.config(0);
    let primary = config.primary.clone().unwrap();
    world.kill(n(&primary));
    world.pass(500);
    world.restart(n(&primary), 2);
    assert_eq!(world.sync(n(&primary), vec![]), Response::AskAgain);
    assert_eq!(world.config(0), config, "it may not have opened everything yet");
    world.pass(world.state.options().absence_ms);
    assert!(matches!(world.sync(n(&primary), vec![]), Response::Sync(_)));
    assert_eq!(world.config(0).primary, None);
    let first = world.proposed().into_iter().find(|p| p.0 == ChangeKind::UpgradeToPrimary);
    assert!(first.is_some());
    world.pass(RESEND_MS);
    world.obey_until_quiet();
    assert!(world.partitions().iter().all(|c| c.member_count() == 3), "whole again");
    assert!(world.config(0).is_secondary(&primary));
}

#[test]
fn a_restarted_secondary_without_its_data_learns_again() {
    let mut world = World::healthy(options(), 3, 1, 3);
    let config = world.config(0);
    let wiped = config.secondaries[1].clone();
    world.restart(n(&wiped), 2);
    // Damaged is as good as gone.
    let broken = || vec![report(PID, ReplicaStatus::Error, [0, 0, 0])];
    world.sync(n(&wiped), broken());
    world.pass(world.state.options().absence_ms);
    world.sync(n(&wiped), broken());
    assert_eq!(world.proposed()[0].0, ChangeKind::DowngradeToInactive);
    world.pass(RESEND_MS);
    world.obey_until_quiet();
    assert_eq!(world.config(0).member_count(), 3);
    assert_eq!(world.config(0).ballot, Ballot(config.ballot.0 + 2));
}

#[test]
fn one_absence_in_a_report_proves_nothing() {
    let mut world = World::healthy(options(), 3, 1, 3);
    let config = world.config(0);
    let secondary = config.secondaries[0].clone();
    assert_eq!(world.sync(n(&secondary), vec![]), Response::AskAgain);
    assert_eq!(world.sync(n(&secondary), vec![]), Response::AskAgain);
    world.pass(world.state.options().absence_ms);
    assert_eq!(world.proposed(), vec![]);
    let present = report(PID, ReplicaStatus::Secondary, [4, 1, 1]);
    assert!(matches!(world.sync(n(&secondary), vec![present]), Response::Sync(_)));
    assert_eq!(world.sync(n(&secondary), vec![]), Response::AskAgain, "counted anew");
    assert_eq!(world.proposed(), vec![]);
}

#[test]
fn the_last_member_is_not_expelled_for_having_no_replica() {
    let mut world = World::healthy(options(), 3, 1, 1);
    let config = world.config(0);
    let owner = config.primary.clone().unwrap();
    world.restart(n(&owner), 2);
    world.sync(n(&owner), vec![]);
    world.pass(2 * RESEND_MS);
    world.sync(n(&owner), vec![]);
    world.pass(2 * RESEND_MS);
    assert_eq!(world.config(0), config);
    assert_eq!(world.state.ailment(PID), Some("the only living member lost its replica"));
}

#[test]
fn an_answer_is_never_older_than_a_decision_before_the_question() {
    let mut world = World::healthy(options(), 3, 1, 1);
    let owner = world.config(0).primary.unwrap();
    world.persist = false;
    world.kill(n(&owner));
    world.pass(GRACE_MS + 200);
    assert_eq!(world.writes.len(), 1, "the removal is on its way");
    // The node comes back with a fresh meta lease and asks whether it still is primary.
    world.restart(n(&owner), 1);
    let (query, sync) = (world.token(), world.token());
    world.feed(Event::QueryPartition { token: query, pid: PID });
    let replicas = vec![report(PID, ReplicaStatus::Primary, [1, 5, 5])];
    world.feed(Event::ConfigSync { token: sync, node: owner, incarnation: 1, replicas });
    assert!(world.replies.is_empty());
    world.commit();
    let deposed = world.config(0);
    assert_eq!(deposed.primary, None);
    assert_eq!(world.replies[&query], Response::Partition(Some(deposed)));
    assert!(world.replies.contains_key(&sync));
}
