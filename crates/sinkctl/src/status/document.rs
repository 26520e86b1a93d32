//! What `sinkctl esm --status-address` tells of itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::series::Metrics;

/// The whole of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    /// The stage that the template was read for.
    pub stage: String,
    /// When it began to count, in milliseconds since 1970.
    pub began: u64,
    /// The time now.
    pub time: u64,
    /// The functions by the names of their binaries.
    pub functions: BTreeMap<String, FunctionDocument>,
    /// The parameters that the template was read with, beside the stage.
    pub parameters: Vec<(String, String)>,
}

/// A function and its mapping.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FunctionDocument {
    /// The function's name.
    pub name: String,
    /// The mapping's name in the template.
    pub mapping: String,
    /// The topic.
    pub topic: String,
    /// The consumer group.
    pub group: String,
    /// The mapping's state, in Lambda's words.
    pub state: String,
    /// What came of the last batch, in Lambda's words.
    pub last_processing_result: String,
    /// The epoch that the function was started with.
    pub epoch: String,
    /// By partition how many records the topic is ahead of the group.
    pub lag: BTreeMap<i32, u64>,
    /// What was counted.
    pub metrics: Metrics,
}
