//! The functions' real binaries behind the local Runtime API.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::LazyLock,
    time::Duration,
};

use dynamo_sink::{
    outcome::{Metric, metrics},
    sink::Sink,
};
use local::{
    SINKS,
    build::{Profile, Programs},
    events::{self, SampleEvent},
    function::{FunctionSettings, Invocation, LocalFunction},
    runtime_api::Answer,
};
use serde_json::Value;

use super::template;

/// The functions' programs, built once for all tests, or built before by `sam build`.
static PROGRAMS: LazyLock<BTreeMap<String, PathBuf>> = LazyLock::new(|| {
    let programs = build_directory().map_or(Programs::Cargo(Profile::Dev), Programs::SamBuild);
    programs.find(&root(), &template().functions).unwrap_or_else(|error| panic!("{error}"))
});

/// Where `sam build` left the programs to test: `COMPARE_CONNECTOR_TEST_BUILD_DIR`, relative to the workspace or
/// absolute.
pub(crate) fn build_directory() -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "a setting of the tests, not of the functions")]
    let directory = std::env::var_os("COMPARE_CONNECTOR_TEST_BUILD_DIR")?;
    Some(root().join(directory))
}

/// The workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A sink's program.
pub(crate) fn program(sink: &Sink) -> PathBuf {
    PROGRAMS[sink.name].clone()
}

/// How a sink's function runs with the tables at `endpoint`, with `changes` to its variables.
pub(crate) fn function_settings(
    sink: &Sink,
    endpoint: &str,
    changes: &[(&str, &str)],
) -> FunctionSettings {
    let functions = template().functions;
    let function = functions.iter().find(|function| function.binary == sink.name).unwrap();
    let mut settings = FunctionSettings::local(function, program(sink), endpoint);
    let changes = changes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    settings.variables.extend(changes);
    // The tests share few processors.
    settings.timeout = Duration::from_mins(5);
    settings
}

/// A sink's function with the tables at `endpoint`, with `changes` to its variables.
pub(crate) fn function(sink: &Sink, endpoint: &str, changes: &[(&str, &str)]) -> LocalFunction {
    LocalFunction::new(function_settings(sink, endpoint, changes))
}

/// As [`function`], with another timeout.
pub(crate) fn function_within(
    timeout: Duration,
    sink: &Sink,
    endpoint: &str,
    changes: &[(&str, &str)],
) -> LocalFunction {
    LocalFunction::new(FunctionSettings { timeout, ..function_settings(sink, endpoint, changes) })
}

/// Time enough for a small batch, and for a fault to be found to last.
pub(crate) const SHORT: Duration = Duration::from_secs(4);

/// The sample events, each with the sink that it is for.
pub(crate) fn samples() -> Vec<(Sink, SampleEvent)> {
    let samples = events::read(&root().join("events"), &template().functions).unwrap();
    let sink_of = |sample: SampleEvent| {
        let sink = SINKS.into_iter().find(|sink| sink.name == sample.binary).unwrap();
        (sink, sample)
    };
    samples.into_iter().map(sink_of).collect()
}

/// The answer to a batch of which no record failed.
pub(crate) fn no_failures() -> Answer {
    Answer::Success(r#"{"batchItemFailures":[]}"#.into())
}

/// What a function reported as an error: type and message.
#[track_caller]
pub(crate) fn function_error(answer: &Answer) -> (&str, &str) {
    match answer {
        Answer::FunctionError(error) => (&error.error_type, &error.error_message),
        other => panic!("no error: {other:?}"),
    }
}

/// The lines of an invocation that report a batch.
pub(crate) fn batch_lines(invocation: &Invocation) -> Vec<Value> {
    let lines = invocation.log.iter().map(|line| serde_json::from_str::<Value>(line));
    lines.filter_map(Result::ok).filter(|line| line["message"] == "batch").collect()
}

/// The counts of an invocation's one batch that are not zero, such as `received 3, written 2, duplicate 1`.
#[track_caller]
pub(crate) fn counts(invocation: &Invocation) -> String {
    let lines = batch_lines(invocation);
    let [line] = lines.as_slice() else {
        panic!("{} batch lines in {:#?}: {:?}", lines.len(), invocation.log, invocation.answer)
    };
    let names = metrics().filter(Metric::counts_records).map(|metric| metric.name);
    let counts = names.map(|name| (name, line[name].as_u64().unwrap()));
    let counts = counts.filter(|(_, count)| *count > 0);
    counts.map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
}

/// The function of the third sink, which panics on values that are not good, on the Appian table.
pub(crate) fn panicking_function(endpoint: &str, changes: &[(&str, &str)]) -> LocalFunction {
    let settings = function_settings(&sink_appian_data::SINK, endpoint, changes);
    let mut settings = FunctionSettings {
        name: "compare-connector-local-panickingSink".to_owned(),
        executable: PathBuf::from(env!("CARGO_BIN_EXE_panickingSink")),
        ..settings
    };
    settings.variables.insert("KAFKA_TOPIC".to_owned(), "panicking".to_owned());
    LocalFunction::new(settings)
}
