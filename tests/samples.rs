//! Each sample event in `events/` has the outcomes that its name promises.

use std::{fs, path::PathBuf};

use dynamo_sink::{handler::Response, outcome::Outcome, sink::Sink};
use local::SINKS;
use serde_json::Value;

use crate::support::{
    APPIAN, QUARANTINE, SEATOOL, TIME, TOMBSTONES, TestDynamoDb, dynamodb, handler,
};

/// Every sample with its outcomes when it comes for the first time, and when it comes again.
const SAMPLES: &[(&str, &str, &str)] = &[
    ("appian-out-of-order.json", "3 written, 3 superseded", "3 superseded, 3 duplicate"),
    ("appian-pipe.json", "3 written", "3 duplicate"),
    ("appian-poison.json", "6 written, 39 quarantined", "6 duplicate, 39 quarantined"),
    ("appian.json", "7 written, 2 superseded", "2 superseded, 7 duplicate"),
    ("seatool-headers.json", "3 written, 1 deleted", "4 duplicate"),
    ("seatool-legacy.json", "10 written", "10 duplicate"),
    ("seatool-msk.json", "6 written", "6 duplicate"),
    ("seatool-pipe.json", "3 written, 1 deleted", "4 duplicate"),
    ("seatool-poison.json", "7 written, 38 quarantined", "7 duplicate, 38 quarantined"),
    ("seatool.json", "6 written, 4 deleted, 4 superseded", "4 superseded, 10 duplicate"),
];

/// The poison records' offsets and reasons.
const POISON: [(&str, &[(i64, &str)]); 2] = [
    (
        "appian-poison.json",
        &[
            (41002, "NULL_VALUE"),
            (41003, "NULL_VALUE"),
            (41004, "NULL_VALUE"),
            (41005, "NULL_VALUE"),
            (41007, "INVALID_BASE64_VALUE"),
            (41008, "INVALID_BASE64_KEY"),
            (41009, "VALUE_NOT_A_STRING"),
            (41010, "KEY_NOT_A_STRING"),
            (41011, "MALFORMED_HEADERS"),
            (41012, "INVALID_EPOCH"),
            (41013, "SCHEMA_ENCODED_VALUE"),
            (41014, "SCHEMA_ENCODED_VALUE"),
            (41016, "INVALID_JSON"),
            (41017, "NOT_AN_OBJECT"),
            (41018, "INVALID_PAYLOAD"),
            (41019, "NULL_VALUE"),
            (41020, "INVALID_PAYLOAD"),
            (41021, "INVALID_PAYLOAD"),
            (41023, "MISSING_PACKAGE_ID"),
            (41024, "MISSING_PACKAGE_ID"),
            (41025, "INVALID_PACKAGE_ID"),
            (41026, "INVALID_PACKAGE_ID"),
            (41027, "INVALID_PACKAGE_ID"),
            (41028, "EMPTY_KEY"),
            (41029, "KEY_TOO_LONG"),
            (41030, "INVALID_SOURCE_TIME"),
            (41031, "INVALID_SOURCE_TIME"),
            (41032, "INVALID_SOURCE_TIME"),
            (41033, "INVALID_SOURCE_TIME"),
            (41035, "NUMBER_TOO_PRECISE"),
            (41036, "NUMBER_OUT_OF_RANGE"),
            (41037, "NESTED_TOO_DEEP"),
            (41038, "DUPLICATE_MEMBER"),
            (41039, "EMPTY_MEMBER_NAME"),
            (41040, "RESERVED_MEMBER"),
            (41041, "RESERVED_MEMBER"),
            (41042, "RESERVED_MEMBER"),
            (41043, "LONE_SURROGATE"),
            (41044, "INVALID_UTF8"),
        ],
    ),
    (
        "seatool-poison.json",
        &[
            (8002, "INVALID_BASE64_KEY"),
            (8003, "INVALID_BASE64_VALUE"),
            (8004, "INVALID_BASE64_VALUE"),
            (8005, "KEY_NOT_A_STRING"),
            (8006, "VALUE_NOT_A_STRING"),
            (8008, "MALFORMED_HEADERS"),
            (8009, "MALFORMED_HEADERS"),
            (8010, "MALFORMED_HEADERS"),
            (8011, "INVALID_EPOCH"),
            (8012, "SCHEMA_ENCODED_KEY"),
            (8013, "SCHEMA_ENCODED_VALUE"),
            (8014, "SCHEMA_ENCODED_VALUE"),
            (8016, "MISSING_KEY"),
            (8017, "INVALID_KEY"),
            (8018, "INVALID_KEY"),
            (8019, "INVALID_KEY"),
            (8020, "INVALID_KEY"),
            (8021, "EMPTY_KEY"),
            (8022, "KEY_TOO_LONG"),
            (8024, "INVALID_JSON"),
            (8025, "INVALID_JSON"),
            (8026, "INVALID_JSON"),
            (8027, "NOT_AN_OBJECT"),
            (8028, "NOT_AN_OBJECT"),
            (8030, "NUMBER_TOO_PRECISE"),
            (8031, "NUMBER_OUT_OF_RANGE"),
            (8032, "NUMBER_OUT_OF_RANGE"),
            (8033, "NESTED_TOO_DEEP"),
            (8034, "DUPLICATE_MEMBER"),
            (8035, "DUPLICATE_MEMBER"),
            (8036, "EMPTY_MEMBER_NAME"),
            (8037, "NAME_TOO_LONG"),
            (8038, "RESERVED_MEMBER"),
            (8039, "RESERVED_MEMBER"),
            (8040, "RESERVED_MEMBER"),
            (8041, "LONE_SURROGATE"),
            (8042, "INVALID_UTF8"),
            (8044, "ITEM_TOO_LARGE"),
        ],
    ),
];

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../events")
}

/// The sink that a sample is for, after which it is named.
fn sink(name: &str) -> Sink {
    let word = name.split(['-', '.']).next().unwrap();
    SINKS.into_iter().find(|sink| sink.name.to_lowercase() == format!("sink{word}data")).unwrap()
}

/// Sends a sample and says how many records had which outcome.
async fn send(dynamodb: &TestDynamoDb, name: &str) -> String {
    let mut handler = handler(&dynamodb.endpoint(), sink(name), &[]).await;
    let payload = fs::read(directory().join(name)).unwrap();
    let landed = handler.land(&payload, Some(TIME)).await.unwrap();
    assert_eq!(landed.answer.unwrap(), Response::default());
    let counts = Outcome::ALL.map(|outcome| (landed.summary.count(outcome), outcome.name()));
    let counts = counts.iter().filter(|(count, _)| *count > 0);
    counts.map(|(count, name)| format!("{count} {name}")).collect::<Vec<_>>().join(", ")
}

#[tokio::test]
async fn each_sample_has_its_outcomes() {
    let mut names: Vec<String> = fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, SAMPLES.iter().map(|(name, ..)| *name).collect::<Vec<_>>());

    for &(name, first, second) in SAMPLES {
        let dynamodb = dynamodb().await;
        assert_eq!(send(&dynamodb, name).await, first, "{name}");
        assert_eq!(send(&dynamodb, name).await, second, "{name}, again");

        let reason = |entry: &Value| {
            let offset = entry["offset"]["N"].as_str()?.parse::<i64>().unwrap();
            Some((offset, entry["reason"]["S"].as_str().unwrap().to_owned()))
        };
        let entries = dynamodb.items(QUARANTINE);
        let found: Vec<_> = entries.iter().filter_map(reason).collect();
        let expected =
            POISON.iter().find(|(poison, _)| *poison == name).map(|(_, reasons)| *reasons);
        let expected = expected.unwrap_or_default().iter();
        let expected: Vec<_> =
            expected.map(|(offset, code)| (*offset, (*code).to_owned())).collect();
        assert_eq!(found, expected, "{name}");
    }
}

/// The samples of a function go to one table, and their records are one history.
#[tokio::test]
async fn the_order_of_the_samples_does_not_matter() {
    let good = || SAMPLES.iter().map(|(name, ..)| *name).filter(|name| !name.contains("poison"));
    let (forwards, backwards) = (dynamodb().await, dynamodb().await);
    for name in good() {
        send(&forwards, name).await;
    }
    for name in good().rev() {
        send(&backwards, name).await;
    }
    for table in [APPIAN, SEATOOL, TOMBSTONES, QUARANTINE] {
        let [forwards, backwards] = [&forwards, &backwards].map(|dynamodb| {
            let mut items = dynamodb.items(table);
            // Tombstones of the two may differ by a second.
            for item in &mut items {
                item["expiresAt"] = Value::Null;
            }
            items
        });
        assert_eq!(forwards.is_empty(), table == QUARANTINE);
        assert_eq!(forwards, backwards);
    }
    // Of one package four states come in the wrong order, over two partitions.
    let times = |dynamodb: &TestDynamoDb| {
        let items = dynamodb.items(APPIAN);
        let item = items.iter().find(|item| item["PK"]["S"] == "21830").unwrap();
        item["payload"]["M"]["REPLICA_TIMESTAMP"]["N"].as_str().unwrap().to_owned()
    };
    assert_eq!(times(&forwards), "1772444091477");
}
