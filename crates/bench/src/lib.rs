//! The benchmark: what a program costs that lands events in `DynamoDB`, behind an endpoint whose latency is fixed.

#![expect(missing_docs, reason = "what a program's parts say to each other is no library")]

mod record;
pub mod workload;

pub mod naive;
mod stub;

mod lane;
mod process;

mod chart;
mod cost;
pub mod report;

use std::{
    collections::BTreeMap,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::Args;

use lane::Lane;
use local::{
    build::{self, Profile, Programs},
    template::{LOCAL_STAGE, Template},
};
use report::{Measurement, Report};
use workload::{Kind, Mix, State, Workload};

/// The binary that everything is compared with.
const BASELINE_BINARY: &str = "naiveSink";
/// How many events a process gets before it is measured, unless told otherwise.
const WARM_UP: usize = 3;
/// The name of the variable that chooses between batches and single-item calls.
const STATEMENTS_PER_REQUEST: &str = "DYNAMODB_STATEMENTS_PER_REQUEST";
/// Where Lambda looks for programs.
const LAMBDA_PATH: &str = "/usr/local/bin:/usr/bin:/bin:/opt/bin";

/// What to measure.
#[derive(Args, Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "they are switches of a command line")]
pub struct Bench {
    /// Measure the usual way of writing such a function beside, and compare.
    #[arg(long)]
    pub baseline: bool,
    /// Measure the functions with single-item calls too.
    #[arg(long, conflicts_with = "bootstrap")]
    pub single: bool,
    /// Measure this program instead of the functions; it gets their variables, and Lambda's `PATH`. The words are
    /// parted at blanks. Processes that it starts are not counted: a shell script must `exec` the program.
    #[arg(long, value_name = "CMD", value_parser = command)]
    pub bootstrap: Option<String>,
    /// Measure what `sam build` left in this directory, usually `.aws-sam/build`, instead of building.
    #[arg(long, value_name = "DIR", conflicts_with = "bootstrap")]
    pub build_dir: Option<PathBuf>,
    /// Build for development: fast to build, and no measure of anything.
    #[arg(long, conflicts_with_all = ["build_dir", "bootstrap"])]
    pub dev: bool,
    /// What the records look like.
    #[arg(long = "workload", value_name = "WORKLOAD", value_delimiter = ',', default_values = ["appian", "seatool"])]
    pub kinds: Vec<Kind>,
    /// How many records an event has; as many as fit 6 MB.
    #[arg(long, value_name = "N", value_delimiter = ',', default_values = ["500"], value_parser = records)]
    pub records: Vec<usize>,
    /// What stands in the tables.
    #[arg(long = "state", value_name = "STATE", value_delimiter = ',', default_values = ["existing", "new", "duplicate", "replayed", "mixed", "load"])]
    pub states: Vec<State>,
    /// What the records have in common.
    #[command(flatten)]
    pub mix: Mix,
    /// How often everything is measured.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = at_least_one)]
    pub rounds: usize,
    /// How many events a process gets, beside its first, before it is measured.
    #[arg(long, value_name = "N", default_value_t = WARM_UP)]
    pub warm_up: usize,
    /// How long the stand-in takes for an answer in milliseconds, 10 seconds at most.
    #[arg(long = "latency-ms", value_name = "N", value_delimiter = ',', default_values = ["4", "15"], value_parser = clap::value_parser!(u64).range(..=10_000))]
    pub latencies_millis: Vec<u64>,
    /// Speak HTTP without TLS: a start then costs far less than in front of the real service.
    #[arg(long)]
    pub plain: bool,
    /// What the stand-in does not let through.
    #[command(flatten)]
    pub faults: Faults,
    /// A real DynamoDB with the template's tables instead of the stand-in, such as `http://127.0.0.1:8000`. All
    /// programs share them, and nobody looks at what is written: take fresh tables for each run, and one state and
    /// program.
    #[arg(long, value_name = "URL", conflicts_with_all = ["latencies_millis", "plain", "refused", "throttled"])]
    pub dynamodb_endpoint: Option<String>,
}

impl Bench {
    /// Whether the targets are for it, in which an environment has learnt what its keys are.
    fn is_standard(&self) -> bool {
        !self.plain
            && self.warm_up >= WARM_UP
            && self.faults == Faults::default()
            && self.mix == (Mix { seed: self.mix.seed, ..Mix::default() })
            && self.dynamodb_endpoint.is_none()
            && !self.dev
    }
}

/// The shares of requests, and of statements in them, that don't go through.
#[derive(Args, Clone, Copy, Debug, Default, PartialEq)]
pub struct Faults {
    /// The share of requests, and of statements in them, that fail without a reason.
    #[arg(long = "refuse", value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    pub refused: f64,
    /// The share of requests, and of statements in them, that are throttled.
    #[arg(long = "throttle", value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    pub throttled: f64,
}

fn share(text: &str) -> Result<f64, &'static str> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or("expected a number from 0 to 1")
}

fn at_least_one(text: &str) -> Result<usize, &'static str> {
    text.parse().ok().filter(|number| *number >= 1).ok_or("expected a whole number from 1")
}

fn command(text: &str) -> Result<String, &'static str> {
    if text.trim().is_empty() { Err("expected a program") } else { Ok(text.to_owned()) }
}

/// As many as Lambda puts in a batch at most.
fn records(text: &str) -> Result<usize, &'static str> {
    let records = text.parse().ok().filter(|records| (1..=10_000).contains(records));
    records.ok_or("expected a whole number from 1 to 10000, as a mapping's batch size")
}

/// A program that is measured.
struct Program {
    name: &'static str,
    /// By the function's binary.
    executables: BTreeMap<String, PathBuf>,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
}

/// Measures everything in the workspace of the template at `path`, and reports on `progress` what is being done.
pub async fn run(bench: &Bench, path: &Path, progress: &mut dyn Write) -> anyhow::Result<Report> {
    let template = Template::read(path, &[("Stage", LOCAL_STAGE)])?;
    let programs = programs(bench, path.parent().unwrap_or(Path::new(".")), &template)?;
    let latencies: Vec<_> = match &bench.dynamodb_endpoint {
        Some(_) => vec![None],
        None => bench.latencies_millis.iter().copied().map(Some).collect(),
    };
    let mut measurements = Vec::new();
    for &kind in &bench.kinds {
        let function = template.functions.iter().find(|it| it.binary == kind.binary());
        let function = function.with_context(|| {
            format!("the template has no function of the binary `{}`", kind.binary())
        })?;
        for (latency_millis, &records) in
            latencies.iter().flat_map(|it| bench.records.iter().map(move |records| (*it, records)))
        {
            writeln!(progress, "{kind}, {records} records{}", report::latency(latency_millis))?;
            let mut lanes = Vec::new();
            for &state in &bench.states {
                for program in &programs {
                    let workload = Workload { kind, state, records, mix: bench.mix };
                    let tables = &template.tables;
                    let lane =
                        Lane::start(bench, tables, function, program, workload, latency_millis);
                    lanes.push(lane.await?);
                }
            }
            for round in 0..bench.rounds {
                // Whoever comes first in one round does not in the next.
                let first = round % lanes.len();
                let (left, right) = lanes.split_at_mut(first);
                for lane in right.iter_mut().chain(left) {
                    lane.round().await?;
                }
            }
            measurements.extend(lanes.iter().map(Measurement::of));
        }
    }
    let (rounds, mix, is_standard) = (bench.rounds, bench.mix, bench.is_standard());
    Ok(Report { rounds, mix, is_standard, measurements })
}

/// The programs to measure; Cargo builds at once all that it builds.
fn programs(bench: &Bench, root: &Path, template: &Template) -> anyhow::Result<Vec<Program>> {
    let is_needed = |binary: &str| bench.kinds.iter().any(|kind| kind.binary() == binary);
    let functions = template.functions.iter().filter(|function| is_needed(&function.binary));
    let functions: Vec<_> = functions.cloned().collect();
    let mut words = bench.bootstrap.iter().flat_map(|it| it.split_whitespace()).map(str::to_owned);
    let bootstrap = words.next();

    let mut built = BTreeMap::new();
    let mut to_build = Vec::new();
    if let Some(directory) = &bench.build_dir {
        built = Programs::SamBuild(directory.clone()).find(root, &functions)?;
    } else if bootstrap.is_none() {
        to_build.extend(functions.iter().map(|function| function.binary.as_str()));
    }
    if bench.baseline {
        to_build.push(BASELINE_BINARY);
    }
    if !to_build.is_empty() {
        let profile = if bench.dev { Profile::Dev } else { Profile::Release };
        built.extend(build::build(root, &to_build, profile)?);
    }

    let program = |name, executables| Program {
        name,
        executables,
        arguments: Vec::new(),
        variables: Vec::new(),
    };
    let same = |path: &Path| {
        functions.iter().map(|function| (function.binary.clone(), path.to_owned())).collect()
    };
    let mut programs = Vec::new();
    if let Some(executable) = bootstrap {
        programs.push(Program {
            arguments: words.collect(),
            variables: vec![("PATH".to_owned(), LAMBDA_PATH.to_owned())],
            ..program("bootstrap", same(executable.as_ref()))
        });
    } else {
        programs.push(program("sink", built.clone()));
        if bench.single {
            let variables = vec![(STATEMENTS_PER_REQUEST.to_owned(), "1".to_owned())];
            programs.push(Program { variables, ..program("single", built.clone()) });
        }
    }
    if bench.baseline {
        programs.push(program(report::BASELINE, same(&built[BASELINE_BINARY])));
    }
    Ok(programs)
}
