//! DynamoDB throttles, fails, loses its answers after it has applied a write, and does not answer at all; then its
//! clock is another one, and credentials expire.

use std::time::Duration;

use crate::{
    proxy::Mode,
    report::Row,
    run::{PARTITIONS, Run, Stage},
    workload::Workload,
};

/// What happens one after the other, and for how long.
const PHASES: [(Mode, Duration); 7] = [
    (Mode::Pass, Duration::from_secs(3)),
    (Mode::Throttle, Duration::from_secs(10)),
    (Mode::Fail, Duration::from_secs(10)),
    (Mode::LoseAnswers, Duration::from_secs(10)),
    (Mode::Silent, Duration::from_secs(20)),
    (Mode::Ahead, Duration::from_secs(6)),
    (Mode::Expire, Duration::from_secs(6)),
];

pub(super) async fn run(run: &mut Run) -> Row {
    let mut stage = Stage::prepare("faults", run, PARTITIONS).await;
    let workload = Workload { poison_one_in: 100, ..run.workload(1.0) };
    let readers = Stage::readers(run, &workload);

    let mut esm = stage.esm(run, &["--timeout", "10"]);
    // There is something to write as long as the faults last.
    let production = stage.produce(run, &workload, PHASES.iter().map(|(_, time)| *time).sum());
    for (mode, time) in PHASES {
        let before = run.proxy.counts().1;
        run.proxy.set(mode);
        tokio::time::sleep(time).await;
        let faults = run.proxy.counts().1 - before;
        stage.row.faults += faults;
        stage.row.notes.push(format!("{mode:?} for {} s: {faults} requests", time.as_secs()));
        stage.row.expect(mode == Mode::Pass || faults > 0, || format!("{mode:?} met no request"));
    }
    run.proxy.set(Mode::Pass);
    stage.finish(production).await;
    stage.drain(run, &mut esm).await;
    stage.stop(esm).await;
    stage.check(run, readers).await
}
