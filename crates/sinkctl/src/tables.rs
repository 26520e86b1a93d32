//! The edge to DynamoDB: its clients, and what its refusals mean.

use std::{error::Error, time::Duration};

use aws_config::{BehaviorVersion, ConfigLoader, Region, timeout::TimeoutConfig};
use aws_sdk_dynamodb::{Client, config::Credentials};

/// The longest time for one request with its retries: somebody waits at a terminal.
const ANSWER_TIME: Duration = Duration::from_secs(20);

/// That a request was refused or not answered, with its cause.
pub(crate) fn cannot_be(
    table: &str,
    action: &str,
    cause: impl Error + Send + Sync + 'static,
) -> anyhow::Error {
    anyhow::Error::new(cause).context(format!(
        "table `{table}` cannot be {action} (`--dynamodb-endpoint` names a local DynamoDB)"
    ))
}

/// A client of the AWS SDK's default chain, or of a local DynamoDB at `endpoint` that accepts any credentials.
///
/// A local one may keep the tables of each access key and region apart, so they are those that local functions have.
pub async fn client(endpoint: Option<&str>) -> Client {
    Client::new(&config(endpoint).load().await)
}

/// The settings of the environment or, with an endpoint, those of a local DynamoDB.
pub fn config(endpoint: Option<&str>) -> ConfigLoader {
    let timeouts = TimeoutConfig::builder().operation_timeout(ANSWER_TIME).build();
    let defaults = aws_config::defaults(BehaviorVersion::latest()).timeout_config(timeouts);
    let Some(endpoint) = endpoint else { return defaults };
    let credentials = Credentials::new("local", "local", None, None, "sinkctl");
    let local = defaults.endpoint_url(endpoint).region(Region::from_static("us-east-1"));
    local.credentials_provider(credentials)
}
