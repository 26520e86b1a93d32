//! The conditions of single-item calls and of transactions' actions. Statements say theirs in their own text.

use super::{List, number_value, string_value};
use crate::{
    item::json_string,
    order::{version::Stamp, write::Seen},
};

/// A condition expression with its names and values.
#[derive(Default)]
pub(super) struct Condition {
    pub(super) expression: String,
    names: Vec<(&'static str, &'static str)>,
    values: Vec<(&'static str, Vec<u8>)>,
}

impl Condition {
    fn new(expression: &str) -> Self {
        Self { expression: expression.to_owned(), ..Self::default() }
    }

    pub(super) fn absent() -> Self {
        let mut condition = Self::new("attribute_not_exists(#pk)");
        condition.name("#pk", "PK");
        condition
    }

    pub(super) fn or_absent(mut self) -> Self {
        self.expression = format!("attribute_not_exists(#pk) OR ({})", self.expression);
        self.name("#pk", "PK");
        self
    }

    /// All members of `_sink` are compared, since two lineages can have equal versions; one by one, so that a member
    /// which a later release added is no obstacle after a roll-back.
    pub(super) fn item_is(seen: &Seen) -> Self {
        match seen {
            Seen::Unstamped => {
                let mut condition =
                    Self::new("attribute_exists(#pk) AND attribute_not_exists(#sink)");
                condition.name("#pk", "PK");
                condition.name("#sink", "_sink");
                condition
            }
            Seen::Stamped(sink) => {
                let mut condition = Self::stamp_is("#sink.", &sink.stamp);
                condition.expression.push_str(" AND #sink.#shape = :shape");
                condition.name("#sink", "_sink");
                condition.name("#shape", "shape");
                condition.value(":shape", |out| string_value(&sink.shape, out));
                condition
            }
        }
    }

    pub(super) fn tombstone_is(seen: &Stamp) -> Self {
        Self::stamp_is("", seen)
    }

    /// The members at `path` are those of `stamp`.
    fn stamp_is(path: &str, stamp: &Stamp) -> Self {
        let mut condition = Self::new(&format!(
            "{path}#version = :version AND {path}#topic = :topic AND {path}#partition = :partition \
             AND {path}#offset = :offset AND {path}#timestamp = :timestamp"
        ));
        for (placeholder, name) in [
            ("#version", "version"),
            ("#topic", "topic"),
            ("#partition", "partition"),
            ("#offset", "offset"),
            ("#timestamp", "timestamp"),
        ] {
            condition.name(placeholder, name);
        }
        condition.value(":version", |out| string_value(&stamp.version, out));
        condition.value(":topic", |out| string_value(&stamp.topic, out));
        condition.value(":partition", |out| number_value(stamp.partition.into(), out));
        condition.value(":offset", |out| number_value(stamp.offset, out));
        condition.value(":timestamp", |out| number_value(stamp.timestamp, out));
        condition
    }

    pub(super) fn name(&mut self, placeholder: &'static str, name: &'static str) {
        self.names.push((placeholder, name));
    }

    pub(super) fn value(&mut self, placeholder: &'static str, write: impl FnOnce(&mut Vec<u8>)) {
        let mut value = Vec::new();
        write(&mut value);
        self.values.push((placeholder, value));
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b",\"ConditionExpression\":");
        json_string(&self.expression, out);
        out.extend_from_slice(b",\"ExpressionAttributeNames\":{");
        let mut names = List::new(out);
        for (placeholder, name) in &self.names {
            names.push(|out| {
                out.extend_from_slice(format!("\"{placeholder}\":\"{name}\"").as_bytes());
            });
        }
        out.push(b'}');
        if !self.values.is_empty() {
            out.extend_from_slice(b",\"ExpressionAttributeValues\":{");
            let mut values = List::new(out);
            for (placeholder, value) in &self.values {
                values.push(|out| {
                    out.extend_from_slice(format!("\"{placeholder}\":").as_bytes());
                    out.extend_from_slice(value);
                });
            }
            out.push(b'}');
        }
        out.extend_from_slice(b",\"ReturnValuesOnConditionCheckFailure\":\"ALL_OLD\"");
    }
}
