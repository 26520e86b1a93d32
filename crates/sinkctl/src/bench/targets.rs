//! The targets that the project has set itself, held against a run.

use std::io::{self, Write};

use super::{
    report::{BASELINE, Measurement, Report},
    workload::{Kind, State},
};

/// How many requests the functions have in flight, unless told otherwise.
const CONCURRENCY: f64 = 8.0;
/// An event counts as one of 6 MB from here.
const LARGE_EVENT_BYTES: usize = 5_800_000;

/// One target.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// What is limited.
    pub name: String,
    /// The most that is allowed.
    pub limit: f64,
    /// What was measured; `None` if it was not.
    pub found: Option<f64>,
}

impl Target {
    fn new(name: impl Into<String>, limit: f64, found: Option<f64>) -> Self {
        Self { name: name.into(), limit, found }
    }

    /// Whether it is met, if that is known.
    pub fn is_met(&self) -> Option<bool> {
        self.found.map(|found| found <= self.limit)
    }
}

impl Report {
    /// All targets that a run can be held against.
    pub fn targets(&self) -> Vec<Target> {
        use Kind::{Appian, Seatool, Small};
        use State::{Duplicate, Existing, New};

        let mut targets = Vec::new();
        for (kind, state, program, limit) in [
            (Appian, Existing, "sink", 0.10),
            (Appian, New, "sink", 0.15),
            (Appian, Duplicate, "sink", 0.15),
            (Seatool, Existing, "sink", 0.15),
            (Seatool, New, "sink", 0.35),
            (Seatool, Duplicate, "sink", 0.15),
            (Appian, Existing, "single", 0.40),
            (Seatool, Existing, "single", 0.40),
        ] {
            let transport = if program == "single" { ", single-item calls" } else { "" };
            let name =
                format!("CPU a record, 500 {kind} {state}{transport}: share of the baseline");
            targets.push(Target::new(name, limit, self.share(kind, state, program, cpu)));
        }

        let distinct = self.find(Appian, 500, Existing, "sink");
        targets.push(Target::new(
            "wall time, 500 appian existing: times the larger of its CPU and its waves of requests",
            1.5,
            distinct.and_then(|it| self.wall_over_floor(it)),
        ));
        let wall = |it: &Measurement| Some(it.wall_millis.median);
        targets.push(Target::new(
            "wall time, 500 appian existing: share of the baseline",
            0.35,
            self.share(Appian, Existing, "sink", wall),
        ));

        let small = |records| self.find(Small, records, Existing, "sink").and_then(cpu);
        targets.push(Target::new(
            "CPU a record, 10,000 small existing: times that of 1,000",
            1.1,
            small(10_000).zip(small(1000)).map(|(many, few)| many / few),
        ));
        let is_large =
            |it: &&Measurement| it.program == "sink" && it.event_bytes >= LARGE_EVENT_BYTES;
        let large = self.measurements.iter().filter(is_large);
        targets.push(Target::new(
            "peak memory in MB, events of 6 MB",
            64.0,
            large.filter_map(Measurement::peak_megabytes).reduce(f64::max),
        ));

        let start = |kind| {
            self.find(kind, 500, Existing, "sink").and_then(|it| Some(it.start_cpu_millis?.median))
        };
        targets.push(Target::new(
            "cold start to the first `next`, CPU ms",
            12.0,
            [Appian, Seatool].into_iter().filter_map(start).reduce(f64::max),
        ));
        targets.push(Target::new(
            "first invocation, 500 appian existing: wall time less one connection set-up, times a warm one",
            1.5,
            distinct.and_then(|it| {
                let first = it.first_wall_millis.median - it.endpoint?.connection_millis;
                Some(first / it.wall_millis.median)
            }),
        ));

        for (state, limit) in [(Existing, 42.0), (Duplicate, 42.0), (New, 44.0)] {
            let found = self.find(Appian, 1000, state, "sink");
            targets.push(Target::new(
                format!("requests, 1,000 appian {state}"),
                limit,
                found.and_then(|it| Some(it.requests_per_thousand?.median)),
            ));
        }
        targets
    }

    /// Writes the targets with what was found.
    pub fn write_targets(&self, out: &mut dyn Write) -> io::Result<()> {
        let targets = self.targets();
        let width =
            targets.iter().map(|target| target.name.chars().count()).max().unwrap_or_default();
        writeln!(out, "\n{:width$}  at most  found", "target")?;
        for target in targets {
            let Target { name, limit, found } = &target;
            let found = found.map_or_else(|| "-".to_owned(), |found| format!("{found:.2}"));
            let verdict = match target.is_met() {
                Some(true) => "met",
                Some(false) => "NOT MET",
                None => "not measured",
            };
            writeln!(out, "{name:width$}  {limit:>7.2}  {found:>5}  {verdict}")?;
        }
        Ok(())
    }

    fn share(
        &self,
        kind: Kind,
        state: State,
        program: &str,
        value: impl Fn(&Measurement) -> Option<f64>,
    ) -> Option<f64> {
        let own = value(self.find(kind, 500, state, program)?)?;
        let baseline = value(self.find(kind, 500, state, BASELINE)?)?;
        Some(own / baseline)
    }

    fn wall_over_floor(&self, it: &Measurement) -> Option<f64> {
        let records = f64::from(u32::try_from(it.records).ok()?);
        let requests = it.requests_per_thousand?.median * records / 1e3;
        let waves = (requests / CONCURRENCY).ceil() * self.latency_millis?;
        let own = cpu(it)? * records / 1e3;
        Some(it.wall_millis.median / own.max(waves))
    }
}

fn cpu(measurement: &Measurement) -> Option<f64> {
    measurement.cpu_micros_per_record.map(|spread| spread.median)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{report::tests::measurement, workload::Mix};

    fn report(measurements: Vec<Measurement>) -> Report {
        let mix = Mix { seed: 1, schema: false, repeated: 0.0, duplicates: 0.0, deletes: 0.0 };
        Report { rounds: 1, latency_millis: Some(4.0), mix, measurements }
    }

    #[test]
    fn what_was_not_measured_is_neither_met_nor_missed() {
        let targets = report(Vec::new()).targets();
        assert!(targets.len() > 10);
        assert!(targets.iter().all(|target| target.is_met().is_none()));
    }

    #[test]
    fn shares_are_those_of_the_baseline_beside() {
        #[track_caller]
        fn check(own: f64, baseline: f64, expected: Option<bool>) {
            let lane = |program, cpu| measurement(Kind::Appian, 500, State::New, program, cpu);
            let targets = report(vec![lane("sink", own), lane(BASELINE, baseline)]).targets();
            let target =
                targets.iter().find(|it| it.name.starts_with("CPU a record, 500 appian new"));
            assert_eq!(target.unwrap().is_met(), expected);
        }

        check(15.0, 100.0, Some(true));
        check(15.1, 100.0, Some(false));
    }
}
