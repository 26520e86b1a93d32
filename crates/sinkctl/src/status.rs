//! Whether all is well with a stage, on one screen.
//!
//! What is known ([`Status`]), what is wrong with it ([`judge`]) and how it is shown ([`screen`]) are the same for a
//! stage in AWS and for a local event source mapping; only the readers differ. A stage in AWS has alarms; of a local
//! mapping the counts are looked at that should be zero.

mod judge;
mod screen;

pub mod aws;
mod esm;
mod quarantine;

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
};

use clap::Args;
use dynamo_sink::outcome::{self, Metric};
use judge::Verdict;
use local::dynamodb::DEFAULT_PORT;
use serde::{Deserialize, Serialize, Serializer};

use crate::{
    arguments::{PARAMETER, STAGE, name_and_value, url},
    visible::write_json,
};

pub const EXAMPLES: &str = "\
Examples:
  sinkctl status --stage master
  sinkctl status --stage val --minutes 60 --json
  sinkctl status --esm http://127.0.0.1:8010       what `sinkctl esm --status-address 127.0.0.1:8010` runs

Credentials and region are those of the AWS CLI (`AWS_PROFILE`, `AWS_REGION`). What is wrong is what the template's alarms
say, beside mappings that don't poll or fail, and records in the quarantine. A local mapping has no alarms: of it records
that were given up or regressed are wrong, and those whose quarantine or tombstone failed. Each part that cannot be read
says why, and the rest is shown.

Exit status: 0 when all was read and nothing is wrong, 1 when something is wrong, 2 when nothing is known to be wrong but
not everything could be read, or nothing at all.";

#[derive(Args, Clone, Debug)]
pub struct StatusArguments {
    #[arg(long, value_name = "NAME", help = STAGE, required_unless_present = "esm")]
    stage: Option<String>,
    /// A local event source mapping instead, at the address that `sinkctl esm --status-address` prints.
    #[arg(long, value_name = "URL", value_parser = url, conflicts_with_all = ["stage", "parameters"])]
    esm: Option<String>,
    /// The local DynamoDB of that mapping.
    #[arg(long, value_name = "URL", value_parser = url, default_value_t = format!("http://127.0.0.1:{DEFAULT_PORT}"))]
    dynamodb_endpoint: String,
    #[arg(long = "parameter", value_name = "NAME=VALUE", help = PARAMETER, value_parser = name_and_value)]
    parameters: Vec<(String, String)>,
    /// How many minutes the counts are of.
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=1440))]
    minutes: u64,
    /// Write it as one line of JSON.
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: &StatusArguments, template: &Path) -> anyhow::Result<ExitCode> {
    let status = match (&arguments.esm, &arguments.stage) {
        (Some(address), _) => esm::read(address, arguments, template).await?,
        (None, stage) => {
            aws::read(stage.as_deref().unwrap_or_default(), arguments, template).await?
        }
    };
    if arguments.json {
        write_json(&status.with_problems()?, &mut io::stdout())?;
    } else {
        anstream::stdout().write_all(status.screen().as_bytes())?;
    }
    Ok(match status.verdict() {
        Verdict::Well => ExitCode::SUCCESS,
        Verdict::Wrong => ExitCode::from(1),
        Verdict::Unknown => ExitCode::from(2),
    })
}

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
    #[serde(serialize_with = "read_or_why")]
    pub quarantine: Result<QuarantineDepth, String>,
    /// The alarms; `None` where nothing has any, which is a local mapping.
    #[serde(serialize_with = "read_or_why")]
    pub alarms: Result<Option<Vec<AlarmStatus>>, String>,
}

/// What was read, or why it was not and what to do about it.
fn read_or_why<T: Serialize, S: Serializer>(
    part: &Result<T, String>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match part {
        Ok(value) => value.serialize(serializer),
        Err(why) => serializer.collect_map([("unread", why)]),
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FunctionStatus {
    pub binary: String,
    /// Its name in Lambda.
    pub name: String,
    /// The epoch that it writes, as it stands in its settings.
    #[serde(serialize_with = "read_or_why")]
    pub epoch: Result<String, String>,
    #[serde(serialize_with = "read_or_why")]
    pub mappings: Result<Vec<MappingStatus>, String>,
    #[serde(serialize_with = "read_or_why")]
    pub activity: Result<Activity, String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MappingStatus {
    /// Its UUID; of a local one the name in the template.
    pub id: String,
    pub state: String,
    pub state_transition_reason: Option<String>,
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
    pub errors: Option<u64>,
    /// Those that Lambda did not let run.
    pub throttles: Option<u64>,
    /// The records by what became of them, under the names of [`record_counts`].
    pub records: BTreeMap<String, u64>,
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
    pub functions: Vec<FunctionDocument>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FunctionDocument {
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

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QuarantineDepth {
    /// By the function that rejected them.
    pub by_function: BTreeMap<String, u64>,
    /// Whether the table holds more than was read.
    pub is_incomplete: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AlarmStatus {
    pub name: String,
    /// `OK`, `ALARM` or `INSUFFICIENT_DATA`.
    pub state: String,
    /// What it means, and what to do about it.
    pub description: String,
    pub reason: String,
}
