//! What each kind of record does to each state of the tables: each row of the comparison.
//!
//! All of it is done three times: by statements, a whole test's records in one event; by single-item calls; and by
//! statements with an event for each record. The tables and the outcomes must be the same.

mod appian;
mod seatool;
mod stored;

use std::time::{SystemTime, UNIX_EPOCH};

use dynamo_sink::{
    handler::Response,
    item::{Outline, encode},
    outcome::Outcome,
    sink::Sink,
};
use serde_json::{Map, Value, json};

use crate::support::{
    APPIAN, Change, Event, QUARANTINE, Record, SEATOOL, TOMBSTONES, dynamo_members,
    dynamodb_with_streams, handler, land, source_clock,
};

/// One key: what stands, what comes, and what is to become of both.
#[derive(Clone, Debug)]
struct Scenario {
    key: String,
    before: Standing,
    record: Record,
    outcome: Outcome,
    is_conflict: bool,
    after: Standing,
}

/// A key's item and tombstone.
#[derive(Clone, Debug, Default, PartialEq)]
struct Standing {
    item: Option<Value>,
    tombstone: Option<Value>,
}

/// Where a state stands in the order, with all that a stamp holds.
#[derive(Clone, Debug)]
struct State {
    epoch: u64,
    source_time: i64,
    topic: &'static str,
    partition: i32,
    offset: i64,
    timestamp: i64,
}

/// The epoch that the records come in, unless they say so themselves.
const EPOCH: u64 = 1;

/// A tombstone's `expiresAt` that was set by the test's handler, as [`Standing`] has it.
const IN_A_YEAR: &str = "in a year";

async fn check(sink: Sink, scenarios: &[Scenario]) {
    check_with(sink, &[], scenarios).await;
}

async fn check_with(sink: Sink, settings: &[(&str, &str)], scenarios: &[Scenario]) {
    run(sink, settings, "25", scenarios.len(), scenarios).await;
    run(sink, settings, "1", scenarios.len(), scenarios).await;
    run(sink, settings, "25", 1, scenarios).await;
}

async fn run(
    sink: Sink,
    settings: &[(&str, &str)],
    statements: &str,
    records_per_event: usize,
    scenarios: &[Scenario],
) {
    let table = if sink.deletes { SEATOOL } else { APPIAN };
    let dynamodb = dynamodb_with_streams().await;
    for Standing { item, tombstone } in scenarios.iter().map(|scenario| &scenario.before) {
        for (table, standing) in [(table, item), (TOMBSTONES, tombstone)] {
            if let Some(standing) = standing {
                dynamodb.put(table, standing);
            }
        }
    }
    let n_puts = [table, TOMBSTONES].map(|table| dynamodb.changes(table).len());
    let start = now();

    let epoch = EPOCH.to_string();
    let transport = [("DYNAMODB_STATEMENTS_PER_REQUEST", statements), ("EPOCH", &epoch)];
    let settings: Vec<_> = settings.iter().copied().chain(transport).collect();
    let mut handler = handler(&dynamodb.endpoint(), sink, &settings).await;
    let mut outcomes = Vec::new();
    let mut n_conflicts = 0;
    for scenarios in scenarios.chunks(records_per_event) {
        let event = Event::new(scenarios.iter().map(|scenario| scenario.record.clone()));
        let landed = land(&mut handler, &event).await;
        assert_eq!(landed.answer.unwrap(), Response::default());
        outcomes.extend(landed.summary.outcomes);
        n_conflicts += landed.summary.conflicts;
    }

    let year = 365 * 24 * 60 * 60;
    let (items, mut tombstones) = (dynamodb.items(table), dynamodb.items(TOMBSTONES));
    for tombstone in &mut tombstones {
        let Some(expires_at) = tombstone["expiresAt"]["N"].as_str() else { continue };
        if (start + year..=now() + year).contains(&expires_at.parse().unwrap()) {
            tombstone["expiresAt"]["N"] = IN_A_YEAR.into();
        }
    }
    let find = |table: &[Value], key: &str| {
        table.iter().find(|item| item["PK"]["S"] == key && item["SK"]["S"] == key).cloned()
    };
    let with = format!("{statements} statements a request, {records_per_event} records an event");
    for (scenario, outcome) in scenarios.iter().zip(&outcomes) {
        let Scenario { key, after, .. } = scenario;
        let found = Standing { item: find(&items, key), tombstone: find(&tombstones, key) };
        assert_eq!(*outcome, scenario.outcome, "{key} ({with})");
        assert_eq!(found, *after, "{key} ({with})");
    }
    assert_eq!(outcomes.len(), scenarios.len());
    assert_eq!(n_conflicts, scenarios.iter().filter(|it| it.is_conflict).count(), "{with}");
    assert_eq!(items.len(), scenarios.iter().filter(|it| it.after.item.is_some()).count());
    assert_eq!(
        tombstones.len(),
        scenarios.iter().filter(|it| it.after.tombstone.is_some()).count()
    );
    assert_eq!(dynamodb.items(QUARANTINE), Vec::<Value>::new());

    // Each write changed something, and nothing was written twice.
    let differs = |part: fn(&Standing) -> &Option<Value>| {
        scenarios.iter().filter(|it| part(&it.before) != part(&it.after)).count()
    };
    let n_changes = [differs(|it| &it.item), differs(|it| &it.tombstone)];
    for ((table, n_puts), n_changes) in [table, TOMBSTONES].into_iter().zip(n_puts).zip(n_changes) {
        let changes = dynamodb.changes(table).split_off(n_puts);
        assert!(changes.iter().all(|Change { old, new }| old != new));
        assert_eq!(changes.len(), n_changes, "{table} ({with})");
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

impl State {
    fn version(&self, sink: &Sink) -> String {
        let Self { epoch, source_time, partition, offset, timestamp, .. } = self;
        if sink.deletes {
            format!("{epoch:010}{offset:020}")
        } else {
            let (timestamp, source_time) = (timestamp.max(&0), source_clock(*source_time));
            format!("{epoch:010}{source_time}{timestamp:020}{partition:020}{offset:020}")
        }
    }

    /// The attributes that an item's `_sink` and a tombstone share.
    fn stamp(&self, sink: &Sink) -> Value {
        json!({
            "version": {"S": self.version(sink)},
            "topic": {"S": self.topic},
            "partition": {"N": self.partition.to_string()},
            "offset": {"N": self.offset.to_string()},
            "timestamp": {"N": self.timestamp.to_string()},
        })
    }

    /// The item that this state's record leaves.
    fn item(&self, sink: &Sink, key: &str, members: &Map<String, Value>) -> Value {
        let json = Value::from(members.clone()).to_string();
        let shape = encode(json.as_bytes(), &Outline::default()).unwrap().item.shape().clone();
        let mut stamp = self.stamp(sink);
        stamp["shape"] = json!({"S": shape.as_str()});
        let mut item = unstamped_item(key, members);
        item["_sink"] = json!({"M": stamp});
        item
    }

    /// The tombstone that this state's delete leaves.
    fn tombstone(&self, sink: &Sink, key: &str, expires_at: Option<&str>) -> Value {
        let mut tombstone = self.stamp(sink);
        tombstone["PK"] = json!({"S": key});
        tombstone["SK"] = json!({"S": key});
        if let Some(expires_at) = expires_at {
            tombstone["expiresAt"] = json!({"N": expires_at});
        }
        tombstone
    }
}

/// An item as the earlier writer left it.
fn unstamped_item(key: &str, members: &Map<String, Value>) -> Value {
    let mut item = dynamo_members(members);
    item.insert("PK".to_owned(), json!({"S": key}));
    item.insert("SK".to_owned(), json!({"S": key}));
    item.into()
}

/// Sets of top-level members, each of which is written in another way.
fn forms() -> Vec<(&'static str, Map<String, Value>)> {
    let odd = [
        "a b", "a.b", "a-b", "é", "#a", ":a", "'", "\"", "''; DROP", "?", "schema ", "1", "\u{0}",
        "\\", "🦀",
    ];
    let many = (0..100).map(|n| (format!("column_{n}"), json!(n)));
    // The statement says each name once, so that it has more than 8,192 characters.
    let long = (0..99).map(|n| (format!("column_{n:0>93}"), json!(n)));
    vec![
        ("the same members", Map::new()),
        ("one member more", Map::from_iter([("b".to_owned(), json!(2))])),
        ("reserved words", ["from", "value", "SET", "_"].map(member).into_iter().collect()),
        ("odd names", odd.map(member).into_iter().collect()),
        ("101 members", many.collect()),
        ("a long statement", long.collect()),
    ]
}

fn member(name: &str) -> (String, Value) {
    (name.to_owned(), json!({"of": name}))
}
