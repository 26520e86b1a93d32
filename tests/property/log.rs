//! What a topic holds and what must come of it, by means of this test's own.

use std::{collections::BTreeMap, fmt};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use dynamo_sink::sink::Sink;
use proptest::{prelude::*, sample::select};
use serde_json::{Map, Value, json};

use super::delivery::Place;

/// The partitions of each topic. By their text they would be in another order.
pub(super) const PARTITIONS: [i32; 3] = [0, 3, 12];

/// A time, in milliseconds, that Kafka's timestamps lie around.
pub(super) const NOW: i64 = 1_760_000_000_000;

/// A topic with what its records mean, and with what an earlier writer left in the table.
#[derive(Clone, Debug)]
pub(super) struct Log {
    pub(super) sink: Sink,
    /// The keys of items without `_sink`.
    pub(super) earlier: Vec<String>,
    /// The records of each partition, by offset.
    pub(super) partitions: Vec<Vec<Entry>>,
    /// Whether a record can have an older timestamp than one before it in its partition.
    pub(super) timestamps_fall: bool,
}

/// A record.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) partition: i32,
    pub(super) offset: i64,
    /// All that the event says of it.
    pub(super) members: Map<String, Value>,
    pub(super) effect: Effect,
}

/// What a record must do.
#[derive(Clone, Debug)]
pub(super) enum Effect {
    /// It gives its key a new state.
    State {
        key: String,
        position: Position,
        /// Its `_sink` and its tombstone, but for an item's fingerprint of names.
        stamp: Value,
        /// The item's attributes, without key and `_sink`; none where the record deletes it.
        attributes: Option<Map<String, Value>>,
    },
    /// It goes to the quarantine with this reason.
    Rejected(&'static str),
}

/// What orders the states of a key: the source's time and Kafka's timestamp, both 0 where offsets order, then partition
/// and offset.
pub(super) type Position = (i64, i64, i32, i64);

impl Log {
    pub(super) fn entry(&self, (partition, index): Place) -> &Entry {
        &self.partitions[partition][index]
    }

    /// All records, partition by partition.
    pub(super) fn places(&self) -> impl Iterator<Item = Place> {
        let places = |(partition, entries): (usize, &Vec<Entry>)| {
            (0..entries.len()).map(move |index| (partition, index))
        };
        self.partitions.iter().enumerate().flat_map(places)
    }

    /// The records that must be in the quarantine: partition, offset and reason.
    pub(super) fn rejected(&self) -> impl Iterator<Item = [String; 3]> {
        self.partitions.iter().flatten().filter_map(|entry| match entry.effect {
            Effect::Rejected(reason) => {
                Some([entry.partition.to_string(), entry.offset.to_string(), reason.to_owned()])
            }
            Effect::State { .. } => None,
        })
    }
}

/// Where a record stands, and since when, where it says so.
#[derive(Clone, Copy, Debug)]
pub(super) struct Coordinates {
    pub(super) topic: &'static str,
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) timestamp: Option<i64>,
}

impl Coordinates {
    /// The record with this key and value.
    pub(super) fn entry(self, key: Option<&[u8]>, value: Option<&[u8]>, effect: Effect) -> Entry {
        let Self { topic, partition, offset, timestamp } = self;
        let mut members = Map::new();
        members.insert("topic".to_owned(), topic.into());
        members.insert("partition".to_owned(), partition.into());
        members.insert("offset".to_owned(), offset.into());
        members.insert("timestampType".to_owned(), "CREATE_TIME".into());
        members.insert("headers".to_owned(), json!([{"trace": [-1, 0, 127]}, {"trace": []}]));
        if let Some(timestamp) = timestamp {
            members.insert("timestamp".to_owned(), timestamp.into());
        }
        for (name, bytes) in [("key", key), ("value", value)] {
            if let Some(bytes) = bytes {
                members.insert(name.to_owned(), STANDARD.encode(bytes).into());
            } else if offset % 2 == 0 {
                // Null means the same as no member.
                members.insert(name.to_owned(), Value::Null);
            }
        }
        Entry { partition, offset, members, effect }
    }

    /// What an item's `_sink` and a tombstone say of it; without a timestamp it is -1.
    pub(super) fn stamp(self, version: &str) -> Value {
        json!({
            "version": {"S": version},
            "topic": {"S": self.topic},
            "partition": {"N": self.partition.to_string()},
            "offset": {"N": self.offset.to_string()},
            "timestamp": {"N": self.timestamp.unwrap_or(-1).to_string()},
        })
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let members = Value::from(self.members.clone());
        write!(f, "{}@{} {:?} {members}", self.partition, self.offset, self.effect)
    }
}

/// Offsets that a partition may begin with: some gain a digit within the log, some don't fit a float.
pub(super) fn first_offsets() -> impl Strategy<Value = i64> {
    select(vec![0, 7, 95, 9_007_199_254_740_990, i64::MAX - 500])
}

/// Values that no record of any topic may have, and why.
pub(super) const BAD_VALUES: &[(&str, &[u8])] = &[
    ("INVALID_JSON", b"{\"a\":"),
    ("INVALID_UTF8", b"{\"a\":\"\xff\"}"),
    ("NOT_AN_OBJECT", b"[1]"),
    ("DUPLICATE_MEMBER", b"{\"a\":1,\"\\u0061\":2}"),
    ("EMPTY_MEMBER_NAME", b"{\"a\":{\"\":1}}"),
    ("RESERVED_MEMBER", b"{\"_sink\":{}}"),
    ("RESERVED_MEMBER", b"{\"\\u0050K\":\"a\"}"),
    ("LONE_SURROGATE", b"{\"a\":\"\\ud800\"}"),
    ("NUMBER_TOO_PRECISE", b"{\"a\":123456789012345678901234567890123456789}"),
    ("NUMBER_OUT_OF_RANGE", b"{\"a\":-1e126}"),
    (
        "NESTED_TOO_DEEP",
        b"{\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}",
    ),
    ("SCHEMA_ENCODED_VALUE", b"\x00\x00\x00\x00\x07\x02Hx"),
    ("SCHEMA_ENCODED_VALUE", b"\x03\x05schema version idx\x9c"),
    ("INVALID_JSON", b"\0\0\0\0\0{}"),
];

/// Members of an event's record that are none, whatever the topic, and why.
pub(super) const BAD_MEMBERS: &[(&str, &str, &str)] = &[
    ("INVALID_BASE64_VALUE", "value", "\"e30*\""),
    ("VALUE_NOT_A_STRING", "value", "{\"a\": 1}"),
    ("INVALID_BASE64_KEY", "key", "\"***\""),
    ("KEY_NOT_A_STRING", "key", "17"),
    ("MALFORMED_HEADERS", "headers", "[{\"trace\": [256]}]"),
    ("INVALID_EPOCH", "epoch", "\"1\""),
];

/// Each key's states, by what the log says.
#[derive(Debug)]
pub(super) struct Expected {
    /// In their order; the first one of each key is what stands before the log.
    states: BTreeMap<String, Vec<State>>,
    ranks: BTreeMap<(i32, i64), (String, usize)>,
}

#[derive(Debug)]
struct State {
    stamp: Value,
    item: Option<Value>,
}

impl Expected {
    pub(super) fn of(log: &Log) -> Self {
        let mut by_key: BTreeMap<String, BTreeMap<Position, State>> = BTreeMap::new();
        for entry in log.partitions.iter().flatten() {
            if let Effect::State { key, position, stamp, attributes } = &entry.effect {
                let item = attributes.clone().map(|mut item| {
                    item.insert("PK".to_owned(), json!({"S": key}));
                    item.insert("SK".to_owned(), json!({"S": key}));
                    item.insert("_sink".to_owned(), json!({"M": stamp}));
                    Value::from(item)
                });
                let state = State { stamp: stamp.clone(), item };
                by_key.entry(key.clone()).or_default().insert(*position, state);
            }
        }
        for key in &log.earlier {
            by_key.entry(key.clone()).or_default();
        }

        let mut expected = Self { states: BTreeMap::new(), ranks: BTreeMap::new() };
        for (key, states) in by_key {
            let earlier = log.earlier.contains(&key).then(|| earlier_item(&key));
            let mut in_order = vec![State { stamp: Value::Null, item: earlier }];
            for ((_, _, partition, offset), state) in states {
                expected.ranks.insert((partition, offset), (key.clone(), in_order.len()));
                in_order.push(state);
            }
            expected.states.insert(key, in_order);
        }
        expected
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.states.keys().map(String::as_str)
    }

    /// The key that a record is of, and the rank of its state; none for a rejected one.
    pub(super) fn rank_of(&self, entry: &Entry) -> Option<(&str, usize)> {
        let (key, rank) = self.ranks.get(&(entry.partition, entry.offset))?;
        Some((key, *rank))
    }

    /// The lowest rank from `least` that what a reader sees can have. Where there is no item, it is a delete's, or the
    /// first.
    pub(super) fn rank_seen(
        &self,
        key: &str,
        item: Option<&Value>,
        least: usize,
    ) -> Result<usize, String> {
        let states = &self.states[key];
        let mut ranks = states.iter().enumerate().filter(|(_, state)| state.item.as_ref() == item);
        if let Some((rank, _)) = ranks.clone().find(|(rank, _)| *rank >= least) {
            return Ok(rank);
        }
        match (item, ranks.next_back()) {
            (None, _) => Err(format!("`{key}` is absent, but no delete follows state {least}")),
            (Some(_), Some((rank, _))) => {
                Err(format!("`{key}` is in state {rank}, but was in {least} or is to follow it"))
            }
            (Some(item), None) => Err(format!("`{key}` is in no state of the log: {item}")),
        }
    }

    /// The rank of the delete that a tombstone is of.
    pub(super) fn rank_of_tombstone(&self, key: &str, tombstone: &Value) -> usize {
        let mut stamp = tombstone.clone();
        for name in ["PK", "SK", "expiresAt"] {
            stamp.as_object_mut().unwrap().remove(name).unwrap();
        }
        let is_it = |state: &State| state.item.is_none() && state.stamp == stamp;
        self.states[key].iter().position(is_it).unwrap()
    }

    /// The keys whose last record deletes them, with its rank.
    pub(super) fn deleted(&self) -> impl Iterator<Item = (&str, usize)> {
        self.states.iter().filter_map(|(key, states)| {
            let last = states.len() - 1;
            (last > 0 && states[last].item.is_none()).then_some((key.as_str(), last))
        })
    }

    /// What the table holds in the end, by key, but for each item's fingerprint of names.
    pub(super) fn items(&self) -> BTreeMap<String, Value> {
        let states = self.states.iter();
        states.filter_map(|(key, it)| Some((key.clone(), it.last()?.item.clone()?))).collect()
    }
}

/// An item of an earlier writer.
pub(super) fn earlier_item(key: &str) -> Value {
    json!({
        "PK": {"S": key},
        "SK": {"S": key},
        "STATE_PLAN": {"M": {"ID_NUMBER": {"S": "of an earlier writer"}}},
        "left behind": {"N": "1"},
    })
}
