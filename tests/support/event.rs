//! Builds the events that Lambda sends.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

/// An event from a self-managed cluster, its records in the order in which they were added.
#[derive(Clone, Debug, Default)]
pub(crate) struct Event {
    pub(crate) records: Vec<Record>,
}

/// A Kafka record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) epoch: Option<u64>,
}

impl Event {
    pub(crate) fn new(records: impl IntoIterator<Item = Record>) -> Self {
        Self { records: records.into_iter().collect() }
    }

    pub(crate) fn json(&self) -> String {
        let mut partitions: Map<String, Value> = Map::new();
        for record in &self.records {
            let name = format!("{}-{}", record.topic, record.partition);
            let records = partitions.entry(name).or_insert_with(|| json!([]));
            records.as_array_mut().unwrap().push(record.json());
        }
        let event = json!({
            "eventSource": "SelfManagedKafka",
            "bootstrapServers": "broker-1.example:9094",
            "records": partitions,
        });
        event.to_string()
    }
}

impl Record {
    /// A record of the Seatool topic; `value: None` deletes.
    pub(crate) fn seatool(
        key: &str,
        partition: i32,
        offset: i64,
        timestamp: i64,
        value: Option<&Value>,
    ) -> Self {
        Self {
            topic: sink_seatool_data::SINK.topic.to_owned(),
            partition,
            offset,
            timestamp,
            key: Some(json!(key).to_string().into_bytes()),
            value: value.map(|value| value.to_string().into_bytes()),
            epoch: None,
        }
    }

    /// A record of the Appian topic with `payload` beside the package's id and the source's time.
    pub(crate) fn appian(
        id: u64,
        source_time: i64,
        partition: i32,
        offset: i64,
        payload: Value,
    ) -> Self {
        let mut members = Map::new();
        members.insert("PCKG_ID".to_owned(), json!(id));
        members.insert("REPLICA_TIMESTAMP".to_owned(), json!(source_time));
        if let Value::Object(payload) = payload {
            members.extend(payload);
        }
        Self {
            topic: sink_appian_data::SINK.topic.to_owned(),
            partition,
            offset,
            timestamp: 1_700_000_000_000 + offset,
            key: None,
            value: Some(json!({"payload": members}).to_string().into_bytes()),
            epoch: None,
        }
    }

    fn json(&self) -> Value {
        let mut json = json!({
            "topic": self.topic,
            "partition": self.partition,
            "offset": self.offset,
            "timestamp": self.timestamp,
            "timestampType": "CREATE_TIME",
            "headers": [],
        });
        if let Some(key) = &self.key {
            json["key"] = STANDARD.encode(key).into();
        }
        if let Some(value) = &self.value {
            json["value"] = STANDARD.encode(value).into();
        }
        if let Some(epoch) = self.epoch {
            json["epoch"] = epoch.into();
        }
        json
    }
}
