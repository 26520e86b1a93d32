//! The broker stops and dies, two pollers work on one partition at a time, and the group's offsets are set back twice.

use std::time::Duration;

use crate::{
    report::Row,
    run::{PARTITIONS, Run, Stage},
    services::signal,
    workload::Workload,
};

/// The broker drops a member that it has not heard of for so long.
const SESSION: [&str; 8] = [
    "-X",
    "session.timeout.ms=3000",
    "-X",
    "heartbeat.interval.ms=500",
    "-X",
    "max.poll.interval.ms=6000",
    "-X",
    "reconnect.backoff.max.ms=1000",
];

pub(super) async fn run(run: &mut Run) -> Row {
    let mut stage = Stage::prepare("overlap", run, PARTITIONS).await;
    let workload = Workload { poison_one_in: 100, ..run.workload(1.0) };
    let readers = Stage::readers(run, &workload);

    let mut first = stage.esm(run, &SESSION);
    let production = stage.produce(run, &workload, Duration::from_secs(30));
    tokio::time::sleep(Duration::from_secs(6)).await;
    run.kafka.stop().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    run.kafka.run().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    run.kafka.kill().await;
    run.kafka.run().await;
    stage.row.faults += 2;

    // The second one comes while the broker still settles who leads the partitions.
    // The first one hangs for longer than its session with its batches under way, and goes on beside the second one.
    let mut second = stage.esm(run, &SESSION);
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_secs(3)).await;
        signal(first.id(), "STOP");
        tokio::time::sleep(Duration::from_secs(6)).await;
        signal(first.id(), "CONT");
        stage.row.faults += 1;
    }
    stage.finish(production).await;
    stage.drain(run, &mut second).await;
    stage.row.expect(first.is_running(), || "the first sinkctl esm ended".to_owned());
    stage.stop(first).await;
    stage.stop(second).await;

    for share in [0.4, 0.0] {
        stage.set_back(run, share).await;
        let mut esm = stage.esm(run, &SESSION);
        stage.drain(run, &mut esm).await;
        stage.stop(esm).await;
    }
    stage.check(run, readers).await
}
