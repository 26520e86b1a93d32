//! A local event source mapping: what Lambda does between a Kafka topic and a function.
//!
//! What it decides is pure: which records make a batch ([`assembly`]), what the event looks like ([`event`]), and what
//! follows an invocation ([`attempt`]). The Kafka client, the functions and the time stand at the edge.

pub mod settings;

pub mod event;

pub mod assembly;

pub mod attempt;
pub mod failure;

mod consumer;
mod ends;
mod live;
mod poll;
mod report;
mod status;
mod tally;

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail, ensure};
use clap::Args;
use local::{
    dynamodb::DEFAULT_PORT,
    function::{FunctionSettings, LocalFunction},
    invoke::{Invoker, RemoteFunction},
    lock::lock,
    samconfig,
    stop::{stop, stop_twice},
    template::{self, Function, StartingPosition, Template},
};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

use crate::{
    arguments::{at_least_one, programs, url},
    kafka::Source,
    text::{self, counted},
};
use attempt::PartialRetry;
use event::Envelope;
use report::Report;
use settings::Overrides;
use tally::FunctionSummary;

pub const EXAMPLES: &str = "\
Examples:
  sinkctl esm                          all mappings, brokers on port 9092, tables of `sinkctl dynamodb`
  sinkctl esm sinkSeatoolData --starting-position TRIM_HORIZON --until-end
  sinkctl esm --parameter PollerMode=provisioned --on-failure target/failures
  sinkctl esm --invoke-address http://127.0.0.1:9000    functions of `cargo lambda watch`
  sinkctl esm --status-address 127.0.0.1:8010           then `sinkctl status --esm http://127.0.0.1:8010`
  sinkctl esm --bootstrap-servers broker:9094 -X security.protocol=ssl -X ssl.ca.location=ca.pem

Topics, batches, group, retries and responses are those of the template's mappings at the stage `local`; the flags
override them for every mapping that runs. Offsets are committed once their batches are done, and where the group has
some, they count before the starting position. Ctrl-C ends it when the invocations in flight are finished. Started
several times, they share the partitions.

Exit status: 0 when it was ended or came to the end that was asked for, 1 when records were given up, --until-end did
not come to the end, or it did not wait for the invocations in flight, 2 when it could not run.";

/// How long an invocation elsewhere may take unless something is said: as long as Lambda lets one behind Kafka. It may
/// have to be built first.
const REMOTE_TIMEOUT: Duration = Duration::from_mins(14);

/// The exit status when not all was done that was to be done.
const INCOMPLETE: u8 = 1;

#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[derive(Args, Clone, Debug)]
pub struct Esm {
    /// The binaries of the functions whose mappings run [default: all that are enabled].
    #[arg(value_name = "FUNCTION")]
    functions: Vec<String>,
    #[command(flatten)]
    source: Source,

    /// Invoke the functions at this Lambda Invoke API instead of running their binaries.
    #[arg(long, value_name = "URL", conflicts_with_all = ["build_dir", "release"], help_heading = "Functions")]
    invoke_address: Option<String>,
    /// Run what `sam build` left in this directory, usually `.aws-sam/build`, instead of building.
    #[arg(long, value_name = "DIR", conflicts_with = "release", help_heading = "Functions")]
    build_dir: Option<PathBuf>,
    /// Build the functions as they are deployed.
    #[arg(long, help_heading = "Functions")]
    release: bool,
    /// Where the functions that run here find DynamoDB.
    #[arg(long, value_name = "URL", value_parser = url, default_value_t = format!("http://127.0.0.1:{DEFAULT_PORT}"), help_heading = "Functions")]
    dynamodb_endpoint: String,
    /// How many batches of a function are in flight at most, each in an environment of its own.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = at_least_one, help_heading = "Functions")]
    environments: usize,
    /// How long an invocation may take [default: as in the template; 14 minutes with --invoke-address].
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Functions")]
    timeout: Option<u64>,

    /// What is sent again after the function named the records that failed, which AWS leaves open.
    #[arg(long, value_name = "WHICH", default_value = "listed")]
    partial_retry: PartialRetry,

    /// End once all is committed that the topics held at the start.
    #[arg(long)]
    until_end: bool,
    /// Write the summary as one line of JSON.
    #[arg(long)]
    json: bool,
    /// Show all lines of the functions' logs.
    #[arg(long)]
    verbose: bool,
    /// Show these lines as the functions wrote them, on a terminal too, where they are as `sinkctl tail` shows them.
    #[arg(long)]
    raw: bool,
    /// Answer `sinkctl status --esm` here: an address of this machine only, such as `127.0.0.1:8010`.
    #[arg(long, value_name = "IP:PORT", value_parser = loopback)]
    status_address: Option<SocketAddr>,

    #[command(flatten)]
    overrides: Overrides,
}

/// Why not all was done that was to be done.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unfinished(&'static str);

/// Runs the mappings until someone stops them, and at once if that is wanted twice.
pub async fn run(esm: Esm, template: &Path) -> anyhow::Result<ExitCode> {
    let result = tokio::select! {
        result = run_mappings(Arc::new(esm), template) => result,
        () = stop_twice() => Err(anyhow!(Unfinished(
            "ended before the invocations in flight were finished: their records come again"
        ))),
    };
    match result {
        Ok(summary) if summary.values().all(|it| it.given_up == 0) => Ok(ExitCode::SUCCESS),
        Ok(_) => Ok(ExitCode::from(INCOMPLETE)),
        Err(error) if error.is::<Unfinished>() => {
            writeln!(io::stderr(), "sinkctl esm: {error}")?;
            Ok(ExitCode::from(INCOMPLETE))
        }
        Err(error) => Err(error),
    }
}

/// An address that no other machine can ask.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    match text.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_loopback() => Ok(address),
        _ => Err("expected an address of this machine alone, such as `127.0.0.1:8010`".to_owned()),
    }
}

/// The numbers of all functions, by the names of their binaries.
type Summary = BTreeMap<String, FunctionSummary>;

/// Runs the mappings until someone stops them, or the end is reached that was asked for, and writes the summary.
async fn run_mappings(esm: Arc<Esm>, template_path: &Path) -> anyhow::Result<Summary> {
    let template = samconfig::template(template_path, None, &esm.source.parameters)?;
    let chosen = choose(&template, &esm.functions)?;
    if let (Some(group), [_, _, ..]) = (&esm.overrides.group, chosen.as_slice()) {
        bail!("`--group {group}` is for the mapping of one function: name it");
    }
    let applied = chosen.iter().map(|(declared, _)| esm.overrides.apply(declared));
    let settings = applied.collect::<Result<Vec<_>, _>>()?;
    let now = text::now() / 1000;
    for template::Mapping { logical_id, starting_position, .. } in &settings {
        if let StartingPosition::AtTimestamp(seconds) = starting_position
            && *seconds > now
        {
            bail!(
                "`{logical_id}`: {seconds} s since 1970 is in the future, so no record would come: are these \
                 milliseconds?"
            );
        }
    }
    // The group is the mapping's, or the flag's. Better now than when the functions are built.
    esm.source.config(&[], &["group.id"])?;
    let report = Arc::new(Report::new(esm.verbose, esm.raw));
    let functions: Vec<_> = chosen.iter().map(|(_, function)| (*function).clone()).collect();
    let executables = if esm.invoke_address.is_some() {
        BTreeMap::new()
    } else {
        report.line("Building or finding the functions");
        programs(esm.release, esm.build_dir.clone())
            .find(template_path.parent().unwrap_or(Path::new(".")), &functions)?
    };

    let listener = match esm.status_address {
        Some(address) => {
            let listener = TcpListener::bind(address).await.with_context(|| {
                format!("cannot answer at `{address}`: name another port, or 0 for a free one")
            })?;
            let bound = listener.local_addr()?;
            report.line(&format!("Status at http://{bound}, as `sinkctl status --esm` shows it"));
            Some(listener)
        }
        None => None,
    };
    let (stopper, stop_sign) = watch::channel(false);
    let mut mappings = Vec::new();
    let mut observed = Vec::new();
    let mut tasks = JoinSet::new();
    for ((declared, function), settings) in chosen.into_iter().zip(settings) {
        let topic = &settings.topic;
        let consumer = consumer::consumer(&function.binary, &settings, &esm.source, &report)
            .with_context(|| format!("`{}`", settings.logical_id))?;
        let consumer = Arc::new(consumer);
        let ends = ends::ends(&esm, topic, &consumer, &report).await?;
        introduce(declared, function, &settings, &report);
        if ends.is_none() {
            let name = &function.binary;
            report.line(&format!("{name}: waiting for the topic `{topic}`: there is none so far"));
        }
        let mapping = Arc::new(poll::Mapping {
            function: function.clone(),
            envelope: Envelope::new(topic, &esm.source.bootstrap_servers),
            invoker: invoker(&esm, function, &executables)?,
            tally: Mutex::default(),
            report: Arc::clone(&report),
            esm: Arc::clone(&esm),
            settings,
        });
        mappings.push(Arc::clone(&mapping));
        observed.push((Arc::clone(&mapping), Arc::clone(&consumer)));
        let ends = ends.filter(|_| esm.until_end);
        tasks.spawn(poll::run(mapping, consumer, ends, stop_sign.clone()));
    }

    let progress = tokio::spawn(Arc::clone(&report).progress(mappings.clone()));
    // As long as it is kept, the status is answered.
    let answering = listener.map(|listener| status::start(listener, &esm, observed));
    let (result, was_stopped) = finish(tasks, &stopper, &report).await;
    drop(answering);
    progress.abort();
    report.end();
    let summary = mappings
        .iter()
        .map(|it| (it.function.binary.clone(), lock(&it.tally).summary.clone()))
        .collect();
    write(&summary, esm.json).context("cannot write the summary")?;
    result?;
    ensure!(
        !(was_stopped && esm.until_end),
        Unfinished("stopped before the end: what is left comes with the next start")
    );
    Ok(summary)
}

fn write(summary: &Summary, json: bool) -> io::Result<()> {
    let mut out = io::stdout();
    if json {
        return writeln!(out, "{}", serde_json::to_string(summary)?);
    }
    for (name, summary) in summary {
        writeln!(out, "{name}: {summary}")?;
    }
    out.flush()
}

/// The mappings of these functions, or all that are enabled.
fn choose<'t>(
    template: &'t Template,
    binaries: &[String],
) -> anyhow::Result<Vec<(&'t template::Mapping, &'t Function)>> {
    let all: Vec<_> = template
        .mappings
        .iter()
        .filter_map(|mapping| {
            let mut functions = template.functions.iter();
            Some((mapping, functions.find(|it| it.logical_id == mapping.function)?))
        })
        .collect();
    let has_mapping =
        |binary: &&String| all.iter().any(|(_, function)| function.binary == **binary);
    if let Some(function) = binaries.iter().find(|binary| !has_mapping(binary)) {
        if template.functions.iter().any(|it| it.binary == *function) {
            bail!(
                "the mapping of `{function}` is absent: give its parameter `…Enabled` the value `true`"
            );
        }
        let known: Vec<_> =
            all.iter().map(|(_, function)| format!("`{}`", function.binary)).collect();
        let known = known.join(", ");
        bail!("the template has no mapping for a function `{function}`, but for {known}");
    }
    let is_chosen = |(mapping, function): &(&template::Mapping, &Function)| {
        mapping.is_enabled && (binaries.is_empty() || binaries.contains(&function.binary))
    };
    let chosen: Vec<_> = all.into_iter().filter(is_chosen).collect();
    ensure!(
        !chosen.is_empty(),
        "the template has no mapping that is enabled: `--parameter AppianEnabled=true`, say, enables one"
    );
    Ok(chosen)
}

fn introduce(
    declared: &template::Mapping,
    function: &Function,
    settings: &template::Mapping,
    report: &Report,
) {
    let name = &function.binary;
    report.line(&format!(
        "{name}: topic `{}`, group `{}`, batches of {} or {} s",
        settings.topic,
        settings.consumer_group.as_deref().unwrap_or_default(),
        counted(settings.batch_size, "record"),
        settings.batching_window.as_secs_f64()
    ));
    if declared.has_destination && !settings.has_destination {
        let retries = match settings.maximum_retry_attempts {
            Some(retries) => format!("batches are lost after {}", counted(retries, "retry")),
            None => "retries have no end".to_owned(),
        };
        report.line(&format!(
            "{name}: the template's on-failure destination is not used here; without `--on-failure DIR` {retries}"
        ));
    }
    let answers_partially =
        function.variables.get("RESPONSE_MODE").is_some_and(|mode| mode == "partial");
    if answers_partially && !settings.reports_batch_item_failures {
        report.line(&format!(
            "{name}: WARNING: the function names records that failed, and the mapping does not read it: they are lost"
        ));
    }
}

fn invoker(
    esm: &Esm,
    function: &Function,
    executables: &BTreeMap<String, PathBuf>,
) -> anyhow::Result<Invoker> {
    let timeout = esm.timeout.map(Duration::from_secs);
    if let Some(address) = &esm.invoke_address {
        let timeout = timeout.unwrap_or(REMOTE_TIMEOUT);
        let function = RemoteFunction::new(address, &function.binary, timeout)?;
        return Ok(Invoker::Remote(Box::new(function)));
    }
    let executable = executables.get(&function.binary).cloned().unwrap_or_default();
    let settings = FunctionSettings::local(function, executable, &esm.dynamodb_endpoint);
    Ok(Invoker::Local(Box::new(LocalFunction::new(FunctionSettings {
        timeout: timeout.unwrap_or(settings.timeout),
        max_environments: esm.environments,
        ..settings
    }))))
}

/// Waits until the mappings end, by themselves or because someone stops them, and says which; one that fails stops the
/// others.
async fn finish(
    mut tasks: JoinSet<anyhow::Result<()>>,
    stopper: &watch::Sender<bool>,
    report: &Report,
) -> (anyhow::Result<()>, bool) {
    let mut stop = std::pin::pin!(stop());
    let mut result = Ok(());
    let mut was_stopped = false;
    loop {
        let is_stopping = *stopper.borrow();
        tokio::select! {
            ended = tasks.join_next() => match ended {
                None => return (result, was_stopped),
                Some(ended) => {
                    if let Err(error) = ended.map_err(anyhow::Error::from).flatten() {
                        stopper.send_replace(true);
                        result = result.and(Err(error));
                    }
                }
            },
            () = &mut stop, if !is_stopping => {
                was_stopped = true;
                report.line("Ending: the invocations that run now are finished; once more ends at once");
                stopper.send_replace(true);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKSPACE_TEMPLATE: &str = include_str!("../../../template.yaml");

    #[test]
    fn the_status_is_told_to_this_machine_only() {
        #[track_caller]
        fn check(text: &str, is_accepted: bool) {
            assert_eq!(loopback(text).is_ok(), is_accepted);
        }

        check("127.0.0.1:8010", true);
        check("127.0.0.1:0", true);
        check("[::1]:8010", true);
        check("0.0.0.0:8010", false);
        check("[::]:8010", false);
        check("192.168.1.1:8010", false);
        check("localhost:8010", false);
        check("8010", false);
    }

    #[test]
    fn mappings_run_as_they_are_enabled() {
        #[track_caller]
        fn check(parameters: &[(&str, &str)], binaries: &[&str], expected: Result<&[&str], &str>) {
            let mut template = Template::parse(WORKSPACE_TEMPLATE, parameters).unwrap();
            template
                .mappings
                .retain(|it| ["AppianMapping", "SeatoolMapping"].contains(&it.logical_id.as_str()));
            let binaries: Vec<_> = binaries.iter().map(|&it| it.to_owned()).collect();
            let chosen = choose(&template, &binaries);
            let chosen =
                chosen.map(|all| all.iter().map(|(it, _)| it.logical_id.as_str()).collect());
            let chosen: Result<Vec<_>, _> = chosen.map_err(|error| error.to_string());
            assert_eq!(chosen.as_deref().map_err(String::as_str), expected);
        }

        let both = ["AppianMapping", "SeatoolMapping"];
        check(&[], &[], Ok(&both));
        check(&[], &["sinkSeatoolData"], Ok(&both[1..]));
        for value in ["false", "absent"] {
            check(&[("AppianEnabled", value)], &[], Ok(&both[1..]));
            check(&[("AppianEnabled", value)], &["sinkSeatoolData"], Ok(&both[1..]));
            check(
                &[("AppianEnabled", value), ("SeatoolEnabled", "absent")],
                &[],
                Err(
                    "the template has no mapping that is enabled: `--parameter AppianEnabled=true`, say, enables one",
                ),
            );
        }
        check(
            &[("AppianEnabled", "absent")],
            &["sinkAppianData"],
            Err(
                "the mapping of `sinkAppianData` is absent: give its parameter `…Enabled` the value `true`",
            ),
        );
        check(
            &[("AppianEnabled", "absent")],
            &["sinkOther"],
            Err(
                "the template has no mapping for a function `sinkOther`, but for `sinkSeatoolData`",
            ),
        );
    }
}
