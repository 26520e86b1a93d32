//! The straightforward pipeline from an event to items: the baseline that this benchmark and the micro-benchmarks put
//! beside the sinks.
//!
//! It is written as one would without measuring, on the crates that are usual for it, and deliberately stays so: it
//! reads the whole event into owned strings, decodes base64, parses each value into a tree, and turns that into maps of
//! attributes. It checks nothing but what these crates check, and orders nothing.

use std::collections::HashMap;

use aws_lambda_events::kafka::{KafkaEvent, KafkaRecord};
use aws_sdk_dynamodb::types::AttributeValue;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use lambda_runtime::Error;
use serde_json::Value;

/// The attributes of an item, or of its key.
pub type Attributes = HashMap<String, AttributeValue>;

/// What a record does to its table.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// Put this item.
    Put(Attributes),
    /// Delete the item with this key.
    Delete(Attributes),
}

/// The writes of all of an event's records.
pub fn writes(event: KafkaEvent) -> Result<Vec<Write>, Error> {
    event.records.into_values().flatten().map(|record| write(&record)).collect()
}

fn write(record: &KafkaRecord) -> Result<Write, Error> {
    let value = decode(record.value.as_deref())?;
    let key = match (decode(record.key.as_deref())?, &value["payload"]["PCKG_ID"]) {
        (Value::String(key), _) => key,
        (_, Value::Number(id)) => id.to_string(),
        _ => return Err("a record has no key".into()),
    };
    let mut attributes: Attributes = match value {
        Value::Null => return Ok(Write::Delete(with_key(Attributes::new(), key))),
        value => serde_dynamo::to_item(value)?,
    };
    attributes.remove("schema");
    Ok(Write::Put(with_key(attributes, key)))
}

/// A key's or value's JSON; null where there is none.
fn decode(base64: Option<&str>) -> Result<Value, Error> {
    let Some(base64) = base64 else { return Ok(Value::Null) };
    Ok(serde_json::from_slice(&STANDARD.decode(base64)?)?)
}

fn with_key(mut attributes: Attributes, key: String) -> Attributes {
    attributes.insert("PK".to_owned(), AttributeValue::S(key.clone()));
    attributes.insert("SK".to_owned(), AttributeValue::S(key));
    attributes
}
