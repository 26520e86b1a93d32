//! Where a topic's partitions end.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::{
    consumer::Consumer as _,
    error::{KafkaError, RDKafkaErrorCode},
    types::RDKafkaRespErr,
};

use super::{
    Esm, EsmError,
    consumer::{ANSWER_TIME, Consumer},
    report::Report,
};

/// The end of the topic when it was started, by partition: none where that is not to end it.
pub(super) type Ends = BTreeMap<i32, Watermarks>;

/// A partition's first offset and the one behind its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Watermarks {
    pub(super) low: i64,
    pub(super) high: i64,
}

/// How long brokers may take after their start to say who leads a partition, and how soon they are asked again.
const SETTLING_TIME: Duration = Duration::from_mins(1);
const ASK_AGAIN_TIME: Duration = Duration::from_secs(1);

/// Where the topic's partitions end now; `None` if there is no such topic, which is an error if its end is wanted.
pub(super) async fn ends(
    esm: &Esm,
    topic: &str,
    consumer: &Arc<Consumer>,
    report: &Report,
) -> Result<Option<Ends>, EsmError> {
    let begin = Instant::now();
    let source = loop {
        let (consumer, name) = (Arc::clone(consumer), topic.to_owned());
        match tokio::task::spawn_blocking(move || ask_for_ends(&consumer, &name)).await? {
            Ok(None) if esm.until_end => {
                return Err(EsmError::NoTopic { topic: topic.to_owned() });
            }
            Ok(ends) => return Ok(ends),
            Err(error) if is_settling(&error) && begin.elapsed() < SETTLING_TIME => {
                report.trouble(&format!("waiting for the leaders of topic `{topic}`: {error}"));
                tokio::time::sleep(ASK_AGAIN_TIME).await;
            }
            Err(error) => break error,
        }
    };
    Err(match source.rdkafka_error_code() {
        Some(
            RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::AllBrokersDown
            | RDKafkaErrorCode::Resolve
            | RDKafkaErrorCode::OperationTimedOut,
        ) => EsmError::NoBroker { bootstrap_servers: esm.bootstrap_servers.clone(), source },
        _ => EsmError::Topic { topic: topic.to_owned(), source },
    })
}

/// Where they end, by one look.
pub(super) fn ask_for_ends(consumer: &Consumer, name: &str) -> Result<Option<Ends>, KafkaError> {
    let metadata = consumer.fetch_metadata(Some(name), ANSWER_TIME)?;
    let mut ends = Ends::new();
    for topic in metadata.topics() {
        let unknown = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
        match topic.error() {
            None => {}
            Some(error) if error == unknown => return Ok(None),
            Some(error) => return Err(KafkaError::MetadataFetch(RDKafkaErrorCode::from(error))),
        }
        for partition in topic.partitions() {
            let (low, high) = consumer.fetch_watermarks(name, partition.id(), ANSWER_TIME)?;
            ends.insert(partition.id(), Watermarks { low, high });
        }
    }
    Ok(Some(ends))
}

/// Whether a broker answers that just started, or that is about to hand a partition over.
fn is_settling(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::LeaderNotAvailable
                | RDKafkaErrorCode::NotLeaderForPartition
                | RDKafkaErrorCode::BrokerNotAvailable
                | RDKafkaErrorCode::ReplicaNotAvailable
                | RDKafkaErrorCode::FencedLeaderEpoch
                | RDKafkaErrorCode::UnknownLeaderEpoch
                | RDKafkaErrorCode::OffsetNotAvailable
                | RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownPartition
        )
    )
}
