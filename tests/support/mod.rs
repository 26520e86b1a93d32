//! A DynamoDB with the template's tables, handlers on it, and the events that tests send.

mod attributes;
pub(crate) mod contract;
mod dynamodb;
mod event;
pub(crate) mod function;
mod proxy;

use std::{path::Path, time::Duration};

use aws_config::{BehaviorVersion, Region, retry::RetryConfig};
use aws_sdk_dynamodb::config::Credentials;
use dynamo_sink::{
    connection::Connection,
    handler::{Handled, Handler, InvocationError, Response},
    settings::{Settings, SettingsError},
    sink::Sink,
};
use local::template::{LOCAL_STAGE, Template};

pub(crate) use attributes::dynamo_members;
pub(crate) use dynamodb::{Change, TestDynamoDb, dynamodb, dynamodb_with_streams, is_aws_local};
pub(crate) use event::{Event, Record};
pub(crate) use proxy::{Act, Applied, Proxy, Refusal, Request};

/// The tables' names in the local stage.
pub(crate) const APPIAN: &str = "compare-connector-local-appian";
pub(crate) const SEATOOL: &str = "compare-connector-local-seatool";
pub(crate) const TOMBSTONES: &str = "compare-connector-local-seatool-tombstones";
pub(crate) const QUARANTINE: &str = "compare-connector-local-quarantine";

/// The template of the local stage.
pub(crate) fn template() -> Template {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../template.yaml");
    Template::read(&path, &[("Stage", LOCAL_STAGE)]).unwrap()
}

/// A connection as the functions have it.
pub(crate) async fn connection(endpoint: &str) -> Connection {
    let config = aws_config::defaults(BehaviorVersion::latest())
        .endpoint_url(endpoint)
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::for_tests())
        .retry_config(RetryConfig::disabled());
    Connection::new(config).await.unwrap()
}

/// A sink's settings in the local stage, with `changes` to its variables.
pub(crate) fn settings(sink: &Sink, changes: &[(&str, &str)]) -> Settings {
    try_settings(sink, changes).unwrap()
}

/// See [`settings`].
pub(crate) fn try_settings(
    sink: &Sink,
    changes: &[(&str, &str)],
) -> Result<Settings, SettingsError> {
    let table = if sink.deletes { SEATOOL } else { APPIAN };
    let defaults = [
        ("TABLE_NAME", table),
        ("TOMBSTONE_TABLE_NAME", TOMBSTONES),
        ("QUARANTINE_TABLE_NAME", QUARANTINE),
    ];
    Settings::read(sink, |variable| {
        let found = changes.iter().chain(&defaults).find(|(name, _)| *name == variable);
        Ok(found.map(|(_, value)| (*value).to_owned()))
    })
}

/// A sink's handler on `endpoint`, with `changes` to its variables.
pub(crate) async fn handler(endpoint: &str, sink: Sink, changes: &[(&str, &str)]) -> Handler {
    Handler::new(sink, settings(&sink, changes), connection(endpoint).await)
}

/// A source time as a version has it.
pub(crate) fn source_clock(time: i64) -> String {
    match time {
        0.. => format!("{time:020}"),
        ..0 => format!("-{:019}", 10_i128.pow(19) + i128::from(time)),
    }
}

/// Time enough for any batch of a test.
pub(crate) const TIME: Duration = Duration::from_mins(1);

/// Sends an event.
pub(crate) async fn send(
    handler: &mut Handler,
    event: &Event,
) -> Result<Response, InvocationError> {
    handler.handle(event.json().as_bytes(), Some(TIME)).await
}

/// Sends an event that can be read, and says what became of each record.
pub(crate) async fn land(handler: &mut Handler, event: &Event) -> Handled {
    handler.land(event.json().as_bytes(), Some(TIME)).await.unwrap()
}
