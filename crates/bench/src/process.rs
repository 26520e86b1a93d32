//! A function's process under measurement.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::anyhow;
use local::{
    function::{Environment, FunctionSettings},
    runtime_api::{Answer, Limits},
};

/// The time that a process may take to ask for its first invocation.
const INIT_TIME: Duration = Duration::from_secs(30);
/// How many lines of its log are told when a function fails.
const TOLD_LINES: usize = 5;

/// A process that waits for its next invocation.
pub(super) struct Process {
    environment: Environment,
    limits: Limits,
    name: String,
    /// How often it has asked for an invocation.
    asked: u64,
}

/// What something took.
#[derive(Clone, Copy)]
pub(super) struct Spent {
    pub(super) wall: Duration,
    /// User and system time of the process; `None` where the system does not say.
    pub(super) cpu: Option<Duration>,
}

impl Process {
    /// Starts a process, and says what it took until it asked for its first invocation.
    pub(super) async fn start(settings: &FunctionSettings) -> anyhow::Result<(Self, Spent)> {
        let limits =
            Limits { init: INIT_TIME, timeout: settings.timeout, deadline: settings.deadline };
        let begin = Instant::now();
        let environment = Environment::start(settings, Arc::default()).await?;
        let mut process = Self { environment, limits, name: settings.name.clone(), asked: 1 };
        let asked = tokio::time::timeout(INIT_TIME, process.environment.asked(1)).await;
        let spent = Spent { wall: begin.elapsed(), cpu: cpu_time(process.environment.process()) };
        if asked == Ok(true) {
            Ok((process, spent))
        } else {
            Err(process.failed("it did not start"))
        }
    }

    /// Has the process handle an event, and says what it took: wall time until the answer, processor time until it
    /// asked for the next one.
    pub(super) async fn invoke(&mut self, payload: Vec<u8>) -> anyhow::Result<Spent> {
        let before = cpu_time(self.environment.process());
        let begin = Instant::now();
        let answer = self.environment.invoke(payload.into(), self.limits).await;
        let wall = begin.elapsed();
        self.asked += 1;
        let problem = match answer {
            Answer::Success(body) if has_failures(&body) => "records failed".to_owned(),
            Answer::Success(_) => {
                if !self.environment.asked(self.asked).await {
                    return Err(self.failed("it ended after its answer"));
                }
                let after = cpu_time(self.environment.process());
                // What it wrote is of no use, and would only grow.
                let _ = self.environment.read_log();
                let cpu = after.zip(before).map(|(after, before)| after.saturating_sub(before));
                return Ok(Spent { wall, cpu });
            }
            Answer::FunctionError(error) | Answer::InitError(error) => {
                format!("{}: {}", error.error_type, error.error_message)
            }
            Answer::EnvironmentGone(end) => format!("it ended: {end}"),
            Answer::TimedOut => "it did not answer in time".to_owned(),
        };
        Err(self.failed(&problem))
    }

    /// The most memory in bytes that the process held so far; `None` where the system does not say.
    pub(super) fn peak_memory(&self) -> Option<u64> {
        self.environment.peak_memory()
    }

    fn failed(&mut self, problem: &str) -> anyhow::Error {
        let log = self.environment.read_log().unwrap_or_default();
        let told = log[log.len().saturating_sub(TOLD_LINES)..].join("\n");
        anyhow!("`{}` failed: {problem}; the end of its log:\n{told}", self.name)
    }
}

/// Whether an answer names records that failed.
fn has_failures(body: &[u8]) -> bool {
    let answer: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    answer["batchItemFailures"].as_array().is_some_and(|failures| !failures.is_empty())
}

/// The processor time of a process with all its threads, also those that ended.
///
/// It is the process's own clock, which counts nanoseconds: `/proc/PID/stat` counts hundredths of seconds.
#[cfg(target_os = "linux")]
fn cpu_time(process: u32) -> Option<Duration> {
    let process = nix::unistd::Pid::from_raw(i32::try_from(process).ok()?);
    let clock = nix::time::clock_getcpuclockid(process).ok()?;
    nix::time::clock_gettime(clock).ok().map(Duration::from)
}

#[cfg(not(target_os = "linux"))]
fn cpu_time(_process: u32) -> Option<Duration> {
    None
}
