//! What requests look like; a member that is not known makes a request malformed.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

use super::attribute::{Attribute, Attributes};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Batch {
    pub(super) statements: Vec<StatementRequest>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct StatementRequest {
    pub(super) statement: String,
    #[serde(default)]
    pub(super) parameters: Vec<Attribute>,
    #[serde(default)]
    pub(super) return_values_on_condition_check_failure: String,
    #[serde(default, rename = "ConsistentRead")]
    _consistent_read: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Transaction {
    pub(super) transact_items: Vec<Action>,
}

/// A write of a transaction or of a batch.
#[derive(Deserialize)]
pub(super) enum Action {
    #[serde(alias = "PutRequest")]
    Put(Call),
    #[serde(alias = "DeleteRequest")]
    Delete(Call),
    ConditionCheck(Call),
}

/// The members of `PutItem`, `DeleteItem` and of actions.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Call {
    /// Stands beside the writes of a batch.
    #[serde(default)]
    pub(super) table_name: String,
    pub(super) item: Option<Attributes>,
    pub(super) key: Option<Attributes>,
    pub(super) condition_expression: Option<String>,
    #[serde(default)]
    pub(super) expression_attribute_names: HashMap<String, String>,
    #[serde(default)]
    pub(super) expression_attribute_values: Attributes,
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
#[serde(rename_all = "PascalCase")]
pub(super) struct BatchWrite {
    pub(super) request_items: BTreeMap<String, Vec<Action>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct BatchGet {
    pub(super) request_items: BTreeMap<String, ReadRequest>,
    #[serde(default)]
    pub(super) return_consumed_capacity: String,
}

/// What is read of one table.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct ReadRequest {
    pub(super) keys: Vec<Attributes>,
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
