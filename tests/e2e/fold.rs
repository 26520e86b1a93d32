//! The independent fold: from what was produced to what the tables are to hold, without any of the sinks' code.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json, value::RawValue};
use sha2::{Digest, Sha256};

use crate::record::{Meaning, Produced, Source};

/// What the tables of one source are to hold; positions are those of the produced records.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    /// The last state of each key that has one.
    pub(crate) items: BTreeMap<String, usize>,
    /// The last delete of each key whose last state it is.
    pub(crate) deleted: BTreeMap<String, usize>,
    /// Every delete of a key.
    pub(crate) deletes: BTreeMap<String, Vec<usize>>,
    /// Every rejected record, by its key in the quarantine.
    pub(crate) rejected: BTreeMap<(String, String), usize>,
}

/// Where a record stands among those of its key: epoch, then what [`rank`] says, then the offset.
pub(crate) type Rank = (u64, u64, i64, i32, i64);

/// The order of one key's records.
///
/// A keyed record's offset and timestamp grow together within a partition, and only the timestamp tells across them.
pub(crate) fn rank(source: Source, it: &Produced) -> Rank {
    let source_time = match (&it.record.meaning, source) {
        (Meaning::Put { source_time, .. }, Source::Appian) => *source_time,
        _ => 0,
    };
    (it.epoch, source_time, it.record.timestamp, it.partition, it.offset)
}

/// Folds all records of a source whose topic is `topic`.
pub(crate) fn fold(source: Source, topic: &str, produced: &[Produced]) -> Expected {
    fold_by(topic, produced, |it| rank(source, it))
}

/// What a keyed source's tables are to hold where a topic was created again without a new epoch: the highest offset
/// counts, and of two that are equal the first.
pub(crate) fn fold_by_offset(topic: &str, produced: &[Produced]) -> Expected {
    fold_by(topic, produced, |it| (it.epoch, 0, it.offset, 0, 0))
}

fn fold_by(topic: &str, produced: &[Produced], rank: impl Fn(&Produced) -> Rank) -> Expected {
    let mut expected = Expected::default();
    let mut last: BTreeMap<&str, usize> = BTreeMap::new();
    for (at, it) in produced.iter().enumerate() {
        match &it.record.meaning {
            Meaning::Poison { .. } => {
                expected.rejected.insert(quarantine_key(topic, it), at);
                continue;
            }
            Meaning::Delete { key } => {
                expected.deletes.entry(key.clone()).or_default().push(at);
            }
            Meaning::Put { .. } => {}
        }
        let key = it.record.meaning.key().unwrap();
        let stands = last.entry(key).or_insert(at);
        if rank(&produced[*stands]) < rank(it) {
            *stands = at;
        }
    }
    for (key, at) in last {
        let states = match produced[at].record.meaning {
            Meaning::Delete { .. } => &mut expected.deleted,
            _ => &mut expected.items,
        };
        states.insert(key.to_owned(), at);
    }
    expected
}

fn quarantine_key(topic: &str, it: &Produced) -> (String, String) {
    let sort_key = format!("{:010}-{:020}-{:020}", it.epoch, it.offset, it.record.timestamp);
    (format!("{topic}-{}", it.partition), sort_key)
}

/// The version that the contract gives a record.
pub(crate) fn version(source: Source, it: &Produced) -> String {
    let (epoch, source_time, timestamp, partition, offset) = rank(source, it);
    match source {
        Source::Appian => {
            format!("{epoch:010}{source_time:020}{timestamp:020}{partition:020}{offset:020}")
        }
        Source::Seatool => format!("{epoch:010}{offset:020}"),
    }
}

/// The whole item of a record, in DynamoDB's JSON with canonical numbers.
pub(crate) fn item(source: Source, topic: &str, key: &str, it: &Produced) -> Value {
    let mut members = it.members();
    if source == Source::Appian {
        members.retain(|(name, _)| name != "schema");
    }
    let shape = shape(members.iter().map(|(name, _)| name.as_str()));
    let mut item: Map<String, Value> =
        members.iter().map(|(name, value)| (name.clone(), attribute(value))).collect();
    item.insert("PK".to_owned(), json!({"S": key}));
    item.insert("SK".to_owned(), json!({"S": key}));
    let sink = json!({"M": {
        "version": {"S": version(source, it)},
        "topic": {"S": topic},
        "partition": number(&it.partition.to_string()),
        "offset": number(&it.offset.to_string()),
        "timestamp": number(&it.record.timestamp.to_string()),
        "shape": {"S": shape},
    }});
    item.insert("_sink".to_owned(), sink);
    Value::Object(item)
}

/// The fingerprint of names that come sorted: the first half of the SHA-256 of their netstrings.
fn shape<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut digest = Sha256::new();
    for name in names {
        digest.update(format!("{}:{name},", name.len()));
    }
    let half: [u8; 16] = digest.finalize()[..16].try_into().unwrap();
    format!("{:032x}", u128::from_be_bytes(half))
}

/// A JSON text in DynamoDB's JSON.
fn attribute(json: &RawValue) -> Value {
    let text = json.get();
    match text.as_bytes()[0] {
        b'{' => {
            let members: BTreeMap<String, Box<RawValue>> = serde_json::from_str(text).unwrap();
            let members = members.iter().map(|(name, value)| (name.clone(), attribute(value)));
            json!({"M": members.collect::<Map<_, _>>()})
        }
        b'[' => {
            let values: Vec<Box<RawValue>> = serde_json::from_str(text).unwrap();
            json!({"L": values.iter().map(|value| attribute(value)).collect::<Vec<_>>()})
        }
        b'"' => json!({"S": serde_json::from_str::<String>(text).unwrap()}),
        b't' | b'f' => json!({"BOOL": text == "true"}),
        b'n' => json!({"NULL": true}),
        _ => number(text),
    }
}

/// A number attribute whose text is the same for the same value.
pub(crate) fn number(text: &str) -> Value {
    json!({"N": canonical(text)})
}

/// A decimal's value in one spelling: its digits as a whole number without zeros at either end, and a power of ten.
fn canonical(text: &str) -> String {
    let (sign, text) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text),
    };
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut exponent: i64 = exponent.parse().unwrap();
    exponent -= i64::try_from(fraction.len()).unwrap();
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return "0".to_owned();
    }
    exponent += i64::try_from(digits.len() - significant.len()).unwrap();
    format!("{sign}{significant}E{exponent}")
}
