//! What a function reads from its environment, once, at start.

mod read;

use std::time::Duration;

use tracing::level_filters::LevelFilter;

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
/// `batch`: a failure fails the invocation; `partial`: failed records are named in the answer, which Lambda follows
/// only if the mapping has `FunctionResponseTypes: [ReportBatchItemFailures]`. Default: `batch`.
pub const RESPONSE_MODE: &str = "RESPONSE_MODE";
/// Conditional statements in one request, 1 to 25; 1 means single-item calls only. Default: 25.
pub const DYNAMODB_STATEMENTS_PER_REQUEST: &str = "DYNAMODB_STATEMENTS_PER_REQUEST";
/// Requests in flight at most for each table, 1 to 256; throttling of that table lowers it for a while. Default: 64.
pub const DYNAMODB_MAX_CONCURRENCY: &str = "DYNAMODB_MAX_CONCURRENCY";
/// Days until a tombstone expires, or `unlimited`. It must outlive the retention of the topic, of the quarantine and of
/// the on-failure destination. Default: 365. Read where the sink has deletes, unknown elsewhere.
pub const TOMBSTONE_RETENTION_DAYS: &str = "TOMBSTONE_RETENTION_DAYS";
/// Days until a quarantined record expires, or `unlimited`. Default: 90.
pub const QUARANTINE_RETENTION_DAYS: &str = "QUARANTINE_RETENTION_DAYS";
/// `true` keeps the `schema` member that Kafka Connect's JSON converter adds to each value. Default: `false`.
/// Read where [`crate::sink::Sink::has_connect_schema`] is set, unknown elsewhere.
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

impl Settings {
    /// Whether conditional statements may be used: they take no ARN in place of a table's name.
    pub(crate) fn may_use_statements(&self) -> bool {
        let is_arn = |table: &String| table.starts_with("arn:");
        let tables = [Some(&self.table), self.tombstone_table.as_ref()];
        self.statements_per_request > 1 && !tables.into_iter().flatten().any(is_arn)
    }
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

#[cfg(test)]
mod tests;
