//! The records of Appian's topic: without keys, ordered by the source's clock across partitions, without deletes.

use std::collections::BTreeSet;

use proptest::{
    collection::vec,
    prelude::*,
    sample::{select, subsequence},
};
use serde_json::{Value, json};
use sink_appian_data::SINK;

use super::{
    log::{
        BAD_MEMBERS, BAD_VALUES, Coordinates, Effect, Entry, Log, NOW, PARTITIONS, first_offsets,
    },
    value::{Member, Spelled, attributes, integer, null, object, values},
};
use crate::support::source_clock;

const PACKAGES: i64 = 12;

/// Logs of three partitions, with an earlier writer's items for some packages and for one that no record is of.
pub(super) fn logs() -> impl Strategy<Value = Log> {
    let partition = || (first_offsets(), vec(drafts(), 0..60));
    let earlier = vec(0..PACKAGES, 0..8);
    (vec(partition(), PARTITIONS.len()), earlier).prop_map(|(partitions, earlier)| {
        let entries = |(partition, (first_offset, drafts)): (i32, (i64, Vec<Draft>))| {
            let mut offset = first_offset;
            let entry = |draft: Draft| {
                offset += draft.gap;
                draft.entry(partition, offset)
            };
            drafts.into_iter().map(entry).collect::<Vec<_>>()
        };
        let earlier: BTreeSet<String> = earlier.into_iter().map(key).collect();
        Log {
            sink: SINK,
            earlier: earlier.into_iter().chain(["never in the topic".to_owned()]).collect(),
            partitions: PARTITIONS.into_iter().zip(partitions).map(entries).collect(),
            // It counts for offsets only.
            timestamps_fall: false,
        }
    })
}

fn key(package: i64) -> String {
    (21_770 + 10 * package).to_string()
}

#[derive(Clone, Debug)]
struct Draft {
    package: i64,
    id: IdSpelling,
    gap: i64,
    timestamp: Option<i64>,
    times: Times,
    change: Change,
}

#[derive(Clone, Copy, Debug)]
enum IdSpelling {
    Integer,
    Fraction,
    Exponent,
    Text,
}

#[derive(Clone, Copy, Debug)]
struct Times {
    replica: Time,
    update: Time,
}

#[derive(Clone, Copy, Debug)]
enum Time {
    Absent,
    Null,
    At(i64),
}

#[derive(Clone, Debug)]
enum Change {
    /// A row, what stands beside its `payload`, and whether that is Connect's `schema` too.
    Put {
        columns: Vec<Member>,
        beside: Vec<Member>,
        has_schema: bool,
    },
    BadValue(&'static str, Option<&'static [u8]>),
    BadMember(&'static str, &'static str, &'static str),
}

/// Values that other topics may have, and why not this one.
const BAD_ROWS: &[(&str, Option<&[u8]>)] = &[
    ("NULL_VALUE", None),
    ("NULL_VALUE", Some(b"")),
    ("NULL_VALUE", Some(b" null\n")),
    ("NULL_VALUE", Some(b"\0\0\0\0\x01null")),
    ("NULL_VALUE", Some(b"{\"schema\":null,\"payload\":null}")),
    ("INVALID_PAYLOAD", Some(b"{}")),
    ("INVALID_PAYLOAD", Some(b"{\"payload\":[]}")),
    ("MISSING_PACKAGE_ID", Some(b"{\"payload\":{}}")),
    ("MISSING_PACKAGE_ID", Some(b"{\"payload\":{\"PCKG_ID\":null}}")),
    ("INVALID_PACKAGE_ID", Some(b"{\"payload\":{\"PCKG_ID\":21770.5}}")),
    ("INVALID_PACKAGE_ID", Some(b"{\"payload\":{\"PCKG_ID\":[21770]}}")),
    ("EMPTY_KEY", Some(b"{\"payload\":{\"PCKG_ID\":\"\"}}")),
    ("INVALID_SOURCE_TIME", Some(b"{\"payload\":{\"PCKG_ID\":21770,\"REPLICA_TIMESTAMP\":\"1\"}}")),
    ("INVALID_SOURCE_TIME", Some(b"{\"payload\":{\"PCKG_ID\":21770,\"UPDT_TS\":1.5}}")),
];

fn drafts() -> impl Strategy<Value = Draft> {
    let plain = vec(values(), 1..3).prop_map(|values| Change::Put {
        columns: columns("COLUMN", values),
        beside: Vec::new(),
        has_schema: false,
    });
    let names = subsequence(vec!["extra", "odd name", "\"q\""], 0..=2);
    let put = (vec(values(), 0..3), names, values(), any::<bool>()).prop_map(
        |(values, names, value, has_schema)| {
            let beside = names.into_iter().map(|name| (name.to_owned(), value.clone())).collect();
            Change::Put { columns: columns("odd column", values), beside, has_schema }
        },
    );
    let change = prop_oneof![
        10 => plain,
        6 => put,
        1 => select(BAD_ROWS).prop_map(|(reason, value)| Change::BadValue(reason, value)),
        1 => select(BAD_VALUES).prop_map(|(reason, value)| Change::BadValue(reason, Some(value))),
        1 => select(BAD_MEMBERS)
            .prop_map(|(reason, name, json)| Change::BadMember(reason, name, json)),
    ];
    let id = select(vec![
        IdSpelling::Integer,
        IdSpelling::Integer,
        IdSpelling::Fraction,
        IdSpelling::Exponent,
        IdSpelling::Text,
    ]);
    // A few packages have most of the records.
    let package = prop_oneof![0..2_i64, 0..PACKAGES];
    let timestamp =
        prop_oneof![1 => Just(None), 1 => Just(Some(0)), 8 => (NOW - 1..=NOW + 1).prop_map(Some)];
    (package, id, 1..4_i64, timestamp, times(), change).prop_map(
        |(package, id, gap, timestamp, times, change)| Draft {
            package,
            id,
            gap,
            timestamp,
            times,
            change,
        },
    )
}

fn columns(name: &str, values: Vec<Spelled>) -> Vec<Member> {
    let column = |(index, value)| (format!("{name} {index}"), value);
    values.into_iter().enumerate().map(column).collect()
}

/// Few different times, so that many are equal, and they go back as often as forth.
fn times() -> impl Strategy<Value = Times> {
    let time = || {
        prop_oneof![6 => NOW..NOW + 4, 1 => select(vec![i64::MIN, -10, -9, 0, 9, 10])]
            .prop_map(Time::At)
    };
    let none = || select(vec![Time::Absent, Time::Null]);
    let times = prop_oneof![
        3 => (time(), none()),
        3 => (time(), time()),
        2 => (none(), time()),
        1 => (none(), none()),
    ];
    times.prop_map(|(replica, update)| Times { replica, update })
}

impl Time {
    fn at(self) -> Option<i64> {
        match self {
            Self::At(time) => Some(time),
            Self::Absent | Self::Null => None,
        }
    }
}

impl Draft {
    fn entry(self, partition: i32, offset: i64) -> Entry {
        let timestamp = self.timestamp;
        let place = Coordinates { topic: SINK.topic, partition, offset, timestamp };
        let (columns, beside, has_schema) = match &self.change {
            Change::Put { columns, beside, has_schema } => (columns, beside, *has_schema),
            Change::BadValue(reason, value) => {
                return place.entry(None, *value, Effect::Rejected(reason));
            }
            Change::BadMember(reason, name, json) => {
                let value = b"{\"payload\":{\"PCKG_ID\":21770}}";
                let mut entry = place.entry(None, Some(value), Effect::Rejected(reason));
                entry.members.insert((*name).to_owned(), serde_json::from_str(json).unwrap());
                return entry;
            }
        };

        let mut members = vec![("payload".to_owned(), object(&self.payload(columns)))];
        members.extend(beside.iter().cloned());
        let (source_time, kafka_time) = (self.source_time(), timestamp.unwrap_or(0));
        let clock = source_clock(source_time);
        let version = format!("0000000000{clock}{kafka_time:020}{partition:020}{offset:020}");
        let effect = Effect::State {
            key: key(self.package),
            position: (source_time, kafka_time, partition, offset),
            stamp: place.stamp(&version),
            attributes: Some(attributes(&members)),
        };
        if has_schema {
            // It is left out, so that it may hold what no item can.
            let json = "{\"type\": \"struct\", \"\": 1e999}".to_owned();
            members.insert(0, ("schema".to_owned(), Spelled { json, attribute: Value::Null }));
        }
        place.entry(None, Some(object(&members).json.as_bytes()), effect)
    }

    fn payload(&self, columns: &[Member]) -> Vec<Member> {
        let id = key(self.package);
        let json = match self.id {
            IdSpelling::Integer => id.clone(),
            IdSpelling::Fraction => format!("{id}.0"),
            IdSpelling::Exponent => format!("{}e1", id.strip_suffix('0').unwrap()),
            IdSpelling::Text => format!("\"{id}\""),
        };
        let attribute = match self.id {
            IdSpelling::Text => json!({"S": id}),
            _ => json!({"N": id}),
        };
        let mut payload = vec![("PCKG_ID".to_owned(), Spelled { json, attribute })];
        for (name, time) in
            [("REPLICA_TIMESTAMP", self.times.replica), ("UPDT_TS", self.times.update)]
        {
            match time {
                Time::Absent => {}
                Time::Null => payload.push((name.to_owned(), null())),
                Time::At(time) => payload.push((name.to_owned(), integer(time))),
            }
        }
        payload.extend(columns.iter().cloned());
        payload
    }

    fn source_time(&self) -> i64 {
        self.times.replica.at().or(self.times.update.at()).unwrap_or(0)
    }
}
