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
    /// The environment variables that each function reads and Lambda does not set, by the function's binary.
    pub(crate) variables: BTreeMap<String, BTreeSet<String>>,
}

/// Reads it.
pub(crate) fn contract() -> Contract {
    serde_json::from_str(include_str!("../template/contract.json")).unwrap()
}
