//! What stands in the stub's tables, and what writing and reading cost.

use std::{collections::HashMap, sync::Arc};

use local::template;
use serde_json::value::RawValue;

use super::attribute::{Scalar, Size, member};

/// The bytes that one write unit pays for.
const WRITE_UNIT_BYTES: usize = 1024;
/// The bytes that one read unit pays for, or half a unit where the read is eventually consistent.
const READ_UNIT_BYTES: usize = 4096;
/// The largest item that DynamoDB stores.
const MAX_ITEM_BYTES: usize = 400 * 1024;

/// The tables, and what was done to them.
#[derive(Debug, Default)]
pub(super) struct Tables {
    by_name: HashMap<String, Table>,
    pub(super) counts: Counts,
}

/// What was done since the last look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests that write or read items.
    pub requests: u64,
    /// Write units by DynamoDB's published rules: one for each 1,024 bytes, rounded up, of the larger of the old and
    /// the new item; the same for a condition that is false, by the item that stands; twice as many in a transaction.
    /// What a cancelled transaction is charged is not published: here it is what it would have been charged had it been
    /// applied, except for conditions that are false.
    pub write_units: u64,
    /// Halves of read units: one for each 4,096 bytes, rounded up, of the whole item, also where there is none; twice
    /// as many where the read is strongly consistent.
    pub half_read_units: u64,
    /// Items that were put where none stood.
    pub created: u64,
    /// Items that took another's place.
    pub replaced: u64,
    /// Items that were deleted.
    pub deleted: u64,
    /// Conditions that were false.
    pub refused: u64,
    /// Requests and parts of requests that were throttled.
    pub throttled: u64,
    /// Requests and parts of requests that failed without a reason.
    pub failed: u64,
}

#[derive(Debug)]
struct Table {
    keys: Vec<String>,
    items: HashMap<String, Item>,
}

/// An item as it came.
#[derive(Clone, Debug, Default)]
pub(super) struct Item {
    members: Vec<Member>,
}

#[derive(Clone, Debug)]
struct Member {
    name: Arc<str>,
    value: Box<RawValue>,
    size: usize,
}

/// A write of one item.
#[derive(Debug)]
pub(super) struct Write {
    pub(super) table: String,
    /// Of the partition key and of the sort key, if there is one, with a separator that keys don't hold.
    pub(super) key: String,
    pub(super) change: Change,
    pub(super) is_transactional: bool,
}

#[derive(Debug)]
pub(super) enum Change {
    Put(Item),
    Update { set: Item, remove: Vec<String> },
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
        let table =
            self.by_name.get(table).ok_or_else(|| format!("there is no table `{table}`"))?;
        Ok(&table.keys)
    }

    /// The key of the attributes that `attribute` finds.
    pub(super) fn key<'a>(
        &self,
        table: &str,
        attribute: impl Fn(&str) -> Option<&'a RawValue>,
    ) -> Result<String, String> {
        let mut key = String::new();
        for name in self.keys(table)? {
            let value = attribute(name).map(Scalar::read);
            match value {
                Some(Scalar::Text(text)) if !text.is_empty() => key.push_str(&text),
                Some(_) => return Err(format!("the key attribute `{name}` is no filled string")),
                None => return Err(format!("the key attribute `{name}` is missing")),
            }
            key.push('\0');
        }
        Ok(key)
    }

    pub(super) fn find(&self, table: &str, key: &str) -> Option<&Item> {
        self.by_name.get(table)?.items.get(key)
    }

    /// Reads what stands at a key, and pays for it.
    pub(super) fn read(&mut self, table: &str, key: &str, is_consistent: bool) -> Option<&Item> {
        let item = self.by_name.get(table)?.items.get(key);
        let size = item.map_or(0, Item::size);
        let halves = size.div_ceil(READ_UNIT_BYTES).max(1) * if is_consistent { 2 } else { 1 };
        self.counts.half_read_units += halves as u64;
        item
    }

    /// Applies a write whose condition holds.
    pub(super) fn apply(&mut self, write: Write) -> Result<(), String> {
        let Write { table, key, change, is_transactional } = write;
        let Some(table) = self.by_name.get_mut(&table) else {
            return Err(format!("there is no table `{table}`"));
        };
        let old_size = table.items.get(&key).map(Item::size);
        let item = match change {
            Change::Put(item) => Some(item),
            Change::Update { set, remove } => {
                let mut item = table.items.remove(&key).unwrap_or_default();
                item.members.retain(|member| !remove.iter().any(|name| **name == *member.name));
                for (position, member) in set.members.into_iter().enumerate() {
                    item.set(position, member);
                }
                Some(item)
            }
            Change::Delete => None,
            Change::Check => {
                self.counts.pay(old_size.unwrap_or(0), is_transactional);
                return Ok(());
            }
        };
        let new_size = item.as_ref().map_or(0, Item::size);
        if new_size > MAX_ITEM_BYTES {
            return Err(format!("an item has {new_size} bytes: {MAX_ITEM_BYTES} are allowed"));
        }
        self.counts.pay(new_size.max(old_size.unwrap_or(0)), is_transactional);
        match (item, old_size) {
            (Some(item), old) => {
                let count = if old.is_some() {
                    &mut self.counts.replaced
                } else {
                    &mut self.counts.created
                };
                *count += 1;
                table.items.insert(key, item);
            }
            (None, Some(_)) => {
                self.counts.deleted += 1;
                table.items.remove(&key);
            }
            (None, None) => {}
        }
        Ok(())
    }

    /// Pays for a write whose condition is false.
    pub(super) fn refuse(&mut self, table: &str, key: &str, is_transactional: bool) {
        let size = self.find(table, key).map_or(0, Item::size);
        self.counts.refused += 1;
        self.counts.pay(size, is_transactional);
    }

    /// Pays for an action whose condition holds, but whose transaction is cancelled.
    pub(super) fn cancel(&mut self, write: &Write) {
        let old_size = self.find(&write.table, &write.key).map_or(0, Item::size);
        let new_size = match &write.change {
            Change::Put(item) => item.size(),
            Change::Update { .. } | Change::Delete | Change::Check => 0,
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
    /// Adds an attribute, after a look at its shape.
    pub(super) fn push(&mut self, name: Arc<str>, value: &RawValue) -> Result<(), String> {
        let size: Size = serde_json::from_str(value.get())
            .map_err(|_| "an attribute's value is malformed".to_owned())?;
        let size = name.len() + size.0;
        self.members.push(Member { name, value: value.to_owned(), size });
        Ok(())
    }

    /// Replaces the member of that name, which usually stands at that position, or adds it.
    fn set(&mut self, position: usize, member: Member) {
        let is_it = |it: &Member| it.name == member.name;
        let usual = self.members.get(position).filter(|it| is_it(it)).map(|_| position);
        match usual.or_else(|| self.members.iter().position(is_it)) {
            Some(position) => self.members[position] = member,
            None => self.members.push(member),
        }
    }

    pub(super) fn attribute(&self, name: &str) -> Option<&RawValue> {
        self.members.iter().find(|member| *member.name == *name).map(|member| &*member.value)
    }

    /// What stands at a path, for a condition.
    pub(super) fn scalar(&self, path: &[String]) -> Option<Scalar> {
        let (first, rest) = path.split_first()?;
        let mut value = self.attribute(first)?.to_owned();
        for name in rest {
            value = member(&value, name)?;
        }
        Some(Scalar::read(&value))
    }

    /// Writes the item as it stands in an answer.
    pub(super) fn write(&self, out: &mut String) {
        self.write_some(|_| true, out);
    }

    /// Writes those of its attributes whose names are wanted.
    pub(super) fn write_some(&self, is_wanted: impl Fn(&str) -> bool, out: &mut String) {
        out.push('{');
        let members = self.members.iter().filter(|member| is_wanted(&member.name));
        for (position, member) in members.enumerate() {
            if position > 0 {
                out.push(',');
            }
            out.push_str(&serde_json::Value::from(&*member.name).to_string());
            out.push(':');
            out.push_str(member.value.get());
        }
        out.push('}');
    }

    fn size(&self) -> usize {
        self.members.iter().map(|member| member.size).sum()
    }
}
