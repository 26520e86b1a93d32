//! Which entries are meant.

use std::{ops::RangeInclusive, time::Duration};

use clap::Args;

use super::entry::Head;
use crate::text::duration;

/// What entries must have in common; what is not set is anything.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
#[command(next_help_heading = "Which records")]
pub struct Filter {
    /// The function's binary, such as `sinkAppianData`.
    #[arg(long, value_name = "NAME")]
    pub sink: Option<String>,
    /// The topic.
    #[arg(long, value_name = "NAME")]
    pub topic: Option<String>,
    /// The partition.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    pub partition: Option<i32>,
    /// The offset, or a first and a last one: `7`, `7..9`, `7..`, `..9`.
    #[arg(id = "offset", long = "offset", value_name = "RANGE", value_parser = offsets)]
    pub offsets: Option<RangeInclusive<i64>>,
    /// What is wrong, such as `INVALID_JSON`; may be repeated.
    #[arg(long = "reason", value_name = "CODE")]
    pub reasons: Vec<String>,
    /// First rejected so long ago or longer, such as `90m`, `12h` or `7d`.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub older_than: Option<Duration>,
    /// First rejected so long ago or less.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub newer_than: Option<Duration>,
}

/// Which records are meant.
#[derive(Args, Clone, Debug)]
pub struct Selection {
    /// One record's topic and partition, such as `my-topic-3`.
    #[arg(value_name = "TOPIC-PARTITION", value_parser = topic_partition, requires = "record_offset", conflicts_with_all = ["topic", "partition", "offset"])]
    topic_partition: Option<(String, i32)>,
    /// Its offset.
    #[arg(value_name = "OFFSET", id = "record_offset")]
    record_offset: Option<i64>,
    #[command(flatten)]
    filter: Filter,
}

impl Selection {
    pub fn filter(self) -> Filter {
        match (self.topic_partition, self.record_offset) {
            (Some((topic, partition)), Some(offset)) => Filter {
                topic: Some(topic),
                partition: Some(partition),
                offsets: Some(offset..=offset),
                ..self.filter
            },
            _ => self.filter,
        }
    }
}

impl Filter {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether an entry is meant, `now` being in milliseconds since 1970.
    pub fn matches(&self, head: &Head, now: i64) -> bool {
        let age = Duration::from_millis(head.age(now));
        self.sink.as_ref().is_none_or(|sink| *sink == head.sink)
            && self.topic.as_ref().is_none_or(|topic| *topic == head.topic)
            && self.partition.is_none_or(|partition| partition == head.partition)
            && self.offsets.as_ref().is_none_or(|offsets| offsets.contains(&head.offset))
            && (self.reasons.is_empty() || self.reasons.contains(&head.reason))
            && self.older_than.is_none_or(|limit| age >= limit)
            && self.newer_than.is_none_or(|limit| age <= limit)
    }
}

/// Reads a topic and a partition as they stand in an entry's key, such as `my-topic-3`.
pub fn topic_partition(text: &str) -> Result<(String, i32), String> {
    let place = text.rsplit_once('-').and_then(|(topic, partition)| {
        let partition = partition.parse().ok().filter(|it| *it >= 0)?;
        (!topic.is_empty()).then(|| (topic.to_owned(), partition))
    });
    place.ok_or_else(|| "expected a topic, `-` and a partition, such as `my-topic-3`".to_owned())
}

/// Reads offsets: `7`, or a first and a last one, of which one may be left out: `7..9`, `7..`, `..9`.
pub fn offsets(text: &str) -> Result<RangeInclusive<i64>, String> {
    let (first, last) = text.split_once("..").unwrap_or((text, text));
    let bound = |text: &str, default: i64| match text {
        "" => Some(default),
        text => text.parse().ok().filter(|it| *it >= 0),
    };
    match (bound(first, 0), bound(last, i64::MAX)) {
        (Some(first), Some(last)) if !text.is_empty() && first <= last => Ok(first..=last),
        _ => Err("expected an offset or a first and a last one, such as `7` or `7..9`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_chosen() {
        #[track_caller]
        fn check(filter: &Filter, expected: bool) {
            let head = Head { first_seen: 10_000, ..Head::example() };
            assert_eq!(filter.matches(&head, 70_000), expected, "{filter:?}");
            assert_eq!(filter.is_empty(), *filter == any());
        }

        fn any() -> Filter {
            Filter::default()
        }
        let text = |text: &str| Some(text.to_owned());
        let seconds = |number| Some(Duration::from_secs(number));

        check(&any(), true);
        check(&Filter { sink: text("sinkSeatoolData"), ..any() }, true);
        check(&Filter { sink: text("sinkAppianData"), ..any() }, false);
        check(&Filter { topic: text("a-b"), ..any() }, true);
        check(&Filter { topic: text("a"), ..any() }, false);
        check(&Filter { partition: Some(3), ..any() }, true);
        check(&Filter { partition: Some(0), ..any() }, false);
        check(&Filter { offsets: Some(7..=7), ..any() }, true);
        check(&Filter { offsets: Some(8..=i64::MAX), ..any() }, false);
        let reasons = |codes: &[&str]| codes.iter().map(|&code| code.to_owned()).collect();
        check(&Filter { reasons: reasons(&["MISSING_KEY", "INVALID_JSON"]), ..any() }, true);
        check(&Filter { reasons: reasons(&["MISSING_KEY"]), ..any() }, false);
        check(&Filter { older_than: seconds(60), ..any() }, true);
        check(&Filter { older_than: seconds(61), ..any() }, false);
        check(&Filter { newer_than: seconds(60), ..any() }, true);
        check(&Filter { newer_than: seconds(59), ..any() }, false);
        // All of them must hold.
        check(&Filter { topic: text("a-b"), partition: Some(0), ..any() }, false);
        // The clocks differ.
        let future = Head { first_seen: 80_000, ..Head::example() };
        assert!(!Filter { older_than: seconds(1), ..any() }.matches(&future, 70_000));
    }

    #[test]
    fn places_are_read() {
        #[track_caller]
        fn check(text: &str, expected: Option<(&str, i32)>) {
            let expected = expected.map(|(topic, partition)| (topic.to_owned(), partition));
            assert_eq!(topic_partition(text).ok(), expected);
        }

        check("a-0", Some(("a", 0)));
        check("a.b-c-12", Some(("a.b-c", 12)));
        for text in ["", "a", "a-", "-1", "a-x", "a--1x", "a-4294967296"] {
            check(text, None);
        }
    }

    #[test]
    fn offsets_are_read() {
        #[track_caller]
        fn check(text: &str, expected: Option<&RangeInclusive<i64>>) {
            assert_eq!(offsets(text).ok().as_ref(), expected);
        }

        check("7", Some(&(7..=7)));
        check("7..9", Some(&(7..=9)));
        check("7..7", Some(&(7..=7)));
        check("7..", Some(&(7..=i64::MAX)));
        check("..9", Some(&(0..=9)));
        for text in ["", "9..7", "-1", "7..-1", "a", "7...9", "7-9"] {
            check(text, None);
        }
    }
}
