//! Looks: what asks for the stamps that stand under many keys, and what it found.

use std::collections::{HashMap, HashSet};

use super::{Call, Operation, Wire, key_attributes};
use crate::{
    item::json_string,
    order::{
        stored::{self, Attributes},
        write::Shown,
    },
};

/// DynamoDB's limit on the keys of one `BatchGetItem`.
const MAX_KEYS: usize = 100;

/// What a look found in the tables.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// By name.
    pub(crate) tables: HashMap<String, FoundIn>,
    pub(crate) read_units: f64,
}

/// A look did not come to a key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unprocessed;

/// What a look found in one table, by key.
#[derive(Debug, Default)]
pub(crate) struct FoundIn {
    pub(crate) items: HashMap<String, Attributes>,
    /// The keys to which DynamoDB did not come.
    pub(crate) unprocessed: HashSet<String>,
}

impl Found {
    /// What stands under a key.
    pub(crate) fn of(&self, table: &str, key: &str) -> Result<Option<&Attributes>, Unprocessed> {
        let table = self.tables.get(table).ok_or(Unprocessed)?;
        match table.items.get(key) {
            None if table.unprocessed.contains(key) => Err(Unprocessed),
            item => Ok(item),
        }
    }
}

impl Wire {
    /// How many records' keys a look has at most.
    pub(crate) fn keys_per_look(&self) -> usize {
        if self.tombstone_table.is_empty() { MAX_KEYS } else { MAX_KEYS / 2 }
    }

    /// A look at the items with these keys and at their tombstones. It need not be consistent, which costs half.
    pub(crate) fn look<'k>(&self, keys: impl Iterator<Item = &'k str>) -> Call {
        let mut list = Vec::new();
        for key in keys {
            list.extend_from_slice(if list.is_empty() { b"{" } else { b",{" });
            key_attributes(key, &mut list);
            list.push(b'}');
        }
        let mut body = Vec::with_capacity(2 * list.len() + 512);
        body.extend_from_slice(b"{\"RequestItems\":{");
        json_string(&self.table, &mut body);
        body.extend_from_slice(b":{\"Keys\":[");
        body.extend_from_slice(&list);
        body.extend_from_slice(
            b"],\"ProjectionExpression\":\"PK,SK,#sink\",\"ExpressionAttributeNames\":{\"#sink\":\"_sink\"}}",
        );
        if !self.tombstone_table.is_empty() {
            body.push(b',');
            json_string(&self.tombstone_table, &mut body);
            body.extend_from_slice(b":{\"Keys\":[");
            body.extend_from_slice(&list);
            body.extend_from_slice(b"]}");
        }
        body.extend_from_slice(b"},\"ReturnConsumedCapacity\":\"TOTAL\"}");
        Call { operation: Operation::BatchGetItem, body }
    }

    /// What a look found of a key; none where DynamoDB did not come to it, or it cannot be read.
    pub(crate) fn shown(&self, found: &Found, key: &str) -> Option<Shown> {
        let item = found.of(&self.table, key).ok()?;
        let tombstone = match self.tombstone_table.as_str() {
            "" => None,
            table => found.of(table, key).ok()?,
        };
        Some(Shown {
            item: item.map(stored::item_state).transpose().ok()?,
            tombstone: tombstone.map(stored::tombstone_stamp).transpose().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::order::version::Order;

    #[test]
    #[expect(clippy::needless_pass_by_value, reason = "`expect!` is written in place")]
    fn a_look_asks_for_stamps_only() {
        #[track_caller]
        fn check(tombstones: Option<&str>, keys: &[&str], expected: Expect) {
            let tombstones = tombstones.map(str::to_owned);
            let wire = Wire::new(Order::Offset, "items".to_owned(), tombstones, true);
            let Call { operation, body } = wire.look(keys.iter().copied());
            assert_eq!(operation, Operation::BatchGetItem);
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            expected.assert_eq(&body.to_string());
        }

        check(
            None,
            &["a", "\""],
            expect![[
                r##"{"RequestItems":{"items":{"ExpressionAttributeNames":{"#sink":"_sink"},"Keys":[{"PK":{"S":"a"},"SK":{"S":"a"}},{"PK":{"S":"\""},"SK":{"S":"\""}}],"ProjectionExpression":"PK,SK,#sink"}},"ReturnConsumedCapacity":"TOTAL"}"##
            ]],
        );
        check(
            Some("tombstones"),
            &["a"],
            expect![[
                r##"{"RequestItems":{"items":{"ExpressionAttributeNames":{"#sink":"_sink"},"Keys":[{"PK":{"S":"a"},"SK":{"S":"a"}}],"ProjectionExpression":"PK,SK,#sink"},"tombstones":{"Keys":[{"PK":{"S":"a"},"SK":{"S":"a"}}]}},"ReturnConsumedCapacity":"TOTAL"}"##
            ]],
        );
    }
}
