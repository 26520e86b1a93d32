//! The batches that the tests of faults send: together they make every kind of request.

use dynamo_sink::{outcome::Outcome, sink::Sink};
use serde_json::{Value, json};

use crate::{
    faults::contents,
    support::{APPIAN, Event, Record, SEATOOL, TestDynamoDb, dynamodb, handler, land},
};

/// An event with the states that it finds.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub(super) sink: Sink,
    /// Items of an earlier writer: table and key.
    pub(super) unstamped: Vec<(&'static str, &'static str)>,
    /// Events that landed before.
    pub(super) earlier: Vec<Event>,
    /// The event.
    pub(super) event: Event,
    /// Each record's key and its outcome without faults.
    pub(super) expected: Vec<(&'static str, Outcome)>,
}

/// All keys begin like this, and all values hold it, so that a message can be searched for them.
const KEY: &str = "KEY";
const VALUE: &str = "VALUE";

/// Whether a message holds a record's key or value.
pub(super) fn has_data(text: &str) -> bool {
    text.contains(KEY) || text.contains(VALUE)
}

/// The length of a value that is split over several items of the quarantine.
const LARGE: usize = 300_000;

impl Batch {
    /// Puts and deletes on every state that they can meet, and records that are rejected.
    pub(super) fn seatool() -> Self {
        use Outcome::{Deleted, Quarantined, Stale, Superseded, Written};
        let mut earlier = Vec::new();
        for (offset, (key, partition, value)) in (0..).zip([
            ("KEY-replaced", 0, Some(json!({"a": VALUE}))),
            ("KEY-reshaped", 0, Some(json!({"a": VALUE, "b": VALUE}))),
            ("KEY-odd", 0, Some(json!({"an odd name": VALUE}))),
            ("KEY-deleted", 0, Some(json!({"a": VALUE}))),
            ("KEY-moved", 1, Some(json!({"a": VALUE}))),
            ("KEY-moved-deleted", 1, Some(json!({"a": VALUE}))),
            ("KEY-moved-deleted", 1, None),
            ("KEY-moved-back", 1, None),
            ("KEY-back", 0, None),
            ("KEY-deleted-again", 0, None),
            ("KEY-stale", 0, Some(json!({"a": VALUE}))),
        ]) {
            // The stale record's item has the newest state of all.
            let offset = if key == "KEY-stale" { 1000 } else { offset };
            earlier.push(seatool(key, partition, offset, value.as_ref()));
        }
        let records = [
            ("KEY-replaced", Some(json!({"a": "VALUE 0"})), Superseded),
            ("KEY-replaced", Some(json!({"a": "VALUE 1"})), Written),
            ("KEY-reshaped", Some(json!({"c": VALUE})), Written),
            ("KEY-odd", Some(json!({"an odd name": "VALUE 1"})), Written),
            ("KEY-new", Some(json!({"a": VALUE})), Written),
            ("KEY-new-too", Some(json!({"a": VALUE})), Written),
            ("KEY-deleted", None, Deleted),
            ("KEY-moved", Some(json!({"a": "VALUE 1"})), Written),
            ("KEY-moved-deleted", None, Deleted),
            ("KEY-moved-back", Some(json!({"a": "VALUE 1"})), Written),
            ("KEY-back", Some(json!({"a": "VALUE 1"})), Written),
            ("KEY-deleted-again", None, Deleted),
            ("KEY-earlier", Some(json!({"a": "VALUE 1"})), Written),
            ("KEY-earlier-deleted", None, Deleted),
            ("KEY-stale", Some(json!({"a": "VALUE 1"})), Stale),
            ("KEY-rejected", Some(json!([VALUE])), Quarantined),
            ("KEY-rejected-large", Some(json!([VALUE, " ".repeat(LARGE)])), Quarantined),
        ];
        Self {
            sink: sink_seatool_data::SINK,
            unstamped: vec![(SEATOOL, "KEY-earlier"), (SEATOOL, "KEY-earlier-deleted")],
            earlier: vec![Event::new(earlier)],
            event: Event::new(
                (100..)
                    .zip(&records)
                    .map(|(offset, (key, value, _))| seatool(key, 0, offset, value.as_ref())),
            ),
            expected: records.into_iter().map(|(key, _, outcome)| (key, outcome)).collect(),
        }
    }

    /// Rows on every state that they can meet, and records that are rejected.
    pub(super) fn appian() -> Self {
        use Outcome::{Quarantined, Stale, Superseded, Written};
        let earlier = [
            appian("KEY-replaced", 1, 0, json!({"a": VALUE})),
            appian("KEY-reshaped", 1, 1, json!({"a": VALUE})),
            appian("KEY-stale", 1000, 2, json!({"a": VALUE})),
        ];
        let mut reshaped = appian("KEY-reshaped", 2, 102, json!({"a": VALUE}));
        reshaped.value = Some(
            json!({"payload": {"PCKG_ID": "KEY-reshaped", "REPLICA_TIMESTAMP": 2}, "more": VALUE})
                .to_string()
                .into_bytes(),
        );
        let mut large = appian("KEY-rejected-large", 1, 107, json!({}));
        large.value = Some(json!([VALUE, " ".repeat(LARGE)]).to_string().into_bytes());
        let records = [
            (appian("KEY-replaced", 2, 100, json!({"a": "VALUE 0"})), Superseded),
            (appian("KEY-replaced", 3, 101, json!({"a": "VALUE 1"})), Written),
            (reshaped, Written),
            (appian("KEY-new", 1, 103, json!({"a": VALUE})), Written),
            (appian("KEY-new-too", 1, 104, json!({"a": VALUE})), Written),
            (appian("KEY-earlier", 1, 105, json!({"a": VALUE})), Written),
            (appian("KEY-stale", 1, 106, json!({"a": "VALUE 1"})), Stale),
            (large, Quarantined),
        ];
        let names = [
            "KEY-replaced",
            "KEY-replaced",
            "KEY-reshaped",
            "KEY-new",
            "KEY-new-too",
            "KEY-earlier",
            "KEY-stale",
            "KEY-rejected-large",
        ];
        let outcomes = records.iter().map(|(_, outcome)| *outcome);
        Self {
            sink: sink_appian_data::SINK,
            unstamped: vec![(APPIAN, "KEY-earlier")],
            earlier: vec![Event::new(earlier)],
            expected: names.into_iter().zip(outcomes).collect(),
            event: Event::new(records.into_iter().map(|(record, _)| record)),
        }
    }

    /// Replacements of `count` items of a keyed sink.
    pub(super) fn replacements(count: usize) -> Self {
        let records = |offset: i64, value: &str| {
            let value = json!({"a": value});
            Event::new((0..count).zip(offset..).map(|(number, offset)| {
                seatool(&format!("KEY-{number:04}"), 0, offset, Some(&value))
            }))
        };
        Self {
            sink: sink_seatool_data::SINK,
            unstamped: Vec::new(),
            earlier: vec![records(0, VALUE)],
            event: records(10_000, "VALUE 1"),
            expected: vec![(KEY, Outcome::Written); count],
        }
    }

    /// Inserts of `count` items into an empty table of a keyed sink.
    pub(super) fn inserts(count: usize) -> Self {
        Self { earlier: Vec::new(), ..Self::replacements(count) }
    }

    /// Only the records of this key.
    pub(super) fn only(&self, key: &str) -> Self {
        let records = self.event.records.iter().zip(&self.expected);
        let (records, expected) =
            records.filter(|(_, (name, _))| *name == key).map(|(it, e)| (it.clone(), *e)).unzip();
        Self { event: Event { records }, expected, ..self.clone() }
    }

    /// Only the last record.
    pub(super) fn only_last(&self) -> Self {
        let at = self.event.records.len() - 1;
        Self {
            event: Event::new(self.event.records[at..].iter().cloned()),
            expected: self.expected[at..].to_vec(),
            ..self.clone()
        }
    }

    /// The tables that the batch finds.
    pub(super) async fn tables(&self) -> TestDynamoDb {
        let dynamodb = dynamodb().await;
        for (table, key) in &self.unstamped {
            let item = json!({"PK": {"S": key}, "SK": {"S": key}, "left": {"S": VALUE}});
            dynamodb.put(table, &item);
        }
        let mut handler = handler(&dynamodb.endpoint(), self.sink, &[]).await;
        for event in &self.earlier {
            land(&mut handler, event).await.answer.unwrap();
        }
        dynamodb
    }

    /// What the tables hold once the batch has landed without faults.
    pub(super) async fn contents_without_faults(&self, statements: &str) -> Vec<Value> {
        let dynamodb = self.tables().await;
        let changes = [("DYNAMODB_STATEMENTS_PER_REQUEST", statements)];
        let mut handler = handler(&dynamodb.endpoint(), self.sink, &changes).await;
        let landed = land(&mut handler, &self.event).await;
        landed.answer.unwrap();
        let expected: Vec<Outcome> = self.expected.iter().map(|(_, outcome)| *outcome).collect();
        assert_eq!(landed.summary.outcomes, expected, "without faults");
        contents(&dynamodb)
    }
}

pub(super) fn seatool(key: &str, partition: i32, offset: i64, value: Option<&Value>) -> Record {
    Record::seatool(key, partition, offset, 1000 + offset, value)
}

pub(super) fn appian(key: &str, source_time: i64, offset: i64, payload: Value) -> Record {
    let mut record = Record::appian(0, source_time, 0, offset, payload);
    let value = String::from_utf8(record.value.unwrap()).unwrap();
    record.value =
        Some(value.replace("\"PCKG_ID\":0", &format!("\"PCKG_ID\":\"{key}\"")).into_bytes());
    record
}
