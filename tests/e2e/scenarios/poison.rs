//! A poison record at the head of each partition, once for each kind: what stands behind it arrives at once.

use std::time::{Duration, Instant};

use crate::{
    poison,
    record::{Meaning, Record, Source},
    report::Row,
    run::{PARTITIONS, Run, Stage, now},
    workload::Workload,
};

pub(super) async fn run(run: &mut Run) -> Row {
    let mut stage = Stage::prepare("poison", run, PARTITIONS).await;
    let workload = Workload { records: 600, keys: 60, ..run.workload(1.0) };
    for source in Source::BOTH {
        let mut records = heads(source);
        records.extend(workload.generate(source));
        stage.produce_records(run, source, records).await;
    }
    let readers = Stage::readers(run, &workload);

    // As the mappings are by default, and with provisioned pollers, which may retry single records.
    for mode in ["on-demand", "provisioned"] {
        let begin = Instant::now();
        let mode = format!("PollerMode={mode}");
        let mut esm = stage.esm(run, &["--parameter", &mode]);
        stage.drain(run, &mut esm).await;
        let seconds = begin.elapsed().as_secs_f32();
        stage.stop(esm).await;
        stage.row.notes.push(format!("{mode}: all there after {seconds:.1} s"));
        let late = begin.elapsed() > Duration::from_mins(2);
        stage.row.expect(!late, || format!("{mode}: it took {seconds} s"));
        stage.set_back(run, 0.0).await;
    }
    let retries = stage.row.retries;
    stage.row.expect(retries <= 1, || format!("{retries} retries"));
    stage.check(run, readers).await
}

/// Every kind at the head of a partition, several in a row where there are more kinds than partitions.
fn heads(source: Source) -> Vec<Record> {
    let poisons = poison::all(source).into_iter().zip(0..);
    let record = |(poison, number): (poison::Poison, i32)| Record {
        partition: Some(number % PARTITIONS),
        key: poison.key,
        value: poison.value,
        headers: vec![("head".to_owned(), Some(vec![0x80, 0xff, 0, 1]))],
        timestamp: now(),
        meaning: Meaning::Poison { reason: poison.reason },
    };
    poisons.map(record).collect()
}
