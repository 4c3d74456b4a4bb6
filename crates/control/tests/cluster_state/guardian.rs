use pegasus_control::{Event, FunctionLevel, Liveness, Options, Response};
use pegasus_types::{Ballot, ChangeKind, PartitionId, ReplicaStatus, UpdateOutcome};

use crate::world::*;

const PID: PartitionId = PartitionId { app_id: 1, index: 0 };

#[test]
fn first_placement_waits_for_nodes_and_spreads() {
    let default_apps = vec![default_app("t", 8, 3)];
    let mut world = World::idle(Options { default_apps, ..options() });
    world.load();
    world.start(1);
    world.pass(1000);
    world.start(2);
    assert_eq!(world.proposed(), vec![], "the first node must not get everything");
    world.start(3);
    let assigned = world.proposed();
    assert_eq!(assigned.len(), 8);
    assert!(
        assigned.iter().all(|(kind, node, to)| *kind == ChangeKind::AssignPrimary && node == to)
    );

    world.pass(RESEND_MS);
    world.obey_until_quiet();
    let configs = world.partitions();
    let mut counts: Vec<usize> = primaries(&configs).into_values().collect();
    counts.sort_unstable();
    assert_eq!(counts, vec![2, 3, 3]);
    assert!(configs.iter().all(|c| members(c).len() == 3 && c.ballot > Ballot::ZERO));
    assert!(world.state.ailment(PID).is_none());
}

#[test]
fn one_node_alone_is_used_after_a_grace_period() {
    let default_apps = vec![default_app("t", 1, 1)];
    let mut world = World::idle(Options { default_apps, ..options() });
    world.load();
    world.start(1);
    world.pass(GRACE_MS - 100);
    assert_eq!(world.proposed(), vec![]);
    world.pass(100);
    assert_eq!(world.proposed().len(), 1);
}

#[test]
fn proposals_are_repeated_but_not_too_often() {
    let default_apps = vec![default_app("t", 1, 3)];
    let mut world = World::idle(Options { default_apps, ..options() });
    world.load();
    (1..=3).for_each(|n| world.start(n));
    world.pass(4 * RESEND_MS);
    let times: Vec<u64> = world.proposals.iter().map(|(at, ..)| at.0).collect();
    assert_eq!(times.len(), 5);
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] == RESEND_MS));
    assert!(world.proposed().windows(2).all(|pair| pair[0] == pair[1]), "same candidate");
}

#[test]
fn a_dead_primary_is_deposed_and_a_secondary_upgraded() {
    let mut world = World::healthy(options(), 3, 1, 3);
    let before = world.config(0);
    let primary = before.primary.clone().unwrap();
    world.kill(primary.port() - 34800);
    world.pass(GRACE_MS);
    assert_eq!(world.config(0), before, "not before the grace period is over");
    world.pass(200);
    let deposed = world.config(0);
    assert_eq!(deposed.primary, None);
    assert_eq!(deposed.ballot, before.ballot.next());
    assert_eq!(deposed.secondaries, before.secondaries);
    assert_eq!(deposed.last_drops, vec![primary.clone()]);

    let proposed = world.proposed();
    let (kind, candidate, to) = proposed[0].clone();
    assert_eq!((kind, &candidate), (ChangeKind::UpgradeToPrimary, &to));
    world.pass(RESEND_MS);
    assert!(world.proposed().iter().all(|p| p.1 == candidate), "message lost: same candidate");

    // The candidate dies, too: the other one is asked.
    world.kill(candidate.port() - 34800);
    world.pass(GRACE_MS + 200);
    let other = world.proposed().last().unwrap().1.clone();
    assert_ne!(other, candidate);
    let update = change(&world.config(0), ChangeKind::UpgradeToPrimary, &other);
    assert!(matches!(world.update(update), UpdateOutcome::Accepted(_)));
    let proposed = world.proposed();
    assert_eq!(proposed[0], (ChangeKind::DowngradeToInactive, candidate, other));
}

#[test]
fn a_candidate_that_does_nothing_is_replaced() {
    let mut world = World::healthy(options(), 3, 1, 3);
    let primary = world.config(0).primary.unwrap();
    world.goodbye(primary.port() - 34800);
    let first = world.proposed()[0].1.clone();
    world.pass(world.state.options().patience_ms + RESEND_MS);
    assert!(world.proposed().iter().any(|(_, node, _)| *node != first));
}

#[test]
fn a_suspect_secondary_comes_last() {
    for suspect in 0..2 {
        let mut world = World::healthy(options(), 3, 1, 3);
        let config = world.config(0);
        for (i, id) in config.secondaries.iter().enumerate() {
            let mut r = report(PID, ReplicaStatus::Secondary, [4, 9, 9]);
            r.suspect = i == suspect;
            world.sync(id.port() - 34800, vec![r]);
        }
        world.goodbye(config.primary.unwrap().port() - 34800);
        assert_eq!(world.proposed()[0].1, config.secondaries[1 - suspect]);
    }
}

#[test]
fn a_dead_secondary_is_removed_until_the_primary_does_it() {
    let mut world = World::healthy(options(), 3, 1, 3);
    let config = world.config(0);
    let dead = config.secondaries[0].clone();
    world.kill(dead.port() - 34800);
    world.pass(GRACE_MS + 200 + 3 * RESEND_MS);
    let expected = (ChangeKind::DowngradeToInactive, dead.clone(), config.primary.clone().unwrap());
    let proposed = world.proposed();
    assert!(proposed.len() >= 3 && proposed.iter().all(|p| *p == expected));

    world.update(change(&config, ChangeKind::DowngradeToInactive, &dead));
    world.proposed();
    world.pass(5 * RESEND_MS);
    assert_eq!(world.proposed(), vec![], "waits for the dropout");
    assert!(world.state.ailment(PID).is_some());
    world.restart(dead.port() - 34800, 2);
    let expected = (ChangeKind::AddSecondary, dead, config.primary.unwrap());
    assert_eq!(world.proposed(), vec![expected], "back: added again at once");
}

#[test]
fn after_the_delay_another_node_takes_the_place() {
    let mut world = World::healthy(options(), 4, 1, 3);
    let config = world.config(0);
    let spare = (1..=4).map(node).find(|n| !config.is_member(n)).unwrap();
    let dead = config.secondaries[0].clone();
    world.goodbye(dead.port() - 34800);
    world.update(change(&config, ChangeKind::DowngradeToInactive, &dead));
    world.proposed();
    world.pass(world.state.options().replica_assign_delay_ms_for_dropouts - 1000);
    assert_eq!(world.proposed(), vec![]);
    world.pass(2000);
    assert_eq!(world.proposed()[0].1, spare);
}

#[test]
fn below_the_members_a_write_needs_nobody_waits() {
    let mut world = World::healthy(options(), 4, 1, 3);
    let config = world.config(0);
    let spare = (1..=4).map(node).find(|n| !config.is_member(n)).unwrap();
    for dead in config.secondaries.clone() {
        world.goodbye(dead.port() - 34800);
        world.update(change(&world.config(0), ChangeKind::DowngradeToInactive, &dead));
    }
    let last = world.proposed().pop().unwrap();
    assert_eq!((last.0, last.1), (ChangeKind::AddSecondary, spare));
}

#[test]
fn a_failed_learner_is_replaced_if_there_is_another_node() {
    let mut world = World::healthy(options(), 5, 1, 3);
    let config = world.config(0);
    for dead in config.secondaries.clone() {
        world.goodbye(dead.port() - 34800);
        world.update(change(&world.config(0), ChangeKind::DowngradeToInactive, &dead));
    }
    let first = world.proposed().pop().unwrap().1;
    let n = first.port() - 34800;
    world.sync(n, vec![report(PID, ReplicaStatus::Learner, [8, 0, 0])]);
    world.pass(RESEND_MS);
    assert!(world.proposed().iter().all(|p| p.1 == first), "learning: keep it");
    world.sync(n, vec![report(PID, ReplicaStatus::Error, [8, 0, 0])]);
    let second = world.proposed().pop().unwrap();
    assert_eq!(second.0, ChangeKind::AddSecondary);
    assert_ne!(second.1, first);
}

#[test]
fn a_surplus_secondary_is_removed() {
    let mut world = World::healthy(options(), 4, 1, 3);
    let config = world.config(0);
    let spare = (1..=4).map(node).find(|n| !config.is_member(n)).unwrap();
    world.update(change(&config, ChangeKind::UpgradeToSecondary, &spare));
    let (kind, victim, to) = world.proposed().pop().unwrap();
    assert_eq!((kind, Some(to)), (ChangeKind::Remove, config.primary));
    world.update(change(&world.config(0), kind, &victim));
    assert_eq!(world.config(0).member_count(), 3);
    world.pass(2 * RESEND_MS);
    assert_eq!(world.proposed(), vec![]);
}

#[test]
fn goodbye_is_believed_at_once_and_late_beacons_are_not() {
    let mut world = World::healthy(options(), 3, 1, 3);
    let primary = world.config(0).primary.unwrap();
    let n = primary.port() - 34800;
    world.goodbye(n);
    assert_eq!(world.config(0).primary, None);
    world.feed(Event::Beacon { node: primary.clone(), incarnation: 1, goodbye: false });
    assert!(!world.state.is_living(&primary, 1));
    world.restart(n, 2);
    assert!(world.state.is_living(&primary, 2));
    // A goodbye of the former process changes nothing.
    world.feed(Event::Beacon { node: primary.clone(), incarnation: 1, goodbye: true });
    assert!(world.state.is_living(&primary, 2));
    // Nor does a late beacon of it keep the new one alive.
    assert!(!world.state.is_living(&primary, 1));
}

#[test]
fn a_restart_keeps_the_configuration() {
    let mut world = World::healthy(options(), 3, 1, 3);
    let config = world.config(0);
    let n = config.primary.clone().unwrap().port() - 34800;
    world.kill(n);
    world.pass(GRACE_MS / 2);
    world.restart(n, 2);
    world.sync(n, vec![report(PID, ReplicaStatus::Inactive, [4, 9, 9])]);
    world.pass(2 * GRACE_MS);
    assert_eq!(world.config(0), config);
    assert_eq!(world.proposed(), vec![]);
}

#[test]
fn a_new_leader_gives_everybody_a_grace_period() {
    let mut world = World::healthy(options(), 3, 1, 3);
    let config = world.config(0);
    world.kill(config.primary.clone().unwrap().port() - 34800);
    world.pass(GRACE_MS - 500);
    world.restart_meta();
    world.pass(GRACE_MS);
    assert_eq!(world.config(0), config);
    world.pass(200);
    assert_eq!(world.config(0).primary, None);
}

#[test]
fn a_meta_server_that_was_stopped_blames_nobody() {
    let mut world = World::healthy(options(), 3, 1, 3);
    let config = world.config(0);
    world.now = world.now + 60_000;
    world.feed(Event::Tick);
    world.pass(2 * GRACE_MS);
    assert_eq!(world.config(0), config);
    assert!(world.state.nodes().all(|n| n.liveness == Liveness::Alive));
}

#[test]
fn too_few_nodes_freeze_all_but_removal() {
    let frozen = Options { min_live_node_count_for_unfreeze: 3, ..options() };
    let mut world = World::healthy(frozen, 3, 1, 3);
    let config = world.config(0);
    world.goodbye(config.primary.clone().unwrap().port() - 34800);
    assert_eq!(world.state.effective_level(), FunctionLevel::Freezed);
    let deposed = world.config(0);
    assert_eq!(deposed.primary, None);
    world.pass(2 * RESEND_MS);
    assert_eq!(world.proposed(), vec![]);
    let update = change(&deposed, ChangeKind::UpgradeToPrimary, &deposed.secondaries[0]);
    assert_eq!(world.update(update), UpdateOutcome::Busy);
    let response = world.ask(|token| Event::SetLevel { token, level: None });
    assert_eq!(response, Response::Level(FunctionLevel::Steady), "the raw level");
}

#[test]
fn changes_are_pushed_to_everybody_they_concern() {
    let mut world = World::healthy(options(), 3, 1, 3);
    world.pushes.clear();
    let config = world.config(0);
    let gone = config.secondaries[0].clone();
    world.update(change(&config, ChangeKind::DowngradeToInactive, &gone));
    let told: Vec<_> = world.pushes.iter().map(|(to, _)| to.clone()).collect();
    assert_eq!(told, (1..=3).map(node).collect::<Vec<_>>());
    assert!(world.pushes.iter().all(|(_, c)| *c == world.config(0)));
}
