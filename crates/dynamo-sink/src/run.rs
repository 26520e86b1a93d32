//! A function's life: settings, tables, then one invocation after the other.

use std::{
    cell::Cell,
    mem,
    panic::{self, AssertUnwindSafe},
    pin::pin,
    task::Poll,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_config::{BehaviorVersion, retry::RetryConfig};
use lambda_runtime::{
    Context, LambdaEvent, LambdaInvocation, Runtime, service_fn, tower::util::MapRequestLayer,
};
use tokio::sync::Mutex;
use tracing::{Instrument as _, level_filters::LevelFilter};
use tracing_subscriber::{filter::Targets, layer::SubscriberExt as _};

use crate::{
    batch::handler::{Handler, InvocationError, Response},
    edge::{
        connection::{Connection, ConnectionError},
        dynamodb::{Description, describe},
        trouble::with_causes,
    },
    settings::{Settings, SettingsError},
    sink::Sink,
};

/// What Lambda gives an invocation at most. A deadline beyond it is due to a clock that is wrong.
const LONGEST_TIME: Duration = Duration::from_mins(15);

/// The time for looking at the tables before the first invocation.
const CHECK_TIME: Duration = Duration::from_secs(3);

/// The keys of all tables, as [`Description::Keys`] says them.
const KEYS: &str = "PK (S, HASH), SK (S, RANGE)";

/// Why a function does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Occurs when a setting is missing or malformed.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Occurs when it cannot be known where DynamoDB is, or who calls it.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// Occurs when a table does not exist.
    #[error("table `{table}` does not exist in this account and region")]
    MissingTable {
        /// The table's name.
        table: String,
    },
    /// Occurs when a table's keys are not the sink's.
    #[error("table `{table}` has the key schema {found}: expected {KEYS}")]
    KeySchema {
        /// The table's name.
        table: String,
        /// Its keys.
        found: String,
    },
    /// Occurs when the program is started by hand.
    #[error(
        "`AWS_LAMBDA_RUNTIME_API` is not set: this is a Lambda function, started by Lambda, `sinkctl demo` or `cargo \
         lambda`"
    )]
    NoRuntimeApi,
}

/// Runs `sink` as a Lambda function until the environment ends.
///
/// A setting or a table that is not as it should be ends it before the first invocation: the error goes to the Runtime
/// API, to standard error, and back to the caller.
pub async fn run(sink: Sink) -> Result<(), lambda_runtime::Error> {
    match start(sink).await {
        Ok(handler) => {
            let handler = Mutex::new(handler);
            // The payload is set aside before the runtime sees it, which would check and copy it to hand over a value
            // of serde's; the event reads it itself, and once.
            let payload = Cell::default();
            let set_aside = |mut invocation: LambdaInvocation| {
                payload.set(mem::replace(&mut invocation.body, b"null".as_slice().into()));
                invocation
            };
            let service = service_fn(|event: LambdaEvent<()>| {
                invoke(&handler, payload.take(), event.context)
            });
            Runtime::new(service).layer(MapRequestLayer::new(set_aside)).run().await
        }
        Err(error) => {
            report_init_error(&error).await;
            Err(with_causes(&error).into())
        }
    }
}

async fn start(sink: Sink) -> Result<Handler, StartError> {
    let settings = Settings::from_env(&sink)?;
    start_logging(settings.log_level);
    panic::set_hook(Box::new(log_panic));
    // Without retries of its own: tables are described once, and the writer retries inside the invocation's deadline.
    let config =
        aws_config::defaults(BehaviorVersion::latest()).retry_config(RetryConfig::disabled());
    let connection = Connection::new(config).await?;
    check_tables(&connection, &settings).await?;
    if !has_runtime_api() {
        return Err(StartError::NoRuntimeApi);
    }
    Ok(Handler::new(sink, settings, connection))
}

/// The runtime itself and its client panic without one.
fn has_runtime_api() -> bool {
    #[expect(clippy::disallowed_methods, reason = "the runtime reads it too: it is no setting")]
    std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_some()
}

async fn invoke(
    handler: &Mutex<Handler>,
    payload: impl AsRef<[u8]>,
    context: Context,
) -> Result<Response, InvocationError> {
    let mut handler = handler.lock().await;
    let time_left = time_left(Duration::from_millis(context.deadline), handler.now());
    let span = tracing::info_span!("invocation", requestId = context.request_id);
    let landing = handler.land(payload.as_ref(), time_left).instrument(span);
    catch_panic(landing).await.unwrap_or(Err(InvocationError::Panicked))?.answer
}

/// The time until a deadline, which is given since 1970 and by a clock that is right. One in the past is that of an
/// emulator, and says nothing.
fn time_left(deadline: Duration, now: SystemTime) -> Option<Duration> {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let time_left = deadline.checked_sub(now).filter(|left| !left.is_zero());
    time_left.map(|left| left.min(LONGEST_TIME))
}

/// `None` where `future` panics. The runtime would catch it too, but report the panic's message.
async fn catch_panic<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    std::future::poll_fn(|context| {
        let poll = panic::catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)));
        poll.map_or(Poll::Ready(None), |poll| poll.map(Some))
    })
    .await
}

/// Says where the code panicked. The message is only logged where it is a literal: others may quote a record's data.
fn log_panic(panic: &panic::PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string);
    let literal = panic.payload().downcast_ref::<&'static str>();
    tracing::error!(place, reason = literal, "panicked");
}

/// Logs go to standard output, a JSON object a line. Other crates' logs are held at ERROR: at lower levels the SDK and
/// the runtime write whole requests, and with them the records' data; what they warn of is told once it does harm.
fn start_logging(level: LevelFilter) {
    let others = level.min(LevelFilter::ERROR);
    let targets = Targets::new()
        .with_default(others)
        .with_target("dynamo_sink", level)
        .with_target("kafka_event", level);
    let lines = tracing_subscriber::fmt::layer().json().flatten_event(true).with_span_list(false);
    // A second subscriber in one process exists in tests only, and may stay.
    let _ = tracing::subscriber::set_global_default(
        tracing_subscriber::registry().with(targets).with(lines),
    );
}

/// Looks at all tables at once.
async fn check_tables(connection: &Connection, settings: &Settings) -> Result<(), StartError> {
    let check_tombstones = async {
        match &settings.tombstone_table {
            Some(table) => check_table(connection, table).await,
            None => Ok(()),
        }
    };
    tokio::try_join!(
        check_table(connection, &settings.table),
        check_table(connection, &settings.quarantine_table),
        check_tombstones,
    )?;
    Ok(())
}

/// Only what makes every invocation fail keeps the function from starting: the check is a convenience, a role without
/// the permission is a sound choice, and whatever else is wrong may have passed when the first records come.
async fn check_table(connection: &Connection, table: &str) -> Result<(), StartError> {
    match describe(connection, table, CHECK_TIME).await {
        Description::Keys(keys) if keys == KEYS => Ok(()),
        Description::Keys(found) => Err(StartError::KeySchema { table: table.to_owned(), found }),
        Description::Missing => Err(StartError::MissingTable { table: table.to_owned() }),
        Description::Unknown(cause) => {
            tracing::warn!(table, cause, "the table's key schema is not checked");
            Ok(())
        }
    }
}

/// Tells the Runtime API why the function does not start, so that the invocation's caller sees it too. Without one, as
/// when the program is started by hand, standard error has to do.
async fn report_init_error(error: &StartError) {
    if !has_runtime_api() {
        return;
    }
    let error_type = match error {
        StartError::Settings(_) => "Settings",
        StartError::Connection(_) => "Connection",
        StartError::MissingTable { .. } => "MissingTable",
        StartError::KeySchema { .. } => "KeySchema",
        StartError::NoRuntimeApi => "NoRuntimeApi",
    };
    let body = serde_json::json!({"errorType": error_type, "errorMessage": with_causes(error), "stackTrace": []});
    let request = lambda_runtime_api_client::build_request()
        .method("POST")
        .uri("/2018-06-01/runtime/init/error")
        .header("lambda-runtime-function-error-type", format!("Init.{error_type}"))
        .body(body.to_string().into());
    if let (Ok(client), Ok(request)) =
        (lambda_runtime_api_client::Client::builder().build(), request)
    {
        let _ = client.call(request).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_left_until_a_deadline_ahead_and_for_15_minutes_at_most() {
        #[track_caller]
        fn check(deadline: u64, expected: Option<u64>) {
            let now = UNIX_EPOCH + Duration::from_secs(1000);
            let found = time_left(Duration::from_millis(deadline), now);
            assert_eq!(found, expected.map(Duration::from_millis), "{deadline}");
        }

        check(1_060_000, Some(60_000));
        check(1_000_001, Some(1));
        check(1_000_000, None);
        check(0, None);
        check(1_900_000, Some(900_000));
        check(1_900_001, Some(900_000));
        check(u64::MAX, Some(900_000));
    }
}
