//! The command line: reads the arguments and passes them on.

#![expect(unreachable_pub, reason = "in a program `pub` says that other modules use it")]

mod arguments;
mod command;

#[cfg(feature = "kafka")]
mod esm;
#[cfg(feature = "kafka")]
mod kafka;

mod demo;
mod serve;

mod item_json;
mod tables;

#[cfg(feature = "kafka")]
mod audit;
mod quarantine;
mod status;
mod tail;

mod aws_error;
mod text;
mod visible;

use std::{
    io::{self, Write as _},
    process::ExitCode,
    time::Duration,
};

use clap::Parser as _;
use command::{Arguments, is_closed_output};
use tokio::runtime::Runtime;

/// How long what is still at work may take when the command has ended.
const SHUTDOWN_TIME: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let (failure, may_be_cut_short) = (arguments.failure(), arguments.may_be_cut_short());
    let result = Runtime::new().map_err(anyhow::Error::from).and_then(|runtime| {
        let result = runtime.block_on(arguments.run());
        runtime.shutdown_timeout(SHUTDOWN_TIME);
        result
    });
    match result {
        Ok(status) => status,
        Err(error) if may_be_cut_short && is_closed_output(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // There is no better place to say that standard error is closed.
            let _: io::Result<()> = writeln!(io::stderr(), "error: {error:#}");
            failure
        }
    }
}
