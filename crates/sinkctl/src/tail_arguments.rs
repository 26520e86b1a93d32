//! The command line of `sinkctl tail`.

use std::{
    error::Error,
    fs::File,
    io::{self, BufReader},
    path::PathBuf,
};

use clap::Args;
use sinkctl::tail;

pub(crate) const EXAMPLES: &str = "\
Examples:
  sinkctl esm --verbose 2>&1 | sinkctl tail -
  sinkctl tail function.log
  sinkctl tail sinkSeatoolData --stage master --since 1h    with the feature `aws`

A batch is one line: what became of its records, its time and its requests. A record that was rejected, failed or
regressed is one with its topic, partition, offset and the reason; keys and values are in no log. Of Lambda's own lines
each invocation's report stays. What is no JSON passes as it is, without what a terminal would obey. Times are UTC.

Exit status: 0 at the log's end or when it was ended, 2 when it can't be read.";

#[derive(Args)]
pub(crate) struct TailArguments {
    /// A file, or `-` for standard input; with --stage a function's binary.
    #[arg(value_name = "FUNCTION|FILE|-")]
    source: String,
    #[cfg(feature = "aws")]
    #[arg(long, value_name = "NAME", help = sinkctl::arguments::STAGE)]
    stage: Option<String>,
    #[cfg(feature = "aws")]
    #[arg(long = "parameter", value_name = "NAME=VALUE", help = sinkctl::arguments::PARAMETER, value_parser = sinkctl::arguments::name_and_value, requires = "stage")]
    parameters: Vec<(String, String)>,
    /// How far back to begin: a number and `s`, `m`, `h` or `d`.
    #[cfg(feature = "aws")]
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = sinkctl::text::duration, requires = "stage")]
    since: std::time::Duration,
    /// End with what stands in the log now.
    #[cfg(feature = "aws")]
    #[arg(long, requires = "stage")]
    no_follow: bool,
}

/// Occurs when a file can't be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read `{}`: `-` is standard input, and a function of AWS needs --stage", path.display())]
struct FileError {
    path: PathBuf,
    source: io::Error,
}

pub(crate) async fn run(
    arguments: TailArguments,
    template: Option<PathBuf>,
) -> Result<(), Box<dyn Error>> {
    #[cfg(feature = "aws")]
    if let Some(stage) = &arguments.stage {
        return follow(&arguments, stage, &crate::found(template)?).await;
    }
    // Files and standard input need none.
    drop(template);
    if arguments.source == "-" {
        let copy = move || tail::copy(io::stdin().lock(), &mut anstream::stdout());
        tokio::task::spawn_blocking(copy).await??;
    } else {
        let path = PathBuf::from(arguments.source);
        let file = File::open(&path).map_err(|source| FileError { path, source })?;
        let copy = move || tail::copy(BufReader::new(file), &mut anstream::stdout());
        tokio::task::spawn_blocking(copy).await??;
    }
    Ok(())
}

use local::samconfig;

#[cfg(feature = "aws")]
async fn follow(
    arguments: &TailArguments,
    stage: &str,
    template: &std::path::Path,
) -> Result<(), Box<dyn Error>> {
    use sinkctl::{
        status::aws,
        tail::logs::{self, Follow},
    };

    let functions = samconfig::template(template, Some(stage), &arguments.parameters)?.functions;
    let Some(function) = functions.iter().find(|it| it.binary == arguments.source) else {
        let known: Vec<_> = functions.iter().map(|it| format!("`{}`", it.binary)).collect();
        let (source, known) = (&arguments.source, known.join(", "));
        return Err(format!("the template has no function `{source}`, but {known}").into());
    };
    let config = aws::config().await?;
    let follow = Follow {
        log_group: function.log_group.clone(),
        since: arguments.since,
        follows: !arguments.no_follow,
    };
    let client = aws_sdk_cloudwatchlogs::Client::new(&config);
    Ok(logs::run(&follow, &client, &mut anstream::stdout()).await?)
}
