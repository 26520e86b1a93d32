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

use anyhow::ensure;
use clap::Args;
use dynamo_sink::settings::QUARANTINE_TABLE_NAME;

use local::{
    build::Programs,
    dynamodb::{LocalDynamoDb, Storage, without_streams},
    events::{self, SampleEvent},
    function::{FunctionSettings, Invocation, LocalFunction},
    template::{LOCAL_STAGE, Template},
};
use snapshot::Snapshot;

use crate::{
    arguments::{at_least_one, programs},
    text::{counted, write_rest},
};

pub const EXAMPLES: &str = "\
Examples:
  sinkctl demo
  sinkctl demo --environments 1        one event at a time
  sinkctl demo --release --events DIR  other events, as fast as on Lambda
  sinkctl demo --build-dir .aws-sam/build  the programs that are deployed

Exit status: 0 when all went well, 1 when an invocation failed, the second round changed anything, or it could not run.";

#[derive(Args, Clone, Debug)]
pub struct Demo {
    /// Build the functions as they are deployed.
    #[arg(long)]
    release: bool,
    /// Run what `sam build` left in this directory, usually `.aws-sam/build`, instead of building.
    #[arg(long, value_name = "DIR", conflicts_with = "release")]
    build_dir: Option<PathBuf>,
    /// How many environments a function may have at once.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = at_least_one)]
    environments: usize,
    /// The sample events [default: `events` beside the template].
    #[arg(long, value_name = "DIR")]
    events: Option<PathBuf>,
}

/// Builds or finds the functions, sends them every event, and then again, and reports on `out` what came of it.
pub async fn run(demo: Demo, template: &Path, out: &mut dyn Write) -> anyhow::Result<()> {
    let workspace = template.parent().unwrap_or(Path::new("."));
    let template = Template::read(template, &[("Stage", LOCAL_STAGE)])?;
    let events = demo.events.unwrap_or_else(|| workspace.join("events"));
    let events = events::read(&events, &template.functions)?;
    let programs = programs(demo.release, demo.build_dir);
    match &programs {
        Programs::Cargo(_) => {
            let binaries: Vec<_> = template.functions.iter().map(|it| it.binary.as_str()).collect();
            writeln!(out, "Building {}", binaries.join(", "))?;
        }
        Programs::SamBuild(directory) => {
            writeln!(out, "The programs are those in {}", directory.display())?;
        }
    }
    let executables = programs.find(workspace, &template.functions)?;

    let dynamodb =
        LocalDynamoDb::start(Storage::Memory, 0, &without_streams(&template.tables)).await?;
    let tables = counted(template.tables.len(), "table");
    writeln!(out, "DynamoDB with {tables} at {}", dynamodb.endpoint())?;
    let mut functions = BTreeMap::new();
    for function in &template.functions {
        let executable = executables[&function.binary].clone();
        let settings = FunctionSettings {
            max_environments: demo.environments,
            ..FunctionSettings::local(function, executable, &dynamodb.endpoint())
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

    let mut functions = template.functions.iter();
    let quarantine = functions.find_map(|it| it.variables.get(QUARANTINE_TABLE_NAME));
    let changes = snapshot::changes(&before, &after, quarantine.map(String::as_str));
    report_changes(&after, &changes, failed, out)?;
    show::tables(&after, out)?;

    ensure!(failed == 0, "{} failed", counted(failed, "invocation"));
    ensure!(
        changes.is_empty(),
        "the second round changed {}: it should have changed nothing",
        counted(changes.len(), "item")
    );
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
) -> anyhow::Result<usize> {
    let invoke = |event: &SampleEvent| {
        let function = Arc::clone(&functions[event.binary.as_str()]);
        let payload = event.payload.clone();
        tokio::spawn(async move { function.invoke(payload).await })
    };
    let tasks: Vec<_> = events.iter().map(invoke).collect();
    let mut failed = 0;
    for (event, task) in events.iter().zip(tasks) {
        failed += usize::from(!report_invocation(event, &task.await??, out)?);
    }
    Ok(failed)
}

/// Says whether it succeeded, too.
fn report_invocation(
    event: &SampleEvent,
    invocation: &Invocation,
    out: &mut dyn Write,
) -> io::Result<bool> {
    let SampleEvent { file, binary, .. } = event;
    let Invocation { answer, log, cold_start, duration, .. } = invocation;
    let records =
        event.records().map_or_else(|| "unknown records".to_owned(), |it| counted(it, "record"));
    let (start, milliseconds) =
        (if *cold_start { ", cold start" } else { "" }, duration.as_millis());
    writeln!(out, "  {file} -> {binary}: {records}, {milliseconds} ms{start}")?;
    let (answer, succeeded) = outcome::shown(answer);
    writeln!(out, "    answer: {answer}")?;
    match outcome::counts(log) {
        Some(counts) => writeln!(out, "    {}", show::counts(&counts))?,
        None => writeln!(out, "    the function logged no outcome")?,
    }
    if !succeeded {
        writeln!(out, "    FAILED; the end of its log:")?;
        for line in &log[log.len().saturating_sub(show::MAX_LOG_LINES)..] {
            writeln!(out, "      {}", show::shorten(line, show::MAX_LOG_LINE))?;
        }
    }
    Ok(succeeded)
}

fn snapshot(template: &Template, dynamodb: &LocalDynamoDb) -> anyhow::Result<Snapshot> {
    let names = template.tables.iter().map(|table| &table.name);
    names.map(|name| Ok((name.clone(), dynamodb.items(name)?))).collect()
}

fn report_changes(
    after: &Snapshot,
    changes: &[String],
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
