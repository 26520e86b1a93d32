//! Any bytes as an event: what is read stands in the payload, and another reader agrees.

use kafka_event::{Event, raw_records};
use serde_json::Value;

/// Panics where something does not hold.
pub(crate) fn check(payload: &[u8]) {
    if let Ok(event) = Event::read(payload) {
        check_contents(payload, &event);
    }
    let Ok(value) = serde_json::from_slice::<Value>(payload) else { return };
    // Written anew, no name stands twice: a value keeps the last of several, an event all of them.
    let normal = value.to_string();
    let read = Event::read(normal.as_bytes());
    let coordinates = read.as_ref().ok().map(|event| {
        let coordinates = |record: &kafka_event::EncodedRecord<'_>| {
            (record.topic().to_owned(), record.partition(), record.offset())
        };
        event.records.iter().map(coordinates).collect::<Vec<_>>()
    });
    assert_eq!(coordinates, reference(&value), "{read:?}");
}

fn check_contents(payload: &[u8], event: &Event<'_>) {
    let raw = raw_records(payload).unwrap();
    assert_eq!(raw.len(), event.records.len());
    for (record, text) in event.records.iter().zip(raw) {
        assert!(record.partition() >= 0 && record.offset() >= 0);
        assert!(payload.as_ptr_range().contains(&text.as_ptr()));

        // A record says the same alone.
        let alone = format!(r#"{{"eventSource":"aws:kafka","records":{{"":[{text}]}}}}"#);
        let alone = Event::read(alone.as_bytes()).unwrap();
        let again = &alone.records[0];
        assert_eq!((again.topic(), again.offset()), (record.topic(), record.offset()));
        assert_eq!(again.decode(), record.decode());
    }
}

/// The records' coordinates in their order; none where the value is no event.
fn reference(value: &Value) -> Option<Vec<(String, i32, i64)>> {
    if let Value::Array(records) = value {
        let source = source(records.first()?)?;
        let is_one_cluster = records.iter().all(|record| self::source(record) == Some(source));
        return if is_one_cluster { records.iter().map(coordinates).collect() } else { None };
    }
    source(value)?;
    let partitions = value.get("records")?.as_object()?.values();
    let records = partitions.map(Value::as_array).collect::<Option<Vec<_>>>()?;
    records.into_iter().flatten().map(coordinates).collect()
}

/// Whether the cluster is Amazon's; none where it is no cluster.
fn source(value: &Value) -> Option<bool> {
    match value.get("eventSource")?.as_str()? {
        "aws:kafka" => Some(true),
        "SelfManagedKafka" | "aws:SelfManagedKafka" => Some(false),
        _ => None,
    }
}

fn coordinates(record: &Value) -> Option<(String, i32, i64)> {
    let number = |name| record.get(name).and_then(Value::as_u64);
    let topic = record.get("topic")?.as_str().filter(|topic| !topic.is_empty())?;
    let partition = i32::try_from(number("partition")?).ok()?;
    Some((topic.to_owned(), partition, i64::try_from(number("offset")?).ok()?))
}
