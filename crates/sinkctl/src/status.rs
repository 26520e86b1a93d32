//! Whether all is well with a stage, on one screen.
//!
//! What is known ([`Status`]), what is wrong with it ([`judge`]) and how it is shown ([`screen`]) are the same for a
//! stage in AWS and for a local event source mapping; only the readers differ. A stage in AWS has alarms; of a local
//! mapping the counts are looked at that should be zero.

pub mod judge;
pub mod screen;

pub mod aws;
mod command;
mod esm;
mod quarantine;

use std::collections::BTreeMap;

use dynamo_sink::outcome::{self, Metric};
use serde::{Deserialize, Serialize};

pub use command::{EXAMPLES, StatusArguments, run};

/// The metrics that count records, those that came first.
pub fn record_counts() -> impl Iterator<Item = &'static str> {
    outcome::metrics().filter(Metric::counts_records).map(|it| it.name)
}

/// The age of a batch's oldest record in milliseconds.
pub const OLDEST_RECORD_AGE: &str = "oldestRecordAge";

/// All that is known of a stage.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    pub stage: String,
    /// What the names of all that belongs to it begin with.
    pub name_prefix: String,
    /// Where it was asked for.
    pub place: String,
    /// When, in milliseconds since 1970.
    pub time: u64,
    /// How many minutes the counts are of.
    pub minutes: u64,
    /// The functions with their mappings, in the template's order.
    pub functions: Vec<FunctionStatus>,
    /// The rejected records that wait.
    pub quarantine: Part<QuarantineDepth>,
    /// The alarms; `None` where nothing has any, which is a local mapping.
    pub alarms: Option<Part<Vec<AlarmStatus>>>,
}

/// What is known of something, or why it is not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Part<T> {
    /// It was read.
    Read(T),
    /// It could not be read.
    Unread {
        /// Why, and what to do about it.
        unread: String,
    },
}

impl<T> Part<T> {
    /// It could not be read for this reason.
    pub fn unread(reason: impl Into<String>) -> Self {
        Self::Unread { unread: reason.into() }
    }

    /// Why it could not be read.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Read(_) => None,
            Self::Unread { unread } => Some(unread),
        }
    }
}

impl<T> From<Result<T, String>> for Part<T> {
    fn from(result: Result<T, String>) -> Self {
        match result {
            Ok(value) => Self::Read(value),
            Err(unread) => Self::Unread { unread },
        }
    }
}

/// What is known of a function.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FunctionStatus {
    /// The name of its binary.
    pub binary: String,
    /// Its name in Lambda.
    pub name: String,
    /// The epoch that it writes, as it stands in its settings.
    pub epoch: Part<String>,
    /// The mappings that invoke it.
    pub mappings: Part<Vec<MappingStatus>>,
    pub activity: Part<Activity>,
}

/// What is known of an event source mapping.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MappingStatus {
    /// Its UUID; of a local one the name in the template.
    pub id: String,
    /// `Enabled`, say.
    pub state: String,
    /// Why it is in that state.
    pub state_transition_reason: Option<String>,
    /// What came of the last batch.
    pub last_processing_result: Option<String>,
}

/// What a function did in the last minutes; what is `None` was not counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Activity {
    /// How many records the topic is ahead, as far as that was counted last.
    pub lag: Option<u64>,
    /// The same by partition, where that is known.
    pub lag_by_partition: BTreeMap<i32, u64>,
    pub invocations: Option<u64>,
    /// Those that failed.
    pub errors: Option<u64>,
    /// Those that Lambda did not let run.
    pub throttles: Option<u64>,
    /// The records by what became of them, under the names of [`record_counts`].
    pub records: BTreeMap<String, u64>,
    /// The records that a local mapping gave up.
    pub given_up: Option<u64>,
    /// The age in milliseconds of the oldest record that came.
    pub oldest_record_age: Option<u64>,
}

impl Activity {
    /// Adds what was counted at another time. The lag is no count of a time, and stays.
    pub fn add(&mut self, other: &Self) {
        let sum = |of: Option<u64>, other: Option<u64>| match (of, other) {
            (None, None) => None,
            _ => Some(of.unwrap_or_default() + other.unwrap_or_default()),
        };
        self.invocations = sum(self.invocations, other.invocations);
        self.errors = sum(self.errors, other.errors);
        self.throttles = sum(self.throttles, other.throttles);
        self.given_up = sum(self.given_up, other.given_up);
        self.oldest_record_age = self.oldest_record_age.max(other.oldest_record_age);
        for (name, number) in &other.records {
            *self.records.entry(name.clone()).or_default() += number;
        }
    }
}

/// What `sinkctl esm --status-address` answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    /// The stage that the template was read for.
    pub stage: String,
    /// The parameters that the template was read with, beside the stage.
    pub parameters: Vec<(String, String)>,
    /// The time now, in milliseconds since 1970.
    pub time: u64,
    /// The functions whose mappings run.
    pub functions: Vec<FunctionDocument>,
}

/// A function and its local mapping.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FunctionDocument {
    /// The name of its binary.
    pub binary: String,
    pub name: String,
    /// The epoch that it was started with.
    pub epoch: String,
    pub mapping: MappingStatus,
    /// By partition how many records the topic is ahead of the group.
    pub lag: BTreeMap<i32, u64>,
    /// What was counted, by the minute since 1970.
    pub minutes: BTreeMap<u64, Activity>,
}

/// How many rejected records wait.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QuarantineDepth {
    /// By the function that rejected them.
    pub by_function: BTreeMap<String, u64>,
    /// Whether the table holds more than was read.
    pub is_incomplete: bool,
}

/// What an alarm says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AlarmStatus {
    pub name: String,
    pub state: AlarmState,
    /// What it means, and what to do about it.
    pub description: String,
    pub reason: String,
}

/// Whether an alarm is raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AlarmState {
    Ok,
    Alarm,
    /// There is too little data to say.
    InsufficientData,
}
