//! What was measured, and how it is shown.

use std::{
    io::{self, Write},
    time::Duration,
};

use serde::Serialize;

use super::{
    lane::{Lane, Round},
    workload::{Kind, State},
};

/// All measurements of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// One for each configuration.
    pub measurements: Vec<Measurement>,
}

/// What one program did with one workload.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Measurement {
    /// What the records look like.
    pub workload: Kind,
    /// What stood in the table.
    pub state: State,
    /// The program's name.
    pub program: String,
    /// How many records an event had.
    pub records: usize,
    /// How large an event was.
    pub event_bytes: usize,
    /// The processor time of the process, user and system, in microseconds a record.
    pub cpu_micros_per_record: Option<Spread>,
    /// From the event's delivery until the answer, in milliseconds.
    pub wall_millis: Spread,
    /// From the process's start until it asked for its first invocation, in milliseconds.
    pub start_wall_millis: Spread,
    /// The processor time of that.
    pub start_cpu_millis: Option<Spread>,
    /// The first invocation, in milliseconds.
    pub first_wall_millis: Spread,
    /// The processor time of that.
    pub first_cpu_millis: Option<Spread>,
    /// The most memory that the process held, in bytes.
    pub peak_memory_bytes: Option<u64>,
    /// Requests for 1,000 records.
    pub requests_per_thousand: Option<Spread>,
    /// Write units for 1,000 records.
    pub write_units_per_thousand: Option<Spread>,
    /// What the endpoint itself took for a request, in microseconds, and how late its answers were.
    pub endpoint_busy_micros: Option<f64>,
    /// How much later than its latency the endpoint answered, in microseconds.
    pub endpoint_late_micros: Option<f64>,
}

/// How a measure was spread over the rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The least.
    pub min: f64,
    /// The one in the middle.
    pub median: f64,
    /// The greatest.
    pub max: f64,
}

impl Spread {
    /// The spread of these values; `None` if there are none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = match values.as_slice() {
            [] => return None,
            values if values.len() % 2 == 1 => values[middle],
            values => f64::midpoint(values[middle - 1], values[middle]),
        };
        Some(Self { min: values[0], median, max: values[values.len() - 1] })
    }

    /// Only if all values are known.
    fn of_known(values: impl Iterator<Item = Option<f64>>) -> Option<Self> {
        Self::of(values.collect::<Option<Vec<_>>>()?)
    }
}

impl Measurement {
    pub(super) fn of(lane: &Lane) -> Self {
        let rounds = &lane.rounds;
        let records = rounds.first().map_or(0, |round| round.records);
        let per_record = 1.0 / records.max(1) as f64;
        let spread = |value: &dyn Fn(&Round) -> f64| {
            Spread::of(rounds.iter().map(value)).unwrap_or(Spread {
                min: 0.0,
                median: 0.0,
                max: 0.0,
            })
        };
        let known =
            |value: &dyn Fn(&Round) -> Option<f64>| Spread::of_known(rounds.iter().map(value));
        let endpoint = lane.punctuality();
        let each =
            |time: Duration, requests: u64| time.as_secs_f64() * 1e6 / requests.max(1) as f64;
        Self {
            workload: lane.workload.kind,
            state: lane.workload.state,
            program: lane.program.clone(),
            records,
            event_bytes: rounds.first().map_or(0, |round| round.event_bytes),
            cpu_micros_per_record: known(&|round| {
                round.warm.cpu.map(|cpu| millis(cpu) * 1e3 * per_record)
            }),
            wall_millis: spread(&|round| millis(round.warm.wall)),
            start_wall_millis: spread(&|round| millis(round.start.wall)),
            start_cpu_millis: known(&|round| round.start.cpu.map(millis)),
            first_wall_millis: spread(&|round| millis(round.first.wall)),
            first_cpu_millis: known(&|round| round.first.cpu.map(millis)),
            peak_memory_bytes: lane.peak_memory(),
            requests_per_thousand: known(&|round| {
                round.counts.map(|counts| counts.requests as f64 * 1e3 * per_record)
            }),
            write_units_per_thousand: known(&|round| {
                round.counts.map(|counts| counts.write_units as f64 * 1e3 * per_record)
            }),
            endpoint_busy_micros: endpoint.map(|it| each(it.busy, it.requests)),
            endpoint_late_micros: endpoint.map(|it| each(it.late, it.requests)),
        }
    }
}

impl Report {
    /// Writes the measurements as a table.
    pub fn write_table(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "{:8} {:>7} {:9} {:9} {:>22} {:>22} {:>14} {:>14} {:>7} {:>8} {:>8} {:>9}",
            "workload",
            "records",
            "state",
            "program",
            "CPU us/record",
            "wall ms",
            "start CPU/wall",
            "first CPU/wall",
            "MB",
            "requests",
            "units",
            "stub us"
        )?;
        for it in &self.measurements {
            let spread = |spread: Option<Spread>| {
                spread.map_or_else(
                    || "-".to_owned(),
                    |it| format!("{:.1} / {:.1} / {:.1}", it.min, it.median, it.max),
                )
            };
            let median = |spread: Option<Spread>| {
                spread.map_or_else(|| "-".to_owned(), |it| format!("{:.1}", it.median))
            };
            writeln!(
                out,
                "{:8} {:>7} {:9} {:9} {:>22} {:>22} {:>14} {:>14} {:>7} {:>8} {:>8} {:>9}",
                it.workload.to_string(),
                it.records,
                it.state.to_string(),
                it.program,
                spread(it.cpu_micros_per_record),
                spread(Some(it.wall_millis)),
                format!("{}/{}", median(it.start_cpu_millis), median(Some(it.start_wall_millis))),
                format!("{}/{}", median(it.first_cpu_millis), median(Some(it.first_wall_millis))),
                it.peak_memory_bytes.map_or_else(
                    || "-".to_owned(),
                    |bytes| format!("{:.1}", bytes as f64 / 1_048_576.0)
                ),
                median(it.requests_per_thousand),
                median(it.write_units_per_thousand),
                format!(
                    "{:.0}+{:.0}",
                    it.endpoint_busy_micros.unwrap_or_default(),
                    it.endpoint_late_micros.unwrap_or_default()
                ),
            )?;
        }
        Ok(())
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
