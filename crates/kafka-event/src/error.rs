//! What can be wrong with an event as a whole, and with one record.

use std::{fmt, str::Utf8Error};

use crate::coordinates::Coordinates;

/// Why a payload cannot be read as a Kafka event.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// Occurs when the payload is no text in the encoding of JSON.
    #[error("the payload is not UTF-8")]
    NotUtf8(#[source] Utf8Error),
    /// Occurs when the payload is no JSON text.
    #[error("the payload is not JSON")]
    NotJson(#[source] serde_json::Error),
    /// Occurs when the payload is JSON, but neither an object nor an array.
    #[error(
        "no Kafka event: the payload is {found}, accepted are an event source \
         mapping's object and a pipe's array of records"
    )]
    NotAnEvent {
        /// What the payload is.
        found: JsonType,
    },
    /// Occurs when the event does not say that it comes from Kafka.
    #[error(
        "no Kafka event: `eventSource` is {found}{}, accepted are `SelfManagedKafka` and \
         `aws:kafka`",
        if *.holds_capital_records { " beside another service's `Records`" } else { "" }
    )]
    UnknownSource {
        /// What stands in its place.
        found: FoundSource,
        /// Whether the event has the member that other services put their records in.
        holds_capital_records: bool,
    },
    /// Occurs when a record of a pipe does not say that it comes from Kafka.
    #[error(
        "no Kafka event: `eventSource` of record {index} is {found}, accepted are \
         `SelfManagedKafka` and `aws:kafka`"
    )]
    UnknownRecordSource {
        /// The record's place in the event, from 0.
        index: usize,
        /// What stands in its place.
        found: FoundSource,
    },
    /// Occurs when the records of a pipe come from different kinds of clusters.
    #[error("`eventSource` of record {index} is not that of the records before it")]
    MixedSources {
        /// The place of the first record that differs, from 0.
        index: usize,
    },
    /// Occurs when a payload is an array without records, which no pipe sends.
    #[error("no Kafka event: the payload is an empty array, a pipe sends at least one record")]
    EmptyArray,
    /// Occurs when an event has no `records`, or null.
    #[error(
        "the event has no `records`, accepted is an object with an array of records for \
         each partition"
    )]
    NoRecords,
    /// Occurs when `records` is something else than an object.
    #[error(
        "`records` is {found}, accepted is an object with an array of records for each partition"
    )]
    RecordsNotAnObject {
        /// What `records` is.
        found: JsonType,
    },
    /// Occurs when a member of `records` is something else than an array.
    #[error("a member of `records` is {found}, accepted is an array of records")]
    PartitionNotAnArray {
        /// What the member is.
        found: JsonType,
    },
    /// Occurs when a record is something else than an object.
    #[error("record {index} of the event is {found}, accepted is an object")]
    RecordNotAnObject {
        /// The record's place in the event, from 0.
        index: usize,
        /// What the record is.
        found: JsonType,
    },
    /// Occurs when a record cannot be addressed, so that it could neither be reported nor stored
    /// nor retried.
    #[error("record {index} of the event has no usable `{field}`, accepted is {accepted}")]
    UnusableCoordinate {
        /// The record's place in the event, from 0.
        index: usize,
        /// The name of the coordinate.
        field: &'static str,
        /// What would have been usable.
        accepted: &'static str,
    },
}

/// What stands where the name of an event's source should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FoundSource {
    /// The member is absent or null.
    Absent,
    /// The member is no string.
    OtherType(JsonType),
    /// The name of another source.
    Named(String),
    /// A text that does not look like a source's name, and might be data.
    OtherText,
}

/// The type of a JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonType {
    /// `null`
    Null,
    /// `true` or `false`
    Boolean,
    /// A number.
    Number,
    /// A string.
    String,
    /// An array.
    Array,
    /// An object.
    Object,
    /// A number or a string that JSON's grammar allows and nobody can hold, such as `1e999` or half
    /// of a surrogate pair.
    Unreadable,
}

/// Why one record cannot be decoded, with the coordinates that find it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("record at {coordinates}: {kind}")]
pub struct RecordError {
    /// Where it stands.
    pub coordinates: Coordinates<'static>,
    /// What is wrong with it.
    pub kind: RecordErrorKind,
}

/// What is wrong with a record. The messages show positions and types, never data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordErrorKind {
    /// Occurs when the key or the value is neither a string nor null.
    #[error("`{field}` is {found}, accepted is a base64 string")]
    NotAString {
        /// Which of the two.
        field: PayloadField,
        /// What it is.
        found: JsonType,
    },
    /// Occurs when the key or the value is a string, but not of standard base64.
    #[error("`{field}` is not valid base64 at byte {position} of its text")]
    InvalidBase64 {
        /// Which of the two.
        field: PayloadField,
        /// Where decoding failed; the text's length where something is missing at its end.
        position: usize,
    },
    /// Occurs when the headers are something else than an array.
    #[error("`headers` is {found}, accepted is an array of objects")]
    HeadersNotAnArray {
        /// What they are.
        found: JsonType,
    },
    /// Occurs when a header is something else than an object of byte arrays.
    #[error("header {index} is not an object of arrays of bytes from -128 to 255")]
    MalformedHeader {
        /// The header's place in the record, from 0.
        index: usize,
    },
    /// Occurs when the epoch of a redriven record is something else than an integer from 0.
    #[error("`epoch` is {found}, accepted is a whole number of 64 bits, not negative")]
    InvalidEpoch {
        /// What it is.
        found: JsonType,
    },
    /// Occurs when a key or value was written with a schema and is no JSON.
    #[error("`{field}` {mark}")]
    SchemaEncoded {
        /// Which of the two.
        field: PayloadField,
        /// What says that there is a schema.
        mark: SchemaMark,
    },
}

/// What says of a key or value that it was written with a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaMark {
    /// The header of Confluent's serializers: a zero byte and the schema's identifier in four, which
    /// is not 0.
    Confluent,
    /// The header of AWS Glue's serializers: a byte of 3, one of 0, and the identifier of the
    /// schema's version in 16.
    Glue,
    /// The same header with 5 as its second byte: what follows is compressed.
    GlueCompressed,
    /// What the event source mapping says of the record.
    Metadata,
}

/// The two fields of a record that carry the producer's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadField {
    /// The record's key.
    Key,
    /// The record's value.
    Value,
}

impl RecordError {
    /// The reason as a code that never changes.
    pub fn code(&self) -> &'static str {
        self.kind.code()
    }
}

impl RecordErrorKind {
    /// The reason as a code that never changes.
    pub fn code(&self) -> &'static str {
        use PayloadField::{Key, Value};

        match self {
            Self::NotAString { field: Key, .. } => "KEY_NOT_A_STRING",
            Self::NotAString { field: Value, .. } => "VALUE_NOT_A_STRING",
            Self::InvalidBase64 { field: Key, .. } => "INVALID_BASE64_KEY",
            Self::InvalidBase64 { field: Value, .. } => "INVALID_BASE64_VALUE",
            Self::HeadersNotAnArray { .. } | Self::MalformedHeader { .. } => "MALFORMED_HEADERS",
            Self::InvalidEpoch { .. } => "INVALID_EPOCH",
            Self::SchemaEncoded { field: Key, .. } => "SCHEMA_ENCODED_KEY",
            Self::SchemaEncoded { field: Value, .. } => "SCHEMA_ENCODED_VALUE",
        }
    }
}

impl FoundSource {
    /// Keeps a name only where it looks like a service's, so that a stray text of data is not
    /// repeated in a log.
    pub(crate) fn named(name: &str) -> Self {
        let looks_like_a_service = name.len() <= 40
            && name.starts_with("aws:")
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":-".contains(&byte));
        if looks_like_a_service { Self::Named(name.to_owned()) } else { Self::OtherText }
    }
}

impl fmt::Display for FoundSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("absent"),
            Self::OtherType(found) => found.fmt(f),
            Self::Named(name) => write!(f, "`{name}`"),
            Self::OtherText => f.write_str("another text"),
        }
    }
}

impl fmt::Display for JsonType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "null",
            Self::Boolean => "a boolean",
            Self::Number => "a number",
            Self::String => "a string",
            Self::Array => "an array",
            Self::Object => "an object",
            Self::Unreadable => "a value that cannot be read",
        })
    }
}

impl fmt::Display for SchemaMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = match self {
            Self::Confluent => "begins like a Confluent header (a zero byte and a schema id)",
            Self::Glue => "begins with an AWS Glue header",
            Self::GlueCompressed => {
                return f.write_str(
                    "is compressed, as its AWS Glue header says: set `compression` to `NONE` in its \
                     producer",
                );
            }
            Self::Metadata => "was written with a schema, as the event says",
        };
        write!(
            f,
            "{found}, and is not JSON: if it is Avro or Protobuf, set `EventRecordFormat: JSON` in \
             the schema registry configuration of the event source mapping; otherwise have its \
             producer write JSON"
        )
    }
}

impl fmt::Display for PayloadField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key => "key",
            Self::Value => "value",
        })
    }
}
