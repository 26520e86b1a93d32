//! The writer that the sinks take over from: a mapping for each topic, both in one consumer group, no conditions, no
//! `_sink`, and what it cannot use or DynamoDB refuses is dropped.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use aws_sdk_dynamodb::{
    Client,
    types::{AttributeValue, DeleteRequest, PutRequest, WriteRequest},
};
use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    consumer::{CommitMode, Consumer as _, StreamConsumer},
    message::OwnedMessage,
};
use serde_json::{Map, Value};
use tokio::task::JoinHandle;

use crate::{
    compare::Item,
    record::Source,
    run::{Run, Stage},
};

/// The group of both mappings.
pub(crate) const GROUP: &str = "earlier-writer";

/// How long a batch's first record waits for more.
const WINDOW: Duration = Duration::from_millis(500);

/// The least records that it writes behind its last commit.
const BEHIND: usize = 50;

/// What it wrote of a record.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) key: String,
    /// Nothing is a delete.
    pub(crate) item: Option<Item>,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
}

/// What one of its mappings did.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// In the order in which it was written.
    pub(crate) written: Vec<Written>,
    /// The records that it gave up, and nobody was told.
    pub(crate) dropped: usize,
}

#[derive(Debug)]
pub(crate) struct EarlierWriter {
    stop: Arc<AtomicBool>,
    mappings: Vec<(Source, JoinHandle<Log>)>,
}

impl EarlierWriter {
    pub(crate) fn start(run: &Run, stage: &Stage) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let mapping = |source| {
            let consumer: StreamConsumer = ClientConfig::new()
                .set("bootstrap.servers", run.kafka.bootstrap_servers())
                .set("group.id", GROUP)
                .set("enable.auto.commit", "false")
                .set("auto.offset.reset", "earliest")
                .create()
                .unwrap();
            consumer.subscribe(&[&stage.topic(source)]).unwrap();
            let mapping =
                Mapping { source, consumer, client: run.client.clone(), log: Log::default() };
            (source, tokio::spawn(mapping.run(Arc::clone(&stop))))
        };
        Self { mappings: Source::BOTH.map(mapping).into(), stop }
    }

    /// Ends it behind its last commit, as a function does that is killed before its batch counts as done.
    pub(crate) async fn stop(self) -> BTreeMap<Source, Log> {
        self.stop.store(true, Ordering::Relaxed);
        let mut logs = BTreeMap::new();
        for (source, mapping) in self.mappings {
            logs.insert(source, mapping.await.unwrap());
        }
        logs
    }
}

struct Mapping {
    source: Source,
    consumer: StreamConsumer,
    client: Client,
    log: Log,
}

impl Mapping {
    async fn run(mut self, stop: Arc<AtomicBool>) -> Log {
        let mut behind = 0;
        while behind < BEHIND {
            let batch = self.batch().await;
            match self.source {
                Source::Appian => self.put_each(&batch).await,
                Source::Seatool => self.write_in_batches(&batch).await,
            }
            if stop.load(Ordering::Relaxed) {
                behind += batch.len();
            } else {
                self.commit(&batch);
            }
        }
        self.log
    }

    async fn batch(&self) -> Vec<OwnedMessage> {
        let size = match self.source {
            Source::Appian => 100,
            Source::Seatool => 500,
        };
        let mut batch = Vec::new();
        let fill = async {
            while batch.len() < size {
                batch.push(self.consumer.recv().await.unwrap().detach());
            }
        };
        // What came by then is the batch.
        let _ = tokio::time::timeout(WINDOW, fill).await;
        batch
    }

    fn commit(&self, batch: &[OwnedMessage]) {
        let mut list = TopicPartitionList::new();
        for message in batch {
            let (topic, partition) = (message.topic(), message.partition());
            let next = Offset::Offset(message.offset() + 1);
            match list.find_partition(topic, partition) {
                Some(mut element) => element.set_offset(next).unwrap(),
                None => list.add_partition_offset(topic, partition, next).unwrap(),
            }
        }
        if !batch.is_empty() {
            // It is refused while the group changes, and then the records come once more.
            let commit = || self.consumer.commit(&list, CommitMode::Sync);
            let _ = tokio::task::block_in_place(commit);
        }
    }

    async fn put_each(&mut self, batch: &[OwnedMessage]) {
        for message in batch {
            let Some(write @ Written { item: Some(item), .. }) = &read(self.source, message) else {
                self.log.dropped += 1;
                continue;
            };
            let put = self.client.put_item().table_name(self.source.table());
            match put.set_item(Some(item.clone())).send().await {
                Ok(_) => self.log.written.push(write.clone()),
                Err(_) => self.log.dropped += 1,
            }
        }
    }

    async fn write_in_batches(&mut self, batch: &[OwnedMessage]) {
        // The last write of a key counts.
        let mut writes: BTreeMap<String, Written> = BTreeMap::new();
        for message in batch {
            match read(self.source, message) {
                Some(write) => {
                    writes.insert(write.key.clone(), write);
                }
                None => self.log.dropped += 1,
            }
        }
        let writes: Vec<Written> = writes.into_values().collect();
        for writes in writes.chunks(25) {
            let requests = writes.iter().map(request).collect();
            let write = self.client.batch_write_item();
            // One that DynamoDB does not take takes the others with it.
            match write.request_items(self.source.table(), requests).send().await {
                Ok(_) => self.log.written.extend_from_slice(writes),
                Err(_) => self.log.dropped += writes.len(),
            }
        }
    }
}

fn request(write: &Written) -> WriteRequest {
    let request = WriteRequest::builder();
    let request = if let Some(item) = &write.item {
        request.put_request(PutRequest::builder().set_item(Some(item.clone())).build().unwrap())
    } else {
        let key = AttributeValue::S(write.key.clone());
        let delete = DeleteRequest::builder().key("PK", key.clone()).key("SK", key);
        request.delete_request(delete.build().unwrap())
    };
    request.build()
}

/// What it makes of a record, if it can use it.
fn read(source: Source, message: &OwnedMessage) -> Option<Written> {
    let (partition, offset) = (message.partition(), message.offset());
    let text = message.payload().unwrap_or_default();
    let value: serde_json::Result<Value> = serde_json::from_slice(text);
    let key = match source {
        Source::Appian => match &value.as_ref().ok()?["payload"]["PCKG_ID"] {
            Value::Null => return None,
            Value::String(text) => text.clone(),
            id => id.to_string(),
        },
        Source::Seatool => serde_json::from_slice(message.key()?).ok()?,
    };
    if source == Source::Seatool && (text.is_empty() || text == b"null") {
        return Some(Written { key, item: None, partition, offset });
    }
    let Ok(Value::Object(mut members)) = value else { return None };
    if ["PK", "SK", "_sink"].iter().any(|name| members.contains_key(*name)) {
        return None;
    }
    members.extend(["PK", "SK"].map(|name| (name.to_owned(), Value::String(key.clone()))));
    Some(Written { key, item: Some(attributes(&members)?), partition, offset })
}

fn attributes(members: &Map<String, Value>) -> Option<Item> {
    members.iter().map(|(name, value)| Some((name.clone(), attribute(value)?))).collect()
}

fn attribute(value: &Value) -> Option<AttributeValue> {
    /// All numbers are floats to it, and above this one they are not exact.
    const MOST: f64 = 9_007_199_254_740_991.0;
    Some(match value {
        Value::Null => AttributeValue::Null(true),
        Value::Bool(value) => AttributeValue::Bool(*value),
        Value::Number(number) if number.as_f64()?.abs() > MOST => return None,
        Value::Number(number) => AttributeValue::N(number.to_string()),
        Value::String(text) => AttributeValue::S(text.clone()),
        Value::Array(values) => {
            AttributeValue::L(values.iter().map(attribute).collect::<Option<_>>()?)
        }
        Value::Object(members) => AttributeValue::M(attributes(members)?),
    })
}
