//! The status of a stage in AWS: its mappings, metrics, alarms and quarantine.

mod metrics;

use std::{collections::BTreeMap, error::Error, path::PathBuf, time::Duration};

use aws_config::{BehaviorVersion, SdkConfig, timeout::TimeoutConfig};
use aws_credential_types::provider::ProvideCredentials as _;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use local::{
    chain::chain,
    samconfig::{self, SamConfigError},
    template::{Function, Template},
};

use super::{AlarmState, AlarmStatus, FunctionStatus, MappingStatus, Part, Status, quarantine};

/// How long an answer may take, all attempts together: who waits is in a hurry.
const ANSWER_TIME: Duration = Duration::from_secs(20);

/// The setting that holds the epoch.
const EPOCH: &str = "EPOCH";

/// What to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// The template that names the functions, tables and alarms.
    pub template: PathBuf,
    /// The stage.
    pub stage: String,
    /// The template's parameters that are not what the stage is deployed with.
    pub parameters: Vec<(String, String)>,
    /// How many minutes the counts are of.
    pub minutes: u64,
}

/// Why nothing at all could be asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StageError {
    /// Occurs when the template cannot be read.
    #[error(transparent)]
    Template(#[from] SamConfigError),
    /// Occurs when it is not said which region the stage is in.
    #[error("no region is set: set `AWS_REGION` to that of the stage, as in `samconfig.toml`")]
    NoRegion,
    /// Occurs when nobody says who asks.
    #[error(
        "there are no credentials for AWS: log in (`aws sso login`), or set `AWS_PROFILE`, or `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`"
    )]
    NoCredentials(#[source] Box<dyn Error + Send + Sync>),
}

/// The settings of the environment, with a region and credentials in them.
pub async fn config() -> Result<SdkConfig, StageError> {
    let timeouts = TimeoutConfig::builder().operation_timeout(ANSWER_TIME).build();
    let config =
        aws_config::defaults(BehaviorVersion::latest()).timeout_config(timeouts).load().await;
    if config.region().is_none() {
        return Err(StageError::NoRegion);
    }
    if let Some(provider) = config.credentials_provider() {
        let credentials = provider.provide_credentials().await;
        credentials.map_err(|source| StageError::NoCredentials(Box::new(source)))?;
    }
    Ok(config)
}

/// Asks for all of it, the parts side by side.
pub async fn read(stage: &Stage, time: u64) -> Result<Status, StageError> {
    let template = samconfig::template(&stage.template, Some(&stage.stage), &stage.parameters)?;
    let config = config().await?;
    let lambda = aws_sdk_lambda::Client::new(&config);
    let cloudwatch = aws_sdk_cloudwatch::Client::new(&config);
    let dynamodb = aws_sdk_dynamodb::Client::new(&config);

    let functions = async {
        let mut functions = Vec::new();
        for function in &template.functions {
            let (mappings, epoch) =
                tokio::join!(mappings(&lambda, function), epoch(&lambda, function));
            functions.push((mappings, epoch));
        }
        functions
    };
    let activities = metrics::activities(&cloudwatch, &template, stage.minutes, time);
    let depth = async {
        match quarantine_table(&template) {
            Some(table) => quarantine::depth(&dynamodb, table).await,
            None => Err("the template names no table for it".to_owned()),
        }
    };
    let (functions, activities, depth, alarms) =
        tokio::join!(functions, activities, depth, alarms(&cloudwatch, &template));

    let mut statuses = Vec::new();
    let mut activities = activities.map(Vec::into_iter);
    for (function, (mappings, epoch)) in template.functions.iter().zip(functions) {
        statuses.push(FunctionStatus {
            binary: function.binary.clone(),
            name: function.name.clone(),
            epoch: epoch.into(),
            mappings: mappings.into(),
            activity: match &mut activities {
                Ok(activities) => Part::Read(activities.next().unwrap_or_default()),
                Err(reason) => Part::unread(reason.as_str()),
            },
        });
    }
    let region = config.region().map_or_else(String::new, ToString::to_string);
    Ok(Status {
        stage: template.stage().to_owned(),
        name_prefix: template.name_prefix().to_owned(),
        place: format!("AWS {region}"),
        time,
        minutes: stage.minutes,
        functions: statuses,
        quarantine: depth.into(),
        alarms: Some(alarms.into()),
    })
}

/// The table that all functions put rejected records into.
pub(super) fn quarantine_table(template: &Template) -> Option<&str> {
    let mut tables = template.functions.iter().map(|it| it.variables.get("QUARANTINE_TABLE_NAME"));
    tables.find_map(|table| table.map(String::as_str))
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
        .map_err(|error| told(&error, "lambda:ListEventSourceMappings", &function.name))?;
    let text = |text: Option<String>| text.unwrap_or_default();
    Ok(found
        .into_iter()
        .map(|it| MappingStatus {
            id: text(it.uuid),
            state: text(it.state),
            state_transition_reason: it.state_transition_reason,
            last_processing_result: it.last_processing_result,
        })
        .collect())
}

async fn epoch(client: &aws_sdk_lambda::Client, function: &Function) -> Result<String, String> {
    let request = client.get_function_configuration().function_name(&function.name);
    let found = request
        .send()
        .await
        .map_err(|error| told(&error, "lambda:GetFunctionConfiguration", &function.name))?;
    let environment = found
        .environment
        .unwrap_or_else(|| aws_sdk_lambda::types::EnvironmentResponse::builder().build());
    if let Some(error) = environment.error() {
        let message = error.message().unwrap_or("no reason is given");
        return Err(format!("the function's variables can't be read: {message}"));
    }
    let epoch = environment.variables().and_then(|variables| variables.get(EPOCH));
    // So the functions take it.
    Ok(epoch.filter(|it| !it.is_empty()).map_or_else(|| "0".to_owned(), Clone::clone))
}

async fn alarms(
    client: &aws_sdk_cloudwatch::Client,
    template: &Template,
) -> Result<Vec<AlarmStatus>, String> {
    let prefix = template.name_prefix();
    let mut by_name = BTreeMap::new();
    let mut pages = client.describe_alarms().alarm_name_prefix(prefix).into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| told(&error, "cloudwatch:DescribeAlarms", prefix))?;
        for alarm in page.metric_alarms.unwrap_or_default() {
            let name = alarm.alarm_name.unwrap_or_default();
            let raised = match alarm.state_value.map(|it| it.as_str().to_owned()).as_deref() {
                Some("OK") => AlarmState::Ok,
                Some("ALARM") => AlarmState::Alarm,
                _ => AlarmState::InsufficientData,
            };
            by_name.insert(
                name.clone(),
                AlarmStatus {
                    name,
                    state: raised,
                    description: alarm.alarm_description.unwrap_or_default(),
                    reason: alarm.state_reason.unwrap_or_default(),
                },
            );
        }
    }
    // Without monitoring there are none by design.
    if by_name.is_empty() && !template.alarms.is_empty() {
        return Err(format!(
            "there are no alarms `{prefix}…` in this account and region: is the stage deployed there, with this Prefix?"
        ));
    }
    // Those of the template first, in its order; the deployed ones may be of another version.
    let mut alarms: Vec<_> =
        template.alarms.iter().filter_map(|name| by_name.remove(name)).collect();
    alarms.extend(by_name.into_values());
    Ok(alarms)
}

/// Why a call failed, and what to do next.
pub(crate) fn told<E, R>(error: &SdkError<E, R>, action: &str, target: &str) -> String
where
    E: ProvideErrorMetadata + Error + 'static,
    R: std::fmt::Debug + 'static,
{
    let code = error.code().unwrap_or_default();
    match code {
        "AccessDenied" | "AccessDeniedException" | "UnauthorizedOperation" => {
            format!("access denied: allow {action} to whom these credentials are of")
        }
        "ResourceNotFoundException" | "ResourceNotFound" => {
            format!(
                "there is no `{target}` in this account and region: is the stage deployed there?"
            )
        }
        "ExpiredToken"
        | "ExpiredTokenException"
        | "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException" => {
            format!("the credentials are not valid ({code}): log in again")
        }
        "ThrottledException"
        | "Throttling"
        | "ThrottlingException"
        | "TooManyRequestsException" => {
            format!("{action} is throttled: try again")
        }
        "" => match error {
            SdkError::DispatchFailure(failure) => {
                let source = failure.as_connector_error().map_or_else(String::new, |it| chain(it));
                format!("no way to {action}: {source}")
            }
            SdkError::TimeoutError(_) => format!("no answer to {action} in time: try again"),
            other => format!("{action} failed: {}", chain(other)),
        },
        code => {
            let message = error.message().unwrap_or("no reason is given");
            format!("{action} failed: {code}: {message}")
        }
    }
}
