//! What stands in the embedded DynamoDB's tables, and what was written to them on the way.

use dynoxide::actions::{
    describe_table::DescribeTableRequest, get_records::GetRecordsRequest,
    get_shard_iterator::GetShardIteratorRequest, put_item::PutItemRequest,
};
use serde_json::{Map, Value, json};
use sinkctl::dynamodb::{LocalDynamoDb, Storage};

use super::template;

/// An embedded DynamoDB with the template's tables, each of which has a stream, so that [`changes`] can be asked for.
pub(crate) async fn dynamodb_with_streams() -> LocalDynamoDb {
    let mut tables = template().tables;
    for table in &mut tables {
        table.stream_view_type = Some("NEW_AND_OLD_IMAGES".to_owned());
    }
    LocalDynamoDb::start(Storage::Memory, 0, &tables).await.unwrap()
}

/// Puts an item in DynamoDB's JSON, as another writer would.
pub(crate) fn put(dynamodb: &LocalDynamoDb, table: &str, item: &Value) {
    let request = PutItemRequest {
        table_name: table.to_owned(),
        item: serde_json::from_value(item.clone()).unwrap(),
        ..PutItemRequest::default()
    };
    dynamodb.database().put_item(request).unwrap();
}

/// A write that was done, in DynamoDB's JSON.
///
/// The embedded DynamoDB's streams tell of each put, also of one that changes nothing, which a real stream leaves out;
/// a delete where there is no item is in neither.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Change {
    pub(crate) old: Option<Value>,
    pub(crate) new: Option<Value>,
}

/// All writes to a table, in their order, `put`s included.
pub(crate) fn changes(dynamodb: &LocalDynamoDb, table: &str) -> Vec<Change> {
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

/// A JSON value in DynamoDB's JSON; its numbers must have one spelling in both.
pub(crate) fn dynamo_json(value: &Value) -> Value {
    match value {
        Value::Null => json!({"NULL": true}),
        Value::Bool(value) => json!({"BOOL": value}),
        Value::Number(value) => json!({"N": value.to_string()}),
        Value::String(value) => json!({"S": value}),
        Value::Array(values) => json!({"L": values.iter().map(dynamo_json).collect::<Vec<_>>()}),
        Value::Object(members) => json!({"M": dynamo_members(members)}),
    }
}

/// The members of an object in DynamoDB's JSON.
pub(crate) fn dynamo_members(members: &Map<String, Value>) -> Map<String, Value> {
    members.iter().map(|(name, value)| (name.clone(), dynamo_json(value))).collect()
}
