//! The quarantine's table: which entries stand there, whole entries, and their removal.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::{
    Client,
    operation::delete_item::DeleteItemError,
    types::{AttributeValue, ReturnValuesOnConditionCheckFailure},
};
use dynamo_sink::stored::Attributes;
use serde::Serialize;

use super::{
    entry::{HEAD_ATTRIBUTES, Head, Item, Key, RECORD},
    filter::Filter,
};
use crate::tables::cannot_be;

pub struct Store {
    pub client: Client,
    pub table: String,
}

#[derive(Clone, Default)]
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
    #[serde(flatten)]
    pub head: Head,
    pub is_whole: bool,
}

/// A whole entry, as it stood when it was read. It has no `Debug`: records must not reach a log.
pub struct Entry {
    pub head: Head,
    /// The record's JSON text as Lambda delivered it; none if a part of it is missing.
    pub record: Option<Vec<u8>>,
    /// All of its items, the head last.
    pub items: Vec<Attributes>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Removal {
    Removed,
    /// It stays: its record was rejected again since it was read.
    RejectedAgain,
    /// Somebody else had removed it.
    WasGone,
}

impl Store {
    /// Finds the entries that the filter lets through, `now` being in milliseconds since 1970.
    pub async fn find(&self, filter: &Filter, now: i64) -> anyhow::Result<Found> {
        let names = HEAD_ATTRIBUTES.split(' ').map(|name| (format!("#{name}"), name.to_owned()));
        let names: HashMap<_, _> = names.collect();
        let projection = format!("#{}", HEAD_ATTRIBUTES.replace(' ', ", #"));
        let mut gathered = Gathered::default();
        if let (Some(topic), Some(partition)) = (&filter.topic, filter.partition) {
            let key = AttributeValue::S(format!("{topic}-{partition}"));
            let query = self.client.query().table_name(&self.table).consistent_read(true);
            let query = query.projection_expression(projection);
            let query = query.set_expression_attribute_names(Some(names));
            let query = query.key_condition_expression("#PK = :PK");
            let query = query.expression_attribute_values(":PK", key);
            let mut items = query.into_paginator().items().send();
            while let Some(item) = items.next().await {
                let item = item.map_err(|error| cannot_be(&self.table, "read", error))?;
                gathered.add(Item::read(&item));
            }
        } else {
            let scan = self.client.scan().table_name(&self.table).consistent_read(true);
            let scan = scan.projection_expression(projection);
            let scan = scan.set_expression_attribute_names(Some(names));
            let mut items = scan.into_paginator().items().send();
            while let Some(item) = items.next().await {
                let item = item.map_err(|error| cannot_be(&self.table, "read", error))?;
                gathered.add(Item::read(&item));
            }
        }
        Ok(gathered.finish(filter, now))
    }

    /// Reads a whole entry; `None` if it is gone.
    pub async fn read(&self, key: &Key) -> anyhow::Result<Option<Entry>> {
        // The keys of an entry's parts begin with its own, and no other entry's do.
        let query = self.client.query().table_name(&self.table).consistent_read(true);
        let items = query
            .key_condition_expression("#PK = :PK AND begins_with(#SK, :SK)")
            .expression_attribute_names("#PK", "PK")
            .expression_attribute_names("#SK", "SK")
            .expression_attribute_values(":PK", AttributeValue::S(key.partition.clone()))
            .expression_attribute_values(":SK", AttributeValue::S(key.sort.clone()))
            .into_paginator()
            .items()
            .send();
        let items = items.try_collect().await;
        Ok(assemble(items.map_err(|error| cannot_be(&self.table, "read", error))?))
    }

    /// Removes an entry unless its record was rejected again since it was read.
    ///
    /// The head goes first. When this ends in between, what is left are parts that count for nothing and expire.
    pub async fn remove(&self, entry: &Entry) -> anyhow::Result<Removal> {
        let Head { key, attempts, first_seen, .. } = &entry.head;
        let delete = |sort: &str| {
            let delete = self.client.delete_item().table_name(&self.table);
            let delete = delete.key("PK", AttributeValue::S(key.partition.clone()));
            delete.key("SK", AttributeValue::S(sort.to_owned()))
        };
        // An entry that was removed and made again may have as many attempts, but not the same time.
        let sent = delete(&key.sort)
            .condition_expression("#attempts = :attempts AND #firstSeen = :firstSeen")
            .expression_attribute_names("#attempts", "attempts")
            .expression_attribute_names("#firstSeen", "firstSeen")
            .expression_attribute_values(":attempts", AttributeValue::N(attempts.to_string()))
            .expression_attribute_values(":firstSeen", AttributeValue::N(first_seen.to_string()))
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
        for sort in entry.items.iter().filter_map(sort_key).filter(|sort| **sort != key.sort) {
            let sent = delete(sort).send().await;
            sent.map_err(|error| cannot_be(&self.table, "written", error))?;
        }
        Ok(Removal::Removed)
    }
}

fn sort_key(item: &Attributes) -> Option<&String> {
    item.get("SK")?.as_s().ok()
}

#[derive(Default)]
pub struct Gathered {
    heads: Vec<Head>,
    /// The hashes of the parts' texts and their numbers, by their heads' keys.
    parts: HashMap<Key, BTreeSet<(String, u64)>>,
    foreign: usize,
}

impl Gathered {
    pub fn add(&mut self, item: Option<Item>) {
        match item {
            Some(Item::Head(head)) => self.heads.push(head),
            Some(Item::Part { head, hash, number }) => {
                self.parts.entry(head).or_default().insert((hash, number));
            }
            None => self.foreign += 1,
        }
    }

    pub fn finish(self, filter: &Filter, now: i64) -> Found {
        let Self { heads, mut parts, foreign } = self;
        let mut entries = Vec::new();
        for head in heads {
            // A record that came in another text may have parts of that one too.
            let parts = parts.remove(&head.key).unwrap_or_default();
            if filter.matches(&head, now) {
                let hash = head.hash.clone().unwrap_or_default();
                let is_whole = (0..head.parts).all(|it| parts.contains(&(hash.clone(), it)));
                entries.push(Listed { head, is_whole });
            }
        }
        entries.sort_by_cached_key(|Listed { head, .. }| {
            let Head { partition, epoch, offset, timestamp, .. } = *head;
            (head.topic.clone(), partition, epoch, offset, timestamp)
        });
        Found { entries, leftovers: parts.values().map(BTreeSet::len).sum(), foreign }
    }
}

fn assemble(mut items: Vec<Attributes>) -> Option<Entry> {
    let (position, head) = items.iter().enumerate().find_map(|(position, item)| {
        let Some(Item::Head(head)) = Item::read(item) else { return None };
        Some((position, head))
    })?;
    let head_item = items.remove(position);
    items.push(head_item);
    let bytes = |sort: &str| {
        let item = items.iter().find(|item| sort_key(item).is_some_and(|it| it == sort))?;
        Some(item.get(RECORD)?.as_b().ok()?.as_ref().to_vec())
    };
    let record = if head.parts == 0 {
        bytes(&head.key.sort)
    } else {
        let text = format!("{}#{}", head.key.sort, head.hash.as_deref().unwrap_or_default());
        let parts = (0..head.parts).map(|number| bytes(&format!("{text}#{number:04}")));
        parts.collect::<Option<Vec<_>>>().map(|parts| parts.concat())
    };
    Some(Entry { head, record, items })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use aws_sdk_dynamodb::primitives::Blob;
    use local::{
        dynamodb::{LocalDynamoDb, Storage, without_streams},
        template::{LOCAL_STAGE, Template},
    };

    use super::*;
    use crate::tables::client;

    #[test]
    fn a_record_is_one_whatever_it_is_split_into() {
        #[track_caller]
        fn check(items: &[Option<Item>], expected: &[(i64, bool)], leftovers: usize) {
            let mut gathered = Gathered::default();
            let filter = Filter { reasons: vec!["INVALID_JSON".to_owned()], ..Filter::default() };
            for item in items {
                gathered.add(item.clone());
            }
            let found = gathered.finish(&filter, 0);
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
            Some(Item::Part { head: key(offset), hash: hash.to_owned(), number })
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

    fn item(sort: &str, text: &str) -> Attributes {
        let record = AttributeValue::B(Blob::new(text.as_bytes()));
        let keys = [("PK", "t-0"), ("SK", sort)].map(|(name, text)| (name, text_of(text)));
        let members = keys.into_iter().chain([(RECORD, record)]);
        members.map(|(name, value)| (name.to_owned(), value)).collect()
    }

    fn text_of(text: &str) -> AttributeValue {
        AttributeValue::S(text.to_owned())
    }

    fn head(parts: u64, record: Option<&str>) -> Attributes {
        let mut item = item("k", record.unwrap_or_default());
        if record.is_none() {
            item.remove(RECORD);
        }
        for name in ["topic", "sink", "reason", "message"] {
            item.insert(name.to_owned(), text_of("t"));
        }
        for name in ["partition", "offset", "timestamp", "epoch", "firstSeen", "attempts"] {
            item.insert(name.to_owned(), AttributeValue::N("0".to_owned()));
        }
        item.insert("parts".to_owned(), AttributeValue::N(parts.to_string()));
        item.insert("hash".to_owned(), text_of("ab"));
        item
    }

    #[tokio::test]
    async fn an_entry_goes_only_as_it_was_read() {
        let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../template.yaml");
        let template = Template::read(&template, &[("Stage", LOCAL_STAGE)]).unwrap();
        let tables = without_streams(&template.tables);
        let dynamodb = LocalDynamoDb::start(Storage::Memory, 0, &tables).await.unwrap();
        let client = client(Some(&dynamodb.endpoint())).await;
        let store = Store { client, table: "compare-connector-local-quarantine".to_owned() };
        let put = async |attempts: &str, first_seen: &str| {
            let put = store.client.put_item().table_name(&store.table);
            let put = put.set_item(Some(head(0, Some("{}"))));
            let put = put.item("attempts", AttributeValue::N(attempts.to_owned()));
            put.item("firstSeen", AttributeValue::N(first_seen.to_owned())).send().await.unwrap();
        };
        let key = Key { partition: "t-0".to_owned(), sort: "k".to_owned() };

        put("1", "5").await;
        let first = store.read(&key).await.unwrap().unwrap();
        put("2", "5").await;
        assert_eq!(store.remove(&first).await.unwrap(), Removal::RejectedAgain);
        let second = store.read(&key).await.unwrap().unwrap();
        assert_eq!(store.remove(&second).await.unwrap(), Removal::Removed);
        assert_eq!(store.remove(&second).await.unwrap(), Removal::WasGone);
        // The same record in an entry of its own, with as many attempts as the first.
        put("1", "7").await;
        assert_eq!(store.remove(&first).await.unwrap(), Removal::RejectedAgain);
        let third = store.read(&key).await.unwrap().unwrap();
        assert_eq!((third.head.attempts, third.head.first_seen), (1, 7));
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
