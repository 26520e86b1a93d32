//! A topic is deleted and created again: first without a new epoch, which must be noticed, then with one, which must
//! mend it.

use std::time::Duration;

use crate::{
    fold,
    record::{Meaning, Source},
    report::Row,
    run::{PARTITIONS, Run, Stage, now},
    workload::Workload,
};

pub(super) async fn run(run: &mut Run) -> Row {
    let mut stage = Stage::prepare("recreated", run, PARTITIONS).await;
    let workload = Workload { poison_one_in: 100, covers_keys: true, ..run.workload(0.5) };
    let mut esm = stage.esm(run, &[]);
    let production = stage.produce(run, &workload, Duration::ZERO);
    stage.finish(production).await;
    stage.drain(run, &mut esm).await;
    stage.stop(esm).await;
    let differences = stage.compare(run).await;
    stage.row.expect(differences.is_empty(), || format!("before it is deleted: {differences}"));

    for source in Source::BOTH {
        run.topics.delete(&stage.topic(source)).await;
        run.topics.create(&stage.topic(source), PARTITIONS).await;
    }
    let first_timestamp = now() + 1_000_000;
    // Fewer records, so that most offsets were passed before; every key is among them.
    let again = Workload {
        seed: workload.seed + 1,
        records: workload.records / 3,
        keys: workload.keys,
        poison_one_in: 0,
        first_timestamp,
        ..workload
    };
    let before: Vec<usize> = Source::BOTH.map(|source| stage.records(source).len()).into();
    let production = stage.produce(run, &again, Duration::ZERO);
    stage.finish(production).await;

    // Without a new epoch: an offset that was passed is not applied, however new the state is.
    stage.new_group("same-epoch");
    let regressions = stage.row.count("regression");
    let mut esm = stage.esm(run, &[]);
    stage.drain(run, &mut esm).await;
    stage.stop(esm).await;
    let regressions = stage.row.count("regression") - regressions;
    stage.row.notes.push(format!("{regressions} regressions without a new epoch"));
    stage.row.expect(regressions > 0, || "no regression was counted".to_owned());
    for source in Source::BOTH {
        let topic = stage.topic(source);
        let expected = match source {
            Source::Appian => stage.expected(source),
            Source::Seatool => fold::fold_by_offset(&topic, stage.records(source)),
        };
        let differences = stage.compare_with(run, source, &expected).await;
        stage.row.expect(differences.is_empty(), || {
            format!("{} without a new epoch: {differences}", source.function())
        });
    }

    // With a new epoch: all that is in the topic is delivered again, and all of it counts.
    stage.raise_epoch(true);
    for (source, before) in Source::BOTH.into_iter().zip(before) {
        // What was in the topic before is not delivered any more.
        for it in stage.produced.get_mut(&source).into_iter().flatten().take(before) {
            it.epoch = 0;
        }
    }
    let readers = Stage::readers(run, &again);
    let mut esm = stage.esm(run, &[]);
    stage.drain(run, &mut esm).await;
    stage.stop(esm).await;
    let poison = stage.produced.values().flatten();
    let poison = poison.filter(|it| matches!(it.record.meaning, Meaning::Poison { .. })).count();
    stage.row.notes.push(format!("{poison} records of the deleted topic in the quarantine"));
    stage.check(run, readers).await
}
