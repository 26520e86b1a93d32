//! The events that Lambda sends of a self-managed cluster, byte for byte.

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::{self, AssertUnwindSafe},
    sync::Arc,
};

use anyhow::anyhow;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use local::invoke::MAX_EVENT_BYTES;
use rdkafka::{Message, Timestamp, message::Headers};
use serde::Serialize;

/// What all events of a mapping have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    pub topic: String,
    pub bootstrap_servers: String,
    /// What precedes the records.
    head: String,
    /// The topic as it stands in the keys of the records, with its opening quote.
    key: String,
}

/// A record as it stands in an event; what it holds is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    pub partition: i32,
    pub offset: i64,
    /// The timestamp in milliseconds since 1970.
    pub timestamp: i64,
    /// Whether no event can hold it.
    pub is_too_large: bool,
    json: String,
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.partition, self.offset)
    }
}

impl Record {
    /// How many bytes of an event it takes.
    pub fn length(&self) -> usize {
        self.json.len()
    }
}

/// A record in the order of Lambda's members: a key or value that is null is left out, and a header's bytes are signed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Members<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
    timestamp: i64,
    timestamp_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    headers: Vec<BTreeMap<&'a str, Option<Vec<i8>>>>,
}

impl Envelope {
    pub fn new(topic: &str, bootstrap_servers: &str) -> Self {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let mut key = quoted(topic);
        key.pop();
        let servers = quoted(bootstrap_servers);
        Self {
            topic: topic.to_owned(),
            bootstrap_servers: bootstrap_servers.to_owned(),
            head: format!(
                r#"{{"eventSource":"SelfManagedKafka","bootstrapServers":{servers},"records":{{"#
            ),
            key,
        }
    }

    /// The record of a message of the topic; an error if a header's name is no UTF-8. Kafka's own clients write no such
    /// name.
    pub fn record<M: Message>(&self, message: &M) -> anyhow::Result<Record> {
        let read_headers = || {
            let headers = message.headers().into_iter().flat_map(Headers::iter);
            let signed = |bytes: &[u8]| bytes.iter().map(|byte| byte.cast_signed()).collect();
            headers.map(|it| BTreeMap::from([(it.key, it.value.map(signed))])).collect()
        };
        let (partition, offset) = (message.partition(), message.offset());
        // It panics at such a name, and has no other way to read headers.
        let headers = panic::catch_unwind(AssertUnwindSafe(read_headers)).map_err(|_| {
            anyhow!(
                "a header's name is no UTF-8 in partition {partition} at offset {offset}: the Kafka client cannot read \
                 it"
            )
        })?;
        let (timestamp, timestamp_type) = match message.timestamp() {
            Timestamp::CreateTime(timestamp) => (timestamp, "CREATE_TIME"),
            Timestamp::LogAppendTime(timestamp) => (timestamp, "LOG_APPEND_TIME"),
            Timestamp::NotAvailable => (-1, "NO_TIMESTAMP_TYPE"),
        };
        let json = serde_json::to_string(&Members {
            topic: &self.topic,
            partition,
            offset,
            timestamp,
            timestamp_type,
            key: message.key().map(|key| BASE64.encode(key)),
            value: message.payload().map(|value| BASE64.encode(value)),
            headers,
        })?;
        let is_too_large = self.size().with(partition, json.len()) > MAX_EVENT_BYTES;
        Ok(Record { partition, offset, timestamp, is_too_large, json })
    }

    /// The event of these records, which each partition's come in order.
    pub fn event(&self, records: &[Arc<Record>]) -> String {
        let mut partitions: BTreeMap<i32, Vec<&str>> = BTreeMap::new();
        for record in records {
            partitions.entry(record.partition).or_default().push(&record.json);
        }
        let Self { head, key, .. } = self;
        let partitions = partitions
            .iter()
            .map(|(partition, records)| format!("{key}-{partition}\":[{}]", records.join(",")));
        format!("{head}{}}}}}", partitions.collect::<Vec<_>>().join(","))
    }

    /// The size of an event without records.
    pub fn size(&self) -> Size {
        Size {
            bytes: self.head.len() + "}}".len(),
            bytes_of_key: self.key.len(),
            partitions: BTreeSet::new(),
        }
    }
}

/// The exact size of an event that grows.
#[derive(Clone, Debug)]
pub struct Size {
    pub bytes: usize,
    bytes_of_key: usize,
    /// Those that it has records of.
    partitions: BTreeSet<i32>,
}

impl Size {
    /// How many bytes it would have with one more record of that length.
    pub fn with(&self, partition: i32, length: usize) -> usize {
        let separators = if self.partitions.contains(&partition) {
            ",".len()
        } else {
            let comma = usize::from(!self.partitions.is_empty());
            comma + self.bytes_of_key + format!("-{partition}\":[]").len()
        };
        self.bytes + separators + length
    }

    /// Adds a record of that length.
    pub fn add(&mut self, partition: i32, length: usize) {
        self.bytes = self.with(partition, length);
        self.partitions.insert(partition);
    }
}

#[cfg(test)]
pub(super) mod tests;
