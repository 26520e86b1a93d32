//! Values that do not fit the key of an index, on a table that was brought along: DynamoDB alone knows of it.

use aws_sdk_dynamodb::types::{
    AttributeDefinition, CreateGlobalSecondaryIndexAction, GlobalSecondaryIndexUpdate,
    KeySchemaElement, KeyType, Projection, ProjectionType, ScalarAttributeType,
};
use dynamo_sink::outcome::Outcome::{Quarantined, Written};
use serde_json::json;
use sink_seatool_data::SINK;

use crate::support::{Event, Record, SEATOOL, connection, dynamodb, handler, land};

const ATTRIBUTE: &str = "STATUS";

#[tokio::test]
async fn what_an_index_does_not_take_is_quarantined_and_blocks_nothing() {
    let dynamodb = dynamodb().await;
    add_index(&dynamodb.endpoint()).await;
    let mut handler = handler(&dynamodb.endpoint(), SINK, &[]).await;
    // Both emulators take more than DynamoDB: texts that are too long, and DynamoDB Local a number in an update.
    let unfit = [json!({"a": 1}), json!(null), json!("")];
    let row = |key: usize, offset: i64, status: &serde_json::Value| {
        let value = json!({ATTRIBUTE: status, "offset": offset});
        Record::seatool(&format!("KEY-{key}"), 0, offset, offset, Some(&value))
    };
    // As new items, and in place of items that stand.
    for round in [0, 100] {
        let good = (0..3).map(|key| row(key, round + i64::try_from(key).unwrap(), &json!("open")));
        let bad = unfit
            .iter()
            .zip(3..)
            .map(|(status, key)| row(key, round + i64::try_from(key).unwrap(), status));
        let landed = land(&mut handler, &Event::new(good.chain(bad))).await;
        landed.answer.unwrap();
        let counts = [Written, Quarantined].map(|it| landed.summary.count(it));
        assert_eq!(counts, [3, unfit.len()], "in round {round}");

        let filled = (3..3 + unfit.len())
            .map(|key| row(key, round + 50 + i64::try_from(key).unwrap(), &json!("open")));
        let landed = land(&mut handler, &Event::new(filled)).await;
        landed.answer.unwrap();
        assert_eq!(landed.summary.count(Written), unfit.len());
    }
    assert_eq!(dynamodb.items(SEATOOL).len(), 3 + unfit.len());
}

async fn add_index(endpoint: &str) {
    let client = connection(endpoint).await.client();
    let definition = |name: &str| {
        let kind = ScalarAttributeType::S;
        AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build().unwrap()
    };
    let key = KeySchemaElement::builder().attribute_name(ATTRIBUTE).key_type(KeyType::Hash);
    let index = CreateGlobalSecondaryIndexAction::builder()
        .index_name("by-status")
        .key_schema(key.build().unwrap())
        .projection(Projection::builder().projection_type(ProjectionType::All).build())
        .build()
        .unwrap();
    client
        .update_table()
        .table_name(SEATOOL)
        .set_attribute_definitions(Some(["PK", "SK", ATTRIBUTE].map(definition).to_vec()))
        .global_secondary_index_updates(GlobalSecondaryIndexUpdate::builder().create(index).build())
        .send()
        .await
        .unwrap();
}
