//! The flags that override what the template says of a mapping.

use std::{path::PathBuf, time::Duration};

use anyhow::ensure;
use clap::{Args, ValueEnum};
use local::template::{Mapping, StartingPosition};

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

    /// The mapping as it runs here, within what Lambda accepts.
    pub(super) fn apply(&self, declared: &Mapping) -> anyhow::Result<Mapping> {
        let name = &declared.logical_id;
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let batch_size = self.batch_size.unwrap_or(declared.batch_size);
        let batching_window =
            self.batching_window.map_or(declared.batching_window, Duration::from_secs);
        // -1 is no limit.
        let declared_retries = declared.maximum_retry_attempts.map_or(-1, number);
        let retries = self.maximum_retry_attempts.unwrap_or(declared_retries);
        let declared_age = declared.maximum_record_age.map_or(-1, |age| number(age.as_secs()));
        let age = self.maximum_record_age.unwrap_or(declared_age);
        let (size, window) = (number(batch_size), number(batching_window.as_secs()));
        let is_age = age == -1 || (60..=604_800).contains(&age);
        for (setting, found, is_accepted, accepted) in [
            ("BatchSize", size, (1..=10_000).contains(&size), "1 to 10000"),
            ("MaximumBatchingWindowInSeconds", window, window <= 300, "0 to 300"),
            ("MaximumRetryAttempts", retries, (-1..=10_000).contains(&retries), "-1 to 10000"),
            ("MaximumRecordAgeInSeconds", age, is_age, "-1, or 60 to 604800"),
        ] {
            ensure!(is_accepted, "`{name}`: {setting} is {found}, Lambda accepts {accepted}");
        }

        let bisects = self.bisect_batch_on_function_error;
        let bisects = bisects.unwrap_or(declared.bisects_batch_on_function_error);
        let reports = self.report_batch_item_failures;
        let reports = reports.unwrap_or(declared.reports_batch_item_failures);
        for (setting, is_set) in [
            ("MaximumRetryAttempts", retries != -1),
            ("MaximumRecordAgeInSeconds", age != -1),
            ("BisectBatchOnFunctionError", bisects),
            ("FunctionResponseTypes", reports),
        ] {
            ensure!(
                !is_set || declared.is_provisioned,
                "`{name}`: Lambda accepts {setting} in provisioned mode only, as `--parameter PollerMode=provisioned` \
                 sets it"
            );
        }
        let group = self.group.as_ref().or(declared.consumer_group.as_ref());
        Ok(Mapping {
            // Lambda would make one up, which would begin again with each start here.
            consumer_group: Some(group.map_or_else(|| format!("sinkctl-{name}"), Clone::clone)),
            starting_position: self.starting_position()?.unwrap_or(declared.starting_position),
            batch_size,
            batching_window,
            reports_batch_item_failures: reports,
            bisects_batch_on_function_error: bisects,
            maximum_retry_attempts: u64::try_from(retries).ok(),
            maximum_record_age: u64::try_from(age).ok().map(Duration::from_secs),
            has_destination: self.on_failure.is_some(),
            ..declared.clone()
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
        fn check(mapping: &Mapping, overrides: &Overrides, expected: &Mapping) {
            assert_eq!(&overrides.apply(mapping).unwrap(), expected);
        }

        // The template's destination is not used here.
        let defaults = |is_provisioned| Mapping {
            consumer_group: Some("sinkctl-M".to_owned()),
            has_destination: false,
            ..mapping(is_provisioned)
        };
        check(&mapping(false), &Overrides::default(), &defaults(false));
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
        let expected = Mapping {
            consumer_group: Some("g".to_owned()),
            starting_position: StartingPosition::AtTimestamp(7),
            batch_size: 10_000,
            batching_window: Duration::ZERO,
            maximum_retry_attempts: Some(0),
            maximum_record_age: Some(Duration::from_mins(1)),
            bisects_batch_on_function_error: true,
            reports_batch_item_failures: true,
            ..mapping(true)
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
        let kept = Mapping { has_destination: false, ..of_template.clone() };
        check(&of_template, &Overrides::default(), &kept);
        let off = Overrides {
            maximum_retry_attempts: Some(-1),
            maximum_record_age: Some(-1),
            bisect_batch_on_function_error: Some(false),
            report_batch_item_failures: Some(false),
            ..Overrides::default()
        };
        let expected = Mapping { consumer_group: Some("g".to_owned()), ..defaults(true) };
        check(&of_template, &off, &expected);
    }

    #[test]
    fn what_lambda_refuses_is_refused() {
        #[track_caller]
        fn check(is_provisioned: bool, overrides: &Overrides, expected: &str) {
            let applied = overrides.apply(&mapping(is_provisioned));
            assert_eq!(applied.unwrap_err().to_string(), expected);
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
            assert!(overrides.apply(&mapping(true)).is_ok());
        }
        let destination = Overrides { on_failure: Some(PathBuf::from("d")), ..none() };
        assert!(destination.apply(&mapping(false)).is_ok());
        let needless = Overrides { starting_position_timestamp: Some(1), ..none() };
        check(false, &needless, "a timestamp is for the starting position AT_TIMESTAMP only");
    }
}
