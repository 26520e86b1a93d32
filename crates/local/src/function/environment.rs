//! One execution environment: a process, its place at the Runtime API, and its log.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read},
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::Context as _;
use axum::body::Bytes;
use tokio::{
    process::{Child, Command},
    sync::Notify,
};

use super::{FunctionSettings, Process, Processes};
use crate::{
    lock::lock,
    runtime_api::{Answer, Limits, RuntimeApi},
};

/// A running environment; its process is killed when it is dropped.
#[derive(Debug)]
pub struct Environment {
    child: Child,
    process: u32,
    api: RuntimeApi,
    log: File,
    kill_switch: Arc<Notify>,
    processes: Arc<Processes>,
}

impl Environment {
    /// Starts the process, whose Runtime API is its own.
    pub async fn start(
        settings: &FunctionSettings,
        processes: Arc<Processes>,
    ) -> anyhow::Result<Self> {
        let name = &settings.name;
        let api = RuntimeApi::start(name).await;
        let api = api.with_context(|| format!("cannot start a Runtime API for `{name}`"))?;
        let (log, output) = create_log().with_context(|| cannot_log(name))?;
        let errors = output.try_clone().with_context(|| cannot_log(name))?;
        // As on Lambda nothing of the caller's own environment reaches the function.
        let child = Command::new(&settings.executable)
            .args(&settings.arguments)
            .env_clear()
            .envs(&settings.variables)
            .env("AWS_LAMBDA_FUNCTION_NAME", name)
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", settings.memory_size.to_string())
            .env("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{name}"))
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "local")
            .env("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
            .env("AWS_LAMBDA_RUNTIME_API", api.address().to_string())
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start `{}`", settings.executable.display()))?;
        // A process has an id until it was waited for.
        let process = child.id().unwrap_or_default();
        let kill_switch = Arc::<Notify>::default();
        let entry = Process { id: process, kill_switch: Arc::clone(&kill_switch) };
        lock(&processes.by_address).insert(api.address(), entry);
        Ok(Self { child, process, api, log, kill_switch, processes })
    }

    pub fn process(&self) -> u32 {
        self.process
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits until the process has asked for an invocation so many times; `false` if it ended before.
    pub async fn asked(&mut self, times: u64) -> bool {
        tokio::select! {
            biased;
            () = self.api.asked(times) => true,
            _ = self.child.wait() => false,
        }
    }

    /// Has the process handle an event.
    pub async fn invoke(&mut self, payload: Bytes, limits: Limits) -> Answer {
        tokio::select! {
            // An answer counts also when the process ended right after it.
            biased;
            answer = self.api.invoke(payload, limits) => return answer,
            () = self.kill_switch.notified() => {}
            status = self.child.wait() => return Answer::EnvironmentGone(end_of(status)),
        }
        Answer::EnvironmentGone(self.kill().await)
    }

    /// Kills the process and waits for its end, whose kind it returns in words.
    pub(crate) async fn kill(&mut self) -> String {
        // Only a process that ended already cannot be killed.
        let _: io::Result<()> = self.child.start_kill();
        end_of(self.child.wait().await)
    }

    /// What the process wrote since the last call.
    ///
    /// All that was written before an answer is there when the answer is.
    pub fn read_log(&mut self) -> io::Result<Vec<String>> {
        let mut bytes = Vec::new();
        self.log.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect())
    }

    /// The most memory in bytes that the process held so far; `None` where the system does not say.
    pub fn peak_memory(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kilobytes * 1024)
    }
}

impl Drop for Environment {
    fn drop(&mut self) {
        lock(&self.processes.by_address).remove(&self.api.address());
    }
}

fn end_of(status: io::Result<std::process::ExitStatus>) -> String {
    match status {
        Ok(status) => status.to_string(),
        Err(error) => format!("how it ended is not known: {error}"),
    }
}

pub(super) fn cannot_log(function: &str) -> String {
    format!("cannot keep the log of `{function}`")
}

/// A new log, and the end to write to: a file without a name that a process writes to and this one reads from.
///
/// Unlike a pipe it needs no reader while the process runs, and nothing is still on its way when the process has gone
/// on to its next step.
fn create_log() -> io::Result<(File, File)> {
    static LOGS: AtomicU64 = AtomicU64::new(0);
    let number = LOGS.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("sinkctl-{}-{number}.log", std::process::id()));
    // Appending keeps the lines of two writers whole.
    let output = OpenOptions::new().append(true).create_new(true).open(&path)?;
    let file = File::open(&path)?;
    fs::remove_file(&path)?;
    Ok((file, output))
}
