//! The commands and their arguments.

use std::{
    ffi::OsString,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;
use local::{build::cargo, template::Template};

#[cfg(feature = "kafka")]
use crate::{audit, esm};
use crate::{demo, quarantine, serve, status, tail};

/// Runs compare-connector without AWS, and says how its stages in AWS are.
#[derive(Parser)]
#[command(version, arg_required_else_help = true, after_help = EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// The template [default: `template.yaml` here or in a directory above].
    #[arg(long, value_name = "FILE", global = true)]
    template: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Sends all sample events through the functions' binaries, twice, and shows the tables.
    #[command(after_help = demo::EXAMPLES)]
    Demo(demo::Demo),
    /// Measures what the functions cost: builds the workspace's program `bench` for release, and runs it.
    #[command(after_help = BENCH_EXAMPLES, disable_help_flag = true)]
    Bench {
        /// Those of `bench`, which its own `--help` explains.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    #[command(
        about = "Serves an embedded DynamoDB with the template's tables until Ctrl-C",
        after_help = serve::EXAMPLES
    )]
    Dynamodb(serve::Serve),
    /// Compares a sink's tables with what its topic says, record by record.
    #[cfg(feature = "kafka")]
    #[command(after_help = audit::EXAMPLES)]
    Audit(audit::Audit),
    /// Runs the template's event source mappings: a real Kafka's records to the functions.
    #[cfg(feature = "kafka")]
    #[command(after_help = esm::EXAMPLES)]
    Esm(Box<esm::Esm>),
    /// Shows the records that could not be written, delivers them again, or drops them.
    #[command(subcommand, after_help = quarantine::EXAMPLES)]
    Quarantine(quarantine::Quarantine),
    /// Says on one screen whether all is well with a stage, and what to do if not.
    #[command(after_help = status::EXAMPLES)]
    Status(status::StatusArguments),
    /// Follows a function's log: a line for each batch, and for each record to look at.
    #[command(after_help = tail::EXAMPLES)]
    Tail(tail::TailArguments),
    /// Writes a shell's completions of this command.
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions {
        /// The shell.
        shell: Shell,
    },
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

const BENCH_EXAMPLES: &str = "\
Examples:
  sinkctl bench --baseline
  sinkctl bench --help

Exit status: 0 when it was measured, 1 otherwise.";

/// The exit status of what could not run, where 1 means something else; it is that of a wrong command line too.
const NOT_DONE: u8 = 2;

impl Arguments {
    /// Does what they say.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let template = || match self.template {
            Some(template) => Ok(template),
            None => Ok(Template::find(&std::env::current_dir()?)?),
        };
        match self.command {
            Command::Demo(demo) => demo::run(demo, &template()?, &mut io::stdout()).await?,
            Command::Bench { arguments } => return bench(&template()?, arguments).await,
            Command::Dynamodb(serve) => {
                let stop = async {
                    // Without a handler for Ctrl-C the system's own way of stopping it remains.
                    if tokio::signal::ctrl_c().await.is_err() {
                        std::future::pending::<()>().await;
                    }
                };
                serve::run(&serve, &template()?, stop, &mut io::stdout()).await?;
            }
            #[cfg(feature = "kafka")]
            Command::Audit(audit) => return audit::run(&audit, &template()?).await,
            #[cfg(feature = "kafka")]
            Command::Esm(esm) => return esm::run(*esm, &template()?).await,
            Command::Quarantine(command) => return quarantine::run(command, &template()?).await,
            Command::Status(arguments) => return status::run(&arguments, &template()?).await,
            Command::Tail(arguments) => tail::run(arguments, template).await?,
            Command::Completions { shell } => {
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut Self::command(), "sinkctl", &mut script);
                io::stdout().write_all(&script)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The exit status when the command could not be done.
    pub fn failure(&self) -> ExitCode {
        let is_one = matches!(
            self.command,
            Command::Bench { .. }
                | Command::Completions { .. }
                | Command::Demo(_)
                | Command::Dynamodb(_)
        );
        if is_one { ExitCode::FAILURE } else { ExitCode::from(NOT_DONE) }
    }

    /// Whether a reader that goes away, such as `head`, has seen enough: not where the status says more than that
    /// something was shown.
    pub fn may_be_cut_short(&self) -> bool {
        !matches!(self.command, Command::Demo(_) | Command::Dynamodb(_))
    }
}

/// Not linked into this program, so that a first demo does not wait for what only the benchmark needs to be built.
async fn bench(template: &Path, arguments: Vec<OsString>) -> anyhow::Result<ExitCode> {
    let manifest = template.with_file_name("Cargo.toml");
    let mut command = tokio::process::Command::new(cargo());
    command.args(["run", "--release", "--package", "bench", "--manifest-path"]).arg(manifest);
    let status = command.arg("--").args(arguments).status().await?;
    // Cargo ends as the program does, or with a status of its own where it could not build it.
    Ok(match status.code() {
        Some(0) => ExitCode::SUCCESS,
        Some(2) => ExitCode::from(NOT_DONE),
        _ => ExitCode::FAILURE,
    })
}

/// Only an error of writing by itself: one below another may be of a connection, and that must be said.
pub fn is_closed_output(error: &anyhow::Error) -> bool {
    let error = error.chain().next().and_then(|it| it.downcast_ref::<io::Error>());
    error.is_some_and(|it| it.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use clap::Command;

    use super::*;

    #[test]
    fn only_a_closed_output_is_no_error() {
        #[track_caller]
        fn check(error: &anyhow::Error, expected: bool) {
            assert_eq!(is_closed_output(error), expected);
        }

        let closed = || io::Error::from(io::ErrorKind::BrokenPipe);
        check(&closed().into(), true);
        check(&io::Error::from(io::ErrorKind::NotFound).into(), false);
        // What else is wrong may have a lost connection as its cause.
        check(&anyhow::Error::from(closed()).context("no answer"), false);
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
