//! The state that each key must have: a topic's records, folded in the writer's own order.

use std::collections::HashMap;

use dynamo_sink::{
    mutation::Mutation,
    version::{Order, Stamp, Verdict, compare},
};
use kafka_event::Coordinates;

use super::fingerprint::{Fingerprint, Members};

/// What the records so far come to. It grows with the keys, not with the records: a key takes its own bytes and
/// [`State`], some 150 bytes with what the map and the allocator add.
#[derive(Debug)]
pub struct Expected {
    pub order: Order,
    pub topic: String,
    pub epoch: u64,
    pub states: HashMap<Box<str>, State>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    source_time: i64,
    offset: i64,
    pub timestamp: i64,
    /// Of the item to stand there; none for a delete.
    pub contents: Option<Fingerprint>,
    partition: i32,
    /// Whether records of the key lie on several partitions, whose order is that of Kafka's timestamps.
    pub has_moved: bool,
    pub item_was_found: bool,
    pub tombstone_was_found: bool,
}

impl Expected {
    /// Takes the next record: of those of one key the newest remains.
    pub fn fold(&mut self, mutation: Mutation) {
        let Mutation { key, stamp, source_time, item } = mutation;
        let mut has_moved = false;
        if let Some(&standing) = self.states.get(key.as_str()) {
            let comparison = compare(self.order, &self.stamp(&standing, self.epoch), &stamp);
            has_moved = standing.has_moved || comparison.conflict;
            if comparison.verdict != Verdict::Next {
                self.states.insert(key.into_boxed_str(), State { has_moved, ..standing });
                return;
            }
        }
        let contents = item.map(|item| {
            // An item that cannot be read back equals none, so that it shows as different.
            Members::mapped(&item).map_or([0; _], |it| it.fingerprint(item.shape().as_str()))
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
    pub fn stamp(&self, state: &State, epoch: u64) -> Stamp {
        let State { source_time, partition, offset, timestamp, .. } = *state;
        let coordinates = Coordinates { topic: self.topic.as_str().into(), partition, offset };
        Stamp::new(self.order, epoch, source_time, coordinates, timestamp)
    }
}

impl State {
    pub fn is_delete(&self) -> bool {
        self.contents.is_none()
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
