//! The targets that the project has set itself, held against a report that the benchmark wrote.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests end on what they don't expect")]

use std::{fmt::Write as _, fs, path::Path};

use bench::{
    report::{BASELINE, Case, Measurement, Report, Spread},
    workload::{Kind, State},
};
use serde_json::json;

/// The latencies in milliseconds that the targets are for; where none is named, the worse measure counts.
const LATENCIES: [u64; 2] = [4, 15];
/// An event counts as one of 6 MB from here.
const LARGE_EVENT_BYTES: usize = 5_800_000;

/// What DynamoDB takes for two million write units, in dollars.
const TWO_WRITE_UNITS: f64 = 1.25;

/// A measure that two programs have.
type Measure = fn(&Measurement) -> Option<f64>;

#[test]
#[ignore = "COMPARE_CONNECTOR_TEST_REPORT names a file that `bench --json` wrote, relative to the workspace or absolute"]
fn a_report_meets_the_targets() {
    #[expect(clippy::disallowed_methods, reason = "a setting of the tests, not of the functions")]
    let file = std::env::var_os("COMPARE_CONNECTOR_TEST_REPORT");
    let file = file.expect("COMPARE_CONNECTOR_TEST_REPORT names what `bench --json FILE` wrote");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file);
    let json = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let judged = Judged(serde_json::from_slice(&json).unwrap());
    let table = judged.verdict().unwrap_or_else(|problem| panic!("\n{problem}"));
    #[expect(clippy::print_stdout, reason = "the found values are what this test is for")]
    {
        println!("{table}");
    }
}

/// One target.
#[derive(Clone, Debug, PartialEq)]
struct Target {
    /// What is limited.
    name: String,
    /// The most that is allowed.
    limit: f64,
    /// What was measured; `None` if it was not.
    found: Option<f64>,
}

impl Target {
    fn new(name: impl Into<String>, limit: f64, found: Option<f64>) -> Self {
        Self { name: name.into(), limit, found }
    }

    /// Whether it is met, if that is known.
    fn is_met(&self) -> Option<bool> {
        self.found.map(|found| found <= self.limit)
    }
}

/// A report that is held against the targets.
struct Judged(Report);

impl Judged {
    /// All targets that a run can be held against.
    fn targets(&self) -> Vec<Target> {
        [self.speed_targets(), self.price_targets(), self.size_targets(), self.start_targets()]
            .concat()
    }

    fn speed_targets(&self) -> Vec<Target> {
        use Kind::{Appian, Seatool};
        use State::{Existing, New, Replayed};

        let mut targets = Vec::new();
        for (records, limit) in [(500, 0.15), (2000, 0.12)] {
            for latency in LATENCIES {
                let name = format!(
                    "wall time, {records} appian existing at {latency} ms: share of the baseline"
                );
                let case = case(latency, Appian, records, Existing);
                let found = self.share(case, "sink", |it| Some(it.wall_millis.median));
                targets.push(Target::new(name, limit, found));
            }
        }
        for (state, program, limit) in [
            (Existing, "sink", 0.07),
            (New, "sink", 0.07),
            (Replayed, "sink", 0.08),
            (Existing, "single", 0.25),
        ] {
            for kind in [Appian, Seatool] {
                let transport = if program == "single" { ", single-item calls" } else { "" };
                let name =
                    format!("CPU a record, 500 {kind} {state}{transport}: share of the baseline");
                let found = worst(|latency| {
                    self.share(case(latency, kind, 500, state), program, Measurement::cpu)
                });
                targets.push(Target::new(name, limit, found));
            }
        }
        targets
    }

    fn price_targets(&self) -> Vec<Target> {
        use Kind::{Appian, Seatool};
        use State::{Existing, Load, New, Replayed};

        let mut targets = Vec::new();
        for (what, price, limit) in [
            ("learnt", (|it| it.dynamodb_dollars_per_million) as Measure, 0.06),
            ("an environment's first batch", |it| it.first_dynamodb_dollars_per_million, 0.2),
        ] {
            for kind in [Appian, Seatool] {
                let name =
                    format!("DynamoDB's price, 500 {kind} replayed, {what}: share of writing them");
                // The baseline writes all of them once more.
                let found =
                    worst(|latency| self.share(case(latency, kind, 500, Replayed), "sink", price));
                targets.push(Target::new(name, limit, found));
            }
        }
        let price = |latency, state| {
            self.find(case(latency, Seatool, 500, state), "sink")?.dynamodb_dollars_per_million
        };
        targets.push(Target::new(
            "DynamoDB's price, 500 seatool new: share of `2k + 2` write units where a put takes `k`",
            1.02,
            worst(|latency| {
                                Some(price(latency, New)? / (2.0 * price(latency, Existing)? + TWO_WRITE_UNITS))
            }),
        ));
        targets.push(Target::new(
            "DynamoDB's price, 500 seatool load, a tenth of the keys exist: share of its parts",
            1.1,
            worst(|latency| {
                let parts = 0.9 * price(latency, New)? + 0.1 * price(latency, Existing)?;
                Some(price(latency, Load)? / parts)
            }),
        ));
        targets
    }

    fn size_targets(&self) -> Vec<Target> {
        let small = |latency, records| {
            self.find(case(latency, Kind::Small, records, State::Existing), "sink")
        };
        let is_large =
            |it: &&Measurement| it.program == "sink" && it.event_bytes >= LARGE_EVENT_BYTES;
        let large = self.0.measurements.iter().filter(is_large);
        vec![
            Target::new(
                "CPU a record, 10,000 small existing: times that of 1,000",
                1.1,
                worst(|latency| {
                    Some(small(latency, 10_000)?.cpu()? / small(latency, 1000)?.cpu()?)
                }),
            ),
            Target::new(
                "peak memory in MB, 10,000 small existing",
                64.0,
                worst(|latency| small(latency, 10_000)?.peak_megabytes()),
            ),
            Target::new(
                "peak memory in MB, events of 6 MB",
                96.0,
                large.filter_map(Measurement::peak_megabytes).reduce(f64::max),
            ),
        ]
    }

    fn start_targets(&self) -> Vec<Target> {
        let existing = |latency, kind| self.find(case(latency, kind, 500, State::Existing), "sink");
        let later = |latency: u64, kind| {
            let own = existing(latency, kind)?;
            let baseline = self.find(own.case, BASELINE)?;
            let later = own.start_wall_millis.median - baseline.start_wall_millis.median;
            Some(later / f64::from(u32::try_from(latency).ok()?))
        };
        let kinds = [Kind::Appian, Kind::Seatool].into_iter();
        vec![
            Target::new(
                "wall time from the start to the first `next`: requests longer than the baseline's",
                1.0,
                kinds.filter_map(|kind| worst(|latency| later(latency, kind))).reduce(f64::max),
            ),
            Target::new(
                "first invocation, 500 appian existing: wall time less one connection set-up, times a warm one",
                1.3,
                worst(|latency| {
                    let it = existing(latency, Kind::Appian)?;
                    let first = it.first_wall_millis.median - it.endpoint?.connection_millis;
                    Some(first / it.wall_millis.median)
                }),
            ),
        ]
    }

    /// The targets with what was found, or why they are not met.
    fn verdict(&self) -> Result<String, String> {
        if !self.0.is_standard {
            return Err(
                "the targets are for a run in which nothing is changed about records, endpoint and build"
                    .to_owned(),
            );
        }
        let targets = self.targets();
        let width = targets.iter().map(|target| target.name.chars().count()).max().unwrap();
        let mut table = format!("{:width$}  at most  found\n", "target");
        for target in &targets {
            let Target { name, limit, found } = target;
            let found = found.map_or_else(|| "-".to_owned(), |found| format!("{found:.2}"));
            let verdict = match target.is_met() {
                Some(true) => "met",
                Some(false) => "NOT MET",
                None => "not measured",
            };
            writeln!(table, "{name:width$}  {limit:>7.2}  {found:>5}  {verdict}").unwrap();
        }
        table.push_str("Not of a whole process, and not measured here: event bytes to request bodies, at least 6 times as fast as the usual way\n(`cargo bench -p bench`).\n");
        let count =
            |is_met| targets.iter().filter(|target| target.is_met() == Some(is_met)).count();
        match (count(true), count(false)) {
            (0, 0) => Err(format!("{table}nothing was measured that a target is for")),
            (_, 0) => Ok(table),
            (_, missed) => Err(format!("{table}{missed} of the targets are missed")),
        }
    }

    /// The measurement of a program in this case, if it was made.
    fn find(&self, case: Case, program: &str) -> Option<&Measurement> {
        self.0.measurements.iter().find(|it| it.case == case && it.program == program)
    }

    /// A program's measure as a share of the baseline's.
    fn share(&self, case: Case, program: &str, value: Measure) -> Option<f64> {
        Some(value(self.find(case, program)?)? / value(self.find(case, BASELINE)?)?)
    }
}

fn case(latency: u64, workload: Kind, records: usize, state: State) -> Case {
    Case { workload, latency_millis: Some(latency), records, state }
}

/// The worst that was found at any of the latencies.
fn worst(found: impl Fn(u64) -> Option<f64>) -> Option<f64> {
    LATENCIES.into_iter().filter_map(found).reduce(f64::max)
}

fn judged(measurements: &[Measurement]) -> Judged {
    let mix =
        json!({"seed": 1, "schema": false, "repeated": 0.0, "duplicates": 0.0, "deletes": 0.0});
    let report = json!({"rounds": 1, "mix": mix, "isStandard": true, "measurements": measurements});
    Judged(serde_json::from_value(report).unwrap())
}

/// A measurement all of whose figures are this one.
fn made(
    latency: u64,
    workload: Kind,
    records: usize,
    state: State,
    program: &str,
    figure: f64,
) -> Measurement {
    let spread = json!({"min": figure, "median": figure, "max": figure});
    let mut measurement = json!({
        "workload": workload, "latencyMillis": latency, "state": state, "program": program, "records": records,
        "eventBytes": 1000 * records,
    });
    for name in ["cpuMicrosPerRecord", "wallMillis", "startWallMillis", "firstWallMillis"] {
        measurement[name] = spread.clone();
    }
    for name in ["dynamodbDollarsPerMillion", "firstDynamodbDollarsPerMillion"] {
        measurement[name] = figure.into();
    }
    serde_json::from_value(measurement).unwrap()
}

#[track_caller]
fn check(measurements: &[Measurement], name: &str, found: Option<f64>, is_met: Option<bool>) {
    let targets = judged(measurements).targets();
    let matching: Vec<_> = targets.iter().filter(|it| it.name.starts_with(name)).collect();
    let [target] = matching.as_slice() else { panic!("{name}: {matching:?}") };
    assert_eq!((target.found, target.is_met()), (found, is_met), "{name}");
}

#[test]
fn what_was_not_measured_is_neither_met_nor_missed() {
    let targets = judged(&[]).targets();
    assert!(targets.len() > 10);
    assert!(targets.iter().all(|target| target.is_met().is_none()));
}

#[test]
fn a_verdict_says_each_target() {
    #[track_caller]
    fn check(figure: f64, is_standard: bool, expected: Result<&str, &str>) {
        let lane = |program, figure| made(4, Kind::Appian, 500, State::Existing, program, figure);
        let mut judged = judged(&[lane("sink", figure), lane(BASELINE, 100.0)]);
        judged.0.is_standard = is_standard;
        let (found, expected) = match (judged.verdict(), expected) {
            (Ok(found), Ok(expected)) | (Err(found), Err(expected)) => (found, expected),
            (found, _) => panic!("{found:?}"),
        };
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words(&found).contains(expected), "{found}");
    }

    let wall = "wall time, 500 appian existing at 4 ms: share of the baseline 0.15 ";
    check(5.0, true, Ok(&format!("{wall}0.05 met")));
    check(5.0, true, Ok("events of 6 MB 96.00 - not measured"));
    check(16.0, true, Err(&format!("{wall}0.16 NOT MET")));
    check(16.0, true, Err("2 of the targets are missed"));
    check(5.0, false, Err("nothing is changed about records"));
    assert!(
        judged(&[]).verdict().unwrap_err().ends_with("nothing was measured that a target is for")
    );
}

#[test]
fn shares_are_those_of_the_baseline_beside() {
    use Kind::{Appian, Seatool};
    use State::{Existing, New, Replayed};

    let beside = |latency, kind, records, state, figure| {
        let lane = |program, figure| made(latency, kind, records, state, program, figure);
        [lane("sink", figure), lane(BASELINE, 100.0)]
    };
    let wall = "wall time, 500 appian existing at 4 ms";
    check(&beside(4, Appian, 500, Existing, 15.0), wall, Some(0.15), Some(true));
    check(&beside(4, Appian, 500, Existing, 16.0), wall, Some(0.16), Some(false));
    check(&beside(15, Appian, 500, Existing, 15.0), wall, None, None);
    check(&beside(4, Appian, 2000, Existing, 15.0), wall, None, None);
    check(&beside(4, Seatool, 500, Existing, 15.0), wall, None, None);
    let wall = "wall time, 2000 appian existing at 15 ms";
    check(&beside(15, Appian, 2000, Existing, 12.0), wall, Some(0.12), Some(true));
    check(&beside(15, Appian, 2000, Existing, 13.0), wall, Some(0.13), Some(false));

    let new = "CPU a record, 500 seatool new:";
    check(&beside(4, Seatool, 500, New, 7.0), new, Some(0.07), Some(true));
    check(&beside(4, Seatool, 500, New, 7.5), new, Some(0.075), Some(false));
    check(&beside(50, Seatool, 500, New, 7.0), new, None, None);
    let both = [beside(4, Seatool, 500, New, 7.0), beside(15, Seatool, 500, New, 8.0)];
    check(both.as_flattened(), new, Some(0.08), Some(false));
    let [sink, _] = beside(4, Seatool, 500, New, 7.0);
    check(&[sink], new, None, None);
    let single = [
        made(4, Appian, 500, Existing, "single", 25.0),
        made(4, Appian, 500, Existing, BASELINE, 100.0),
    ];
    check(&single, "CPU a record, 500 appian existing, single", Some(0.25), Some(true));
    check(&single, "CPU a record, 500 appian existing:", None, None);

    let learnt = "DynamoDB's price, 500 appian replayed, learnt";
    let first = "DynamoDB's price, 500 appian replayed, an environment's first";
    check(&beside(4, Appian, 500, Replayed, 6.0), learnt, Some(0.06), Some(true));
    check(&beside(4, Appian, 500, Replayed, 20.0), learnt, Some(0.2), Some(false));
    check(&beside(4, Appian, 500, Replayed, 20.0), first, Some(0.2), Some(true));
    let [mut sink, baseline] = beside(4, Appian, 500, Replayed, 5.0);
    sink.first_dynamodb_dollars_per_million = Some(25.0);
    check(&[sink.clone(), baseline.clone()], learnt, Some(0.05), Some(true));
    check(&[sink, baseline], first, Some(0.25), Some(false));

    let start = "wall time from the start";
    let [mut sink, baseline] = beside(4, Seatool, 500, Existing, 100.0);
    for (millis, requests, is_met) in [(104.0, 1.0, true), (106.0, 1.5, false)] {
        sink.start_wall_millis = Spread { min: millis, median: millis, max: millis };
        check(&[sink.clone(), baseline.clone()], start, Some(requests), Some(is_met));
    }
}

#[test]
fn prices_are_shares_of_what_writing_takes() {
    use State::{Existing, Load, New};

    // An item of four write units costs $2.50 a million, and $6.25 to insert beside a check of its tombstone.
    let lane = |state, dollars| made(4, Kind::Seatool, 500, state, "sink", dollars);
    let new = "DynamoDB's price, 500 seatool new";
    check(&[lane(Existing, 2.5), lane(New, 6.25)], new, Some(1.0), Some(true));
    check(&[lane(Existing, 2.5), lane(New, 7.5)], new, Some(1.2), Some(false));
    check(&[lane(New, 6.25)], new, None, None);
    let load = "DynamoDB's price, 500 seatool load";
    let parts = [lane(Existing, 2.5), lane(New, 7.5)];
    check(&[&parts[..], &[lane(Load, 7.0)]].concat(), load, Some(1.0), Some(true));
    check(&[&parts[..], &[lane(Load, 10.5)]].concat(), load, Some(1.5), Some(false));
    check(&parts, load, None, None);
}

#[test]
fn memory_and_time_are_those_of_their_own_events() {
    use Kind::{Appian, Small};
    use State::Existing;

    let small = |records, figure| made(4, Small, records, Existing, "sink", figure);
    let ratio = "CPU a record, 10,000 small";
    check(&[small(1000, 10.0), small(10_000, 11.0)], ratio, Some(1.1), Some(true));
    check(&[small(1000, 10.0), small(10_000, 15.0)], ratio, Some(1.5), Some(false));
    check(&[small(10_000, 15.0)], ratio, None, None);

    let with_memory = |mut it: Measurement, megabytes: u64| {
        it.peak_memory_bytes = Some(megabytes << 20);
        it
    };
    let held = "peak memory in MB, 10,000 small";
    check(&[with_memory(small(10_000, 1.0), 64)], held, Some(64.0), Some(true));
    check(&[with_memory(small(10_000, 1.0), 65)], held, Some(65.0), Some(false));
    check(&[with_memory(small(1000, 1.0), 64)], held, None, None);
    let full = |program| made(15, Appian, 6000, Existing, program, 1.0);
    let held = "peak memory in MB, events of 6 MB";
    check(&[with_memory(full("sink"), 97)], held, Some(97.0), Some(false));
    check(&[with_memory(full("sink"), 65)], held, Some(65.0), Some(true));
    check(&[with_memory(full(BASELINE), 65)], held, None, None);
}
