//! The state that each key must have: a topic's records, folded in the writer's own order.

use std::collections::HashMap;

use dynamo_sink::{
    mutation::Mutation,
    version::{Order, Stamp, Verdict, compare},
};
use kafka_event::Coordinates;

use super::fingerprint::{Fingerprint, attributes_of, fingerprint};

/// What the records so far come to. It grows with the keys, not with the records: a key takes its own bytes and
/// [`State`], some 150 bytes with what the map and the allocator add.
#[derive(Debug)]
pub(super) struct Expected {
    order: Order,
    topic: String,
    epoch: u64,
    states: HashMap<Box<str>, State>,
}

/// The last state of a key, and what was found of it in the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State {
    source_time: i64,
    offset: i64,
    timestamp: i64,
    /// Of the item to stand there; none for a delete.
    pub(super) contents: Option<Fingerprint>,
    partition: i32,
    /// Whether records of the key lie on several partitions.
    has_moved: bool,
    pub(super) item_was_found: bool,
    pub(super) tombstone_was_found: bool,
}

impl Expected {
    /// The states before the first record.
    pub(super) fn new(order: Order, topic: &str, epoch: u64) -> Self {
        Self { order, topic: topic.to_owned(), epoch, states: HashMap::new() }
    }

    /// Takes the next record: of those of one key the newest remains.
    pub(super) fn fold(&mut self, mutation: Mutation) {
        let Mutation { key, stamp, source_time, item } = mutation;
        let standing = self.states.get_mut(key.as_str());
        let mut has_moved = false;
        if let Some(state) = standing {
            let stored = state.stamp(self.order, &self.topic, self.epoch);
            let comparison = compare(self.order, &stored, &stamp);
            has_moved = state.has_moved || comparison.conflict;
            state.has_moved = has_moved;
            if comparison.verdict != Verdict::Next {
                return;
            }
        }
        let contents = item.map(|item| {
            let attributes = attributes_of(&item);
            // An item that cannot be read back equals none, so that it shows as different.
            attributes.map_or([0; _], |it| fingerprint(&it, item.shape().as_str()))
        });
        let state = State {
            source_time,
            offset: stamp.offset,
            timestamp: stamp.timestamp,
            contents,
            partition: stamp.partition,
            has_moved,
            item_was_found: false,
            tombstone_was_found: false,
        };
        self.states.insert(key.into_boxed_str(), state);
    }

    /// The stamp of a state, as an item that was written in `epoch` carries it.
    pub(super) fn stamp(&self, state: &State, epoch: u64) -> Stamp {
        state.stamp(self.order, &self.topic, epoch)
    }

    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut State> {
        self.states.get_mut(key)
    }

    /// All keys with their states, in no order.
    pub(super) fn states(&self) -> impl Iterator<Item = (&str, &State)> {
        self.states.iter().map(|(key, state)| (&**key, state))
    }

    pub(super) fn order(&self) -> Order {
        self.order
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(super) fn topic(&self) -> &str {
        &self.topic
    }

    /// Keys with records.
    pub(super) fn len(&self) -> usize {
        self.states.len()
    }

    /// Keys whose last record is a delete.
    pub(super) fn deleted(&self) -> usize {
        self.states.values().filter(|state| state.is_delete()).count()
    }

    /// Keys of a keyed sink with records on several partitions, whose order is that of Kafka's timestamps.
    pub(super) fn moved(&self) -> usize {
        self.states.values().filter(|state| state.has_moved).count()
    }
}

impl State {
    pub(super) fn is_delete(&self) -> bool {
        self.contents.is_none()
    }

    fn stamp(&self, order: Order, topic: &str, epoch: u64) -> Stamp {
        let Self { source_time, partition, offset, timestamp, .. } = *self;
        let coordinates = Coordinates { topic: topic.into(), partition, offset };
        Stamp::new(order, epoch, source_time, coordinates, timestamp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_takes_few_bytes() {
        // The map keeps at least 7 in 16 of its slots filled, each with one byte more.
        let slot = size_of::<(Box<str>, State)>() + 1;
        assert!(slot * 16 / 7 < 170, "{slot}");
    }
}
