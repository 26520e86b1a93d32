//! Every kind of item and tombstone against every kind of state.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use dynamo_sink::{
    item::{Outline, Scalar, encode},
    mutation::Mutation,
    settings::Settings,
    sink::{Mapped, Rejection, Sink as SinkOfTopic},
    version::Order,
};
use kafka_event::Record;
use serde_json::{Value, json};

use super::*;
use crate::kafka::Span;

/// A sink whose values are items and whose keys are texts; `at` in the value is the source's time.
fn sink(order: Order) -> SinkOfTopic {
    SinkOfTopic { name: "sink", topic: "t", order, deletes: true, has_connect_schema: false, map }
}

fn map(record: &Record<'_>, _: &Settings) -> Result<Mapped, Rejection> {
    let key = String::from_utf8(record.key.clone().unwrap_or_default()).unwrap();
    let Some(value) = &record.value else { return Ok(Mapped::Delete { key }) };
    let encoded = encode(value, &Outline { omit: &[], pick: &[&["at"]] })?;
    let source_time = match &encoded.picked[..] {
        [Some(Scalar::Number(time))] => time.as_i64().unwrap(),
        _ => 0,
    };
    Ok(Mapped::Put { key, item: encoded.item, source_time })
}

/// A record's place and contents; `value: None` deletes.
#[derive(Clone, Copy)]
struct At {
    partition: i32,
    offset: i64,
    timestamp: i64,
    value: Option<&'static str>,
}

fn at(partition: i32, offset: i64, timestamp: i64, value: &'static str) -> At {
    At { partition, offset, timestamp, value: Some(value) }
}

fn delete(partition: i32, offset: i64, timestamp: i64) -> At {
    At { partition, offset, timestamp, value: None }
}

fn mutation(order: Order, epoch: u64, key: &str, at: At) -> Mutation {
    let sink = sink(order);
    let settings = Settings::read(&sink, |variable| {
        Ok(Some(match variable {
            "EPOCH" => epoch.to_string(),
            "TABLE_NAME" => "items".to_owned(),
            "TOMBSTONE_TABLE_NAME" => "tombstones".to_owned(),
            "QUARANTINE_TABLE_NAME" => "quarantine".to_owned(),
            _ => return Ok(None),
        }))
    });
    let record = Record {
        topic: "t".into(),
        partition: at.partition,
        offset: at.offset,
        timestamp: at.timestamp,
        timestamp_type: None,
        key: Some(key.as_bytes().to_vec()),
        value: at.value.map(|value| value.as_bytes().to_vec()),
        headers: Vec::new(),
        key_schema: None,
        value_schema: None,
        epoch: None,
    };
    sink.mutation(&record, &settings.unwrap()).unwrap()
}

fn stamp_attributes(stamp: &Stamp) -> Attributes {
    let number = |number: i64| AttributeValue::N(number.to_string());
    [
        ("version", AttributeValue::S(stamp.version.clone())),
        ("topic", AttributeValue::S(stamp.topic.clone())),
        ("partition", number(stamp.partition.into())),
        ("offset", number(stamp.offset)),
        ("timestamp", number(stamp.timestamp)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// Reads the kinds of values that JSON has from DynamoDB's JSON.
fn attribute(json: &Value) -> AttributeValue {
    let (kind, value) = json.as_object().unwrap().iter().next().unwrap();
    match (kind.as_str(), value) {
        ("S", Value::String(text)) => AttributeValue::S(text.clone()),
        ("N", Value::String(text)) => AttributeValue::N(text.clone()),
        _ => panic!("{json}"),
    }
}

fn with_keys(key: &str, mut attributes: Attributes) -> Attributes {
    for name in ["PK", "SK"] {
        attributes.insert(name.to_owned(), AttributeValue::S(key.to_owned()));
    }
    attributes
}

/// The item that a record is written as.
fn item(order: Order, epoch: u64, key: &str, at: At) -> Attributes {
    let Mutation { stamp, item, .. } = mutation(order, epoch, key, at);
    let item = item.unwrap();
    let members: Value = serde_json::from_str(&format!("{{{}}}", item.json())).unwrap();
    let members = members.as_object().unwrap().iter();
    let mut attributes: Attributes =
        members.map(|(name, value)| (name.clone(), attribute(value))).collect();
    let mut sink = stamp_attributes(&stamp);
    sink.insert("shape".to_owned(), AttributeValue::S(item.shape().as_str().to_owned()));
    attributes.insert("_sink".to_owned(), AttributeValue::M(sink));
    with_keys(key, attributes)
}

fn tombstone(epoch: u64, at: At) -> Attributes {
    with_keys("k", stamp_attributes(&mutation(Order::Offset, epoch, "k", at).stamp))
}

/// Partition 0 was read from offset 10 to 99, partition 1 from 0 to 99.
fn spans() -> Spans {
    [(0, Span { first: 10, end: 100 }), (1, Span { first: 0, end: 100 })].into()
}

fn empty(order: Order) -> Expected {
    Expected { order, topic: "t".to_owned(), epoch: 1, states: HashMap::new() }
}

/// The states of `k` after these records, in epoch 1.
fn expected(order: Order, records: &[At]) -> Expected {
    let mut expected = empty(order);
    for &record in records {
        expected.fold(mutation(order, 1, "k", record));
    }
    expected
}

/// Says a judgement in few words.
fn words(judgement: &Judgement) -> String {
    let words = |finding: &Finding| {
        let why = finding.why.map(|why| json!(why).as_str().unwrap().to_owned());
        let place = |at: &Option<Coordinates>| {
            at.as_ref().map_or("-".to_owned(), |at| format!("{}@{}", at.partition, at.offset))
        };
        let (right, found) = (place(&finding.expected), place(&finding.found));
        let kind = json!(finding.kind).as_str().unwrap().to_owned();
        format!("{kind} {} {right} {found}", why.unwrap_or_default())
    };
    match judgement {
        Judgement::Right => "right".to_owned(),
        Judgement::RightOfEarlierEpoch => "right of earlier epoch".to_owned(),
        Judgement::BeforeTopic => "before topic".to_owned(),
        Judgement::Wrong(finding) => words(finding),
        Judgement::Late(finding) => format!("late: {}", words(finding)),
    }
}

const A: &str = r#"{"a":1}"#;
const B: &str = r#"{"b":1}"#;

#[test]
fn items_of_a_keyed_sink() {
    #[track_caller]
    fn check(records: &[At], item: &Attributes, judgement: &str) {
        let mut expected = expected(Order::Offset, records);
        assert_eq!(words(&judge_item(&mut expected, &spans(), item)), judgement);
    }
    let stored = |epoch, at| item(Order::Offset, epoch, "k", at);
    let put = &[at(0, 20, 1, A), at(0, 50, 2, B)];
    let deleted = &[at(0, 20, 1, A), delete(0, 50, 2)];

    check(put, &stored(1, at(0, 50, 2, B)), "right");
    check(put, &stored(0, at(0, 50, 2, B)), "right of earlier epoch");
    check(put, &stored(2, at(0, 50, 2, B)), "newer epoch 0@50 0@50");
    check(put, &stored(1, at(0, 50, 2, A)), "different  0@50 0@50");
    check(put, &stored(0, at(0, 50, 2, A)), "different  0@50 0@50");
    check(put, &stored(1, at(0, 20, 1, A)), "older  0@50 0@20");
    check(put, &stored(0, at(0, 20, 1, A)), "older  0@50 0@20");
    // The topic was created again: with lower offsets, and with the same one.
    check(put, &stored(1, at(0, 80, 1, A)), "older regression 0@50 0@80");
    check(put, &stored(1, at(0, 50, 1, A)), "older regression 0@50 0@50");
    check(put, &stored(1, at(0, 50, 3, A)), "newer noRecord 0@50 0@50");
    check(put, &stored(1, at(0, 60, 3, A)), "newer noRecord 0@50 0@60");
    check(put, &stored(1, at(0, 100, 3, A)), "late: newer noRecord 0@50 0@100");
    // By timestamp across partitions.
    check(put, &stored(1, at(1, 5, 1, A)), "older  0@50 1@5");
    check(put, &stored(1, at(1, 5, 3, A)), "newer noRecord 0@50 1@5");
    check(put, &stored(1, at(7, 5, 3, A)), "newer noRecord 0@50 7@5");

    check(deleted, &stored(1, at(0, 20, 1, A)), "extra deleted 0@50 0@20");
    check(deleted, &stored(1, at(0, 50, 2, A)), "extra deleted 0@50 0@50");
    check(deleted, &stored(1, at(0, 60, 3, A)), "newer noRecord 0@50 0@60");
    check(deleted, &stored(1, at(0, 100, 3, A)), "late: newer noRecord 0@50 0@100");

    check(&[], &stored(1, at(0, 50, 2, A)), "extra noRecord - 0@50");
    check(&[], &stored(0, at(0, 50, 2, A)), "extra noRecord - 0@50");
    check(&[], &stored(2, at(0, 50, 2, A)), "newer epoch - 0@50");
    check(&[], &stored(1, at(0, 9, 2, A)), "before topic");
    check(&[], &stored(1, at(1, 100, 2, A)), "late: extra noRecord - 1@100");
    check(&[], &stored(1, at(7, 9, 2, A)), "extra noRecord - 7@9");
}

#[test]
fn items_that_the_sink_did_not_write() {
    #[track_caller]
    fn check(records: &[At], item: &Attributes, judgement: &str) {
        let mut expected = expected(Order::Offset, records);
        assert_eq!(words(&judge_item(&mut expected, &spans(), item)), judgement);
    }
    let put = &[at(0, 50, 2, B)];
    let deleted = &[delete(0, 50, 2)];
    let mut item = item(Order::Offset, 1, "k", at(0, 50, 2, B));

    // A text between the two parts of the key is none that a sink writes.
    let mut two_keys = item.clone();
    two_keys.insert("SK".to_owned(), AttributeValue::S("other".to_owned()));
    check(put, &two_keys, "extra noRecord - 0@50");

    item.insert("_sink".to_owned(), AttributeValue::S("?".to_owned()));
    check(put, &item, "different foreign 0@50 -");
    check(deleted, &item, "extra foreign 0@50 -");
    check(&[], &item, "extra foreign - -");

    item.remove("_sink");
    check(put, &item, "older earlierWriter 0@50 -");
    check(deleted, &item, "extra earlierWriter 0@50 -");
    check(&[], &item, "extra earlierWriter - -");
}

#[test]
fn items_that_the_sources_clock_orders() {
    #[track_caller]
    fn check(records: &[At], item: &Attributes, judgement: &str) {
        let mut expected = expected(Order::SourceClock, records);
        assert_eq!(words(&judge_item(&mut expected, &spans(), item)), judgement);
    }
    let stored = |at| item(Order::SourceClock, 1, "k", at);
    let (old, new) = (r#"{"at":100}"#, r#"{"at":200}"#);
    // The newest by the source's clock came first, and lies on another partition.
    let put = &[at(0, 20, 5, new), at(1, 50, 9, old)];

    check(put, &stored(at(0, 20, 5, new)), "right");
    check(put, &stored(at(1, 50, 9, old)), "older  0@20 1@50");
    // The right record, but mapped to another time.
    check(put, &stored(at(0, 20, 5, old)), "different  0@20 0@20");
    check(put, &stored(at(1, 60, 9, new)), "newer noRecord 0@20 1@60");
    check(put, &stored(at(1, 200, 9, new)), "late: newer noRecord 0@20 1@200");
    // A later state whose record expired before an earlier state's.
    check(put, &stored(at(0, 5, 9, r#"{"at":300}"#)), "before topic");

    // Times from before 1970 are told apart, and are older than none at all.
    let (older, old, new) = (r#"{"at":-200}"#, r#"{"at":-100}"#, r#"{"n":1}"#);
    let put = &[at(0, 20, 5, old), at(1, 50, 9, older)];
    check(put, &stored(at(0, 20, 5, old)), "right");
    check(put, &stored(at(1, 50, 9, older)), "older  0@20 1@50");
    check(&[at(0, 20, 5, new), at(1, 50, 9, old)], &stored(at(1, 50, 9, old)), "older  0@20 1@50");
}

#[test]
fn tombstones() {
    #[track_caller]
    fn check(records: &[At], tombstone: &Attributes, judgement: &str, is_found: bool) {
        let mut expected = expected(Order::Offset, records);
        assert_eq!(words(&judge_tombstone(&mut expected, tombstone)), judgement);
        assert_eq!(
            expected.states.get("k").is_some_and(|state| state.tombstone_was_found),
            is_found
        );
    }
    let deleted = &[at(0, 20, 1, A), delete(0, 50, 2)];

    check(deleted, &tombstone(1, delete(0, 50, 2)), "right", true);
    check(deleted, &tombstone(0, delete(0, 50, 2)), "right of earlier epoch", true);
    check(deleted, &tombstone(2, delete(0, 1, 2)), "right", true);
    check(deleted, &tombstone(1, delete(0, 60, 3)), "right", true);
    check(deleted, &tombstone(1, delete(0, 30, 1)), "tombstoneMissing older 0@50 0@30", true);
    check(deleted, &tombstone(1, delete(0, 60, 1)), "tombstoneMissing older 0@50 0@60", true);
    let foreign = with_keys("k", Attributes::new());
    check(deleted, &foreign, "tombstoneMissing foreign 0@50 -", true);
    check(&[at(0, 20, 1, A)], &tombstone(1, delete(0, 10, 1)), "right", false);
    check(&[], &tombstone(1, delete(0, 10, 1)), "right", false);
}

#[test]
fn the_newest_record_of_a_key_remains_in_any_order() {
    #[track_caller]
    fn check(order: Order, records: &[At], offset: i64, moved: usize) {
        for records in [records.to_vec(), records.iter().rev().copied().collect()] {
            let expected = expected(order, &records);
            let state = *expected.states.get("k").unwrap();
            let counts = (expected.states.len(), usize::from(state.has_moved));
            assert_eq!((expected.stamp(&state, 1).offset, counts), (offset, (1, moved)));
        }
    }

    check(Order::Offset, &[at(0, 20, 1, A), at(0, 50, 2, B)], 50, 0);
    check(Order::Offset, &[at(0, 20, 1, A), delete(0, 50, 2)], 50, 0);
    check(Order::Offset, &[delete(0, 20, 1), at(0, 50, 2, A)], 50, 0);
    check(Order::Offset, &[at(0, 50, 1, A), at(1, 20, 2, B)], 20, 1);
    check(Order::SourceClock, &[at(0, 50, 1, A), at(1, 20, 2, B)], 20, 0);
    check(Order::SourceClock, &[at(0, 50, 1, r#"{"at":9}"#), at(1, 20, 2, B)], 50, 0);
    check(Order::SourceClock, &[at(0, 50, 2, r#"{"at":-9}"#), at(1, 20, 1, B)], 20, 0);
}

#[test]
fn a_record_that_came_during_the_audit_is_no_difference() {
    #[track_caller]
    fn check(partition: i32, offset: i64, is_late: bool) {
        let mut expected = expected(Order::Offset, &[]);
        let item = item(Order::Offset, 1, "k", at(partition, offset, 1, A));
        let before: Spans = [(0, Span { first: 0, end: 10 })].into();
        let after: Spans = [(0, Span { first: 0, end: 20 })].into();
        match judge_item(&mut expected, &before, &item) {
            Judgement::Late(finding) => assert_eq!(is_behind(&finding, &after), is_late),
            other => assert!(!is_late, "{other:?}"),
        }
    }

    check(0, 9, false);
    check(0, 10, true);
    check(0, 19, true);
    check(0, 20, false);
    check(1, 15, false);
}
