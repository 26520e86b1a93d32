//! The benchmark: what a program costs that lands events in `DynamoDB`, behind an endpoint whose latency is fixed.

mod record;
pub mod workload;

pub mod naive;
pub mod stub;

mod lane;
mod process;

mod chart;
mod cost;
mod report;
mod targets;

use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;

pub use chart::ChartError;
pub use report::{EndpointMeasurement, Measurement, Report, Spread};
pub use targets::Target;

use lane::{Lane, LaneSettings};
use local::{
    build::{self, Profile, Programs},
    function::FunctionSettings,
    template::{Function, LOCAL_STAGE, Template},
};
use stub::{Faults, Stub, StubSettings};
use workload::{Kind, Mix, State, Workload};

/// The binary that everything is compared with.
const BASELINE_BINARY: &str = "naiveSink";
/// How many events a process gets before it is measured, unless told otherwise.
const WARM_UP: usize = 3;
/// The most records that Lambda puts in a batch.
const MAX_RECORDS: usize = 10_000;
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
    pub fn is_standard(&self) -> bool {
        !self.plain
            && self.warm_up >= WARM_UP
            && self.faults == Faults::default()
            && self.mix == (Mix { seed: self.mix.seed, ..Mix::default() })
            && self.dynamodb_endpoint.is_none()
            && !self.dev
    }
}

/// A number from 0 to 1.
fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("expected a number from 0 to 1".to_owned()),
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number >= 1 => Ok(number),
        _ => Err("expected a whole number from 1".to_owned()),
    }
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

/// Why a benchmark failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// Occurs when the template cannot be read, the programs cannot be built, or a process cannot be started at all.
    #[error(transparent)]
    Local(#[from] anyhow::Error),
    /// Occurs when the template has no function for a workload.
    #[error("the template has no function of the binary `{binary}`")]
    NoFunction {
        /// The binary's name.
        binary: String,
    },
    /// Occurs when the stub cannot listen.
    #[error("cannot start the endpoint")]
    Stub(#[source] io::Error),
    /// Occurs when a function does not start or does not succeed.
    #[error("`{function}` failed: {problem}; the end of its log:\n{log}")]
    Function {
        /// The function's name.
        function: String,
        /// What happened.
        problem: String,
        /// The last lines of its log.
        log: String,
    },
    /// Occurs when a request is not as `DynamoDB` wants it.
    #[error("`{program}` sent a wrong request: {problem}")]
    Request {
        /// The program.
        program: String,
        /// What is wrong.
        problem: String,
    },
    /// Occurs when a program succeeds, but did not write what it should have written.
    #[error(
        "`{program}` created {created} and replaced {replaced} items; of {keys} keys {new} had none and {older} an older one"
    )]
    Work {
        /// The program.
        program: String,
        /// How many different items the event was about.
        keys: u64,
        /// For how many of them no item stood before.
        new: u64,
        /// For how many of them an older state stood before.
        older: u64,
        /// How many items it created.
        created: u64,
        /// How many it replaced.
        replaced: u64,
    },
    /// Occurs when the report cannot be written.
    #[error("cannot write the report")]
    Write(#[from] io::Error),
}

/// A program that is measured.
#[derive(Clone, Debug)]
struct Program {
    name: String,
    /// The program and its arguments, by the function's binary.
    commands: BTreeMap<String, (PathBuf, Vec<String>)>,
    variables: BTreeMap<String, String>,
}

/// Measures everything in the workspace of the template at `path`, and reports on `progress` what is being done.
pub async fn run(
    bench: &Bench,
    path: &Path,
    progress: &mut dyn Write,
) -> Result<Report, BenchError> {
    let template = Template::read(path, &[("Stage", LOCAL_STAGE)])?;
    let programs = programs(bench, path.parent().unwrap_or(Path::new(".")), &template)?;
    let latencies: Vec<_> = match &bench.dynamodb_endpoint {
        Some(_) => vec![None],
        None => bench.latencies_millis.iter().copied().map(Some).collect(),
    };
    let mut measurements = Vec::new();
    for &kind in &bench.kinds {
        let function = template.functions.iter().find(|it| it.binary == kind.binary());
        let function =
            function.ok_or_else(|| BenchError::NoFunction { binary: kind.binary().to_owned() })?;
        for (latency_millis, &records) in
            latencies.iter().flat_map(|it| bench.records.iter().map(move |records| (*it, records)))
        {
            let latency = latency_millis.map(|it| format!(", {it} ms a request"));
            writeln!(progress, "{kind}, {records} records{}", latency.unwrap_or_default())?;
            let mut lanes = Vec::new();
            for &state in &bench.states {
                for program in &programs {
                    let workload = Workload { kind, state, records, mix: bench.mix };
                    let lane = lane(bench, &template, function, program, workload, latency_millis);
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
    Ok(Report { rounds: bench.rounds, mix: bench.mix, measurements })
}

async fn lane(
    bench: &Bench,
    template: &Template,
    function: &Function,
    program: &Program,
    workload: Workload,
    latency_millis: Option<u64>,
) -> Result<Lane, BenchError> {
    let stub = |latency_millis| {
        Stub::start(StubSettings {
            tables: template.tables.clone(),
            latency: Duration::from_millis(latency_millis),
            faults: bench.faults,
            seed: bench.mix.seed,
            tls: !bench.plain,
        })
    };
    let stub = latency_millis.map(stub).transpose().map_err(BenchError::Stub)?;
    let endpoint = bench.dynamodb_endpoint.as_deref().unwrap_or_default();
    let (executable, arguments) = program.commands[&function.binary].clone();
    let mut settings = FunctionSettings::local(function, executable, endpoint);
    settings.arguments = arguments;
    settings.variables.extend(stub.as_ref().map(Stub::variables).unwrap_or_default());
    settings.variables.extend(program.variables.clone());
    let Mix { duplicates, deletes, .. } = bench.mix;
    let is_predictable = [duplicates, deletes, bench.faults.refused, bench.faults.throttled]
        .iter()
        .all(|share| *share <= 0.0);
    Lane::start(LaneSettings {
        workload,
        latency_millis,
        program: program.name.clone(),
        is_predictable,
        function: settings,
        stub,
        warm_up: bench.warm_up,
    })
    .await
}

/// The programs to measure; Cargo builds at once all that it builds.
fn programs(bench: &Bench, root: &Path, template: &Template) -> Result<Vec<Program>, BenchError> {
    let mut binaries: Vec<&str> = bench.kinds.iter().map(|kind| kind.binary()).collect();
    binaries.sort_unstable();
    binaries.dedup();
    let functions: Vec<_> = template
        .functions
        .iter()
        .filter(|function| binaries.contains(&function.binary.as_str()))
        .cloned()
        .collect();

    let mut built = BTreeMap::new();
    let mut to_build = Vec::new();
    match (&bench.bootstrap, &bench.build_dir) {
        (Some(_), _) => {}
        (None, None) => to_build.clone_from(&binaries),
        (None, Some(directory)) => {
            built = Programs::SamBuild(directory.clone()).find(root, &functions)?;
        }
    }
    let profile = if bench.dev { Profile::Dev } else { Profile::Release };
    if bench.baseline {
        to_build.push(BASELINE_BINARY);
    }
    if !to_build.is_empty() {
        built.extend(build::build(root, &to_build, profile)?);
    }

    let commands = |program: &dyn Fn(&str) -> (PathBuf, Vec<String>)| {
        binaries.iter().map(|binary| ((*binary).to_owned(), program(binary))).collect()
    };
    let mut programs = Vec::new();
    let mut words = bench.bootstrap.iter().flat_map(|it| it.split_whitespace()).map(str::to_owned);
    if let Some(executable) = words.next() {
        let arguments: Vec<_> = words.collect();
        programs.push(Program {
            name: "bootstrap".to_owned(),
            commands: commands(&|_| (executable.clone().into(), arguments.clone())),
            variables: [("PATH".to_owned(), LAMBDA_PATH.to_owned())].into(),
        });
    } else {
        let commands = commands(&|binary| (built[binary].clone(), Vec::new()));
        let single = [(STATEMENTS_PER_REQUEST.to_owned(), "1".to_owned())].into();
        let name = "sink".to_owned();
        programs.push(Program { name, commands: commands.clone(), variables: BTreeMap::new() });
        if bench.single {
            programs.push(Program { name: "single".to_owned(), commands, variables: single });
        }
    }
    if bench.baseline {
        programs.push(Program {
            name: report::BASELINE.to_owned(),
            commands: commands(&|_| (built[BASELINE_BINARY].clone(), Vec::new())),
            variables: BTreeMap::new(),
        });
    }
    Ok(programs)
}
