//! The records of Seatool's topic: keyed, ordered by offset, with deletes.

use proptest::{
    collection::vec,
    option,
    prelude::*,
    sample::{select, subsequence},
};
use serde_json::{Map, Value, json};
use sink_seatool_data::SINK;

use super::{
    log::{
        BAD_MEMBERS, BAD_VALUES, Coordinates, Effect, Entry, Log, NOW, PARTITIONS, first_offsets,
    },
    value::{Member, attributes, escaped, object, values},
};

const KEYS_PER_PARTITION: usize = 12;

/// Logs of three partitions, with an earlier writer's items for some keys and for one that no record is of.
pub(super) fn logs() -> impl Strategy<Value = Log> {
    let partition = || (first_offsets(), vec(drafts(), 0..60));
    let earlier = subsequence(keys(), keys().len() / 2..=keys().len());
    // In some logs each partition has one key, so that all its records compete.
    let keys_per_partition = select(vec![1, KEYS_PER_PARTITION, KEYS_PER_PARTITION]);
    (vec(partition(), PARTITIONS.len()), keys_per_partition, earlier, any::<bool>()).prop_map(
        |(partitions, keys_per_partition, earlier, timestamps_fall)| {
            let entries = |(index, (first_offset, drafts)): (usize, (i64, Vec<Draft>))| {
                let (mut offset, mut timestamp) = (first_offset, NOW);
                let entry = |mut draft: Draft| {
                    draft.key %= keys_per_partition;
                    offset += draft.gap;
                    timestamp += draft.later;
                    let timestamp =
                        if timestamps_fall { draft.odd_timestamp } else { Some(timestamp) };
                    draft.entry(index, offset, timestamp)
                };
                drafts.into_iter().map(entry).collect::<Vec<_>>()
            };
            Log {
                sink: SINK,
                earlier: earlier.into_iter().chain(["never in the topic".to_owned()]).collect(),
                partitions: partitions.into_iter().enumerate().map(entries).collect(),
                timestamps_fall,
            }
        },
    )
}

fn keys() -> Vec<String> {
    let keys = |partition| (0..KEYS_PER_PARTITION).map(move |index| key(partition, index));
    (0..PARTITIONS.len()).flat_map(keys).collect()
}

/// The keys stay in their partitions. Some are not plain text.
fn key(partition: usize, index: usize) -> String {
    match index {
        0 => format!("\"é\" \\ {partition}"),
        1 => format!("{}{partition}", "long".repeat(255)),
        _ => format!("MD-{partition}-{index:04}"),
    }
}

#[derive(Clone, Debug)]
struct Draft {
    key: usize,
    is_key_escaped: bool,
    /// To the offset before: compaction and transactions leave gaps.
    gap: i64,
    /// To the timestamp before.
    later: i64,
    /// The timestamp where they may fall.
    odd_timestamp: Option<i64>,
    change: Change,
}

#[derive(Clone, Debug)]
enum Change {
    Put {
        members: Vec<Member>,
        has_schema_id: bool,
    },
    /// The value's bytes.
    Delete(Option<&'static [u8]>),
    BadKey(&'static str, Option<Vec<u8>>),
    BadValue(&'static str, &'static [u8]),
    BadMember(&'static str, &'static str, &'static str),
}

fn drafts() -> impl Strategy<Value = Draft> {
    let puts = (items(), any::<bool>())
        .prop_map(|(members, has_schema_id)| Change::Put { members, has_schema_id });
    let deletes =
        [None, Some(&b""[..]), Some(b"null"), Some(b" null\n"), Some(b"\0\0\0\0\x01null")];
    let change = prop_oneof![
        12 => puts,
        5 => select(deletes.to_vec()).prop_map(Change::Delete),
        1 => select(bad_keys()).prop_map(|(reason, key)| Change::BadKey(reason, key)),
        1 => select(BAD_VALUES).prop_map(|(reason, value)| Change::BadValue(reason, value)),
        1 => select(BAD_MEMBERS)
            .prop_map(|(reason, name, json)| Change::BadMember(reason, name, json)),
    ];
    // A few keys have most of the records.
    let key = prop_oneof![0..3_usize, 0..KEYS_PER_PARTITION];
    let odd_timestamp = option::weighted(0.8, NOW - 5..NOW + 5);
    (key, any::<bool>(), 1..4_i64, 0..3_i64, odd_timestamp, change).prop_map(
        |(key, is_key_escaped, gap, later, odd_timestamp, change)| Draft {
            key,
            is_key_escaped,
            gap,
            later,
            odd_timestamp,
            change,
        },
    )
}

fn bad_keys() -> Vec<(&'static str, Option<Vec<u8>>)> {
    vec![
        ("MISSING_KEY", None),
        ("INVALID_KEY", Some(b"MD-22-0001".to_vec())),
        ("INVALID_KEY", Some(b"17".to_vec())),
        ("INVALID_KEY", Some(b"\0\0\0\0\0\"1\"".to_vec())),
        ("EMPTY_KEY", Some(b"\"\"".to_vec())),
        ("KEY_TOO_LONG", Some(format!("\"{}\"", "k".repeat(1025)).into_bytes())),
        ("SCHEMA_ENCODED_KEY", Some(b"\0\0\0\0\x01\x02k".to_vec())),
    ]
}

/// Items of few shapes mostly, so that statements find their own; then of names that a statement cannot say, of more
/// members than it may have, and of none.
fn items() -> impl Strategy<Value = Vec<Member>> {
    const NAMES: [&str; 10] =
        ["STATE_PLAN", "RAI", "select", "a b", "a.b", "#a", ":a", "9", "\"'`\\", "日本"];
    let named = |names: Vec<&'static str>| {
        vec(values(), names.len()).prop_map(move |values| {
            names.iter().map(|name| (*name).to_owned()).zip(values).collect::<Vec<Member>>()
        })
    };
    let wide =
        values().prop_map(|value| (0..101).map(|it| (format!("m{it}"), value.clone())).collect());
    prop_oneof![
        6 => named(vec!["STATE_PLAN"]),
        4 => named(vec!["STATE_PLAN", "RAI"]),
        4 => subsequence(NAMES.to_vec(), 0..=4).prop_flat_map(named),
        1 => wide,
    ]
}

impl Draft {
    fn entry(self, partition_index: usize, offset: i64, timestamp: Option<i64>) -> Entry {
        let partition = PARTITIONS[partition_index];
        let place = Coordinates { topic: SINK.topic, partition, offset, timestamp };
        let key = key(partition_index, self.key);
        let key_json = if self.is_key_escaped { escaped(&key) } else { json!(key).to_string() };
        let key_json = Some(key_json.as_bytes());
        let some_value = Some(&b"{\"a\": 1}"[..]);
        let state = |attributes: Option<Map<String, Value>>| Effect::State {
            key: key.clone(),
            position: (0, 0, partition, offset),
            stamp: place.stamp(&format!("0000000000{offset:020}")),
            attributes,
        };
        match self.change {
            Change::Put { members, has_schema_id } => {
                // Confluent's serializers put a schema's identifier before the text.
                let mut value = if has_schema_id { b"\0\0\0\0\x2a".to_vec() } else { Vec::new() };
                value.extend_from_slice(object(&members).json.as_bytes());
                place.entry(key_json, Some(&value), state(Some(attributes(&members))))
            }
            Change::Delete(value) => place.entry(key_json, value, state(None)),
            Change::BadKey(reason, key) => {
                place.entry(key.as_deref(), some_value, Effect::Rejected(reason))
            }
            Change::BadValue(reason, value) => {
                place.entry(key_json, Some(value), Effect::Rejected(reason))
            }
            Change::BadMember(reason, name, json) => {
                let mut entry = place.entry(key_json, some_value, Effect::Rejected(reason));
                entry.members.insert(name.to_owned(), serde_json::from_str(json).unwrap());
                entry
            }
        }
    }
}
