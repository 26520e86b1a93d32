//! What an audit found: counts, differences by their kind, and how both are shown.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use serde::Serialize;

use crate::{text::counted, visible::Visible};

/// The differences of one kind that the table shows.
const SHOWN: usize = 10;

/// The differences of one kind that are listed at all, so that a table which is all wrong takes no more memory than one
/// that is right. All are counted.
const LISTED: usize = 10_000;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub function: String,
    pub topic: String,
    pub epoch: u64,
    pub partitions: usize,
    pub records: u64,
    pub keys: usize,
    /// Of these, the keys whose last record is a delete.
    pub deleted_keys: usize,
    /// Of these, the keys with records on several partitions, which are ordered by Kafka's timestamps.
    pub moved_keys: usize,
    pub items: u64,
    pub rejected: u64,
    /// Of these, the ones that the quarantine holds for the same reason; and those that only DynamoDB refused.
    pub quarantined: u64,
    pub differences: usize,
    pub counts: BTreeMap<Kind, usize>,
    /// The differences by their kind, the first 10,000 of each.
    #[serde(flatten)]
    pub findings: BTreeMap<Kind, Vec<Finding>>,
    /// What is no difference, but worth knowing.
    pub notes: Notes,
}

/// What an audit cannot judge, or what an operator may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Notes {
    pub redrivable: u64,
    pub redrivable_records: Vec<QuarantinedRecord>,
    pub of_earlier_epochs: u64,
    pub before_topic: u64,
    pub during_audit: u64,
    pub may_have_expired: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QuarantinedRecord {
    pub partition: i32,
    pub offset: i64,
    pub reason: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// A key has no item, but its last record puts one.
    #[default]
    Missing,
    /// An item stands that should not.
    Extra,
    /// An item holds an older state than its key's last record.
    Older,
    /// An item holds a newer state than its key's last record, or one of a higher epoch.
    Newer,
    /// An item says it holds its key's last record, but its attributes are others.
    Different,
    /// No tombstone stands for a deleted key, or only an older one.
    TombstoneMissing,
    /// A rejected record is not in the quarantine.
    NotQuarantined,
    /// A rejected record is in the quarantine for another reason.
    OtherReason,
}

/// All kinds, in the order in which they are shown.
const KINDS: [(Kind, &str); 8] = [
    (Kind::Missing, "missing"),
    (Kind::Extra, "extra"),
    (Kind::Older, "older"),
    (Kind::Newer, "newer"),
    (Kind::Different, "different"),
    (Kind::TombstoneMissing, "tombstone missing"),
    (Kind::NotQuarantined, "not quarantined"),
    (Kind::OtherReason, "other reason"),
];

/// What distinguishes differences of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Why {
    EarlierWriter,
    /// The item's `_sink`, or the tombstone, cannot be read.
    Foreign,
    NoRecord,
    Deleted,
    Older,
    Epoch,
    /// Its offset is not lower, but its timestamp is older: the topic was created again without a new epoch.
    Regression,
    Parts,
}

impl Why {
    fn words(self) -> &'static str {
        match self {
            Self::EarlierWriter => "of an earlier writer",
            Self::Foreign => "`_sink` cannot be read",
            Self::NoRecord => "no such record of its key",
            Self::Deleted => "deleted",
            Self::Older => "older one stands",
            Self::Epoch => "higher epoch",
            Self::Regression => "topic created again",
            Self::Parts => "parts of the record are missing",
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Its kind, which the JSON says outside.
    #[serde(skip)]
    pub kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<Why>,
    /// The record whose state should stand there, or which should be in the quarantine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<Coordinates>,
    /// The record whose state stands there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<Coordinates>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub differing_attributes: Option<usize>,
    /// Their names, if keys may be shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attributes: Option<Vec<String>>,
    /// The item's key, if keys may be shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Coordinates {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    /// Its timestamp, in milliseconds since 1970.
    pub timestamp: i64,
    /// The epoch in which its state was written, or is to be.
    pub epoch: u64,
}

impl Report {
    pub fn add(&mut self, finding: Finding) {
        self.differences += 1;
        *self.counts.entry(finding.kind).or_default() += 1;
        let listed = self.findings.entry(finding.kind).or_default();
        if listed.len() < LISTED {
            listed.push(finding);
        }
    }

    /// Notes a quarantined record that the mapping accepts.
    pub fn add_redrivable(&mut self, record: QuarantinedRecord) {
        self.notes.redrivable += 1;
        if self.notes.redrivable_records.len() < LISTED {
            self.notes.redrivable_records.push(record);
        }
    }

    pub fn count(&self, kind: Kind) -> usize {
        self.counts.get(&kind).copied().unwrap_or_default()
    }

    /// Sorts the differences, so that two audits of one state say the same, and gives every kind a list, so that a
    /// reader of the JSON need not know which are there.
    pub fn finish(&mut self) {
        let place = |coordinates: &Option<Coordinates>| {
            coordinates.as_ref().map(|it| (it.partition, it.offset))
        };
        for (kind, _) in KINDS {
            self.counts.entry(kind).or_default();
            let findings = self.findings.entry(kind).or_default();
            findings.sort_by_key(|it| (place(&it.expected), place(&it.found), it.key.clone()));
        }
    }

    pub fn write_table(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self { function, topic, epoch, .. } = self;
        writeln!(out, "{function}: {topic} in epoch {epoch}")?;
        let moved = match self.moved_keys {
            0 => String::new(),
            count => format!(", {count} with records on several partitions"),
        };
        let partitions = counted(self.partitions, "partition");
        for (name, count, words) in [
            ("records", self.records, format!("on {partitions}, {} rejected", self.rejected)),
            ("keys", self.keys as u64, format!("{} deleted{moved}", self.deleted_keys)),
            ("items", self.items, String::new()),
            ("quarantined", self.quarantined, String::new()),
        ] {
            row(out, name, count, &words)?;
        }
        for (kind, words) in KINDS {
            let count = self.count(kind);
            row(out, words, count as u64, "")?;
            for finding in self.findings.get(&kind).into_iter().flatten().take(SHOWN) {
                writeln!(out, "{:>14}{}", "", finding.words(topic))?;
            }
            if count > SHOWN {
                writeln!(out, "{:>14}and {} more, see --json", "", count - SHOWN)?;
            }
        }
        for (count, words) in [
            (
                self.notes.redrivable,
                "quarantined records that are accepted by now and can be redriven",
            ),
            (self.notes.of_earlier_epochs, "right states that were written in an earlier epoch"),
            (self.notes.before_topic, "items not judged: the topic no longer holds their records"),
            (self.notes.during_audit, "items not judged: their records came during the audit"),
            (
                self.notes.may_have_expired,
                "tombstones or quarantine entries that are not there and may have expired",
            ),
        ] {
            if count > 0 {
                row(out, "note", count, words)?;
            }
        }
        match self.differences {
            0 => writeln!(out, "no difference"),
            count => writeln!(out, "{}", counted(count, "difference")),
        }
    }
}

impl Finding {
    fn words(&self, topic: &str) -> String {
        let place = |it: &Coordinates| {
            let of = if it.topic == topic { String::new() } else { format!(" of {}", it.topic) };
            format!("partition {}{of} offset {}", it.partition, it.offset)
        };
        let mut parts = Vec::new();
        match (&self.expected, &self.found) {
            (Some(expected), Some(found)) if expected != found => {
                parts.push(format!("{}, found {}", place(expected), place(found)));
                if expected.epoch != found.epoch {
                    parts.push(format!("found in epoch {}", found.epoch));
                }
            }
            (Some(expected), _) => parts.push(place(expected)),
            (None, Some(found)) => parts.push(format!("found {}", place(found))),
            (None, None) => {}
        }
        parts.extend(self.why.map(|why| why.words().to_owned()));
        match (&self.expected_reason, &self.found_reason) {
            (Some(expected), Some(found)) => parts.push(format!("{expected}, found {found}")),
            (Some(expected), None) => parts.push(expected.clone()),
            (None, _) => {}
        }
        match (&self.attributes, self.differing_attributes) {
            (Some(names), _) => parts.push(format!("in {}", names.join(", "))),
            (None, Some(count)) => parts.push(format!("in {}", counted(count, "attribute"))),
            (None, None) => {}
        }
        parts.extend(self.key.as_ref().map(|key| format!("key {key:?}")));
        // Topics, reasons and names come from the tables, and from whoever could write there.
        Visible(&parts.join(", ")).to_string()
    }
}

fn row(out: &mut dyn Write, name: &str, count: u64, words: &str) -> io::Result<()> {
    let line = format!("  {name:<20}{count:>10}  {words}");
    writeln!(out, "{}", line.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_told_nothing_by_the_data() {
        let text = "\u{1b}[2Jé\u{9b}0m\r\n";
        let found =
            Coordinates { topic: text.to_owned(), partition: 0, offset: 7, timestamp: 0, epoch: 0 };
        let finding = Finding {
            found: Some(found),
            attributes: Some(vec![text.to_owned()]),
            key: Some(text.to_owned()),
            ..Finding::default()
        };
        let words = finding.words("topic");
        assert!(!words.contains(char::is_control), "{words:?}");
        assert!(words.contains(r"\u{1b}[2Jé\u{9b}0m\r\n"), "{words}");
    }
}
