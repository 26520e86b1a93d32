//! The command line of the benchmark.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use bench::Bench;
use clap::Parser;
use local::template::Template;

const EXAMPLES: &str = "\
Examples:
  bench --baseline
  bench --baseline --single --records 500,2000
  bench --baseline --workload appian,small --state existing --records 1000,10000
  bench --bootstrap 'node index.js' --workload seatool
  bench --throttle 0.05 --state new

The second and the third measure all that the targets need. Both the functions and the baseline are built as they are
deployed, unless a directory is named.

Exit status: 0 when all was measured, 1 otherwise.";

/// Measures what the functions cost, behind a stand-in for DynamoDB with a fixed latency.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES)]
struct Arguments {
    /// The template [default: `template.yaml` here or in a directory above].
    #[arg(long, value_name = "FILE")]
    template: Option<PathBuf>,
    #[command(flatten)]
    bench: Bench,
    /// Write all numbers as JSON to this file; `-` is standard output, instead of the table.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw time and memory by batch size into this file, for each workload, latency and state.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // There is no better place to say that standard error is closed.
            let _: io::Result<()> = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { template, bench, json, svg } = arguments;
    for file in svg.iter().chain(json.iter().filter(|file| !is_stdout(file))) {
        // Better now than when all is measured.
        let opened = fs::OpenOptions::new().create(true).append(true).open(file);
        opened.with_context(|| format!("cannot write `{}`", file.display()))?;
    }
    let template = match template {
        Some(template) => template,
        None => Template::find(&std::env::current_dir()?)?,
    };
    let report = bench::run(&bench, &template, &mut io::stderr()).await?;
    if let Some(file) = svg {
        fs::write(file, report.to_svg()?)?;
    }
    if let Some(file) = &json {
        let mut json = serde_json::to_vec_pretty(&report)?;
        json.push(b'\n');
        if is_stdout(file) { io::stdout().write_all(&json)? } else { fs::write(file, json)? }
    }
    if !json.as_ref().is_some_and(|file| is_stdout(file)) {
        report.write_table(&mut io::stdout())?;
    }
    Ok(())
}

fn is_stdout(file: &Path) -> bool {
    file.as_os_str() == "-"
}
