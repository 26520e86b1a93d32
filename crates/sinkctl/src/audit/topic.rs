//! The edge to Kafka: a topic's partitions one after the other, each from its first record to its end.

use std::{borrow::Cow, time::Duration};

use anyhow::Context as _;
use kafka_event::Record;
use rdkafka::{
    Message, Offset, Timestamp, TopicPartitionList,
    consumer::{Consumer, StreamConsumer},
    error::KafkaError,
    message::BorrowedMessage,
};

use crate::kafka::{self, Source, Span, Spans};

/// How long nothing may come of a partition before the audit gives up.
const PATIENCE: Duration = Duration::from_mins(1);

/// The client's properties, of which `-X` may change those that are not reserved.
const PROPERTIES: [(&str, &str); 4] = [
    // The client wants a group, but takes no part in it: nothing is subscribed to or committed.
    ("group.id", "compare-connector-audit"),
    ("client.id", "compare-connector-audit"),
    ("enable.auto.commit", "false"),
    ("auto.offset.reset", "error"),
];

/// A topic that can be read more than once.
pub trait Topic {
    /// The offsets that each partition holds now.
    async fn spans(&self) -> anyhow::Result<Spans>;

    /// Reads a partition's records in their order. Offsets may be missing: what was compacted or aborted.
    async fn read(
        &self,
        partition: i32,
        span: Span,
        take: &mut dyn FnMut(&Record<'_>),
    ) -> anyhow::Result<()>;
}

/// A topic of a real cluster.
pub struct KafkaTopic {
    consumer: StreamConsumer,
    topic: String,
    servers: String,
}

impl KafkaTopic {
    /// Sets the client up; it connects when it is first asked.
    pub fn new(topic: &str, source: &Source) -> anyhow::Result<Self> {
        let consumer = source.config(&PROPERTIES, &[])?.create().map_err(kafka::no_client)?;
        let servers = source.bootstrap_servers.clone();
        Ok(Self { consumer, topic: topic.to_owned(), servers })
    }
}

impl Topic for KafkaTopic {
    async fn spans(&self) -> anyhow::Result<Spans> {
        let Self { topic, servers, .. } = self;
        let spans = kafka::spans(&self.consumer, topic).with_context(|| {
            format!(
                "the partitions of topic `{topic}` cannot be read from {servers}: start Kafka there, or name the \
                 brokers with `--bootstrap-servers`"
            )
        })?;
        spans.filter(|it| !it.is_empty()).with_context(|| {
            format!(
                "there is no topic `{topic}` at {servers}: name another with `--parameter`, such as \
                 `TopicNamespace=…`, or other brokers"
            )
        })
    }

    async fn read(
        &self,
        partition: i32,
        span: Span,
        take: &mut dyn FnMut(&Record<'_>),
    ) -> anyhow::Result<()> {
        let mut offset = span.first;
        if offset >= span.end {
            return Ok(());
        }
        let mut list = TopicPartitionList::new();
        let added = list.add_partition_offset(&self.topic, partition, Offset::Offset(offset));
        let assigned = added.and_then(|()| self.consumer.assign(&list));
        assigned.with_context(|| cannot_read(partition, offset))?;
        while offset < span.end {
            let received = tokio::time::timeout(PATIENCE, self.consumer.recv()).await;
            let received = received.with_context(|| {
                let seconds = PATIENCE.as_secs();
                format!("nothing came of partition {partition} at offset {offset} for {seconds} s")
            })?;
            match received {
                // What was fetched for an earlier assignment may still come.
                Ok(message) if message.partition() != partition || message.offset() < offset => {}
                Ok(message) if message.offset() >= span.end => break,
                Ok(message) => {
                    take(&record(&message));
                    offset = message.offset() + 1;
                }
                Err(KafkaError::PartitionEOF(ended)) if ended == partition => break,
                Err(KafkaError::PartitionEOF(_)) => {}
                // The client goes on by itself where a broker is away for a while.
                Err(error) if is_passing(&error) => {}
                Err(error) => return Err(error).with_context(|| cannot_read(partition, offset)),
            }
        }
        Ok(())
    }
}

/// The record as an event source mapping hands it to a function. Its headers are left out: no sink maps them, and the
/// client cannot read one whose name is no text.
fn record<'a>(message: &'a BorrowedMessage<'_>) -> Record<'a> {
    Record {
        topic: Cow::Borrowed(message.topic()),
        partition: message.partition(),
        offset: message.offset(),
        timestamp: match message.timestamp() {
            Timestamp::NotAvailable => -1,
            Timestamp::CreateTime(time) | Timestamp::LogAppendTime(time) => time,
        },
        timestamp_type: None,
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: Vec::new(),
        key_schema: None,
        value_schema: None,
        epoch: None,
    }
}

fn cannot_read(partition: i32, offset: i64) -> String {
    format!("partition {partition} cannot be read at offset {offset}")
}

fn is_passing(error: &KafkaError) -> bool {
    use rdkafka::types::RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::BrokerTransportFailure
                | Code::AllBrokersDown
                | Code::OperationTimedOut
                | Code::RequestTimedOut
                | Code::LeaderNotAvailable
                | Code::NotLeaderForPartition
                | Code::Resolve
        )
    )
}
