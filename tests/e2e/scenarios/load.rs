//! Both sinks under load: deletes, poison of every kind, rows out of order, and half of it once more.

use std::time::Duration;

use crate::{
    report::Row,
    run::{PARTITIONS, Run, Stage},
};

pub(super) async fn run(run: &mut Run) -> Row {
    let mut stage = Stage::prepare("load", run, PARTITIONS).await;
    let workload = crate::workload::Workload { poison_one_in: 100, ..run.workload(1.0) };
    let readers = Stage::readers(run, &workload);

    let mut esm = stage.esm(run, &[]);
    let production = stage.produce(run, &workload, Duration::ZERO);
    stage.finish(production).await;
    stage.drain(run, &mut esm).await;
    stage.stop(esm).await;

    stage.set_back(run, 0.5).await;
    let mut esm = stage.esm(run, &[]);
    stage.drain(run, &mut esm).await;
    stage.stop(esm).await;

    stage
        .row
        .expect(stage.row.count("failed") == 0, || "records failed without a fault".to_owned());
    let repeated = stage.row.count("duplicate") + stage.row.count("stale");
    stage.row.expect(repeated > 0, || "nothing was repeated".to_owned());
    stage.check(run, readers).await
}
