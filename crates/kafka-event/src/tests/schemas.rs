//! JSON behind schema identifiers and schema metadata.

use std::borrow::Cow;

use super::show_bytes;
use crate::{Event, Record, SchemaMetadata};

/// Gives the same bytes and schema as key and as value, and compares what is read as JSON, or what the error says
/// first.
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
            (Err(error), Err(found)) => {
                assert_eq!(error.code(), format!("SCHEMA_ENCODED_{field}"));
                let name = field.to_lowercase();
                let message = error.kind.to_string();
                assert!(message.starts_with(&format!("`{name}` {found}")), "{message}");
            }
            _ => panic!("{read:?} instead of {expected:?}"),
        }
    }
}

const PREFIX: &[u8] = &[0, 0, 0, 1, 44];
const CONFLUENT: Result<Option<&str>, &str> =
    Err("begins like a Confluent header (a zero byte and a schema id), and is not JSON");
const GLUE: Result<Option<&str>, &str> = Err("begins with an AWS Glue header, and is not JSON");
const COMPRESSED: Result<Option<&str>, &str> =
    Err("is compressed, as its AWS Glue header says: set `compression` to `NONE` in its producer");
const METADATA: Result<Option<&str>, &str> =
    Err("was written with a schema, as the event says, and is not JSON");

fn prefixed(text: &[u8]) -> Vec<u8> {
    [PREFIX, text].concat()
}

/// A text behind the header of AWS Glue, with this second byte.
fn glued(compression: u8, text: &[u8]) -> Vec<u8> {
    [&[3, compression], b"\x12\x34Vx\x00\xff\"{versions".as_slice(), text].concat()
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
fn any_identifier_but_0_is_one() {
    for id in [[0, 0, 0, 1], [0, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0x80, 0, 0, 4], [0xff; 4]] {
        check(Some(&[&[0], &id[..], b"{}"].concat()), None, Ok(Some("{}")));
        check(Some(&[&[0], &id[..], b"\x06abc"].concat()), None, CONFLUENT);
    }
    // Binary numbers begin with zeros: what follows them is no text that belongs to a registry.
    for bytes in ["\0\0\0\0\0\"1\"", "\0\0\0\0\0\0\u{1b}Y", "\0\0\0\0\0{}", "\0\0\0\0\0"] {
        check(Some(bytes.as_bytes()), None, Ok(Some(bytes)));
        check(Some(bytes.as_bytes()), Some("JSON"), Ok(Some(bytes)));
        check(Some(bytes.as_bytes()), Some("AVRO"), METADATA);
    }
}

#[test]
fn no_json_behind_a_prefix() {
    // An Avro string of seventeen bytes begins like a JSON string: its length is spelled as a quote.
    for bytes in [
        b"\x22seventeen letters".as_slice(),
        b"\x02\x06abc",
        // Protobuf: which message it is comes first, here the first one of its file and one within another.
        b"\x00\x0a\x03abc",
        b"\x04\x02\x00\x0a\x03abc",
        b"{\"a\": 1",
        b"{} {}",
        b"",
        b"\xff",
        &prefixed(b"{}"),
        &glued(0, b"{}"),
    ] {
        check(Some(&prefixed(bytes)), None, CONFLUENT);
        check(Some(&prefixed(bytes)), Some("JSON"), CONFLUENT);
        check(Some(&glued(0, bytes)), None, GLUE);
        check(Some(&glued(0, bytes)), Some("JSON"), GLUE);
    }
}

#[test]
fn json_behind_the_header_of_glue() {
    for text in ["{\"a\": [1, null]}", "\"MD-22-0001\"", " null\n", "0", "[]"] {
        check(Some(&glued(0, text.as_bytes())), None, Ok(Some(text)));
        check(Some(&glued(0, text.as_bytes())), Some("AVRO"), Ok(Some(text)));
        // What says that it is compressed is not read as if it were not.
        check(Some(&glued(5, text.as_bytes())), None, COMPRESSED);
        check(Some(&glued(5, text.as_bytes())), Some("JSON"), COMPRESSED);
    }
    check(Some(&glued(5, b"x\x9c\xabV\n\x0eq\x0cq")), Some("AVRO"), COMPRESSED);
    check(Some(&glued(5, b"")), None, COMPRESSED);
}

#[test]
fn what_is_no_header_of_glue() {
    let is_given = |bytes: &str| check(Some(bytes.as_bytes()), None, Ok(Some(bytes)));
    // One byte of the schema version's identifier is missing.
    is_given("\u{3}\0schema version{");
    is_given("\u{3}\u{5}schema version{");
    is_given("\u{3}");
    // Neither compressed nor not.
    is_given("\u{3}\u{1}schema version's{}");
    is_given("\u{2}\0schema version's{}");
}

#[test]
fn metadata_of_binary_formats() {
    for format in ["AVRO", "PROTOBUF"] {
        check(None, Some(format), Ok(None));
        check(Some(b"{\"a\": 1}"), Some(format), Ok(Some("{\"a\": 1}")));
        check(Some(b"\x02\x06abc"), Some(format), METADATA);
        // An empty message of Protobuf has no bytes, and must not be taken for an empty value.
        check(Some(b""), Some(format), METADATA);
    }
}

#[test]
fn the_error_names_the_setting() {
    let event = br#"[{"eventSource": "aws:kafka", "topic": "t", "partition": 0, "offset": 1, "key": "AAAAAAEGYWJj"}]"#;
    let event = Event::read(event).unwrap();
    let error = event.records[0].decode().unwrap().json_key().unwrap_err();
    let expected = "record at t-0 offset 1: `key` begins like a Confluent header (a zero byte and a \
        schema id), and is not JSON: if it is Avro or Protobuf, set `EventRecordFormat: JSON` in the \
        schema registry configuration of the event source mapping; otherwise have its producer write \
        JSON";
    assert_eq!(error.to_string(), expected);
}
