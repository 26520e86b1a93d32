//! JSON behind schema identifiers and schema metadata.

use std::borrow::Cow;

use super::show_bytes;
use crate::{Event, Record, SchemaMetadata};

/// Gives the same bytes and schema as key and as value, and compares what is read as JSON, or the error.
#[track_caller]
fn check(
    bytes: Option<&[u8]>,
    data_format: Option<&'static str>,
    expected: Result<Option<&str>, &str>,
) {
    let schema = data_format
        .map(|format| SchemaMetadata { schema_id: None, data_format: Some(Cow::Borrowed(format)) });
    let record = Record {
        topic: Cow::Borrowed("t"),
        partition: 0,
        offset: 1,
        timestamp: -1,
        timestamp_type: None,
        key: bytes.map(<[u8]>::to_vec),
        value: bytes.map(<[u8]>::to_vec),
        headers: Vec::new(),
        key_schema: schema.clone(),
        value_schema: schema,
        epoch: None,
    };
    for (field, read) in [("KEY", record.json_key()), ("VALUE", record.json_value())] {
        match (&read, expected) {
            (Ok(read), Ok(expected)) => {
                assert_eq!(show_bytes(*read), show_bytes(expected.map(str::as_bytes)));
            }
            (Err(error), Err(code)) => assert_eq!(error.code(), format!("{code}_{field}")),
            _ => panic!("{read:?} instead of {expected:?}"),
        }
    }
}

const PREFIX: &[u8] = &[0, 0, 0, 1, 44];
const ENCODED: Result<Option<&str>, &str> = Err("SCHEMA_ENCODED");

fn prefixed(text: &[u8]) -> Vec<u8> {
    [PREFIX, text].concat()
}

#[test]
fn without_a_schema_bytes_are_given_as_they_are() {
    check(None, None, Ok(None));
    check(Some(b""), None, Ok(Some("")));
    check(Some(b"{\"a\": 1}"), None, Ok(Some("{\"a\": 1}")));
    check(Some(b"not json"), None, Ok(Some("not json")));
    check(Some(b"not json"), Some("JSON"), Ok(Some("not json")));
    check(Some(b"not json"), Some("SOMETHING_NEW"), Ok(Some("not json")));
    check(Some(b"\0\0\0\0"), None, Ok(Some("\0\0\0\0")));
}

#[test]
fn json_behind_a_prefix() {
    for text in ["{\"a\": [1, null]}", "\"MD-22-0001\"", " null\n", "0", "[]"] {
        check(Some(&prefixed(text.as_bytes())), None, Ok(Some(text)));
        check(Some(&prefixed(text.as_bytes())), Some("AVRO"), Ok(Some(text)));
    }
}

#[test]
fn no_json_behind_a_prefix() {
    // An Avro string of seventeen bytes begins like a JSON string: its length is spelled as a quote.
    for bytes in [
        b"\x22seventeen letters".as_slice(),
        b"\x02\x06abc",
        b"\x00\x0a\x03abc",
        b"{\"a\": 1",
        b"{} {}",
        b"",
        b"\xff",
    ] {
        check(Some(&prefixed(bytes)), None, ENCODED);
        check(Some(&prefixed(bytes)), Some("JSON"), ENCODED);
    }
}

#[test]
fn metadata_of_binary_formats() {
    for format in ["AVRO", "PROTOBUF"] {
        check(None, Some(format), Ok(None));
        check(Some(b"{\"a\": 1}"), Some(format), Ok(Some("{\"a\": 1}")));
        check(Some(b"\x02\x06abc"), Some(format), ENCODED);
        // An empty message of Protobuf has no bytes, and must not be taken for an empty value.
        check(Some(b""), Some(format), ENCODED);
    }
}

#[test]
fn the_error_names_the_setting() {
    let event = br#"[{"eventSource": "aws:kafka", "topic": "t", "partition": 0, "offset": 1, "key": "AAAAAAEGYWJj"}]"#;
    let event = Event::read(event).unwrap();
    let error = event.partitions[0].records[0].decode().unwrap().json_key().unwrap_err();
    let expected = "record at offset 1 of t-0: `key` was written with a schema and is not JSON: if it \
        is Avro or Protobuf, set `EventRecordFormat: JSON` in the schema registry configuration of \
        the event source mapping";
    assert_eq!(error.to_string(), expected);
}
