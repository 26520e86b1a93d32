//! What a consistent reader may see: each key's states, never an older one after a newer one.

use std::collections::BTreeMap;

use serde_json::Value;

use super::log::Expected;
use crate::support::{Change, TestDynamoDb};

/// Follows each key through its states.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    expected: &'a Expected,
    ranks: BTreeMap<&'a str, usize>,
    pub(super) observations: usize,
    /// Observations of a state that is newer than the one before.
    pub(super) changes: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(expected: &'a Expected) -> Self {
        Self { expected, ranks: BTreeMap::new(), observations: 0, changes: 0 }
    }

    /// Takes what a read gave, which may not be older than what was seen, nor than the state that `landed`.
    #[track_caller]
    pub(super) fn sees(&mut self, key: &str, item: Option<&Value>, landed: usize) {
        let before = self.rank(key);
        self.take(key, item, before.max(landed));
    }

    /// Takes what a write left, which must be newer than what was seen.
    #[track_caller]
    pub(super) fn sees_a_change(&mut self, key: &str, item: Option<&Value>) {
        self.take(key, item, self.rank(key) + 1);
    }

    fn rank(&self, key: &str) -> usize {
        self.ranks.get(key).copied().unwrap_or_default()
    }

    #[track_caller]
    fn take(&mut self, key: &str, item: Option<&Value>, least: usize) {
        let item = item.map(without_shape);
        let rank = match self.expected.rank_seen(key, item.as_ref(), least) {
            Ok(rank) => rank,
            Err(problem) => panic!("{problem}"),
        };
        self.observations += 1;
        self.changes += usize::from(rank > self.rank(key));
        let key = self.expected.keys().find(|it| *it == key).unwrap();
        self.ranks.insert(key, rank);
    }
}

/// An item without the fingerprint of its names, which must be there.
pub(super) fn without_shape(item: &Value) -> Value {
    let mut item = item.clone();
    if let Some(sink) = item.get_mut("_sink") {
        let shape = sink["M"].as_object_mut().unwrap().remove("shape").unwrap();
        assert_eq!(shape["S"].as_str().unwrap().len(), 32);
    }
    item
}

/// Every state that ever stood in a table, by key; none where an item was removed.
pub(super) fn history(dynamodb: &TestDynamoDb, table: &str) -> Vec<(String, Option<Value>)> {
    let state = |Change { old, new }: Change| {
        let key = new.as_ref().or(old.as_ref()).unwrap()["PK"]["S"].as_str().unwrap().to_owned();
        (key, new)
    };
    dynamodb.changes(table).into_iter().map(state).collect()
}
