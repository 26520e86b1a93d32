//! Reads the Kafka events that AWS Lambda delivers, record by record.
//!
//! An event is read once and borrowed from its payload. A record stays encoded until it is asked
//! for, and whatever is wrong with it is its own error with its own coordinates: one malformed
//! record never fails the others of its batch.
//!
//! ```
//! use kafka_event::Event;
//!
//! let payload = br#"{
//!     "eventSource": "SelfManagedKafka",
//!     "records": {"plans-0": [
//!         {"topic": "plans", "partition": 0, "offset": 7, "key": "IkEi", "value": "eyJuIjoxfQ=="},
//!         {"topic": "plans", "partition": 0, "offset": 8, "key": "IkEi"},
//!         {"topic": "plans", "partition": 0, "offset": 9, "key": "IkEi", "value": "not base64"}
//!     ]}
//! }"#;
//!
//! let event = Event::read(payload)?;
//! assert_eq!(event.records.len(), 3);
//!
//! let records = &event.records;
//! assert_eq!(records[0].decode()?.json_value()?, Some(br#"{"n":1}"#.as_slice()));
//! assert_eq!(records[1].decode()?.value, None);
//!
//! let error = records[2].decode().unwrap_err();
//! assert_eq!((error.coordinates.offset, error.code()), (9, "INVALID_BASE64_VALUE"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is read
//!
//! - The object that an event source mapping sends, from a self-managed cluster or from Amazon MSK,
//!   and the array of flat records that an `EventBridge` pipe sends from either. Keys of the
//!   `records` object are never parsed: topics may contain dashes.
//! - An absent field and a null one are the same. Unknown fields are ignored. Of a field that a
//!   record has twice, the last counts.
//! - A record whose topic, partition or offset cannot be used fails the event, because nobody could
//!   report, store or retry it. Everything else that is wrong with a record is a [`RecordError`],
//!   or is no error at all where the field is only informative (timestamps and their type, schema
//!   metadata).
//!
//! # What is not done
//!
//! No input or output, and no judgement of what a record means: the text behind
//! [`Record::json_value`] is not parsed here, except to tell JSON from Avro and Protobuf when
//! something says that a schema was involved.

mod event;

mod coordinates;
mod encoded_record;

mod record;

mod error;

// The private half: what the JSON says before anything is judged.
mod wire;

#[cfg(test)]
mod tests;

pub use coordinates::Coordinates;
pub use encoded_record::EncodedRecord;
pub use error::{
    EventError, FoundSource, JsonType, PayloadField, RecordError, RecordErrorKind, SchemaMark,
};
pub use event::{Event, EventSource, raw_records};
pub use record::{Header, Record, SchemaMetadata};
