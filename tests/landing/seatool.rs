//! Puts and deletes of a keyed sink.

use dynamo_sink::outcome::Outcome;
use serde_json::{Map, Value, json};
use sink_seatool_data::SINK;

use super::{
    EPOCH, IN_A_YEAR, Scenario, Standing, State, check, check_with, forms, unstamped_item,
};
use crate::support::Record;

/// What the comparison says of the incoming record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Next,
    Duplicate,
    Stale,
    Regression,
}

use Verdict::{Duplicate, Next, Regression, Stale};

/// A row: what stands, and what that makes of the incoming record.
struct Row {
    name: &'static str,
    state: State,
    verdict: Verdict,
    is_conflict: bool,
}

/// The incoming record's place; each scenario has offsets of its own from `base` on.
fn incoming(base: i64) -> State {
    State {
        epoch: EPOCH,
        source_time: 0,
        topic: SINK.topic,
        partition: 3,
        offset: base + 10,
        timestamp: 1000,
    }
}

#[rustfmt::skip]
fn rows(base: i64) -> Vec<Row> {
    let row = |name, (epoch, topic, partition, offset, timestamp), verdict, is_conflict| Row {
        name,
        state: State { epoch, source_time: 0, topic, partition, offset: base + offset, timestamp },
        verdict,
        is_conflict,
    };
    let topic = SINK.topic;
    vec![
        row("another epoch, lower",                       (0, "z",     9, 99, 9999), Next,       false),
        row("another epoch, lower, the same record",      (0, topic,   3, 10, 1000), Next,       false),
        row("another epoch, higher",                      (2, "a",     0,  1,    1), Stale,      false),
        row("another epoch, higher, the same record",     (2, topic,   3, 10, 1000), Stale,      false),
        row("another lineage, an older timestamp",        (1, topic,   4, 99,  999), Next,       true),
        row("another lineage, a newer timestamp",         (1, topic,   2,  1, 1001), Stale,      true),
        row("another lineage, no timestamp",              (1, topic,   4, 99,   -1), Next,       true),
        row("another lineage, a partition before",        (1, topic,   2, 99, 1000), Next,       true),
        row("another lineage, a partition after",         (1, topic,   4,  1, 1000), Stale,      true),
        row("another lineage, a topic before",            (1, "a",     9, 99, 1000), Next,       true),
        row("another lineage, a topic after",             (1, "z",     0,  1, 1000), Stale,      true),
        row("another lineage, an equal version, older",   (1, topic,   4, 10,  999), Next,       true),
        row("another lineage, an equal version, newer",   (1, topic,   2, 10, 1001), Stale,      true),
        row("an equal offset, an older timestamp",        (1, topic,   3, 10,  999), Regression, false),
        row("a higher offset, an older timestamp",        (1, topic,   3, 11,  999), Regression, false),
        row("a higher offset, no timestamp",              (1, topic,   3, 11,   -1), Regression, false),
        row("an equal version",                           (1, topic,   3, 10, 1000), Duplicate,  false),
        row("an equal version, a newer timestamp",        (1, topic,   3, 10, 1001), Duplicate,  false),
        row("a newer version",                            (1, topic,   3, 11, 1001), Stale,      false),
        row("a newer version, an equal timestamp",        (1, topic,   3, 11, 1000), Stale,      false),
        row("an older version",                           (1, topic,   3,  9,  999), Next,       false),
        row("an older version, an equal timestamp",       (1, topic,   3,  9, 1000), Next,       false),
        row("an older version, a newer timestamp",        (1, topic,   3,  9, 1001), Next,       false),
    ]
}

/// What may stand in one of the tables, and what it makes of the incoming record: a row, or something else.
struct Known {
    name: &'static str,
    found: Option<Value>,
    verdict: Verdict,
    is_conflict: bool,
}

/// The items that may stand.
fn items(key: &str, base: i64) -> Vec<Known> {
    let members = members(json!({"a": "old"}));
    let known = |name, found, verdict, is_conflict| Known { name, found, verdict, is_conflict };
    let mut items = vec![
        known("no item", None, Next, false),
        known("an earlier writer's item", Some(unstamped_item(key, &members)), Next, false),
    ];
    items.extend(rows(base).into_iter().map(|Row { name, state, verdict, is_conflict }| {
        known(name, Some(state.item(&SINK, key, &members)), verdict, is_conflict)
    }));
    items
}

/// The tombstones that may stand.
fn tombstones(key: &str, base: i64) -> Vec<Known> {
    let known = |name, found, verdict, is_conflict| Known { name, found, verdict, is_conflict };
    let mut tombstones = vec![known("no tombstone", None, Next, false)];
    tombstones.extend(rows(base).into_iter().map(|Row { name, state, verdict, is_conflict }| {
        known(name, Some(state.tombstone(&SINK, key, Some("4102444800"))), verdict, is_conflict)
    }));
    tombstones
}

/// Every pair of an item and a tombstone that `select` picks by their places in their lists.
fn pairs(
    label: &str,
    select: impl Fn(usize, usize) -> bool,
    scenario: impl Fn(&str, i64, &Known, &Known) -> Scenario,
) -> Vec<Scenario> {
    let (n_items, n_tombstones) = (items("", 0).len(), tombstones("", 0).len());
    let mut scenarios = Vec::new();
    for at_item in 0..n_items {
        for at_tombstone in (0..n_tombstones).filter(|&it| select(at_item, it)) {
            let base = 1000 * i64::try_from(scenarios.len()).unwrap();
            let names = (items("", 0)[at_item].name, tombstones("", 0)[at_tombstone].name);
            let key = format!("{label}; item: {}; tombstone: {}", names.0, names.1);
            let (item, tombstone) =
                (&items(&key, base)[at_item], &tombstones(&key, base)[at_tombstone]);
            scenarios.push(scenario(&key, base, item, tombstone));
        }
    }
    scenarios
}

fn put(label: &str, value: &Map<String, Value>, select: fn(usize, usize) -> bool) -> Vec<Scenario> {
    pairs(label, select, |key, base, item, tombstone| {
        let before = Standing { item: item.found.clone(), tombstone: tombstone.found.clone() };
        // A tombstone counts where there is no item: where there is one, its delete has not come to its end.
        let decisive = if item.found.is_some() { item } else { tombstone };
        let mut after = before.clone();
        if decisive.verdict == Next {
            after.item = Some(incoming(base).item(&SINK, key, value));
        }
        Scenario {
            key: key.to_owned(),
            before,
            record: record(key, base, Some(&value.clone().into())),
            outcome: outcome(decisive.verdict, Outcome::Written),
            is_conflict: decisive.is_conflict,
            after,
        }
    })
}

fn delete(label: &str, select: fn(usize, usize) -> bool) -> Vec<Scenario> {
    delete_with(label, Some(IN_A_YEAR), select)
}

fn delete_with(
    label: &str,
    expires_at: Option<&str>,
    select: fn(usize, usize) -> bool,
) -> Vec<Scenario> {
    pairs(label, select, |key, base, item, tombstone| {
        let before = Standing { item: item.found.clone(), tombstone: tombstone.found.clone() };
        let mut after = before.clone();
        if tombstone.verdict == Next {
            after.tombstone = Some(incoming(base).tombstone(&SINK, key, expires_at));
        }
        // An equal tombstone is that of a delete which may have been killed before it removed the item.
        let goes_on = matches!(tombstone.verdict, Next | Duplicate);
        if goes_on && item.verdict == Next {
            after.item = None;
        }
        let outcome = match (tombstone.verdict, item.verdict) {
            (Next, Next) => Outcome::Deleted,
            (Next | Duplicate, Next | Duplicate) => Outcome::Duplicate,
            (Next | Duplicate, of_item) => outcome(of_item, Outcome::Deleted),
            (of_tombstone, _) => outcome(of_tombstone, Outcome::Deleted),
        };
        Scenario {
            key: key.to_owned(),
            before,
            record: record(key, base, None),
            outcome,
            is_conflict: tombstone.is_conflict || (goes_on && item.is_conflict),
            after,
        }
    })
}

fn outcome(verdict: Verdict, next: Outcome) -> Outcome {
    match verdict {
        Next => next,
        Duplicate => Outcome::Duplicate,
        Stale => Outcome::Stale,
        Regression => Outcome::Regression,
    }
}

fn record(key: &str, base: i64, value: Option<&Value>) -> Record {
    let State { partition, offset, timestamp, .. } = incoming(base);
    Record::seatool(key, partition, offset, timestamp, value)
}

fn members(value: Value) -> Map<String, Value> {
    serde_json::from_value(value).unwrap()
}

#[tokio::test]
async fn puts_in_each_form_meet_each_item() {
    for (label, mut value) in forms() {
        value.insert("a".to_owned(), json!("new"));
        check(SINK, &put(label, &value, |_, tombstone| tombstone == 0)).await;
    }
    let no_tombstone = |_, tombstone| tombstone == 0;
    check(SINK, &put("no member at all", &Map::new(), no_tombstone)).await;
    check(SINK, &put("another member", &members(json!({"b": null})), no_tombstone)).await;
}

#[tokio::test]
async fn puts_in_each_form_meet_each_tombstone() {
    for (label, mut value) in forms() {
        value.insert("a".to_owned(), json!("new"));
        check(SINK, &put(label, &value, |item, _| item == 0)).await;
    }
}

#[tokio::test]
async fn puts_meet_each_item_beside_each_tombstone() {
    let value = members(json!({"a": "new"}));
    check(SINK, &put("put", &value, |item, tombstone| item != 0 && tombstone != 0)).await;
}

#[tokio::test]
async fn deletes_meet_each_item_and_each_tombstone() {
    check(SINK, &delete("delete", |_, _| true)).await;
}

#[tokio::test]
async fn each_form_of_no_value_deletes() {
    for value in [
        None,
        Some(""),
        Some("null"),
        Some(" \n\tnull\r\n"),
        Some("\0\0\0\0\u{7}null"),
        Some("\u{3}\0schema version inull"),
    ] {
        let mut scenarios = delete("delete", |item, tombstone| item <= 1 && tombstone == 0);
        for scenario in &mut scenarios {
            scenario.record.value = value.map(|value| value.as_bytes().to_vec());
        }
        check(SINK, &scenarios).await;
    }
}

#[tokio::test]
async fn keys_and_values_behind_a_schema_registrys_header_are_read() {
    let value = members(json!({"a": "new"}));
    let headers = ["", "\0\0\0\0*", "\0\u{1}\0\0\0", "\u{3}\0schema version i"];
    for (of_key, of_value) in headers.iter().flat_map(|it| headers.map(|other| (it, other))) {
        let behind = |header: &str, text: &[u8]| Some([header.as_bytes(), text].concat());
        let mut scenarios = put("put", &value, |item, tombstone| item <= 1 && tombstone == 0);
        for Scenario { record, .. } in &mut scenarios {
            record.key = behind(of_key, record.key.as_ref().unwrap());
            record.value = behind(of_value, record.value.as_ref().unwrap());
        }
        check(SINK, &scenarios).await;
    }
}

#[tokio::test]
async fn deletes_leave_tombstones_without_an_end_where_retention_is_unlimited() {
    let settings =
        [("TOMBSTONE_RETENTION_DAYS", "unlimited"), ("QUARANTINE_RETENTION_DAYS", "unlimited")];
    let scenarios = delete_with("delete", None, |item, _| item <= 1);
    check_with(SINK, &settings, &scenarios).await;
}
