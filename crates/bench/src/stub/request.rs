//! What requests look like; a member that is not known makes a request malformed.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
};

use serde::Deserialize;
use serde_json::value::RawValue;

/// Reads a request's body.
pub(super) fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| {
        // Serde's own words may quote a record.
        format!("a request's body is malformed at line {}, column {}", error.line(), error.column())
    })
}

pub(super) type Attributes<'a> = HashMap<Cow<'a, str>, &'a RawValue>;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Batch<'a> {
    #[serde(borrow)]
    pub(super) statements: Vec<StatementRequest<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct StatementRequest<'a> {
    /// As it stands in the body, with its quotes and escapes.
    #[serde(borrow)]
    pub(super) statement: &'a RawValue,
    #[serde(borrow, default)]
    pub(super) parameters: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) return_values_on_condition_check_failure: Cow<'a, str>,
    #[serde(default, rename = "ConsistentRead")]
    _consistent_read: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Transaction<'a> {
    #[serde(borrow)]
    pub(super) transact_items: Vec<Action<'a>>,
}

#[derive(Deserialize)]
pub(super) enum Action<'a> {
    #[serde(borrow)]
    Put(Call<'a>),
    #[serde(borrow)]
    Delete(Call<'a>),
    #[serde(borrow)]
    ConditionCheck(Call<'a>),
}

/// The members of `PutItem`, `DeleteItem` and a transaction's actions.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Call<'a> {
    #[serde(borrow)]
    pub(super) table_name: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) item: Option<Attributes<'a>>,
    #[serde(borrow)]
    pub(super) key: Option<Attributes<'a>>,
    pub(super) condition_expression: Option<String>,
    #[serde(default)]
    pub(super) expression_attribute_names: HashMap<String, String>,
    #[serde(borrow, default)]
    pub(super) expression_attribute_values: Attributes<'a>,
    #[serde(default)]
    pub(super) return_values_on_condition_check_failure: String,
    #[serde(default, rename = "ReturnValues")]
    _return_values: String,
    #[serde(default, rename = "ReturnConsumedCapacity")]
    _return_consumed_capacity: String,
    #[serde(default, rename = "ReturnItemCollectionMetrics")]
    _return_item_collection_metrics: String,
}

#[derive(Deserialize)]
pub(super) struct BatchWrite<'a> {
    #[serde(borrow, rename = "RequestItems")]
    pub(super) tables: HashMap<Cow<'a, str>, Vec<WriteRequest<'a>>>,
}

#[derive(Deserialize)]
pub(super) enum WriteRequest<'a> {
    #[serde(rename = "PutRequest")]
    Put {
        #[serde(borrow, rename = "Item")]
        item: Attributes<'a>,
    },
    #[serde(rename = "DeleteRequest")]
    Delete {
        #[serde(borrow, rename = "Key")]
        key: Attributes<'a>,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BatchGet<'a> {
    #[serde(borrow, rename = "RequestItems")]
    pub(super) tables: BTreeMap<Cow<'a, str>, ReadRequest<'a>>,
    #[serde(default, rename = "ReturnConsumedCapacity")]
    pub(super) return_consumed_capacity: String,
}

/// What is read of one table.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct ReadRequest<'a> {
    #[serde(borrow)]
    pub(super) keys: Vec<Attributes<'a>>,
    pub(super) projection_expression: Option<String>,
    #[serde(default)]
    pub(super) expression_attribute_names: HashMap<String, String>,
    #[serde(default)]
    pub(super) consistent_read: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Describe {
    pub(super) table_name: String,
}
