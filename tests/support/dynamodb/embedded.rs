//! What tests read and write in the embedded DynamoDB without HTTP.

use dynoxide::actions::{
    describe_table::DescribeTableRequest, get_item::GetItemRequest, get_records::GetRecordsRequest,
    get_shard_iterator::GetShardIteratorRequest, put_item::PutItemRequest,
};
use local::dynamodb::LocalDynamoDb;
use serde_json::Value;

use super::Change;

pub(super) fn item(dynamodb: &LocalDynamoDb, table: &str, key: Value) -> Option<Value> {
    let request = GetItemRequest {
        table_name: table.to_owned(),
        key: serde_json::from_value(key).unwrap(),
        consistent_read: Some(true),
        ..GetItemRequest::default()
    };
    let item = dynamodb.database().get_item(request).unwrap().item;
    item.map(|item| serde_json::to_value(item).unwrap())
}

pub(super) fn put(dynamodb: &LocalDynamoDb, table: &str, item: &Value) {
    let request = PutItemRequest {
        table_name: table.to_owned(),
        item: serde_json::from_value(item.clone()).unwrap(),
        ..PutItemRequest::default()
    };
    dynamodb.database().put_item(request).unwrap();
}

pub(super) fn changes(dynamodb: &LocalDynamoDb, table: &str) -> Vec<Change> {
    let database = dynamodb.database();
    let request = DescribeTableRequest { table_name: table.to_owned() };
    let stream_arn = database.describe_table(request).unwrap().table.latest_stream_arn.unwrap();
    let request = GetShardIteratorRequest {
        stream_arn,
        shard_id: dynoxide::streams::shard_id(table),
        shard_iterator_type: "TRIM_HORIZON".to_owned(),
        sequence_number: None,
    };
    let mut iterator = database.get_shard_iterator(request).unwrap().shard_iterator;
    let mut changes = Vec::new();
    while let Some(shard_iterator) = iterator {
        let page = database.get_records(GetRecordsRequest { shard_iterator, limit: None }).unwrap();
        if page.records.is_empty() {
            break;
        }
        let json = |item| serde_json::to_value(item).unwrap();
        changes.extend(page.records.into_iter().map(|record| Change {
            old: record.dynamodb.old_image.map(json),
            new: record.dynamodb.new_image.map(json),
        }));
        iterator = page.next_shard_iterator;
    }
    changes
}
