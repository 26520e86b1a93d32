//! What an entry of the quarantine holds, and what becomes of it when its record comes again.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use dynamo_sink::{handler::Handler, outcome::Outcome, sink::Sink};
use serde_json::{Value, json};

use super::{Field, event, text};
use crate::support::{
    APPIAN, Act, Applied, Change, Proxy, QUARANTINE, SEATOOL, TIME, TestDynamoDb, dynamodb,
    dynamodb_with_streams, handler, is_aws_local,
};

const SINK: Sink = sink_seatool_data::SINK;

async fn send(handler: &mut Handler, records: &[String]) -> Vec<Outcome> {
    let landed = handler.land(event(records).as_bytes(), Some(TIME)).await.unwrap();
    assert!(landed.answer.is_ok());
    landed.summary.outcomes
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis().try_into().unwrap()
}

/// Takes a number out of an entry.
fn take(entry: &mut Value, name: &str) -> u64 {
    entry[name]["N"].take().as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn an_entry_holds_the_record_byte_for_byte() {
    let dynamodb = dynamodb().await;
    let settings = [("EPOCH", "3"), ("QUARANTINE_RETENTION_DAYS", "30")];
    let mut handler = handler(&dynamodb.endpoint(), SINK, &settings).await;
    let headers = r#","headers":[{"source":[107,-1,0,127,-128]},{"source":[]},{"none":null},{"é":[255]}],"other":[1]"#;
    let text = text(&SINK, 7, &"\"A\"".into(), &Field::Bytes(b"{\xff\0".to_vec()), headers);

    let start = now();
    assert_eq!(send(&mut handler, std::slice::from_ref(&text)).await, [Outcome::Quarantined]);
    let entries = dynamodb.items(QUARANTINE);
    let [mut entry] = <[Value; 1]>::try_from(entries).unwrap();
    assert!((start..=now()).contains(&take(&mut entry, "firstSeen")));
    let month = 30 * 24 * 60 * 60;
    let expires_at = take(&mut entry, "expiresAt");
    assert!((start / 1000 + month..=now() / 1000 + month).contains(&expires_at));
    let bytes = |bytes: &[u8]| json!({"B": STANDARD.encode(bytes)});
    let header = |name: &str, value: Value| json!({"M": {"name": {"S": name}, "value": value}});
    let expected = json!({
        "PK": {"S": "aws.ksqldb.seatool.agg.State_Plan-4"},
        "SK": {"S": "0000000003-00000000000000000007-00000001763700000000"},
        "reason": {"S": "INVALID_UTF8"},
        "message": {"S": "invalid UTF-8 at byte 1"},
        "sink": {"S": "sinkSeatoolData"},
        "topic": {"S": "aws.ksqldb.seatool.agg.State_Plan"},
        "partition": {"N": "4"},
        "offset": {"N": "7"},
        "timestamp": {"N": "1763700000000"},
        "epoch": {"N": "3"},
        "key": bytes(b"\"A\""),
        "value": bytes(b"{\xff\0"),
        "headers": {"L": [
            header("source", bytes(&[107, 255, 0, 127, 128])),
            header("source", bytes(&[])),
            header("none", json!({"NULL": true})),
            header("é", bytes(&[255])),
        ]},
        "record": bytes(text.as_bytes()),
        "parts": {"N": "0"},
        "attempts": {"N": "1"},
        "firstSeen": {"N": null},
        "expiresAt": {"N": null},
    });
    assert_eq!(entry, expected);
}

#[tokio::test]
async fn a_record_that_comes_again_raises_its_attempts() {
    let dynamodb = dynamodb().await;
    let mut handler = handler(&dynamodb.endpoint(), SINK, &[]).await;
    let text = text(&SINK, 7, &"\"A\"".into(), &"{".into(), "");
    send(&mut handler, std::slice::from_ref(&text)).await;
    let [mut entry] = <[Value; 1]>::try_from(dynamodb.items(QUARANTINE)).unwrap();
    for (name, value) in [("firstSeen", "5"), ("expiresAt", "4102444800")] {
        entry[name]["N"] = value.into();
    }
    dynamodb.put(QUARANTINE, &entry);

    assert_eq!(send(&mut handler, &[text]).await, [Outcome::Quarantined]);
    entry["attempts"]["N"] = "2".into();
    assert_eq!(dynamodb.items(QUARANTINE), [entry]);
}

#[tokio::test]
async fn entries_stay_for_ever_where_retention_is_unlimited() {
    let dynamodb = dynamodb().await;
    let settings =
        [("QUARANTINE_RETENTION_DAYS", "unlimited"), ("TOMBSTONE_RETENTION_DAYS", "unlimited")];
    let mut handler = handler(&dynamodb.endpoint(), SINK, &settings).await;
    let large = format!("\"{}\"", "x".repeat(400_000));
    let texts = [
        text(&SINK, 7, &"\"A\"".into(), &"{".into(), ""),
        text(&SINK, 8, &"\"A\"".into(), &large.into(), ""),
    ];
    send(&mut handler, &texts).await;
    let entries = dynamodb.items(QUARANTINE);
    assert_eq!(entries.len(), 1 + 3);
    assert!(entries.iter().all(|entry| entry["expiresAt"].is_null()));
}

/// A topic that is created again has the same offsets again, under another epoch or at least at another time.
#[tokio::test]
async fn each_record_has_an_entry_of_its_own() {
    let dynamodb = dynamodb().await;
    let text = |timestamp: &str, epoch: &str| {
        format!(
            r#"{{"topic":"{}","partition":0,"offset":7,"timestamp":{timestamp}{epoch},"key":"e30="}}"#,
            SINK.topic
        )
    };
    let mut handler_1 = handler(&dynamodb.endpoint(), SINK, &[("EPOCH", "1")]).await;
    let mut handler_2 = handler(&dynamodb.endpoint(), SINK, &[("EPOCH", "2")]).await;
    let quarantined = vec![Outcome::Quarantined; 2];
    assert_eq!(send(&mut handler_1, &[text("5", ""), text("6", "")]).await, quarantined);
    // The second was redriven: its entry is the one that it had in epoch 1.
    let redriven = text("6", r#","epoch":1"#);
    assert_eq!(send(&mut handler_2, &[text("6", ""), redriven]).await, quarantined);
    // Without a usable timestamp it counts as 0.
    assert_eq!(send(&mut handler_2, &[text("null", ""), text("null", "")]).await, quarantined);

    let entries = dynamodb.items(QUARANTINE);
    let summary = |entry: &Value| {
        let key = entry["SK"]["S"].as_str().unwrap();
        let [epoch, timestamp, attempts] =
            ["epoch", "timestamp", "attempts"].map(|name| entry[name]["N"].as_str().unwrap());
        format!("{key}: epoch {epoch}, timestamp {timestamp}, attempts {attempts}")
    };
    assert_eq!(
        entries.iter().map(summary).collect::<Vec<_>>(),
        [
            "0000000001-00000000000000000007-00000000000000000005: epoch 1, timestamp 5, attempts 1",
            "0000000001-00000000000000000007-00000000000000000006: epoch 1, timestamp 6, attempts 2",
            "0000000002-00000000000000000007-00000000000000000000: epoch 2, timestamp -1, attempts 2",
            "0000000002-00000000000000000007-00000000000000000006: epoch 2, timestamp 6, attempts 1",
        ]
    );
}

#[tokio::test]
async fn a_record_of_350_kb_is_kept_in_one_item() {
    let dynamodb = dynamodb().await;
    let mut handler = handler(&dynamodb.endpoint(), SINK, &[]).await;
    let text = |offset, length: usize| {
        let padding = "x".repeat(
            length - text(&SINK, offset, &Field::Absent, &Field::Absent, r#","":"""#).len(),
        );
        let rest = format!(r#","":"{padding}""#);
        text(&SINK, offset, &Field::Absent, &Field::Absent, &rest)
    };
    let texts = [text(1, 350 * 1024), text(2, 350 * 1024 + 1)];
    assert_eq!(texts[0].len(), 350 * 1024);
    assert_eq!(send(&mut handler, &texts).await, [Outcome::Quarantined; 2]);
    let entries = dynamodb.items(QUARANTINE);
    let [one, head, parts @ ..] = entries.as_slice() else {
        unreachable!("two records have two heads")
    };
    assert_eq!(one["record"]["B"], STANDARD.encode(&texts[0]));
    assert_eq!((one["parts"]["N"].as_str(), parts.len()), (Some("0"), 2));
    assert_eq!(reassemble(head, parts), texts[1]);
}

#[tokio::test]
async fn a_record_larger_than_an_item_is_split() {
    let dynamodb = dynamodb_with_streams().await;
    let mut handler = handler(&dynamodb.endpoint(), SINK, &[]).await;
    // No two parts are alike.
    let value = (0..500_000).map(|n| format!("{n:06}")).collect::<Vec<_>>().concat();
    let good = |offset, key: &str| text(&SINK, offset, &key.into(), &r#"{"a":1}"#.into(), "");
    let large = text(&SINK, 2, &"\"B\"".into(), &format!("\"{value}\"").into(), r#","headers":[]"#);
    let texts = [good(1, "\"A\""), large.clone(), good(3, "\"C\"")];
    for attempts in ["1", "2"] {
        let outcomes = send(&mut handler, &texts).await;
        assert_eq!(outcomes[1], Outcome::Quarantined);
        let entries = dynamodb.items(QUARANTINE);
        let (head, parts) = entries.split_first().unwrap();
        assert_eq!(reassemble(head, parts), large);
        assert_eq!(head["attempts"]["N"], attempts);
        assert_eq!(head["reason"]["S"], "NOT_AN_OBJECT");
        assert_eq!(head["offset"]["N"], "2");
        assert_eq!([&head["record"], &head["key"], &head["value"]], [&Value::Null; 3]);
        // The head may be written a while after the first of its parts, and must not outlive them.
        let seconds =
            |entry: &Value| entry["expiresAt"]["N"].as_str().unwrap().parse::<u64>().unwrap();
        assert!(parts.iter().all(|part| seconds(part) == seconds(head) + 24 * 60 * 60));
    }
    assert_eq!(keys(&dynamodb, SEATOOL), ["A", "C"]);

    // Whoever finds the head finds all parts: it is written after them.
    let written = dynamodb.changes(QUARANTINE);
    let is_head = |change: &Change| !change.new.as_ref().unwrap()["attempts"].is_null();
    let places: Vec<_> =
        written.iter().enumerate().filter(|(_, it)| is_head(it)).map(|(at, _)| at).collect();
    let n_parts = dynamodb.items(QUARANTINE).len() - 1;
    assert_eq!(places, [n_parts, written.len() - 1]);
    // The embedded DynamoDB's stream also tells of the parts that the second attempt wrote just as they were.
    assert!(is_aws_local() || written.len() == 2 * (n_parts + 1));
}

/// Small headers take more room in an item than in the record's text, and a value comes on top of its text.
#[tokio::test]
async fn what_an_item_has_no_room_for_stands_in_the_record_only() {
    let dynamodb = dynamodb().await;
    let mut handler = handler(&dynamodb.endpoint(), SINK, &[]).await;
    let headers = format!(r#","headers":[{}]"#, vec![r#"{"a":[]}"#; 20_000].join(","));
    let records = [
        text(&SINK, 1, &"\"A\"".into(), &"[]".into(), &headers),
        text(&SINK, 2, &"\"A\"".into(), &format!("[{}", " ".repeat(200_000)).into(), ""),
    ];
    assert_eq!(send(&mut handler, &records).await, [Outcome::Quarantined; 2]);
    for (entry, record) in dynamodb.items(QUARANTINE).iter().zip(&records) {
        assert_eq!(entry["record"]["B"], STANDARD.encode(record));
        assert_eq!(["key", "value", "headers"].map(|name| &entry[name]), [&Value::Null; 3]);
    }
}

/// An entry that is about to expire, or has and still stands, would be gone soon, and with it the record.
#[tokio::test]
async fn an_entry_that_expires_is_renewed_when_its_record_comes_again() {
    let dynamodb = dynamodb().await;
    let large = format!("\"{}\"", "x".repeat(400_000));
    let texts = [
        text(&SINK, 1, &"\"A\"".into(), &"[]".into(), ""),
        text(&SINK, 2, &"\"B\"".into(), &large.as_str().into(), ""),
    ];
    let seconds = |entry: &Value| entry["expiresAt"]["N"].as_str().unwrap().parse::<u64>().unwrap();
    let mut kept = handler(&dynamodb.endpoint(), SINK, &[]).await;
    assert_eq!(send(&mut kept, &texts).await, [Outcome::Quarantined; 2]);
    let first = dynamodb.items(QUARANTINE);
    for item in &first {
        let mut item = item.clone();
        item["expiresAt"] = json!({"N": "1700000000"});
        dynamodb.put(QUARANTINE, &item);
    }
    assert_eq!(send(&mut kept, &texts).await, [Outcome::Quarantined; 2]);
    let renewed = dynamodb.items(QUARANTINE);
    assert_eq!(renewed.len(), first.len());
    for (renewed, first) in renewed.iter().zip(&first) {
        assert!(seconds(first) <= seconds(renewed));
        assert_eq!(renewed["record"], first["record"]);
        assert_eq!(renewed["firstSeen"], first["firstSeen"]);
        if !first["attempts"].is_null() {
            assert_eq!(renewed["attempts"]["N"], "2");
        }
        let mut expired = renewed.clone();
        expired["expiresAt"] = json!({"N": "1700000000"});
        dynamodb.put(QUARANTINE, &expired);
    }

    let unlimited =
        [("QUARANTINE_RETENTION_DAYS", "unlimited"), ("TOMBSTONE_RETENTION_DAYS", "unlimited")];
    let mut kept = handler(&dynamodb.endpoint(), SINK, &unlimited).await;
    assert_eq!(send(&mut kept, &texts).await, [Outcome::Quarantined; 2]);
    let endless = dynamodb.items(QUARANTINE);
    assert!(endless.iter().all(|entry| entry["expiresAt"].is_null()));
}

/// The text of a record that was split, as `sinkctl` finds it: the parts' keys begin with the head's.
fn reassemble(head: &Value, parts: &[Value]) -> String {
    let head_key = head["SK"]["S"].as_str().unwrap();
    assert_eq!(head["parts"]["N"], parts.len().to_string());
    let bytes = parts.iter().enumerate().flat_map(|(position, part)| {
        assert_eq!(part["PK"], head["PK"]);
        let hash = head["hash"]["S"].as_str().unwrap();
        assert_eq!(part["SK"]["S"], format!("{head_key}#{hash}#{position:04}"));
        STANDARD.decode(part["record"]["B"].as_str().unwrap()).unwrap()
    });
    String::from_utf8(bytes.collect()).unwrap()
}

fn keys(dynamodb: &TestDynamoDb, table: &str) -> Vec<String> {
    let items = dynamodb.items(table);
    items.iter().map(|item| item["PK"]["S"].as_str().unwrap().to_owned()).collect()
}

/// One record in two texts, such as before and after it is redriven: whatever of them stands, what is read is one of
/// them.
#[tokio::test]
async fn texts_of_one_record_are_never_mixed() {
    let dynamodb = dynamodb().await;
    let value = (0..500_000).map(|n| format!("{n:06}")).collect::<Vec<_>>().concat();
    let value = Field::from(format!("\"{value}\""));
    let one = text(&SINK, 2, &"\"B\"".into(), &value, "");
    // They differ from the first byte on, so that no part of one is a part of the other.
    let other = one.replacen('{', r#"{"epoch":0,"#, 1);
    let record = || {
        let entries = dynamodb.items(QUARANTINE);
        let (head, parts) = entries.split_first().unwrap();
        let is_its = |part: &&Value| {
            let hash = format!("#{}#", head["hash"]["S"].as_str().unwrap());
            part["SK"]["S"].as_str().unwrap().contains(&hash)
        };
        let parts: Vec<Value> = parts.iter().filter(is_its).cloned().collect();
        (reassemble(head, &parts), head["attempts"]["N"].as_str().unwrap().to_owned())
    };

    // Killed before the head was written, and even before the last part.
    let proxy = Proxy::start(&dynamodb, |request| match request.number {
        0..3 => Act::Pass,
        _ => Act::Silence(Applied::No),
    })
    .await;
    let mut killed = handler(&proxy.endpoint(), SINK, &[]).await;
    let time = Some(Duration::from_millis(1500));
    let landed = killed.land(event(std::slice::from_ref(&one)).as_bytes(), time).await.unwrap();
    assert_eq!(landed.summary.outcomes, [Outcome::Failed]);
    assert_eq!(dynamodb.items(QUARANTINE).len(), 3);

    let mut handler = handler(&dynamodb.endpoint(), SINK, &[]).await;
    for (attempts, sent) in [("1", &other), ("2", &one), ("3", &other)] {
        assert_eq!(send(&mut handler, std::slice::from_ref(sent)).await, [Outcome::Quarantined]);
        assert_eq!(record(), (other.clone(), attempts.to_owned()));
    }
    // One that expires is kept as it comes again, since only those parts are renewed.
    let mut head = dynamodb.items(QUARANTINE).remove(0);
    head["expiresAt"] = json!({"N": "1700000000"});
    dynamodb.put(QUARANTINE, &head);
    assert_eq!(send(&mut handler, std::slice::from_ref(&one)).await, [Outcome::Quarantined]);
    assert_eq!(record(), (one, "4".to_owned()));
}

/// A rejected record is no state of its key: the one before it is the last.
#[tokio::test]
async fn a_rejected_record_supersedes_nothing() {
    let dynamodb = dynamodb().await;
    let mut handler = handler(&dynamodb.endpoint(), SINK, &[]).await;
    let record = |offset, value: &str| text(&SINK, offset, &"\"A\"".into(), &value.into(), "");
    let outcomes =
        send(&mut handler, &[record(1, r#"{"a":1}"#), record(2, r#"{"a":2}"#), record(3, "[]")])
            .await;
    assert_eq!(outcomes, [Outcome::Superseded, Outcome::Written, Outcome::Quarantined]);
    assert_eq!(dynamodb.items(SEATOOL)[0]["a"]["N"], "2");
    assert_eq!(keys(&dynamodb, APPIAN), Vec::<String>::new());
}
