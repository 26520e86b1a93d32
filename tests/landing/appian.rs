//! Puts of a sink that is ordered by the source's clock.

use dynamo_sink::outcome::Outcome;
use serde_json::{Map, Value, json};
use sink_appian_data::SINK;

use super::{EPOCH, Scenario, Standing, State, check, forms, unstamped_item};
use crate::support::Record;

use Outcome::{Duplicate, Stale, Written};

/// The incoming record's place; each scenario has offsets of its own from `base` on.
fn incoming(base: i64) -> State {
    State {
        epoch: EPOCH,
        source_time: 50,
        topic: SINK.topic,
        partition: 3,
        offset: base + 10,
        timestamp: 1000,
    }
}

/// What stands: its name, its state if it has one, and what that makes of the incoming record.
#[rustfmt::skip]
fn rows(base: i64) -> Vec<(&'static str, Option<State>, Outcome)> {
    let row = |name, (epoch, source_time, timestamp, partition, offset), outcome| {
        let topic = SINK.topic;
        let offset = base + offset;
        (name, Some(State { epoch, source_time, topic, partition, offset, timestamp }), outcome)
    };
    vec![
        ("no item", None, Written),
        ("an earlier writer's item", None, Written),
        row("a lower epoch",                        (0, 99, 9999, 9, 99), Written),
        row("a lower epoch, the same record",       (0, 50, 1000, 3, 10), Written),
        row("a higher epoch",                       (2,  0,    0, 0,  0), Stale),
        row("a higher epoch, the same record",      (2, 50, 1000, 3, 10), Stale),
        row("an older clock, all else newer",       (1, 49, 9999, 9, 99), Written),
        row("a newer clock, all else older",        (1, 51,    1, 0,  0), Stale),
        row("a newer clock, no timestamp",          (1, 51,   -1, 0,  0), Stale),
        row("an equal clock, an older timestamp",   (1, 50,  999, 9, 99), Written),
        row("an equal clock, no timestamp",         (1, 50,   -1, 9, 99), Written),
        row("an equal clock, a newer timestamp",    (1, 50, 1001, 0,  0), Stale),
        row("equal times, a partition before",      (1, 50, 1000, 2, 99), Written),
        row("equal times, a partition after",       (1, 50, 1000, 4,  0), Stale),
        row("equal times, an offset before",        (1, 50, 1000, 3,  9), Written),
        row("equal times, an offset after",         (1, 50, 1000, 3, 11), Stale),
        row("the same record",                      (1, 50, 1000, 3, 10), Duplicate),
    ]
}

/// The members beside the payload: of the item that stands, of the record's value, and what the item has of the latter.
fn scenarios(
    label: &str,
    former: &Map<String, Value>,
    beside: &Map<String, Value>,
    kept: &Map<String, Value>,
) -> Vec<Scenario> {
    let payload = |status: &str, key: &str| json!({"PCKG_ID": key, "REPLICA_TIMESTAMP": 50, "STATUS": status});
    let with_payload = |payload: Value, members: &Map<String, Value>| {
        let mut members = members.clone();
        members.insert("payload".to_owned(), payload);
        members
    };
    let scenario = |(at, (name, ..)): (usize, (&str, Option<State>, Outcome))| {
        let key = format!("{label}; {name}");
        let base = 1000 * i64::try_from(at).unwrap();
        let (name, state, outcome) = rows(base).swap_remove(at);
        let old = with_payload(payload("old", &key), former);
        let item = match state {
            Some(state) => Some(state.item(&SINK, &key, &old)),
            None => (name != "no item").then(|| unstamped_item(&key, &old)),
        };
        let new = payload("new", &key);
        let after = match outcome {
            Written => Some(incoming(base).item(&SINK, &key, &with_payload(new.clone(), kept))),
            _ => item.clone(),
        };
        Scenario {
            before: Standing { item, tombstone: None },
            record: record(base, with_payload(new, beside)),
            outcome,
            is_conflict: false,
            after: Standing { item: after, tombstone: None },
            key,
        }
    };
    rows(0).into_iter().enumerate().map(scenario).collect()
}

fn record(base: i64, value: Map<String, Value>) -> Record {
    let State { partition, offset, timestamp, .. } = incoming(base);
    Record {
        topic: SINK.topic.to_owned(),
        partition,
        offset,
        timestamp,
        key: None,
        value: Some(Value::from(value).to_string().into_bytes()),
        epoch: None,
    }
}

#[tokio::test]
async fn rows_in_each_form_meet_each_item() {
    for (label, beside) in forms() {
        check(SINK, &scenarios(label, &Map::new(), &beside, &beside)).await;
    }
}

#[tokio::test]
async fn former_members_do_not_stay() {
    let former = serde_json::from_value(json!({"former": 1})).unwrap();
    check(SINK, &scenarios("former members", &former, &Map::new(), &Map::new())).await;
}

#[tokio::test]
async fn connects_schema_is_left_out() {
    let schema = serde_json::from_value(json!({"schema": {"type": "struct"}})).unwrap();
    check(SINK, &scenarios("with a schema", &Map::new(), &schema, &Map::new())).await;
}

#[tokio::test]
async fn the_source_time_is_the_first_that_the_payload_has() {
    let cases = [
        (json!({"REPLICA_TIMESTAMP": 7, "UPDT_TS": 9}), 7),
        (json!({"REPLICA_TIMESTAMP": null, "UPDT_TS": 9}), 9),
        (json!({"UPDT_TS": 9}), 9),
        (json!({"REPLICA_TIMESTAMP": null, "UPDT_TS": null}), 0),
        (json!({}), 0),
        // A time before 1970 is a time: it does not give way to the other.
        (json!({"REPLICA_TIMESTAMP": -7, "UPDT_TS": 9}), 0),
        (json!({"REPLICA_TIMESTAMP": 1_763_700_000_000_u64}), 1_763_700_000_000),
        (json!({"REPLICA_TIMESTAMP": i64::MAX}), 9_223_372_036_854_775_807),
    ];
    let scenario = |(at, (mut payload, source_time)): (usize, (Value, u64))| {
        let base = 1000 * i64::try_from(at).unwrap();
        let key = at.to_string();
        payload["PCKG_ID"] = json!(at);
        let members = Map::from_iter([("payload".to_owned(), payload)]);
        let state = State { source_time, ..incoming(base) };
        let item = Some(state.item(&SINK, &key, &members));
        Scenario {
            key,
            before: Standing::default(),
            record: record(base, members),
            outcome: Written,
            is_conflict: false,
            after: Standing { item, tombstone: None },
        }
    };
    let scenarios: Vec<_> = cases.into_iter().enumerate().map(scenario).collect();
    check(SINK, &scenarios).await;
}
