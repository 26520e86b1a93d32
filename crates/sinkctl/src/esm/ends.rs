//! Where a topic's partitions end.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::{Esm, consumer::Consumer, report::Report};
use crate::kafka::{self, Spans};

/// How long brokers may take after their start to say who leads a partition, and how soon they are asked again.
const SETTLING_TIME: Duration = Duration::from_mins(1);
const ASK_AGAIN_TIME: Duration = Duration::from_secs(1);

/// Where the topic's partitions end now; `None` if there is no such topic, which is an error if its end is wanted.
pub(super) async fn ends(
    esm: &Esm,
    topic: &str,
    consumer: &Arc<Consumer>,
    report: &Report,
) -> anyhow::Result<Option<Spans>> {
    let begin = Instant::now();
    let source = loop {
        let (consumer, name) = (Arc::clone(consumer), topic.to_owned());
        match tokio::task::spawn_blocking(move || kafka::spans(&*consumer, &name)).await? {
            Ok(None) if esm.until_end => {
                bail!(
                    "there is no topic `{topic}`: create it, or name another with `--parameter`, such as \
                     `TopicNamespace=…`"
                );
            }
            Ok(ends) => return Ok(ends),
            Err(error) if is_settling(&error) && begin.elapsed() < SETTLING_TIME => {
                report.trouble(&format!("waiting for the leaders of topic `{topic}`: {error}"));
                tokio::time::sleep(ASK_AGAIN_TIME).await;
            }
            Err(error) => break error,
        }
    };
    let servers = &esm.source.bootstrap_servers;
    let problem = match source.rdkafka_error_code() {
        Some(
            RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::AllBrokersDown
            | RDKafkaErrorCode::Resolve
            | RDKafkaErrorCode::OperationTimedOut,
        ) => format!(
            "no broker of `{servers}` answers: start Kafka there, or name the brokers with `--bootstrap-servers`"
        ),
        _ => format!(
            "topic `{topic}` cannot be read: see what the broker says, and whether `-X` logs in as who may read it"
        ),
    };
    Err(source).context(problem)
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
