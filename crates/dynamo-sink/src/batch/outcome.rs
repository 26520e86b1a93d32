//! What became of a batch, in numbers: its outcomes, and the one list of its metrics.

use std::time::Duration;

use serde_json::Value;

use crate::order::{chain::Fate, write::Landed};

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
    /// It cannot be written and waits in the quarantine.
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

    /// Whether a record that ends like this needs nothing more.
    pub fn is_accepted(self) -> bool {
        match self {
            Self::Written | Self::Deleted | Self::Superseded | Self::Duplicate | Self::Stale => {
                true
            }
            Self::Regression | Self::Quarantined | Self::Failed => false,
        }
    }

    /// What a decided record's fate comes to. One that cannot be stored has failed until the quarantine has it.
    pub(crate) fn of(fate: Fate) -> Self {
        match fate {
            Fate::Landed(Landed::Written) => Self::Written,
            Fate::Landed(Landed::Deleted) => Self::Deleted,
            Fate::Landed(Landed::Duplicate) => Self::Duplicate,
            Fate::Landed(Landed::Stale) => Self::Stale,
            Fate::Landed(Landed::Regression) => Self::Regression,
            Fate::Superseded => Self::Superseded,
            Fate::Unwritable | Fate::Failed => Self::Failed,
        }
    }
}

/// What became of a batch's records, and what it cost.
#[derive(Clone, Debug, Default, PartialEq)]
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
    /// with the transaction; of a transaction that is refused as a whole that cannot be known.
    pub tombstone_failed: usize,
    /// Records at whose keys it was looked first.
    pub looked: usize,
    /// The read units that the looks took.
    pub read_units: f64,
    /// Requests that were sent.
    pub requests: u64,
    /// Requests and parts of requests that were sent again.
    pub retries: u64,
    /// Requests and parts of requests that DynamoDB throttled.
    pub throttles: u64,
    /// How long it took.
    pub duration: Duration,
    /// How long before it the oldest record came to its topic.
    pub oldest_record_age: Duration,
}

impl Summary {
    /// How many records ended like this.
    pub fn count(&self, outcome: Outcome) -> usize {
        self.outcomes.iter().filter(|&&it| it == outcome).count()
    }
}

/// A number of a batch: a member of its log line, and a metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name in both.
    pub name: &'static str,
    number: Number,
}

/// Where a metric's number comes from.
#[derive(Clone, Copy, Debug)]
enum Number {
    Outcome(Outcome),
    Records(fn(&Summary) -> usize),
    Cost(fn(&Summary) -> Value),
    Time(fn(&Summary) -> Duration),
}

/// All metrics, in the order in which they are reported: first those that count records.
pub fn metrics() -> impl Iterator<Item = Metric> {
    let outcome = |outcome: Outcome| Metric::new(outcome.name(), Number::Outcome(outcome));
    let received = Metric::new("received", Number::Records(|it| it.outcomes.len()));
    let others = [
        Metric::new("quarantineFailed", Number::Records(|it| it.quarantine_failed)),
        Metric::new("tombstoneFailed", Number::Records(|it| it.tombstone_failed)),
        Metric::new("conflict", Number::Records(|it| it.conflicts)),
        Metric::new("looked", Number::Cost(|it| it.looked.into())),
        Metric::new("readUnits", Number::Cost(|it| it.read_units.into())),
        Metric::new("requests", Number::Cost(|it| it.requests.into())),
        Metric::new("retries", Number::Cost(|it| it.retries.into())),
        Metric::new("throttles", Number::Cost(|it| it.throttles.into())),
        Metric::new("batchDuration", Number::Time(|it| it.duration)),
        Metric::new("oldestRecordAge", Number::Time(|it| it.oldest_record_age)),
    ];
    [received].into_iter().chain(Outcome::ALL.map(outcome)).chain(others)
}

impl Metric {
    fn new(name: &'static str, number: Number) -> Self {
        Self { name, number }
    }

    /// Whether it counts records, those that came or those that ended in a way.
    pub fn counts_records(&self) -> bool {
        matches!(self.number, Number::Outcome(_) | Number::Records(_))
    }

    /// Its unit, as CloudWatch names it.
    pub fn unit(&self) -> &'static str {
        match self.number {
            Number::Outcome(_) | Number::Records(_) | Number::Cost(_) => "Count",
            Number::Time(_) => "Milliseconds",
        }
    }

    /// Its number of a batch.
    pub fn of(&self, summary: &Summary) -> Value {
        match self.number {
            Number::Outcome(outcome) => summary.count(outcome).into(),
            Number::Records(number) => number(summary).into(),
            Number::Cost(number) => number(summary),
            Number::Time(time) => millis(time(summary)).into(),
        }
    }
}

/// A time in whole milliseconds.
pub(crate) fn millis(time: Duration) -> u64 {
    time.as_millis().try_into().unwrap_or(u64::MAX)
}
