//! What a mapping does, from the template and the flags that override it.

use std::time::Duration;

use local::template::{Mapping, StartingPosition};

use super::attempt::{PartialRetry, Policy};

/// A mapping's settings, within what Lambda accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappingSettings {
    /// The topic.
    pub topic: String,
    /// The consumer group.
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// The consumer group.
    pub group: Option<String>,
    /// Where a group begins without offsets.
    pub starting_position: Option<StartingPosition>,
    /// The most records of a batch.
    pub batch_size: Option<u64>,
    /// How long a batch's first record waits for more, in seconds.
    pub batching_window: Option<u64>,
    /// How often a batch is tried again; -1 is without end.
    pub maximum_retry_attempts: Option<i64>,
    /// The age in seconds above which a record is given up; -1 is any age.
    pub maximum_record_age: Option<i64>,
    /// Whether a batch that failed is split in two.
    pub bisect_batch_on_function_error: Option<bool>,
    /// Whether the function's answer is read.
    pub report_batch_item_failures: Option<bool>,
    /// What is sent again after the function named the records that failed.
    pub partial_retry: Option<PartialRetry>,
    /// Whether what is given up goes somewhere.
    pub has_destination: bool,
}

/// Why Lambda would not accept a mapping.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// Occurs when a number is out of its range.
    #[error("`{mapping}`: {setting} is {found}, Lambda accepts {accepted}")]
    OutOfRange {
        /// The mapping's logical id.
        mapping: String,
        /// The setting's name.
        setting: &'static str,
        /// What it is.
        found: i64,
        /// What it may be.
        accepted: &'static str,
    },
    /// Occurs when a setting is given that Lambda accepts in provisioned mode only.
    #[error(
        "`{mapping}`: Lambda accepts {setting} in provisioned mode only, as `--parameter PollerMode=provisioned` sets it"
    )]
    NotProvisioned {
        /// The mapping's logical id.
        mapping: String,
        /// The setting's name.
        setting: &'static str,
    },
}

impl MappingSettings {
    /// The mapping's settings.
    pub fn new(mapping: &Mapping, overrides: &Overrides) -> Result<Self, SettingsError> {
        let out_of_range = |setting, found, accepted| SettingsError::OutOfRange {
            mapping: mapping.logical_id.clone(),
            setting,
            found,
            accepted,
        };
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let checked = |setting, found: i64, is_accepted: bool, accepted| {
            if is_accepted { Ok(found) } else { Err(out_of_range(setting, found, accepted)) }
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
            if is_set && !mapping.is_provisioned {
                let mapping = mapping.logical_id.clone();
                return Err(SettingsError::NotProvisioned { mapping, setting });
            }
        }
        let group = overrides.group.clone().or_else(|| mapping.consumer_group.clone());
        Ok(Self {
            topic: mapping.topic.clone(),
            // Lambda would make one up, which would begin anew with each start here.
            group: group.unwrap_or_else(|| format!("sinkctl-{}", mapping.logical_id)),
            starting_position: overrides.starting_position.unwrap_or(mapping.starting_position),
            batch_size: usize::try_from(batch_size).unwrap_or(1),
            batching_window,
            policy: Policy {
                maximum_retry_attempts: u64::try_from(retries).ok(),
                maximum_record_age: u64::try_from(age).ok().map(Duration::from_secs),
                bisects_batch_on_function_error: bisects,
                reports_batch_item_failures: reports,
                partial_retry: overrides.partial_retry.unwrap_or(PartialRetry::Listed),
                has_destination: overrides.has_destination,
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
            assert_eq!(MappingSettings::new(mapping, overrides).as_ref(), Ok(expected));
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
            starting_position: Some(StartingPosition::TrimHorizon),
            batch_size: Some(10_000),
            batching_window: Some(0),
            maximum_retry_attempts: Some(0),
            maximum_record_age: Some(60),
            bisect_batch_on_function_error: Some(true),
            report_batch_item_failures: Some(true),
            partial_retry: Some(PartialRetry::FromLowest),
            has_destination: true,
        };
        let expected = MappingSettings {
            group: "g".to_owned(),
            starting_position: StartingPosition::TrimHorizon,
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

    #[test]
    fn what_lambda_refuses_is_refused() {
        #[track_caller]
        fn check(is_provisioned: bool, overrides: &Overrides, expected: &str) {
            let settings = MappingSettings::new(&mapping(is_provisioned), overrides);
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
            assert_eq!(MappingSettings::new(&mapping(true), &overrides).err(), None);
        }
        let destination = Overrides { has_destination: true, ..none() };
        assert_eq!(MappingSettings::new(&mapping(false), &destination).err(), None);
    }
}
