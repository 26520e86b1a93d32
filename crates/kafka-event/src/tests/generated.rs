//! Events made of parts, for the two modules below.

use std::{borrow::Cow, collections::BTreeMap};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use proptest::{collection::vec, option, prelude::*};
use serde_json::{Map, Value, json};

use crate::{Event, Header, Record, SchemaMetadata};

/// What a record of a generated event must be read as.
pub(super) type Expected = Record<'static>;

/// Records of a few partitions, with every field in every state that is no error.
pub(super) fn records() -> impl Strategy<Value = Vec<Expected>> {
    vec(record(), 0..12)
}

/// The object of an event source mapping.
pub(super) fn mapping_event(records: &[Expected]) -> Value {
    let mut partitions: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for record in records {
        let name = format!("{}-{}", record.topic, record.partition);
        partitions.entry(name).or_default().push(members(record).into());
    }
    json!({"eventSource": "SelfManagedKafka", "bootstrapServers": "b-1.example.com:9092", "records": partitions})
}

/// The array of a pipe.
pub(super) fn pipe_event(records: &[Expected]) -> Value {
    let flat = records.iter().map(|record| {
        let mut members = members(record);
        members.insert("eventSource".into(), "aws:kafka".into());
        members.insert(
            "eventSourceKey".into(),
            format!("{}-{}", record.topic, record.partition).into(),
        );
        Value::from(members)
    });
    flat.collect()
}

/// The records by partition; those of one stay in their order.
pub(super) fn sorted<'a>(records: &[Record<'a>]) -> Vec<Record<'a>> {
    let mut records = records.to_vec();
    records.sort_by(|one, other| (&one.topic, one.partition).cmp(&(&other.topic, other.partition)));
    records
}

/// All records of an event, decoded.
pub(super) fn decoded<'a>(event: &Event<'a>) -> Vec<Record<'a>> {
    event.records.iter().map(|it| it.decode().unwrap()).collect()
}

fn record() -> impl Strategy<Value = Expected> {
    let coordinates = ("[a-c.-]{1,3}|é", prop_oneof![0..4, Just(i32::MAX)], 0..=i64::MAX);
    let timestamp = prop_oneof![
        8 => 0..4_102_444_800_000_i64,
        1 => Just(-1),
        1 => any::<i64>(),
    ];
    let timestamp_type = option::of("[A-Z_]{1,15}".prop_map(Cow::Owned));
    let bytes = || option::of(vec(any::<u8>(), 0..200));
    let header = ("[a-c\"\\\\é]{0,2}", option::weighted(0.9, vec(any::<u8>(), 0..8)))
        .prop_map(|(name, value)| Header { name: name.into(), value });
    let schema = || {
        option::weighted(0.2, (option::of("[0-9]{1,3}"), option::of("JSON|AVRO|PROTOBUF")))
            .prop_map(|schema| {
                schema.map(|(id, format)| SchemaMetadata {
                    schema_id: id.map(Cow::Owned),
                    data_format: format.map(Cow::Owned),
                })
            })
    };
    let data = (
        bytes(),
        bytes(),
        vec(header, 0..4),
        schema(),
        schema(),
        option::weighted(0.1, any::<u64>()),
    );
    (coordinates, timestamp, timestamp_type, data).prop_map(
        |(
            (topic, partition, offset),
            timestamp,
            timestamp_type,
            (key, value, headers, key_schema, value_schema, epoch),
        )| {
            Record {
                topic: topic.into(),
                partition,
                offset,
                timestamp,
                timestamp_type,
                key,
                value,
                headers,
                key_schema,
                value_schema,
                epoch,
            }
        },
    )
}

/// The JSON of a record. Where a field can be said in several ways, its offset chooses one, so that all of them come
/// up.
fn members(record: &Expected) -> Map<String, Value> {
    let variant = record.offset % 3;
    let mut members = Map::new();
    let mut insert = |name: &str, value: Value| {
        if variant == 0 || !value.is_null() {
            members.insert(name.to_owned(), value);
        }
    };
    insert("topic", json!(record.topic));
    insert("partition", json!(record.partition));
    insert("offset", json!(record.offset));
    insert(
        "timestamp",
        if record.timestamp == -1 && variant != 1 { Value::Null } else { json!(record.timestamp) },
    );
    insert("timestampType", json!(record.timestamp_type));
    insert("key", json!(record.key.as_ref().map(|key| STANDARD.encode(key))));
    insert("value", json!(record.value.as_ref().map(|value| STANDARD.encode(value))));
    let headers: Vec<Value> =
        record.headers.iter().map(|header| header_json(header, variant == 2)).collect();
    insert(
        "headers",
        if headers.is_empty() && variant != 1 { Value::Null } else { headers.into() },
    );
    insert("keySchemaMetadata", schema_json(record.key_schema.as_ref()));
    insert("valueSchemaMetadata", schema_json(record.value_schema.as_ref()));
    insert("epoch", json!(record.epoch));
    members
}

fn header_json(header: &Header<'_>, unsigned: bool) -> Value {
    let bytes = header.value.as_ref().map(|bytes| {
        let number = |byte: &u8| if unsigned { json!(byte) } else { json!(byte.cast_signed()) };
        bytes.iter().map(number).collect::<Value>()
    });
    json!({ header.name.as_ref(): bytes })
}

fn schema_json(schema: Option<&SchemaMetadata<'_>>) -> Value {
    schema.map_or(
        Value::Null,
        |schema| json!({"schemaId": schema.schema_id, "dataFormat": schema.data_format}),
    )
}
