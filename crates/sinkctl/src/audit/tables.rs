//! The edge to DynamoDB: whole tables page by page, and a partition's entries in the quarantine.

use std::error::Error;

use aws_config::{BehaviorVersion, ConfigLoader, Region};
use aws_sdk_dynamodb::{Client, config::Credentials, types::AttributeValue};
use dynamo_sink::stored::Attributes;

use super::quarantine::Entries;

/// A table that can't be read.
#[derive(Debug, thiserror::Error)]
#[error("table `{table}` can't be read (`--dynamodb-endpoint` names a local DynamoDB)")]
pub struct TableError {
    /// The table's name.
    pub table: String,
    /// Why.
    pub source: Box<dyn Error + Send + Sync>,
}

/// A client of the AWS SDK's default chain, or of a local DynamoDB at `endpoint` that accepts any credentials.
///
/// A local one may keep the tables of each access key and region apart, so they are those that local functions have.
pub(super) async fn client(endpoint: Option<&str>) -> Client {
    Client::new(&config(endpoint).load().await)
}

/// The settings of the environment or, with an endpoint, those of a local DynamoDB.
pub(super) fn config(endpoint: Option<&str>) -> ConfigLoader {
    let defaults = aws_config::defaults(BehaviorVersion::latest());
    let Some(endpoint) = endpoint else { return defaults };
    let credentials = Credentials::new("local", "local", None, None, "sinkctl");
    let local = defaults.endpoint_url(endpoint).region(Region::from_static("us-east-1"));
    local.credentials_provider(credentials)
}

/// A page of a table.
pub(super) struct Page {
    pub(super) items: Vec<Attributes>,
    /// Where the next page begins, if there is one.
    pub(super) next: Option<Attributes>,
}

/// Reads the page of a table that begins at `start`, consistently.
pub(super) async fn page(
    client: &Client,
    table: &str,
    start: Option<Attributes>,
) -> Result<Page, TableError> {
    let request = client.scan().table_name(table).consistent_read(true);
    let sent = request.set_exclusive_start_key(start).send().await;
    let output = sent.map_err(|source| error(table, source))?;
    Ok(Page {
        items: output.items.unwrap_or_default(),
        next: output.last_evaluated_key.filter(|key| !key.is_empty()),
    })
}

/// Reads what the quarantine holds of a partition.
pub(super) async fn entries(
    client: &Client,
    table: &str,
    topic: &str,
    partition: i32,
    epoch: u64,
) -> Result<Entries, TableError> {
    let mut entries = Entries::new(epoch);
    let mut start: Option<Attributes> = None;
    loop {
        let request = client
            .query()
            .table_name(table)
            .consistent_read(true)
            .key_condition_expression("#key = :partition")
            .projection_expression("#sort, #offset, #timestamp, #epoch, #reason, #parts")
            .expression_attribute_names("#key", "PK")
            .expression_attribute_names("#sort", "SK")
            .expression_attribute_names("#offset", "offset")
            .expression_attribute_names("#timestamp", "timestamp")
            .expression_attribute_names("#epoch", "epoch")
            .expression_attribute_names("#reason", "reason")
            .expression_attribute_names("#parts", "parts")
            .expression_attribute_values(
                ":partition",
                AttributeValue::S(format!("{topic}-{partition}")),
            );
        let sent = request.set_exclusive_start_key(start).send().await;
        let output = sent.map_err(|source| error(table, source))?;
        for item in output.items() {
            entries.add(item);
        }
        start = output.last_evaluated_key.filter(|key| !key.is_empty());
        if start.is_none() {
            return Ok(entries);
        }
    }
}

fn error(table: &str, source: impl Error + Send + Sync + 'static) -> TableError {
    TableError { table: table.to_owned(), source: Box::new(source) }
}
