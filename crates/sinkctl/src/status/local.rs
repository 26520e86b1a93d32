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
    template::{Template, TemplateError},
};
use tokio::time::timeout;

use super::{Activity, Document, FunctionDocument, FunctionStatus, Part, Status, aws, quarantine};
use crate::tables;

/// How long an answer may take.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// What to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Local {
    /// The template that declares the tables.
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

/// Asks for all of it.
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
    let functions = document.functions.iter();
    Ok(Status {
        stage: document.stage.clone(),
        name_prefix: template.name_prefix().to_owned(),
        place: local.address.clone(),
        time: document.time,
        minutes: local.minutes,
        functions: functions.map(|it| status(it, document.time / 60_000, local.minutes)).collect(),
        quarantine: depth.into(),
        alarms: None,
    })
}

fn status(function: &FunctionDocument, now: u64, minutes: u64) -> FunctionStatus {
    let lag = &function.lag;
    let mut activity = Activity {
        lag: (!lag.is_empty()).then(|| lag.values().sum()),
        lag_by_partition: lag.clone(),
        ..Activity::default()
    };
    for counted in function.minutes.range((now + 1).saturating_sub(minutes)..=now) {
        activity.add(counted.1);
    }
    FunctionStatus {
        binary: function.binary.clone(),
        name: function.name.clone(),
        epoch: Part::Read(function.epoch.clone()),
        mappings: Part::Read(vec![function.mapping.clone()]),
        activity: Part::Read(activity),
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
