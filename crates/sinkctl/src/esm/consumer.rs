//! The Kafka client of a mapping: its settings, and what it does when partitions come and go.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use local::{
    lock::lock,
    template::{Mapping, StartingPosition},
};
use rdkafka::{
    ClientContext, Offset, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer as _, ConsumerContext, StreamConsumer},
    error::{KafkaError, KafkaResult},
    topic_partition_list::TopicPartitionListElem,
    types::{RDKafkaErrorCode, RDKafkaRespErr},
};

use super::report::Report;
use crate::kafka::{self, ANSWER_TIME};

/// How often, and with which time between, it is asked where new partitions begin.
const START_ATTEMPTS: usize = 6;
const START_DELAY: Duration = Duration::from_millis(500);

/// The consumer of a mapping.
pub(super) type Consumer = StreamConsumer<Assignments>;

/// What the mapping hears of its partitions.
pub(super) struct Assignments {
    function: String,
    starting_position: StartingPosition,
    is_cooperative: bool,
    is_closing: AtomicBool,
    changes: Mutex<VecDeque<Change>>,
    report: Arc<Report>,
}

/// A change of the partitions that the consumer has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// These came, each with the offset that it begins at, where it is known.
    Assigned(BTreeMap<i32, Option<i64>>),
    /// These went.
    Revoked(Vec<i32>),
}

impl Assignments {
    fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::SeqCst)
    }

    /// The next change.
    pub(super) fn next_change(&self) -> Option<Change> {
        lock(&self.changes).pop_front()
    }

    /// From now on partitions that come are not taken, and nothing more is asked of the brokers: a client that closes
    /// calls back a last time, and would wait for ever for what it answers itself.
    pub(super) fn close(&self) {
        self.is_closing.store(true, Ordering::SeqCst);
    }

    /// Where each of the partitions begins, also while the brokers still settle who leads them.
    fn starts_at_last(
        &self,
        consumer: &BaseConsumer<Self>,
        partitions: &TopicPartitionList,
    ) -> TopicPartitionList {
        for _ in 0..START_ATTEMPTS {
            if self.is_closing() {
                break;
            }
            match self.starts(consumer, partitions) {
                Ok(starts) => return starts,
                Err(error) => {
                    let name = &self.function;
                    self.report.trouble(&format!("{name}: cannot read where to begin: {error}"));
                    std::thread::sleep(START_DELAY);
                }
            }
        }
        // The client looks itself, as soon as it can.
        partitions.clone()
    }

    /// Where each of the partitions begins: at the group's offset, else at the mapping's starting position.
    fn starts(
        &self,
        consumer: &BaseConsumer<Self>,
        partitions: &TopicPartitionList,
    ) -> KafkaResult<TopicPartitionList> {
        let committed = consumer.committed_offsets(partitions.clone(), ANSWER_TIME)?;
        let mut starts = TopicPartitionList::new();
        let mut committed_ones = 0;
        for element in committed.elements() {
            element.error()?;
            let (topic, partition) = (element.topic(), element.partition());
            let span = || consumer.fetch_watermarks(topic, partition, ANSWER_TIME);
            let start = match (known(element.offset()), self.starting_position) {
                (Some(offset), _) => {
                    committed_ones += 1;
                    offset
                }
                (None, StartingPosition::Latest) => span()?.1,
                (None, StartingPosition::TrimHorizon) => span()?.0,
                (None, StartingPosition::AtTimestamp(seconds)) => {
                    let milliseconds = i64::try_from(seconds.saturating_mul(1000));
                    let time = Offset::Offset(milliseconds.unwrap_or(i64::MAX));
                    let times = list(topic, [(partition, time)])?;
                    let found = consumer.offsets_for_times(times, ANSWER_TIME)?;
                    match found.elements().first().and_then(|it| known(it.offset())) {
                        Some(offset) => offset,
                        // All records are older.
                        None => span()?.1,
                    }
                }
            };
            starts.add_partition_offset(topic, partition, Offset::Offset(start))?;
        }
        let (name, new) = (&self.function, starts.count() - committed_ones);
        self.report.line(&format!(
            "{name}: partitions: {committed_ones} go on at the group's offsets, {new} begin at {}",
            self.starting_position
        ));
        Ok(starts)
    }
}

impl ClientContext for Assignments {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // Errors come a second time by the next function; what is less is of no use while all goes well.
        if matches!(
            level,
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical
        ) {
            self.report.trouble(&format!("{}: Kafka: {facility}: {message}", self.function));
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // The end of a partition comes with the records.
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::PartitionEOF) {
            return;
        }
        let kind = format!("{}: Kafka: {error}", self.function);
        self.report.trouble_of_kind(&kind, &format!("{kind}: {reason}"));
    }
}

impl ConsumerContext for Assignments {
    /// Begins where the mapping says, which the client's own way to begin cannot: it knows no timestamp, and forgets
    /// the end of a topic that it began at.
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        code: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let comes = code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        let is_refused = comes && self.is_closing();
        let partitions = match comes {
            true if is_refused => &TopicPartitionList::new(),
            true => &self.starts_at_last(consumer, partitions),
            false => &*partitions,
        };
        let result = match (comes, self.is_cooperative) {
            (true, true) => consumer.incremental_assign(partitions),
            (true, false) => consumer.assign(partitions),
            (false, true) => consumer.incremental_unassign(partitions),
            (false, false) => consumer.unassign(),
        };
        if is_refused {
            // Whether the client hears that makes no difference any more.
            return;
        }
        if let Err(error) = result {
            self.report.trouble(&format!("{}: cannot change partitions: {error}", self.function));
        }
        let elements = partitions.elements();
        lock(&self.changes).push_back(if comes {
            let starts = elements.iter().map(|it| (it.partition(), known(it.offset())));
            Change::Assigned(starts.collect())
        } else {
            Change::Revoked(elements.iter().map(TopicPartitionListElem::partition).collect())
        });
    }

    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        match result {
            Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => {}
            // The client tries again; if the partition went, its records come again elsewhere.
            Err(error) => {
                self.report.trouble(&format!("{}: cannot commit: {error}", self.function));
            }
        }
    }
}

/// Makes the consumer of a mapping.
pub(super) fn consumer(
    function: &str,
    settings: &Mapping,
    source: &kafka::Source,
    report: &Arc<Report>,
) -> anyhow::Result<Consumer> {
    let context = Assignments {
        function: function.to_owned(),
        starting_position: settings.starting_position,
        // The client's own answer to this would be waited for without an end while it closes.
        is_cooperative: source.properties.iter().any(|(name, value)| {
            name == "partition.assignment.strategy" && value.contains("cooperative")
        }),
        is_closing: AtomicBool::new(false),
        changes: Mutex::default(),
        report: Arc::clone(report),
    };
    // For offsets that the topic does not hold any more: it lost records, or was created again.
    let reset = match settings.starting_position {
        StartingPosition::Latest => "latest",
        StartingPosition::TrimHorizon | StartingPosition::AtTimestamp(_) => "earliest",
    };
    let client_id = format!("sinkctl-{function}");
    let config = [
        ("group.id", settings.consumer_group.as_deref().unwrap_or_default()),
        ("client.id", &client_id),
        // Only what a batch has done is stored, and what is stored is committed again until that succeeds.
        ("enable.auto.commit", "true"),
        ("auto.commit.interval.ms", "200"),
        ("auto.offset.reset", reset),
        // A member that ended without leaving holds its partitions for as long.
        ("session.timeout.ms", "10000"),
        // New topics and partitions are seen soon.
        ("topic.metadata.refresh.interval.ms", "5000"),
        ("queued.max.messages.kbytes", "32768"),
    ];
    let config = source.config(&config, &["group.id"])?;
    config.create_with_context(context).map_err(kafka::no_client)
}

/// A list of the topic's partitions with these offsets.
pub(super) fn list(
    topic: &str,
    offsets: impl IntoIterator<Item = (i32, Offset)>,
) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in offsets {
        list.add_partition_offset(topic, partition, offset)?;
    }
    Ok(list)
}

/// The offset, if it is one and not a place such as the end.
pub(super) fn known(offset: Offset) -> Option<i64> {
    match offset {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Were the brokers asked where to begin, there would be no answer for a minute, and the partition would be taken.
    #[test]
    fn a_client_that_closes_takes_no_partitions() {
        let context = Assignments {
            function: "f".to_owned(),
            starting_position: StartingPosition::TrimHorizon,
            is_cooperative: false,
            is_closing: AtomicBool::new(false),
            changes: Mutex::default(),
            report: Arc::new(Report::new(false, false)),
        };
        let mut config = rdkafka::ClientConfig::new();
        config.set("bootstrap.servers", "127.0.0.1:1").set("group.id", "g");
        let consumer: BaseConsumer<Assignments> = config.create_with_context(context).unwrap();
        let assignments = consumer.context();
        assignments.close();

        let mut partitions = list("t", [(0, Offset::Invalid)]).unwrap();
        let come = RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        assignments.rebalance(&consumer, come, &mut partitions);
        assert_eq!(assignments.next_change(), None);
        assert_eq!(consumer.assignment().unwrap().count(), 0);
    }
}
