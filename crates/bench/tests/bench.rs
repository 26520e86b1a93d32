//! The benchmark as a whole, with the smallest of everything, on the function that Cargo builds for development.

use std::path::Path;

use bench::{
    Bench, Faults,
    workload::{Kind, Mix, State, Workload},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_those_that_the_functions_are_known_for() {
    let bench = Bench {
        dev: true,
        build_dir: None,
        bootstrap: None,
        single: true,
        baseline: false,
        dynamodb_endpoint: None,
        latencies_millis: vec![1, 2],
        plain: false,
        faults: Faults::default(),
        kinds: vec![Kind::Appian],
        states: vec![State::Existing, State::Duplicate, State::Replayed, State::Mixed, State::Load],
        records: vec![50],
        mix: Mix { seed: 1, schema: true, repeated: 0.2, duplicates: 0.0, deletes: 0.0 },
        rounds: 1,
        warm_up: 3,
    };
    let event =
        |state| Workload { kind: Kind::Appian, state, records: 50, mix: bench.mix }.event(1);
    let keys = event(State::Existing).keys;
    assert!((35..45).contains(&keys), "{keys}");

    let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../template.yaml");
    let mut progress = Vec::new();
    let report = bench::run(&bench, &template, &mut progress).await.unwrap();
    assert_eq!(
        String::from_utf8(progress).unwrap(),
        "appian, 50 records, 1 ms a request\nappian, 50 records, 2 ms a request\n"
    );

    let float = |number: usize| f64::from(u32::try_from(number).unwrap());
    let thousand = |number: usize| float(1000 * number / 50);
    let (changed, standing) = (event(State::Mixed).older_keys, keys - event(State::Load).new_keys);
    // A repeated key is written once, by a statement in one of two batches, or by a call of its own. Rows of 1.6 KB
    // cost two units each; what Connect's schema says beside them is not stored.
    let cases = [
        (State::Existing, "sink", 2, keys, 2 * keys, 0),
        (State::Existing, "single", keys, keys, 2 * keys, 0),
        (State::Duplicate, "sink", 2, 0, 2 * keys, 0),
        (State::Duplicate, "single", keys, 0, 2 * keys, 0),
        // One look, at half a read unit a key.
        (State::Replayed, "sink", 1, 0, 0, keys),
        (State::Replayed, "single", keys, 0, 2 * keys, 0),
        (State::Mixed, "sink", 2, changed, 2 * changed, keys),
        (State::Mixed, "single", keys, changed, 2 * keys, 0),
        // What is inserted and stands is replaced after that.
        (State::Load, "sink", 3, keys, 2 * (keys + standing), 0),
        (State::Load, "single", keys + standing, keys, 2 * (keys + standing), 0),
    ];
    let expected = [1, 2].map(|latency| {
        cases.map(|(state, program, requests, put, units, half_reads)| {
            let figures = [requests, put, units].map(thousand);
            (Some(latency), state, program, figures, thousand(half_reads) / 2.0)
        })
    });
    let found: Vec<_> = report
        .measurements
        .iter()
        .map(|it| {
            let figures =
                [it.requests_per_thousand, it.items_put_per_thousand, it.write_units_per_thousand];
            let figures = figures.map(|spread| spread.unwrap().median);
            let reads = it.read_units_per_thousand.unwrap().median;
            (it.case.latency_millis, it.case.state, it.program.as_str(), figures, reads)
        })
        .collect();
    assert_eq!(found, expected.as_flattened());

    // A fresh environment replaces before it inserts, which takes one unit of each key that is new.
    let first = 1.25 * float(keys) + 0.625 * float(keys - standing);
    let load = report.measurements[cases.len() - 2].first_dynamodb_dollars_per_million.unwrap();
    assert!((load - first / 50.0).abs() < 1e-9, "{load}");
}
