//! What each kind of record does to each state of the tables, by both transports.

use serde_json::{Value, json};

use crate::support::{
    APPIAN, Event, QUARANTINE, Record, SEATOOL, TOMBSTONES, dynamodb, handler, send,
};

/// Sends each event in turn by statements and by single-item calls; both must leave `expected`, the tables' contents
/// in short.
async fn check(sink: dynamo_sink::sink::Sink, events: &[Event], expected: &[&str]) {
    for statements in ["25", "1"] {
        let dynamodb = dynamodb().await;
        let changes = [("DYNAMODB_STATEMENTS_PER_REQUEST", statements)];
        let mut handler = handler(&dynamodb.endpoint(), sink, &changes).await;
        for event in events {
            send(&mut handler, event).await.unwrap();
        }
        let mut found = Vec::new();
        for (table, short) in [
            (APPIAN, "item"),
            (SEATOOL, "item"),
            (TOMBSTONES, "tombstone"),
            (QUARANTINE, "rejected"),
        ] {
            for item in dynamodb.items(table).unwrap() {
                found.push(format!("{short} {}", summary(&item)));
            }
        }
        assert_eq!(found, expected, "{statements} statements a request");
    }
}

fn summary(item: &Value) -> String {
    if let Some(reason) = item["reason"]["S"].as_str() {
        return format!("{} {reason}", item["SK"]["S"].as_str().unwrap());
    }
    let sink = if item["_sink"].is_null() { item } else { &item["_sink"]["M"] };
    let names = item
        .as_object()
        .unwrap()
        .keys()
        .filter(|name| !["PK", "SK", "_sink"].contains(&name.as_str()));
    let names = if item["_sink"].is_null() {
        String::new()
    } else {
        names.cloned().collect::<Vec<_>>().join(",")
    };
    format!(
        "{} {}-{} {names}",
        item["PK"]["S"].as_str().unwrap(),
        sink["partition"]["N"].as_str().unwrap(),
        sink["offset"]["N"].as_str().unwrap()
    )
}

fn seatool(key: &str, offset: i64, value: Option<Value>) -> Record {
    Record::seatool(key, 0, offset, 1000 + offset, value.as_ref())
}

#[tokio::test]
async fn a_new_item_is_written() {
    check(
        sink_seatool_data::SINK,
        &[Event::new([seatool("A", 1, Some(json!({"a": 1, "b": 2})))])],
        &["item A 0-1 a,b"],
    )
    .await;
}

#[tokio::test]
async fn items_move_forward_only() {
    let put = |offset, value| Event::new([seatool("A", offset, Some(value))]);
    let sink = sink_seatool_data::SINK;
    check(sink, &[put(1, json!({"a": 1})), put(2, json!({"a": 2}))], &["item A 0-2 a"]).await;
    check(sink, &[put(2, json!({"a": 1})), put(1, json!({"a": 2}))], &["item A 0-2 a"]).await;
    check(sink, &[put(1, json!({"a": 1, "b": 1})), put(2, json!({"a": 2}))], &["item A 0-2 a"])
        .await;
    check(
        sink,
        &[put(1, json!({"a": 1})), put(2, json!({"odd name": 2}))],
        &["item A 0-2 odd name"],
    )
    .await;
    let delete = |offset| Event::new([seatool("A", offset, None)]);
    check(sink, &[put(1, json!({"a": 1})), delete(2)], &["tombstone A 0-2 "]).await;
    check(
        sink,
        &[put(1, json!({"a": 1})), delete(2), put(1, json!({"a": 1}))],
        &["tombstone A 0-2 "],
    )
    .await;
    check(
        sink,
        &[put(1, json!({"a": 1})), delete(2), put(3, json!({"a": 1}))],
        &["item A 0-3 a", "tombstone A 0-2 "],
    )
    .await;
    check(sink, &[delete(2), delete(4), put(3, json!({"a": 1}))], &["tombstone A 0-4 "]).await;
    check(sink, &[put(3, json!({"a": 1})), delete(2)], &["item A 0-3 a", "tombstone A 0-2 "]).await;
}

#[tokio::test]
async fn rejected_records_are_quarantined() {
    let mut bad = seatool("A", 5, Some(json!([1])));
    bad.value = Some(b"{".to_vec());
    check(
        sink_seatool_data::SINK,
        &[Event::new([
            seatool("A", 4, Some(json!({"a": 1}))),
            bad,
            seatool("B", 6, Some(json!({"a": 1}))),
        ])],
        &[
            "item A 0-4 a",
            "item B 0-6 a",
            "rejected 0000000000-00000000000000000005-00000000000000001005 INVALID_JSON",
        ],
    )
    .await;
}
