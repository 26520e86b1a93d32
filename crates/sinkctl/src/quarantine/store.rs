//! The quarantine's table: which entries stand there, whole entries, and their removal.

use std::collections::{BTreeSet, HashMap, HashSet};

use aws_sdk_dynamodb::{
    Client,
    operation::delete_item::DeleteItemError,
    types::{AttributeValue, ReturnValuesOnConditionCheckFailure},
};
use dynamo_sink::stored::Attributes;
use serde::Serialize;

use super::filter::Filter;
use crate::{
    entry::{Head, Item, Key, RECORD},
    tables::{self, cannot_be},
};

/// A stage's quarantine.
#[derive(Clone, Debug)]
pub struct Store {
    client: Client,
    table: String,
}

/// What stands in the quarantine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The entries that were asked for, by topic, partition, epoch and offset.
    pub entries: Vec<Listed>,
    /// Parts without a head, which count for nothing.
    pub leftovers: usize,
    /// Items that no sink wrote.
    pub foreign: usize,
}

/// An entry without its record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    /// What it says.
    #[serde(flatten)]
    pub head: Head,
    /// Whether all parts of its record stand.
    pub is_whole: bool,
}

/// A whole entry, as it stood when it was read.
#[derive(Clone, PartialEq)]
pub struct Entry {
    pub head: Head,
    /// The record's JSON text as Lambda delivered it; none if a part of it is missing.
    pub record: Option<Vec<u8>>,
    /// All of its items, the head last.
    pub items: Vec<Attributes>,
}

/// Shows the key only: records must not reach a log.
impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("key", &self.head.key).finish_non_exhaustive()
    }
}

/// What became of an entry that was to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It is gone.
    Removed,
    /// It stays: its record was rejected again since it was read.
    RejectedAgain,
    /// Somebody else had removed it.
    WasGone,
}

impl Store {
    /// The quarantine in this table.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into() }
    }

    /// The table's name.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// Finds the entries that the filter lets through, `now` being in milliseconds since 1970.
    pub async fn find(&self, filter: &Filter, now: i64) -> anyhow::Result<Found> {
        let mut gathered = Gathered::default();
        let mut start = None;
        loop {
            let partition = filter.topic_partition();
            let page = tables::quarantined(&self.client, &self.table, partition, start).await?;
            for item in page.items {
                gathered.add(item, filter, now);
            }
            start = page.next;
            if start.is_none() {
                return Ok(gathered.finish());
            }
        }
    }

    /// Reads a whole entry; `None` if it is gone.
    pub async fn read(&self, key: &Key) -> anyhow::Result<Option<Entry>> {
        let mut items = Vec::new();
        let mut start = None;
        loop {
            // The keys of an entry's parts begin with its own, and no other entry's do.
            let query = self.client.query().table_name(&self.table).consistent_read(true);
            let query = query.key_condition_expression("#PK = :PK AND begins_with(#SK, :SK)");
            let query = query.expression_attribute_names("#PK", "PK");
            let query = query.expression_attribute_names("#SK", "SK");
            let query = query
                .expression_attribute_values(":PK", AttributeValue::S(key.partition.clone()))
                .expression_attribute_values(":SK", AttributeValue::S(key.sort.clone()));
            let sent = query.set_exclusive_start_key(start).send().await;
            let output = sent.map_err(|error| cannot_be(&self.table, "read", error))?;
            items.extend(output.items.unwrap_or_default());
            start = tables::rest(output.last_evaluated_key);
            if start.is_none() {
                return Ok(assemble(items));
            }
        }
    }

    /// Removes an entry unless its record was rejected again since it was read.
    ///
    /// The head goes first. When this ends in between, what is left are parts that count for nothing and expire.
    pub async fn remove(&self, entry: &Entry) -> anyhow::Result<Removal> {
        let Head { key, attempts, first_seen, .. } = &entry.head;
        let number = |number: String| AttributeValue::N(number);
        // An entry that was removed and made again may have as many attempts, but not the same time.
        let sent = self
            .client
            .delete_item()
            .table_name(&self.table)
            .set_key(Some(attributes(&key.partition, &key.sort)))
            .condition_expression("#attempts = :attempts AND #firstSeen = :firstSeen")
            .expression_attribute_names("#attempts", "attempts")
            .expression_attribute_names("#firstSeen", "firstSeen")
            .expression_attribute_values(":attempts", number(attempts.to_string()))
            .expression_attribute_values(":firstSeen", number(first_seen.to_string()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        if let Err(error) = sent {
            return match error.as_service_error() {
                Some(DeleteItemError::ConditionalCheckFailedException(refusal)) => {
                    let is_there = refusal.item().is_some_and(|item| !item.is_empty());
                    Ok(if is_there { Removal::RejectedAgain } else { Removal::WasGone })
                }
                _ => Err(cannot_be(&self.table, "written", error)),
            };
        }
        for item in &entry.items {
            let Some(AttributeValue::S(sort)) = item.get("SK") else { continue };
            if *sort == key.sort {
                continue;
            }
            let delete = self.client.delete_item().table_name(&self.table);
            let sent = delete.set_key(Some(attributes(&key.partition, sort))).send().await;
            sent.map_err(|error| cannot_be(&self.table, "written", error))?;
        }
        Ok(Removal::Removed)
    }
}

fn attributes(partition: &str, sort: &str) -> Attributes {
    [("PK", partition), ("SK", sort)]
        .map(|(name, text)| (name.to_owned(), AttributeValue::S(text.to_owned())))
        .into()
}

/// What was found so far.
#[derive(Default)]
struct Gathered {
    heads: Vec<Head>,
    /// The keys of entries that were not asked for.
    others: HashSet<Key>,
    /// The hashes of the parts' texts and their numbers.
    parts: HashMap<Key, BTreeSet<(String, u64)>>,
    foreign: usize,
}

impl Gathered {
    fn add(&mut self, item: Option<Item>, filter: &Filter, now: i64) {
        match item {
            Some(Item::Head(head)) if filter.matches(&head, now) => self.heads.push(head),
            Some(Item::Head(head)) => {
                self.others.insert(head.key);
            }
            Some(Item::Part(part)) => {
                self.parts.entry(part.head).or_default().insert((part.hash, part.number));
            }
            None => self.foreign += 1,
        }
    }

    fn finish(self) -> Found {
        let Self { heads, others, mut parts, foreign } = self;
        let entry = |head: Head| {
            // A record that came in another text may have parts of that one too.
            let parts = parts.remove(&head.key).unwrap_or_default();
            let hash = head.hash.clone().unwrap_or_default();
            let is_whole = (0..head.parts).all(|number| parts.contains(&(hash.clone(), number)));
            Listed { head, is_whole }
        };
        let mut entries: Vec<_> = heads.into_iter().map(entry).collect();
        entries.sort_by(|one, other| order(&one.head).cmp(&order(&other.head)));
        parts.retain(|key, _| !others.contains(key));
        let leftovers = parts.values().map(BTreeSet::len).sum();
        Found { entries, leftovers, foreign }
    }
}

fn order(head: &Head) -> (&str, i32, u64, i64, i64) {
    (&head.topic, head.partition, head.epoch, head.offset, head.timestamp)
}

/// Puts an entry together from its items.
fn assemble(mut items: Vec<Attributes>) -> Option<Entry> {
    let bytes = |item: &Attributes| Some(item.get(RECORD)?.as_b().ok()?.as_ref().to_vec());
    let mut found = None;
    let mut parts = HashMap::new();
    for (position, item) in items.iter().enumerate() {
        match Item::read(item) {
            Some(Item::Head(head)) => found = Some((position, head)),
            Some(Item::Part(part)) => {
                parts.insert((part.hash, part.number), position);
            }
            None => {}
        }
    }
    let (position, head) = found?;
    let record = if head.parts == 0 {
        bytes(&items[position])
    } else {
        let hash = head.hash.clone().unwrap_or_default();
        let part = |number| bytes(&items[*parts.get(&(hash.clone(), number))?]);
        let parts: Option<Vec<_>> = (0..head.parts).map(part).collect();
        parts.map(|parts| parts.concat())
    };
    let head_item = items.remove(position);
    items.push(head_item);
    Some(Entry { head, record, items })
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::primitives::Blob;

    use super::*;
    use crate::entry::Part;

    #[test]
    fn a_record_is_one_whatever_it_is_split_into() {
        #[track_caller]
        fn check(items: &[Option<Item>], expected: &[(i64, bool)], leftovers: usize) {
            let mut gathered = Gathered::default();
            let filter = Filter { reasons: vec!["INVALID_JSON".to_owned()], ..Filter::default() };
            for item in items {
                gathered.add(item.clone(), &filter, 0);
            }
            let found = gathered.finish();
            let entries: Vec<_> =
                found.entries.iter().map(|it| (it.head.offset, it.is_whole)).collect();
            assert_eq!((entries.as_slice(), found.leftovers), (expected, leftovers));
            assert_eq!(found.foreign, items.iter().filter(|item| item.is_none()).count());
        }

        let key = |offset: i64| Key { partition: "a-b-3".to_owned(), sort: offset.to_string() };
        let head = |offset, parts| {
            let hash = Some("ab".to_owned());
            Head { key: key(offset), offset, parts, hash, ..Head::example() }
        };
        let entry = |offset, parts| Some(Item::Head(head(offset, parts)));
        let part_of = |hash: &str, offset, number| {
            Some(Item::Part(Part { head: key(offset), hash: hash.to_owned(), number }))
        };
        let part = |offset, number| part_of("ab", offset, number);
        let other = Head { reason: "MISSING_KEY".to_owned(), ..head(5, 1) };
        let other = Some(Item::Head(other));

        check(&[], &[], 0);
        check(&[entry(2, 0), entry(1, 0), None], &[(1, true), (2, true)], 0);
        check(&[entry(1, 2), part(1, 0), part(1, 1)], &[(1, true)], 0);
        check(&[part(1, 1), entry(1, 2), part(1, 0)], &[(1, true)], 0);
        check(&[entry(1, 2), part(1, 0), part(1, 2)], &[(1, false)], 0);
        check(&[entry(1, 2)], &[(1, false)], 0);
        check(&[entry(1, 2), part(1, 0), part_of("cd", 1, 1)], &[(1, false)], 0);
        check(&[part_of("cd", 1, 0), part_of("cd", 1, 1)], &[], 2);
        // Those that a redriven record wrote, which is longer by its epoch.
        check(&[entry(1, 0), part(1, 0), part(1, 1)], &[(1, true)], 0);
        // Those whose head is gone, but not those of an entry that was not asked for.
        check(&[part(1, 0), part(1, 1), other, part(5, 0)], &[], 2);
    }

    #[derive(Debug, PartialEq)]
    enum Broken {
        NoHead,
        NoRecord,
    }

    #[test]
    fn a_record_is_put_together_from_its_parts() {
        #[track_caller]
        fn check(items: &[Attributes], expected: Result<&str, Broken>) {
            let entry = assemble(items.to_vec());
            let record = entry.as_ref().ok_or(Broken::NoHead);
            let record = record.and_then(|it| it.record.as_deref().ok_or(Broken::NoRecord));
            assert_eq!(record, expected.map(str::as_bytes));
            if let Some(entry) = entry {
                assert_eq!(entry.items.len(), items.len());
                assert!(entry.items.last().unwrap().contains_key("attempts"));
            }
        }

        let item = |sort: &str, text: &str| {
            let mut item = attributes("t-0", sort);
            let record = AttributeValue::B(Blob::new(text.as_bytes()));
            item.insert(RECORD.to_owned(), record);
            item
        };
        let head = |parts: u64, record: Option<&str>| {
            let mut item = item("k", record.unwrap_or_default());
            if record.is_none() {
                item.remove(RECORD);
            }
            for name in ["topic", "sink", "reason", "message"] {
                item.insert(name.to_owned(), AttributeValue::S("t".to_owned()));
            }
            for name in ["partition", "offset", "timestamp", "epoch", "firstSeen", "attempts"] {
                item.insert(name.to_owned(), AttributeValue::N("0".to_owned()));
            }
            item.insert("parts".to_owned(), AttributeValue::N(parts.to_string()));
            item.insert("hash".to_owned(), AttributeValue::S("ab".to_owned()));
            item
        };
        let [first, second, third] = [("k#ab#0000", "a"), ("k#ab#0001", "b"), ("k#ab#0002", "c")]
            .map(|(key, text)| item(key, text));
        let other = item("k#cd#0001", "other");
        let split = head(2, None);

        check(&[], Err(Broken::NoHead));
        check(&[head(0, Some("{}"))], Ok("{}"));
        check(&[head(0, None)], Err(Broken::NoRecord));
        check(&[split.clone(), first.clone(), second.clone()], Ok("ab"));
        check(&[split.clone(), first.clone(), second.clone(), third.clone()], Ok("ab"));
        check(&[split.clone(), first.clone(), other.clone(), second.clone()], Ok("ab"));
        check(&[split.clone(), first.clone(), other], Err(Broken::NoRecord));
        check(&[split.clone(), second.clone()], Err(Broken::NoRecord));
        check(&[split], Err(Broken::NoRecord));
        check(&[head(0, Some("{}")), first.clone()], Ok("{}"));
        check(&[first, second, third], Err(Broken::NoHead));
    }
}
