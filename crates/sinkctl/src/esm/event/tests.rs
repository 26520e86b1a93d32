use rdkafka::message::{Header, OwnedHeaders, OwnedMessage};

use super::*;

/// A message of the topic `t` without a key and headers.
pub(in crate::esm) fn message(
    partition: i32,
    offset: i64,
    timestamp: i64,
    value: Option<&[u8]>,
) -> OwnedMessage {
    let (value, timestamp) = (value.map(<[u8]>::to_vec), Timestamp::CreateTime(timestamp));
    OwnedMessage::new(value, None, "t".to_owned(), timestamp, partition, offset, None)
}

fn envelope() -> Envelope {
    Envelope::new("my-topic", "b-2:9092,b-1:9092")
}

const CREATED: Timestamp = Timestamp::CreateTime(1_545_084_650_987);

#[test]
fn records_are_written_as_lambda_does() {
    #[track_caller]
    fn check(
        (partition, offset, timestamp): (i32, i64, Timestamp),
        (key, value): (Option<&[u8]>, Option<&[u8]>),
        headers: &[(&str, Option<&[u8]>)],
        expected: &str,
    ) {
        let mut all = OwnedHeaders::new();
        for &(key, value) in headers {
            all = all.insert(Header { key, value });
        }
        let owned = |bytes: &[u8]| bytes.to_vec();
        let (key, value, topic) = (key.map(owned), value.map(owned), "my-topic".to_owned());
        let headers = (!headers.is_empty()).then_some(all);
        let message = OwnedMessage::new(value, key, topic, timestamp, partition, offset, headers);
        let record = envelope().record(&message).unwrap();
        assert_eq!(record.json, expected);
        assert_eq!(record.length(), expected.len());
    }

    let head = r#"{"topic":"my-topic","partition":0,"offset":15,"timestamp":1545084650987,"timestampType":"#;
    let place = (0, 15, CREATED);
    check(
        place,
        (Some(b"k"), Some(b"Hello, this is a test.")),
        &[],
        &format!(
            r#"{head}"CREATE_TIME","key":"aw==","value":"SGVsbG8sIHRoaXMgaXMgYSB0ZXN0Lg==","headers":[]}}"#
        ),
    );
    check(place, (None, None), &[], &format!(r#"{head}"CREATE_TIME","headers":[]}}"#));
    check(
        place,
        (Some(b""), Some(b"")),
        &[],
        &format!(r#"{head}"CREATE_TIME","key":"","value":"","headers":[]}}"#),
    );
    check(
        (0, 15, Timestamp::LogAppendTime(1_545_084_650_987)),
        (None, None),
        &[("h\"", Some(&[118, 220, 0, 127, 128])), ("h\"", Some(b"")), ("", None)],
        &format!(
            r#"{head}"LOG_APPEND_TIME","headers":[{{"h\"":[118,-36,0,127,-128]}},{{"h\"":[]}},{{"":null}}]}}"#
        ),
    );
    check(
        (12, 0, Timestamp::NotAvailable),
        (None, None),
        &[],
        r#"{"topic":"my-topic","partition":12,"offset":0,"timestamp":-1,"timestampType":"NO_TIMESTAMP_TYPE","headers":[]}"#,
    );
}

#[test]
fn events_group_by_partition_and_their_size_is_known() {
    #[track_caller]
    fn check(coordinates: &[(i32, i64)], expected: &str) {
        let envelope = envelope();
        let mut size = envelope.size();
        let mut records = Vec::new();
        for &(partition, offset) in coordinates {
            let record = envelope.record(&message(partition, offset, 7, None)).unwrap();
            let with = size.with(partition, record.length());
            size.add(partition, record.length());
            assert_eq!(size.bytes, with);
            records.push(Arc::new(record));
        }
        let event = envelope.event(&records);
        assert_eq!(event.len(), size.bytes, "{event}");
        let event =
            event.replace(r#","timestamp":7,"timestampType":"CREATE_TIME","headers":[]"#, "");
        let event = event.replace(r#""topic":"my-topic","#, "");
        assert_eq!(event, expected);
    }

    let head =
        r#"{"eventSource":"SelfManagedKafka","bootstrapServers":"b-2:9092,b-1:9092","records":{"#;
    check(&[], &format!("{head}}}}}"));
    check(&[(0, 7)], &format!(r#"{head}"my-topic-0":[{{"partition":0,"offset":7}}]}}}}"#));
    check(
        &[(10, 1), (2, 5), (10, 3)],
        &format!(
            r#"{head}"my-topic-2":[{{"partition":2,"offset":5}}],"my-topic-10":[{{"partition":10,"offset":1}},{{"partition":10,"offset":3}}]}}}}"#
        ),
    );
}

#[test]
fn a_record_is_too_large_from_the_first_byte_above_the_limit() {
    #[track_caller]
    fn check(name_of_header: usize, expected: bool) {
        let record = record_with_header(name_of_header);
        assert_eq!(record.is_too_large, expected);
        let event = envelope().event(&[Arc::new(record)]);
        assert_eq!(event.len() > MAX_EVENT_BYTES, expected);
    }

    fn record_with_header(length_of_name: usize) -> Record {
        let name = "h".repeat(length_of_name);
        let header = Header { key: &name, value: None::<&[u8]> };
        let headers = Some(OwnedHeaders::new().insert(header));
        let message = OwnedMessage::new(None, None, "my-topic".to_owned(), CREATED, 0, 15, headers);
        envelope().record(&message).unwrap()
    }

    let rest = envelope().event(&[Arc::new(record_with_header(0))]).len();
    check(MAX_EVENT_BYTES - rest, false);
    check(MAX_EVENT_BYTES - rest + 1, true);
}
