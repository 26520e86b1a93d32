//! A decoded record.

use std::{borrow::Cow, fmt};

use serde::de::IgnoredAny;

use crate::{
    coordinates::Coordinates,
    error::{PayloadField, RecordError, RecordErrorKind, SchemaMark},
};

/// One record of a Kafka topic, decoded.
#[derive(Clone, PartialEq, Eq)]
pub struct Record<'a> {
    /// The topic that the record came from.
    pub topic: Cow<'a, str>,
    /// The partition of the topic.
    pub partition: i32,
    /// The record's offset in its partition.
    pub offset: i64,
    /// Kafka's timestamp in milliseconds since 1970, or -1 if there is no usable one.
    pub timestamp: i64,
    /// Who set the timestamp, in Kafka's words: `CREATE_TIME` or `LOG_APPEND_TIME`, but any text is
    /// kept.
    pub timestamp_type: Option<Cow<'a, str>>,
    /// The key's bytes; an empty key is not the same as none.
    pub key: Option<Vec<u8>>,
    /// The value's bytes; an empty value is not the same as none.
    pub value: Option<Vec<u8>>,
    /// The headers in their order, repeated names included.
    pub headers: Vec<Header<'a>>,
    /// What a schema registry said of the key.
    pub key_schema: Option<SchemaMetadata<'a>>,
    /// What a schema registry said of the value.
    pub value_schema: Option<SchemaMetadata<'a>>,
    /// The epoch of a record that was redriven from a quarantine; Lambda never sends one.
    pub epoch: Option<u64>,
}

/// One header of a record.
#[derive(Clone, PartialEq, Eq)]
pub struct Header<'a> {
    /// The header's name.
    pub name: Cow<'a, str>,
    /// The header's bytes, or none where the event says null.
    pub value: Option<Vec<u8>>,
}

/// What a schema registry said of a key or a value; an event source mapping that uses one adds it
/// to each record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SchemaMetadata<'a> {
    /// The schema's identifier in the registry.
    pub schema_id: Option<Cow<'a, str>>,
    /// The format that the producer wrote, such as `AVRO`, `JSON` or `PROTOBUF`.
    pub data_format: Option<Cow<'a, str>>,
}

impl Record<'_> {
    /// Where the record stands.
    pub fn coordinates(&self) -> Coordinates<'_> {
        let Self { topic, partition, offset, .. } = self;
        Coordinates { topic: topic.as_ref().into(), partition: *partition, offset: *offset }
    }

    /// The key's JSON text, as [`json_value`](Self::json_value) gives the value's.
    pub fn json_key(&self) -> Result<Option<&[u8]>, RecordError> {
        self.json(PayloadField::Key)
    }

    /// The value's JSON text, without the header that the serializers of Confluent's and of AWS
    /// Glue's schema registry put before it.
    ///
    /// The text is checked to be JSON only where a schema was involved, to tell it from Avro and
    /// Protobuf; those are an error, since only the mapping can turn them into JSON. So is what
    /// Glue's serializer compressed. Otherwise the bytes are given as they are, also empty ones.
    pub fn json_value(&self) -> Result<Option<&[u8]>, RecordError> {
        self.json(PayloadField::Value)
    }

    fn json(&self, field: PayloadField) -> Result<Option<&[u8]>, RecordError> {
        let (bytes, schema) = match field {
            PayloadField::Key => (&self.key, &self.key_schema),
            PayloadField::Value => (&self.value, &self.value_schema),
        };
        let Some(bytes) = bytes else { return Ok(None) };
        let (header, text) = split_header(bytes);
        let is_binary = schema.as_ref().is_some_and(SchemaMetadata::is_binary_format);
        let is_json = || serde_json::from_slice::<IgnoredAny>(text).is_ok();

        match header.or(is_binary.then_some(SchemaMark::Metadata)) {
            Some(mark) if mark == SchemaMark::GlueCompressed || !is_json() => Err(RecordError {
                coordinates: self.coordinates().into_owned(),
                kind: RecordErrorKind::SchemaEncoded { field, mark },
            }),
            Some(_) | None => Ok(Some(text)),
        }
    }
}

/// Takes off the header of a schema registry's serializer, if there is one. No JSON begins as one does.
fn split_header(bytes: &[u8]) -> (Option<SchemaMark>, &[u8]) {
    const GLUE_SCHEMA_ID_BYTES: usize = 16;

    match bytes {
        // Identifiers count from 1. A binary number of eight bytes often begins with five zeros.
        [0, 0, 0, 0, 0, ..] => (None, bytes),
        [0, _, _, _, _, text @ ..] => (Some(SchemaMark::Confluent), text),
        [3, compression @ (0 | 5), rest @ ..] => {
            match rest.split_at_checked(GLUE_SCHEMA_ID_BYTES) {
                Some((_, text)) if *compression == 0 => (Some(SchemaMark::Glue), text),
                Some((_, text)) => (Some(SchemaMark::GlueCompressed), text),
                None => (None, bytes),
            }
        }
        _ => (None, bytes),
    }
}

impl SchemaMetadata<'_> {
    fn is_binary_format(&self) -> bool {
        self.data_format
            .as_ref()
            .is_some_and(|format| matches!(format.as_ref(), "AVRO" | "PROTOBUF"))
    }
}

/// Shows the coordinates only: keys and values must not reach a log.
impl fmt::Debug for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("topic", &self.topic)
            .field("partition", &self.partition)
            .field("offset", &self.offset)
            .field("timestamp", &self.timestamp)
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

/// Shows nothing: headers are data like the value.
impl fmt::Debug for Header<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Header").finish_non_exhaustive()
    }
}
