//! What waits in the quarantine: counted, then one by one.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use clap::Args;
use serde::Serialize;

use super::{
    Place,
    entry::Head,
    filter::Filter,
    store::{Found, Listed},
};
use crate::{
    text::{self, age, counted, time, write_rest, write_rows},
    visible::{Visible, write_json},
};

pub const EXAMPLES: &str = "\
Examples:
  sinkctl quarantine list --stage master
  sinkctl quarantine list --stage master --reason INVALID_JSON --newer-than 2h --limit 100
  sinkctl quarantine list --stage master --json | jq .byReason

Exit status: 0 when it is done, 2 when it could not be done.";

#[derive(Args, Clone, Debug)]
pub struct List {
    /// How many records are listed.
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    chosen: Filter,
    #[command(flatten)]
    place: Place,
}

impl List {
    pub async fn run(self, template: &Path) -> anyhow::Result<ExitCode> {
        let (_, store) = self.place.open(template).await?;
        let now = text::now().cast_signed();
        let found = store.find(&self.chosen, now).await?;
        if found.entries.is_empty() && !self.chosen.is_empty() {
            writeln!(io::stderr(), "no record is as the options say: without them all are listed")?;
        }
        let listing = Listing::new(&store.table, found, self.limit, now);
        if self.json {
            write_json(&listing, &mut io::stdout())?;
        } else {
            listing.write(now, &mut io::stdout())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Listing {
    table: String,
    records: usize,
    /// How many of them miss a part.
    incomplete: usize,
    expired: usize,
    by_reason: BTreeMap<String, Group>,
    by_topic: BTreeMap<String, Group>,
    /// The records by how long ago they were rejected first.
    by_age: Vec<AgeGroup>,
    /// The first of the records.
    entries: Vec<Listed>,
    leftovers: usize,
    foreign: usize,
}

/// Records that have something in common.
#[derive(Default, Serialize)]
struct Group {
    records: usize,
    /// The age of the oldest, in milliseconds.
    oldest: u64,
}

#[derive(Serialize)]
struct AgeGroup {
    age: &'static str,
    records: usize,
}

/// The ages that are counted, by their upper bounds in milliseconds.
const AGES: [(&str, u64); 4] = [
    ("up to an hour", 60 * 60 * 1000),
    ("up to a day", 24 * 60 * 60 * 1000),
    ("up to a week", 7 * 24 * 60 * 60 * 1000),
    ("older", u64::MAX),
];

impl Listing {
    /// Counts what was found in a table, and keeps the first `limit` records. `now` is in milliseconds since 1970.
    pub fn new(table: &str, found: Found, limit: usize, now: i64) -> Self {
        let Found { entries, leftovers, foreign } = found;
        let mut listing = Self {
            table: table.to_owned(),
            records: entries.len(),
            incomplete: entries.iter().filter(|entry| !entry.is_whole).count(),
            expired: 0,
            by_reason: BTreeMap::new(),
            by_topic: BTreeMap::new(),
            by_age: AGES.map(|(age, _)| AgeGroup { age, records: 0 }).into(),
            entries: Vec::new(),
            leftovers,
            foreign,
        };
        for Listed { head, .. } in &entries {
            let age = head.age(now);
            for group in [
                listing.by_reason.entry(head.reason.clone()).or_default(),
                listing.by_topic.entry(head.topic.clone()).or_default(),
            ] {
                group.records += 1;
                group.oldest = group.oldest.max(age);
            }
            let group = AGES.iter().position(|(_, limit)| age <= *limit).unwrap_or_default();
            listing.by_age[group].records += 1;
            listing.expired += usize::from(head.has_expired(now));
        }
        listing.by_age.retain(|group| group.records > 0);
        listing.entries = entries.into_iter().take(limit).collect();
        listing
    }

    /// Writes it for people, `now` being in milliseconds since 1970.
    pub fn write(&self, now: i64, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{} in {}", counted(self.records, "record"), self.table)?;
        for (count, what) in [
            (
                self.incomplete,
                "incomplete: parts of the record are missing, so they can only be dropped",
            ),
            (self.expired, "expired: they go at any time, and are not redriven"),
        ] {
            if count > 0 {
                writeln!(out, "{count} of them {what}")?;
            }
        }
        let leftover = "of records that are gone: left by a removal that was cut off, harmless";
        for (count, noun, what) in
            [(self.leftovers, "part", leftover), (self.foreign, "item", "that no sink wrote")]
        {
            if count > 0 {
                writeln!(out, "{} {what}", counted(count, noun))?;
            }
        }
        if self.records == 0 {
            return Ok(());
        }
        for (name, groups) in [("reason", &self.by_reason), ("topic", &self.by_topic)] {
            let row = |(name, group): (&String, &Group)| {
                vec![group.records.to_string(), Visible(name).to_string(), age(group.oldest)]
            };
            let mut groups: Vec<_> = groups.iter().collect();
            groups.sort_by_key(|(_, group)| std::cmp::Reverse(group.records));
            let rows: Vec<_> = groups.into_iter().map(row).collect();
            writeln!(out)?;
            write_rows(&["records", name, "oldest"], &rows, out)?;
        }
        let row = |group: &AgeGroup| vec![group.records.to_string(), group.age.to_owned()];
        let rows: Vec<_> = self.by_age.iter().map(row).collect();
        writeln!(out)?;
        write_rows(&["records", "first rejected"], &rows, out)?;

        if !self.entries.is_empty() {
            let row = |Listed { head, is_whole }: &Listed| {
                let incomplete = if *is_whole { "" } else { "(incomplete) " };
                vec![
                    Visible(&format!("{}-{}", head.topic, head.partition)).to_string(),
                    head.offset.to_string(),
                    head.epoch.to_string(),
                    age(head.age(now)),
                    head.attempts.to_string(),
                    Visible(&head.reason).to_string(),
                    Visible(&format!("{incomplete}{}", head.message)).to_string(),
                ]
            };
            let rows: Vec<_> = self.entries.iter().map(row).collect();
            writeln!(out)?;
            let headings = ["partition", "offset", "epoch", "age", "attempts", "reason", "message"];
            write_rows(&headings, &rows, out)?;
        }
        let how = ": `--limit` shows them, filters choose";
        write_rest(self.records, self.entries.len(), how, out)
    }
}

impl Listed {
    /// Writes all of it for people, `now` being in milliseconds since 1970.
    pub fn write(&self, now: i64, out: &mut dyn Write) -> io::Result<()> {
        let Head { topic, partition, offset, .. } = &self.head;
        writeln!(out, "{}", Visible(&format!("{topic}-{partition} offset {offset}")))?;
        let timestamp = match self.head.timestamp {
            ..0 => "none".to_owned(),
            timestamp => format!("{timestamp} ({})", time(timestamp)),
        };
        let times = match self.head.attempts {
            1 => "once".to_owned(),
            attempts => counted(attempts, "time"),
        };
        let (first_seen, age) = (time(self.head.first_seen), age(self.head.age(now)));
        let expires = match self.head.expires_at {
            None => "never".to_owned(),
            Some(_) if self.head.has_expired(now) => "expired: it goes at any time".to_owned(),
            Some(seconds) => time(seconds.saturating_mul(1000)),
        };
        for (name, text) in [
            ("reason", self.head.reason.clone()),
            ("message", self.head.message.clone()),
            ("sink", self.head.sink.clone()),
            ("epoch", self.head.epoch.to_string()),
            ("timestamp", timestamp),
            ("rejected", format!("{times}, first at {first_seen}, {age} ago")),
            ("expires", expires),
        ] {
            writeln!(out, "  {name:<10} {}", Visible(&text))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    const NOW: i64 = 10 * 24 * 60 * 60 * 1000;

    fn entry(offset: i64, reason: &str, age: i64) -> Listed {
        let reason = reason.to_owned();
        let head =
            Head { offset, reason, first_seen: NOW - age, expires_at: None, ..Head::example() };
        Listed { head, is_whole: true }
    }

    #[test]
    fn records_are_counted_then_shown() {
        #[track_caller]
        fn check(found: Found, limit: usize, expected: &Expect) {
            let mut out = Vec::new();
            Listing::new("t", found, limit, NOW).write(NOW, &mut out).unwrap();
            expected.assert_eq(&String::from_utf8(out).unwrap());
        }

        check(
            Found::default(),
            20,
            &expect![[r"
            0 records in t
        "]],
        );
        let found = |entries: Vec<Listed>| Found { entries, ..Found::default() };
        let hour = 60 * 60 * 1000;
        let one = || entry(7, "INVALID_JSON", 30_000);
        check(
            found(vec![one()]),
            20,
            &expect![[r"
            1 record in t

            records  reason        oldest
                  1  INVALID_JSON    30 s

            records  topic  oldest
                  1  a-b      30 s

            records  first rejected
                  1  up to an hour

            partition  offset  epoch   age  attempts  reason        message
            a-b-3           7      1  30 s         2  INVALID_JSON  no JSON
        "]],
        );
        let hostile =
            Head { topic: "\u{1b}[2J".to_owned(), message: "\u{7}".to_owned(), ..one().head };
        let several = vec![
            one(),
            entry(8, "MISSING_KEY", 5 * hour),
            Listed { is_whole: false, ..entry(9, "MISSING_KEY", 200 * hour) },
            Listed { head: Head { expires_at: Some(5), ..hostile }, is_whole: true },
        ];
        let found = Found { entries: several, leftovers: 2, foreign: 1 };
        check(
            found.clone(),
            20,
            &expect![[r"
            4 records in t
            1 of them incomplete: parts of the record are missing, so they can only be dropped
            1 of them expired: they go at any time, and are not redriven
            2 parts of records that are gone: left by a removal that was cut off, harmless
            1 item that no sink wrote

            records  reason        oldest
                  2  INVALID_JSON    30 s
                  2  MISSING_KEY   8 days

            records  topic      oldest
                  3  a-b        8 days
                  1  \u{1b}[2J    30 s

            records  first rejected
                  2  up to an hour
                  1  up to a day
                  1  older

            partition    offset  epoch     age  attempts  reason        message
            a-b-3             7      1    30 s         2  INVALID_JSON  no JSON
            a-b-3             8      1     5 h         2  MISSING_KEY   no JSON
            a-b-3             9      1  8 days         2  MISSING_KEY   (incomplete) no JSON
            \u{1b}[2J-3       7      1    30 s         2  INVALID_JSON  \u{7}
        "]],
        );
        check(
            found,
            1,
            &expect![[r"
            4 records in t
            1 of them incomplete: parts of the record are missing, so they can only be dropped
            1 of them expired: they go at any time, and are not redriven
            2 parts of records that are gone: left by a removal that was cut off, harmless
            1 item that no sink wrote

            records  reason        oldest
                  2  INVALID_JSON    30 s
                  2  MISSING_KEY   8 days

            records  topic      oldest
                  3  a-b        8 days
                  1  \u{1b}[2J    30 s

            records  first rejected
                  2  up to an hour
                  1  up to a day
                  1  older

            partition  offset  epoch   age  attempts  reason        message
            a-b-3           7      1  30 s         2  INVALID_JSON  no JSON
            and 3 more: `--limit` shows them, filters choose
        "]],
        );
    }

    #[test]
    fn json_has_the_same() {
        let found = Found { entries: vec![entry(7, "\u{9b}", 5)], ..Found::default() };
        let mut out = Vec::new();
        write_json(&Listing::new("t", found, 20, NOW), &mut out).unwrap();
        expect![[r#"
            {"table":"t","records":1,"incomplete":0,"expired":0,"byReason":{"\u009b":{"records":1,"oldest":5}},"byTopic":{"a-b":{"records":1,"oldest":5}},"byAge":[{"age":"up to an hour","records":1}],"entries":[{"topic":"a-b","partition":3,"offset":7,"timestamp":-1,"epoch":1,"sink":"sinkSeatoolData","reason":"\u009b","message":"no JSON","firstSeen":863999995,"attempts":2,"expiresAt":null,"isWhole":true}],"leftovers":0,"foreign":0}
        "#]].assert_eq(&String::from_utf8(out).unwrap());
    }
}
