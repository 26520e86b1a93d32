//! Twice as many partitions: by the documented way, which must end as if nothing had been, and carelessly under load.

use std::time::Duration;

use crate::{
    record::Source,
    report::Row,
    run::{Run, Stage, now},
    workload::Workload,
};

const BEFORE: i32 = 3;
const AFTER: i32 = 6;

pub(super) async fn run(run: &mut Run) -> Row {
    let mut row = documented(run).await;
    let careless = careless(run).await;
    row.records += careless.records;
    row.retries += careless.retries;
    row.observations += careless.observations;
    row.seconds += careless.seconds;
    for (name, count) in careless.counts {
        *row.counts.entry(name).or_default() += count;
    }
    row.notes.extend(careless.notes);
    row.failures.extend(careless.failures);
    row
}

/// Drain, stop, more partitions, a new epoch.
async fn documented(run: &mut Run) -> Row {
    let mut stage = Stage::prepare("partitions", run, BEFORE).await;
    let workload = Workload { partitions: BEFORE, covers_keys: true, ..run.workload(0.25) };
    let mut esm = stage.esm(run, &[]);
    let production = stage.produce(run, &workload, Duration::ZERO);
    stage.finish(production).await;
    stage.drain(run, &mut esm).await;
    stage.stop(esm).await;

    for source in Source::BOTH {
        run.topics.raise(&stage.topic(source), AFTER).await;
    }
    stage.raise_epoch(false);
    let workload = Workload {
        partitions: AFTER,
        seed: workload.seed + 1,
        first_timestamp: now() + 1_000_000,
        ..workload
    };
    let readers = Stage::readers(run, &workload);
    let mut esm = stage.esm(run, &[]);
    let production = stage.produce(run, &workload, Duration::ZERO);
    stage.finish(production).await;
    stage.drain(run, &mut esm).await;
    stage.stop(esm).await;
    let conflicts = stage.row.count("conflict");
    stage.row.notes.push(format!("the documented way: {conflicts} conflicts"));
    stage.row.expect(conflicts == 0, || format!("{conflicts} conflicts with a new epoch"));
    stage.check(run, readers).await
}

/// More partitions while both ends are at work, which is counted; what then differs is said, and no failure.
async fn careless(run: &mut Run) -> Row {
    let mut stage = Stage::prepare("careless", run, BEFORE).await;
    let workload = Workload { partitions: BEFORE, ..run.workload(0.25) };
    let readers = Stage::readers(run, &workload);
    // Rebalanced pollers look for new partitions more often than every five minutes.
    let mut esm = stage.esm(run, &["-X", "topic.metadata.refresh.interval.ms=2000"]);
    let production = stage.produce(run, &workload, Duration::from_secs(8));
    tokio::time::sleep(Duration::from_secs(3)).await;
    for source in Source::BOTH {
        run.topics.raise(&stage.topic(source), AFTER).await;
    }
    // A second producer knows of the new partitions at once, the first one does not.
    let second =
        Workload { partitions: AFTER, seed: workload.seed + 1, first_timestamp: now(), ..workload };
    let more = stage.produce(run, &second, Duration::from_secs(5));
    stage.finish(production).await;
    stage.finish(more).await;
    stage.drain(run, &mut esm).await;
    stage.stop(esm).await;

    let conflicts = stage.row.count("conflict");
    stage.row.notes.push(format!("carelessly: {conflicts} conflicts"));
    stage.row.expect(conflicts > 0, || "no conflict was counted".to_owned());
    for reader in readers {
        // What it saw proves nothing here: keys that move between lineages may go back.
        drop(reader);
    }
    for (source, result) in stage.audit(run).await {
        let found = result.err().unwrap_or_else(|| "no difference".to_owned());
        stage.row.notes.push(format!("carelessly, by the audit of {}: {found}", source.function()));
    }
    stage.row.lost = 0;
    stage.end()
}
