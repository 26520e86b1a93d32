//! The template's tables in DynamoDB Local.

use std::{collections::HashMap, path::Path, time::Duration};

use aws_config::{BehaviorVersion, Region, retry::RetryConfig};
use aws_sdk_dynamodb::{
    Client,
    config::Credentials,
    types::{
        AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType,
        KeysAndAttributes, ScalarAttributeType, StreamSpecification, StreamViewType,
        TimeToLiveSpecification,
    },
};
use dynoxide::types;
use local::template::{LOCAL_STAGE, Table, Template};

use crate::compare::Item;

/// A client with the credentials that the functions have locally: DynamoDB Local keeps each access key's tables apart.
pub(crate) async fn client(endpoint: &str) -> Client {
    let config = aws_config::defaults(BehaviorVersion::latest())
        .endpoint_url(endpoint)
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("local", "local", None, None, "local"))
        .retry_config(RetryConfig::standard())
        .load()
        .await;
    Client::new(&config)
}

/// The template, as it is for the local stage.
pub(crate) fn template(root: &Path) -> Template {
    Template::read(&root.join("template.yaml"), &[("Stage", LOCAL_STAGE)]).unwrap()
}

/// Creates the template's tables anew.
pub(crate) async fn create_anew(client: &Client, tables: &[Table]) {
    let there = client.list_tables().send().await.unwrap();
    for table in tables {
        if there.table_names().contains(&table.name) {
            client.delete_table().table_name(&table.name).send().await.unwrap();
        }
        create(client, table).await;
    }
}

async fn create(client: &Client, table: &Table) {
    let mut request =
        client.create_table().table_name(&table.name).billing_mode(BillingMode::PayPerRequest);
    for element in &table.key_schema {
        let key_type = match element.key_type {
            types::KeyType::HASH => KeyType::Hash,
            types::KeyType::RANGE => KeyType::Range,
        };
        let name = &element.attribute_name;
        let element = KeySchemaElement::builder().attribute_name(name).key_type(key_type);
        request = request.key_schema(element.build().unwrap());
    }
    for definition in &table.attribute_definitions {
        let attribute_type = match definition.attribute_type {
            types::ScalarAttributeType::S => ScalarAttributeType::S,
            types::ScalarAttributeType::N => ScalarAttributeType::N,
            types::ScalarAttributeType::B => ScalarAttributeType::B,
        };
        let name = &definition.attribute_name;
        let definition =
            AttributeDefinition::builder().attribute_name(name).attribute_type(attribute_type);
        request = request.attribute_definitions(definition.build().unwrap());
    }
    request.send().await.unwrap();
    if let Some(attribute) = &table.ttl_attribute {
        let setting =
            TimeToLiveSpecification::builder().attribute_name(attribute).enabled(true).build();
        client
            .update_time_to_live()
            .table_name(&table.name)
            .time_to_live_specification(setting.unwrap())
            .send()
            .await
            .unwrap();
    }
}

/// Gives a table a stream of its items before and after each change, and returns the stream's ARN.
pub(crate) async fn start_stream(client: &Client, table: &str) -> String {
    let stream = StreamSpecification::builder()
        .stream_enabled(true)
        .stream_view_type(StreamViewType::NewAndOldImages)
        .build()
        .unwrap();
    let updated =
        client.update_table().table_name(table).stream_specification(stream).send().await.unwrap();
    updated.table_description.unwrap().latest_stream_arn.unwrap()
}

/// Removes an item.
pub(crate) async fn delete(client: &Client, table: &str, key: &str) {
    let key = AttributeValue::S(key.to_owned());
    let delete = client.delete_item().table_name(table).key("PK", key.clone()).key("SK", key);
    delete.send().await.unwrap();
}

/// All items of a table, strongly consistent.
pub(crate) async fn scan(client: &Client, table: &str) -> Vec<Item> {
    let mut items = Vec::new();
    let mut start = None;
    loop {
        let page = client
            .scan()
            .table_name(table)
            .consistent_read(true)
            .set_exclusive_start_key(start)
            .send()
            .await
            .unwrap();
        items.extend(page.items.unwrap_or_default());
        start = page.last_evaluated_key;
        if start.is_none() {
            return items;
        }
    }
}

/// The key and `_sink` of those of these items that there are, strongly consistent; at most a hundred at once.
pub(crate) async fn get(client: &Client, table: &str, keys: &[&str]) -> HashMap<String, Item> {
    let text = |key: &str| AttributeValue::S(key.to_owned());
    let keys = keys
        .iter()
        .map(|key| HashMap::from([("PK".to_owned(), text(key)), ("SK".to_owned(), text(key))]));
    let mut wanted = KeysAndAttributes::builder()
        .set_keys(Some(keys.collect()))
        .consistent_read(true)
        .projection_expression("PK, #sink")
        .expression_attribute_names("#sink", "_sink")
        .build()
        .unwrap();
    let mut found = HashMap::new();
    loop {
        let answer = client.batch_get_item().request_items(table, wanted).send().await.unwrap();
        let items = answer.responses.unwrap_or_default().remove(table).unwrap_or_default();
        found.extend(
            items.into_iter().map(|item| (crate::compare::text(&item, "PK").to_owned(), item)),
        );
        match answer.unprocessed_keys.unwrap_or_default().remove(table) {
            Some(left) => wanted = left,
            None => return found,
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
