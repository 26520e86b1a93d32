//! What the functions read and count, as the tests of the expanded template take it for granted.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

/// What `tests/template/contract.json` says.
#[derive(Debug, Deserialize)]
pub(crate) struct Contract {
    /// The namespace of the metrics.
    pub(crate) namespace: String,
    /// Their dimensions.
    pub(crate) dimensions: Vec<String>,
    /// Their names.
    pub(crate) metrics: BTreeSet<String>,
    /// Those of them that are times; the others count.
    pub(crate) milliseconds: BTreeSet<String>,
    /// The environment variables that each function reads and Lambda does not set.
    pub(crate) variables: BTreeSet<String>,
    /// What makes each sink different, by the function's binary.
    pub(crate) sinks: BTreeMap<String, SinkContract>,
}

/// What the file says of one sink.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SinkContract {
    /// What orders its records.
    pub(crate) order: String,
    /// The environment variables that its function reads besides.
    pub(crate) own_variables: BTreeSet<String>,
}

impl Contract {
    /// All environment variables that the function of this name reads and Lambda does not set.
    pub(crate) fn variables_of(&self, sink: &str) -> BTreeSet<String> {
        &self.variables | &self.sinks[sink].own_variables
    }
}

/// Reads it.
pub(crate) fn contract() -> Contract {
    serde_json::from_str(include_str!("../template/contract.json")).unwrap()
}
