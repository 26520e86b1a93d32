//! The edge to Kafka: a topic's partitions one after the other, each from its first record to its end.

use std::{borrow::Cow, time::Duration};

use kafka_event::Record;
use rdkafka::{
    ClientConfig, Message, Offset, Timestamp, TopicPartitionList,
    consumer::{Consumer, StreamConsumer},
    error::KafkaError,
    message::BorrowedMessage,
};

use super::judge::{Span, Spans};
use crate::kafka;

/// How long the cluster may take to say what a topic's partitions are.
const ANSWER_TIME: Duration = Duration::from_secs(20);

/// How long nothing may come of a partition before the audit gives up.
const PATIENCE: Duration = Duration::from_mins(1);

/// The client's properties, of which `-X` may change those that are not reserved.
const PROPERTIES: [(&str, &str); 6] = [
    // The client wants a group, but takes no part in it: nothing is subscribed to or committed.
    ("group.id", "compare-connector-audit"),
    ("client.id", "compare-connector-audit"),
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("enable.partition.eof", "true"),
    ("auto.offset.reset", "error"),
];

/// A topic that can be read more than once.
pub(super) trait Topic {
    /// The offsets that each partition holds now.
    async fn spans(&self) -> Result<Spans, TopicError>;

    /// Reads a partition's records in their order. Offsets may be missing: what was compacted or aborted.
    async fn read(
        &self,
        partition: i32,
        span: Span,
        take: &mut dyn FnMut(&Record<'_>),
    ) -> Result<(), TopicError>;

    /// Reads one record again; none if it is no longer there.
    async fn read_one(
        &self,
        partition: i32,
        offset: i64,
    ) -> Result<Option<Record<'static>>, TopicError>;
}

/// Why a topic can't be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TopicError {
    /// Occurs when a property is none of the client's, or has a value that it does not take. The value may be a secret.
    #[error("property `{name}` of the Kafka client can't be set: {problem}")]
    Property {
        /// The property's name.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Occurs when a property is given without which the topic would not be read as it must be.
    #[error(
        "the property `{property}` can't be given: it is set as the audit needs it; leave it out"
    )]
    ReservedProperty {
        /// The property's name.
        property: String,
    },
    /// Occurs when the client can't be set up for another reason.
    #[error("the Kafka client can't be set up")]
    Client(#[source] Box<KafkaError>),
    /// Occurs when the cluster does not say what partitions the topic has.
    #[error(
        "the partitions of topic `{topic}` can't be read from {servers}: start Kafka there, or name the brokers with `--bootstrap-servers`"
    )]
    Partitions {
        /// The topic.
        topic: String,
        /// The cluster.
        servers: String,
        /// Why.
        source: Box<KafkaError>,
    },
    /// Occurs when the topic does not exist.
    #[error(
        "there is no topic `{topic}` at {servers}: name another with `--parameter`, such as `TopicNamespace=…`, or other brokers"
    )]
    NoTopic {
        /// The topic.
        topic: String,
        /// The cluster.
        servers: String,
    },
    /// Occurs when a partition can't be read.
    #[error("partition {partition} can't be read at offset {offset}")]
    Read {
        /// The partition.
        partition: i32,
        /// The offset to be read next.
        offset: i64,
        /// Why.
        source: Box<KafkaError>,
    },
    /// Occurs when nothing comes of a partition for a while.
    #[error("nothing came of partition {partition} at offset {offset} for {} s", PATIENCE.as_secs())]
    Silence {
        /// The partition.
        partition: i32,
        /// The offset to be read next.
        offset: i64,
    },
}

/// A topic of a real cluster.
pub(super) struct KafkaTopic {
    consumer: StreamConsumer,
    topic: String,
    servers: String,
}

impl KafkaTopic {
    /// Sets the client up; it connects when it is first asked.
    pub(super) fn new(
        topic: &str,
        servers: &str,
        properties: &[(String, String)],
    ) -> Result<Self, TopicError> {
        if let Some(property) = kafka::reserved_property(properties, &[]) {
            return Err(TopicError::ReservedProperty { property: property.to_owned() });
        }
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", servers);
        for (name, value) in PROPERTIES {
            config.set(name, value);
        }
        for (name, value) in properties {
            config.set(name, value);
        }
        let consumer = config.create().map_err(|error| match error {
            KafkaError::ClientConfig(_, problem, name, _) => TopicError::Property { name, problem },
            error => TopicError::Client(Box::new(error)),
        })?;
        Ok(Self { consumer, topic: topic.to_owned(), servers: servers.to_owned() })
    }

    fn assign(&self, partition: i32, offset: i64) -> Result<(), TopicError> {
        let failed = |source| TopicError::Read { partition, offset, source: Box::new(source) };
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.topic, partition, Offset::Offset(offset))
            .map_err(failed)?;
        self.consumer.assign(&list).map_err(failed)
    }

    /// The next record from `offset` on; none at the partition's end.
    async fn next(
        &self,
        partition: i32,
        offset: i64,
    ) -> Result<Option<BorrowedMessage<'_>>, TopicError> {
        loop {
            let received = tokio::time::timeout(PATIENCE, self.consumer.recv()).await;
            match received.map_err(|_| TopicError::Silence { partition, offset })? {
                // What was fetched for an earlier assignment may still come.
                Ok(message) if message.partition() != partition || message.offset() < offset => {}
                Ok(message) => return Ok(Some(message)),
                Err(KafkaError::PartitionEOF(ended)) if ended == partition => return Ok(None),
                Err(KafkaError::PartitionEOF(_)) => {}
                // The client goes on by itself where a broker is away for a while.
                Err(error) if is_passing(&error) => {}
                Err(source) => {
                    let source = Box::new(source);
                    return Err(TopicError::Read { partition, offset, source });
                }
            }
        }
    }
}

impl Topic for KafkaTopic {
    async fn spans(&self) -> Result<Spans, TopicError> {
        let failed = |source: KafkaError| TopicError::Partitions {
            topic: self.topic.clone(),
            servers: self.servers.clone(),
            source: Box::new(source),
        };
        let metadata =
            self.consumer.fetch_metadata(Some(&self.topic), ANSWER_TIME).map_err(failed)?;
        let topic = metadata.topics().iter().find(|topic| topic.name() == self.topic);
        let partitions = topic.map_or(&[][..], |topic| topic.partitions());
        if partitions.is_empty() {
            return Err(TopicError::NoTopic {
                topic: self.topic.clone(),
                servers: self.servers.clone(),
            });
        }
        let span = |partition: i32| {
            let (first, end) = self
                .consumer
                .fetch_watermarks(&self.topic, partition, ANSWER_TIME)
                .map_err(failed)?;
            Ok((partition, Span { first, end }))
        };
        partitions.iter().map(|partition| span(partition.id())).collect()
    }

    async fn read(
        &self,
        partition: i32,
        span: Span,
        take: &mut dyn FnMut(&Record<'_>),
    ) -> Result<(), TopicError> {
        let mut offset = span.first;
        if offset < span.end {
            self.assign(partition, offset)?;
        }
        while offset < span.end {
            let Some(message) = self.next(partition, offset).await? else { break };
            if message.offset() >= span.end {
                break;
            }
            take(&record(&message));
            offset = message.offset() + 1;
        }
        Ok(())
    }

    async fn read_one(
        &self,
        partition: i32,
        offset: i64,
    ) -> Result<Option<Record<'static>>, TopicError> {
        self.assign(partition, offset)?;
        let message = self.next(partition, offset).await?;
        let message = message.filter(|message| message.offset() == offset);
        Ok(message.map(|message| {
            let record = record(&message);
            Record {
                topic: Cow::Owned(record.topic.into_owned()),
                timestamp_type: None,
                headers: Vec::new(),
                key_schema: None,
                value_schema: None,
                ..record
            }
        }))
    }
}

/// The record as an event source mapping hands it to a function. Its headers are left out: no sink maps them, and the
/// client can't read one whose name is no text.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn properties_that_the_audit_relies_on_are_refused() {
        #[track_caller]
        fn check(name: &str, value: &str, error: &str) {
            let properties = [(name.to_owned(), value.to_owned())];
            let topic = KafkaTopic::new("topic", "127.0.0.1:1", &properties);
            assert_eq!(topic.err().map(|error| error.to_string()).unwrap_or_default(), error);
        }

        check("client.id", "mine", "");
        check("group.id", "mine", "");
        for name in [
            "bootstrap.servers",
            "metadata.broker.list",
            "enable.partition.eof",
            "auto.offset.reset",
        ] {
            let error = format!(
                "the property `{name}` can't be given: it is set as the audit needs it; leave it out"
            );
            check(name, "127.0.0.1:2", &error);
        }
    }
}
