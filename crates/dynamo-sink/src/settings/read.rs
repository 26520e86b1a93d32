//! Reads settings, strictly: a variable that says something else than it may is an error.

use std::{ops::RangeInclusive, str::FromStr, time::Duration};

use tracing::level_filters::LevelFilter;

use super::{
    AWS_LAMBDA_FUNCTION_NAME, AWS_LAMBDA_LOG_LEVEL, DYNAMODB_MAX_CONCURRENCY,
    DYNAMODB_STATEMENTS_PER_REQUEST, EPOCH, KAFKA_TOPIC, KEEP_CONNECT_SCHEMA,
    QUARANTINE_RETENTION_DAYS, QUARANTINE_TABLE_NAME, RESPONSE_MODE, ResponseMode, STAGE, Settings,
    SettingsError, TABLE_NAME, TOMBSTONE_RETENTION_DAYS, TOMBSTONE_TABLE_NAME,
};
use crate::{order::version::MAX_EPOCH, sink::Sink};

impl Settings {
    /// Reads the process's environment.
    pub fn from_env(sink: &Sink) -> Result<Self, SettingsError> {
        Self::read(sink, |variable| {
            #[expect(
                clippy::disallowed_methods,
                reason = "this is the one place that reads settings"
            )]
            match std::env::var(variable) {
                Ok(value) => Ok(Some(value)),
                Err(std::env::VarError::NotPresent) => Ok(None),
                Err(std::env::VarError::NotUnicode(_)) => {
                    Err(SettingsError::NotUnicode { variable })
                }
            }
        })
    }

    /// Reads variables from `lookup`.
    pub fn read(
        sink: &Sink,
        lookup: impl Fn(&'static str) -> Result<Option<String>, SettingsError>,
    ) -> Result<Self, SettingsError> {
        let variables = Variables { lookup };
        let settings = Self {
            table: variables.required(TABLE_NAME)?,
            tombstone_table: if sink.deletes {
                Some(variables.required(TOMBSTONE_TABLE_NAME)?)
            } else {
                None
            },
            quarantine_table: variables.required(QUARANTINE_TABLE_NAME)?,
            topic: variables.text(KAFKA_TOPIC, sink.topic)?,
            epoch: variables.number(
                EPOCH,
                0,
                0..=MAX_EPOCH,
                "a whole number from 0 to 9999999999",
            )?,
            response_mode: variables.choice(
                RESPONSE_MODE,
                ResponseMode::Batch,
                &[("batch", ResponseMode::Batch), ("partial", ResponseMode::Partial)],
                "`batch` or `partial`",
            )?,
            statements_per_request: variables.statements_per_request()?,
            max_concurrency: variables.max_concurrency()?,
            tombstone_retention: if sink.deletes {
                variables.retention(TOMBSTONE_RETENTION_DAYS, 365)?
            } else {
                None
            },
            quarantine_retention: variables.retention(QUARANTINE_RETENTION_DAYS, 90)?,
            keep_connect_schema: sink.has_connect_schema
                && variables.choice(
                    KEEP_CONNECT_SCHEMA,
                    false,
                    &[("true", true), ("false", false)],
                    "`true` or `false`",
                )?,
            stage: variables.text(STAGE, "local")?,
            log_level: variables.choice(
                AWS_LAMBDA_LOG_LEVEL,
                LevelFilter::INFO,
                &[
                    ("TRACE", LevelFilter::TRACE),
                    ("DEBUG", LevelFilter::DEBUG),
                    ("INFO", LevelFilter::INFO),
                    ("WARN", LevelFilter::WARN),
                    ("ERROR", LevelFilter::ERROR),
                    ("FATAL", LevelFilter::ERROR),
                ],
                "`TRACE`, `DEBUG`, `INFO`, `WARN`, `ERROR` or `FATAL`",
            )?,
            function_name: variables.text(AWS_LAMBDA_FUNCTION_NAME, sink.name)?,
        };
        settings.check()
    }

    fn check(self) -> Result<Self, SettingsError> {
        let tombstone_table = self.tombstone_table.as_ref();
        for (first, second, tables) in [
            (TABLE_NAME, QUARANTINE_TABLE_NAME, (Some(&self.table), Some(&self.quarantine_table))),
            (TABLE_NAME, TOMBSTONE_TABLE_NAME, (Some(&self.table), tombstone_table)),
            (
                TOMBSTONE_TABLE_NAME,
                QUARANTINE_TABLE_NAME,
                (tombstone_table, Some(&self.quarantine_table)),
            ),
        ] {
            if let (Some(table), Some(other)) = tables
                && may_be_same_table(table, other)
            {
                return Err(SettingsError::SameTable { first, second, table: table.clone() });
            }
        }
        let is_outlived = match (self.quarantine_retention, self.tombstone_retention) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(quarantine), Some(tombstone)) => quarantine < tombstone,
        };
        if self.tombstone_table.is_none() || is_outlived {
            return Ok(self);
        }
        Err(SettingsError::TombstoneBeforeQuarantine)
    }
}

/// The name becomes part of a statement's text, so nothing else may pass.
fn is_table_name(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    (3..=255).contains(&text.len()) && text.bytes().all(is_allowed)
}

fn is_table_arn(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let ["arn", partition, "dynamodb", region, account, table] = parts[..] else { return false };
    let is_word = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    is_word(partition)
        && is_word(region)
        && account.len() == 12
        && account.bytes().all(|byte| byte.is_ascii_digit())
        && table.strip_prefix("table/").is_some_and(is_table_name)
}

/// Whether both may be the same table: of a name it is not known which account and region it is in.
fn may_be_same_table(one: &str, other: &str) -> bool {
    let is_of = |arn: &str, name: &str| {
        is_table_name(name) && arn.rsplit_once("table/").is_some_and(|(_, it)| it == name)
    };
    one == other || is_of(one, other) || is_of(other, one)
}

struct Variables<F> {
    lookup: F,
}

impl<F: Fn(&'static str) -> Result<Option<String>, SettingsError>> Variables<F> {
    fn required(&self, variable: &'static str) -> Result<String, SettingsError> {
        let accepted = "the name of a DynamoDB table";
        let value = self.find(variable)?.ok_or(SettingsError::Missing { variable, accepted })?;
        if is_table_name(&value) || is_table_arn(&value) {
            return Ok(value);
        }
        let accepted =
            "the name of a DynamoDB table (3 to 255 of a-z, A-Z, 0-9, `_`, `-` and `.`) or its ARN";
        Err(SettingsError::Malformed { variable, found: value, accepted })
    }

    fn statements_per_request(&self) -> Result<usize, SettingsError> {
        let accepted = "a whole number from 1 to 25";
        self.number(DYNAMODB_STATEMENTS_PER_REQUEST, 25, 1..=25, accepted)
    }

    fn max_concurrency(&self) -> Result<usize, SettingsError> {
        self.number(DYNAMODB_MAX_CONCURRENCY, 64, 1..=256, "a whole number from 1 to 256")
    }

    fn text(&self, variable: &'static str, default: &str) -> Result<String, SettingsError> {
        Ok(self.find(variable)?.unwrap_or_else(|| default.to_owned()))
    }

    fn number<T: FromStr + PartialOrd>(
        &self,
        variable: &'static str,
        default: T,
        range: RangeInclusive<T>,
        accepted: &'static str,
    ) -> Result<T, SettingsError> {
        let Some(found) = self.find(variable)? else { return Ok(default) };
        match found.parse::<T>() {
            Ok(number) if range.contains(&number) => Ok(number),
            _ => Err(SettingsError::Malformed { variable, found, accepted }),
        }
    }

    fn choice<T: Copy>(
        &self,
        variable: &'static str,
        default: T,
        choices: &[(&str, T)],
        accepted: &'static str,
    ) -> Result<T, SettingsError> {
        let Some(found) = self.find(variable)? else { return Ok(default) };
        match choices.iter().find(|(name, _)| name.eq_ignore_ascii_case(&found)) {
            Some(&(_, choice)) => Ok(choice),
            None => Err(SettingsError::Malformed { variable, found, accepted }),
        }
    }

    fn retention(
        &self,
        variable: &'static str,
        default_days: u64,
    ) -> Result<Option<Duration>, SettingsError> {
        const SECONDS_PER_DAY: u64 = 24 * 60 * 60;
        if self.find(variable)?.as_deref() == Some("unlimited") {
            return Ok(None);
        }
        let accepted = "a whole number of days from 1 to 36500, or `unlimited`";
        let days = self.number(variable, default_days, 1..=36_500, accepted)?;
        Ok(Some(Duration::from_secs(days * SECONDS_PER_DAY)))
    }

    /// An empty variable counts as not set: that is what a template's empty parameter becomes.
    fn find(&self, variable: &'static str) -> Result<Option<String>, SettingsError> {
        Ok((self.lookup)(variable)?.filter(|value| !value.is_empty()))
    }
}
