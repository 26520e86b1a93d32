//! The functions' logs, as one readable line for each batch and each record that someone may have to look at.

pub mod format;

pub mod logs;

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Write},
    path::PathBuf,
};

use anyhow::Context as _;
use clap::Args;

pub const EXAMPLES: &str = "\
Examples:
  sinkctl esm --verbose 2>&1 | sinkctl tail -
  sinkctl tail function.log
  sinkctl tail sinkSeatoolData --stage master --since 1h

A batch is one line: what became of its records, its time and its requests. A record that was rejected, failed or
regressed is one with its topic, partition, offset and the reason; keys and values are in no log. Of Lambda's own lines
each invocation's report stays. What is no JSON passes as it is, without what a terminal would obey. Times are UTC.

Exit status: 0 at the log's end or when it was ended, 2 when it cannot be read.";

#[derive(Args, Clone, Debug)]
pub struct TailArguments {
    /// A file, or `-` for standard input; with --stage a function's binary.
    #[arg(value_name = "FUNCTION|FILE|-")]
    source: String,
    #[arg(long, value_name = "NAME", help = crate::arguments::STAGE)]
    stage: Option<String>,
    #[arg(long = "parameter", value_name = "NAME=VALUE", help = crate::arguments::PARAMETER, value_parser = crate::arguments::name_and_value, requires = "stage")]
    parameters: Vec<(String, String)>,
    /// How far back to begin: a number and `s`, `m`, `h` or `d`.
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = crate::text::duration, requires = "stage")]
    since: std::time::Duration,
    /// End with what stands in the log now.
    #[arg(long, requires = "stage")]
    no_follow: bool,
}

/// Writes the lines of a file, of standard input, or of a function's log. `template` finds the template, which only the
/// last needs.
pub async fn run(
    arguments: TailArguments,
    template: impl FnOnce() -> anyhow::Result<PathBuf>,
) -> anyhow::Result<()> {
    if let Some(stage) = &arguments.stage {
        return logs::follow(&arguments, stage, &template()?).await;
    }
    let lines: Box<dyn BufRead + Send> = if arguments.source == "-" {
        Box::new(BufReader::new(io::stdin()))
    } else {
        let path = PathBuf::from(arguments.source);
        let file = File::open(&path).with_context(|| {
            let path = path.display();
            format!(
                "cannot read `{path}`: `-` is standard input, and a function of AWS needs --stage"
            )
        })?;
        Box::new(BufReader::new(file))
    };
    tokio::task::spawn_blocking(move || copy(lines, &mut anstream::stdout())).await??;
    Ok(())
}

fn copy(mut lines: impl BufRead, out: &mut dyn Write) -> io::Result<()> {
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        let text = String::from_utf8_lossy(&line);
        if let Some(text) = format::line(text.trim_end_matches(['\r', '\n'])) {
            writeln!(out, "{text}")?;
            out.flush()?;
        }
        line.clear();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_one_by_one() {
        let lines = b"one\r\n{\"type\":\"platform.start\",\"record\":{}}\nt\xffwo\x1b\n\nthree";
        let mut out = Vec::new();
        copy(lines.as_slice(), &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "one\nt\u{fffd}wo\\u{1b}\n\nthree\n");
    }
}
