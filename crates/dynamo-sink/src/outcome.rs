//! What became of a batch, as it is seen from outside: one log line that is also the metrics, and one line for each
//! record that someone may have to look at.

use std::{collections::BTreeMap, time::Duration};

use kafka_event::EncodedRecord;
use serde_json::{Map, Value, json};
use tracing::level_filters::LevelFilter;

use crate::{dynamodb::common_cause, land::Report, settings::Settings, version::Order};

/// The namespace of the metrics in CloudWatch.
pub const METRICS_NAMESPACE: &str = "compare-connector";

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Its item was put.
    Written,
    /// Its item was removed.
    Deleted,
    /// A newer record of the batch took its place.
    Superseded,
    /// It had been applied before.
    Duplicate,
    /// A newer state stood already.
    Stale,
    /// Its offset had been passed, but its timestamp is newer: nothing was done.
    Regression,
    /// It can't be written and waits in the quarantine.
    Quarantined,
    /// It was not written and is to be retried.
    Failed,
}

impl Outcome {
    /// All of them, in the order in which they are reported.
    pub const ALL: [Self; 8] = [
        Self::Written,
        Self::Deleted,
        Self::Superseded,
        Self::Duplicate,
        Self::Stale,
        Self::Regression,
        Self::Quarantined,
        Self::Failed,
    ];

    /// The name of its count in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Deleted => "deleted",
            Self::Superseded => "superseded",
            Self::Duplicate => "duplicate",
            Self::Stale => "stale",
            Self::Regression => "regression",
            Self::Quarantined => "quarantined",
            Self::Failed => "failed",
        }
    }
}

/// What became of a batch's records, and what it cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Each record's outcome, in the order of the event.
    pub outcomes: Vec<Outcome>,
    /// Records whose write met a state of another lineage of a keyed sink, whatever became of them.
    pub conflicts: usize,
    /// Records that failed although their rejection was decided, since the quarantine's table refused their entry, did
    /// not answer, or was found at fault. One whose turn did not come, for lack of time or by another table's fault, is
    /// not among them.
    pub quarantine_failed: usize,
    /// Records that failed since their delete's tombstone could not be stored, or their insert's tombstone not be
    /// checked, and what they superseded.
    ///
    /// A delete counts where the last request for its tombstone was refused, or not answered, or where the tombstones'
    /// table was found at fault before its turn came. An insert counts where DynamoDB names its check as what was wrong
    /// with the transaction; of a transaction that is refused as a whole that can't be told.
    pub tombstone_failed: usize,
    /// Requests that were sent.
    pub requests: u64,
    /// Requests and parts of requests that were sent again.
    pub retries: u64,
    /// Requests and parts of requests that DynamoDB throttled.
    pub throttles: u64,
}

impl Summary {
    /// How many records ended like this.
    pub fn count(&self, outcome: Outcome) -> usize {
        self.outcomes.iter().filter(|&&it| it == outcome).count()
    }
}

/// All that is reported of a batch.
pub(crate) struct BatchReport<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) order: Order,
    pub(crate) records: &'a [&'a EncodedRecord<'a>],
    pub(crate) summary: &'a Summary,
    pub(crate) report: &'a Report,
    /// What the environment has learnt, for a log that tells details.
    pub(crate) learnt: Option<Value>,
    /// Time since 1970.
    pub(crate) now: Duration,
    pub(crate) duration: Duration,
}

impl BatchReport<'_> {
    /// The counts come first, so that they are told whatever time the rest takes.
    pub(crate) fn log(&self) {
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
            let record = self.records[*record];
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
                reason = "its offset was passed before, but its timestamp is newer: was the topic created anew without \
                          a new epoch?",
                "record not applied"
            );
        }
    }

    /// Where records failed, by topic, partition and common cause.
    fn failures(&self) -> BTreeMap<(&str, i32, &str), Offsets<'_>> {
        let mut failures = BTreeMap::new();
        for (record, reason) in &self.report.failures {
            let record = self.records[*record];
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
        let count = |name, number: usize| (name, COUNT, number.into());
        let mut metrics: Vec<(&str, &str, Value)> = vec![count("received", self.records.len())];
        for outcome in Outcome::ALL {
            metrics.push(count(outcome.name(), self.summary.count(outcome)));
        }
        metrics.extend([
            count("conflict", self.summary.conflicts),
            count("quarantineFailed", self.summary.quarantine_failed),
            count("tombstoneFailed", self.summary.tombstone_failed),
            count("looked", self.report.looked),
            ("readUnits", COUNT, self.report.read_units.into()),
            ("requests", COUNT, self.summary.requests.into()),
            ("retries", COUNT, self.summary.retries.into()),
            ("throttles", COUNT, self.summary.throttles.into()),
            ("batchDuration", MILLISECONDS, millis(self.duration).into()),
            ("oldestRecordAge", MILLISECONDS, millis(self.oldest_age()).into()),
        ]);

        let definitions: Vec<Value> =
            metrics.iter().map(|(name, unit, _)| json!({"Name": name, "Unit": unit})).collect();
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
            members.extend(metrics.into_iter().map(|(name, _, number)| (name.to_owned(), number)));
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

    fn oldest_age(&self) -> Duration {
        let oldest = self
            .records
            .iter()
            .map(|record| record.timestamp())
            .filter(|&timestamp| timestamp >= 0)
            .min();
        let oldest =
            oldest.and_then(|oldest| u64::try_from(oldest).ok()).map(Duration::from_millis);
        oldest.map_or(Duration::ZERO, |oldest| self.now.saturating_sub(oldest))
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

const COUNT: &str = "Count";
const MILLISECONDS: &str = "Milliseconds";

fn millis(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}
