//! Any text as a record of an event: decoding it agrees with a plain one that shares no code.

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use kafka_event::{Event, Record};
use serde_json::Value;

/// What a record decodes to: key, value and headers, or the code of what is wrong.
type Decoded = Result<(Bytes, Bytes, Vec<(String, Bytes)>), &'static str>;
type Bytes = Option<Vec<u8>>;

/// Panics where something does not hold.
pub(crate) fn check(text: &[u8]) {
    let event = [br#"{"eventSource":"aws:kafka","records":{"t-0":["#, text, b"]}}"].concat();
    if let Ok(event) = Event::read(&event) {
        for record in &event.records {
            if let Ok(decoded) = record.decode() {
                assert_eq!((decoded.offset, decoded.epoch), (record.offset(), record.epoch()));
                let _ = (decoded.json_key(), decoded.json_value());
            }
        }
    }

    // With coordinates that can be used, so that the rest is always looked at.
    let Ok(Value::Object(mut members)) = serde_json::from_slice(text) else { return };
    members.insert("topic".to_owned(), "t".into());
    members.insert("partition".to_owned(), 0.into());
    members.insert("offset".to_owned(), 7.into());
    let members = Value::Object(members);
    let event = format!(r#"{{"eventSource":"aws:kafka","records":{{"t-0":[{members}]}}}}"#);
    let event = Event::read(event.as_bytes()).unwrap();
    let record = &event.records[0];
    assert_eq!(record.timestamp(), timestamp(&members["timestamp"]));
    let decoded = record.decode();
    if let Ok(record) = &decoded {
        check_json(record.json_key(), record.key.as_deref(), &members["keySchemaMetadata"]);
        check_json(record.json_value(), record.value.as_deref(), &members["valueSchemaMetadata"]);
        assert_eq!(record.timestamp_type.as_deref(), members["timestampType"].as_str());
        assert_eq!(record.epoch, members["epoch"].as_u64());
    }
    assert_eq!(decoded.map(parts).map_err(|error| error.code()), reference(&members));
}

fn parts(record: Record<'_>) -> (Bytes, Bytes, Vec<(String, Bytes)>) {
    let headers = record.headers.into_iter().map(|it| (it.name.into_owned(), it.value));
    (record.key, record.value, headers.collect())
}

fn reference(record: &Value) -> Decoded {
    if !(record["epoch"].is_null() || record["epoch"].is_u64()) {
        return Err("INVALID_EPOCH");
    }
    let key = bytes(&record["key"], "KEY_NOT_A_STRING", "INVALID_BASE64_KEY")?;
    let value = bytes(&record["value"], "VALUE_NOT_A_STRING", "INVALID_BASE64_VALUE")?;
    let headers = headers(&record["headers"]).ok_or("MALFORMED_HEADERS")?;
    Ok((key, value, headers))
}

fn bytes(
    value: &Value,
    not_a_string: &'static str,
    invalid: &'static str,
) -> Result<Bytes, &'static str> {
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    match value {
        Value::Null => Ok(None),
        Value::String(text) => {
            let bytes = GeneralPurpose::new(&alphabet::STANDARD, config).decode(text);
            bytes.map(Some).map_err(|_| invalid)
        }
        _ => Err(not_a_string),
    }
}

fn headers(value: &Value) -> Option<Vec<(String, Bytes)>> {
    let mut headers = Vec::new();
    let elements = if value.is_null() { &Vec::new() } else { value.as_array()? };
    for element in elements {
        for (name, value) in element.as_object()? {
            let bytes = if value.is_null() {
                None
            } else {
                Some(value.as_array()?.iter().map(byte).collect::<Option<Vec<_>>>()?)
            };
            headers.push((name.clone(), bytes));
        }
    }
    Some(headers)
}

fn byte(value: &Value) -> Option<u8> {
    let number = value.as_i64().filter(|number| (-128..256).contains(number))?;
    u8::try_from(number.rem_euclid(256)).ok()
}

fn timestamp(value: &Value) -> i64 {
    match value {
        Value::Number(number) if number.is_f64() => {
            let text = format!("{:.0}", number.as_f64().unwrap().trunc());
            text.parse().unwrap_or(-1)
        }
        Value::Number(number) => number.as_i64().unwrap_or(-1),
        Value::String(text) => text.parse().unwrap_or(-1),
        _ => -1,
    }
}

/// The text behind a schema registry's header, which must be JSON where a schema was involved.
fn check_json(
    found: Result<Option<&[u8]>, kafka_event::RecordError>,
    bytes: Option<&[u8]>,
    schema: &Value,
) {
    let begins = |header: &[u8]| bytes.is_some_and(|bytes| bytes.starts_with(header));
    let has = |n| bytes.is_some_and(|bytes| bytes.len() >= n);
    let is_compressed = begins(&[3, 5]) && has(18);
    let header_bytes = if begins(&[0]) && !begins(&[0; 5]) && has(5) {
        5
    } else if begins(&[3, 0]) && has(18) || is_compressed {
        18
    } else {
        0
    };
    let text = bytes.map(|bytes| &bytes[header_bytes..]);
    let is_binary = matches!(schema["dataFormat"].as_str(), Some("AVRO" | "PROTOBUF"));
    match found {
        Ok(found) => {
            assert_eq!(found, text);
            assert!(!is_compressed);
        }
        Err(error) => {
            assert!(error.code().starts_with("SCHEMA_ENCODED"));
            assert!(header_bytes > 0 || is_binary);
            let is_json = text.is_some_and(|text| serde_json::from_slice::<Value>(text).is_ok());
            assert!(is_compressed || !is_json);
        }
    }
}
