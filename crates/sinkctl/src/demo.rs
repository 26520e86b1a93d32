//! The demonstration: every sample event through the functions' binaries, twice.

mod outcome;
mod show;
mod snapshot;

use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::task::{JoinError, JoinSet};

use local::{
    build::{BuildError, Programs},
    dynamodb::{DynamoDbError, LocalDynamoDb, Storage, without_streams},
    events::{self, EventsError, SampleEvent},
    function::{FunctionSettings, Invocation, LocalFunction, LocalFunctionError},
    template::{LOCAL_STAGE, Template, TemplateError},
};
use outcome::Outcome;
use snapshot::{Change, Snapshot};

use crate::text::{counted, write_rest};

/// The variable by which functions are told the quarantine's table.
const QUARANTINE_TABLE_NAME: &str = "QUARANTINE_TABLE_NAME";

/// What to demonstrate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demo {
    /// The template; the workspace is its directory.
    pub template: PathBuf,
    /// The directory of the sample events.
    pub events: PathBuf,
    /// The functions' programs.
    pub programs: Programs,
    /// How many environments a function may have at once.
    pub environments: usize,
}

/// Why a demonstration failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DemoError {
    /// Occurs when the template cannot be read.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// Occurs when the sample events cannot be read.
    #[error(transparent)]
    Events(#[from] EventsError),
    /// Occurs when the functions cannot be built, or were not.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// Occurs when the embedded `DynamoDB` fails.
    #[error(transparent)]
    DynamoDb(#[from] DynamoDbError),
    /// Occurs when a function cannot be invoked at all.
    #[error(transparent)]
    Function(#[from] LocalFunctionError),
    /// Occurs when a task of this program was ended.
    #[error("an invocation was not finished")]
    Task(#[from] JoinError),
    /// Occurs when the report cannot be written.
    #[error("cannot write the report")]
    Write(#[from] io::Error),
    /// Occurs when invocations did not succeed; the report says which.
    #[error("{} failed", counted(*failed, "invocation"))]
    Failed {
        /// How many.
        failed: usize,
    },
    /// Occurs when the second round changed something; the report says what.
    #[error("the second round changed {}: it should have changed nothing", counted(*changes, "item"))]
    Changed {
        /// How many items.
        changes: usize,
    },
}

/// Builds or finds the functions, sends them every event, and then again, and reports on `out` what came of it.
pub async fn run(demo: &Demo, out: &mut dyn Write) -> Result<(), DemoError> {
    let template = Template::read(&demo.template, &[("Stage", LOCAL_STAGE)])?;
    let events = events::read(&demo.events, &template.functions)?;
    match &demo.programs {
        Programs::Cargo(_) => {
            let binaries: Vec<_> =
                template.functions.iter().map(|function| function.binary.as_str()).collect();
            writeln!(out, "Building {}", binaries.join(", "))?;
        }
        Programs::SamBuild(directory) => {
            writeln!(out, "The programs are those in {}", directory.display())?;
        }
    }
    let root = demo.template.parent().unwrap_or(Path::new("."));
    let executables = demo.programs.find(root, &template.functions)?;

    let dynamodb =
        LocalDynamoDb::start(Storage::Memory, 0, &without_streams(&template.tables)).await?;
    let tables = counted(template.tables.len(), "table");
    writeln!(out, "DynamoDB with {tables} at {}", dynamodb.endpoint())?;
    let mut functions = BTreeMap::new();
    for function in &template.functions {
        let settings = FunctionSettings {
            max_environments: demo.environments,
            ..FunctionSettings::local(
                function,
                executables[&function.binary].clone(),
                &dynamodb.endpoint(),
            )
        };
        functions.insert(function.binary.as_str(), Arc::new(LocalFunction::new(settings)));
    }

    writeln!(
        out,
        "\nRound 1: every event, up to {} at a time for each function\n",
        demo.environments
    )?;
    let mut failed = send(&events, &functions, out).await?;
    let before = snapshot(&template, &dynamodb)?;

    writeln!(out, "\nRound 2: every event again\n")?;
    failed += send(&events, &functions, out).await?;
    let after = snapshot(&template, &dynamodb)?;

    let quarantine = template
        .functions
        .iter()
        .find_map(|function| function.variables.get(QUARANTINE_TABLE_NAME));
    let changes = snapshot::changes(&before, &after, quarantine.map(String::as_str));
    report_changes(&after, &changes, failed, out)?;
    show::tables(&after, out)?;

    if failed > 0 {
        return Err(DemoError::Failed { failed });
    }
    if !changes.is_empty() {
        return Err(DemoError::Changed { changes: changes.len() });
    }
    writeln!(
        out,
        "\nAll {} invocations succeeded, and the second round changed nothing.",
        2 * events.len()
    )?;
    Ok(())
}

/// Sends each event to its function, reports the answers in the events' order, and returns how many failed.
async fn send(
    events: &[SampleEvent],
    functions: &BTreeMap<&str, Arc<LocalFunction>>,
    out: &mut dyn Write,
) -> Result<usize, DemoError> {
    let mut tasks = JoinSet::new();
    for (position, event) in events.iter().enumerate() {
        let function = Arc::clone(&functions[event.binary.as_str()]);
        let payload = event.payload.clone();
        tasks.spawn(async move { (position, function.invoke(payload).await) });
    }
    let mut invocations = BTreeMap::new();
    while let Some(ended) = tasks.join_next().await {
        let (position, invocation) = ended?;
        invocations.insert(position, invocation?);
    }
    let mut failed = 0;
    for (position, invocation) in &invocations {
        let outcome = outcome::of(invocation);
        failed += usize::from(!outcome.succeeded);
        report_invocation(&events[*position], invocation, &outcome, out)?;
    }
    Ok(failed)
}

fn report_invocation(
    event: &SampleEvent,
    invocation: &Invocation,
    outcome: &Outcome,
    out: &mut dyn Write,
) -> io::Result<()> {
    let records =
        event.records().map_or_else(|| "unknown records".to_owned(), |it| counted(it, "record"));
    let start = if invocation.cold_start { ", cold start" } else { "" };
    writeln!(
        out,
        "  {} -> {}: {records}, {} ms{start}",
        event.file,
        event.binary,
        invocation.duration.as_millis()
    )?;
    writeln!(out, "    answer: {}", outcome.answer)?;
    match &outcome.counts {
        Some(counts) => writeln!(out, "    {}", show::counts(counts))?,
        None => writeln!(out, "    the function logged no outcome")?,
    }
    if !outcome.succeeded {
        writeln!(out, "    FAILED; the end of its log:")?;
        let skipped = invocation.log.len().saturating_sub(show::MAX_LOG_LINES);
        for line in &invocation.log[skipped..] {
            writeln!(out, "      {}", show::shorten(line, show::MAX_LOG_LINE))?;
        }
    }
    Ok(())
}

fn snapshot(template: &Template, dynamodb: &LocalDynamoDb) -> Result<Snapshot, DynamoDbError> {
    let tables =
        template.tables.iter().map(|table| Ok((table.name.clone(), dynamodb.items(&table.name)?)));
    tables.collect()
}

fn report_changes(
    after: &Snapshot,
    changes: &[Change],
    failed: usize,
    out: &mut dyn Write,
) -> io::Result<()> {
    if failed > 0 {
        writeln!(out, "\n{} FAILED", counted(failed, "INVOCATION"))?;
    }
    if changes.is_empty() {
        let items: usize = after.values().map(Vec::len).sum();
        return writeln!(
            out,
            "\nThe second round changed nothing: {} in {} are what they were; only the quarantine \
             counted another attempt for each record that is in it.",
            counted(items, "item"),
            counted(after.len(), "table")
        );
    }
    writeln!(out, "\nTHE SECOND ROUND CHANGED {}:", counted(changes.len(), "ITEM"))?;
    for change in changes.iter().take(show::MAX_CHANGES) {
        writeln!(out, "  {change}")?;
    }
    write_rest(changes.len(), show::MAX_CHANGES, "", out)
}
