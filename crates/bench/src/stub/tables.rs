//! What stands in the stub's tables, and what writing and reading cost.

use std::collections::HashMap;

use local::template;

use super::attribute::{Attribute, Attributes, Size, text};

/// The bytes that one write unit pays for.
const WRITE_UNIT_BYTES: usize = 1024;
/// The bytes that one read unit pays for, or half a unit where the read is eventually consistent.
const READ_UNIT_BYTES: usize = 4096;
/// The largest item that DynamoDB stores.
const MAX_ITEM_BYTES: usize = 400 * 1024;

/// The tables, and what was done to them.
pub(super) struct Tables {
    by_name: HashMap<String, Table>,
    pub(super) counts: Counts,
}

/// What was done since the last look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Requests that write or read items.
    pub(crate) requests: u64,
    /// Write units by DynamoDB's published rules: one for each 1,024 bytes, rounded up, of the larger of the old and
    /// the new item; the same for a condition that is false, by the item that stands; twice as many in a transaction.
    /// What a cancelled transaction is charged is not published: here it is what it would have been charged had it been
    /// applied, except for conditions that are false.
    pub(crate) write_units: u64,
    /// Halves of read units: one for each 4,096 bytes, rounded up, of the whole item, also where there is none; twice
    /// as many where the read is strongly consistent.
    pub(crate) half_read_units: u64,
    /// Items that were put where none stood.
    pub(crate) created: u64,
    /// Items that took another's place.
    pub(crate) replaced: u64,
}

struct Table {
    keys: Vec<String>,
    items: HashMap<String, Item>,
}

/// An item of a size that DynamoDB takes.
pub(super) struct Item {
    pub(super) attributes: Attributes,
    size: usize,
}

/// A write of one item.
pub(super) struct Write {
    pub(super) table: String,
    /// Of the partition key and of the sort key, if there is one, with a separator that keys don't hold.
    pub(super) key: String,
    pub(super) change: Change,
    pub(super) is_transactional: bool,
}

pub(super) enum Change {
    Put(Item),
    Update { set: Attributes, remove: Vec<String> },
    Delete,
    Check,
}

impl Tables {
    pub(super) fn new(tables: &[template::Table]) -> Self {
        let table = |table: &template::Table| {
            let keys = table.key_schema.iter().map(|key| key.attribute_name.clone()).collect();
            (table.name.clone(), Table { keys, items: HashMap::new() })
        };
        Self { by_name: tables.iter().map(table).collect(), counts: Counts::default() }
    }

    /// The names of a table's key attributes.
    pub(super) fn keys(&self, table: &str) -> Result<&[String], String> {
        let known = self.by_name.get(table).map(|table| &*table.keys);
        known.ok_or_else(|| format!("there is no table `{table}`"))
    }

    /// The key of the attributes that `attribute` finds.
    pub(super) fn key<'a>(
        &self,
        table: &str,
        attribute: impl Fn(&str) -> Option<&'a Attribute>,
    ) -> Result<String, String> {
        let mut key = String::new();
        for name in self.keys(table)? {
            let value = attribute(name);
            let value = value.ok_or_else(|| format!("the key attribute `{name}` is missing"))?;
            let text = text(value).filter(|text| !text.is_empty());
            key +=
                &text.ok_or_else(|| format!("the key attribute `{name}` is no filled string"))?;
            key.push('\0');
        }
        Ok(key)
    }

    pub(super) fn find(&self, table: &str, key: &str) -> Option<&Item> {
        self.by_name.get(table)?.items.get(key)
    }

    /// Applies a write whose condition holds.
    pub(super) fn apply(&mut self, write: Write) -> Result<(), String> {
        let Write { table, key, change, is_transactional } = write;
        let Some(table) = self.by_name.get_mut(&table) else {
            return Err(format!("there is no table `{table}`"));
        };
        let old_size = table.items.get(&key).map(|item| item.size);
        let item = match change {
            Change::Put(item) => Some(item),
            Change::Update { set, remove } => {
                let old = table.items.remove(&key);
                let mut attributes = old.map(|item| item.attributes).unwrap_or_default();
                attributes.retain(|name, _| !remove.contains(name));
                attributes.extend(set);
                Some(Item::new(attributes)?)
            }
            Change::Delete => {
                table.items.remove(&key);
                None
            }
            Change::Check => None,
        };
        let new_size = item.as_ref().map_or(0, |item| item.size);
        self.counts.pay(new_size.max(old_size.unwrap_or(0)), is_transactional);
        if let Some(item) = item {
            self.counts.created += u64::from(old_size.is_none());
            self.counts.replaced += u64::from(old_size.is_some());
            table.items.insert(key, item);
        }
        Ok(())
    }

    /// Pays for a write that is not done: because its condition is false, or because its transaction is cancelled.
    pub(super) fn refuse(&mut self, write: &Write, holds: bool) {
        let old_size = self.find(&write.table, &write.key).map_or(0, |item| item.size);
        let new_size = match &write.change {
            Change::Put(item) if holds => item.size,
            _ => 0,
        };
        self.counts.pay(new_size.max(old_size), write.is_transactional);
    }
}

impl Counts {
    fn pay(&mut self, bytes: usize, is_transactional: bool) {
        let units = bytes.div_ceil(WRITE_UNIT_BYTES).max(1) * if is_transactional { 2 } else { 1 };
        self.write_units += units as u64;
    }
}

impl Item {
    pub(super) fn new(attributes: Attributes) -> Result<Self, String> {
        let mut size = 0;
        for (name, value) in &attributes {
            let value = serde_json::from_str::<Size>(value.get());
            size += name.len() + value.map_err(|_| "an attribute's value is malformed")?.0;
        }
        if size > MAX_ITEM_BYTES {
            return Err(format!("an item has {size} bytes: {MAX_ITEM_BYTES} are allowed"));
        }
        Ok(Self { attributes, size })
    }

    /// What it takes to read it, in halves of units, or to find that it is not there.
    pub(super) fn half_read_units(item: Option<&Self>, is_consistent: bool) -> u64 {
        let size = item.map_or(0, |item| item.size);
        (size.div_ceil(READ_UNIT_BYTES).max(1) * if is_consistent { 2 } else { 1 }) as u64
    }
}
