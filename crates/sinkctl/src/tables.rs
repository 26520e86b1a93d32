//! The edge to DynamoDB: whole tables page by page, and what the quarantine holds.

use std::{error::Error, time::Duration};

use aws_config::{BehaviorVersion, ConfigLoader, Region, timeout::TimeoutConfig};
use aws_sdk_dynamodb::{Client, config::Credentials, types::AttributeValue};
use dynamo_sink::stored::Attributes;

use crate::entry::{HEAD_ATTRIBUTES, Item};

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

/// A page of a table.
#[derive(Debug)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Where the next page begins, if there is one.
    pub next: Option<Attributes>,
}

/// Reads the page of a table that begins at `start`, consistently.
#[cfg(feature = "kafka")]
pub(crate) async fn page(
    client: &Client,
    table: &str,
    start: Option<Attributes>,
) -> anyhow::Result<Page<Attributes>> {
    let request = client.scan().table_name(table).consistent_read(true);
    let sent = request.set_exclusive_start_key(start).send().await;
    let output = sent.map_err(|error| cannot_be(table, "read", error))?;
    Ok(Page { items: output.items.unwrap_or_default(), next: rest(output.last_evaluated_key) })
}

/// Reads the page that begins at `start` of what the quarantine holds, or holds of one topic's partition, consistently.
/// Of an item that is neither a head nor a part there is `None`.
pub(crate) async fn quarantined(
    client: &Client,
    table: &str,
    partition: Option<(&str, i32)>,
    start: Option<Attributes>,
) -> anyhow::Result<Page<Option<Item>>> {
    let names = HEAD_ATTRIBUTES.iter().map(|name| (format!("#{name}"), (*name).to_owned()));
    let names: std::collections::HashMap<_, _> = names.collect();
    let projection = HEAD_ATTRIBUTES.map(|name| format!("#{name}")).join(", ");
    let (items, next) = if let Some((topic, partition)) = partition {
        let key = AttributeValue::S(format!("{topic}-{partition}"));
        let query = client.query().table_name(table).consistent_read(true);
        let query = query.key_condition_expression("#PK = :partition");
        let query =
            query.projection_expression(projection).set_expression_attribute_names(Some(names));
        let query = query.expression_attribute_values(":partition", key);
        let sent = query.set_exclusive_start_key(start).send().await;
        let output = sent.map_err(|error| cannot_be(table, "read", error))?;
        (output.items, output.last_evaluated_key)
    } else {
        let scan = client.scan().table_name(table).consistent_read(true);
        let scan =
            scan.projection_expression(projection).set_expression_attribute_names(Some(names));
        let sent = scan.set_exclusive_start_key(start).send().await;
        let output = sent.map_err(|error| cannot_be(table, "read", error))?;
        (output.items, output.last_evaluated_key)
    };
    let items = items.unwrap_or_default().iter().map(Item::read).collect();
    Ok(Page { items, next: rest(next) })
}

/// The start of the next page, if there is one.
pub(crate) fn rest(last_key: Option<Attributes>) -> Option<Attributes> {
    last_key.filter(|key| !key.is_empty())
}
