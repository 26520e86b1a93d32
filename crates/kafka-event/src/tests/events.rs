//! Whole payloads: shapes, sources, order, coordinates.

use expect_test::{Expect, expect};

use super::{show, show_event_error};
use crate::{EncodedRecord, Event, raw_records};

#[track_caller]
fn check(payload: &str, expected: &Expect) {
    expected.assert_eq(&show(payload));
}

#[test]
fn self_managed_event() {
    check(
        r#"{
            "eventSource": "SelfManagedKafka",
            "bootstrapServers": "b-2.example.com:9092,b-1.example.com:9092",
            "records": {"my-topic-0": [{
                "topic": "my-topic", "partition": 0, "offset": 15, "timestamp": 1545084650987,
                "timestampType": "CREATE_TIME", "key": "aw==", "value": "SGVsbG8sIHRoaXMgaXMgYSB0ZXN0Lg==",
                "headers": [{"headerKey": [104, 101, 97, 100, 101, 114]}]
            }]}
        }"#,
        &expect![[r#"
            SelfManagedKafka, 1 records
            my-topic 0
              [0] 15: "k" -> "Hello, this is a test." at 1545084650987 CREATE_TIME, headerKey="header"
        "#]],
    );
}

#[test]
fn msk_event_with_several_partitions_in_any_order() {
    check(
        r#"{
            "eventSource": "aws:kafka",
            "eventSourceArn": "arn:aws:kafka:us-east-1:123456789012:cluster/example/1",
            "records": {
                "b-0": [{"topic": "b", "partition": 0, "offset": 5}],
                "a-10": [{"topic": "a", "partition": 10, "offset": 1}, {"topic": "a", "partition": 10, "offset": 2}],
                "a-2": [{"topic": "a", "partition": 2, "offset": 9}, {"topic": "a", "partition": 2, "offset": 8}]
            }
        }"#,
        &expect![[r#"
            AmazonMsk, 5 records
            a 2
              [3] 9: none -> none at -1
              [4] 8: none -> none at -1
            a 10
              [1] 1: none -> none at -1
              [2] 2: none -> none at -1
            b 0
              [0] 5: none -> none at -1
        "#]],
    );
}

#[test]
fn pipe_events() {
    let from = |source: &str| {
        format!(
            r#"[
                {{"eventSource": "{source}", "eventSourceKey": "t-1", "topic": "t", "partition": 1, "offset": 3}},
                {{"eventSource": "{source}", "eventSourceKey": "t-0", "topic": "t", "partition": 0, "offset": 8}},
                {{"eventSource": "{source}", "eventSourceKey": "t-1", "topic": "t", "partition": 1, "offset": 4}}
            ]"#
        )
    };
    let records = "t 0\n  [1] 8: none -> none at -1\nt 1\n  [0] 3: none -> none at -1\n  [2] 4: none -> none at -1\n";
    assert_eq!(show(&from("aws:kafka")), format!("AmazonMsk, 3 records\n{records}"));
    assert_eq!(show(&from("SelfManagedKafka")), format!("SelfManagedKafka, 3 records\n{records}"));
}

#[test]
fn the_source_may_follow_the_records_and_be_spelled_in_other_ways() {
    check(
        r#"{"records": {}, "eventSource": "aws:SelfManagedKafka"}"#,
        &expect![[r#"
        SelfManagedKafka, 0 records
    "#]],
    );
    check(
        r#"{"records": {}, "eventSource": "aws\u003akafka"}"#,
        &expect![[r#"
        AmazonMsk, 0 records
    "#]],
    );
}

/// The topic and the partition are those of the record: a map key would be ambiguous.
#[test]
fn map_keys_are_not_read() {
    check(
        r#"{"eventSource": "aws:kafka", "records": {"": [
            {"topic": "a-1", "partition": 2, "offset": 0},
            {"topic": "a", "partition": 12, "offset": 0}
        ]}}"#,
        &expect![[r#"
            AmazonMsk, 2 records
            a 12
              [1] 0: none -> none at -1
            a-1 2
              [0] 0: none -> none at -1
        "#]],
    );
}

#[test]
fn events_without_records_are_empty() {
    for records in ["{}", r#"{"t-0": []}"#] {
        let payload = format!(r#"{{"eventSource": "aws:kafka", "records": {records}}}"#);
        let event = Event::read(payload.as_bytes()).unwrap();
        assert!(event.records.is_empty());
    }
}

#[test]
fn members_that_an_event_has_twice_lose_nothing() {
    check(
        r#"{
            "eventSource": "aws:sqs", "eventSource": "aws:kafka",
            "records": {"t-0": [{"topic": "t", "partition": 0, "offset": 1}], "t-0": [{"topic": "t", "partition": 0, "offset": 2}]},
            "records": {"t-0": [{"topic": "t", "partition": 0, "offset": 3}]}
        }"#,
        &expect![[r#"
            AmazonMsk, 3 records
            t 0
              [0] 1: none -> none at -1
              [1] 2: none -> none at -1
              [2] 3: none -> none at -1
        "#]],
    );
}

/// The message and its cause; it never repeats a text that might be data.
#[test]
fn what_is_no_kafka_event() {
    let check = |payload: &str, expected: &str| assert_eq!(show(payload), format!("{expected}\n"));

    let not_json = "the payload is not JSON: ";
    check("", &format!("{not_json}EOF while parsing a value at line 1 column 0"));
    check("{\"records\": {", &format!("{not_json}EOF while parsing an object at line 1 column 13"));
    check("{} {}", &format!("{not_json}trailing characters at line 1 column 4"));
    check("1e999", &format!("{not_json}number out of range at line 1 column 5"));

    let accepted = "accepted are an event source mapping's object and a pipe's array of records";
    check("null", &format!("no Kafka event: the payload is null, {accepted}"));
    check("7", &format!("no Kafka event: the payload is a number, {accepted}"));
    check("\"secret\"", &format!("no Kafka event: the payload is a string, {accepted}"));
    check("[]", "no Kafka event: the payload is an empty array, a pipe sends at least one record");

    let check_source = |payload: &str, expected: &str| {
        let accepted = "accepted are `SelfManagedKafka` and `aws:kafka`";
        check(payload, &format!("no Kafka event: `eventSource` {expected}, {accepted}"));
    };
    let sqs = r#"{"Records": [{"eventSource": "aws:sqs", "body": "secret"}]}"#;
    check_source(sqs, "is absent beside another service's `Records`");
    check_source("{}", "is absent");
    check_source(r#"{"eventSource": null, "records": {}}"#, "is absent");
    check_source(r#"{"eventSource": 5, "records": {}}"#, "is a number");
    check_source(r#"{"eventSource": "aws:sqs", "records": {}}"#, "is `aws:sqs`");
    check_source(r#"{"eventSource": "secret", "records": {}}"#, "is another text");
    check_source(r#"{"eventSource": "aws:\n", "records": {}}"#, "is another text");
    let long = format!(r#"{{"eventSource": "aws:{}", "records": {{}}}}"#, "a".repeat(37));
    check_source(&long, "is another text");
    check_source(r#"[{"topic": "t", "partition": 0, "offset": 0}]"#, "of record 0 is absent");
    check_source(
        r#"[{"eventSource": "aws:sqs", "topic": "t", "partition": 0, "offset": 0}]"#,
        "of record 0 is `aws:sqs`",
    );
    check(
        r#"[{"eventSource": "aws:kafka", "topic": "t", "partition": 0, "offset": 0},
            {"eventSource": "SelfManagedKafka", "topic": "t", "partition": 0, "offset": 1}]"#,
        "`eventSource` of record 1 is not that of the records before it",
    );
}

/// Also where nothing is read: the raw records would show it.
#[test]
fn payloads_are_utf8() {
    let payload = b"{\"eventSource\": \"aws:kafka\", \"records\": {}, \"x\": \"\xff\"}";
    let expected = "the payload is not UTF-8: invalid utf-8 sequence of 1 bytes from index 50\n";
    assert_eq!(show_event_error(&Event::read(payload).unwrap_err()), expected);
    assert_eq!(show_event_error(&raw_records(payload).unwrap_err()), expected);
}

#[test]
fn records_that_are_not_where_they_should_be() {
    let check = |records: &str, expected: &str| {
        let payload = format!(r#"{{"eventSource": "aws:kafka", {records}}}"#);
        assert_eq!(show(&payload), format!("{expected}\n"));
    };
    let accepted = "accepted is an object with an array of records for each partition";
    check(r#""x": 1"#, &format!("the event has no `records`, {accepted}"));
    check(r#""records": null"#, &format!("the event has no `records`, {accepted}"));
    check(r#""records": []"#, &format!("`records` is an array, {accepted}"));

    let accepted = "accepted is an array of records";
    check(r#""records": {"t-0": {}}"#, &format!("a member of `records` is an object, {accepted}"));
    check(r#""records": {"t-0": null}"#, &format!("a member of `records` is null, {accepted}"));
    check(
        r#""records": {"t-0": []}, "records": 5"#,
        "`records` is a number, accepted is an object with an array of records for each partition",
    );

    let check_first = |record: &str, expected: &str| {
        let expected = format!("record 0 of the event is {expected}, accepted is an object");
        check(&format!(r#""records": {{"t-0": [{record}]}}"#), &expected);
        assert_eq!(show(&format!("[{record}]")), format!("{expected}\n"));
    };
    check_first("\"secret\"", "a string");
    check_first("[{}]", "an array");
    check_first("null", "null");
    check_first("1e999", "a value that cannot be read");
}

/// Such a record could neither be reported, nor stored, nor retried by itself.
#[test]
fn records_without_usable_coordinates() {
    let check = |member: &str, expected: &str| {
        let good = r#"{"topic": "t", "partition": 0, "offset": 0}"#;
        let bad = format!(r#"{{"topic": "t", "partition": 0, "offset": 1, {member}}}"#);
        let payload =
            format!(r#"{{"eventSource": "aws:kafka", "records": {{"t-0": [{good}, {bad}]}}}}"#);
        let error = Event::read(payload.as_bytes()).unwrap_err();
        assert_eq!(
            show_event_error(&error),
            format!("record 1 of the event has no usable {expected}\n"),
            "{member}"
        );
    };
    assert_eq!(show("[{}]"), show("[{\"topic\": \"\"}]"));
    for topic in ["null", "\"\"", "5", "[\"t\"]", "\"\\ud800\""] {
        check(&format!("\"topic\": {topic}"), "`topic`, accepted is a string that is not empty");
    }
    for partition in ["null", "-1", "2147483648", "0.0", "1e0", "\"0\"", "true", "1e999"] {
        check(
            &format!("\"partition\": {partition}"),
            "`partition`, accepted is an integer from 0 to 2147483647",
        );
    }
    for offset in ["null", "-1", "9223372036854775808", "1.5", "1e3", "\"7\"", "{}", "1e999"] {
        let expected = "`offset`, accepted is an integer from 0 to 9223372036854775807";
        check(&format!("\"offset\": {offset}"), expected);
    }
}

#[test]
fn coordinates_are_exact() {
    check(
        r#"{"eventSource": "aws:kafka", "records": {"t-0": [
            {"topic": "t", "partition": 2147483647, "offset": 9223372036854775807, "epoch": 18446744073709551615},
            {"topic": "t", "partition": 2147483647, "offset": 9007199254740993, "timestamp": 9007199254740993},
            {"topic": "\u0074\/", "partition": 0, "offset": 0}
        ]}}"#,
        &expect![[r#"
            AmazonMsk, 3 records
            t 2147483647
              [0] 9223372036854775807: none -> none at -1, epoch 18446744073709551615
              [1] 9007199254740993: none -> none at 9007199254740993
            t/ 0
              [2] 0: none -> none at -1
        "#]],
    );
}

#[test]
fn raw_records_stand_at_the_index_of_their_record() {
    let payload = r#"{"eventSource": "aws:kafka", "records": {
        "t-1": [{"topic": "t", "partition": 1,  "offset": 1, "key": 1e999}, { "topic": "t", "partition": 0, "offset": 2 }],
        "t-0": [{"topic":"t","partition":0,"offset":3}]
    }}"#;
    let raw = raw_records(payload.as_bytes()).unwrap();
    assert_eq!(
        raw,
        [
            r#"{"topic": "t", "partition": 1,  "offset": 1, "key": 1e999}"#,
            r#"{ "topic": "t", "partition": 0, "offset": 2 }"#,
            r#"{"topic":"t","partition":0,"offset":3}"#,
        ]
    );
    let event = Event::read(payload.as_bytes()).unwrap();
    let offsets: Vec<_> = event.records.iter().map(EncodedRecord::offset).collect();
    assert_eq!(offsets, [1, 2, 3]);

    assert_eq!(raw_records(b"[{}, 5]").unwrap(), ["{}", "5"]);
    assert_eq!(
        raw_records(b"5").unwrap_err().to_string(),
        Event::read(b"5").unwrap_err().to_string()
    );
    assert!(raw_records(b"{\"records\": 5}").is_err());
}

/// What is not used is skipped, whatever it is: no recursion, and no number or string is interpreted.
#[test]
fn unknown_members_may_be_anything() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let strange = format!(r#"[{deep}, 1e999, "\ud800", {{"a": null, "a": 1}}]"#);
    let payload = format!(
        r#"{{"x": {strange}, "eventSource": "aws:kafka", "records": {{"t-0": [
            {{"x": {strange}, "topic": "t", "partition": 0, "offset": 1, "key": {strange}, "value": "dg==",
              "headers": {strange}, "timestamp": {strange}, "keySchemaMetadata": {strange}}}
        ]}}}}"#
    );
    check(
        &payload,
        &expect![[r#"
        AmazonMsk, 1 records
        t 0
          [0] 1: KEY_NOT_A_STRING, record at t-0 offset 1: `key` is an array, accepted is a base64 string
    "#]],
    );
}

/// An event is data: a log that shows one must not show its keys and values.
#[test]
fn debug_shows_no_data() {
    let payload = r#"{"eventSource": "aws:kafka", "records": {"t-0": [{"topic": "t", "partition": 0, "offset": 1,
        "key": "c2VjcmV0", "value": "c2VjcmV0", "headers": [{"secret": [1]}]}]}}"#;
    let event = Event::read(payload.as_bytes()).unwrap();
    let expected = "Event { source: AmazonMsk, is_from_pipe: false, records: [EncodedRecord { \
        coordinates: Coordinates { topic: \"t\", partition: 0, offset: 1 }, .. }] }";
    assert_eq!(format!("{event:?}"), expected);

    let record = event.records[0].decode().unwrap();
    let expected =
        "Record { topic: \"t\", partition: 0, offset: 1, timestamp: -1, epoch: None, .. }";
    assert_eq!(format!("{record:?}"), expected);
    assert_eq!(format!("{:?}", record.headers), "[Header { .. }]");
}
