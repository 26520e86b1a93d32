//! What the tables hold against what the fold says that they are to hold.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use aws_sdk_dynamodb::types::AttributeValue;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use crate::{
    fold::{self, Expected},
    record::{Meaning, Produced, Source},
};

/// An item as the SDK gives it.
pub(crate) type Item = std::collections::HashMap<String, AttributeValue>;

/// How the tables differ, each kind with its count and the first few examples by their coordinates.
#[derive(Debug, Default)]
pub(crate) struct Differences {
    kinds: BTreeMap<&'static str, (u64, Vec<String>)>,
}

const EXAMPLES: usize = 3;

impl Differences {
    fn add(&mut self, kind: &'static str, example: impl FnOnce() -> String) {
        let (count, examples) = self.kinds.entry(kind).or_default();
        *count += 1;
        if examples.len() < EXAMPLES {
            examples.push(example());
        }
    }

    pub(crate) fn count(&self, kinds: &[&str]) -> u64 {
        self.kinds.iter().filter(|(kind, _)| kinds.contains(*kind)).map(|(_, it)| it.0).sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// Records whose state is nowhere.
    pub(crate) fn lost(&self) -> u64 {
        self.count(&["missing", "older", "not quarantined"])
    }

    /// Items that should not be there.
    pub(crate) fn resurrected(&self) -> u64 {
        self.count(&["extra"])
    }

    pub(crate) fn merge(&mut self, other: Self) {
        for (kind, (count, examples)) in other.kinds {
            let here = self.kinds.entry(kind).or_default();
            here.0 += count;
            here.1.extend(examples);
        }
    }
}

impl fmt::Display for Differences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (kind, (count, examples))) in self.kinds.iter().enumerate() {
            let separator = if position == 0 { "" } else { "; " };
            write!(f, "{separator}{kind} {count}, such as {}", examples.join(", "))?;
        }
        Ok(())
    }
}

/// Compares the items of a source's table.
pub(crate) fn items(
    source: Source,
    topic: &str,
    produced: &[Produced],
    expected: &Expected,
    found: &[Item],
) -> Differences {
    let mut differences = Differences::default();
    let mut keys = BTreeSet::new();
    for item in found {
        let key = text(item, "PK");
        keys.insert(key.to_owned());
        let found = dynamo_json(item);
        let Some(&at) = expected.items.get(key) else {
            differences.add("extra", || coordinates(&found));
            continue;
        };
        let wanted = fold::item(source, topic, key, &produced[at]);
        if found == wanted {
            continue;
        }
        let offset = |item: &Value| item["_sink"]["M"]["version"].clone();
        if offset(&found) == offset(&wanted) {
            differences.add("different", || {
                let names = names(&found, &wanted);
                format!("{} in {names}", place(topic, &produced[at]))
            });
        } else {
            differences.add("older", || {
                format!("{} for {}", coordinates(&found), place(topic, &produced[at]))
            });
        }
    }
    for (key, at) in &expected.items {
        if !keys.contains(key) {
            differences.add("missing", || place(topic, &produced[*at]));
        }
    }
    differences
}

/// Compares the tombstones of a source's deletes.
///
/// A delete that a newer record of its batch superseded leaves none, so that only the last one of a key must have one.
pub(crate) fn tombstones(
    source: Source,
    topic: &str,
    produced: &[Produced],
    expected: &Expected,
    found: &[Item],
) -> Differences {
    let mut differences = Differences::default();
    let found: BTreeMap<&str, &str> =
        found.iter().map(|item| (text(item, "PK"), text(item, "version"))).collect();
    for (key, at) in &expected.deleted {
        let version = fold::version(source, &produced[*at]);
        if found.get(key.as_str()) != Some(&version.as_str()) {
            differences.add("no tombstone", || place(topic, &produced[*at]));
        }
    }
    for (key, version) in found {
        let deletes = expected.deletes.get(key).map_or(&[][..], Vec::as_slice);
        if !deletes.iter().any(|at| fold::version(source, &produced[*at]) == version) {
            differences.add("tombstone of no delete", || version.to_owned());
        }
    }
    differences
}

/// Compares the quarantine's entries of a topic with the rejected records, byte for byte.
pub(crate) fn quarantine(
    source: Source,
    topic: &str,
    produced: &[Produced],
    expected: &Expected,
    found: &[Item],
) -> Differences {
    let mut differences = Differences::default();
    let mut heads: BTreeMap<(&str, &str), &Item> = BTreeMap::new();
    let mut parts: BTreeMap<(&str, &str, &str), Vec<u8>> = BTreeMap::new();
    let mut sorted: Vec<&Item> = found.iter().collect();
    sorted.sort_by_key(|item| (text(item, "PK"), text(item, "SK")));
    for item in sorted {
        let (partition, sort_key) = (text(item, "PK"), text(item, "SK"));
        if partition.rsplit_once('-').is_none_or(|(it, _)| it != topic) {
            continue;
        }
        match sort_key.split_once('#') {
            Some((head, part)) => {
                let hash = part.split_once('#').map_or(part, |(hash, _)| hash);
                parts.entry((partition, head, hash)).or_default().extend(bytes(item, "record"));
            }
            None => {
                heads.insert((partition, sort_key), item);
            }
        }
    }
    for ((partition, sort_key), at) in &expected.rejected {
        let it = &produced[*at];
        let key = (partition.as_str(), sort_key.as_str());
        let Some(head) = heads.remove(&key) else {
            differences.add("not quarantined", || place(topic, it));
            continue;
        };
        let record = parts.remove(&(key.0, key.1, text(head, "hash")));
        let record = record.unwrap_or_else(|| bytes(head, "record"));
        if let Err(problem) = entry(source, topic, it, head, &record) {
            differences.add("quarantined otherwise", || format!("{}: {problem}", place(topic, it)));
        }
    }
    for (partition, sort_key) in heads.keys() {
        differences.add("quarantined for no reason", || format!("{partition} {sort_key}"));
    }
    differences
}

/// Whether an entry says of its record what was produced.
fn entry(
    source: Source,
    topic: &str,
    it: &Produced,
    head: &Item,
    record: &[u8],
) -> Result<(), String> {
    let Meaning::Poison { reason } = it.record.meaning else { return Err("no poison".to_owned()) };
    let is = |name: &str, wanted: &str| {
        let found = match head.get(name) {
            Some(AttributeValue::S(text) | AttributeValue::N(text)) => text.as_str(),
            _ => "nothing",
        };
        if found == wanted { Ok(()) } else { Err(format!("`{name}` is {found}, not {wanted}")) }
    };
    is("reason", reason)?;
    is("sink", source.function())?;
    is("topic", topic)?;
    is("partition", &it.partition.to_string())?;
    is("offset", &it.offset.to_string())?;
    is("timestamp", &it.record.timestamp.to_string())?;
    is("epoch", &it.epoch.to_string())?;

    let event: Value = serde_json::from_slice(record).map_err(|_| "`record` is no JSON")?;
    let decoded = |name: &str| match &event[name] {
        Value::Null => Ok(None),
        Value::String(text) => STANDARD.decode(text).map(Some).map_err(|_| "no base64"),
        _ => Err("no string"),
    };
    if decoded("key")? != it.record.key {
        return Err("another key in `record`".to_owned());
    }
    if decoded("value")? != it.record.value {
        return Err("another value in `record`".to_owned());
    }
    let headers: Vec<Value> = it.record.headers.iter().map(header).collect();
    if event["headers"] != Value::Array(headers) {
        return Err("other headers in `record`".to_owned());
    }
    // What can be decoded stands beside the text too, if there is room.
    let attribute = |name: &str| match head.get(name) {
        Some(AttributeValue::B(bytes)) => Some(bytes.as_ref().to_vec()),
        _ => None,
    };
    if head.contains_key("headers")
        && (attribute("key") != it.record.key || attribute("value") != it.record.value)
    {
        return Err("another `key` or `value`".to_owned());
    }
    Ok(())
}

/// A header as Lambda writes it: signed bytes.
fn header((name, value): &(String, Option<Vec<u8>>)) -> Value {
    let value = value.as_ref().map(|it| it.iter().map(|b| b.cast_signed()).collect::<Vec<i8>>());
    json!({name: value})
}

fn place(topic: &str, it: &Produced) -> String {
    format!("{topic}-{} offset {} epoch {}", it.partition, it.offset, it.epoch)
}

/// Where the state of an item comes from, as it says itself.
fn coordinates(item: &Value) -> String {
    let sink = &item["_sink"]["M"];
    let part = |name: &str| sink[name].to_string();
    format!("{} {} {}", part("version"), part("partition"), part("offset"))
}

/// The attributes in which two items differ.
fn names(a: &Value, b: &Value) -> String {
    let empty = Map::new();
    let (a, b) = (a.as_object().unwrap_or(&empty), b.as_object().unwrap_or(&empty));
    let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let differing = names.into_iter().filter(|name| a.get(*name) != b.get(*name));
    differing.cloned().collect::<Vec<_>>().join(" ")
}

pub(crate) fn text<'a>(item: &'a Item, name: &str) -> &'a str {
    item.get(name).and_then(|value| value.as_s().ok()).map_or("", String::as_str)
}

fn bytes(item: &Item, name: &str) -> Vec<u8> {
    item.get(name)
        .and_then(|value| value.as_b().ok())
        .map_or(Vec::new(), |it| it.clone().into_inner())
}

/// An item in DynamoDB's JSON with canonical numbers.
pub(crate) fn dynamo_json(item: &Item) -> Value {
    Value::Object(item.iter().map(|(name, value)| (name.clone(), attribute(value))).collect())
}

fn attribute(value: &AttributeValue) -> Value {
    match value {
        AttributeValue::M(members) => json!({"M": dynamo_json(members)}),
        AttributeValue::L(values) => {
            json!({"L": values.iter().map(attribute).collect::<Vec<_>>()})
        }
        AttributeValue::S(text) => json!({"S": text}),
        AttributeValue::N(text) => fold::number(text),
        AttributeValue::Bool(value) => json!({"BOOL": value}),
        AttributeValue::Null(_) => json!({"NULL": true}),
        other => json!(format!("{other:?}")),
    }
}
