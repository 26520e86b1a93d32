//! The processes of `sinkctl` that the run starts, and the functions' processes below them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use fastrand::Rng;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    process::{Child, Command},
    task::JoinHandle,
};

use crate::services::signal;

/// What the functions' batch lines add up to, by the names of their counts.
pub(crate) type Counts = BTreeMap<String, u64>;

/// A running `sinkctl esm`.
#[derive(Debug)]
pub(crate) struct Esm {
    process: Child,
    counts: Arc<Mutex<Counts>>,
    errors: JoinHandle<()>,
    output: JoinHandle<String>,
}

/// What is known of a `sinkctl esm` after its end.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) counts: Counts,
    /// Its summary, if it wrote one.
    pub(crate) summary: Option<Value>,
}

impl Esm {
    /// Starts it; its standard error goes to `log`, and the batch lines in it are counted.
    pub(crate) fn start(
        sinkctl: &Path,
        directory: &Path,
        arguments: &[String],
        log: &Path,
    ) -> Self {
        let mut process = Command::new(sinkctl)
            .arg("esm")
            .args(arguments)
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let counts = Arc::<Mutex<Counts>>::default();
        let lines = BufReader::new(process.stderr.take().unwrap());
        let errors = tokio::spawn(read(lines, log.to_owned(), Arc::clone(&counts)));
        let mut stdout = process.stdout.take().unwrap();
        let output = tokio::spawn(async move {
            let mut text = String::new();
            // What cannot be read is no summary.
            let _ = stdout.read_to_string(&mut text).await;
            text
        });
        Self { process, counts, errors, output }
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id().unwrap_or_default()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(None))
    }

    /// Asks it to finish and waits until it has.
    pub(crate) async fn stop(mut self) -> Ended {
        if self.is_running() {
            signal(self.id(), "TERM");
        }
        let ended = tokio::time::timeout(Duration::from_mins(3), self.process.wait()).await;
        let status = if let Ok(status) = ended {
            status.unwrap()
        } else {
            self.process.start_kill().unwrap();
            self.process.wait().await.unwrap()
        };
        let _ = self.errors.await;
        let output = self.output.await.unwrap_or_default();
        let summary = output.lines().rev().find_map(|line| serde_json::from_str(line).ok());
        let counts = self.counts.lock().unwrap().clone();
        Ended { status, counts, summary }
    }
}

/// Copies the lines to `log` and adds the batch lines up.
async fn read(
    mut lines: BufReader<impl tokio::io::AsyncRead + Unpin>,
    log: PathBuf,
    counts: Arc<Mutex<Counts>>,
) {
    use std::io::Write as _;
    let mut log = fs::File::create(log).unwrap();
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).await.is_ok_and(|read| read > 0) {
        let text = String::from_utf8_lossy(&line);
        let batch =
            text.find('{').and_then(|start| serde_json::from_str::<Value>(&text[start..]).ok());
        match batch {
            Some(batch) if batch["message"] == "batch" => {
                let mut counts = counts.lock().unwrap();
                for (name, count) in batch.as_object().into_iter().flatten() {
                    if let Some(count) = count.as_u64() {
                        *counts.entry(name.clone()).or_default() += count;
                    }
                }
            }
            _ => log.write_all(&line).unwrap(),
        }
        line.clear();
    }
}

/// A killer ends after so many, so that the last batches come to their end.
const MOST_KILLS: u64 = 500;

/// One process in so many is stopped rather than killed.
const HANGS_ONE_IN: u8 = 8;

/// Kills functions' processes, one each now and then, until it is stopped.
#[derive(Debug)]
pub(crate) struct Killer {
    task: JoinHandle<()>,
    kills: Arc<Mutex<u64>>,
}

impl Killer {
    /// Kills a child of `parent` again and again, each time after the first of the two times and a part of the second.
    pub(crate) fn start(parent: u32, after: (Duration, Duration), seed: u64) -> Self {
        let kills = Arc::<Mutex<u64>>::default();
        let counted = Arc::clone(&kills);
        let task = tokio::spawn(async move {
            let mut rng = Rng::with_seed(seed);
            let (least, more) = after;
            let mut hanging = BTreeSet::new();
            while *counted.lock().unwrap() < MOST_KILLS {
                let time = least + more.mul_f64(rng.f64());
                tokio::time::sleep(time).await;
                let children = children(parent).into_iter().filter(|it| !hanging.contains(it));
                let Some(child) = rng.choice(children.collect::<Vec<_>>()) else { continue };
                if rng.u8(..HANGS_ONE_IN) == 0 {
                    // It hangs, until it is ended for having taken too long.
                    signal(child, "STOP");
                    hanging.insert(child);
                } else {
                    signal(child, "KILL");
                    *counted.lock().unwrap() += 1;
                }
            }
        });
        Self { task, kills }
    }

    pub(crate) fn kills(&self) -> u64 {
        *self.kills.lock().unwrap()
    }

    pub(crate) fn stop(self) -> u64 {
        self.task.abort();
        self.kills()
    }
}

/// The processes whose parent this is.
fn children(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let process: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        // After the name, which may hold anything, come the state and the parent.
        let (_, rest) = stat.rsplit_once(") ")?;
        let its_parent: u32 = rest.split(' ').nth(1)?.parse().ok()?;
        (its_parent == parent).then_some(process)
    });
    processes.collect()
}

/// What a command that has ended wrote.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) output: String,
    pub(crate) errors: String,
}

/// Runs a command of `sinkctl` to its end.
pub(crate) async fn sinkctl(sinkctl: &Path, directory: &Path, arguments: &[&str]) -> Finished {
    let output = Command::new(sinkctl)
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Finished {
        code: output.status.code(),
        output: text(&output.stdout),
        errors: text(&output.stderr),
    }
}

/// What `sinkctl audit` found.
#[derive(Debug)]
pub(crate) struct Audit {
    pub(crate) code: Option<i32>,
    pub(crate) report: Value,
    pub(crate) errors: String,
}

/// Runs `sinkctl audit` to its end.
pub(crate) async fn audit(sinkctl: &Path, directory: &Path, arguments: &[String]) -> Audit {
    let output = Command::new(sinkctl)
        .arg("audit")
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    Audit {
        code: output.status.code(),
        report: serde_json::from_slice(&output.stdout).unwrap_or_default(),
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
