//! A function's binary behind the local Runtime API, in as many environments as are needed at once.

mod environment;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use axum::body::Bytes;
use tokio::sync::{Notify, Semaphore};

pub use environment::Environment;

use crate::{
    lock::lock,
    runtime_api::{Answer, Limits},
    template,
};

/// The time that Lambda gives an environment to start, before an invocation's own time begins.
const INIT_TIME: Duration = Duration::from_secs(10);

/// A function that can be invoked; its processes end when it is dropped.
///
/// As on Lambda an environment handles one invocation at a time and is used again, also after an error that the
/// function reported. After a crash, a timeout or an init error the next invocation gets a fresh one. Unlike on Lambda
/// an invocation that finds all environments busy waits for one.
#[derive(Debug)]
pub struct LocalFunction {
    pub settings: FunctionSettings,
    /// One permit for each environment that may be at work.
    free: Semaphore,
    idle: Mutex<Vec<Environment>>,
    processes: Arc<Processes>,
}

/// What a function is, and how it is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionSettings {
    pub name: String,
    /// The program that its environments run.
    pub executable: PathBuf,
    pub arguments: Vec<String>,
    /// The environment variables, beside those that Lambda sets.
    pub variables: BTreeMap<String, String>,
    /// The memory in MB that the function is told; it is not enforced.
    pub memory_size: u64,
    pub timeout: Duration,
    /// See [`Limits::deadline`].
    pub deadline: Option<u64>,
    /// How many environments there may be at once.
    pub max_environments: usize,
}

/// What is known of an invocation after it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    pub answer: Answer,
    /// The lines that the environment wrote to its standard output and error since the invocation before.
    pub log: Vec<String>,
    /// Whether an environment was started for it.
    pub cold_start: bool,
    /// The time that it took, a cold start included.
    pub duration: Duration,
    /// The process that handled it.
    pub process: u32,
    /// The most memory in bytes that the process held since its start; `None` where the system does not say.
    pub peak_memory: Option<u64>,
}

impl FunctionSettings {
    /// A function of the template, with the tables at `endpoint`, in two environments at most.
    pub fn local(function: &template::Function, executable: PathBuf, endpoint: &str) -> Self {
        let mut variables = function.variables.clone();
        variables.extend(local_variables(endpoint));
        Self {
            name: function.name.clone(),
            executable,
            arguments: Vec::new(),
            variables,
            memory_size: function.memory_size,
            timeout: function.timeout,
            deadline: None,
            max_environments: 2,
        }
    }
}

/// The variables by which the AWS SDK talks to a `DynamoDB` at `endpoint` that accepts any credentials.
pub fn local_variables(endpoint: &str) -> BTreeMap<String, String> {
    let variables = [
        ("AWS_ACCESS_KEY_ID", "local"),
        ("AWS_ENDPOINT_URL_DYNAMODB", endpoint),
        ("AWS_REGION", "us-east-1"),
        ("AWS_SECRET_ACCESS_KEY", "local"),
    ];
    variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

impl LocalFunction {
    /// A function without environments: they are started when they are needed.
    pub fn new(settings: FunctionSettings) -> Self {
        let free = Semaphore::new(settings.max_environments.max(1));
        Self { settings, free, idle: Mutex::default(), processes: Arc::default() }
    }

    /// Invokes the function, in a free environment if there is one. When this is dropped before it ends, so does the
    /// environment.
    pub async fn invoke(&self, payload: impl Into<Bytes>) -> anyhow::Result<Invocation> {
        // The semaphore is never closed; without a permit there would only be more environments.
        let _permit = self.free.acquire().await.ok();
        let begin = Instant::now();
        let warm = self.take_idle();
        let cold_start = warm.is_none();
        let mut environment = match warm {
            Some(environment) => environment,
            None => Environment::start(&self.settings, Arc::clone(&self.processes)).await?,
        };

        let limits = Limits {
            init: INIT_TIME,
            timeout: self.settings.timeout,
            deadline: self.settings.deadline,
        };
        let answer = environment.invoke(payload.into(), limits).await;
        let duration = begin.elapsed();
        let peak_memory = environment.peak_memory();
        let process = environment.process();
        let is_usable = matches!(answer, Answer::Success(_) | Answer::FunctionError(_));
        if !is_usable {
            environment.kill().await;
        }
        let log = environment.read_log();
        let log = log.with_context(|| environment::cannot_log(&self.settings.name))?;
        if is_usable {
            lock(&self.idle).push(environment);
        }
        Ok(Invocation { answer, log, cold_start, duration, process, peak_memory })
    }

    /// The processes of all environments, sorted.
    pub fn processes(&self) -> Vec<u32> {
        let mut processes: Vec<_> =
            lock(&self.processes.by_address).values().map(|process| process.id).collect();
        processes.sort_unstable();
        processes
    }

    /// Kills all environments at once; invocations that they handle end as [`Answer::EnvironmentGone`].
    pub fn kill_environments(&self) {
        lock(&self.idle).clear();
        for process in lock(&self.processes.by_address).values() {
            process.kill_switch.notify_one();
        }
    }

    /// An idle environment whose process still lives.
    fn take_idle(&self) -> Option<Environment> {
        let mut idle = lock(&self.idle);
        std::iter::from_fn(|| idle.pop())
            .find_map(|mut environment| environment.is_alive().then_some(environment))
    }
}

/// The processes of a function's environments, by the addresses of their Runtime APIs.
#[derive(Debug, Default)]
pub struct Processes {
    by_address: Mutex<BTreeMap<SocketAddr, Process>>,
}

#[derive(Debug)]
struct Process {
    id: u32,
    kill_switch: Arc<Notify>,
}
