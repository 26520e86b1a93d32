//! Topics of the real Kafka: created, deleted, filled, and how far a group has come in them.

use std::{
    collections::BTreeMap,
    sync::{Mutex, mpsc},
    time::Duration,
};

use rdkafka::{
    ClientConfig, ClientContext, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    config::{FromClientConfig as _, FromClientConfigAndContext as _},
    consumer::{BaseConsumer, CommitMode, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
    message::{Header, OwnedHeaders},
    metadata::MetadataTopic,
    producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer},
};

use crate::record::{Produced, Record};

const TIMEOUT: Duration = Duration::from_secs(30);

/// A cluster.
#[derive(Clone, Debug)]
pub(crate) struct Topics {
    servers: String,
}

impl Topics {
    pub(crate) fn new(servers: String) -> Self {
        Self { servers }
    }

    pub(crate) async fn create(&self, topic: &str, partitions: i32) {
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        let created = self.admin().create_topics([&new], &options()).await.unwrap();
        created[0].as_ref().unwrap();
        self.wait_for(topic, partitions).await;
    }

    /// Deletes a topic and waits until it is gone.
    pub(crate) async fn delete(&self, topic: &str) {
        let deleted = self.admin().delete_topics(&[topic], &options()).await.unwrap();
        deleted[0].as_ref().unwrap();
        while self.partitions(topic).await > 0 {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Deletes a topic's records, so that a run's disk holds one scenario's at a time.
    pub(crate) async fn delete_if_there(&self, topic: &str) {
        if self.partitions(topic).await > 0 {
            self.delete(topic).await;
        }
    }

    /// Raises the number of a topic's partitions and waits until producers see it.
    pub(crate) async fn raise(&self, topic: &str, partitions: i32) {
        let new = NewPartitions::new(topic, usize::try_from(partitions).unwrap());
        let raised = self.admin().create_partitions([&new], &options()).await.unwrap();
        raised[0].as_ref().unwrap();
        self.wait_for(topic, partitions).await;
    }

    /// Waits until so many partitions of a topic are led by a broker.
    async fn wait_for(&self, topic: &str, partitions: i32) {
        while self.partitions(topic).await < usize::try_from(partitions).unwrap() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// How many partitions a topic has that are led by a broker; none if there is no such topic.
    async fn partitions(&self, topic: &str) -> usize {
        let (consumer, topic) = (self.consumer(None), topic.to_owned());
        let ask = move || {
            let metadata = consumer.fetch_metadata(Some(&topic), TIMEOUT).unwrap();
            let partitions = metadata.topics().iter().flat_map(MetadataTopic::partitions);
            partitions.filter(|it| it.leader() >= 0 && it.error().is_none()).count()
        };
        tokio::task::spawn_blocking(ask).await.unwrap()
    }

    /// Produces records in their order and says where each one lies. It blocks: a thread of its own is the place for
    /// it.
    ///
    /// `pause` is the time after each hundred, for a load that lasts.
    pub(crate) fn produce(
        &self,
        topic: &str,
        records: Vec<Record>,
        pause: Duration,
    ) -> Vec<Produced> {
        let (sender, places_of) = mpsc::channel();
        let producer: ThreadedProducer<Deliveries> = ThreadedProducer::from_config_and_context(
            ClientConfig::new()
                .set("bootstrap.servers", &self.servers)
                // In order also where a request is repeated.
                .set("enable.idempotence", "true")
                .set("linger.ms", "20")
                .set("queue.buffering.max.messages", "50000")
                .set("message.timeout.ms", "120000"),
            Deliveries(Mutex::new(sender)),
        )
        .unwrap();
        // It must know all partitions before the first record is for one of them.
        producer.client().fetch_metadata(Some(topic), TIMEOUT).unwrap();
        for (index, record) in records.iter().enumerate() {
            if index % 100 == 99 && !pause.is_zero() {
                std::thread::sleep(pause);
            }
            let mut to_send = base_record(topic, index, record);
            loop {
                match producer.send(to_send) {
                    Ok(()) => break,
                    Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                        to_send = back;
                        std::thread::sleep(Duration::from_millis(10));
                    }
                    Err((error, _)) => panic!("cannot produce: {error}"),
                }
            }
        }
        producer.flush(Duration::from_mins(5)).unwrap();
        drop(producer);
        let mut places: Vec<Option<(i32, i64)>> = vec![None; records.len()];
        for (index, place) in places_of.iter().take(records.len()) {
            places[index] = Some(place.unwrap_or_else(|error| panic!("not produced: {error}")));
        }
        let all = records.into_iter().zip(places).map(|(record, place)| {
            let (partition, offset) = place.unwrap();
            Produced { record, partition, offset, epoch: 0 }
        });
        all.collect()
    }

    /// The next offset of each partition.
    pub(crate) async fn ends(&self, topic: &str) -> BTreeMap<i32, i64> {
        let partitions = self.partitions(topic).await;
        let (consumer, topic) = (self.consumer(None), topic.to_owned());
        let ask = move || {
            let end = |partition| consumer.fetch_watermarks(&topic, partition, TIMEOUT).unwrap().1;
            (0..i32::try_from(partitions).unwrap()).map(|it| (it, end(it))).collect()
        };
        tokio::task::spawn_blocking(ask).await.unwrap()
    }

    /// How many records of a topic a group has not committed yet; nothing while the cluster does not answer.
    pub(crate) async fn lag(
        &self,
        topic: &str,
        group: &str,
        ends: &BTreeMap<i32, i64>,
    ) -> Option<i64> {
        let consumer = self.consumer(Some(group));
        let mut list = TopicPartitionList::new();
        for partition in ends.keys() {
            list.add_partition(topic, *partition);
        }
        let ask = move || consumer.committed_offsets(list, Duration::from_secs(5));
        let committed = tokio::task::spawn_blocking(ask).await.unwrap().ok()?;
        let lags = committed.elements().into_iter().map(|it| {
            let end = ends[&it.partition()];
            match it.offset() {
                Offset::Offset(offset) => end - offset,
                _ => end,
            }
        });
        Some(lags.sum())
    }

    /// Sets a group's offsets of a topic back to a share of what they could be at most; the group must be empty.
    pub(crate) async fn set_back(&self, topic: &str, group: &str, share: f64) {
        let ends = self.ends(topic).await;
        let mut list = TopicPartitionList::new();
        for (partition, end) in ends {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_precision_loss,
                reason = "small"
            )]
            let offset = (end as f64 * share) as i64;
            list.add_partition_offset(topic, partition, Offset::Offset(offset)).unwrap();
        }
        let consumer = self.consumer(Some(group));
        let commit = move || consumer.commit(&list, CommitMode::Sync);
        tokio::task::spawn_blocking(commit).await.unwrap().unwrap();
    }

    /// Deletes each partition's records below an offset, as retention does.
    pub(crate) async fn delete_records(&self, topic: &str, below: &BTreeMap<i32, i64>) {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in below {
            list.add_partition_offset(topic, *partition, Offset::Offset(*offset)).unwrap();
        }
        let deleted = self.admin().delete_records(&list, &options()).await.unwrap();
        for it in deleted.elements() {
            it.error().unwrap();
        }
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        AdminClient::from_config(ClientConfig::new().set("bootstrap.servers", &self.servers))
            .unwrap()
    }

    fn consumer(&self, group: Option<&str>) -> BaseConsumer {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.servers).set("enable.auto.commit", "false");
        if let Some(group) = group {
            config.set("group.id", group);
        }
        config.create().unwrap()
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(TIMEOUT)).request_timeout(Some(TIMEOUT))
}

type ToSend<'a> = BaseRecord<'a, [u8], [u8], usize>;

fn base_record<'a>(topic: &'a str, index: usize, record: &'a Record) -> ToSend<'a> {
    let mut base = ToSend::with_opaque_to(topic, index).timestamp(record.timestamp);
    if let Some(partition) = record.partition {
        base = base.partition(partition);
    }
    if let Some(key) = &record.key {
        base = base.key(key);
    }
    if let Some(value) = &record.value {
        base = base.payload(value);
    }
    if !record.headers.is_empty() {
        let headers = record.headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: value.as_deref() })
        });
        base = base.headers(headers);
    }
    base
}

/// Tells where each record was put.
struct Deliveries(Mutex<mpsc::Sender<Delivery>>);

/// The position of a record, and its partition and offset.
type Delivery = (usize, Result<(i32, i64), KafkaError>);

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, index: usize) {
        use rdkafka::Message as _;
        let place = match result {
            Ok(message) => Ok((message.partition(), message.offset())),
            Err((error, _)) => Err(error.clone()),
        };
        // Nobody listens any more only after a panic.
        let _ = self.0.lock().unwrap().send((index, place));
    }
}
