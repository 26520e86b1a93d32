//! What an item or a tombstone says of the state that it holds, read from its attributes.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

use super::{
    version::Stamp,
    write::{Seen, Sink},
};

/// An item or a tombstone as DynamoDB answers it.
pub type Attributes = HashMap<String, AttributeValue>;

/// The attributes that say which state an item or a tombstone holds; the last ones are a tombstone's own.
pub(crate) const STATE_ATTRIBUTES: [&str; 7] =
    ["_sink", "version", "topic", "partition", "offset", "timestamp", "shape"];

/// What stands in a table was not written by this sink, and cannot be compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} was not written by this sink and cannot be compared")]
pub struct Foreign(pub(crate) &'static str);

/// The state of an item. One whose `_sink` is none of ours is a fault of the system, not of a record.
pub fn item_state(item: &Attributes) -> Result<Seen, Foreign> {
    let Some(sink) = item.get("_sink") else { return Ok(Seen::Unstamped) };
    let sink = sink.as_m().ok().and_then(|map| {
        let shape = map.get("shape")?.as_s().ok()?.clone();
        Some(Sink { stamp: stamp(map)?, shape })
    });
    sink.map(Seen::Stamped).ok_or(Foreign("an item's `_sink`"))
}

/// The stamp of a tombstone.
pub fn tombstone_stamp(tombstone: &Attributes) -> Result<Stamp, Foreign> {
    stamp(tombstone).ok_or(Foreign("a tombstone"))
}

fn stamp(attributes: &Attributes) -> Option<Stamp> {
    let text = |name| attributes.get(name)?.as_s().ok().cloned();
    let number = |name| attributes.get(name)?.as_n().ok()?.parse::<i64>().ok();
    Some(Stamp {
        version: text("version")?,
        topic: text("topic")?,
        partition: number("partition")?.try_into().ok()?,
        offset: number("offset")?,
        timestamp: number("timestamp")?,
    })
}
