//! The quarantine's items as they stand in its table: heads of entries, and parts of large records.

use aws_sdk_dynamodb::types::AttributeValue;
use dynamo_sink::stored::Attributes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The attributes of a head that say what it is, without the record itself.
pub const HEAD_ATTRIBUTES: &str = "PK SK topic partition offset timestamp epoch sink reason message firstSeen \
                                   attempts expiresAt parts hash";

/// The attribute of heads and parts that holds the record's text, or a part of it.
pub const RECORD: &str = "record";

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// An entry's head, without which nothing of it counts.
    Head(Head),
    /// A part of a record that is too large for one item: the key of its head, the hash of the whole text, since a part
    /// of another text than the head's is none of its, and its place among the parts, from 0.
    Part { head: Key, hash: String, number: u64 },
}

/// What an entry says of its record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Head {
    #[serde(skip)]
    pub key: Key,
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    /// Kafka's timestamp in milliseconds since 1970; -1 where there was none.
    pub timestamp: i64,
    /// The epoch that the record came in.
    pub epoch: u64,
    pub sink: String,
    /// The code of what is wrong with the record.
    pub reason: String,
    /// What is wrong with it, in words.
    pub message: String,
    /// When it was rejected first, in milliseconds since 1970.
    pub first_seen: i64,
    pub attempts: u64,
    /// From when on it may be gone, in seconds since 1970; `None` is never.
    pub expires_at: Option<i64>,
    /// How many parts hold the record's text; none if the head does.
    #[serde(skip_serializing)]
    pub parts: u64,
    /// The hash of the text that those parts hold.
    #[serde(skip_serializing)]
    pub hash: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The partition key: topic and partition.
    pub partition: String,
    /// The sort key: epoch, offset and timestamp.
    pub sort: String,
}

impl Head {
    /// How long ago it was rejected first, both in milliseconds; `now` is since 1970.
    pub fn age(&self, now: i64) -> u64 {
        now.saturating_sub(self.first_seen).try_into().unwrap_or_default()
    }

    /// Whether it may be gone at any time.
    pub fn has_expired(&self, now: i64) -> bool {
        self.expires_at.is_some_and(|seconds| seconds <= now / 1000)
    }
}

impl Item {
    /// Reads an item; `None` if a sink did not write it.
    pub fn read(attributes: &Attributes) -> Option<Self> {
        let text = |name: &str| attributes.get(name)?.as_s().ok().cloned();
        let (partition, sort) = (text("PK")?, text("SK")?);
        if let Some((head, part)) = sort.split_once('#') {
            let (hash, number) = part.split_once('#')?;
            let head = Key { partition, sort: head.to_owned() };
            let (hash, number) = (hash.to_owned(), number.parse().ok()?);
            return Some(Self::Part { head, hash, number });
        }
        let member = |(name, value): (&String, &AttributeValue)| {
            let value = match value {
                AttributeValue::S(text) => text.as_str().into(),
                AttributeValue::N(number) => serde_json::from_str(number).ok()?,
                _ => return None,
            };
            Some((name.clone(), value))
        };
        let members: Map<_, _> = attributes.iter().filter_map(member).collect();
        let head: Head = serde_json::from_value(Value::Object(members)).ok()?;
        Some(Self::Head(Head { key: Key { partition, sort }, ..head }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Head {
        /// The head of an ordinary entry.
        pub fn example() -> Self {
            Self {
                key: Key {
                    partition: "a-b-3".to_owned(),
                    sort: "0000000001-00000000000000000007-00000000000000000000".to_owned(),
                },
                topic: "a-b".to_owned(),
                partition: 3,
                offset: 7,
                timestamp: -1,
                epoch: 1,
                sink: "sinkSeatoolData".to_owned(),
                reason: "INVALID_JSON".to_owned(),
                message: "no JSON".to_owned(),
                first_seen: 1000,
                attempts: 2,
                expires_at: Some(90),
                parts: 0,
                hash: None,
            }
        }
    }

    fn attributes(texts: &[(&str, &str)], numbers: &[(&str, &str)]) -> Attributes {
        let texts = texts.iter().map(|&(name, it)| (name, AttributeValue::S(it.to_owned())));
        let numbers = numbers.iter().map(|&(name, it)| (name, AttributeValue::N(it.to_owned())));
        texts.chain(numbers).map(|(name, value)| (name.to_owned(), value)).collect()
    }

    const TEXTS: [(&str, &str); 6] = [
        ("PK", "a-b-3"),
        ("SK", "0000000001-00000000000000000007-00000000000000000000"),
        ("topic", "a-b"),
        ("sink", "sinkSeatoolData"),
        ("reason", "INVALID_JSON"),
        ("message", "no JSON"),
    ];
    const NUMBERS: [(&str, &str); 8] = [
        ("partition", "3"),
        ("offset", "7"),
        ("timestamp", "-1"),
        ("epoch", "1"),
        ("firstSeen", "1000"),
        ("attempts", "2"),
        ("expiresAt", "90"),
        ("parts", "0"),
    ];

    #[test]
    fn heads_and_parts_are_told_apart() {
        #[track_caller]
        fn check(texts: &[(&str, &str)], numbers: &[(&str, &str)], expected: Option<&Item>) {
            assert_eq!(Item::read(&attributes(texts, numbers)).as_ref(), expected);
        }

        let head = Head::example();
        let key = head.key.clone();
        check(&TEXTS, &NUMBERS, Some(&Item::Head(head.clone())));
        let endless = [&NUMBERS[..6], &NUMBERS[7..]].concat();
        check(&TEXTS, &endless, Some(&Item::Head(Head { expires_at: None, ..head })));
        check(&TEXTS, &NUMBERS[..7], None);
        check(&TEXTS[..5], &NUMBERS, None);

        let part = |number: &str| format!("{}#{number}", key.sort);
        let hash = "ab".to_owned();
        let of =
            |sort: &str| [("PK", "a-b-3"), ("SK", sort)].map(|(name, it)| (name, it.to_owned()));
        for (number, expected) in [
            ("ab#0000", Some(0)),
            ("ab#0017", Some(17)),
            ("", None),
            ("0000", None),
            ("ab#x", None),
        ] {
            let texts = of(&part(number));
            let texts = texts.each_ref().map(|(name, it)| (*name, it.as_str()));
            let part = |number| Item::Part { head: key.clone(), hash: hash.clone(), number };
            let expected = expected.map(part);
            check(&texts, &[], expected.as_ref());
        }
        check(&[("PK", "a")], &[], None);

        let texts = [&TEXTS[..], &[("hash", "ab")]].concat();
        let head = Head { hash: Some(hash.clone()), ..Head::example() };
        check(&texts, &NUMBERS, Some(&Item::Head(head)));
    }

    #[test]
    fn every_attribute_of_a_head_is_asked_for() {
        let read = TEXTS.iter().chain(&NUMBERS).map(|(name, _)| *name);
        let mut read: Vec<_> = read.chain(["hash"]).collect();
        let mut asked_for: Vec<_> = HEAD_ATTRIBUTES.split(' ').collect();
        read.sort_unstable();
        asked_for.sort_unstable();
        assert_eq!(read, asked_for);
    }
}
