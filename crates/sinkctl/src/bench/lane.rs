//! One configuration under measurement: a program, its events, and the endpoint that it writes to.

use super::{
    BenchError,
    process::{Process, Spent},
    stub::{Counts, Punctuality, Stub},
    workload::{BenchEvent, State, Workload},
};
use crate::function::FunctionSettings;

/// A program that stands ready for the next event of its workload.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) workload: Workload,
    pub(super) program: String,
    /// Whether what stands in the tables afterwards is known beforehand.
    is_predictable: bool,
    settings: FunctionSettings,
    /// Without one the endpoint is a real one, and what it does is not seen.
    stub: Option<Stub>,
    process: Process,
    next: usize,
    pub(super) rounds: Vec<Round>,
}

/// What a lane is made of.
#[derive(Debug)]
pub(super) struct LaneSettings {
    pub(super) workload: Workload,
    pub(super) program: String,
    pub(super) is_predictable: bool,
    pub(super) function: FunctionSettings,
    pub(super) stub: Option<Stub>,
    /// How many events come before those that are measured.
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
    /// An invocation of a process that has had some.
    pub(super) warm: Spent,
    /// What the warm invocation did to the tables.
    pub(super) counts: Option<Counts>,
}

impl Lane {
    /// Starts the process that stays, and has it write what is to stand in the tables.
    pub(super) async fn start(settings: LaneSettings) -> Result<Self, BenchError> {
        let LaneSettings { workload, program, is_predictable, function, stub, warm_up } = settings;
        let (process, _) = Process::start(&function).await?;
        let mut lane = Self {
            workload,
            program,
            is_predictable,
            settings: function,
            stub,
            process,
            next: 0,
            rounds: Vec::new(),
        };
        for _ in 0..=warm_up {
            let event = lane.event();
            lane.process.invoke(event.payload).await?;
            lane.look()?;
        }
        Ok(lane)
    }

    /// Measures a new process's start and first invocation, then a warm invocation of the one that stays.
    pub(super) async fn round(&mut self) -> Result<(), BenchError> {
        let event = self.event();
        let (mut process, start) = Process::start(&self.settings).await?;
        let first = process.invoke(event.payload).await?;
        drop(process);
        self.look()?;

        let event = self.event();
        let (records, event_bytes, keys) = (event.records, event.payload.len(), event.keys);
        let warm = self.process.invoke(event.payload).await?;
        let counts = self.look()?;
        if let Some(counts) = counts.filter(|_| self.is_predictable) {
            self.check(counts, keys as u64)?;
        }
        self.rounds.push(Round { records, event_bytes, start, first, warm, counts });
        Ok(())
    }

    /// The most memory in bytes that the process that stays held so far.
    pub(super) fn peak_memory(&self) -> Option<u64> {
        self.process.peak_memory()
    }

    /// The memory in MB that the function has on Lambda.
    pub(super) fn memory_size(&self) -> u64 {
        self.settings.memory_size
    }

    /// How the endpoint did, where it is a stub.
    pub(super) fn punctuality(&self) -> Option<Punctuality> {
        self.stub.as_ref().map(Stub::punctuality)
    }

    fn event(&mut self) -> BenchEvent {
        let event = self.workload.event(self.next);
        self.next += 1;
        event
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
    fn check(&self, counts: Counts, keys: u64) -> Result<(), BenchError> {
        let expected = match self.workload.state {
            State::New => (keys, 0),
            State::Existing => (0, keys),
            // A program may write what stands there already.
            State::Duplicate => (0, counts.replaced),
        };
        if (counts.created, counts.replaced) == expected {
            return Ok(());
        }
        Err(BenchError::Work {
            program: self.program.clone(),
            keys,
            state: self.workload.state,
            created: counts.created,
            replaced: counts.replaced,
        })
    }
}
