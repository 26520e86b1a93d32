//! The benchmark as a whole, with the smallest of everything, on the function that Cargo builds for development.

use std::path::Path;

use sinkctl::{
    bench::{
        self, Bench,
        stub::Faults,
        workload::{Kind, Mix, State, Workload},
    },
    build::{Profile, Programs},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_those_that_the_functions_are_known_for() {
    let bench = Bench {
        template: Path::new(env!("CARGO_MANIFEST_DIR")).join("../../template.yaml"),
        programs: Programs::Cargo(Profile::Dev),
        bootstrap: None,
        single: true,
        baseline: false,
        dynamodb_endpoint: None,
        latencies_millis: vec![1],
        tls: true,
        faults: Faults::default(),
        kinds: vec![Kind::Appian],
        states: vec![State::Existing, State::Duplicate],
        records: vec![50],
        mix: Mix { seed: 1, schema: true, repeated: 0.2, duplicates: 0.0, deletes: 0.0 },
        rounds: 1,
        warm_up: 3,
    };
    let (kind, state, records) = (bench.kinds[0], bench.states[0], bench.records[0]);
    let keys = Workload { kind, state, records, mix: bench.mix }.event(1).keys;
    assert!((35..45).contains(&keys), "{keys}");

    let mut progress = Vec::new();
    let report = bench::run(&bench, &mut progress).await.unwrap();
    assert_eq!(String::from_utf8(progress).unwrap(), "appian, 50 records, 1 ms a request\n");

    let thousand = |requests: usize| f64::from(u32::try_from(1000 * requests / records).unwrap());
    let found: Vec<_> = report
        .measurements
        .iter()
        .map(|it| (it.state, it.program.as_str(), it.requests_per_thousand.unwrap().median))
        .collect();
    // A repeated key is written once, by a statement in one of two batches, or by a call of its own.
    assert_eq!(
        found,
        [
            (State::Existing, "sink", thousand(2)),
            (State::Existing, "single", thousand(keys)),
            (State::Duplicate, "sink", thousand(2)),
            (State::Duplicate, "single", thousand(keys)),
        ]
    );
    // Rows of 1.6 KB cost two units each; what Connect's schema says beside them is not stored.
    let units: Vec<_> =
        report.measurements.iter().map(|it| it.write_units_per_thousand.unwrap().median).collect();
    assert_eq!(units, [thousand(2 * keys); 4]);
}
