//! The status of a stage in AWS: its mappings, metrics, alarms and quarantine.

mod metrics;

use std::path::Path;

use anyhow::{Context as _, ensure};
use aws_config::SdkConfig;
use aws_credential_types::provider::ProvideCredentials as _;
use aws_sdk_lambda::types::EventSourceMappingConfiguration;
use dynamo_sink::settings::EPOCH;
use local::{
    samconfig,
    template::{Function, Template},
};

use super::{
    Activity, AlarmStatus, FunctionStatus, MappingStatus, Status, StatusArguments, quarantine,
};
use crate::{aws_error::explained, tables, text};

/// The settings of the environment, with a region and credentials in them.
pub async fn config() -> anyhow::Result<SdkConfig> {
    let config = tables::config(None).load().await;
    ensure!(
        config.region().is_some(),
        "no region is set: set `AWS_REGION` to that of the stage, as in `samconfig.toml`"
    );
    if let Some(provider) = config.credentials_provider() {
        provider.provide_credentials().await.context(
            "there are no credentials for AWS: log in (`aws sso login`), or set `AWS_PROFILE`, or `AWS_ACCESS_KEY_ID` \
             and `AWS_SECRET_ACCESS_KEY`",
        )?;
    }
    Ok(config)
}

/// Asks for all of it, the parts side by side.
pub async fn read(
    stage: &str,
    StatusArguments { parameters, minutes, .. }: &StatusArguments,
    template: &Path,
) -> anyhow::Result<Status> {
    let template = samconfig::template(template, Some(stage), parameters)?;
    let (time, minutes) = (text::now(), *minutes);
    let config = config().await?;
    let lambda = aws_sdk_lambda::Client::new(&config);
    let cloudwatch = aws_sdk_cloudwatch::Client::new(&config);
    let dynamodb = aws_sdk_dynamodb::Client::new(&config);

    let functions = async {
        let mut functions = Vec::new();
        for function in &template.functions {
            let (mappings, epoch) =
                tokio::join!(mappings(&lambda, function), epoch(&lambda, function));
            functions.push(FunctionStatus {
                binary: function.binary.clone(),
                name: function.name.clone(),
                epoch,
                mappings,
                activity: Ok(Activity::default()),
            });
        }
        functions
    };
    let (mut functions, activities, quarantine, alarms) = tokio::join!(
        functions,
        metrics::activities(&cloudwatch, &template, minutes, time),
        quarantine::depth(&dynamodb, &template),
        alarms(&cloudwatch, &template)
    );
    for (position, function) in functions.iter_mut().enumerate() {
        function.activity = activities.clone().map(|mut it| it.swap_remove(position));
    }
    let region = config.region().map_or_else(String::new, ToString::to_string);
    Ok(Status {
        stage: template.stage().to_owned(),
        name_prefix: template.name_prefix().to_owned(),
        place: format!("AWS {region}"),
        time,
        minutes,
        functions,
        quarantine,
        alarms: alarms.map(Some),
    })
}

async fn mappings(
    client: &aws_sdk_lambda::Client,
    function: &Function,
) -> Result<Vec<MappingStatus>, String> {
    let pages = client.list_event_source_mappings().function_name(&function.name);
    let found: Vec<_> = pages
        .into_paginator()
        .items()
        .send()
        .try_collect()
        .await
        .map_err(|error| explained(&error, "lambda:ListEventSourceMappings", &function.name))?;
    let mapping = |it: EventSourceMappingConfiguration| MappingStatus {
        id: it.uuid.unwrap_or_default(),
        state: it.state.unwrap_or_default(),
        state_transition_reason: it.state_transition_reason,
        last_processing_result: it.last_processing_result,
    };
    Ok(found.into_iter().map(mapping).collect())
}

async fn epoch(client: &aws_sdk_lambda::Client, function: &Function) -> Result<String, String> {
    let request = client.get_function_configuration().function_name(&function.name);
    let found = request
        .send()
        .await
        .map_err(|error| explained(&error, "lambda:GetFunctionConfiguration", &function.name))?;
    let environment = found.environment.as_ref();
    if let Some(error) = environment.and_then(|it| it.error()) {
        let message = error.message().unwrap_or("no reason is given");
        return Err(format!("the function's variables cannot be read: {message}"));
    }
    let epoch = environment.and_then(|it| it.variables()?.get(EPOCH));
    // So the functions take it.
    Ok(epoch.filter(|it| !it.is_empty()).map_or_else(|| "0".to_owned(), Clone::clone))
}

async fn alarms(
    client: &aws_sdk_cloudwatch::Client,
    template: &Template,
) -> Result<Vec<AlarmStatus>, String> {
    let prefix = template.name_prefix();
    let mut found = Vec::new();
    let mut pages = client.describe_alarms().alarm_name_prefix(prefix).into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| explained(&error, "cloudwatch:DescribeAlarms", prefix))?;
        for alarm in page.metric_alarms.unwrap_or_default() {
            found.push(AlarmStatus {
                name: alarm.alarm_name.unwrap_or_default(),
                state: alarm.state_value.map_or_else(String::new, |it| it.as_str().to_owned()),
                description: alarm.alarm_description.unwrap_or_default(),
                reason: alarm.state_reason.unwrap_or_default(),
            });
        }
    }
    // Without monitoring there are none by design.
    if found.is_empty() && !template.alarms.is_empty() {
        return Err(format!(
            "there are no alarms `{prefix}…` in this account and region: is the stage deployed there, with this Prefix?"
        ));
    }
    // Those of the template first, in its order; the deployed ones may be of another version.
    found.sort_by_key(|alarm| {
        let position = template.alarms.iter().position(|name| *name == alarm.name);
        (position.unwrap_or(usize::MAX), alarm.name.clone())
    });
    Ok(found)
}
