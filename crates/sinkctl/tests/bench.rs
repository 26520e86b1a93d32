//! The benchmark as a whole, with the smallest of everything, on the function that Cargo builds for development.

use std::{path::Path, time::Duration};

use sinkctl::{
    bench::{
        self, Bench,
        stub::Faults,
        workload::{Kind, Mix, State},
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
        latency: Duration::from_millis(1),
        tls: true,
        faults: Faults::default(),
        kinds: vec![Kind::Appian],
        states: vec![State::Existing, State::Duplicate],
        records: vec![50],
        mix: Mix { seed: 1, schema: true, repeated: 0.2, duplicates: 0.0, deletes: 0.0 },
        rounds: 1,
        warm_up: 1,
    };
    let mut progress = Vec::new();
    let report = bench::run(&bench, &mut progress).await.unwrap();
    assert_eq!(String::from_utf8(progress).unwrap(), "appian, 50 records\n");

    let found: Vec<_> = report
        .measurements
        .iter()
        .map(|it| (it.state, it.program.as_str(), it.requests_per_thousand.unwrap().median))
        .collect();
    // Ten of the 50 records repeat a key: 40 writes are two batches of statements, or 40 calls.
    assert_eq!(
        found,
        [
            (State::Existing, "sink", 40.0),
            (State::Existing, "single", 800.0),
            (State::Duplicate, "sink", 40.0),
            (State::Duplicate, "single", 800.0),
        ]
    );
}
