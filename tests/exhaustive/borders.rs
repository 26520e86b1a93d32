//! The borders of the promise: just inside nothing goes wrong, just outside it does, and is seen.

use std::collections::HashSet;

use dynamo_sink::{chain::Fate, write::Landed};

use super::{
    all_states,
    explore::explore,
    machine::{
        Turn,
        Violation::{self, Lost, Regressed, WentBack},
        World,
    },
    model::{Log, Place},
};

const REGRESSION: Fate = Fate::Landed(Landed::Regression);

fn at(partition: i32, offset: i64, timestamp: i64) -> Place {
    Place { partition, offset, timestamp, ..Place::default() }
}

/// Finds exactly these kinds of violation, and returns the fates that were met.
#[track_caller]
fn check(world: &World, violations: &[Violation]) -> HashSet<Fate> {
    let explored = explore(world);
    let found: Vec<Violation> = explored.violations.keys().copied().collect();
    assert_eq!(found, violations, "{:#?}\n{:#?}", world.log, explored.violations);
    explored.fates
}

/// Timestamps that a producer sets may fall within a partition: the offset alone decides, but an old record that comes
/// again can look like one of a topic that was created again.
#[test]
fn falling_timestamps_raise_regressions_falsely_and_do_no_harm() {
    let meets_regressions = |states: &str, timestamps: [i64; 3]| {
        let [first, second, third] = timestamps;
        let places = [at(0, 1, first), at(0, 2, second), at(0, 3, third)];
        let log = Log::at(states, &places);
        let fates = check(&World::counted(log.clone()), &[]);
        // A look may show a state that the record does not regress behind, and so raise fewer of them.
        check(&World::looking(log), &[]);
        fates.contains(&REGRESSION)
    };
    for states in all_states(3, "ab-") {
        for falling in [[1, 3, 2], [2, 1, 3], [2, 3, 1], [3, 1, 2], [3, 2, 1]] {
            assert!(meets_regressions(&states, falling), "{states} {falling:?}");
        }
        for steady in [[1, 2, 3], [5, 5, 5], [-1, -1, -1]] {
            assert!(!meets_regressions(&states, steady), "{states} {steady:?}");
        }
    }
}

/// Lineages whose timestamps never fall have one order, however they overlap.
#[test]
fn a_key_may_move_where_timestamps_never_fall() {
    for states in all_states(3, "ab-") {
        let interleaved = [at(0, 1, 1), at(1, 1, 2), at(0, 2, 3)];
        check(&World::new(Log::at(&states, &interleaved)), &[]);
        for places in [
            interleaved,
            [at(0, 1, 1), at(0, 2, 2), at(1, 1, 3)],
            [at(0, 9, 1), at(1, 1, 2), at(1, 2, 3)],
            [at(0, 9, 1), at(1, 1, 2), at(2, 5, 3)],
            // Equal timestamps: the partition decides.
            [at(0, 9, 1), at(1, 1, 1), at(1, 2, 1)],
        ] {
            for world in [World::counted, World::looking] {
                let fates = check(&world(Log::at(&states, &places)), &[]);
                assert!(!fates.contains(&REGRESSION));
            }
        }
    }
    for states in all_states(4, "ab-") {
        let interleaved = [at(0, 1, 1), at(1, 1, 2), at(0, 2, 3), at(1, 2, 4)];
        let log = Log::at(&states, &interleaved);
        check(&World { invocations: 2, ..World::new(log) }, &[]);
    }
}

/// Lineages that don't overlap in time have one order, however the timestamps fall within each.
#[test]
fn a_key_may_move_where_lineages_do_not_overlap_in_time() {
    for states in all_states(3, "ab-") {
        for places in
            [[at(0, 1, 20), at(0, 2, 10), at(1, 1, 30)], [at(0, 1, 10), at(1, 1, 30), at(1, 2, 20)]]
        {
            check(&World::counted(Log::at(&states, &places)), &[]);
            check(&World::looking(Log::at(&states, &places)), &[]);
        }
    }
}

/// By the offset the second is newer than the first, by the timestamp the third newer than the second, and by the
/// timestamp the first newer than the third.
#[test]
fn lineages_that_overlap_in_time_can_order_in_a_circle() {
    let circle = [at(0, 1, 30), at(0, 2, 10), at(1, 1, 20)];
    for pair in [[circle[0], circle[1]], [circle[1], circle[2]], [circle[2], circle[0]]] {
        check(&World::new(Log::at("ab", &pair)), &[]);
    }
    // So whatever the true order of the three is held to be, readers can see it go back.
    for ranks in [[1, 2, 3], [1, 3, 2], [2, 1, 3], [2, 3, 1], [3, 1, 2], [3, 2, 1]] {
        let mut log = Log::at("abc", &circle);
        for (record, rank) in log.records.iter_mut().zip(ranks) {
            record.rank = rank;
        }
        let violations = explore(&World::new(log)).violations;
        assert!(violations.contains_key(&WentBack), "{ranks:?} {violations:#?}");
    }
}

/// The same with looks, and two invocations that overlap.
fn looking(world: World) -> World {
    World { turn: world.turn, ..World::looking(world.log) }
}

/// The first two records come before the turn, the others after it.
const TWO_BEFORE: fn(bool, usize) -> bool = |is_turned, record| is_turned == (record >= 2);

/// A turn with nothing in flight.
const DRAINED: Turn = Turn { is_drained: true, expires_tombstone: false, admits: TWO_BEFORE };

/// Offsets 5 and 6, then those of a topic that was created again.
fn created_again(states: &str, epoch: u64) -> World {
    let new = |offset, timestamp| Place { epoch, ..at(0, offset, timestamp) };
    let log = Log::at(states, &[at(0, 5, 10), at(0, 6, 20), new(0, 30), new(1, 40)]);
    World { turn: Some(DRAINED), ..World::new(log) }
}

#[test]
fn a_topic_that_is_created_again_regresses_without_a_new_epoch_and_is_never_silent() {
    for states in all_states(4, "ab-") {
        check(&created_again(&states, 0), &[Regressed]);
        check(&looking(created_again(&states, 0)), &[Regressed]);
    }
}

/// Where one batch holds records of both topics, and the old ones even come again, states go back and forth; but what
/// is not applied is reported still.
#[test]
fn a_topic_that_is_created_again_within_a_batch_is_never_silent() {
    for states in all_states(4, "ab-") {
        let world = World { turn: None, invocations: 2, ..created_again(&states, 0) };
        let mut violations = explore(&world).violations;
        violations.remove(&WentBack);
        let found: Vec<Violation> = violations.keys().copied().collect();
        assert_eq!(found, [Regressed], "{states} {violations:#?}");
    }
}

#[test]
fn a_topic_that_is_created_again_recovers_with_a_new_epoch() {
    for states in all_states(4, "ab-") {
        let fates = check(&created_again(&states, 1), &[]);
        assert!(!fates.contains(&REGRESSION), "{states}");
        check(&looking(created_again(&states, 1)), &[]);
    }
}

/// The same two records again, under a higher epoch.
fn repaired(states: &str) -> Log {
    let again = |offset, timestamp| Place { epoch: 1, ..at(0, offset, timestamp) };
    let twice = format!("{states}{states}");
    Log::at(&twice, &[at(0, 1, 10), at(0, 2, 20), again(1, 10), again(2, 20)])
}

/// A repair goes through all states once more: by epoch and offset it moves forward only, and ends at the last state.
#[test]
fn a_higher_epoch_rewrites_every_item_and_shows_older_states_on_the_way() {
    for states in all_states(2, "ab-") {
        let world = World { turn: Some(DRAINED), ..World::new(repaired(&states)) };
        check(&world, &[]);
        check(&looking(world), &[]);
    }
    let mut log = repaired("ab");
    for (record, rank) in log.records.iter_mut().zip([1, 2, 1, 2]) {
        record.rank = rank;
    }
    check(&World { turn: Some(DRAINED), ..World::new(log) }, &[WentBack]);
}

/// What an invocation of the lower epoch still holds when a redelivered record has the higher one is lost.
#[test]
fn an_epoch_that_is_raised_before_all_invocations_ended_loses_records() {
    let log = Log::at("ab", &[Place { epoch: 1, ..at(0, 1, 10) }, at(0, 2, 20)]);
    let only: fn(bool, usize) -> bool = |is_turned, record| is_turned == (record == 0);
    let turn = Turn { is_drained: false, admits: only, ..DRAINED };
    check(&World { turn: Some(turn), ..World::new(log.clone()) }, &[WentBack, Lost]);
    // With all of them ended an older state shows, but only until the newer record is redelivered too, as above.
    let turn = Turn { is_drained: true, ..turn };
    check(&World { turn: Some(turn), ..World::new(log) }, &[WentBack]);
}

/// A tombstone counts until it is gone; then nothing keeps an older put from bringing the item back.
#[test]
fn a_tombstone_must_outlive_every_older_record() {
    let expired = Turn { is_drained: true, expires_tombstone: true, admits: |_, _| true };
    check(&World { turn: Some(expired), ..World::new(Log::keyed("a-")) }, &[WentBack]);
    // Where what is older than the tombstone comes no more, its end is not noticed.
    let outlived = Turn { admits: TWO_BEFORE, ..expired };
    for states in all_states(4, "ab-") {
        let world = World { turn: Some(outlived), ..World::new(Log::keyed(&states)) };
        check(&world, &[]);
        check(&looking(world), &[]);
    }
}
