//! The status of a local event source mapping, as `sinkctl esm --status-address` answers it.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, anyhow, ensure};
use axum::{body::Bytes, http::StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::{client::legacy, rt::TokioExecutor};
use local::template::Template;
use tokio::time::timeout;

use super::{
    Activity, Document, FunctionDocument, FunctionStatus, Status, StatusArguments, quarantine,
};
use crate::tables;

/// How long an answer may take.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// Asks for all of it.
pub async fn read(
    address: &str,
    StatusArguments { dynamodb_endpoint, minutes, .. }: &StatusArguments,
    template: &Path,
) -> anyhow::Result<Status> {
    let document = fetch(address).await.map_err(|reason| {
        anyhow!(
            "no mapping answers at `{address}` ({reason:#}): start `sinkctl esm` with `--status-address`, and \
             name what it prints"
        )
    })?;
    let mut parameters = vec![("Stage", document.stage.as_str())];
    parameters
        .extend(document.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let template = Template::read(template, &parameters)?;
    let client = tables::client(Some(dynamodb_endpoint)).await;
    let depth = quarantine::depth(&client, &template).await.map_err(|reason| {
        format!("{reason} (asked at `{dynamodb_endpoint}`, as `--dynamodb-endpoint` says)")
    });
    let functions = document.functions.iter();
    Ok(Status {
        stage: document.stage.clone(),
        name_prefix: template.name_prefix().to_owned(),
        place: address.to_owned(),
        time: document.time,
        minutes: *minutes,
        functions: functions.map(|it| status(it, document.time / 60_000, *minutes)).collect(),
        quarantine: depth,
        alarms: Ok(None),
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
        epoch: Ok(function.epoch.clone()),
        mappings: Ok(vec![function.mapping.clone()]),
        activity: Ok(activity),
    }
}

async fn fetch(address: &str) -> anyhow::Result<Document> {
    let client: legacy::Client<_, Empty<Bytes>> =
        legacy::Client::builder(TokioExecutor::new()).build_http();
    let uri = address.parse()?;
    let exchange = async {
        let response = client.get(uri).await?;
        let status = response.status();
        ensure!(status == StatusCode::OK, "something else answers: {status}");
        let body = response.into_body().collect().await?.to_bytes();
        serde_json::from_slice(&body).context("something else answers")
    };
    timeout(ANSWER_TIME, exchange).await.map_err(|_| anyhow!("no answer"))?
}
