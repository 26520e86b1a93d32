//! The functions' processes are killed at random, and some stop without ending, so that their invocations time out.

use std::time::Duration;

use crate::{
    process::Killer,
    proxy::Mode,
    report::Row,
    run::{PARTITIONS, Run, Stage},
    workload::Workload,
};

const KILLS: u64 = 50;

pub(super) async fn run(run: &mut Run) -> Row {
    let mut stage = Stage::prepare("kills", run, PARTITIONS).await;
    let workload = Workload { poison_one_in: 100, ..run.workload(1.0) };
    let readers = Stage::readers(run, &workload);
    let after = (Duration::from_millis(100), Duration::from_millis(400));
    // Batches take their time, so that most kills meet one under way.
    run.proxy.set(Mode::Slow);

    let production = stage.produce(run, &workload, Duration::ZERO);
    let mut production = Some(production);
    let mut round = 0;
    let is_enough = |row: &Row| row.kills >= KILLS && row.timeouts > 0;
    while !is_enough(&stage.row) && round < 20 && stage.row.failures.is_empty() {
        let mut esm = stage.esm(run, &["--timeout", "5", "--batch-size", "25"]);
        let killer = Killer::start(esm.id(), after, run.seed + round);
        if let Some(production) = production.take() {
            stage.finish(production).await;
        }
        stage.drain(run, &mut esm).await;
        stage.row.kills += killer.stop();
        stage.stop(esm).await;
        round += 1;
        if !is_enough(&stage.row) {
            stage.set_back(run, 0.0).await;
        }
    }
    run.proxy.set(Mode::Pass);

    let (kills, timeouts) = (stage.row.kills, stage.row.timeouts);
    stage.row.notes.push(format!("{round} rounds"));
    stage.row.expect(kills >= KILLS, || format!("{kills} kills are too few"));
    stage.row.expect(timeouts > 0, || "no invocation timed out".to_owned());
    stage.check(run, readers).await
}
