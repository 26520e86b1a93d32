//! The status that `sinkctl status --esm` asks for: one JSON document over HTTP, for this machine only.

use std::{collections::BTreeMap, io, sync::Arc, time::Duration};

use axum::{Json, Router, extract::State, routing::get};
use dynamo_sink::settings::EPOCH;
use local::{
    lock::lock,
    template::{LOCAL_STAGE, StartingPosition},
};
use rdkafka::{Offset, consumer::Consumer as _, error::KafkaResult};
use tokio::{net::TcpListener, task::JoinSet};

use super::{
    Esm,
    consumer::{self, Consumer, known},
    poll::Mapping,
};
use crate::{
    kafka::{self, ANSWER_TIME, Span},
    status::{Document, FunctionDocument},
    text,
};

/// How often it is measured how many records the topic is ahead.
const MEASURE_TIME: Duration = Duration::from_secs(2);

#[derive(Clone)]
struct Observed {
    esm: Arc<Esm>,
    mappings: Vec<Arc<Mapping>>,
}

/// Answers, and measures what nobody counts, as long as the tasks are kept.
pub(super) fn start(
    listener: TcpListener,
    esm: &Arc<Esm>,
    mappings: Vec<(Arc<Mapping>, Arc<Consumer>)>,
) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let mut observed = Observed { esm: Arc::clone(esm), mappings: Vec::new() };
    for (mapping, consumer) in mappings {
        observed.mappings.push(Arc::clone(&mapping));
        tasks.spawn(measure(mapping, consumer));
    }
    let router = Router::new().route("/", get(document)).with_state(observed);
    tasks.spawn(async move {
        // It ends with the program only.
        let _: io::Result<()> = axum::serve(listener, router).await;
    });
    tasks
}

async fn document(State(Observed { esm, mappings }): State<Observed>) -> Json<Document> {
    let is_stage = |(name, _): &&(String, String)| name == "Stage";
    let parameters = &esm.source.parameters;
    let stage = parameters.iter().rfind(is_stage).map_or(LOCAL_STAGE, |(_, stage)| stage);
    let functions = mappings.iter().map(|mapping| {
        let (function, tally) = (&mapping.function, lock(&mapping.tally));
        FunctionDocument {
            binary: function.binary.clone(),
            name: function.name.clone(),
            epoch: function.variables.get(EPOCH).map_or("0", String::as_str).to_owned(),
            mapping: tally.mapping(&mapping.settings.logical_id),
            lag: tally.lag.clone(),
            minutes: tally.minutes.clone(),
        }
    });
    Json(Document {
        stage: stage.to_owned(),
        parameters: parameters.iter().filter(|it| !is_stage(it)).cloned().collect(),
        time: text::now(),
        functions: functions.collect(),
    })
}

async fn measure(mapping: Arc<Mapping>, consumer: Arc<Consumer>) {
    loop {
        let (consumer, of_mapping) = (Arc::clone(&consumer), Arc::clone(&mapping));
        let lag = tokio::task::spawn_blocking(move || {
            lag(&consumer, &of_mapping.settings.topic, of_mapping.settings.starting_position)
        });
        let lag = lag.await.ok().and_then(Result::ok);
        lock(&mapping.tally).measured(lag);
        tokio::time::sleep(MEASURE_TIME).await;
    }
}

/// By partition how many records the topic is ahead of the group.
fn lag(
    consumer: &Consumer,
    topic: &str,
    starting_position: StartingPosition,
) -> KafkaResult<BTreeMap<i32, u64>> {
    let Some(spans) = kafka::spans(consumer, topic)? else { return Ok(BTreeMap::new()) };
    let partitions = spans.keys().map(|&partition| (partition, Offset::Invalid));
    let committed = consumer.committed_offsets(consumer::list(topic, partitions)?, ANSWER_TIME)?;
    let lag = committed.elements().into_iter().filter_map(|element| {
        let (partition, committed) = (element.partition(), known(element.offset()));
        Some((partition, ahead(*spans.get(&partition)?, committed, starting_position)))
    });
    Ok(lag.collect())
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
