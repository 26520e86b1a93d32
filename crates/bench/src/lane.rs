//! One configuration under measurement: a program, its events, and the endpoint that it writes to.

use std::time::Duration;

use anyhow::{Context as _, bail};
use local::{
    function::FunctionSettings,
    template::{Function, Table},
};

use super::{
    Bench, Program,
    process::{Process, Spent},
    stub::{Counts, Stub},
    workload::{BenchEvent, Mix, State, Workload},
};

/// A program, and the endpoint where its items stand.
pub(super) struct Lane {
    pub(super) workload: Workload,
    /// How long the stub takes for an answer.
    pub(super) latency_millis: Option<u64>,
    pub(super) program: &'static str,
    /// Whether what stands in the tables afterwards is known beforehand.
    is_predictable: bool,
    pub(super) settings: FunctionSettings,
    /// Without one the endpoint is a real one, and what it does is not seen.
    pub(super) stub: Option<Stub>,
    warm_up: usize,
    next: usize,
    pub(super) rounds: Vec<Round>,
}

/// One measurement of everything.
pub(super) struct Round {
    pub(super) records: usize,
    pub(super) event_bytes: usize,
    /// From a new process's start until it asked for its first invocation.
    pub(super) start: Spent,
    /// Its first invocation.
    pub(super) first: Spent,
    /// An invocation after some.
    pub(super) warm: Spent,
    /// The most memory in bytes that the process held; `None` where the system does not say.
    pub(super) peak_memory: Option<u64>,
    /// What the first invocation did to the tables.
    pub(super) first_counts: Option<Counts>,
    /// What the warm invocation did to the tables.
    pub(super) counts: Option<Counts>,
}

impl Lane {
    /// Starts the endpoint, and has the program write what is to stand in the tables.
    pub(super) async fn start(
        bench: &Bench,
        tables: &[Table],
        function: &Function,
        program: &Program,
        workload: Workload,
        latency_millis: Option<u64>,
    ) -> anyhow::Result<Self> {
        let stub = latency_millis.map(|it| Stub::start(bench, tables, Duration::from_millis(it)));
        let stub = stub.transpose().context("cannot start the endpoint")?;
        let endpoint = bench.dynamodb_endpoint.as_deref().unwrap_or_default();
        let executable = program.executables[&function.binary].clone();
        let mut settings = FunctionSettings::local(function, executable, endpoint);
        settings.arguments.clone_from(&program.arguments);
        settings.variables.extend(stub.as_ref().map(Stub::variables).unwrap_or_default());
        settings.variables.extend(program.variables.clone());
        let Mix { duplicates, deletes, .. } = bench.mix;
        let shares = [duplicates, deletes, bench.faults.refused, bench.faults.throttled];
        let mut lane = Self {
            workload,
            latency_millis,
            program: program.name,
            is_predictable: shares.iter().all(|share| *share <= 0.0),
            settings,
            stub,
            warm_up: bench.warm_up,
            next: 0,
            rounds: Vec::new(),
        };
        let (mut process, _) = Process::start(&lane.settings).await?;
        lane.invoke(&mut process).await?;
        Ok(lane)
    }

    /// Measures a new process: its start, its first invocation, and one when it is warm. Each round has a process of
    /// its own, since a program can be fast or slow for much of a process's life.
    pub(super) async fn round(&mut self) -> anyhow::Result<()> {
        let (mut process, start) = Process::start(&self.settings).await?;
        let (_, first, first_counts) = self.invoke(&mut process).await?;
        for _ in 0..self.warm_up {
            self.invoke(&mut process).await?;
        }
        let is_again = self.workload.state == State::Duplicate;
        self.next -= usize::from(is_again);
        let (mut event, warm, counts) = self.invoke(&mut process).await?;
        if is_again {
            (event.new_keys, event.older_keys) = (0, 0);
        }
        if let Some(counts) = counts.filter(|_| self.is_predictable) {
            self.check(counts, &event)?;
        }
        self.rounds.push(Round {
            records: event.records,
            event_bytes: event.payload.len(),
            start,
            first,
            warm,
            peak_memory: process.peak_memory(),
            first_counts,
            counts,
        });
        Ok(())
    }

    /// Hands a process the next event, and says what came of it.
    async fn invoke(
        &mut self,
        process: &mut Process,
    ) -> anyhow::Result<(BenchEvent, Spent, Option<Counts>)> {
        let event = self.workload.event(self.next);
        self.next += 1;
        let spent = process.invoke(event.payload.clone()).await?;
        let counts = self.stub.as_ref().map(Stub::take_counts).transpose();
        match counts {
            Ok(counts) => Ok((event, spent, counts)),
            Err(problem) => bail!("`{}` sent a wrong request: {problem}", self.program),
        }
    }

    /// A program that does not do its work is no use to compare with.
    fn check(&self, counts: Counts, event: &BenchEvent) -> anyhow::Result<()> {
        let (new, older) = (event.new_keys as u64, event.older_keys as u64);
        // A program may write a repeated key more than once, and what stands there already.
        let most = event.records as u64 - new;
        let Counts { created, replaced, .. } = counts;
        if created == new && (older..=most).contains(&replaced) {
            return Ok(());
        }
        bail!(
            "`{}` created {created} and replaced {replaced} items; of {} keys {new} had none and {older} an older one",
            self.program,
            event.keys
        )
    }
}
