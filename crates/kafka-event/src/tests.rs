//! The reader's tables, its properties, and the reference that it is compared with.
#![expect(
    clippy::needless_raw_string_hashes,
    reason = "expect-test writes its snapshots with hashes, whether they need them or not"
)]

// Whole payloads: shapes, sources, order, coordinates.
mod events;

// One record at a time: what each field accepts, and what its errors say.
mod records;

// JSON behind schema identifiers and schema metadata.
mod schemas;

// Events made of parts, for the two modules below.
mod generated;

// What holds for every event, and for bytes that are hardly one.
mod properties;

// The same events read by `aws_lambda_events`.
mod reference;

// The sample events of the workspace.
mod samples;

use std::{collections::BTreeMap, error::Error as _, fmt::Write as _};

use crate::{Event, EventError, Header, Record, RecordError};

/// The whole event in a short notation, a line for each partition and record; a record has its place in the event.
fn show(payload: &str) -> String {
    let event = match Event::read(payload.as_bytes()) {
        Ok(event) => event,
        Err(error) => return show_event_error(&error),
    };
    let mut text = format!("{:?}, {} records\n", event.source, event.records.len());
    let mut partitions: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (index, record) in event.records.iter().enumerate() {
        partitions.entry((record.topic(), record.partition())).or_default().push((index, record));
    }
    for ((topic, partition), records) in partitions {
        writeln!(text, "{topic} {partition}").unwrap();
        for (index, record) in records {
            let (offset, shown) = (record.offset(), show_record(&record.decode()));
            writeln!(text, "  [{index}] {offset}: {shown}").unwrap();
        }
    }
    text
}

fn show_event_error(error: &EventError) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}\n"),
        None => format!("{error}\n"),
    }
}

fn show_record(record: &Result<Record<'_>, RecordError>) -> String {
    let record = match record {
        Ok(record) => record,
        Err(error) => return format!("{}, {error}", error.code()),
    };
    let mut text =
        format!("{} -> {}", show_bytes(record.key.as_deref()), show_bytes(record.value.as_deref()));
    write!(text, " at {}", record.timestamp).unwrap();
    if let Some(timestamp_type) = &record.timestamp_type {
        write!(text, " {timestamp_type}").unwrap();
    }
    for Header { name, value } in &record.headers {
        write!(text, ", {name}={}", show_bytes(value.as_deref())).unwrap();
    }
    for (name, schema) in [("key", &record.key_schema), ("value", &record.value_schema)] {
        if let Some(schema) = schema {
            let (id, format) = (schema.schema_id.as_deref(), schema.data_format.as_deref());
            write!(text, ", {name} schema {id:?} {format:?}").unwrap();
        }
    }
    if let Some(epoch) = record.epoch {
        write!(text, ", epoch {epoch}").unwrap();
    }
    text
}

fn show_bytes(bytes: Option<&[u8]>) -> String {
    bytes.map_or_else(|| "none".to_owned(), |bytes| format!("\"{}\"", bytes.escape_ascii()))
}
