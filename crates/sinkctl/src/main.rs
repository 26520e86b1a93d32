//! The command line: reads the arguments and passes them on.

mod bench_arguments;
#[cfg(feature = "aws")]
mod quarantine_arguments;
#[cfg(feature = "aws")]
mod status_arguments;
mod tail_arguments;

use std::{
    error::Error,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use local::{chain::chain, dynamodb::DEFAULT_PORT, template::Template};

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;
#[cfg(feature = "kafka")]
use sinkctl::{audit, esm};
use sinkctl::{
    demo::{self, Demo},
    serve::{self, Serve},
};
use tokio::runtime::Runtime;

/// Runs compare-connector without AWS, and says how its stages in AWS are.
#[derive(Parser)]
#[command(version, arg_required_else_help = true, after_help = EXAMPLES)]
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
    /// Measures what the functions cost, behind a stand-in for DynamoDB with a fixed latency.
    #[command(after_help = bench_arguments::EXAMPLES)]
    Bench(Box<bench_arguments::BenchArguments>),
    #[command(
        about = "Serves an embedded DynamoDB with the template's tables until Ctrl-C",
        after_help = DYNAMODB_EXAMPLES
    )]
    Dynamodb(DynamodbArguments),
    /// Compares a sink's tables with what its topic says, record by record.
    #[cfg(feature = "kafka")]
    #[command(after_help = audit::EXAMPLES)]
    Audit(audit::Audit),
    /// Runs the template's event source mappings: a real Kafka's records to the functions.
    #[cfg(feature = "kafka")]
    #[command(after_help = esm::EXAMPLES)]
    Esm(Box<esm::Esm>),
    /// Shows the records that could not be written, delivers them again, or drops them.
    #[cfg(feature = "aws")]
    #[command(after_help = quarantine_arguments::EXAMPLES)]
    Quarantine(Box<quarantine_arguments::QuarantineArguments>),
    /// Says on one screen whether all is well with a stage, and what to do if not.
    #[cfg(feature = "aws")]
    #[command(after_help = status_arguments::EXAMPLES)]
    Status(status_arguments::StatusArguments),
    /// Follows a function's log: a line for each batch, and for each record to look at.
    #[command(after_help = tail_arguments::EXAMPLES)]
    Tail(tail_arguments::TailArguments),
    /// Writes a shell's completions of this command.
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions {
        /// The shell.
        shell: Shell,
    },
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
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = sinkctl::arguments::at_least_one)]
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

const EXAMPLES: &str = "\
Examples:
  sinkctl demo
  sinkctl help demo

Exit status: 0 when it did what it was to do, 2 for a command line that it doesn't understand; what each command means by
1 and 2 stands in its own help. Colours and progress are for terminals only, and colours not with `NO_COLOR`.";

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  sinkctl completions bash > ~/.local/share/bash-completion/completions/sinkctl
  sinkctl completions zsh > ~/.zfunc/_sinkctl      with ~/.zfunc in `fpath`
  sinkctl completions fish > ~/.config/fish/completions/sinkctl.fish

Exit status: 0 when it was written, 1 otherwise.";

const DEMO_EXAMPLES: &str = "\
Examples:
  sinkctl demo
  sinkctl demo --environments 1        one event at a time
  sinkctl demo --release --events DIR  other events, as fast as on Lambda
  sinkctl demo --build-dir .aws-sam/build  the programs that are deployed

Exit status: 0 when all went well, 1 when an invocation failed, the second round changed anything, or it could not run.";

const DYNAMODB_EXAMPLES: &str = "\
Examples:
  sinkctl dynamodb
  sinkctl dynamodb --port 8001 --data target/dynamodb

Then, in two other terminals:
  cargo lambda watch
  cargo lambda invoke sinkAppianData --data-file events/appian.json

Exit status: 0 when it was ended, 1 when it could not serve.";

/// The exit status of what could not run, where 1 means something else; it is that of a wrong command line too.
const NOT_DONE: u8 = 2;

/// How long what is still at work may take when the command has ended.
const SHUTDOWN_TIME: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let failure = match arguments.command {
        #[cfg(feature = "kafka")]
        Command::Audit(_) | Command::Esm(_) => ExitCode::from(NOT_DONE),
        #[cfg(feature = "aws")]
        Command::Quarantine(_) | Command::Status(_) => ExitCode::from(NOT_DONE),
        Command::Tail(_) => ExitCode::from(NOT_DONE),
        Command::Bench(_)
        | Command::Completions { .. }
        | Command::Demo(_)
        | Command::Dynamodb(_) => ExitCode::FAILURE,
    };
    let result = Runtime::new().map_err(Box::from).and_then(|runtime| {
        let result = runtime.block_on(run(arguments));
        runtime.shutdown_timeout(SHUTDOWN_TIME);
        result
    });
    match result {
        Ok(status) => status,
        // Whoever closed the pipe, such as `head`, has seen enough.
        Err(error) if is_broken_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            let text = chain(&*error);
            // There is no better place to say that standard error is closed.
            let _: io::Result<()> = writeln!(io::stderr(), "error: {text}");
            failure
        }
    }
}

/// Only an error of writing by itself: one below another may be of a connection, and that must be told.
fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|it| it.kind() == io::ErrorKind::BrokenPipe)
}

async fn run(Arguments { command, template }: Arguments) -> Result<ExitCode, Box<dyn Error>> {
    match command {
        Command::Bench(arguments) => bench_arguments::run(*arguments, found(template)?).await?,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "sinkctl", &mut script);
            io::stdout().write_all(&script)?;
        }
        Command::Demo(DemoArguments { release, build_dir, environments, events }) => {
            let template = found(template)?;
            let directory = template.parent().map_or_else(PathBuf::new, PathBuf::from);
            let events = events.unwrap_or_else(|| directory.join("events"));
            let programs = sinkctl::arguments::programs(release, build_dir);
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
            let template = found(template)?;
            serve::run(&Serve { template, port, data }, stop, &mut io::stdout()).await?;
        }
        #[cfg(feature = "kafka")]
        Command::Audit(audit) => return Ok(audit::run(&audit, &found(template)?).await?),
        #[cfg(feature = "kafka")]
        Command::Esm(esm) => return Ok(esm::run(*esm, &found(template)?).await?),
        #[cfg(feature = "aws")]
        Command::Quarantine(arguments) => {
            return quarantine_arguments::run(*arguments, found(template)?).await;
        }
        #[cfg(feature = "aws")]
        Command::Status(arguments) => {
            return status_arguments::run(arguments, found(template)?).await;
        }
        Command::Tail(arguments) => tail_arguments::run(arguments, template).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The template that was named, or that of the workspace that this is.
fn found(template: Option<PathBuf>) -> Result<PathBuf, Box<dyn Error>> {
    match template {
        Some(template) => Ok(template),
        None => Ok(Template::find(&std::env::current_dir()?)?),
    }
}

#[cfg(test)]
mod tests {
    use clap::Command;

    use super::*;

    #[test]
    fn only_a_closed_output_is_no_error() {
        #[track_caller]
        fn check(error: &(dyn Error + 'static), expected: bool) {
            assert_eq!(is_broken_pipe(error), expected);
        }

        let closed = || io::Error::from(io::ErrorKind::BrokenPipe);
        check(&closed(), true);
        check(&io::Error::from(io::ErrorKind::NotFound), false);
        // What else is wrong may have a lost connection as its cause.
        check(&serve::ServeError::Write(closed()), false);
    }

    #[test]
    fn each_command_has_examples_and_says_its_exit_status() {
        fn check(command: &Command, path: &str) -> usize {
            let name = format!("{path}{}", command.get_name());
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            assert!(!about.is_empty(), "`{name}` says what it does");
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let example = format!("\n  {name} ");
            let is_shown = help.contains(&example) || help.contains(&example.replace(" \n", "\n"));
            let is_shown = is_shown || help.contains(&format!("\n  {name}\n"));
            assert!(help.starts_with("Examples:\n") && is_shown, "`{name}` has an example: {help}");
            assert!(help.contains("\nExit status: 0 "), "`{name}` says its exit status: {help}");
            for argument in command.get_arguments() {
                let id = argument.get_id();
                assert!(argument.get_help().is_some(), "`{name}` says what `{id}` is");
            }
            let below = command.get_subcommands().filter(|it| it.get_name() != "help");
            1 + below.map(|it| check(it, &format!("{name} "))).sum::<usize>()
        }

        let command = Arguments::command();
        command.clone().debug_assert();
        let readme = include_str!("../README.md");
        let (_, section) = readme.split_once("\n## Exit statuses\n").unwrap();
        let section = section.split("\n## ").next().unwrap();
        for below in command.get_subcommands() {
            let name = format!("`{}`", below.get_name());
            assert!(section.contains(&name), "the README says the exit statuses of {name}");
        }
        let commands = check(&command, "");
        assert!(commands >= 6, "{commands}");
    }
}
