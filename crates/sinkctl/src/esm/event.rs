//! The events that Lambda sends of a self-managed cluster, byte for byte.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use local::invoke::MAX_EVENT_BYTES;

/// What all events of a mapping have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    topic: String,
    /// What precedes the records, the topic's name included.
    head: String,
    /// The topic as it stands in the keys of the records, with its opening quote.
    key: String,
}

/// What a record is written from.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    pub partition: i32,
    pub offset: i64,
    /// The timestamp in milliseconds since 1970.
    pub timestamp: i64,
    /// What the timestamp is of.
    pub timestamp_type: TimestampType,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    /// The headers in their order.
    pub headers: &'a [(&'a str, Option<&'a [u8]>)],
}

/// What a timestamp is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampType {
    /// The record's creation.
    CreateTime,
    /// Its arrival in the log.
    LogAppendTime,
    /// Not known.
    None,
}

/// A record as it stands in an event; what it holds is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    pub partition: i32,
    pub offset: i64,
    /// The timestamp in milliseconds since 1970.
    pub timestamp: i64,
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

impl Envelope {
    /// The envelope of a topic's events.
    pub fn new(topic: &str, bootstrap_servers: &str) -> Self {
        let mut key = quoted(topic);
        key.pop();
        Self {
            topic: topic.to_owned(),
            head: format!(
                r#"{{"eventSource":"SelfManagedKafka","bootstrapServers":{},"records":{{"#,
                quoted(bootstrap_servers)
            ),
            key,
        }
    }

    /// The topic's name.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// A record of the topic, written as Lambda does: a key or value that is null is left out, and a header's bytes are
    /// signed.
    pub fn record(&self, source: &Source<'_>) -> Record {
        let Source { partition, offset, timestamp, timestamp_type, key, value, headers } = *source;
        let timestamp_type = match timestamp_type {
            TimestampType::CreateTime => "CREATE_TIME",
            TimestampType::LogAppendTime => "LOG_APPEND_TIME",
            TimestampType::None => "NO_TIMESTAMP_TYPE",
        };
        let mut json = format!(
            r#"{{"topic":{}","partition":{partition},"offset":{offset},"timestamp":{timestamp},"timestampType":"{timestamp_type}""#,
            self.key
        );
        for (name, bytes) in [("key", key), ("value", value)] {
            if let Some(bytes) = bytes {
                json.extend([",\"", name, "\":\""]);
                BASE64.encode_string(bytes, &mut json);
                json.push('"');
            }
        }
        json.push_str(r#","headers":["#);
        for (index, (name, bytes)) in headers.iter().enumerate() {
            json.push_str(if index == 0 { "{" } else { ",{" });
            json.push_str(&quoted(name));
            json.push(':');
            match bytes {
                Some(bytes) => push_signed(&mut json, bytes),
                None => json.push_str("null"),
            }
            json.push('}');
        }
        json.push_str("]}");
        Record { partition, offset, timestamp, json }
    }

    /// The event of these records, which each partition's come in order.
    pub fn event(&self, records: &[Arc<Record>]) -> String {
        let mut partitions: BTreeMap<i32, Vec<&Record>> = BTreeMap::new();
        for record in records {
            partitions.entry(record.partition).or_default().push(record);
        }
        let mut size = self.size();
        for record in records {
            size.add(record.partition, record.length());
        }
        let mut json = String::with_capacity(size.bytes());
        json.push_str(&self.head);
        for (position, (partition, records)) in partitions.iter().enumerate() {
            if position > 0 {
                json.push(',');
            }
            json.push_str(&self.key);
            json.extend(["-", &partition.to_string(), "\":["]);
            for (position, record) in records.iter().enumerate() {
                if position > 0 {
                    json.push(',');
                }
                json.push_str(&record.json);
            }
            json.push(']');
        }
        json.push_str("}}");
        json
    }

    /// The size of an event without records.
    pub fn size(&self) -> Size {
        Size {
            bytes: self.head.len() + "}}".len(),
            bytes_of_key: self.key.len(),
            partitions: BTreeSet::new(),
        }
    }

    /// Whether no event can hold the record.
    pub fn is_too_large(&self, record: &Record) -> bool {
        self.size().with(record.partition, record.length()) > MAX_EVENT_BYTES
    }
}

/// The exact size of an event that grows.
#[derive(Clone, Debug)]
pub struct Size {
    bytes: usize,
    bytes_of_key: usize,
    /// Those that it has records of.
    partitions: BTreeSet<i32>,
}

impl Size {
    /// How many bytes the event has.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many it would have with one more record of that length.
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

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn push_signed(json: &mut String, bytes: &[u8]) {
    json.push('[');
    for (index, byte) in bytes.iter().enumerate() {
        if index > 0 {
            json.push(',');
        }
        json.push_str(&byte.cast_signed().to_string());
    }
    json.push(']');
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: Source<'_> = Source {
        partition: 0,
        offset: 15,
        timestamp: 1_545_084_650_987,
        timestamp_type: TimestampType::CreateTime,
        key: Some(b"k"),
        value: Some(b"Hello, this is a test."),
        headers: &[],
    };

    fn envelope() -> Envelope {
        Envelope::new("my-topic", "b-2:9092,b-1:9092")
    }

    #[test]
    fn records_are_written_as_lambda_does() {
        #[track_caller]
        fn check(source: Source<'_>, expected: &str) {
            let record = envelope().record(&source);
            assert_eq!(record.json, expected);
            assert_eq!(record.length(), expected.len());
        }

        let head = r#"{"topic":"my-topic","partition":0,"offset":15,"timestamp":1545084650987,"timestampType":"#;
        check(
            SOURCE,
            &format!(
                r#"{head}"CREATE_TIME","key":"aw==","value":"SGVsbG8sIHRoaXMgaXMgYSB0ZXN0Lg==","headers":[]}}"#
            ),
        );
        check(
            Source { key: None, value: None, ..SOURCE },
            &format!(r#"{head}"CREATE_TIME","headers":[]}}"#),
        );
        check(
            Source { key: Some(b""), value: Some(b""), ..SOURCE },
            &format!(r#"{head}"CREATE_TIME","key":"","value":"","headers":[]}}"#),
        );
        check(
            Source {
                key: None,
                value: None,
                timestamp_type: TimestampType::LogAppendTime,
                headers: &[("h\"", Some(&[118, 220, 0, 127, 128])), ("h\"", Some(b"")), ("", None)],
                ..SOURCE
            },
            &format!(
                r#"{head}"LOG_APPEND_TIME","headers":[{{"h\"":[118,-36,0,127,-128]}},{{"h\"":[]}},{{"":null}}]}}"#
            ),
        );
        check(
            Source {
                partition: 12,
                offset: 0,
                timestamp: -1,
                timestamp_type: TimestampType::None,
                key: None,
                value: None,
                ..SOURCE
            },
            r#"{"topic":"my-topic","partition":12,"offset":0,"timestamp":-1,"timestampType":"NO_TIMESTAMP_TYPE","headers":[]}"#,
        );
    }

    #[test]
    fn events_group_by_partition_and_their_size_is_known() {
        #[track_caller]
        fn check(coordinates: &[(i32, i64)], expected: &str) {
            let envelope = envelope();
            let mut size = envelope.size();
            let mut records = Vec::new();
            for &(partition, offset) in coordinates {
                let source = Source { partition, offset, key: None, value: None, ..SOURCE };
                let record = envelope.record(&source);
                let with = size.with(partition, record.length());
                size.add(partition, record.length());
                assert_eq!(size.bytes(), with);
                records.push(Arc::new(record));
            }
            let event = envelope.event(&records);
            assert_eq!(event.len(), size.bytes(), "{event}");
            let event = event.replace(
                r#","timestamp":1545084650987,"timestampType":"CREATE_TIME","headers":[]"#,
                "",
            );
            let event = event.replace(r#""topic":"my-topic","#, "");
            assert_eq!(event, expected);
        }

        let head = r#"{"eventSource":"SelfManagedKafka","bootstrapServers":"b-2:9092,b-1:9092","records":{"#;
        check(&[], &format!("{head}}}}}"));
        check(&[(0, 7)], &format!(r#"{head}"my-topic-0":[{{"partition":0,"offset":7}}]}}}}"#));
        check(
            &[(10, 1), (2, 5), (10, 3)],
            &format!(
                r#"{head}"my-topic-2":[{{"partition":2,"offset":5}}],"my-topic-10":[{{"partition":10,"offset":1}},{{"partition":10,"offset":3}}]}}}}"#
            ),
        );
    }

    #[test]
    fn a_record_is_too_large_from_the_first_byte_above_the_limit() {
        #[track_caller]
        fn check(name_of_header: usize, expected: bool) {
            let name = "h".repeat(name_of_header);
            let source = Source { key: None, value: None, headers: &[(&name, None)], ..SOURCE };
            let record = envelope().record(&source);
            assert_eq!(envelope().is_too_large(&record), expected);
            let event = envelope().event(&[Arc::new(record)]);
            assert_eq!(event.len() > MAX_EVENT_BYTES, expected);
        }

        let source = Source { key: None, value: None, headers: &[("", None)], ..SOURCE };
        let rest = envelope().event(&[Arc::new(envelope().record(&source))]).len();
        check(MAX_EVENT_BYTES - rest, false);
        check(MAX_EVENT_BYTES - rest + 1, true);
    }
}
