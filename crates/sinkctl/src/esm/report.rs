//! What is told while it runs: progress, and the functions' logs.

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal as _, Write as _},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use local::lock::lock;
use serde_json::Value;

use super::summary::Counts;
use crate::text::counted;

/// How often the same trouble is told.
const QUIET_TIME: Duration = Duration::from_secs(10);

/// How often progress is told where there is no terminal.
const LINE_TIME: Duration = Duration::from_secs(5);

/// How often it is shown on a terminal.
const REDRAW_TIME: Duration = Duration::from_millis(200);

/// How many lines of an invocation's log are told: a batch that fails has one for each of its records.
const MAX_LOG_LINES: usize = 5;

/// Standard error, with the progress on its last lines if it is a terminal.
#[derive(Debug)]
pub(super) struct Report {
    progress: Option<MultiProgress>,
    is_verbose: bool,
    told: Mutex<BTreeMap<String, Instant>>,
}

impl Report {
    pub(super) fn new(is_verbose: bool) -> Self {
        let progress = io::stderr().is_terminal().then(MultiProgress::new);
        Self { progress, is_verbose, told: Mutex::default() }
    }

    /// Tells a line.
    pub(super) fn line(&self, line: &str) {
        // There is no better place to say that standard error is closed.
        let _: io::Result<()> = match &self.progress {
            Some(progress) => progress.println(line),
            None => writeln!(io::stderr(), "{line}"),
        };
    }

    /// Tells of trouble that may repeat itself fast.
    pub(super) fn trouble(&self, line: &str) {
        self.trouble_of_kind(line, line);
    }

    /// Tells of trouble that may repeat itself fast in other words.
    pub(super) fn trouble_of_kind(&self, kind: &str, line: &str) {
        let now = Instant::now();
        let mut told = lock(&self.told);
        told.retain(|_, time| now.duration_since(*time) < QUIET_TIME);
        if !told.contains_key(kind) {
            told.insert(kind.to_owned(), now);
            drop(told);
            self.line(line);
        }
    }

    /// Tells of a function's log what someone should see.
    pub(super) fn log(&self, function: &str, log: &[String]) {
        let notable: Vec<_> =
            log.iter().filter(|line| self.is_verbose || is_notable(line)).collect();
        let max_lines = if self.is_verbose { notable.len() } else { MAX_LOG_LINES };
        for line in notable.iter().take(max_lines) {
            self.line(&format!("{function}: {line}"));
        }
        if notable.len() > max_lines {
            let more = counted(notable.len() - max_lines, "more line");
            self.line(&format!("{function}: and {more}; `--verbose` shows them"));
        }
    }

    /// Tells the progress of the functions until it is dropped.
    pub(super) async fn progress(self: Arc<Self>, functions: Vec<(String, Arc<Counts>)>) {
        let style = ProgressStyle::with_template("{spinner} {msg}").ok();
        let bars: Vec<_> = functions
            .iter()
            .map(|_| {
                let bar = ProgressBar::new_spinner();
                let bar = style.clone().map_or(bar.clone(), |style| bar.with_style(style));
                self.progress.as_ref().map(|progress| progress.add(bar))
            })
            .collect();
        let period = if self.progress.is_some() { REDRAW_TIME } else { LINE_TIME };
        let mut said = vec![String::new(); functions.len()];
        loop {
            tokio::time::sleep(period).await;
            for (position, (name, counts)) in functions.iter().enumerate() {
                let in_flight = counted(counts.in_flight.get(), "batch");
                let text = format!("{name}: {}; {in_flight} in flight", counts.summary());
                match &bars[position] {
                    Some(bar) => {
                        bar.set_message(text);
                        bar.tick();
                    }
                    None if text != said[position] => {
                        self.line(&text);
                        said[position] = text;
                    }
                    None => {}
                }
            }
        }
    }

    /// Takes the progress off the terminal.
    pub(super) fn end(&self) {
        if let Some(progress) = &self.progress {
            let _: io::Result<()> = progress.clear();
        }
    }
}

/// Whether a line is no batch's, and more than information.
fn is_notable(line: &str) -> bool {
    match serde_json::from_str::<Value>(line) {
        Ok(Value::Object(members)) => {
            let level = members.get("level").and_then(Value::as_str);
            !members.contains_key("_aws") && matches!(level, Some("WARN" | "ERROR"))
        }
        // A panic's message, or what the system said.
        _ => !line.trim().is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notable_lines_are_neither_batches_nor_information() {
        #[track_caller]
        fn check(line: &str, expected: bool) {
            assert_eq!(is_notable(line), expected, "{line}");
        }

        check(r#"{"level":"INFO","_aws":{},"received":3}"#, false);
        check(r#"{"level":"ERROR","_aws":{}}"#, false);
        check(r#"{"level":"INFO","message":"m"}"#, false);
        check(r#"{"level":"WARN","message":"m"}"#, true);
        check(r#"{"level":"ERROR","message":"m"}"#, true);
        check("thread 'main' panicked", true);
        check("", false);
    }
}
