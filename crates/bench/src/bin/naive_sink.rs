//! The baseline as a Lambda function: one unconditional call a record, 64 at a time, all else as the crates come.

use aws_config::BehaviorVersion;
use aws_lambda_events::kafka::KafkaEvent;
use aws_sdk_dynamodb::Client;
use bench::naive::{Write, writes};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use lambda_runtime::{Error, LambdaEvent, service_fn};

/// How many calls are in flight at most.
const CONCURRENCY: usize = 64;

#[tokio::main]
async fn main() -> Result<(), Error> {
    #[expect(clippy::disallowed_methods, reason = "the baseline is no sink, and has no settings")]
    let table = std::env::var("TABLE_NAME")?;
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let client = Client::new(&config);
    lambda_runtime::run(service_fn(|event| land(&client, &table, event))).await
}

async fn land(client: &Client, table: &str, event: LambdaEvent<KafkaEvent>) -> Result<(), Error> {
    stream::iter(writes(event.payload)?)
        .map(|write| send(client, table, write))
        .buffer_unordered(CONCURRENCY)
        .try_collect()
        .await
}

async fn send(client: &Client, table: &str, write: Write) -> Result<(), Error> {
    match write {
        Write::Put(item) => {
            client.put_item().table_name(table).set_item(Some(item)).send().await?;
        }
        Write::Delete(key) => {
            client.delete_item().table_name(table).set_key(Some(key)).send().await?;
        }
    }
    Ok(())
}
