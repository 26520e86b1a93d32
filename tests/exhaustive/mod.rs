//! The writer's state machine against a table in memory: every interleaving of the writes of one key.
//!
//! What runs is the real [`Chain`](dynamo_sink::chain::Chain) with all that stands behind it; the table, the log and
//! the invocations are this module's. A state of the whole is what the table holds, the state that readers saw last,
//! and how far each invocation is. From each state all of this can happen:
//!
//! - an idle invocation gets any batch, that is any contiguous slice of each partition's log, new or delivered before,
//!   and expects of the key whatever it has learnt of others: that there is an item, that there is none, or that there
//!   is nothing to do, so that it looks first;
//! - a look shows any item that ever stood, also none, with any tombstone that ever stood, also none; or it fails;
//! - a running one sends its next request by either transport, and the answer arrives;
//! - the request is done and the answer lost, so that the same is sent again;
//! - the invocation is killed, so that what it had is delivered again, later, to any other.
//!
//! So up to three invocations overlap, but how many follow one another, how many are killed and how many answers are
//! lost has no bound. All keyed logs of up to four records are there, since a shorter one is a longer one whose end was
//! not delivered yet; of logs by the source's clock, all puts in five arrangements over partitions. Two invocations are
//! the bound where a test says so.
//!
//! Looks multiply the states, since what stood before counts too, and so they are explored in searches of their own: of
//! four records with two invocations that overlap (by the source's clock, in the two arrangements without ties), of
//! three keyed records with three. At the borders of the promise, looks go with two. What a look does to the counts of
//! a batch alone is held to what would be counted without it ([`counts`]).
//!
//! Every search starts from no item and from an earlier writer's.
//!
//! What is held after each move, by [`Violation`](machine::Violation):
//!
//! - What readers see only moves forward, and has exactly its record's attributes. No write changes nothing.
//! - When a record's fate is decided, readers see its state or a newer one, or a newer tombstone stands, whose delete
//!   is delivered again until it removes the item. The last record has no newer one. So, from when it is delivered, the
//!   table equals the last state, however the others fare. Two invocations are explored with a count of what was
//!   delivered too, where this is looked at directly.
//! - A fate is what happened, a regression and a conflict are reported where the comparison says so, and no write is
//!   ever beaten so often that it gives up.
//!
//! What makes it small, and loses nothing: each step of the machine is taken once for each of its states and for each
//! content of the table, and remembered ([`machine`]); invocations are alike, so their order does not count; a delivery
//! and its first request are one move. The attributes' names are alike too, so of two logs that differ in them only one
//! is explored.
//!
//! These are 76 million states of the promise, 18 million of them with looks, beside those of its borders and the
//! planted faults. Unoptimised, they take 140 seconds of processor time and 240 MB.

mod borders;
mod counts;
mod explore;
mod faults;
mod machine;
mod model;
mod rows;

use std::collections::HashSet;

use dynamo_sink::{
    chain::Fate::{self, Landed, Superseded, Unwritable},
    write::Landed::{Deleted, Duplicate, Stale, Written},
};

use self::{
    explore::explore,
    machine::World,
    model::{Log, Place},
};

const KEYED: &[Fate] =
    &[Landed(Written), Landed(Deleted), Landed(Duplicate), Landed(Stale), Superseded];
const PUTS: &[Fate] = &[Landed(Written), Landed(Duplicate), Landed(Stale), Superseded];

impl World {
    /// Three invocations that overlap.
    fn new(log: Log) -> Self {
        Self {
            log,
            invocations: 3,
            counts_deliveries: false,
            looks: false,
            fault: None,
            turn: None,
        }
    }

    /// Two that overlap and look first if they like.
    fn looking(log: Log) -> Self {
        Self { invocations: 2, looks: true, ..Self::new(log) }
    }

    /// Only two that overlap, but with a look at the table when every record was delivered.
    fn counted(log: Log) -> Self {
        Self { invocations: 2, counts_deliveries: true, ..Self::new(log) }
    }
}

/// All logs of so many records, up to the names of the attributes: the first put has `a`.
fn all_states(records: usize, alphabet: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    for _ in 0..records {
        let longer = |states: &String| -> Vec<String> {
            alphabet.chars().map(|state| format!("{states}{state}")).collect()
        };
        all = all.iter().flat_map(longer).collect();
    }
    all.retain(|states| states.chars().find(|&state| state != '-') != Some('b'));
    all
}

/// Explores each world, at least so many states of all together, finds no violation, and meets exactly these fates.
#[track_caller]
fn holds(worlds: impl IntoIterator<Item = World>, at_least: usize, fates: &[Fate]) {
    let (mut states, mut met) = (0, HashSet::new());
    for world in worlds {
        let explored = explore(&world);
        assert!(explored.violations.is_empty(), "{:#?}\n{:#?}", world.log, explored.violations);
        states += explored.states;
        met.extend(explored.fates);
    }
    assert!(states >= at_least, "only {states} states were there to explore");
    assert_eq!(met, fates.iter().copied().collect());
}

#[test]
fn four_keyed_records_that_begin_with_a_put() {
    let states = all_states(4, "ab-").into_iter().filter(|states| states.starts_with('a'));
    holds(states.map(|states| World::new(Log::keyed(&states))), 9_700_000, KEYED);
}

#[test]
fn four_keyed_records_that_begin_with_a_delete() {
    let states = all_states(4, "ab-").into_iter().filter(|states| states.starts_with('-'));
    holds(states.map(|states| World::new(Log::keyed(&states))), 6_700_000, KEYED);
}

#[test]
fn four_keyed_records_until_all_are_delivered() {
    holds(
        all_states(4, "ab-").iter().map(|states| World::counted(Log::keyed(states))),
        3_000_000,
        KEYED,
    );
}

#[test]
fn keyed_records_in_a_sink_without_deletes() {
    let without_deletes = |states: &String| Log { deletes: false, ..Log::keyed(states) };
    let all = all_states(4, "ab");
    holds(all.iter().map(|states| World::new(without_deletes(states))), 4_800_000, PUTS);
}

/// Four records by the source's clock in several arrangements over partitions: those that overlap, and those with ties.
fn arrangements() -> [Vec<[Place; 4]>; 2] {
    let at = |source_time, timestamp, partition, offset| Place {
        source_time,
        partition,
        offset,
        timestamp,
        ..Place::default()
    };
    let overlapping = vec![
        // Out of order within one partition, from before 1970 on.
        [at(-10, 1, 0, 0), at(-20, 2, 0, 1), at(40, 3, 0, 2), at(30, 4, 0, 3)],
        // Two partitions, whose clocks overlap.
        [at(30, 1, 0, 7), at(10, 2, 0, 8), at(40, 1, 1, 3), at(20, 2, 1, 4)],
    ];
    let tied = vec![
        // Equal source times: Kafka's timestamp decides, then the partition, then the offset.
        [at(10, 2, 0, 7), at(10, 1, 0, 8), at(10, 2, 1, 3), at(10, 1, 1, 4)],
        [at(10, 1, 0, 7), at(10, 1, 0, 8), at(10, 1, 1, 3), at(10, 1, 1, 4)],
        // No source time and no timestamp, one partition each.
        [at(0, -1, 3, 5), at(0, -1, 2, 5), at(0, -1, 1, 5), at(0, -1, 0, 5)],
    ];
    [overlapping, tied]
}

#[test]
fn four_records_by_the_sources_clock() {
    let [overlapping, tied] = arrangements();
    let mut worlds = Vec::new();
    for states in all_states(4, "ab") {
        let clocked = |places: &[Place; 4]| Log::clocked(&states, places);
        worlds.extend(overlapping.iter().map(|places| World::new(clocked(places))));
        worlds.extend(overlapping.iter().chain(&tied).map(|it| World::counted(clocked(it))));
    }
    holds(worlds, 31_500_000, PUTS);
}

/// All logs of so many records of which one, a put, cannot be stored.
fn with_an_unwritable_record(records: usize, world: fn(Log) -> World) -> Vec<World> {
    let mut worlds = Vec::new();
    for states in all_states(records, "ab-") {
        let puts = states.char_indices().filter(|&(_, state)| state != '-');
        for (unwritable, _) in puts {
            let mut log = Log::keyed(&states);
            log.records[unwritable].is_unwritable = true;
            worlds.push(world(log));
        }
    }
    worlds
}

#[test]
fn an_unwritable_record_leaves_its_place_to_the_next_older() {
    let worlds = with_an_unwritable_record(4, World::counted);
    holds(worlds, 2_200_000, &[KEYED, &[Unwritable]].concat());
}

#[test]
fn looks_at_four_keyed_records() {
    let all = all_states(4, "ab-");
    holds(all.iter().map(|states| World::looking(Log::keyed(states))), 5_100_000, KEYED);
}

#[test]
fn looks_of_three_invocations_at_three_keyed_records() {
    let three = |states: &String| World { invocations: 3, ..World::looking(Log::keyed(states)) };
    holds(all_states(3, "ab-").iter().map(three), 6_400_000, KEYED);
}

#[test]
fn looks_in_a_sink_without_deletes() {
    let without_deletes = |states: &String| Log { deletes: false, ..Log::keyed(states) };
    let two = |states: &String| World::looking(without_deletes(states));
    let three = |states: &String| World { invocations: 3, ..two(states) };
    let (four_records, three_records) = (all_states(4, "ab"), all_states(3, "ab"));
    let worlds = four_records.iter().map(two).chain(three_records.iter().map(three));
    holds(worlds, 2_600_000, PUTS);
}

#[test]
fn looks_at_four_records_by_the_sources_clock() {
    let [overlapping, _] = arrangements();
    let mut worlds = Vec::new();
    for states in all_states(4, "ab") {
        let clocked = |places: &[Place; 4]| World::looking(Log::clocked(&states, places));
        worlds.extend(overlapping.iter().map(clocked));
    }
    holds(worlds, 3_500_000, PUTS);
}

#[test]
fn looks_where_a_record_is_unwritable() {
    let worlds = with_an_unwritable_record(3, World::looking);
    holds(worlds, 140_000, &[KEYED, &[Unwritable]].concat());
}
