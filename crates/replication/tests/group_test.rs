//! The protocol, phase by phase, on a group of replicas without accidental faults.
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod group;

use group::{Group, node};
use pegasus_replication::{Event, GateRole, LeaseView, Message, WriteResult};
use pegasus_types::{ChangeKind, Decree, ReplicaStatus};

#[test]
fn a_write_is_answered_after_every_member_has_it_and_the_primary_applied_it() {
    let mut g = Group::healthy();
    g.write(7, "a");
    assert_eq!(g.replies, [(7, WriteResult::Committed(Decree(1)))]);
    for i in 1..=3 {
        assert_eq!(g.replica(i).prepared().decree(), Decree(1));
    }
    // The commit reaches the secondaries without another write.
    g.pass(50);
    for i in 1..=3 {
        assert_eq!(g.content(i), ["a"]);
    }
}

#[test]
fn a_write_waits_while_a_member_does_not_answer_and_goes_on_without_it() {
    let mut g = Group::healthy();
    g.kill(3);
    g.write(1, "a");
    assert!(g.replies.is_empty());
    g.pass(1500);
    assert_eq!(g.replies, [(1, WriteResult::Committed(Decree(1)))]);
    assert_eq!(g.stored.secondaries, [node(2)]);
}

#[test]
fn below_the_minimum_of_members_nothing_is_acknowledged() {
    let mut g = Group::healthy();
    g.kill(3);
    g.kill(2);
    g.write(1, "a");
    g.pass(5000);
    assert!(g.replies.is_empty());
    assert_eq!(g.stored.member_count(), 1);
    assert_eq!(g.forgotten, [1]);
}

#[test]
fn a_dead_primary_is_replaced_and_nothing_acknowledged_is_lost() {
    let mut g = Group::healthy();
    g.write(1, "a");
    g.write(2, "b");
    g.kill(1);
    g.primary_is_dead();
    g.propose(2, ChangeKind::UpgradeToPrimary, 2);
    assert_eq!(g.primary(), node(2));
    // The promise to the dead primary still runs.
    assert_ne!(g.nodes[&node(2)].gate.as_ref().unwrap().role, GateRole::Primary);
    g.pass(2500);
    assert_eq!(g.nodes[&node(2)].gate.as_ref().unwrap().role, GateRole::Primary);
    assert_eq!(g.content(2), ["a", "b"]);
    g.write(3, "c");
    g.pass(100);
    assert_eq!(g.content(3), ["a", "b", "c"]);
}

#[test]
fn a_deposed_primary_that_still_runs_releases_its_members_at_once() {
    let mut g = Group::healthy();
    g.primary_is_dead();
    g.propose(2, ChangeKind::UpgradeToPrimary, 2);
    g.pass(400);
    assert_eq!(g.replica(1).status(), ReplicaStatus::Inactive);
    assert_eq!(g.nodes[&node(1)].gate.as_ref().unwrap().role, GateRole::Closed);
    assert_eq!(g.nodes[&node(2)].gate.as_ref().unwrap().role, GateRole::Primary);
    g.write(1, "a");
    assert_eq!(g.replies.len(), 1);
}

#[test]
fn everybody_killed_comes_back_with_everything() {
    let mut g = Group::healthy();
    for (token, body) in [(1, "a"), (2, "b"), (3, "c")] {
        g.write(token, body);
    }
    for i in 1..=3 {
        g.kill(i);
    }
    let before = g.ballot();
    for i in 1..=3 {
        g.restart(i, true);
    }
    g.pass(3000);
    assert!(g.ballot() > before, "a restarted primary never uses its ballot again");
    for i in 1..=3 {
        assert_eq!(g.content(i), ["a", "b", "c"]);
    }
    g.write(4, "d");
    assert_eq!(g.replies.last(), Some(&(4, WriteResult::Committed(Decree(4)))));
}

#[test]
fn a_secondary_that_missed_writes_learns_them() {
    for (keep_data, flush) in [(true, false), (false, false), (false, true)] {
        let mut g = Group::healthy();
        g.write(1, "a");
        g.pass(50);
        g.kill(3);
        g.pass(1500);
        for token in 2..60 {
            g.write(token, "some longer content, so that the memory of the primary forgets it");
        }
        if flush {
            g.flush(1);
        }
        g.restart(3, keep_data);
        g.pass(100);
        g.propose(1, ChangeKind::AddSecondary, 3);
        g.pass(2500);
        assert!(g.stored.is_secondary(&node(3)), "{keep_data} {flush}");
        assert_eq!(g.content(3), g.content(1));
        let copied = g.trace.iter().any(|line| line.ends_with("checkpoint"));
        assert_eq!(copied, flush, "only a collected log needs a copy");
    }
}

#[test]
fn a_copy_that_ends_after_the_learner_was_given_to_another_primary_does_no_harm() {
    let mut g = Group::healthy();
    g.kill(3);
    g.pass(1500);
    for token in 1..60 {
        g.write(token, "some longer content, so that the memory of the primary forgets it");
    }
    for i in 1..=2 {
        g.flush(i);
    }
    g.hold_copies = true;
    g.restart(3, false);
    g.pass(100);
    g.propose(1, ChangeKind::AddSecondary, 3);
    g.pass(500);
    // While n:3 copies from n:1, n:2 becomes primary, goes on writing and wants n:3 as well.
    g.propose(1, ChangeKind::DowngradeToSecondary, 1);
    g.propose(2, ChangeKind::UpgradeToPrimary, 2);
    g.pass(200);
    g.write(60, "after the move");
    g.feed(node(3), Event::Config { config: g.stored.clone(), asked_in: None });
    g.propose(2, ChangeKind::AddSecondary, 3);
    g.pass(2500);
    assert!(!g.stored.is_member(&node(3)), "its engine may be exchanged at any moment");
    assert_eq!(g.finish_copies(), 1);
    for _ in 0..5 {
        g.propose(2, ChangeKind::AddSecondary, 3);
        g.pass(2000);
    }
    assert!(
        g.stored.is_secondary(&node(3)),
        "{:#?}",
        g.trace.iter().rev().take(30).collect::<Vec<_>>()
    );
    g.write(61, "to everybody");
    g.pass(50);
    // A checkpoint is not told apart from the records it holds, so compare what counts.
    assert_eq!(g.content(3), g.content(2));
}

#[test]
fn a_replica_made_anew_never_leads_because_a_configuration_lists_its_node() {
    let mut g = Group::healthy();
    g.write(1, "a");
    g.pass(50);
    for i in 1..=3 {
        g.kill(i);
    }
    // Only n:3 is left in the configuration, and it lost its disk.
    g.stored.ballot = g.stored.ballot.next();
    g.stored.primary = None;
    g.stored.secondaries = vec![node(3)];
    g.stored.last_drops = vec![node(2), node(1)];
    g.restart(3, false);
    g.pass(2500);
    g.propose(3, ChangeKind::UpgradeToPrimary, 3);
    g.pass(2500);
    assert_eq!(g.stored.primary, None);
    assert_eq!(g.stored.secondaries, [], "it asks to be left out");
    // A former member that has the data may lead.
    g.restart(1, true);
    g.propose(1, ChangeKind::AssignPrimary, 1);
    g.pass(2500);
    assert_eq!(g.primary(), node(1));
    assert_eq!(g.content(1), ["a"]);
}

#[test]
fn an_orphaned_tail_is_dropped_by_the_new_primary() {
    let mut g = Group::healthy();
    g.write(1, "a");
    g.pass(50);
    // Only the primary gets "lost" into its log: nobody else hears of it.
    g.kill(2);
    g.kill(3);
    g.write(2, "lost");
    g.kill(1);
    assert_eq!(g.replica(1).prepared().decree(), Decree(2));
    g.restart(2, true);
    g.restart(3, true);
    g.primary_is_dead();
    g.propose(2, ChangeKind::UpgradeToPrimary, 2);
    g.pass(3000);
    g.write(3, "b");
    g.restart(1, true);
    g.pass(100);
    g.propose(2, ChangeKind::AddSecondary, 1);
    g.pass(2500);
    assert_eq!(g.content(1), ["a", "b"]);
    assert!(g.nodes.values().all(|n| n.fenced.is_none()));
}

#[test]
fn reads_stop_when_a_lease_lapses_and_need_a_confirmation_in_the_new_epoch() {
    let mut g = Group::healthy();
    let gate = g.nodes[&node(1)].gate.clone().unwrap();
    assert_eq!(gate.role, GateRole::Primary);
    let epochs = |g: &Group| {
        let view = &g.nodes[&node(1)].leases;
        [2, 3].map(|i| view.held(g.now, &node(i)))
    };
    assert_eq!(gate.leases, [2, 3].map(|i| (node(i), 1)).to_vec());
    g.now = g.now + 1600;
    assert_eq!(epochs(&g), [None, None]);
    g.pass(200);
    assert_eq!(epochs(&g), [Some(2), Some(2)]);
    let gate = g.nodes[&node(1)].gate.clone().unwrap();
    assert_eq!(gate.leases, [2, 3].map(|i| (node(i), 2)).to_vec());
}

#[test]
fn a_planned_move_does_not_wait_for_promises() {
    let mut g = Group::healthy();
    g.write(1, "a");
    g.propose(1, ChangeKind::DowngradeToSecondary, 1);
    assert_eq!(g.stored.primary, None);
    g.propose(3, ChangeKind::UpgradeToPrimary, 3);
    g.pass(50);
    assert_eq!(g.primary(), node(3));
    assert_eq!(g.nodes[&node(3)].gate.as_ref().unwrap().role, GateRole::Primary);
    assert_eq!(g.stored.member_count(), 3);
}

#[test]
fn a_failed_primary_fences_itself_and_asks_to_be_replaced() {
    let mut g = Group::healthy();
    g.feed(node(1), Event::Failed { reason: "disk".into() });
    assert_eq!(g.replica(1).status(), ReplicaStatus::Error);
    assert_eq!(g.stored.primary, None);
    g.feed(
        node(1),
        Event::Message { from: node(2), message: Message::Stale { ballot: g.ballot() } },
    );
    assert_eq!(g.nodes[&node(1)].fenced.as_deref(), Some("disk"));
}
