//! The status of a local event source mapping, from what `sinkctl esm --status-address` tells.

use std::{path::PathBuf, time::Duration};

use axum::{
    body::Bytes,
    http::{StatusCode, Uri},
};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::{client::legacy, rt::TokioExecutor};
use local::{
    chain::chain,
    template::{Alarm, Template, TemplateError},
};
use tokio::time::timeout;

use super::{
    Activity, AlarmStatus, FunctionStatus, MappingStatus, NAMESPACE, OLDEST_RECORD_AGE, Part,
    RECORD_COUNTS, Status, alarm, aws,
    document::{Document, FunctionDocument},
    quarantine,
    series::{Series, whole},
};
use crate::tables;

/// How long an answer may take.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// What to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Local {
    /// The template that declares the functions and alarms.
    pub template: PathBuf,
    /// Where the mapping tells its status, such as `http://127.0.0.1:8001`.
    pub address: String,
    /// Where the tables are.
    pub dynamodb_endpoint: String,
    /// How many minutes the counts are of.
    pub minutes: u64,
}

/// Why nothing at all could be asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocalError {
    /// Occurs when the template cannot be read.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// Occurs when no mapping answers.
    #[error(
        "no mapping tells its status at `{address}` ({reason}): start `sinkctl esm` with `--status-address`, and name what it prints"
    )]
    NoAnswer {
        /// Where it was asked.
        address: String,
        /// What happened instead.
        reason: String,
    },
}

/// Asks for all of it. Functions whose mapping was not started are left out.
pub async fn read(local: &Local) -> Result<Status, LocalError> {
    let address = local.address.clone();
    let document =
        fetch(&local.address).await.map_err(|reason| LocalError::NoAnswer { address, reason })?;
    let mut parameters = vec![("Stage", document.stage.as_str())];
    parameters
        .extend(document.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let template = Template::read(&local.template, &parameters)?;
    let depth = match aws::quarantine_table(&template) {
        Some(table) => {
            let client = tables::client(Some(&local.dynamodb_endpoint)).await;
            quarantine::depth(&client, table).await.map_err(|reason| {
                let endpoint = &local.dynamodb_endpoint;
                format!("{reason} (asked at `{endpoint}`, as `--dynamodb-endpoint` says)")
            })
        }
        None => Err("the template names no table for it".to_owned()),
    };
    let functions = template.functions.iter().filter_map(|function| {
        let told = document.functions.get(&function.binary)?;
        Some(of_function(&function.binary, told, &document, local.minutes))
    });
    Ok(Status {
        stage: document.stage.clone(),
        name_prefix: template.name_prefix().to_owned(),
        place: local.address.clone(),
        time: document.time,
        minutes: local.minutes,
        functions: functions.collect(),
        quarantine: depth.into(),
        alarms: Part::Read(judged(&template, &document)),
    })
}

/// The alarms of what runs: a function whose mapping was not started is silent as it should be.
fn judged(template: &Template, document: &Document) -> Vec<AlarmStatus> {
    let is_judged = |alarm: &&Alarm| {
        !template.functions.iter().any(|function| {
            let is_its = alarm.metrics.iter().any(|metric| {
                let mut values = metric.dimensions.values();
                values.any(|value| *value == function.name)
            });
            is_its && !document.functions.contains_key(&function.binary)
        })
    };
    let alarms = template.alarms.iter().filter(is_judged);
    alarms.map(|it| alarm::judge(it, document)).collect()
}

fn of_function(
    binary: &str,
    told: &FunctionDocument,
    document: &Document,
    minutes: u64,
) -> FunctionStatus {
    let mapping = MappingStatus {
        id: told.mapping.clone(),
        state: told.state.clone(),
        state_transition_reason: None,
        last_processing_result: Some(told.last_processing_result.clone()),
    };
    FunctionStatus {
        binary: binary.to_owned(),
        name: told.name.clone(),
        epoch: Part::Read(told.epoch.clone()),
        mappings: Part::Read(vec![mapping]),
        activity: Part::Read(activity(told, document.time / 60_000, minutes)),
    }
}

fn activity(told: &FunctionDocument, now: u64, minutes: u64) -> Activity {
    let range = (now + 1).saturating_sub(minutes)..=now;
    let point = |namespace: &str, name: &str| {
        let series: &Series = told.metrics.get(namespace, name)?;
        series.within(range.clone())
    };
    let sum = |namespace: &str, name: &str| point(namespace, name).map(|it| whole(it.sum));
    let of_lambda = |name: &str| sum("AWS/Lambda", name);
    let is_counted = !told.lag.is_empty();
    Activity {
        lag: is_counted.then(|| told.lag.values().sum()),
        lag_by_partition: told.lag.clone(),
        invocations: of_lambda("Invocations"),
        errors: of_lambda("Errors"),
        throttles: of_lambda("Throttles"),
        records: RECORD_COUNTS
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), sum(NAMESPACE, name)?)))
            .collect(),
        oldest_record_age: point(NAMESPACE, OLDEST_RECORD_AGE).map(|it| whole(it.maximum)),
    }
}

async fn fetch(address: &str) -> Result<Document, String> {
    let uri: Uri = address.parse().map_err(|error| format!("{error}"))?;
    let client: legacy::Client<_, Empty<Bytes>> =
        legacy::Client::builder(TokioExecutor::new()).build_http();
    let exchange = async {
        let response = client.get(uri).await.map_err(|it| chain(&it))?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(|it| chain(&it))?.to_bytes();
        Ok((status, body))
    };
    let answer: Result<_, String> =
        timeout(ANSWER_TIME, exchange).await.unwrap_or_else(|_| Err("no answer".to_owned()));
    match answer? {
        (StatusCode::OK, body) => serde_json::from_slice(&body)
            .map_err(|error| format!("something else answers: {error}")),
        (status, _) => Err(format!("something else answers: {status}")),
    }
}
