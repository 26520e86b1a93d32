//! What a mapping does, from the template and the flags that override it.

use std::{path::PathBuf, time::Duration};

use anyhow::ensure;
use clap::{Args, ValueEnum};
use local::template::{Mapping, StartingPosition};

use super::attempt::{PartialRetry, Policy};

/// A mapping's settings, within what Lambda accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappingSettings {
    pub topic: String,
    pub group: String,
    /// Where a partition begins for which the group has no offset.
    pub starting_position: StartingPosition,
    /// The most records of a batch.
    pub batch_size: usize,
    /// How long a batch's first record waits for more.
    pub batching_window: Duration,
    /// How it deals with failures.
    pub policy: Policy,
}

/// What is set beside the template, for all mappings alike.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Instead of the template's")]
pub struct Overrides {
    /// The most records of a batch, 1 to 10000.
    #[arg(long, value_name = "N")]
    pub batch_size: Option<u64>,
    /// How long a batch's first record waits for more, 0 to 300.
    #[arg(long, value_name = "SECONDS")]
    pub batching_window: Option<u64>,
    /// The consumer group, of one function.
    #[arg(long, value_name = "NAME")]
    pub group: Option<String>,
    /// Where a partition begins for which the group has no offset.
    #[arg(long, value_name = "POSITION", ignore_case = true)]
    pub starting_position: Option<Position>,
    /// With `AT_TIMESTAMP`, the first record's time in seconds since 1970.
    #[arg(long, value_name = "SECONDS", required_if_eq("starting_position", "AT_TIMESTAMP"))]
    pub starting_position_timestamp: Option<u64>,
    /// How often a batch is tried again, to 10000; -1 is without end.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub maximum_retry_attempts: Option<i64>,
    /// The age at which a record is given up, 60 to 604800; -1 is any age.
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub maximum_record_age: Option<i64>,
    /// Split a batch that failed in two.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub bisect_batch_on_function_error: Option<bool>,
    /// Read which records failed from the function's answer.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub report_batch_item_failures: Option<bool>,
    /// The folder for what is given up, in the form of a destination in S3. As on Lambda it ends retries without end
    /// after ten.
    #[arg(long, value_name = "DIR")]
    pub on_failure: Option<PathBuf>,
}

/// A starting position without its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Position {
    #[value(name = "LATEST")]
    Latest,
    #[value(name = "TRIM_HORIZON")]
    TrimHorizon,
    #[value(name = "AT_TIMESTAMP")]
    AtTimestamp,
}

impl Overrides {
    fn starting_position(&self) -> anyhow::Result<Option<StartingPosition>> {
        let seconds = self.starting_position_timestamp;
        ensure!(
            seconds.is_none() || self.starting_position == Some(Position::AtTimestamp),
            "a timestamp is for the starting position AT_TIMESTAMP only"
        );
        Ok(self.starting_position.map(|position| match position {
            Position::Latest => StartingPosition::Latest,
            Position::TrimHorizon => StartingPosition::TrimHorizon,
            Position::AtTimestamp => StartingPosition::AtTimestamp(seconds.unwrap_or_default()),
        }))
    }
}

impl MappingSettings {
    /// The mapping's settings.
    pub fn new(
        mapping: &Mapping,
        overrides: &Overrides,
        partial_retry: PartialRetry,
    ) -> anyhow::Result<Self> {
        let name = &mapping.logical_id;
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let checked = |setting, found: i64, is_accepted: bool, accepted| {
            ensure!(is_accepted, "`{name}`: {setting} is {found}, Lambda accepts {accepted}");
            Ok(())
        };

        let batch_size = number(overrides.batch_size.unwrap_or(mapping.batch_size));
        let is_accepted = (1..=10_000).contains(&batch_size);
        checked("BatchSize", batch_size, is_accepted, "1 to 10000")?;

        let batching_window =
            overrides.batching_window.map_or(mapping.batching_window, Duration::from_secs);
        let seconds = number(batching_window.as_secs());
        checked("MaximumBatchingWindowInSeconds", seconds, seconds <= 300, "0 to 300")?;

        let of_template = mapping.maximum_retry_attempts.map_or(-1, number);
        let retries = overrides.maximum_retry_attempts.unwrap_or(of_template);
        let is_accepted = (-1..=10_000).contains(&retries);
        checked("MaximumRetryAttempts", retries, is_accepted, "-1 to 10000")?;

        let of_template = mapping.maximum_record_age.map_or(-1, |age| number(age.as_secs()));
        let age = overrides.maximum_record_age.unwrap_or(of_template);
        let is_accepted = age == -1 || (60..=604_800).contains(&age);
        checked("MaximumRecordAgeInSeconds", age, is_accepted, "-1, or 60 to 604800")?;

        let bisects = overrides
            .bisect_batch_on_function_error
            .unwrap_or(mapping.bisects_batch_on_function_error);
        let reports =
            overrides.report_batch_item_failures.unwrap_or(mapping.reports_batch_item_failures);
        let of_provisioned_mode = [
            ("MaximumRetryAttempts", retries != -1),
            ("MaximumRecordAgeInSeconds", age != -1),
            ("BisectBatchOnFunctionError", bisects),
            ("FunctionResponseTypes", reports),
        ];
        for (setting, is_set) in of_provisioned_mode {
            ensure!(
                !is_set || mapping.is_provisioned,
                "`{name}`: Lambda accepts {setting} in provisioned mode only, as `--parameter PollerMode=provisioned` \
                 sets it"
            );
        }
        let group = overrides.group.clone().or_else(|| mapping.consumer_group.clone());
        Ok(Self {
            topic: mapping.topic.clone(),
            // Lambda would make one up, which would begin again with each start here.
            group: group.unwrap_or_else(|| format!("sinkctl-{}", mapping.logical_id)),
            starting_position: overrides.starting_position()?.unwrap_or(mapping.starting_position),
            batch_size: usize::try_from(batch_size).unwrap_or(1),
            batching_window,
            policy: Policy {
                maximum_retry_attempts: u64::try_from(retries).ok(),
                maximum_record_age: u64::try_from(age).ok().map(Duration::from_secs),
                bisects_batch_on_function_error: bisects,
                reports_batch_item_failures: reports,
                partial_retry,
                has_destination: overrides.on_failure.is_some(),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(is_provisioned: bool) -> Mapping {
        Mapping {
            logical_id: "M".to_owned(),
            function: "F".to_owned(),
            is_enabled: true,
            topic: "t".to_owned(),
            consumer_group: None,
            starting_position: StartingPosition::Latest,
            batch_size: 100,
            batching_window: Duration::from_millis(500),
            is_provisioned,
            reports_batch_item_failures: false,
            bisects_batch_on_function_error: false,
            maximum_retry_attempts: None,
            maximum_record_age: None,
            has_destination: true,
        }
    }

    #[test]
    fn flags_override_the_template() {
        #[track_caller]
        fn check(mapping: &Mapping, overrides: &Overrides, expected: &MappingSettings) {
            let retry = expected.policy.partial_retry;
            assert_eq!(&MappingSettings::new(mapping, overrides, retry).unwrap(), expected);
        }

        let defaults = MappingSettings {
            topic: "t".to_owned(),
            group: "sinkctl-M".to_owned(),
            starting_position: StartingPosition::Latest,
            batch_size: 100,
            batching_window: Duration::from_millis(500),
            policy: Policy {
                maximum_retry_attempts: None,
                maximum_record_age: None,
                bisects_batch_on_function_error: false,
                reports_batch_item_failures: false,
                partial_retry: PartialRetry::Listed,
                has_destination: false,
            },
        };
        check(&mapping(false), &Overrides::default(), &defaults);
        let overrides = Overrides {
            group: Some("g".to_owned()),
            starting_position: Some(Position::AtTimestamp),
            starting_position_timestamp: Some(7),
            batch_size: Some(10_000),
            batching_window: Some(0),
            maximum_retry_attempts: Some(0),
            maximum_record_age: Some(60),
            bisect_batch_on_function_error: Some(true),
            report_batch_item_failures: Some(true),
            on_failure: Some(PathBuf::from("d")),
        };
        let expected = MappingSettings {
            group: "g".to_owned(),
            starting_position: StartingPosition::AtTimestamp(7),
            batch_size: 10_000,
            batching_window: Duration::ZERO,
            policy: Policy {
                maximum_retry_attempts: Some(0),
                maximum_record_age: Some(Duration::from_mins(1)),
                bisects_batch_on_function_error: true,
                reports_batch_item_failures: true,
                partial_retry: PartialRetry::FromLowest,
                has_destination: true,
            },
            ..defaults.clone()
        };
        check(&mapping(true), &overrides, &expected);

        let of_template = Mapping {
            consumer_group: Some("g".to_owned()),
            reports_batch_item_failures: true,
            bisects_batch_on_function_error: true,
            maximum_retry_attempts: Some(7),
            maximum_record_age: Some(Duration::from_secs(61)),
            ..mapping(true)
        };
        let off = Overrides {
            maximum_retry_attempts: Some(-1),
            maximum_record_age: Some(-1),
            bisect_batch_on_function_error: Some(false),
            report_batch_item_failures: Some(false),
            ..Overrides::default()
        };
        check(&of_template, &off, &MappingSettings { group: "g".to_owned(), ..defaults });
    }

    fn new(is_provisioned: bool, overrides: &Overrides) -> anyhow::Result<MappingSettings> {
        MappingSettings::new(&mapping(is_provisioned), overrides, PartialRetry::Listed)
    }

    #[test]
    fn what_lambda_refuses_is_refused() {
        #[track_caller]
        fn check(is_provisioned: bool, overrides: &Overrides, expected: &str) {
            let settings = new(is_provisioned, overrides);
            assert_eq!(settings.unwrap_err().to_string(), expected);
        }

        let none = Overrides::default;
        let range = |setting: &str, found: i64, accepted: &str| {
            format!("`M`: {setting} is {found}, Lambda accepts {accepted}")
        };
        for found in [0, 10_001] {
            let overrides = Overrides { batch_size: Some(found), ..none() };
            check(true, &overrides, &range("BatchSize", found.cast_signed(), "1 to 10000"));
        }
        check(
            true,
            &Overrides { batching_window: Some(301), ..none() },
            &range("MaximumBatchingWindowInSeconds", 301, "0 to 300"),
        );
        for found in [-2, 10_001] {
            let overrides = Overrides { maximum_retry_attempts: Some(found), ..none() };
            check(true, &overrides, &range("MaximumRetryAttempts", found, "-1 to 10000"));
        }
        for found in [-2, 0, 59, 604_801] {
            let overrides = Overrides { maximum_record_age: Some(found), ..none() };
            let accepted = "-1, or 60 to 604800";
            check(true, &overrides, &range("MaximumRecordAgeInSeconds", found, accepted));
        }

        let of_provisioned_mode = [
            (Overrides { maximum_retry_attempts: Some(0), ..none() }, "MaximumRetryAttempts"),
            (Overrides { maximum_record_age: Some(60), ..none() }, "MaximumRecordAgeInSeconds"),
            (
                Overrides { bisect_batch_on_function_error: Some(true), ..none() },
                "BisectBatchOnFunctionError",
            ),
            (
                Overrides { report_batch_item_failures: Some(true), ..none() },
                "FunctionResponseTypes",
            ),
        ];
        for (overrides, setting) in of_provisioned_mode {
            let expected = format!(
                "`M`: Lambda accepts {setting} in provisioned mode only, as `--parameter PollerMode=provisioned` sets it"
            );
            check(false, &overrides, &expected);
            assert!(new(true, &overrides).is_ok());
        }
        let destination = Overrides { on_failure: Some(PathBuf::from("d")), ..none() };
        assert!(new(false, &destination).is_ok());
        let needless = Overrides { starting_position_timestamp: Some(1), ..none() };
        check(false, &needless, "a timestamp is for the starting position AT_TIMESTAMP only");
    }
}
