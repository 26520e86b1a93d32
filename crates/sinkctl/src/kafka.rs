//! What the commands that read Kafka have in common: the cluster, its client's settings, and what a topic holds.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{anyhow, bail};
use clap::Args;
use rdkafka::{
    ClientConfig,
    consumer::{Consumer, ConsumerContext},
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
    types::RDKafkaRespErr,
};

use crate::arguments::name_and_value;

/// How long a question to the brokers may take.
pub(crate) const ANSWER_TIME: Duration = Duration::from_secs(10);

/// Properties of the client that the commands set as they need them, so that nobody may give others.
const RESERVED: [&str; 6] = [
    "auto.offset.reset",
    "bootstrap.servers",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.partition.eof",
    // Another name of `bootstrap.servers`.
    "metadata.broker.list",
];

/// Where records come from, and how the template is read.
#[derive(Args, Clone, Debug)]
pub(crate) struct Source {
    /// The brokers, as host:port with commas between.
    #[arg(long, value_name = "LIST", default_value = "127.0.0.1:9092")]
    pub(crate) bootstrap_servers: String,
    /// A property of librdkafka, such as `security.protocol=ssl`; may be repeated.
    #[arg(short = 'X', value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub(crate) properties: Vec<(String, String)>,
    /// A parameter of the template, such as `SeatoolEpoch=1`; may be repeated [default: the stage `local`].
    #[arg(long = "parameter", value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub(crate) parameters: Vec<(String, String)>,
}

impl Source {
    /// The client's settings: these, and the given properties, which win where they may be given. They may not be any
    /// of `reserved` either.
    pub(crate) fn config(
        &self,
        settings: &[(&str, &str)],
        reserved: &[&str],
    ) -> anyhow::Result<ClientConfig> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap_servers);
        config.set("enable.partition.eof", "true").set("enable.auto.offset.store", "false");
        for (name, value) in settings {
            config.set(*name, *value);
        }
        for (name, value) in &self.properties {
            if RESERVED.contains(&name.as_str()) || reserved.contains(&name.as_str()) {
                bail!(
                    "the property `{name}` cannot be given: it is set as the command needs it; leave it out"
                );
            }
            config.set(name, value);
        }
        Ok(config)
    }
}

/// Why there is no client. The value of a property may be a secret.
pub(crate) fn no_client(error: KafkaError) -> anyhow::Error {
    let is_without_tls = error.to_string().contains("not available at build time");
    let error = match error {
        KafkaError::ClientConfig(_, problem, name, _) => {
            anyhow!("property `{name}` of the Kafka client cannot be set: {problem}")
        }
        error => anyhow!(error).context("the Kafka client cannot be set up"),
    };
    if is_without_tls { anyhow!("{error:#}: the feature `kafka-tls` brings it") } else { error }
}

/// The offsets that each partition of a topic holds.
pub(crate) type Spans = BTreeMap<i32, Span>;

/// A partition's offsets: from the first that it still holds to the one behind its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) first: i64,
    pub(crate) end: i64,
}

/// What a topic holds now; `None` if there is no such topic.
pub(crate) fn spans<C: ConsumerContext>(
    consumer: &impl Consumer<C>,
    name: &str,
) -> KafkaResult<Option<Spans>> {
    let metadata = consumer.fetch_metadata(Some(name), ANSWER_TIME)?;
    let mut spans = Spans::new();
    for topic in metadata.topics() {
        let unknown = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
        match topic.error() {
            None => {}
            Some(error) if error == unknown => return Ok(None),
            Some(error) => return Err(KafkaError::MetadataFetch(RDKafkaErrorCode::from(error))),
        }
        for partition in topic.partitions() {
            let (first, end) = consumer.fetch_watermarks(name, partition.id(), ANSWER_TIME)?;
            spans.insert(partition.id(), Span { first, end });
        }
    }
    Ok(Some(spans))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_command_needs_is_not_given() {
        #[track_caller]
        fn check(name: &str, is_accepted: bool) {
            let source = Source {
                bootstrap_servers: "127.0.0.1:1".to_owned(),
                properties: vec![(name.to_owned(), "x".to_owned())],
                parameters: Vec::new(),
            };
            let config = source.config(&[("client.id", "sinkctl")], &["compression.codec"]);
            match config {
                Ok(config) => {
                    assert!(is_accepted, "{name}");
                    assert_eq!(config.get(name), Some("x"));
                    assert_eq!(config.get("bootstrap.servers"), Some("127.0.0.1:1"));
                }
                Err(error) => {
                    let expected = format!(
                        "the property `{name}` cannot be given: it is set as the command needs it; leave it out"
                    );
                    assert_eq!((error.to_string(), is_accepted), (expected, false));
                }
            }
        }

        for name in ["security.protocol", "client.id", "group.id"] {
            check(name, true);
        }
        for name in RESERVED.into_iter().chain(["compression.codec"]) {
            check(name, false);
        }
    }

    #[test]
    fn a_client_that_cannot_be_says_why() {
        #[track_caller]
        fn check(properties: &[(&str, &str)], expected: &str) {
            let mut config = ClientConfig::new();
            for (name, value) in properties {
                config.set(*name, *value);
            }
            let client: KafkaResult<rdkafka::consumer::BaseConsumer> = config.create();
            let error = format!("{:#}", no_client(client.err().unwrap()));
            assert!(error.starts_with(expected), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }

        check(&[("no.such", "secret")], "property `no.such` of the Kafka client cannot be set: ");
    }
}
