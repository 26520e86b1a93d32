//! What is counted and alarmed: a look changes no item, and raises nothing that would not be raised without it.

use std::collections::HashSet;

use dynamo_sink::{
    chain::{Decided, Fate},
    write::{Answer, Expected, Landed, Request},
};

use super::{
    World, all_states,
    machine::{Turn, batches, chain},
    model::{Ask, Log, Place, Store, Transport},
};

/// Delivers a batch alone; with a look if one is given, else without.
fn deliver(
    world: &World,
    store: &Store,
    batch: &[usize],
    look: Option<&Answer>,
) -> (Store, Vec<Decided>) {
    let (log, mut store) = (&world.log, store.clone());
    let (mut chain, mut decided) = (chain(world, batch), Vec::new());
    chain.expect(if look.is_some() { Expected::NothingToDo } else { Expected::Item });
    while let Some((candidate, request)) = chain.request() {
        let record = &log.records[candidate.record];
        let ask = Ask { order: log.order, request, record, transport: Transport::Single };
        let answer = match (request, look) {
            (Request::Look, Some(answer)) => answer.clone(),
            _ => store.take(ask),
        };
        log.note(&mut store);
        decided.extend(chain.answer(answer));
    }
    decided.sort_by_key(|decided| decided.record);
    (store, decided)
}

/// Delivers batch after batch, to each table that can come of it, with whatever a look can show and without looks.
#[track_caller]
fn check(world: &World) {
    let mut stores: Vec<Store> = vec![Store::default(), Store::unstamped()];
    for store in &mut stores {
        world.log.note(store);
    }
    let mut known: HashSet<Store> = stores.iter().cloned().collect();
    while let Some(store) = stores.pop() {
        let mut nexts = Vec::new();
        if world.turn.is_some() && !store.is_turned {
            nexts.push(Store { is_turned: true, ..store.clone() });
        }
        for batch in batches(world, store.is_turned) {
            let (without, expected) = deliver(world, &store, &batch, None);
            for look in world.log.looks(store.stood) {
                let (with, decided) = deliver(world, &store, &batch, Some(&look));
                assert_eq!(with.item, without.item);
                assert_counts(world, &store, &look, &decided, &expected);
                nexts.push(with);
            }
            nexts.push(without);
        }
        stores.extend(nexts.into_iter().filter(|next| known.insert(next.clone())));
    }
}

/// A look that is not late changes no count. A late one may take a record for a duplicate that is stale by now, or miss
/// a conflict or a regression that only the newest state shows; but it raises none.
#[track_caller]
fn assert_counts(
    world: &World,
    store: &Store,
    look: &Answer,
    decided: &[Decided],
    expected: &[Decided],
) {
    let is_late = ![Answer::Looked(Some(store.shown())), Answer::Looked(None)].contains(look);
    for (decided, expected) in decided.iter().zip(expected) {
        let is_raised = |it: &Decided| (it.conflict, it.fate == Fate::Landed(Landed::Regression));
        let (raised, may_be_raised) = (is_raised(decided), is_raised(expected));
        let is_no_more = raised.0 <= may_be_raised.0 && raised.1 <= may_be_raised.1;
        let is_kept = if is_late { is_no_more } else { decided == expected };
        assert!(is_kept, "{:#?}\n{store:#?}\n{look:?}\n{decided:?} {expected:?}", world.log);
    }
}

fn at(partition: i32, offset: i64, timestamp: i64) -> Place {
    Place { partition, offset, timestamp, ..Place::default() }
}

#[test]
fn looks_at_moved_keys_raise_what_is_raised_without_them() {
    for states in all_states(4, "ab-") {
        for places in [
            [at(0, 8, 1), at(0, 9, 2), at(1, 1, 3), at(1, 2, 4)],
            // It moves there and back.
            [at(0, 1, 1), at(1, 1, 2), at(0, 2, 3), at(1, 2, 4)],
            [at(0, 9, 1), at(1, 1, 2), at(2, 5, 3), at(0, 10, 3)],
        ] {
            check(&World::looking(Log::at(&states, &places)));
        }
    }
}

#[test]
fn looks_at_topics_that_were_created_again_raise_what_is_raised_without_them() {
    let admits: fn(bool, usize) -> bool = |is_turned, record| is_turned == (record >= 2);
    let turn = Turn { is_drained: true, expires_tombstone: false, admits };
    for states in all_states(4, "ab-") {
        for epoch in [0, 1] {
            let new = |offset, timestamp| Place { epoch, ..at(0, offset, timestamp) };
            for [third, fourth] in [
                [new(0, 30), new(1, 40)],
                // The new offsets pass the old ones.
                [new(6, 30), new(7, 40)],
            ] {
                let log = Log::at(&states, &[at(0, 5, 10), at(0, 6, 20), third, fourth]);
                check(&World { turn: Some(turn), ..World::looking(log) });
            }
        }
    }
}
