//! The command line: reads the arguments and passes them on.

#[cfg(feature = "kafka")]
mod esm_arguments;

use std::{
    error::Error,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand};
use sinkctl::{
    build::{Profile, Programs},
    chain::chain,
    demo::{self, Demo},
    dynamodb::DEFAULT_PORT,
    serve::{self, Serve},
    template::Template,
};

/// Runs compare-connector without AWS.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// The template [default: `template.yaml` here or in a directory above].
    #[arg(long, value_name = "FILE", global = true)]
    template: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Sends all sample events through the functions' binaries, twice, and shows the tables.
    #[command(after_help = DEMO_EXAMPLES)]
    Demo(DemoArguments),
    #[command(
        about = "Serves an embedded DynamoDB with the template's tables until Ctrl-C",
        after_help = DYNAMODB_EXAMPLES
    )]
    Dynamodb(DynamodbArguments),
    /// Runs the template's event source mappings: a real Kafka's records to the functions.
    #[cfg(feature = "kafka")]
    #[command(after_help = esm_arguments::EXAMPLES)]
    Esm(Box<esm_arguments::EsmArguments>),
}

#[derive(Args)]
struct DemoArguments {
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

#[derive(Args)]
struct DynamodbArguments {
    /// The port; 0 takes a free one.
    #[arg(long, default_value_t = DEFAULT_PORT)]
    port: u16,
    /// Keep the items in this file instead of in memory.
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
}

const DEMO_EXAMPLES: &str = "\
Examples:
  sinkctl demo
  sinkctl demo --environments 1        one event at a time
  sinkctl demo --release --events DIR  other events, as fast as on Lambda
  sinkctl demo --build-dir .aws-sam/build  the programs that are deployed

It fails when an invocation fails, or when the second round changes anything.";

const DYNAMODB_EXAMPLES: &str = "\
Examples:
  sinkctl dynamodb
  sinkctl dynamodb --port 8001 --data target/dynamodb

Then, in two other terminals:
  cargo lambda watch
  cargo lambda invoke sinkAppianData --data-file events/appian.json";

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // There is no better place to say that standard error is closed.
            let _: io::Result<()> = writeln!(io::stderr(), "error: {}", chain(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn run(Arguments { command, template }: Arguments) -> Result<(), Box<dyn Error>> {
    let template = match template {
        Some(template) => template,
        None => Template::find(&std::env::current_dir()?)?,
    };
    let directory = template.parent().map_or_else(PathBuf::new, PathBuf::from);
    match command {
        Command::Demo(DemoArguments { release, build_dir, environments, events }) => {
            let events = events.unwrap_or_else(|| directory.join("events"));
            let profile = if release { Profile::Release } else { Profile::Dev };
            let programs = build_dir.map_or(Programs::Cargo(profile), Programs::SamBuild);
            demo::run(&Demo { template, events, programs, environments }, &mut io::stdout())
                .await?;
        }
        Command::Dynamodb(DynamodbArguments { port, data }) => {
            let stop = async {
                // Without a handler for Ctrl-C the system's own way of stopping it remains.
                if tokio::signal::ctrl_c().await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            serve::run(&Serve { template, port, data }, stop, &mut io::stdout()).await?;
        }
        #[cfg(feature = "kafka")]
        Command::Esm(arguments) => esm_arguments::run(*arguments, template).await?,
    }
    Ok(())
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number >= 1 => Ok(number),
        _ => Err("expected a whole number from 1".to_owned()),
    }
}
