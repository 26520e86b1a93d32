//! What is written while it runs: progress, and the functions' logs.

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal as _, Write as _},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anstream::{AutoStream, ColorChoice, adapter::strip_str};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use local::lock::lock;
use serde_json::Value;

use super::poll::Mapping;
use crate::{tail::format, text::counted};

/// How often the same trouble is written.
const QUIET_TIME: Duration = Duration::from_secs(10);

/// How often progress is written where there is no terminal.
const LINE_TIME: Duration = Duration::from_secs(5);

/// How often it is shown on a terminal.
const REDRAW_TIME: Duration = Duration::from_millis(200);

/// How many lines of an invocation's log are shown: a batch that fails has one for each of its records.
const MAX_LOG_LINES: usize = 5;

/// Standard error, with the progress on its last lines if it is a terminal.
#[derive(Debug)]
pub(super) struct Report {
    progress: Option<MultiProgress>,
    is_verbose: bool,
    /// Of the functions' lines as `sinkctl tail` shows them; `None` where they are shown as they are, for programs.
    colours: Option<ColorChoice>,
    /// When a line of trouble was written last.
    written: Mutex<BTreeMap<String, Instant>>,
}

impl Report {
    pub(super) fn new(is_verbose: bool, is_raw: bool) -> Self {
        let stderr = io::stderr();
        let is_terminal = stderr.is_terminal();
        let colours = (is_terminal && !is_raw).then(|| AutoStream::choice(&stderr));
        let progress = is_terminal.then(MultiProgress::new);
        Self { progress, is_verbose, colours, written: Mutex::default() }
    }

    /// Writes a line.
    pub(super) fn line(&self, line: &str) {
        // There is no better place to say that standard error is closed.
        let _: io::Result<()> = match &self.progress {
            Some(progress) => progress.println(line),
            None => writeln!(io::stderr(), "{line}"),
        };
    }

    /// Writes of trouble that may repeat itself fast.
    pub(super) fn trouble(&self, line: &str) {
        self.trouble_of_kind(line, line);
    }

    /// Writes of trouble that may repeat itself fast in other words.
    pub(super) fn trouble_of_kind(&self, kind: &str, line: &str) {
        let now = Instant::now();
        let mut written = lock(&self.written);
        written.retain(|_, time| now.duration_since(*time) < QUIET_TIME);
        if !written.contains_key(kind) {
            written.insert(kind.to_owned(), now);
            drop(written);
            self.line(line);
        }
    }

    /// Writes what someone should see of a function's log.
    pub(super) fn log(&self, function: &str, log: &[String]) {
        let notable: Vec<_> =
            log.iter().filter(|line| self.is_verbose || is_notable(line)).collect();
        let max_lines = if self.is_verbose { notable.len() } else { MAX_LOG_LINES };
        for line in notable.iter().take(max_lines) {
            if let Some(line) = shown(self.colours, function, line) {
                self.line(&line);
            }
        }
        if notable.len() > max_lines {
            let more = counted(notable.len() - max_lines, "more line");
            self.line(&format!("{function}: and {more}; `--verbose` shows them"));
        }
    }

    /// Writes the progress of the functions until it is dropped.
    pub(super) async fn progress(self: Arc<Self>, mappings: Vec<Arc<Mapping>>) {
        let new_bar = || {
            let bar = self.progress.as_ref()?.add(ProgressBar::new_spinner());
            let style = ProgressStyle::with_template("{spinner} {msg}");
            Some(style.map_or(bar.clone(), |style| bar.with_style(style)))
        };
        let mut said: Vec<_> = mappings.iter().map(|_| (new_bar(), String::new())).collect();
        let period = if self.progress.is_some() { REDRAW_TIME } else { LINE_TIME };
        loop {
            tokio::time::sleep(period).await;
            for (mapping, (bar, said)) in mappings.iter().zip(&mut said) {
                let text = {
                    let (name, tally) = (&mapping.function.binary, lock(&mapping.tally));
                    let in_flight = counted(tally.in_flight, "batch");
                    format!("{name}: {}; {in_flight} in flight", tally.summary)
                };
                match bar {
                    Some(bar) => {
                        bar.set_message(text);
                        bar.tick();
                    }
                    None if text != *said => {
                        self.line(&text);
                        *said = text;
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

/// A line of a function's log as it is shown; `None` if it says nothing to people.
fn shown(colours: Option<ColorChoice>, function: &str, line: &str) -> Option<String> {
    let raw = format!("{function}: {line}");
    match colours {
        None => Some(raw),
        Some(ColorChoice::Never) => format::line(&raw).map(|it| strip_str(&it).to_string()),
        Some(_) => format::line(&raw),
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
    fn people_see_what_tail_shows() {
        #[track_caller]
        fn check(colours: Option<ColorChoice>, expected: &str) {
            let line = r#"{"timestamp":"2026-11-21T22:13:20.5Z","level":"WARN","message":"slow"}"#;
            assert_eq!(shown(colours, "sinkAppianData", line).as_deref(), Some(expected));
        }

        let raw = r#"sinkAppianData: {"timestamp":"2026-11-21T22:13:20.5Z","level":"WARN","message":"slow"}"#;
        check(None, raw);
        check(Some(ColorChoice::Never), "22:13:20 sinkAppianData WARN    slow");
        check(Some(ColorChoice::Always), "\u{1b}[33m22:13:20 sinkAppianData WARN    slow\u{1b}[0m");
    }

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
