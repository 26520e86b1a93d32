//! The command line of `sinkctl bench`.

use std::{
    error::Error,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use clap::Args;
use local::build::{Profile, Programs};
use sinkctl::bench::{
    self, Bench,
    stub::Faults,
    workload::{Kind, Mix, State},
};

pub(crate) const EXAMPLES: &str = "\
Examples:
  sinkctl bench --baseline
  sinkctl bench --baseline --single --records 500,2000
  sinkctl bench --baseline --workload appian,small --state existing --records 1000,10000
  sinkctl bench --bootstrap 'node index.js' --workload seatool
  sinkctl bench --throttle 0.05 --state new

The second and the third measure all that the targets need. Both the functions and the baseline are built as they are
deployed, unless a directory is named.

Exit status: 0 when all was measured, 1 otherwise.";

#[derive(Args)]
#[expect(clippy::struct_excessive_bools, reason = "they are switches of a command line")]
pub(crate) struct BenchArguments {
    /// Measure the usual way of writing such a function beside, and compare.
    #[arg(long)]
    baseline: bool,
    /// Measure the functions with single-item calls too.
    #[arg(long, conflicts_with = "bootstrap")]
    single: bool,
    /// Measure this program instead of the functions; it gets their variables, and Lambda's `PATH`. The words are parted
    /// at blanks. Processes that it starts are not counted: a shell script must `exec` the program.
    #[arg(long, value_name = "CMD", value_parser = command)]
    bootstrap: Option<String>,
    /// Measure what `sam build` left in this directory, usually `.aws-sam/build`, instead of building.
    #[arg(long, value_name = "DIR", conflicts_with = "bootstrap")]
    build_dir: Option<PathBuf>,
    /// Build for development: fast to build, and no measure of anything.
    #[arg(long, conflicts_with_all = ["build_dir", "bootstrap"])]
    dev: bool,
    /// What the records look like.
    #[arg(long, value_delimiter = ',', default_values = ["appian", "seatool"])]
    workload: Vec<Kind>,
    /// How many records an event has; as many as fit 6 MB.
    #[arg(long, value_name = "N", value_delimiter = ',', default_values = ["500"], value_parser = records)]
    records: Vec<usize>,
    /// What stands in the tables.
    #[arg(long, value_delimiter = ',', default_values = ["existing", "new", "duplicate", "replayed", "mixed", "load"])]
    state: Vec<State>,
    /// Give the values Kafka Connect's schema.
    #[arg(long)]
    schema: bool,
    /// The share of records whose key an earlier one of the event has.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    repeated: f64,
    /// The share of records that the event before had already.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    duplicates: f64,
    /// The share of Seatool records that delete their item.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    deletes: f64,
    /// What all random choices depend on.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// How often everything is measured.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = sinkctl::arguments::at_least_one)]
    rounds: usize,
    /// How many events a process gets, beside its first, before it is measured.
    #[arg(long, value_name = "N", default_value_t = WARM_UP)]
    warm_up: usize,
    /// How long the stand-in takes for an answer in milliseconds, 10 seconds at most.
    #[arg(long, value_name = "N", value_delimiter = ',', default_values = ["4", "15"], value_parser = clap::value_parser!(u64).range(..=10_000))]
    latency_ms: Vec<u64>,
    /// Speak HTTP without TLS: a start then costs far less than in front of the real service.
    #[arg(long)]
    plain: bool,
    /// The share of requests, and of statements in them, that fail without a reason.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    refuse: f64,
    /// The share of requests, and of statements in them, that are throttled.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    throttle: f64,
    /// A real DynamoDB with the template's tables instead of the stand-in, such as `http://127.0.0.1:8000`. All programs
    /// share them, and nobody looks at what is written: take fresh tables for each run, and one state and program.
    #[arg(long, value_name = "URL", conflicts_with_all = ["latency_ms", "plain", "refuse", "throttle"])]
    dynamodb_endpoint: Option<String>,
    /// Write all numbers as JSON to this file; `-` is standard output, instead of the table.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw time and memory by batch size into this file, for each workload, latency and state.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

pub(crate) async fn run(
    arguments: BenchArguments,
    template: PathBuf,
) -> Result<(), Box<dyn Error>> {
    for file in arguments.svg.iter().chain(arguments.json.iter().filter(|file| !is_stdout(file))) {
        // Better now than when all is measured.
        let opened = fs::OpenOptions::new().create(true).append(true).open(file);
        opened.map_err(|error| format!("cannot write `{}`: {error}", file.display()))?;
    }
    let profile = if arguments.dev { Profile::Dev } else { Profile::Release };
    let bench = Bench {
        template,
        programs: arguments.build_dir.map_or(Programs::Cargo(profile), Programs::SamBuild),
        bootstrap: arguments
            .bootstrap
            .map(|command| command.split_whitespace().map(str::to_owned).collect()),
        single: arguments.single,
        baseline: arguments.baseline,
        dynamodb_endpoint: arguments.dynamodb_endpoint,
        latencies_millis: arguments.latency_ms,
        tls: !arguments.plain,
        faults: Faults { refused: arguments.refuse, throttled: arguments.throttle },
        kinds: arguments.workload,
        states: arguments.state,
        records: arguments.records,
        mix: Mix {
            seed: arguments.seed,
            schema: arguments.schema,
            repeated: arguments.repeated,
            duplicates: arguments.duplicates,
            deletes: arguments.deletes,
        },
        rounds: arguments.rounds,
        warm_up: arguments.warm_up,
    };
    // The targets are those of this configuration only, in which an environment has learnt what its keys are.
    let is_standard = bench.tls
        && bench.warm_up >= WARM_UP
        && bench.faults == Faults::default()
        && bench.mix == (Mix { seed: bench.mix.seed, ..Mix::default() })
        && bench.dynamodb_endpoint.is_none()
        && bench.programs != Programs::Cargo(Profile::Dev);
    let report = bench::run(&bench, &mut io::stderr()).await?;
    if let Some(file) = arguments.svg {
        fs::write(file, report.to_svg())?;
    }
    if let Some(file) = &arguments.json {
        let mut json = serde_json::to_vec_pretty(&report)?;
        json.push(b'\n');
        if is_stdout(file) { io::stdout().write_all(&json)? } else { fs::write(file, json)? }
    }
    if !arguments.json.as_ref().is_some_and(|file| is_stdout(file)) {
        report.write_table(&mut io::stdout())?;
        if bench.baseline && is_standard {
            report.write_targets(&mut io::stdout())?;
        }
    }
    Ok(())
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("expected a number from 0 to 1".to_owned()),
    }
}

fn is_stdout(file: &Path) -> bool {
    file.as_os_str() == "-"
}

fn command(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("expected a program".to_owned()) } else { Ok(text.to_owned()) }
}

fn records(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if (1..=MAX_RECORDS).contains(&number) => Ok(number),
        _ => Err(format!(
            "expected a whole number from 1 to {MAX_RECORDS}, as a mapping's batch size"
        )),
    }
}

/// How many events a process gets before it is measured, unless told otherwise.
const WARM_UP: usize = 3;
/// The most records that Lambda puts in a batch.
const MAX_RECORDS: usize = 10_000;
