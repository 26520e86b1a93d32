//! What was measured, and how it is shown.

use std::{
    io::{self, Write},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    cost,
    lane::{Lane, Round},
    stub::{Counts, Stub},
    workload::{Kind, Mix, State},
};

/// The name of the program that others are compared with.
pub const BASELINE: &str = "naive";

/// An endpoint that answers later than this on average is part of what is measured.
const MOST_LATE_MICROS: f64 = 500.0;

/// All measurements of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// How often everything was measured.
    pub rounds: usize,
    pub mix: Mix,
    /// Whether the targets are for this run.
    pub is_standard: bool,
    pub measurements: Vec<Measurement>,
}

/// What one program did with one workload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Measurement {
    #[serde(flatten)]
    pub case: Case,
    pub program: String,
    pub event_bytes: usize,
    /// User and system time of the process.
    pub cpu_micros_per_record: Option<Spread>,
    /// From the event's delivery until the answer.
    pub wall_millis: Spread,
    /// How many times as long that is as it must be: as its own processor time, or as two requests if that is more.
    pub wall_over_floor: Option<f64>,
    /// From the process's start until it asked for its first invocation.
    pub start_wall_millis: Spread,
    pub start_cpu_millis: Option<Spread>,
    /// The first invocation.
    pub first_wall_millis: Spread,
    pub first_cpu_millis: Option<Spread>,
    pub peak_memory_bytes: Option<u64>,
    pub requests_per_thousand: Option<Spread>,
    pub items_put_per_thousand: Option<Spread>,
    pub write_units_per_thousand: Option<Spread>,
    pub read_units_per_thousand: Option<Spread>,
    pub lambda_dollars_per_million: Option<f64>,
    pub dynamodb_dollars_per_million: Option<f64>,
    /// What it would be if each event were a process's first.
    pub first_dynamodb_dollars_per_million: Option<f64>,
    pub endpoint: Option<EndpointMeasurement>,
}

/// What is measured of each program.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Case {
    pub workload: Kind,
    /// `None` where the endpoint is a real one.
    pub latency_millis: Option<u64>,
    pub state: State,
    /// How many an event had.
    pub records: usize,
}

/// What the stub took for itself: it must not be what is measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointMeasurement {
    /// What it computed for a request, within the latency.
    pub busy_micros: f64,
    /// How much later than its latency it answered.
    pub late_micros: f64,
    /// What setting up a connection took.
    pub connection_millis: f64,
}

/// How a measure was spread over the rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    pub min: f64,
    pub median: f64,
    pub max: f64,
}

impl Spread {
    /// The spread of one value at least.
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let last = values.len() - 1;
        let median = f64::midpoint(values[last / 2], values[values.len() / 2]);
        Self { min: values[0], median, max: values[last] }
    }
}

impl Measurement {
    /// What came of a lane's rounds, of which there is one at least.
    pub(super) fn of(lane: &Lane) -> Self {
        let rounds = &lane.rounds;
        // Events that end at 6 MB don't all have the same number of records.
        let each = |total: f64, round: &Round| total / count(round.records as u64);
        let spread = |value: fn(&Round) -> f64| Spread::of(rounds.iter().map(value).collect());
        let known = |value: &dyn Fn(&Round) -> Option<f64>| {
            rounds.iter().map(value).collect::<Option<_>>().map(Spread::of)
        };
        let per_thousand = |value: fn(Counts) -> f64| {
            known(&|round| round.counts.map(|counts| each(1e3 * value(counts), round)))
        };
        // A median would hide what only some batches cost, and is paid all the same.
        let mean_price = |counts: fn(&Round) -> Option<Counts>| {
            let price = |round| {
                let counts = counts(round)?;
                Some(each(1e6 * cost::dynamodb(write_units(counts), read_units(counts)), round))
            };
            let prices = rounds.iter().map(price).sum::<Option<f64>>()?;
            Some(prices / count(rounds.len() as u64))
        };
        let memory_size = count(lane.settings.memory_size);
        let lambda_dollars = known(&|round| {
            let (cpu, wall) = (round.warm.cpu?, round.warm.wall);
            let dollars = cost::lambda(cpu.as_secs_f64(), wall.as_secs_f64(), memory_size);
            Some(each(1e6 * dollars, round))
        });
        let floor = known(&|round| {
            let two_requests = 2 * Duration::from_millis(lane.latency_millis?);
            Some(millis(round.warm.cpu?.max(two_requests)))
        });
        let wall_millis = spread(|round| millis(round.warm.wall));
        Self {
            case: Case {
                workload: lane.workload.kind,
                latency_millis: lane.latency_millis,
                state: lane.workload.state,
                records: rounds[0].records,
            },
            program: lane.program.to_owned(),
            event_bytes: rounds[0].event_bytes,
            cpu_micros_per_record: known(&|round| Some(each(1e3 * millis(round.warm.cpu?), round))),
            wall_millis,
            wall_over_floor: floor.map(|floor| wall_millis.median / floor.median),
            start_wall_millis: spread(|round| millis(round.start.wall)),
            start_cpu_millis: known(&|round| round.start.cpu.map(millis)),
            first_wall_millis: spread(|round| millis(round.first.wall)),
            first_cpu_millis: known(&|round| round.first.cpu.map(millis)),
            peak_memory_bytes: rounds.iter().filter_map(|round| round.peak_memory).max(),
            requests_per_thousand: per_thousand(|it| count(it.requests)),
            items_put_per_thousand: per_thousand(|it| count(it.created + it.replaced)),
            write_units_per_thousand: per_thousand(write_units),
            read_units_per_thousand: per_thousand(read_units),
            lambda_dollars_per_million: median(lambda_dollars),
            dynamodb_dollars_per_million: mean_price(|round| round.counts),
            first_dynamodb_dollars_per_million: mean_price(|round| round.first_counts),
            endpoint: lane.stub.as_ref().map(Stub::measurement),
        }
    }

    /// In MB of 2^20 bytes.
    pub fn peak_megabytes(&self) -> Option<f64> {
        self.peak_memory_bytes.map(|bytes| count(bytes) / f64::from(1 << 20))
    }

    pub fn cpu(&self) -> Option<f64> {
        median(self.cpu_micros_per_record)
    }
}

/// What stands in a cell for a measurement, which may have one of the baseline beside it.
type Cell = fn(&Measurement, Option<&Measurement>) -> String;

const COLUMNS: [(&str, Cell); 17] = [
    ("records", |it, _| it.case.records.to_string()),
    ("state", |it, _| it.case.state.to_string()),
    ("program", |it, _| it.program.clone()),
    ("CPU µs/record", |it, _| spread(it.cpu_micros_per_record)),
    ("x", |it, base| share(it.cpu(), base.and_then(Measurement::cpu))),
    ("wall ms", |it, _| spread(Some(it.wall_millis))),
    ("x", |it, base| share(Some(it.wall_millis.median), base.map(|base| base.wall_millis.median))),
    ("floors", |it, _| number(it.wall_over_floor, 2)),
    ("start ms", |it, _| pair(it.start_cpu_millis, it.start_wall_millis)),
    ("first ms", |it, _| pair(it.first_cpu_millis, it.first_wall_millis)),
    ("MB", |it, _| number(it.peak_megabytes(), 1)),
    ("requests", |it, _| number(median(it.requests_per_thousand), 0)),
    ("write units", |it, _| number(median(it.write_units_per_thousand), 0)),
    ("read units", |it, _| number(median(it.read_units_per_thousand), 0)),
    ("Lambda $", |it, _| number(it.lambda_dollars_per_million, 4)),
    ("DynamoDB $", |it, _| number(it.dynamodb_dollars_per_million, 3)),
    ("first $", |it, _| number(it.first_dynamodb_dollars_per_million, 3)),
];

impl Report {
    /// Writes the measurements as a table.
    pub fn write_table(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut rows = vec![COLUMNS.map(|(name, _)| name.to_owned())];
        rows.extend(self.measurements.iter().map(|it| {
            let is_beside = |base: &&Measurement| base.program == BASELINE && base.case == it.case;
            let baseline = self.measurements.iter().find(is_beside);
            let baseline = baseline.filter(|_| it.program != BASELINE);
            COLUMNS.map(|(_, cell)| cell(it, baseline))
        }));
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
        let widths: Vec<_> = (0..COLUMNS.len()).filter_map(width).collect();
        let mut heading = None;
        for (row, it) in rows[1..].iter().zip(&self.measurements) {
            let Case { workload, latency_millis, .. } = it.case;
            if heading.replace((workload, latency_millis)) != Some((workload, latency_millis)) {
                writeln!(out, "\n{workload}{}", latency(latency_millis))?;
                write_row(&rows[0], &widths, out)?;
            }
            write_row(row, &widths, out)?;
        }
        writeln!(
            out,
            "\nCPU and wall: minimum / median / maximum of {} warm processes; x: as a share of the baseline; floors: the wall \
             time, times\nthe larger of its own processor time and two requests. start: median CPU / wall from a process's \
             start until it asks for its\nfirst invocation; first: that invocation. MB: the most memory held. Requests and \
             units: for 1,000 records, as DynamoDB's\npublished rules count them. Write units: 1 for each KB of 1,024 bytes, \
             rounded up, of the larger of the old and the new item,\nof the one that stands where a condition is false; 2 in a \
             transaction, also in one that is cancelled. Read units: 0.5 for each\n4 KB of the whole item, rounded up, also \
             where there is none. Dollars: for a million records; Lambda with the memory that the\ntemplate gives, DynamoDB at \
             $0.625 a million write units and $0.125 a million read units, which its list for requests on demand\nasks in \
             us-east-1 (https://aws.amazon.com/dynamodb/pricing/on-demand/); first: if each batch were an environment's first.\n\
             DynamoDB's dollars are means, the other single numbers medians.",
            self.rounds
        )?;
        let endpoints = || self.measurements.iter().filter_map(|it| it.endpoint);
        let worst =
            |value: fn(EndpointMeasurement) -> f64| endpoints().map(value).fold(0.0, f64::max);
        if endpoints().next().is_some() {
            writeln!(
                out,
                "The endpoint computed {:.0} µs at most for a request, within its latency, and answered {:.0} µs late at \
                 most\n(both means of a configuration).",
                worst(|it| it.busy_micros),
                worst(|it| it.late_micros)
            )?;
            if worst(|it| it.late_micros) > MOST_LATE_MICROS {
                writeln!(
                    out,
                    "That late it was short of a processor itself: the wall times say little."
                )?;
            }
        }
        Ok(())
    }
}

/// What a latency adds to a title.
pub(super) fn latency(millis: Option<u64>) -> String {
    millis.map(|it| format!(", {it} ms a request")).unwrap_or_default()
}

fn write_row(row: &[String], widths: &[usize], out: &mut dyn Write) -> io::Result<()> {
    let cells = row.iter().zip(widths).enumerate().map(|(position, (cell, width))| {
        // The state and the program are words, all else is numbers.
        if matches!(position, 1 | 2) { format!("{cell:width$}") } else { format!("{cell:>width$}") }
    });
    writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}

fn spread(spread: Option<Spread>) -> String {
    spread.map_or_else(
        || number(None, 0),
        |it| format!("{:.1} / {:.1} / {:.1}", it.min, it.median, it.max),
    )
}

fn pair(cpu: Option<Spread>, wall: Spread) -> String {
    format!("{} / {:.1}", number(median(cpu), 1), wall.median)
}

fn share(own: Option<f64>, base: Option<f64>) -> String {
    own.zip(base).map(|(own, base)| format!("{:.2}", own / base)).unwrap_or_default()
}

fn median(spread: Option<Spread>) -> Option<f64> {
    spread.map(|it| it.median)
}

fn write_units(counts: Counts) -> f64 {
    count(counts.write_units)
}

fn read_units(counts: Counts) -> f64 {
    count(counts.half_read_units) / 2.0
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Exact for all that is counted here.
#[expect(clippy::cast_precision_loss, reason = "no count here comes near 2^52")]
pub(super) fn count(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::Value;

    use super::*;

    /// A measurement of made-up numbers.
    pub(crate) fn measurement(case: Case, program: &str, cpu: f64) -> Measurement {
        let spread = Spread { min: cpu, median: cpu, max: cpu };
        Measurement {
            case,
            program: program.to_owned(),
            event_bytes: 1000 * case.records,
            cpu_micros_per_record: Some(spread),
            wall_millis: spread,
            wall_over_floor: Some(1.25),
            start_wall_millis: spread,
            start_cpu_millis: None,
            first_wall_millis: spread,
            first_cpu_millis: Some(spread),
            peak_memory_bytes: Some(5 << 20),
            requests_per_thousand: Some(spread),
            items_put_per_thousand: None,
            write_units_per_thousand: None,
            read_units_per_thousand: None,
            lambda_dollars_per_million: Some(0.5),
            dynamodb_dollars_per_million: Some(cpu),
            first_dynamodb_dollars_per_million: Some(cpu),
            endpoint: None,
        }
    }

    #[test]
    fn spreads_know_their_middle() {
        #[track_caller]
        fn check(values: &[f64], expected: (f64, f64, f64)) {
            let Spread { min, median, max } = Spread::of(values.to_vec());
            assert_eq!((min, median, max), expected);
        }

        check(&[2.0], (2.0, 2.0, 2.0));
        check(&[3.0, 1.0], (1.0, 2.0, 3.0));
        check(&[5.0, 1.0, 2.0], (1.0, 2.0, 5.0));
    }

    #[test]
    fn a_report_is_a_table_and_json() {
        let mix = Mix { seed: 1, schema: false, repeated: 0.0, duplicates: 0.0, deletes: 0.0 };
        let lane = |latency_millis, program, cpu| {
            let (workload, state) = (Kind::Appian, State::Existing);
            measurement(Case { workload, latency_millis, records: 500, state }, program, cpu)
        };
        let measurements = vec![
            lane(Some(4), "sink", 10.0),
            lane(Some(4), BASELINE, 100.0),
            lane(None, "sink", 5.0),
        ];
        let report = Report { rounds: 3, mix, is_standard: true, measurements };

        let mut table = Vec::new();
        report.write_table(&mut table).unwrap();
        let table = String::from_utf8(table).unwrap();
        let lines: Vec<_> = table.lines().take(8).map(str::split_whitespace).collect();
        let lines: Vec<_> =
            lines.into_iter().map(|line| line.collect::<Vec<_>>().join(" ")).collect();
        let header = "records state program CPU µs/record x wall ms x floors start ms first ms MB requests write units read units Lambda $ DynamoDB $ first $";
        assert_eq!(
            lines,
            [
                "",
                "appian, 4 ms a request",
                header,
                "500 existing sink 10.0 / 10.0 / 10.0 0.10 10.0 / 10.0 / 10.0 0.10 1.25 - / 10.0 10.0 / 10.0 5.0 10 - - 0.5000 10.000 10.000",
                "500 existing naive 100.0 / 100.0 / 100.0 100.0 / 100.0 / 100.0 1.25 - / 100.0 100.0 / 100.0 5.0 100 - - 0.5000 100.000 100.000",
                "",
                "appian",
                header,
            ]
        );

        let json: Value = serde_json::to_value(&report).unwrap();
        assert_eq!(json["measurements"][0]["cpuMicrosPerRecord"]["median"], 10.0);
        assert_eq!(json["measurements"][1]["workload"], "appian");
        assert_eq!(json["measurements"][1]["latencyMillis"], 4);
    }
}
