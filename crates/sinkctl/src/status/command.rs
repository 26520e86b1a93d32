//! The command line of `sinkctl status`.

use std::{io, path::Path, process::ExitCode};

use clap::Args;
use local::dynamodb::DEFAULT_PORT;

use super::{aws, esm, judge::Verdict};
use crate::arguments::{PARAMETER, STAGE, name_and_value, url};

pub const EXAMPLES: &str = "\
Examples:
  sinkctl status --stage master
  sinkctl status --stage val --minutes 60 --json
  sinkctl status --esm http://127.0.0.1:8010       what `sinkctl esm --status-address 127.0.0.1:8010` runs

Credentials and region are those of the AWS CLI (`AWS_PROFILE`, `AWS_REGION`). What is wrong is what the template's alarms
say, beside mappings that don't poll or fail, and records in the quarantine. A local mapping has no alarms: of it records
that were given up or regressed are wrong, and those whose quarantine or tombstone failed. Each part that cannot be read
says why, and the rest is shown.

Exit status: 0 when all was read and nothing is wrong, 1 when something is wrong, 2 when nothing is known to be wrong but
not everything could be read, or nothing at all.";

#[derive(Args, Clone, Debug)]
pub struct StatusArguments {
    #[arg(long, value_name = "NAME", help = STAGE, required_unless_present = "esm")]
    pub(super) stage: Option<String>,
    /// A local event source mapping instead, at the address that `sinkctl esm --status-address` prints.
    #[arg(long, value_name = "URL", value_parser = url, conflicts_with_all = ["stage", "parameters"])]
    pub(super) esm: Option<String>,
    /// The local DynamoDB of that mapping.
    #[arg(long, value_name = "URL", value_parser = url, default_value_t = format!("http://127.0.0.1:{DEFAULT_PORT}"))]
    pub(super) dynamodb_endpoint: String,
    #[arg(long = "parameter", value_name = "NAME=VALUE", help = PARAMETER, value_parser = name_and_value)]
    pub(super) parameters: Vec<(String, String)>,
    /// How many minutes the counts are of.
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=1440))]
    pub(super) minutes: u64,
    /// Write it as one line of JSON.
    #[arg(long)]
    pub(super) json: bool,
}

const WRONG: u8 = 1;
const INCOMPLETE: u8 = 2;

/// Asks for all of it, and writes it.
pub async fn run(arguments: &StatusArguments, template: &Path) -> anyhow::Result<ExitCode> {
    let status = match (&arguments.esm, &arguments.stage) {
        (Some(address), _) => esm::read(address, arguments, template).await?,
        (None, stage) => {
            aws::read(stage.as_deref().unwrap_or_default(), arguments, template).await?
        }
    };
    if arguments.json {
        status.write_json(&mut io::stdout())?;
    } else {
        status.write_screen(&mut anstream::stdout())?;
    }
    Ok(match status.verdict() {
        Verdict::Well => ExitCode::SUCCESS,
        Verdict::Wrong => ExitCode::from(WRONG),
        Verdict::Unknown => ExitCode::from(INCOMPLETE),
    })
}
