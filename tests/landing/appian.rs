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
        row("no clock, all else newer",             (1,  0, 9999, 9, 99), Written),
        row("a negative clock, all else newer",     (1, -1, 9999, 9, 99), Written),
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
    let far = 1_763_700_000_000;
    let cases = [
        (r#""REPLICA_TIMESTAMP":7,"UPDT_TS":9"#, 7),
        (r#""REPLICA_TIMESTAMP":null,"UPDT_TS":9"#, 9),
        (r#""UPDT_TS":9"#, 9),
        (r#""REPLICA_TIMESTAMP":null,"UPDT_TS":null"#, 0),
        ("", 0),
        // Zero and a time before 1970 are times: they do not give way to the other.
        (r#""REPLICA_TIMESTAMP":0,"UPDT_TS":9"#, 0),
        (r#""REPLICA_TIMESTAMP":-7,"UPDT_TS":9"#, -7),
        (r#""UPDT_TS":-7"#, -7),
        // What does not count may be anything.
        (r#""REPLICA_TIMESTAMP":7,"UPDT_TS":"2025-11-21T05:20:00Z""#, 7),
        (r#""REPLICA_TIMESTAMP":1763700000000"#, far),
        (r#""REPLICA_TIMESTAMP":1763700000000.000"#, far),
        (r#""REPLICA_TIMESTAMP":1.7637e12"#, far),
        (r#""REPLICA_TIMESTAMP":17637000000000E-1"#, far),
        (r#""REPLICA_TIMESTAMP":-0"#, 0),
        (r#""REPLICA_TIMESTAMP":-0.0"#, 0),
        (r#""REPLICA_TIMESTAMP":9223372036854775807"#, i64::MAX),
        (r#""REPLICA_TIMESTAMP":-9223372036854775808"#, i64::MIN),
    ];
    let scenario = |(at, (columns, source_time)): (usize, (&str, i64))| {
        let key = at.to_string();
        let comma = if columns.is_empty() { "" } else { "," };
        let value = format!(r#"{{"payload":{{"PCKG_ID":{at}{comma}{columns}}}}}"#);
        written(at, key, &value, source_time)
    };
    let scenarios: Vec<_> = cases.into_iter().enumerate().map(scenario).collect();
    check(SINK, &scenarios).await;
}

#[tokio::test]
async fn the_key_is_the_package_id_by_its_value() {
    let nines = "9".repeat(38);
    let decimal = "org.apache.kafka.connect.data.Decimal";
    let described = |fields: &str, id: &str| {
        format!(
            r#"{{"schema":{{"type":"struct","fields":{fields}}},"payload":{{"PCKG_ID":{id}}}}}"#
        )
    };
    let bare = |id: &str| format!(r#"{{"payload":{{"PCKG_ID":{id}}}}}"#);
    let cases = [
        (bare("1"), "1"),
        (bare("22.0"), "22"),
        (bare("3.3e1"), "33"),
        (bare("440E-1"), "44"),
        (bare("0"), "0"),
        (bare("-5"), "-5"),
        (bare(&nines), &nines),
        (bare("1e37"), "10000000000000000000000000000000000000"),
        (bare(r#""6""#), "6"),
        // Texts are kept as they are.
        (bare(r#""007""#), "007"),
        (bare(r#""8.0""#), "8.0"),
        (bare(r#""bWfT""#), "bWfT"),
        // Nothing calls it a Decimal that is one in base64.
        (described(&format!(r#"[{{"field":"PCKG_ID","name":"{decimal}"}}]"#), "9"), "9"),
        (described(&format!(r#"[{{"field":"AMOUNT","name":"{decimal}"}}]"#), r#""a""#), "a"),
        (described(r#"[{"field":"PCKG_ID","type":"string"}]"#, r#""b""#), "b"),
        (described(r#"[{"field":"PCKG_ID","name":"some.other.Type"}]"#, r#""c""#), "c"),
        (described(r#"[{"name":"PCKG_ID"}]"#, r#""d""#), "d"),
        (described("null", r#""e""#), "e"),
        (r#"{"schema":null,"payload":{"PCKG_ID":"f"}}"#.to_owned(), "f"),
        (format!(r#"{{"schema":"{decimal}","payload":{{"PCKG_ID":"g"}}}}"#), "g"),
    ];
    let scenario =
        |(at, (value, key)): (usize, (String, &str))| written(at, key.to_owned(), &value, 0);
    let scenarios: Vec<_> = cases.into_iter().enumerate().map(scenario).collect();
    check(SINK, &scenarios).await;
}

#[tokio::test]
async fn rows_behind_a_schema_registrys_header_are_read() {
    let row = r#"{"payload":{"PCKG_ID":"k","REPLICA_TIMESTAMP":7}}"#;
    let headers: [&[u8]; 3] =
        [b"\0\0\0\0*", b"\0\x80\0\0\x04", b"\x03\0\x11\x11\x11\x11\x11\x11\x11\x11{}{}{}{}"];
    for header in headers {
        let mut scenario = written(0, "k".to_owned(), row, 7);
        scenario.record.value = Some([header, row.as_bytes()].concat());
        check(SINK, &[scenario]).await;
    }
}

/// A record of this value that is written under `key`, where nothing stands.
fn written(at: usize, key: String, value: &str, source_time: i64) -> Scenario {
    let base = 1000 * i64::try_from(at).unwrap();
    let mut members: Map<String, Value> = serde_json::from_str(value).unwrap();
    members.remove("schema");
    let state = State { source_time, ..incoming(base) };
    let mut item = state.item(&SINK, &key, &members);
    // However a number is spelled, the item has the digits that decide.
    for (column, digits) in
        [("PCKG_ID", key.clone()), ("REPLICA_TIMESTAMP", source_time.to_string())]
    {
        if members["payload"][column].is_number() {
            item["payload"]["M"][column] = json!({"N": digits});
        }
    }
    let mut record = record(base, members);
    record.value = Some(value.as_bytes().to_vec());
    Scenario {
        key,
        before: Standing::default(),
        record,
        outcome: Written,
        is_conflict: false,
        after: Standing { item: Some(item), tombstone: None },
    }
}
