//! The status that `sinkctl status --esm` asks for: one JSON document over HTTP, for this machine only.

use std::{collections::BTreeMap, io, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use axum::{Json, Router, extract::State, routing::get};
use dynamo_sink::settings::EPOCH;
use local::template::{Function, LOCAL_STAGE, StartingPosition};
use rdkafka::{Offset, consumer::Consumer as _, error::KafkaError};
use tokio::{net::TcpListener, task::JoinSet};

use super::{
    Esm,
    consumer::{self, Consumer},
    poll::Mapping,
    report::Report,
};
use crate::{
    kafka::{self, ANSWER_TIME, Span},
    status::{Document, FunctionDocument},
    text,
};

/// How often it is measured how many records the topic is ahead.
const MEASURE_TIME: Duration = Duration::from_secs(2);

/// A mapping whose status is asked for.
#[derive(Clone, Debug)]
pub(super) struct Observed {
    binary: String,
    epoch: String,
    mapping: Arc<Mapping>,
}

impl Observed {
    pub(super) fn new(mapping: Arc<Mapping>, function: &Function) -> Self {
        let epoch = function.variables.get(EPOCH).map_or("0", String::as_str).to_owned();
        Self { binary: function.binary.clone(), epoch, mapping }
    }

    fn document(&self) -> FunctionDocument {
        let Mapping { function, logical_id, tally, .. } = &*self.mapping;
        FunctionDocument {
            binary: self.binary.clone(),
            name: function.clone(),
            epoch: self.epoch.clone(),
            mapping: tally.mapping(logical_id),
            lag: tally.lag(),
            minutes: tally.minutes(),
        }
    }
}

/// The port that the status is asked at.
#[derive(Debug)]
pub(super) struct Status {
    listener: TcpListener,
}

impl Status {
    /// Takes the port, and says where it is.
    pub(super) async fn bind(address: SocketAddr, report: &Report) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address).await.with_context(|| {
            format!("cannot answer at `{address}`: name another port, or 0 for a free one")
        })?;
        let bound = listener.local_addr()?;
        report.line(&format!("Status at http://{bound}, as `sinkctl status --esm` shows it"));
        Ok(Self { listener })
    }

    /// Answers, and measures what nobody counts, as long as the tasks are kept.
    pub(super) fn start(self, esm: &Esm, mappings: Vec<(Observed, Arc<Consumer>)>) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        let mut all = Vec::new();
        for (observed, consumer) in mappings {
            all.push(observed.clone());
            tasks.spawn(measure(observed, consumer));
        }
        let of_stage = esm.source.parameters.iter().rev().find(|(name, _)| name == "Stage");
        let others = esm.source.parameters.iter().filter(|(name, _)| name != "Stage");
        let source = Source {
            stage: of_stage.map_or(LOCAL_STAGE, |(_, stage)| stage).to_owned(),
            parameters: others.cloned().collect(),
            mappings: all,
        };
        let router = Router::new().route("/", get(document)).with_state(Arc::new(source));
        tasks.spawn(async move {
            // It ends with the program only.
            let _: io::Result<()> = axum::serve(self.listener, router).await;
        });
        tasks
    }
}

struct Source {
    stage: String,
    parameters: Vec<(String, String)>,
    mappings: Vec<Observed>,
}

async fn document(State(source): State<Arc<Source>>) -> Json<Document> {
    let functions = source.mappings.iter();
    Json(Document {
        stage: source.stage.clone(),
        parameters: source.parameters.clone(),
        time: text::now(),
        functions: functions.map(Observed::document).collect(),
    })
}

async fn measure(observed: Observed, consumer: Arc<Consumer>) {
    loop {
        let (consumer, mapping) = (Arc::clone(&consumer), Arc::clone(&observed.mapping));
        let lag =
            move || lag(&consumer, &mapping.settings.topic, mapping.settings.starting_position);
        let lag = tokio::task::spawn_blocking(lag).await;
        observed.mapping.tally.measured(lag.ok().and_then(Result::ok));
        tokio::time::sleep(MEASURE_TIME).await;
    }
}

/// By partition how many records the topic is ahead of the group.
fn lag(
    consumer: &Consumer,
    topic: &str,
    starting_position: StartingPosition,
) -> Result<BTreeMap<i32, u64>, KafkaError> {
    let Some(spans) = kafka::spans(consumer, topic)? else { return Ok(BTreeMap::new()) };
    let partitions = spans.keys().map(|&partition| (partition, Offset::Invalid));
    let committed = consumer.committed_offsets(consumer::list(topic, partitions)?, ANSWER_TIME)?;
    let offsets = committed.elements().into_iter().map(|it| (it.partition(), it.offset()));
    Ok(offsets
        .filter_map(|(partition, offset)| {
            let offset = match offset {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            };
            Some((partition, ahead(*spans.get(&partition)?, offset, starting_position)))
        })
        .collect())
}

/// How many records lie between what was committed and the end; without a commit, where the group would begin.
fn ahead(
    Span { first, end }: Span,
    committed: Option<i64>,
    starting_position: StartingPosition,
) -> u64 {
    let begin = match (committed, starting_position) {
        (Some(committed), _) => committed.max(first),
        (None, StartingPosition::Latest) => end,
        (None, StartingPosition::TrimHorizon | StartingPosition::AtTimestamp(_)) => first,
    };
    u64::try_from(end - begin).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lag_is_what_the_group_has_not_committed() {
        #[track_caller]
        fn check(committed: Option<i64>, position: StartingPosition, expected: u64) {
            let span = Span { first: 10, end: 25 };
            assert_eq!(ahead(span, committed, position), expected);
        }

        let (latest, first) = (StartingPosition::Latest, StartingPosition::TrimHorizon);
        check(Some(20), latest, 5);
        check(Some(25), first, 0);
        // What lies before is gone; what lies behind was of a topic of that name that is gone.
        check(Some(3), latest, 15);
        check(Some(30), latest, 0);
        check(None, latest, 0);
        check(None, first, 15);
        check(None, StartingPosition::AtTimestamp(1), 15);
    }
}
