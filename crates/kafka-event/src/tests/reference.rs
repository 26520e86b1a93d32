//! The same events read by `aws_lambda_events`.
//!
//! Where it accepts an event, both must read the same. Each way in which it is known to be wrong, and why it cannot be
//! the parser here, is a test of its own that shows its present behaviour.

use std::panic;

use aws_lambda_events::kafka::{KafkaEvent, KafkaRecord};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use proptest::prelude::*;

use super::generated::{Expected, decoded, mapping_event, records};
use crate::{EncodedRecord, Event, Record};

/// Makes a record one that the reference accepts; what it does not know is left out.
fn acceptable(mut record: Expected) -> Expected {
    // Headers are missing or unsigned in the other variants of a generated record.
    record.offset -= record.offset % 3;
    record.offset += 1;
    record.timestamp = record.timestamp.rem_euclid(4_102_444_800_000);
    record.headers.retain(|header| header.value.is_some());
    record
}

#[test]
fn both_read_a_plain_event() {
    let payload = r#"{"eventSource": "aws:kafka", "records": {"t-0": [{"topic": "t", "partition": 0, "offset": 1, "timestamp": 5,
        "timestampType": "CREATE_TIME", "key": "aw==", "value": "dg==", "headers": [{"h": [1, -1]}]}]}}"#;
    let reference: KafkaEvent = serde_json::from_str(payload).unwrap();
    let event = Event::read(payload.as_bytes()).unwrap();
    assert_same(&decoded(&event)[0], &reference.records["t-0"][0]);
}

proptest! {
    #[test]
    fn both_read_the_same(records in records(), make_acceptable in prop::bool::weighted(0.8)) {
        let records = if make_acceptable { records.into_iter().map(acceptable).collect() } else { records };
        let payload = mapping_event(&records).to_string();

        let reference: KafkaEvent = match serde_json::from_str(&payload) {
            Ok(reference) => reference,
            Err(error) => {
                prop_assert!(!make_acceptable, "{error}");
                return Ok(());
            }
        };
        let event = Event::read(payload.as_bytes()).unwrap();
        prop_assert_eq!(event.records.len(), reference.records.values().map(Vec::len).sum::<usize>());
        for (name, theirs) in &reference.records {
            let is_of_partition =
                |it: &&EncodedRecord<'_>| format!("{}-{}", it.topic(), it.partition()) == *name;
            let ours = event.records.iter().filter(is_of_partition);
            prop_assert_eq!(ours.clone().count(), theirs.len());
            for (ours, theirs) in ours.zip(theirs) {
                assert_same(&ours.decode().unwrap(), theirs);
            }
        }
    }
}

#[track_caller]
fn assert_same(ours: &Record<'_>, theirs: &KafkaRecord) {
    assert_eq!(Some(&*ours.topic), theirs.topic.as_deref());
    assert_eq!((i64::from(ours.partition), ours.offset), (theirs.partition, theirs.offset));
    assert_eq!(ours.timestamp_type.as_deref(), theirs.timestamp_type.as_deref());
    assert_eq!(ours.key.as_ref().map(|key| STANDARD.encode(key)), theirs.key);
    assert_eq!(ours.value.as_ref().map(|value| STANDARD.encode(value)), theirs.value);

    // Its headers are maps, so that a name is there once in each.
    let theirs_headers = theirs.headers.iter().flatten().map(|(name, value)| {
        let bytes = value.iter().map(|byte| byte.cast_unsigned()).collect::<Vec<_>>();
        (name.as_str(), bytes)
    });
    let ours_headers = ours.headers.iter().map(|it| (&*it.name, it.value.clone().unwrap()));
    assert!(ours_headers.eq(theirs_headers));

    let late = ours.timestamp - theirs.timestamp.timestamp_millis();
    assert!(late == 0 || late == 1, "{} is read as {:?}", ours.timestamp, theirs.timestamp);
}

/// What the reference makes of an event with one record of these members, beside what stands here.
fn read_both(members: &str) -> (Result<KafkaRecord, String>, String) {
    let payload = format!(
        r#"{{"eventSource": "aws:kafka", "records": {{"t-0": [{{"topic": "t", "partition": 0, "offset": 1, {members}}}]}}}}"#
    );
    let reference = serde_json::from_str::<KafkaEvent>(&payload);
    let reference = reference
        .map(|mut event| event.records.remove("t-0").unwrap().remove(0))
        .map_err(|error| error.to_string());
    let event = Event::read(payload.as_bytes()).unwrap();
    let ours = super::show_record(&event.records[0].decode());
    (reference, ours)
}

/// It refuses the whole event.
#[track_caller]
fn check_refusal(members: &str, error: &str, ours: &str) {
    let (reference, read) = read_both(members);
    let message = reference.unwrap_err();
    assert!(message.contains(error), "{message}");
    assert_eq!(read, ours);
}

#[test]
fn fault_it_needs_headers() {
    check_refusal(r#""timestamp": 5"#, "missing field `headers`", "none -> none at 5");
    check_refusal(
        r#""timestamp": 5, "headers": null"#,
        "invalid type: null, expected a sequence",
        "none -> none at 5",
    );
}

#[test]
fn fault_it_refuses_header_values_of_null() {
    check_refusal(
        r#""timestamp": 5, "headers": [{"h": null}]"#,
        "invalid type: null, expected a sequence",
        "none -> none at 5, h=none",
    );
}

#[test]
fn fault_it_refuses_unsigned_header_bytes() {
    check_refusal(
        r#""timestamp": 5, "headers": [{"h": [195, 171]}]"#,
        "invalid value: integer `195`, expected i8",
        r#"none -> none at 5, h="\xc3\xab""#,
    );
}

#[test]
fn fault_it_merges_repeated_names_of_a_header_object() {
    let (reference, ours) = read_both(r#""timestamp": 5, "headers": [{"h": [49], "h": [50]}]"#);
    assert_eq!(reference.unwrap().headers[0]["h"], [50]);
    assert_eq!(ours, r#"none -> none at 5, h="1", h="2""#);
}

#[test]
fn fault_it_refuses_kafkas_own_absent_timestamp() {
    check_refusal(r#""headers": []"#, "missing field `timestamp`", "none -> none at -1");
    check_refusal(
        r#""timestamp": -1, "headers": []"#,
        "invalid digit found in string",
        "none -> none at -1",
    );
    check_refusal(r#""timestamp": null, "headers": []"#, "", "none -> none at -1");
}

#[test]
fn fault_it_loses_a_millisecond() {
    let (reference, ours) = read_both(r#""timestamp": 1763700000007, "headers": []"#);
    assert_eq!(reference.unwrap().timestamp.timestamp_millis(), 1_763_700_000_006);
    assert_eq!(ours, "none -> none at 1763700000007");
}

#[test]
fn fault_it_panics_at_a_fraction() {
    let members = r#""timestamp": 1763700000007.5, "headers": []"#;
    assert!(panic::catch_unwind(|| read_both(members)).is_err());
}

#[test]
fn fault_one_bad_record_fails_its_event() {
    let ours = "VALUE_NOT_A_STRING, record at t-0 offset 1: `value` is a number, accepted is a base64 string";
    check_refusal(
        r#""timestamp": 5, "headers": [], "value": 5"#,
        "invalid type: integer `5`, expected a string",
        ours,
    );
    let ours = r#"none -> "b" at 5"#;
    check_refusal(
        r#""timestamp": 5, "headers": [], "value": "YQ==", "value": "Yg==""#,
        "duplicate field `value`",
        ours,
    );
}

#[test]
fn fault_it_knows_no_pipes() {
    let pipe = r#"[{"eventSource": "aws:kafka", "topic": "t", "partition": 0, "offset": 1, "timestamp": 5, "headers": []}]"#;
    assert!(serde_json::from_str::<KafkaEvent>(pipe).is_err());
    assert_eq!(Event::read(pipe.as_bytes()).unwrap().records.len(), 1);
}

/// Anything with no records of Kafka is an empty event to it, also what another service sent.
#[test]
fn fault_it_accepts_what_is_no_kafka_event() {
    let sqs = r#"{"Records": [{"eventSource": "aws:sqs", "body": "x"}]}"#;
    assert_eq!(serde_json::from_str::<KafkaEvent>(sqs).unwrap().records.len(), 0);
    assert!(Event::read(sqs.as_bytes()).is_err());
}
