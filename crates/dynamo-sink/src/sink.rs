//! What a sink's own crate provides: a mapping from a record to a write.

use kafka_event::{Record, RecordError};

use crate::{
    item::{Item, ItemError},
    order::version::Order,
    settings::Settings,
};

/// A sink: where its records come from, what orders them, and what each one writes.
#[derive(Clone, Copy, Debug)]
pub struct Sink {
    /// The function's name, such as `sinkSeatoolData`.
    pub name: &'static str,
    /// The topic, unless the setting [`crate::settings::KAFKA_TOPIC`] names another.
    pub topic: &'static str,
    /// What orders the records of one key.
    pub order: Order,
    /// Whether records can delete items, so that tombstones are kept and checked.
    pub deletes: bool,
    /// Whether Kafka Connect's JSON converter makes its values, so that the mapping asks
    /// [`Settings::keep_connect_schema`] what to do with their `schema`.
    pub has_connect_schema: bool,
    /// The mapping. It is pure: the same record gives the same write.
    pub map: fn(&Record<'_>, &Settings) -> Result<Mapped, Rejection>,
}

/// What a record writes.
#[derive(Debug)]
pub enum Mapped {
    /// Put an item.
    Put {
        /// Becomes `PK` and `SK`.
        key: String,
        /// The other members.
        item: Item,
        /// When the source changed the row, in its own unit from its own zero, so that it may be negative; 0 where it
        /// is unknown or the sink is ordered by offset.
        source_time: i64,
    },
    /// Delete the item. In a sink whose [`Sink::deletes`] is not set this is a rejection.
    Delete {
        /// The item's `PK` and `SK`.
        key: String,
    },
}

/// Why a record cannot be written: it goes to the quarantine with this.
///
/// Neither the code nor the message holds any of the record's data, since both are logged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Rejection {
    /// A stable name for the kind of defect, such as `MISSING_KEY`.
    pub code: &'static str,
    /// What is wrong, in words.
    pub message: String,
}

impl Rejection {
    /// A rejection with this code and message.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl From<RecordError> for Rejection {
    fn from(error: RecordError) -> Self {
        Self::new(error.code(), error.kind.to_string())
    }
}

impl From<ItemError> for Rejection {
    fn from(error: ItemError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}
