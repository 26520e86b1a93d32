//! End to end: a real Kafka, AWS's own DynamoDB Local, the functions' processes under a local event source mapping, and
//! faults of all of them.
//!
//! Each scenario is checked by `sinkctl audit`, by a fold of its own ([`fold`]) and by a reader that looks on.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests end on what they don't expect, and this one prints a report"
)]

/// What the command line asks for.
mod arguments;

/// Records, what they mean, and where they lie.
mod record;

/// The seeded records, and among them those that cannot be written.
mod poison;
mod workload;

/// What the tables are to hold, and what they do hold.
mod compare;
mod fold;

/// A reader, and its judgement.
mod history;
mod reader;

/// Kafka and DynamoDB Local, what is done in them, and the proxy between.
mod proxy;
mod services;
mod streams;
mod tables;
mod topics;

/// The processes of `sinkctl` and of the functions, and the writer that came before them.
mod earlier_writer;
mod process;

/// One run: services, programs, and the report.
mod report;
mod run;

/// The scenarios.
mod scenarios;

use std::process::ExitCode;

use arguments::{Arguments, USAGE};
use report::Report;
use run::Run;
use services::maven;

/// Nothing failed, but not everything ran.
const SKIPPED: u8 = 3;

fn main() -> ExitCode {
    let arguments = match Arguments::read(std::env::args().skip(1)) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(problem) => {
            eprintln!("error: {problem}");
            return ExitCode::from(2);
        }
    };
    if let Some(program) = maven::missing_program() {
        println!("e2e: `{program}` is missing: nothing was run");
        println!("0 passed, 0 failed, {} skipped", arguments.scenarios.len());
        return ExitCode::from(SKIPPED);
    }
    history::self_test();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let report = runtime.block_on(run(&arguments));
    print!("{report}");
    if report.failed() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn run(arguments: &Arguments) -> Report {
    let mut run = Run::start(arguments).await;
    let mut report = Report::default();
    for name in &arguments.scenarios {
        println!("e2e: {name} …");
        let row = scenarios::run(name, &mut run).await;
        println!("e2e: {row}");
        report.add(row);
    }
    report
}
