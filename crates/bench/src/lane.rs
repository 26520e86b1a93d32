//! One configuration under measurement: a program, its events, and the endpoint that it writes to.

use local::function::FunctionSettings;

use super::{
    BenchError,
    process::{Process, Spent},
    stub::{Counts, Punctuality, Stub},
    workload::{BenchEvent, State, Workload},
};

/// A program, and the endpoint where its items stand.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) workload: Workload,
    /// How long the stub takes for an answer.
    pub(super) latency_millis: Option<u64>,
    pub(super) program: String,
    /// Whether what stands in the tables afterwards is known beforehand.
    is_predictable: bool,
    settings: FunctionSettings,
    /// Without one the endpoint is a real one, and what it does is not seen.
    stub: Option<Stub>,
    warm_up: usize,
    next: usize,
    pub(super) rounds: Vec<Round>,
}

/// What a lane is made of.
#[derive(Debug)]
pub(super) struct LaneSettings {
    pub(super) workload: Workload,
    pub(super) latency_millis: Option<u64>,
    pub(super) program: String,
    pub(super) is_predictable: bool,
    pub(super) function: FunctionSettings,
    pub(super) stub: Option<Stub>,
    /// How many events a process has had, beside its first, before it counts as warm.
    pub(super) warm_up: usize,
}

/// One measurement of everything.
#[derive(Clone, Debug)]
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

/// What is told of an event that was handed to a process.
#[derive(Clone, Copy, Debug)]
struct Handed {
    records: usize,
    keys: usize,
    new_keys: usize,
    older_keys: usize,
    bytes: usize,
}

impl Lane {
    /// Has the program write what is to stand in the tables.
    pub(super) async fn start(settings: LaneSettings) -> Result<Self, BenchError> {
        let LaneSettings {
            workload,
            latency_millis,
            program,
            is_predictable,
            function,
            stub,
            warm_up,
        } = settings;
        let mut lane = Self {
            workload,
            latency_millis,
            program,
            is_predictable,
            settings: function,
            stub,
            warm_up,
            next: 0,
            rounds: Vec::new(),
        };
        let (mut process, _) = Process::start(&lane.settings).await?;
        lane.invoke(&mut process).await?;
        Ok(lane)
    }

    /// Measures a new process: its start, its first invocation, and one when it is warm. Each round has a process of
    /// its own, since a program can be fast or slow for much of a process's life.
    pub(super) async fn round(&mut self) -> Result<(), BenchError> {
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
            self.check(counts, event)?;
        }
        self.rounds.push(Round {
            records: event.records,
            event_bytes: event.bytes,
            start,
            first,
            warm,
            peak_memory: process.peak_memory(),
            first_counts,
            counts,
        });
        Ok(())
    }

    /// The memory in MB that the function has on Lambda.
    pub(super) fn memory_size(&self) -> u64 {
        self.settings.memory_size
    }

    /// How the endpoint did, where it is a stub.
    pub(super) fn punctuality(&self) -> Option<Punctuality> {
        self.stub.as_ref().map(Stub::punctuality)
    }

    /// Hands a process the next event, and says what came of it.
    async fn invoke(
        &mut self,
        process: &mut Process,
    ) -> Result<(Handed, Spent, Option<Counts>), BenchError> {
        let BenchEvent { payload, records, keys, new_keys, older_keys } =
            self.workload.event(self.next);
        self.next += 1;
        let handed = Handed { records, keys, new_keys, older_keys, bytes: payload.len() };
        let spent = process.invoke(payload).await?;
        Ok((handed, spent, self.look()?))
    }

    /// What was done to the tables since the last look, if all requests were as they should be.
    fn look(&self) -> Result<Option<Counts>, BenchError> {
        let Some(stub) = &self.stub else { return Ok(None) };
        match stub.problem() {
            None => Ok(Some(stub.take_counts())),
            Some(problem) => Err(BenchError::Request { program: self.program.clone(), problem }),
        }
    }

    /// A program that does not do its work is no use to compare with.
    fn check(&self, counts: Counts, event: Handed) -> Result<(), BenchError> {
        let (new, older) = (event.new_keys as u64, event.older_keys as u64);
        // A program may write a repeated key more than once, and what stands there already.
        let most = event.records as u64 - new;
        if counts.created == new && (older..=most).contains(&counts.replaced) {
            return Ok(());
        }
        Err(BenchError::Work {
            program: self.program.clone(),
            keys: event.keys as u64,
            new,
            older,
            created: counts.created,
            replaced: counts.replaced,
        })
    }
}
