//! The command line of `sinkctl status`.

use std::{error::Error, io, path::PathBuf, process::ExitCode};

use local::dynamodb::DEFAULT_PORT;

use clap::Args;
use sinkctl::{
    status::{
        aws::{self, Stage},
        judge::Verdict,
        local::{self, Local},
    },
    text,
};

pub(crate) const EXAMPLES: &str = "\
Examples:
  sinkctl status --stage master
  sinkctl status --stage val --minutes 60 --json
  sinkctl status --esm http://127.0.0.1:8010       what `sinkctl esm --status-address 127.0.0.1:8010` runs

Credentials and region are those of the AWS CLI (`AWS_PROFILE`, `AWS_REGION`). What is wrong is what the template's alarms
say, beside mappings that don't poll or fail, and records in the quarantine. A local mapping has no alarms: of it records
that were given up or regressed are wrong, and those whose quarantine or tombstone failed. Each part that can't be read
says why, and the rest is shown.

Exit status: 0 when all was read and nothing is wrong, 1 when something is wrong, 2 when nothing is known to be wrong but
not everything could be read, or nothing at all.";

#[derive(Args)]
pub(crate) struct StatusArguments {
    #[arg(long, value_name = "NAME", help = sinkctl::arguments::STAGE, required_unless_present = "esm")]
    stage: Option<String>,
    /// A local event source mapping instead, at the address that `sinkctl esm --status-address` prints.
    #[arg(long, value_name = "URL", value_parser = sinkctl::arguments::url, conflicts_with_all = ["stage", "parameters"])]
    esm: Option<String>,
    /// The local DynamoDB of that mapping.
    #[arg(long, value_name = "URL", value_parser = sinkctl::arguments::url, default_value_t = format!("http://127.0.0.1:{DEFAULT_PORT}"))]
    dynamodb_endpoint: String,
    #[arg(long = "parameter", value_name = "NAME=VALUE", help = sinkctl::arguments::PARAMETER, value_parser = sinkctl::arguments::name_and_value)]
    parameters: Vec<(String, String)>,
    /// How many minutes the counts are of.
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=1440))]
    minutes: u64,
    /// Write it as one line of JSON.
    #[arg(long)]
    json: bool,
}

const WRONG: u8 = 1;

pub(crate) async fn run(
    arguments: StatusArguments,
    template: PathBuf,
) -> Result<ExitCode, Box<dyn Error>> {
    let StatusArguments { stage, esm, dynamodb_endpoint, parameters, minutes, json } = arguments;
    let status = if let Some(address) = esm {
        local::read(&Local { template, address, dynamodb_endpoint, minutes }).await?
    } else {
        let stage = Stage { template, stage: stage.unwrap_or_default(), parameters, minutes };
        aws::read(&stage, text::now()).await?
    };
    if json {
        status.write_json(&mut io::stdout())?;
    } else {
        status.write_screen(&mut anstream::stdout())?;
    }
    Ok(match status.verdict() {
        Verdict::Well => ExitCode::SUCCESS,
        Verdict::Wrong => ExitCode::from(WRONG),
        Verdict::Unknown => ExitCode::from(crate::NOT_DONE),
    })
}
