//! What a function reads from its environment, once, at start.

use std::{ops::RangeInclusive, str::FromStr, time::Duration};

use tracing::level_filters::LevelFilter;

use crate::{sink::Sink, version::MAX_EPOCH};

/// The table that the items go to: its name, or its ARN where it is another account's or region's. Statements take no
/// ARN, so that each record of such a table goes by a call of its own. Required.
pub const TABLE_NAME: &str = "TABLE_NAME";
/// The table that remembers deletes. Required where the sink has deletes, unknown elsewhere.
pub const TOMBSTONE_TABLE_NAME: &str = "TOMBSTONE_TABLE_NAME";
/// The table that keeps rejected records. Required.
pub const QUARANTINE_TABLE_NAME: &str = "QUARANTINE_TABLE_NAME";
/// The one topic whose records the function accepts. Default: the sink's own.
pub const KAFKA_TOPIC: &str = "KAFKA_TOPIC";
/// The epoch of the records, 0 to 9999999999; see [`crate::version`]. Default: 0.
pub const EPOCH: &str = "EPOCH";
/// `batch`: a failure fails the invocation; `partial`: failed records are named in the answer, which Lambda heeds only
/// if the mapping has `FunctionResponseTypes: [ReportBatchItemFailures]`. Default: `batch`.
pub const RESPONSE_MODE: &str = "RESPONSE_MODE";
/// Conditional statements in one request, 1 to 25; 1 means single-item calls only. Default: 25.
pub const DYNAMODB_STATEMENTS_PER_REQUEST: &str = "DYNAMODB_STATEMENTS_PER_REQUEST";
/// Requests in flight at most for each table, 1 to 256; throttling of that table lowers it for a while. Default: 8, or
/// 32 where each is for a single item.
pub const DYNAMODB_MAX_CONCURRENCY: &str = "DYNAMODB_MAX_CONCURRENCY";
/// Days until a tombstone expires, or `unlimited`. It must outlive the retention of the topic, of the quarantine and of
/// the on-failure destination. Default: 365. Read where the sink has deletes, unknown elsewhere.
pub const TOMBSTONE_RETENTION_DAYS: &str = "TOMBSTONE_RETENTION_DAYS";
/// Days until a quarantined record expires, or `unlimited`. Default: 90.
pub const QUARANTINE_RETENTION_DAYS: &str = "QUARANTINE_RETENTION_DAYS";
/// `true` keeps the `schema` member that Kafka Connect's JSON converter adds to each value. Default: `false`.
/// Read where [`Sink::has_connect_schema`] is set, unknown elsewhere.
pub const KEEP_CONNECT_SCHEMA: &str = "KEEP_CONNECT_SCHEMA";
/// The deployment's stage, a dimension of the metrics. Default: `local`.
pub const STAGE: &str = "STAGE";
/// Lambda's own variable for the level of structured logs: TRACE, DEBUG, INFO, WARN, ERROR or FATAL. Default: INFO.
pub const AWS_LAMBDA_LOG_LEVEL: &str = "AWS_LAMBDA_LOG_LEVEL";
/// Lambda's own variable for the function's name, a dimension of the metrics. Default: the sink's name.
pub const AWS_LAMBDA_FUNCTION_NAME: &str = "AWS_LAMBDA_FUNCTION_NAME";

/// A function's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// See [`TABLE_NAME`].
    pub table: String,
    /// See [`TOMBSTONE_TABLE_NAME`]; present exactly where the sink has deletes.
    pub tombstone_table: Option<String>,
    /// See [`QUARANTINE_TABLE_NAME`].
    pub quarantine_table: String,
    /// See [`KAFKA_TOPIC`].
    pub topic: String,
    /// See [`EPOCH`].
    pub epoch: u64,
    /// See [`RESPONSE_MODE`].
    pub response_mode: ResponseMode,
    /// See [`DYNAMODB_STATEMENTS_PER_REQUEST`].
    pub statements_per_request: usize,
    /// See [`DYNAMODB_MAX_CONCURRENCY`].
    pub max_concurrency: usize,
    /// See [`TOMBSTONE_RETENTION_DAYS`]; `None` is unlimited, and what a sink without deletes has.
    pub tombstone_retention: Option<Duration>,
    /// See [`QUARANTINE_RETENTION_DAYS`]; `None` is unlimited.
    pub quarantine_retention: Option<Duration>,
    /// See [`KEEP_CONNECT_SCHEMA`]; `false` where there is none.
    pub keep_connect_schema: bool,
    /// See [`STAGE`].
    pub stage: String,
    /// See [`AWS_LAMBDA_LOG_LEVEL`].
    pub log_level: LevelFilter,
    /// See [`AWS_LAMBDA_FUNCTION_NAME`].
    pub function_name: String,
}

/// How failed records are reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseMode {
    /// A failure fails the invocation, so that Lambda retries the whole batch.
    Batch,
    /// The answer names the failed records.
    Partial,
}

/// Why a function refuses to start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Occurs when a required variable is not set or empty.
    #[error("environment variable `{variable}` is not set: expected {accepted}")]
    Missing {
        /// The variable.
        variable: &'static str,
        /// What it may hold.
        accepted: &'static str,
    },
    /// Occurs when a variable holds something else than it may.
    #[error("environment variable `{variable}` is `{found}`: expected {accepted}")]
    Malformed {
        /// The variable.
        variable: &'static str,
        /// What it holds.
        found: String,
        /// What it may hold.
        accepted: &'static str,
    },
    /// Occurs when a variable holds bytes that are no Unicode text.
    #[error("environment variable `{variable}` is not valid Unicode")]
    NotUnicode {
        /// The variable.
        variable: &'static str,
    },
    /// Occurs when two variables name one table: its items would be taken for each other's.
    #[error(
        "environment variables `{first}` and `{second}` both are `{table}`: expected a table of its own for each"
    )]
    SameTable {
        /// One of the variables.
        first: &'static str,
        /// The other.
        second: &'static str,
        /// The table's name.
        table: String,
    },
    /// Occurs when a tombstone would expire before a quarantined older state of its key.
    #[error(
        "`{TOMBSTONE_RETENTION_DAYS}` must be greater than `{QUARANTINE_RETENTION_DAYS}`: an old record that is redriven \
         from the quarantine after its key's tombstone expired would bring the deleted item back"
    )]
    TombstoneBeforeQuarantine,
}

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

    /// Whether conditional statements may be used: they take no ARN in place of a table's name.
    pub(crate) fn may_use_statements(&self) -> bool {
        let is_arn = |table: &String| table.starts_with("arn:");
        let tables = [Some(&self.table), self.tombstone_table.as_ref()];
        self.statements_per_request > 1 && !tables.into_iter().flatten().any(is_arn)
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

#[cfg(test)]
mod tests;
