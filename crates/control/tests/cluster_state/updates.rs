use pegasus_control::{Event, PersistError, Response};
use pegasus_types::{ChangeKind, PartitionId, UpdateOutcome};

use crate::world::*;

#[test]
fn only_the_next_ballot_is_accepted() {
    let mut world = World::healthy(options(), 3, 1, 3);
    let config = world.config(0);
    let gone = config.secondaries[0].clone();
    for ballot in [config.ballot.0 - 1, config.ballot.0, config.ballot.0 + 2, i64::MAX] {
        let mut update = change(&config, ChangeKind::DowngradeToInactive, &gone);
        update.config.ballot.0 = ballot;
        assert_eq!(world.update(update), UpdateOutcome::Refused(config.clone()));
    }
    assert_eq!(world.config(0), config);
}

#[test]
fn a_repeated_request_gets_the_same_answer() {
    let mut world = World::healthy(options(), 3, 1, 3);
    let config = world.config(0);
    let update = change(&config, ChangeKind::DowngradeToInactive, &config.secondaries[0]);
    let first = world.update(update.clone());
    let ballot = world.config(0).ballot;
    assert_eq!(world.update(update), first);
    assert_eq!(world.config(0).ballot, ballot);
}

#[test]
fn changes_that_do_not_fit_are_refused() {
    let mut world = World::healthy(options(), 3, 1, 3);
    let config = world.config(0);
    let primary = config.primary.clone().unwrap();
    let stranger = node(9);
    let secondary = config.secondaries[0].clone();
    let wrong = [
        change(&config, ChangeKind::AssignPrimary, &stranger),
        change(&config, ChangeKind::UpgradeToPrimary, &secondary),
        change(&config, ChangeKind::UpgradeToSecondary, &secondary),
        change(&config, ChangeKind::DowngradeToSecondary, &secondary),
        change(&config, ChangeKind::DowngradeToInactive, &stranger),
        change(&config, ChangeKind::AddSecondary, &stranger),
    ];
    for update in wrong {
        assert_eq!(world.update(update), UpdateOutcome::Refused(config.clone()));
    }
    // The right change with another one smuggled in.
    let mut update = change(&config, ChangeKind::DowngradeToInactive, &secondary);
    update.config.primary = Some(config.secondaries[1].clone());
    update.config.secondaries = vec![primary];
    assert_eq!(world.update(update), UpdateOutcome::Refused(config.clone()));

    let mut unknown = change(&config, ChangeKind::ForceUpdateBallot, &secondary);
    unknown.config.pid = PartitionId::new(7, 0);
    assert_eq!(world.update(unknown), UpdateOutcome::NotFound);
    let mut negative = change(&config, ChangeKind::ForceUpdateBallot, &secondary);
    negative.config.pid = PartitionId::new(1, -1);
    assert_eq!(world.update(negative), UpdateOutcome::NotFound);
}

#[test]
fn the_order_of_the_request_is_kept_and_its_drops_are_not_trusted() {
    let mut world = World::healthy(options(), 4, 1, 4);
    let config = world.config(0);
    let gone = config.secondaries[0].clone();
    let mut update = change(&config, ChangeKind::DowngradeToInactive, &gone);
    update.config.secondaries.reverse();
    update.config.last_drops = vec![node(77)];
    let expected = update.config.secondaries.clone();
    world.update(update);
    assert_eq!(world.config(0).secondaries, expected);
    assert_eq!(world.config(0).last_drops, vec![gone]);
}

#[test]
fn last_drops_keeps_the_newest_three() {
    let mut world = World::healthy(options(), 5, 1, 5);
    let secondaries = world.config(0).secondaries;
    for gone in &secondaries {
        world.update(change(&world.config(0), ChangeKind::Remove, gone));
    }
    assert_eq!(world.config(0).last_drops, secondaries[1..].to_vec());
}

#[test]
fn an_update_counts_only_once_stored() {
    let mut world = World::healthy(options(), 3, 1, 3);
    world.persist = false;
    let config = world.config(0);
    let update = change(&config, ChangeKind::DowngradeToInactive, &config.secondaries[0]);
    let (first, again, other) = (world.token(), world.token(), world.token());
    world.feed(Event::UpdateConfig { token: first, update: update.clone() });
    assert!(world.replies.is_empty());
    assert_eq!(world.config(0), config);
    // The same change waits for the same outcome, another one is told to come back.
    world.feed(Event::UpdateConfig { token: again, update });
    let rival = change(&config, ChangeKind::DowngradeToInactive, &config.secondaries[1]);
    world.feed(Event::UpdateConfig { token: other, update: rival });
    assert_eq!(world.replies[&other], Response::Update(UpdateOutcome::Busy));
    world.commit();
    let accepted = Response::Update(UpdateOutcome::Accepted(world.config(0)));
    assert_eq!(world.replies[&first], accepted);
    assert_eq!(world.replies[&again], accepted);
}

#[test]
fn a_refused_write_changes_nothing() {
    let mut world = World::healthy(options(), 3, 1, 3);
    world.persist = false;
    let config = world.config(0);
    let update = change(&config, ChangeKind::DowngradeToInactive, &config.secondaries[0]);
    let token = world.token();
    world.feed(Event::UpdateConfig { token, update: update.clone() });
    world.fail_write(PersistError::Refused("full".to_owned()));
    assert_eq!(world.replies[&token], Response::Update(UpdateOutcome::Busy));
    assert_eq!(world.config(0), config);
    world.persist = true;
    assert!(matches!(world.update(update), UpdateOutcome::Accepted(_)));
}

#[test]
fn a_write_with_unknown_outcome_is_repeated_as_it_was() {
    let mut world = World::healthy(options(), 3, 1, 3);
    world.persist = false;
    let config = world.config(0);
    let update = change(&config, ChangeKind::DowngradeToInactive, &config.secondaries[0]);
    let token = world.token();
    world.feed(Event::UpdateConfig { token, update });
    let asked = world.writes[0].clone();
    world.fail_write(PersistError::Unknown);
    assert!(world.replies.is_empty() && world.writes.is_empty());
    world.pass(RESEND_MS);
    assert_eq!(world.writes, vec![asked]);
    world.commit();
    assert!(matches!(world.replies[&token], Response::Update(UpdateOutcome::Accepted(_))));
}

#[test]
fn a_crash_between_store_and_memory_ends_where_the_store_is() {
    let mut world = World::healthy(options(), 3, 1, 3);
    world.persist = false;
    let config = world.config(0);
    let update = change(&config, ChangeKind::DowngradeToInactive, &config.secondaries[0]);
    let token = world.token();
    world.feed(Event::UpdateConfig { token, update: update.clone() });
    let seq = world.write_oldest();
    world.restart_meta();
    assert_eq!(world.config(0).ballot, config.ballot.next());
    // A late completion means nothing to the new leader; the repeated request is answered.
    world.feed(Event::Persisted { seq, result: Ok(()) });
    assert!(matches!(world.update(update), UpdateOutcome::Accepted(_)));
}

#[test]
fn nothing_is_decided_before_the_store_is_loaded() {
    let mut world = World::idle(options());
    world.start(1);
    let pid = PartitionId::new(1, 0);
    assert_eq!(world.ask(|token| Event::QueryPartition { token, pid }), Response::AskAgain);
    let request = create("t", 1, 1);
    assert_eq!(world.ask(|token| Event::CreateApp { token, request }), Response::AskAgain);
}
