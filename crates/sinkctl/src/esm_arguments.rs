//! The arguments of `sinkctl esm`.

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::{Args, ValueEnum};
use local::stop::{stop, stop_twice};
use local::{dynamodb::DEFAULT_PORT, template::StartingPosition};
use sinkctl::esm::{self, Esm, EsmError, Runner, attempt::PartialRetry, settings::Overrides};

use crate::{SourceArguments, at_least_one, programs};

pub(crate) const EXAMPLES: &str = "\
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

#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[derive(Args)]
pub(crate) struct EsmArguments {
    /// The binaries of the functions whose mappings run [default: all that are enabled].
    #[arg(value_name = "FUNCTION")]
    functions: Vec<String>,
    #[command(flatten)]
    source: SourceArguments,

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
    #[arg(long, value_name = "URL", value_parser = crate::url, default_value_t = format!("http://127.0.0.1:{DEFAULT_PORT}"), help_heading = "Functions")]
    dynamodb_endpoint: String,
    /// How many batches of a function are in flight at most, each in an environment of its own.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = at_least_one, help_heading = "Functions")]
    environments: usize,
    /// How long an invocation may take [default: as in the template; 14 minutes with --invoke-address].
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Functions")]
    timeout: Option<u64>,

    /// The most records of a batch, 1 to 10000.
    #[arg(long, value_name = "N", help_heading = "Instead of the template's")]
    batch_size: Option<u64>,
    /// How long a batch's first record waits for more, 0 to 300.
    #[arg(long, value_name = "SECONDS", help_heading = "Instead of the template's")]
    batching_window: Option<u64>,
    /// The consumer group, of one function.
    #[arg(long, value_name = "NAME", help_heading = "Instead of the template's")]
    group: Option<String>,
    /// Where a partition begins for which the group has no offset.
    #[arg(
        long,
        value_name = "POSITION",
        ignore_case = true,
        help_heading = "Instead of the template's"
    )]
    starting_position: Option<Position>,
    /// With `AT_TIMESTAMP`, the first record's time in seconds since 1970.
    #[arg(
        long,
        value_name = "SECONDS",
        required_if_eq("starting_position", "AT_TIMESTAMP"),
        help_heading = "Instead of the template's"
    )]
    starting_position_timestamp: Option<u64>,
    /// How often a batch is tried again, to 10000; -1 is without end.
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        help_heading = "Instead of the template's"
    )]
    maximum_retry_attempts: Option<i64>,
    /// The age at which a record is given up, 60 to 604800; -1 is any age.
    #[arg(
        long,
        value_name = "SECONDS",
        allow_negative_numbers = true,
        help_heading = "Instead of the template's"
    )]
    maximum_record_age: Option<i64>,
    /// Split a batch that failed in two.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Instead of the template's")]
    bisect_batch_on_function_error: Option<bool>,
    /// Read which records failed from the function's answer.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Instead of the template's")]
    report_batch_item_failures: Option<bool>,
    /// The folder for what is given up, in the form of a destination in S3. As on Lambda it ends retries without end
    /// after ten.
    #[arg(long, value_name = "DIR", help_heading = "Instead of the template's")]
    on_failure: Option<PathBuf>,
    /// What is sent again after the function named the records that failed, which AWS leaves open.
    #[arg(long, value_name = "WHICH", default_value = "listed")]
    partial_retry: Partial,

    /// End once all is committed that the topics held at the start.
    #[arg(long)]
    until_end: bool,
    /// Write the summary as one line of JSON.
    #[arg(long)]
    json: bool,
    /// Show all lines of the functions' logs.
    #[arg(long)]
    verbose: bool,
    /// Tell the status here for `sinkctl status --esm`: an address of this machine only, such as `127.0.0.1:8010`.
    #[arg(long, value_name = "IP:PORT", value_parser = loopback)]
    status_address: Option<SocketAddr>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Position {
    #[value(name = "LATEST")]
    Latest,
    #[value(name = "TRIM_HORIZON")]
    TrimHorizon,
    #[value(name = "AT_TIMESTAMP")]
    AtTimestamp,
}

#[derive(Clone, Copy, ValueEnum)]
enum Partial {
    /// Only the records that it named.
    Listed,
    /// Of each partition the first that it named, and all behind it.
    FromLowest,
}

/// The exit status when not all was done that was to be done.
const INCOMPLETE: u8 = 1;

/// Runs the mappings until someone stops them, and at once if that is wanted twice.
pub(crate) async fn run(arguments: EsmArguments, template: PathBuf) -> Result<ExitCode, EsmError> {
    let esm = arguments.esm(template)?;
    let mut out = io::stdout();
    let result = tokio::select! {
        result = esm::run(&esm, stop(), &mut out) => result,
        () = stop_twice() => Err(EsmError::Interrupted),
    };
    match result {
        Ok(summary) if summary.functions.values().all(|it| it.given_up == 0) => {
            Ok(ExitCode::SUCCESS)
        }
        Ok(_) => Ok(ExitCode::from(INCOMPLETE)),
        Err(error @ (EsmError::NotAtEnd | EsmError::Interrupted)) => {
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

impl EsmArguments {
    fn esm(self, template: PathBuf) -> Result<Esm, EsmError> {
        if self.starting_position_timestamp.is_some()
            && self.starting_position != Some(Position::AtTimestamp)
        {
            return Err(EsmError::NeedlessTimestamp);
        }
        let programs = programs(self.release, self.build_dir);
        let timestamp = self.starting_position_timestamp.unwrap_or_default();
        Ok(Esm {
            template,
            parameters: self.source.parameters,
            functions: self.functions,
            bootstrap_servers: self.source.bootstrap_servers,
            properties: self.source.properties,
            runner: self.invoke_address.map_or(Runner::Here(programs), Runner::Address),
            dynamodb_endpoint: self.dynamodb_endpoint,
            overrides: Overrides {
                group: self.group,
                starting_position: self.starting_position.map(|position| match position {
                    Position::Latest => StartingPosition::Latest,
                    Position::TrimHorizon => StartingPosition::TrimHorizon,
                    Position::AtTimestamp => StartingPosition::AtTimestamp(timestamp),
                }),
                batch_size: self.batch_size,
                batching_window: self.batching_window,
                maximum_retry_attempts: self.maximum_retry_attempts,
                maximum_record_age: self.maximum_record_age,
                bisect_batch_on_function_error: self.bisect_batch_on_function_error,
                report_batch_item_failures: self.report_batch_item_failures,
                partial_retry: Some(match self.partial_retry {
                    Partial::Listed => PartialRetry::Listed,
                    Partial::FromLowest => PartialRetry::FromLowest,
                }),
                has_destination: self.on_failure.is_some(),
            },
            on_failure: self.on_failure,
            environments: self.environments,
            timeout: self.timeout.map(Duration::from_secs),
            until_end: self.until_end,
            json: self.json,
            verbose: self.verbose,
            status_address: self.status_address,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
