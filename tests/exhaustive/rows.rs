//! Each row of the comparison, met by one write alone: what it asks, what becomes of it, and what is left.

use std::collections::BTreeSet;

use dynamo_sink::{
    chain::{Candidate, Chain, Decided, Fate},
    version::Order,
    write::{
        Answer, Expected,
        Landed::{self, Deleted, Duplicate, Regression, Stale, Written},
        Request, Seen, Sink, TombstoneCheck,
    },
};

use super::model::{Ask, Item, Log, Place, Store, Transport};

/// What the write meets.
#[derive(Clone, Copy, Debug)]
enum Stored {
    Nothing,
    /// An earlier writer's item.
    Unstamped,
    /// An item with the attribute `a`.
    Item(Place),
    Tombstone(Place),
    Both {
        item: Place,
        tombstone: Place,
    },
}

fn keyed(epoch: u64, partition: i32, offset: i64, timestamp: i64) -> Place {
    Place { epoch, partition, offset, timestamp, ..Place::default() }
}

fn clocked(source_time: i64, partition: i32, offset: i64) -> Place {
    Place { source_time, partition, offset, timestamp: 1, ..Place::default() }
}

/// The chain of one write: a put of an item with one attribute, or with `-` a delete.
fn chain(log: &Log) -> Chain {
    let stamp = log.records[0].stamp.clone();
    let is_delete = log.records[0].attributes.is_none();
    Chain::new(log.order, log.deletes, vec![Candidate { record: 0, stamp, is_delete }])
}

fn log(order: Order, state: char, place: Place) -> Log {
    match order {
        Order::Offset => Log::at(&state.to_string(), &[place]),
        Order::SourceClock => Log::clocked(&state.to_string(), &[place]),
    }
}

fn store(order: Order, stored: Stored) -> Store {
    let (item, tombstone) = match stored {
        Stored::Nothing => (None, None),
        Stored::Unstamped => return Store::unstamped(),
        Stored::Item(item) => (Some(item), None),
        Stored::Tombstone(tombstone) => (None, Some(tombstone)),
        Stored::Both { item, tombstone } => (Some(item), Some(tombstone)),
    };
    let stamp = |place| log(order, 'a', place).records[0].stamp.clone();
    let item = item.map(|place| Item {
        sink: Some(Sink { stamp: stamp(place), shape: "a".to_owned() }),
        attributes: BTreeSet::from(['a']),
    });
    Store { item, tombstone: tombstone.map(stamp), ..Store::default() }
}

fn name(request: &Request) -> &'static str {
    match request {
        Request::Look => "look",
        Request::ReplaceIfOlder => "replace",
        Request::Insert(TombstoneCheck::None) => "insert",
        Request::Insert(TombstoneCheck::AbsentOrOlder) => "insert-checked",
        Request::Insert(TombstoneCheck::Exactly(_)) => "insert-exactly",
        Request::ReplaceSeen(_) => "replace-seen",
        Request::InsertTombstone => "bury",
        Request::ReplaceTombstoneIfOlder => "rebury",
        Request::ReplaceTombstoneSeen(_) => "rebury-seen",
        Request::RemoveIfOlder => "remove",
        Request::RemoveSeen(_) => "remove-seen",
    }
}

/// What is left: the item's attributes, and whose the tombstone is.
fn left(store: &Store, log: &Log) -> String {
    let item: String = match &store.item {
        Some(item) => item.attributes.iter().collect(),
        None => "nothing".to_owned(),
    };
    match &store.tombstone {
        None => item,
        Some(tombstone) if *tombstone == log.records[0].stamp => item + " under its tombstone",
        Some(_) => item + " under the old tombstone",
    }
}

/// See [`check_expecting`]; an item is expected, as long as nothing else was learnt.
#[track_caller]
fn check(
    order: Order,
    stored: Stored,
    incoming: (char, Place),
    asks: &str,
    outcome: (Landed, bool),
    expected_left: &str,
) {
    check_expecting(Expected::Item, order, stored, incoming, asks, outcome, expected_left);
}

/// Both transports end the same. `asks` has the requests by statement and, where they differ, `|` and those without.
#[track_caller]
fn check_expecting(
    expected: Expected,
    order: Order,
    stored: Stored,
    (state, place): (char, Place),
    asks: &str,
    (landed, conflict): (Landed, bool),
    expected_left: &str,
) {
    let (by_statement, single) = asks.split_once(" | ").unwrap_or((asks, asks));
    for (transport, expected_asks) in
        [(Transport::Statement, by_statement), (Transport::Single, single)]
    {
        let log = log(order, state, place);
        let (mut chain, mut store) = (chain(&log), store(order, stored));
        chain.expect(expected);
        let (mut asked, mut decided) = (Vec::new(), Vec::new());
        while let Some((_, request)) = chain.request() {
            asked.push(name(request));
            let by = Transport::of(request).iter().find(|&&by| by == transport);
            let transport = by.copied().unwrap_or(Transport::Single);
            let answer = store.take(Ask { order, request, record: &log.records[0], transport });
            decided.extend(chain.answer(answer));
        }
        assert_eq!(asked.join(" "), expected_asks, "{transport:?}");
        assert_eq!(decided, [Decided { record: 0, fate: Fate::Landed(landed), conflict }]);
        assert_eq!(left(&store, &log), expected_left, "{transport:?}");
    }
}

/// A keyed sink, without conflict.
#[track_caller]
fn check_keyed(
    stored: Stored,
    incoming: (char, Place),
    asks: &str,
    landed: Landed,
    expected_left: &str,
) {
    check(Order::Offset, stored, incoming, asks, (landed, false), expected_left);
}

#[test]
fn without_an_item_a_put_inserts() {
    let new = keyed(0, 0, 5, 5);
    let (nothing, tombstone) = (Stored::Nothing, Stored::Tombstone(keyed(0, 0, 4, 4)));
    check_keyed(nothing, ('b', new), "replace insert-checked", Written, "b");
    check_keyed(
        tombstone,
        ('b', new),
        "replace insert-checked",
        Written,
        "b under the old tombstone",
    );
    check_keyed(nothing, ('-', new), "bury remove", Deleted, "nothing under its tombstone");
    let put = ('b', clocked(5, 0, 5));
    check(Order::SourceClock, nothing, put, "replace insert", (Written, false), "b");
}

#[test]
fn an_earlier_writers_item_is_older_than_everything() {
    let new = keyed(0, 0, 0, -1);
    let unstamped = Stored::Unstamped;
    check_keyed(unstamped, ('b', new), "replace replace-seen", Written, "b");
    check_keyed(
        unstamped,
        ('-', new),
        "bury remove remove-seen",
        Deleted,
        "nothing under its tombstone",
    );
    let put = ('b', clocked(0, 0, 0));
    check(Order::SourceClock, unstamped, put, "replace replace-seen", (Written, false), "b");
}

#[test]
fn another_epoch_decides_before_lineage_offset_and_timestamp() {
    let old = keyed(1, 1, 9, 90);
    let (item, tombstone) = (Stored::Item(old), Stored::Tombstone(old));
    let (higher, higher_elsewhere) = (keyed(2, 1, 1, 1), keyed(2, 0, 1, 1));
    let (lower, lower_elsewhere) = (keyed(0, 1, 99, 99), keyed(0, 2, 99, 99));
    let (under_old, under_its) = ("a under the old tombstone", "nothing under its tombstone");

    check_keyed(item, ('a', higher), "replace", Written, "a");
    check_keyed(item, ('a', higher_elsewhere), "replace replace-seen", Written, "a");
    check_keyed(item, ('-', higher), "bury remove", Deleted, under_its);
    check_keyed(item, ('-', higher_elsewhere), "bury remove remove-seen", Deleted, under_its);
    check_keyed(tombstone, ('a', higher), "replace insert-checked", Written, under_old);
    check_keyed(
        tombstone,
        ('a', higher_elsewhere),
        "replace insert-checked insert-exactly",
        Written,
        under_old,
    );
    check_keyed(
        tombstone,
        ('-', higher),
        "bury rebury remove | bury rebury-seen remove",
        Deleted,
        under_its,
    );

    for stale in [lower, lower_elsewhere] {
        check_keyed(item, ('b', stale), "replace", Stale, "a");
        check_keyed(item, ('-', stale), "bury remove", Stale, "a under its tombstone");
        let nothing = "nothing under the old tombstone";
        check_keyed(tombstone, ('b', stale), "replace insert-checked", Stale, nothing);
        check_keyed(tombstone, ('-', stale), "bury rebury | bury", Stale, nothing);
    }
}

#[test]
fn another_lineage_is_a_conflict_that_the_timestamp_decides() {
    let old = keyed(0, 1, 9, 90);
    let (item, tombstone) = (Stored::Item(old), Stored::Tombstone(old));
    let p = |stored, incoming, asks: &str, landed, left: &str| {
        check(Order::Offset, stored, incoming, asks, (landed, true), left);
    };
    let (under_old, under_its) = ("a under the old tombstone", "nothing under its tombstone");
    // Of equal timestamps the higher partition is the newer.
    for newer in [keyed(0, 0, 1, 91), keyed(0, 2, 1, 90)] {
        p(item, ('a', newer), "replace replace-seen", Written, "a");
        p(item, ('-', newer), "bury remove remove-seen", Deleted, under_its);
        let asks = "replace insert-checked insert-exactly";
        p(tombstone, ('a', newer), asks, Written, under_old);
        let asks = "bury rebury rebury-seen remove | bury rebury-seen remove";
        p(tombstone, ('-', newer), asks, Deleted, under_its);
    }
    for older in [keyed(0, 2, 99, 89), keyed(0, 0, 99, 90)] {
        p(item, ('b', older), "replace", Stale, "a");
        p(item, ('-', older), "bury remove", Stale, "a under its tombstone");
        let nothing = "nothing under the old tombstone";
        p(tombstone, ('b', older), "replace insert-checked", Stale, nothing);
        p(tombstone, ('-', older), "bury rebury | bury", Stale, nothing);
    }
}

#[test]
fn an_offset_that_comes_again_with_a_newer_timestamp_is_a_regression() {
    let old = keyed(0, 0, 9, 90);
    let (item, tombstone) = (Stored::Item(old), Stored::Tombstone(old));
    for regressed in [keyed(0, 0, 8, 91), keyed(0, 0, 9, 91)] {
        check_keyed(item, ('b', regressed), "replace", Regression, "a");
        check_keyed(item, ('-', regressed), "bury remove", Regression, "a under its tombstone");
        let nothing = "nothing under the old tombstone";
        check_keyed(tombstone, ('b', regressed), "replace insert-checked", Regression, nothing);
        check_keyed(tombstone, ('-', regressed), "bury rebury | bury", Regression, nothing);
    }
}

#[test]
fn an_equal_state_is_a_duplicate() {
    let same = keyed(0, 0, 9, 90);
    check_keyed(Stored::Item(same), ('a', same), "replace", Duplicate, "a");
    // A tombstone whose item still stands was left by an invocation that was killed between the two.
    let both = Stored::Both { item: keyed(0, 0, 8, 80), tombstone: same };
    for stored in [Stored::Tombstone(same), both] {
        let asks = "bury rebury remove | bury remove";
        check_keyed(stored, ('-', same), asks, Duplicate, "nothing under its tombstone");
    }
    let same = clocked(5, 0, 5);
    let stored = Stored::Item(same);
    check(Order::SourceClock, stored, ('a', same), "replace", (Duplicate, false), "a");
}

#[test]
fn an_older_state_is_stale() {
    let (older, old) = (keyed(0, 0, 8, 80), keyed(0, 0, 9, 90));
    let item = Stored::Item(old);
    check_keyed(item, ('b', older), "replace", Stale, "a");
    check_keyed(item, ('-', older), "bury remove", Stale, "a under its tombstone");
    let nothing = "nothing under the old tombstone";
    check_keyed(Stored::Tombstone(old), ('b', older), "replace insert-checked", Stale, nothing);
    // The item is left to the newer tombstone's own delete.
    let both = Stored::Both { item: keyed(0, 0, 7, 70), tombstone: old };
    check_keyed(both, ('-', older), "bury rebury | bury", Stale, "a under the old tombstone");
    let (stored, older) = (Stored::Item(clocked(5, 0, 5)), clocked(4, 1, 9));
    check(Order::SourceClock, stored, ('b', older), "replace", (Stale, false), "a");
}

#[test]
fn a_newer_state_replaces_any_shape() {
    let (old, new) = (keyed(0, 0, 9, 90), keyed(0, 0, 10, 89));
    let item = Stored::Item(old);
    check_keyed(item, ('a', new), "replace", Written, "a");
    check_keyed(item, ('b', new), "replace replace-seen | replace", Written, "b");
    check_keyed(item, ('-', new), "bury remove", Deleted, "nothing under its tombstone");
    let both = Stored::Both { item: old, tombstone: keyed(0, 0, 7, 70) };
    let asks = "bury rebury remove | bury rebury-seen remove";
    check_keyed(both, ('-', new), asks, Deleted, "nothing under its tombstone");
    check_keyed(both, ('a', new), "replace", Written, "a under the old tombstone");

    let (stored, new) = (Stored::Item(clocked(5, 1, 9)), clocked(6, 0, 0));
    check(Order::SourceClock, stored, ('a', new), "replace", (Written, false), "a");
    let asks = "replace replace-seen | replace";
    check(Order::SourceClock, stored, ('b', new), asks, (Written, false), "b");
}

#[test]
fn a_put_that_expects_nothing_inserts_first_and_ends_the_same() {
    let p = |order, stored, incoming, asks: &str, landed, left: &str| {
        let outcome = (landed, false);
        check_expecting(Expected::Nothing, order, stored, incoming, asks, outcome, left);
    };
    let (older, old, new) = (keyed(0, 0, 8, 80), keyed(0, 0, 9, 90), keyed(0, 0, 10, 100));
    let (item, tombstone) = (Stored::Item(old), Stored::Tombstone(old));
    let keyed = Order::Offset;
    p(keyed, Stored::Nothing, ('b', new), "insert-checked", Written, "b");
    p(keyed, tombstone, ('b', new), "insert-checked", Written, "b under the old tombstone");
    let nothing = "nothing under the old tombstone";
    p(keyed, tombstone, ('b', older), "insert-checked", Stale, nothing);
    // A cancelled transaction brings the item that was in the way.
    p(keyed, Stored::Unstamped, ('b', new), "insert-checked replace-seen", Written, "b");
    p(keyed, item, ('a', new), "insert-checked replace-seen", Written, "a");
    p(keyed, item, ('a', old), "insert-checked", Duplicate, "a");
    p(keyed, item, ('b', older), "insert-checked", Stale, "a");
    p(keyed, Stored::Nothing, ('-', new), "bury remove", Deleted, "nothing under its tombstone");

    let (older, old, new) = (clocked(4, 0, 8), clocked(5, 0, 9), clocked(6, 0, 10));
    let (item, clocked) = (Stored::Item(old), Order::SourceClock);
    p(clocked, Stored::Nothing, ('b', new), "insert", Written, "b");
    let asks = "insert replace replace-seen | insert replace-seen";
    p(clocked, Stored::Unstamped, ('b', new), asks, Written, "b");
    p(clocked, item, ('a', new), "insert replace | insert replace-seen", Written, "a");
    p(clocked, item, ('b', new), asks, Written, "b");
    p(clocked, item, ('a', old), "insert replace | insert", Duplicate, "a");
    p(clocked, item, ('b', older), "insert replace | insert", Stale, "a");
}

#[test]
fn a_put_that_looks_first_is_spared_what_changes_nothing_and_ends_the_same() {
    let p = |stored, incoming, asks: &str, outcome, left: &str| {
        let put = ('b', incoming);
        check_expecting(Expected::NothingToDo, Order::Offset, stored, put, asks, outcome, left);
    };
    let old = keyed(1, 1, 9, 90);
    let (older, newer) = (keyed(1, 1, 8, 80), keyed(1, 1, 10, 100));
    let (item, tombstone) = (Stored::Item(old), Stored::Tombstone(old));
    let (nothing, under_old) = ("nothing under the old tombstone", "b under the old tombstone");
    p(Stored::Nothing, old, "look insert-checked", (Written, false), "b");
    p(Stored::Unstamped, old, "look replace replace-seen", (Written, false), "b");
    p(item, newer, "look replace replace-seen | look replace", (Written, false), "b");
    p(item, old, "look", (Duplicate, false), "a");
    p(item, older, "look", (Stale, false), "a");
    p(tombstone, newer, "look insert-checked", (Written, false), under_old);
    p(tombstone, older, "look", (Stale, false), nothing);
    // The item decides, as it does without a look.
    let both = Stored::Both { item: older, tombstone: newer };
    p(both, keyed(1, 1, 7, 70), "look", (Stale, false), "a under the old tombstone");
    p(both, old, "look replace replace-seen | look replace", (Written, false), under_old);

    let (lower, higher) = (keyed(0, 2, 99, 99), keyed(2, 2, 1, 1));
    p(item, lower, "look", (Stale, false), "a");
    p(item, higher, "look replace replace-seen", (Written, false), "b");
    p(tombstone, lower, "look", (Stale, false), nothing);
    p(tombstone, higher, "look insert-checked insert-exactly", (Written, false), under_old);

    // Another lineage and a regression are told from what stands, not from what was shown.
    let (elsewhere, regressed) = (keyed(1, 0, 99, 89), keyed(1, 1, 8, 91));
    p(item, elsewhere, "look replace", (Stale, true), "a");
    p(item, keyed(1, 0, 1, 91), "look replace replace-seen", (Written, true), "b");
    p(item, regressed, "look replace", (Regression, false), "a");
    p(tombstone, elsewhere, "look insert-checked", (Stale, true), nothing);
    let asks = "look insert-checked insert-exactly";
    p(tombstone, keyed(1, 0, 1, 91), asks, (Written, true), under_old);
    p(tombstone, regressed, "look insert-checked", (Regression, false), nothing);
}

#[test]
fn a_delete_that_looks_first_is_spared_what_changes_nothing_and_ends_the_same() {
    let p = |stored, incoming, asks: &str, outcome, left: &str| {
        let delete = ('-', incoming);
        check_expecting(Expected::NothingToDo, Order::Offset, stored, delete, asks, outcome, left);
    };
    let old = keyed(1, 1, 9, 90);
    let (older, newer) = (keyed(1, 1, 8, 80), keyed(1, 1, 10, 100));
    let (item, tombstone) = (Stored::Item(old), Stored::Tombstone(old));
    let (under_old, under_its) = ("nothing under the old tombstone", "nothing under its tombstone");
    // That nothing is shown is no end: the tombstone is to be stored, and the item may be newer than the look.
    p(Stored::Nothing, old, "look bury remove", (Deleted, false), under_its);
    p(Stored::Unstamped, old, "look bury remove remove-seen", (Deleted, false), under_its);
    p(item, newer, "look bury remove", (Deleted, false), under_its);
    // No tombstone is needed where a newer item stands.
    p(item, older, "look", (Stale, false), "a");
    p(tombstone, newer, "look rebury remove", (Deleted, false), under_its);
    p(tombstone, older, "look", (Stale, false), under_old);
    // An equal tombstone is no end either: the item may have been left.
    for stored in [tombstone, Stored::Both { item: older, tombstone: old }] {
        p(stored, old, "look rebury remove", (Duplicate, false), under_its);
    }
    let both = Stored::Both { item: newer, tombstone: older };
    p(both, old, "look", (Stale, false), "a under the old tombstone");

    let (lower, higher) = (keyed(0, 2, 99, 99), keyed(2, 2, 1, 1));
    p(item, lower, "look", (Stale, false), "a");
    p(item, higher, "look bury remove remove-seen", (Deleted, false), under_its);
    p(tombstone, lower, "look", (Stale, false), under_old);
    p(tombstone, higher, "look rebury rebury-seen remove", (Deleted, false), under_its);

    let (elsewhere, regressed) = (keyed(1, 0, 99, 89), keyed(1, 1, 8, 91));
    p(item, elsewhere, "look bury remove", (Stale, true), "a under its tombstone");
    p(item, keyed(1, 0, 1, 91), "look bury remove remove-seen", (Deleted, true), under_its);
    p(item, regressed, "look bury remove", (Regression, false), "a under its tombstone");
    p(tombstone, elsewhere, "look rebury", (Stale, true), under_old);
    p(tombstone, regressed, "look rebury", (Regression, false), under_old);
}

#[test]
fn a_look_by_the_sources_clock_decides_across_partitions() {
    let p = |stored, incoming, asks: &str, landed, left: &str| {
        let (put, outcome) = (('b', incoming), (landed, false));
        check_expecting(
            Expected::NothingToDo,
            Order::SourceClock,
            stored,
            put,
            asks,
            outcome,
            left,
        );
    };
    let (older, old, newer) = (clocked(4, 0, 8), clocked(5, 1, 9), clocked(6, 2, 1));
    p(Stored::Nothing, old, "look insert", Written, "b");
    p(Stored::Unstamped, old, "look replace replace-seen", Written, "b");
    p(Stored::Item(older), old, "look replace replace-seen | look replace", Written, "b");
    p(Stored::Item(old), old, "look", Duplicate, "a");
    p(Stored::Item(newer), old, "look", Stale, "a");
}

/// What is expected counts for the first request only: the machine knows better once it was answered.
#[test]
fn nothing_is_expected_anew_once_something_was_asked() {
    let mut chain = chain(&log(Order::SourceClock, 'a', clocked(5, 0, 5)));
    let asked = |chain: &Chain| chain.request().map(|(_, request)| name(request));
    chain.expect(Expected::Nothing);
    assert_eq!(asked(&chain), Some("insert"));
    chain.expect(Expected::NothingToDo);
    assert_eq!(asked(&chain), Some("look"));
    chain.expect(Expected::Item);
    assert_eq!(asked(&chain), Some("replace"));
    chain.answer(Answer::Refused(None));
    for expected in [Expected::Item, Expected::NothingToDo] {
        chain.expect(expected);
        assert_eq!(asked(&chain), Some("insert"));
    }
}

/// The requests that these answers lead to, whatever the table would have said.
#[track_caller]
fn check_answers(order: Order, state: char, answers: &[Answer], asks: &str) {
    let mut chain = chain(&log(order, state, keyed(0, 0, 5, 5)));
    if let [Answer::Looked(_), ..] = answers {
        chain.expect(Expected::NothingToDo);
    }
    let mut asked: Vec<&str> =
        chain.request().map(|(_, request)| name(request)).into_iter().collect();
    for answer in answers {
        chain.answer(answer.clone());
        asked.extend(chain.request().map(|(_, request)| name(request)));
    }
    assert_eq!(asked.join(" "), asks);
}

#[test]
fn what_changed_in_between_is_asked_about_again() {
    use Answer::{Exists, Refused, TombstoneRefused};
    // An item that appeared before the insert, of which a statement does not say what it is.
    let answers = [Refused(None), Exists];
    check_answers(Order::SourceClock, 'a', &answers, "replace insert replace");
    // An item that was removed before the compare-and-set.
    let answers = [Refused(Some(Seen::Unstamped)), Refused(None)];
    check_answers(Order::Offset, 'a', &answers, "replace replace-seen insert-checked");
    // A tombstone that expired between two requests.
    let answers = [Refused(None), TombstoneRefused(None)];
    check_answers(Order::Offset, 'a', &answers, "replace insert-checked insert-checked");
    let answers = [Exists, TombstoneRefused(None)];
    check_answers(Order::Offset, '-', &answers, "bury rebury bury");
}

/// What a look showed is a guess of what stands now.
#[test]
fn what_changed_since_a_look_is_asked_about_again() {
    use Answer::{Exists, Looked, Refused, TombstoneRefused};
    let shown = |stored| Looked(Some(store(Order::Offset, stored).shown()));
    let (nothing, item) = (shown(Stored::Nothing), shown(Stored::Item(keyed(0, 0, 4, 4))));
    let tombstone = shown(Stored::Tombstone(keyed(0, 0, 4, 4)));
    check_answers(Order::Offset, 'a', &[Looked(None)], "look replace");
    check_answers(Order::Offset, '-', &[Looked(None)], "look bury");
    // An item that appeared, or was removed.
    let answers = [nothing.clone(), Refused(Some(Seen::Unstamped))];
    check_answers(Order::Offset, 'a', &answers, "look insert-checked replace-seen");
    let answers = [nothing.clone(), Exists];
    check_answers(Order::SourceClock, 'a', &answers, "look insert replace");
    let answers = [item, Refused(None)];
    check_answers(Order::Offset, 'a', &answers, "look replace insert-checked");
    // A tombstone that appeared, or expired.
    check_answers(Order::Offset, '-', &[nothing, Exists], "look bury rebury");
    let answers = [tombstone, TombstoneRefused(None)];
    check_answers(Order::Offset, '-', &answers, "look rebury bury");
}

#[test]
fn a_write_that_is_beaten_each_time_fails_after_21_requests() {
    let log = log(Order::Offset, 'a', keyed(0, 0, 5, 5));
    let mut chain = chain(&log);
    for _ in 0..20 {
        assert_eq!(chain.answer(Answer::Refused(Some(Seen::Unstamped))), []);
    }
    let failed = Decided { record: 0, fate: Fate::Failed, conflict: false };
    assert_eq!(chain.answer(Answer::Refused(Some(Seen::Unstamped))), [failed]);
    assert_eq!(chain.request(), None);
}
