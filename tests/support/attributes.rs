//! JSON values as the attributes that they become.

use serde_json::{Map, Value, json};

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
