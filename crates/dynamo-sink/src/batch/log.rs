//! What is said of a batch: one log line that is also the metrics, and one line for each record that someone may have
//! to look at.

use std::{collections::BTreeMap, time::Duration};

use kafka_event::EncodedRecord;
use serde_json::{Map, Value, json};
use tracing::level_filters::LevelFilter;

use super::{
    land::Report,
    outcome::{METRICS_NAMESPACE, Outcome, Summary, metrics, millis},
};
use crate::{edge::trouble::common_cause, order::version::Order, settings::Settings};

/// All that is logged of a batch.
pub(crate) struct BatchLog<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) order: Order,
    pub(crate) records: &'a [EncodedRecord<'a>],
    pub(crate) summary: &'a Summary,
    pub(crate) report: &'a Report,
    /// What the environment has learnt, for a log that tells details.
    pub(crate) learnt: Option<Value>,
    /// Time since 1970.
    pub(crate) now: Duration,
}

impl BatchLog<'_> {
    /// The counts come first, so that they are told whatever time the rest takes.
    pub(crate) fn write(&self) {
        #[expect(
            clippy::print_stdout,
            reason = "the line is the metrics too: no log level may silence it"
        )]
        {
            println!("{}", self.batch_line());
        }
        self.log_records();
    }

    /// One line for each record that was rejected, failed or regressed: its coordinates and the reason, never its data.
    /// What failed in one partition for one reason shares a line.
    fn log_records(&self) {
        for (record, rejection) in &self.report.quarantined {
            let record = &self.records[*record];
            tracing::warn!(
                topic = record.topic(),
                partition = record.partition(),
                offset = record.offset(),
                reason = rejection.code,
                "record quarantined: {rejection}"
            );
        }
        for ((topic, partition, _), Offsets { first, last, count, reason }) in self.failures() {
            if count == 1 {
                tracing::error!(topic, partition, offset = first, reason, "record failed");
            } else {
                tracing::error!(
                    topic,
                    partition,
                    offset = first,
                    lastOffset = last,
                    count,
                    reason,
                    "records failed"
                );
            }
        }
        let outcomes = || self.records.iter().zip(&self.summary.outcomes);
        if self.order == Order::SourceClock {
            // A clock that was wrong once makes all later rows stale: each can be found.
            for (record, _) in outcomes().filter(|(_, it)| **it == Outcome::Stale) {
                tracing::debug!(
                    topic = record.topic(),
                    partition = record.partition(),
                    offset = record.offset(),
                    timestamp = record.timestamp(),
                    "record stale"
                );
            }
        }
        for (record, _) in outcomes().filter(|(_, it)| **it == Outcome::Regression) {
            // The coordinates stand nowhere else, so that no level may silence them.
            tracing::error!(
                topic = record.topic(),
                partition = record.partition(),
                offset = record.offset(),
                timestamp = record.timestamp(),
                reason = "its offset is not new, but its timestamp is: was the topic created again without a new epoch?",
                "record not applied"
            );
        }
    }

    /// Where records failed, by topic, partition and common cause.
    fn failures(&self) -> BTreeMap<(&str, i32, &str), Offsets<'_>> {
        let mut failures = BTreeMap::new();
        for (record, reason) in &self.report.failures {
            let record = &self.records[*record];
            let place = (record.topic(), record.partition(), common_cause(reason));
            let offset = record.offset();
            let offsets = failures.entry(place).or_insert(Offsets {
                first: offset,
                last: offset,
                count: 0,
                reason,
            });
            offsets.first = offsets.first.min(offset);
            offsets.last = offsets.last.max(offset);
            offsets.count += 1;
        }
        failures
    }

    /// The batch's line, in CloudWatch's embedded metric format: see
    /// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>.
    fn batch_line(&self) -> Value {
        let definitions: Vec<Value> =
            metrics().map(|it| json!({"Name": it.name, "Unit": it.unit()})).collect();
        let mut line = json!({
            "_aws": {
                "Timestamp": millis(self.now),
                "CloudWatchMetrics": [{
                    "Namespace": METRICS_NAMESPACE,
                    "Dimensions": [["function", "stage"]],
                    "Metrics": definitions,
                }],
            },
            "level": LevelFilter::INFO.to_string().to_uppercase(),
            "message": "batch",
            "function": self.settings.function_name,
            "stage": self.settings.stage,
            "partitions": self.partitions(),
        });
        if let Value::Object(members) = &mut line {
            members.extend(metrics().map(|it| (it.name.to_owned(), it.of(self.summary))));
            members.extend(self.learnt.clone().map(|learnt| ("learnt".to_owned(), learnt)));
        }
        line
    }

    /// The outcomes of each partition that are not zero.
    fn partitions(&self) -> Map<String, Value> {
        let mut counts: BTreeMap<(&str, i32), BTreeMap<Outcome, u64>> = BTreeMap::new();
        for (record, &outcome) in self.records.iter().zip(&self.summary.outcomes) {
            *counts
                .entry((record.topic(), record.partition()))
                .or_default()
                .entry(outcome)
                .or_default() += 1;
        }
        let partition = |((topic, partition), counts): ((&str, i32), BTreeMap<Outcome, u64>)| {
            let counts: Map<String, Value> = counts
                .into_iter()
                .map(|(outcome, count)| (outcome.name().to_owned(), count.into()))
                .collect();
            (format!("{topic}-{partition}"), counts.into())
        };
        counts.into_iter().map(partition).collect()
    }
}

/// Where several records of a partition are.
struct Offsets<'a> {
    first: i64,
    last: i64,
    count: usize,
    /// The first one's.
    reason: &'a str,
}
