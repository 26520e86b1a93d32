//! The functions' processes are killed at random, and some stop without ending, so that their invocations time out.

use std::time::Duration;

use crate::{
    process::Killer,
    report::Row,
    run::{PARTITIONS, Run, Stage},
    workload::Workload,
};

const KILLS: u64 = 50;

pub(super) async fn run(run: &mut Run) -> Row {
    let mut stage = Stage::prepare("kills", run, PARTITIONS).await;
    let workload = Workload { poison_one_in: 100, ..run.workload(1.0) };
    let readers = Stage::readers(run, &workload);
    let after = (Duration::from_millis(300), Duration::from_secs(2));

    let production = stage.produce(run, &workload, Duration::ZERO);
    let mut production = Some(production);
    let mut round = 0;
    // The last round has no kills in it, as every round may end after two.
    while stage.row.kills < KILLS && round < 20 && stage.row.failures.is_empty() {
        let mut esm = stage.esm(run, &["--timeout", "10", "--batch-size", "100"]);
        let killer = Killer::start(esm.id(), after, run.seed + round);
        if let Some(production) = production.take() {
            stage.finish(production).await;
        }
        stage.drain(run, &mut esm).await;
        stage.row.kills += killer.stop();
        stage.stop(esm).await;
        if stage.row.kills < KILLS {
            stage.set_back(run, 0.0).await;
            round += 1;
        }
    }

    let (kills, timeouts) = (stage.row.kills, stage.row.timeouts);
    stage.row.notes.push(format!("{} rounds", round + 1));
    stage.row.expect(kills >= KILLS, || format!("{kills} kills are too few"));
    stage.row.expect(timeouts > 0, || "no invocation timed out".to_owned());
    stage.check(run, readers).await
}
