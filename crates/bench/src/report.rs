//! What was measured, and how it is shown.

use std::{
    io::{self, Write},
    time::Duration,
};

use serde::Serialize;

use super::{
    cost,
    lane::{Lane, Round},
    process::Spent,
    stub::Counts,
    workload::{Kind, Mix, State},
};

/// The name of the program that others are compared with.
pub(super) const BASELINE: &str = "naive";

/// An endpoint that answers later than this on average is part of what is measured.
const MOST_LATE_MICROS: f64 = 500.0;

/// All measurements of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// How often everything was measured.
    pub rounds: usize,
    /// What the records have in common.
    pub mix: Mix,
    /// One for each configuration.
    pub measurements: Vec<Measurement>,
}

/// What one program did with one workload.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Measurement {
    /// What the records look like.
    pub workload: Kind,
    /// How long the stub took for an answer, in milliseconds; `None` where the endpoint is a real one.
    pub latency_millis: Option<u64>,
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
    /// How many times as long that is as it must be: as its own processor time, or as two requests if that is more.
    pub wall_over_floor: Option<f64>,
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
    /// Items that were put, for 1,000 records.
    pub items_put_per_thousand: Option<Spread>,
    /// Write units for 1,000 records.
    pub write_units_per_thousand: Option<Spread>,
    /// Read units for 1,000 records.
    pub read_units_per_thousand: Option<Spread>,
    /// What Lambda takes for a million records, in dollars.
    pub lambda_dollars_per_million: Option<f64>,
    /// What DynamoDB takes for a million records, in dollars.
    pub dynamodb_dollars_per_million: Option<f64>,
    /// What it would take if each event were a process's first.
    pub first_dynamodb_dollars_per_million: Option<f64>,
    /// How the endpoint itself did.
    pub endpoint: Option<EndpointMeasurement>,
}

/// What is measured of each program.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Case {
    pub(super) workload: Kind,
    pub(super) latency_millis: Option<u64>,
    pub(super) records: usize,
    pub(super) state: State,
}

/// What the stub took for itself: it must not be what is measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointMeasurement {
    /// What it computed for a request, in microseconds, within the latency.
    pub busy_micros: f64,
    /// How much later than its latency it answered, in microseconds.
    pub late_micros: f64,
    /// What setting up a connection took, in milliseconds.
    pub connection_millis: f64,
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
        // Events that end at 6 MB don't all have the same number of records.
        let each = |total: f64, round: &Round| total / count(round.records.max(1) as u64);
        let spread = |value: &dyn Fn(&Round) -> f64| {
            let nothing = Spread { min: 0.0, median: 0.0, max: 0.0 };
            Spread::of(rounds.iter().map(value)).unwrap_or(nothing)
        };
        let known =
            |value: &dyn Fn(&Round) -> Option<f64>| Spread::of_known(rounds.iter().map(value));
        let endpoint = lane.punctuality().map(|it| {
            let mean = |time: Duration, times: u64| millis(time) / count(times.max(1));
            EndpointMeasurement {
                busy_micros: mean(it.busy, it.requests) * 1e3,
                late_micros: mean(it.late, it.requests) * 1e3,
                connection_millis: mean(it.connecting, it.connections),
            }
        });
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
            Some(prices / count(rounds.len().max(1) as u64))
        };
        let memory_size = count(lane.memory_size());
        let lambda_dollars_per_million = known(&|round| {
            let Spent { wall, cpu } = round.warm;
            let cost = cost::lambda(cpu?.as_secs_f64(), wall.as_secs_f64(), memory_size);
            Some(each(cost, round) * 1e6)
        });
        let floor = known(&|round| {
            let two_requests = 2 * Duration::from_millis(lane.latency_millis?);
            Some(millis(round.warm.cpu?.max(two_requests)))
        });
        let wall_millis = spread(&|round| millis(round.warm.wall));
        Self {
            workload: lane.workload.kind,
            latency_millis: lane.latency_millis,
            state: lane.workload.state,
            program: lane.program.clone(),
            records: rounds.first().map_or(0, |round| round.records),
            event_bytes: rounds.first().map_or(0, |round| round.event_bytes),
            cpu_micros_per_record: known(&|round| {
                round.warm.cpu.map(|cpu| each(1e3 * millis(cpu), round))
            }),
            wall_millis,
            wall_over_floor: floor.map(|floor| wall_millis.median / floor.median),
            start_wall_millis: spread(&|round| millis(round.start.wall)),
            start_cpu_millis: known(&|round| round.start.cpu.map(millis)),
            first_wall_millis: spread(&|round| millis(round.first.wall)),
            first_cpu_millis: known(&|round| round.first.cpu.map(millis)),
            peak_memory_bytes: rounds.iter().filter_map(|round| round.peak_memory).max(),
            requests_per_thousand: per_thousand(|it| count(it.requests)),
            items_put_per_thousand: per_thousand(|it| count(it.created + it.replaced)),
            write_units_per_thousand: per_thousand(write_units),
            read_units_per_thousand: per_thousand(read_units),
            lambda_dollars_per_million: lambda_dollars_per_million.map(|dollars| dollars.median),
            dynamodb_dollars_per_million: mean_price(|round| round.counts),
            first_dynamodb_dollars_per_million: mean_price(|round| round.first_counts),
            endpoint,
        }
    }

    pub(super) fn case(&self) -> Case {
        let Self { workload, latency_millis, records, state, .. } = *self;
        Case { workload, latency_millis, records, state }
    }

    /// The most memory that the process held, in MB of 2^20 bytes.
    pub(super) fn peak_megabytes(&self) -> Option<f64> {
        self.peak_memory_bytes.map(|bytes| count(bytes) / f64::from(1 << 20))
    }
}

impl Report {
    /// The measurement of a program in this case, if it was made.
    pub(super) fn find(&self, case: Case, program: &str) -> Option<&Measurement> {
        self.measurements.iter().find(|it| it.case() == case && it.program == program)
    }

    /// Writes the measurements as a table.
    pub fn write_table(&self, out: &mut dyn Write) -> io::Result<()> {
        let header = [
            "records",
            "state",
            "program",
            "CPU µs/record",
            "x",
            "wall ms",
            "x",
            "floors",
            "start ms",
            "first ms",
            "MB",
            "requests",
            "write units",
            "read units",
            "Lambda $",
            "DynamoDB $",
            "first $",
        ];
        let mut rows = vec![header.map(str::to_owned)];
        rows.extend(self.measurements.iter().map(|it| self.row(it)));
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
        let widths: Vec<_> =
            (0..header.len()).map(|column| width(column).unwrap_or_default()).collect();
        let mut heading = None;
        for (row, it) in rows[1..].iter().zip(&self.measurements) {
            let (workload, latency) = (it.workload, it.latency_millis);
            if heading.replace((workload, latency)) != Some((workload, latency)) {
                let latency = latency.map(|it| format!(", {it} ms a request"));
                writeln!(out, "\n{workload}{}", latency.unwrap_or_default())?;
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

    fn row(&self, it: &Measurement) -> [String; 17] {
        let baseline = self.find(it.case(), BASELINE).filter(|_| it.program != BASELINE);
        let share = |value: fn(&Measurement) -> Option<f64>| {
            let share = baseline.and_then(value).zip(value(it)).map(|(base, own)| own / base);
            share.map(|share| format!("{share:.2}")).unwrap_or_default()
        };
        let spread = |spread: Option<Spread>| {
            spread.map_or_else(unknown, |it| {
                format!("{:.1} / {:.1} / {:.1}", it.min, it.median, it.max)
            })
        };
        let pair = |cpu: Option<Spread>, wall: Spread| {
            let cpu = cpu.map_or_else(unknown, |cpu| format!("{:.1}", cpu.median));
            format!("{cpu} / {:.1}", wall.median)
        };
        let dollars = |dollars: Option<f64>, digits| {
            dollars.map_or_else(unknown, |dollars| format!("{dollars:.digits$}"))
        };
        let median =
            |spread: Option<Spread>| spread.map_or_else(unknown, |it| format!("{:.0}", it.median));
        [
            it.records.to_string(),
            it.state.to_string(),
            it.program.clone(),
            spread(it.cpu_micros_per_record),
            share(|it| it.cpu_micros_per_record.map(|cpu| cpu.median)),
            spread(Some(it.wall_millis)),
            share(|it| Some(it.wall_millis.median)),
            it.wall_over_floor.map_or_else(unknown, |floors| format!("{floors:.2}")),
            pair(it.start_cpu_millis, it.start_wall_millis),
            pair(it.first_cpu_millis, it.first_wall_millis),
            it.peak_megabytes().map_or_else(unknown, |megabytes| format!("{megabytes:.1}")),
            median(it.requests_per_thousand),
            median(it.write_units_per_thousand),
            median(it.read_units_per_thousand),
            dollars(it.lambda_dollars_per_million, 4),
            dollars(it.dynamodb_dollars_per_million, 3),
            dollars(it.first_dynamodb_dollars_per_million, 3),
        ]
    }
}

fn write_row(row: &[String], widths: &[usize], out: &mut dyn Write) -> io::Result<()> {
    let mut line = String::new();
    for (position, (cell, width)) in row.iter().zip(widths).enumerate() {
        // The state and the program are words, all else is numbers.
        let cell = if matches!(position, 1 | 2) {
            format!("{cell:width$}")
        } else {
            format!("{cell:>width$}")
        };
        line.push_str(&cell);
        line.push_str("  ");
    }
    writeln!(out, "{}", line.trim_end())
}

fn unknown() -> String {
    "-".to_owned()
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
        let Case { workload, latency_millis, records, state } = case;
        let spread = Spread { min: cpu, median: cpu, max: cpu };
        Measurement {
            workload,
            latency_millis,
            state,
            program: program.to_owned(),
            records,
            event_bytes: 1000 * records,
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
        fn check(values: &[f64], expected: Option<(f64, f64, f64)>) {
            let spread = Spread::of(values.iter().copied());
            assert_eq!(spread.map(|it| (it.min, it.median, it.max)), expected);
        }

        check(&[], None);
        check(&[2.0], Some((2.0, 2.0, 2.0)));
        check(&[3.0, 1.0], Some((1.0, 2.0, 3.0)));
        check(&[5.0, 1.0, 2.0], Some((1.0, 2.0, 5.0)));
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
        let report = Report { rounds: 3, mix, measurements };

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
