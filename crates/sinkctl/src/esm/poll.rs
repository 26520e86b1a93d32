//! One mapping at work: records in, batches to the function, offsets back.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use local::{
    invoke::Invoker,
    lock::lock,
    template::{self, Function},
};
use rdkafka::{
    Offset,
    consumer::{CommitMode, Consumer as _},
    error::{KafkaError, KafkaResult},
    types::RDKafkaErrorCode,
};
use tokio::{
    sync::watch,
    task::{self, JoinSet},
    time::{MissedTickBehavior, interval, sleep},
};

use super::{
    Esm,
    assembly::{Assembly, Batch, Flow},
    attempt::Life,
    consumer::{Change, Consumer, list},
    event::{Envelope, Record},
    live::{End, live},
    report::Report,
    tally::Tally,
};
use crate::kafka::{ANSWER_TIME, Span, Spans};

/// How often it is looked whether the end is reached.
const LOOK_TIME: Duration = Duration::from_millis(500);

/// How often the last commit is tried.
const LAST_COMMITS: usize = 5;

/// What a mapping works with.
#[derive(Debug)]
pub(super) struct Mapping {
    pub(super) esm: Arc<Esm>,
    pub(super) function: Function,
    /// The template's with the flags that override it.
    pub(super) settings: template::Mapping,
    pub(super) envelope: Envelope,
    pub(super) invoker: Invoker,
    pub(super) tally: Mutex<Tally>,
    pub(super) report: Arc<Report>,
}

/// Polls until `stop` says so, or until all before `ends` is committed.
pub(super) async fn run(
    mapping: Arc<Mapping>,
    consumer: Arc<Consumer>,
    ends: Option<Spans>,
    stop: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let template::Mapping { topic, batch_size, batching_window, .. } = &mapping.settings;
    let batch_size = usize::try_from(*batch_size).unwrap_or(1);
    consumer.subscribe(&[topic]).with_context(|| cannot_work(&mapping))?;
    let mut poller = Poller {
        assembly: Assembly::new(mapping.envelope.clone(), batch_size, *batching_window),
        consumer,
        begin: Instant::now(),
        batches: JoinSet::new(),
        in_flight: HashMap::new(),
        at_end: BTreeSet::new(),
        offsets: BTreeMap::new(),
        ends,
        stop,
        mapping: Arc::clone(&mapping),
    };
    poller.run().await?;
    poller.last_commit().await
}

fn cannot_work(mapping: &Mapping) -> String {
    format!("`{}`: the Kafka client cannot work", mapping.settings.logical_id)
}

struct Poller {
    mapping: Arc<Mapping>,
    consumer: Arc<Consumer>,
    assembly: Assembly,
    begin: Instant,
    batches: JoinSet<anyhow::Result<End>>,
    in_flight: HashMap<task::Id, InFlight>,
    /// The assigned partitions that were read to their end.
    at_end: BTreeSet<i32>,
    /// Of each assigned partition the offset from which the group goes on.
    offsets: BTreeMap<i32, i64>,
    ends: Option<Spans>,
    stop: watch::Receiver<bool>,
}

/// A batch that a task lets live.
struct InFlight {
    batch: Batch,
    /// Tells that it is not to be tried again.
    is_last_try: watch::Sender<bool>,
}

impl Poller {
    async fn run(&mut self) -> anyhow::Result<()> {
        let (consumer, mapping) = (Arc::clone(&self.consumer), Arc::clone(&self.mapping));
        let mut look = interval(LOOK_TIME);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.follow_assignments();
            let is_stopping = *self.stop.borrow();
            if is_stopping {
                if self.batches.is_empty() {
                    return Ok(());
                }
            } else {
                for flow in self.assembly.flow() {
                    self.control(flow);
                }
                self.begin_batches();
            }
            let until_due = self.assembly.due().map(|due| due.saturating_sub(self.begin.elapsed()));
            let can_begin = !is_stopping && self.batches.len() < self.mapping.esm.environments;
            tokio::select! {
                biased;
                Some(ended) = self.batches.join_next_with_id() => {
                    let (id, end) = ended?;
                    self.end_batch(id, end?);
                }
                // An error says that nobody can stop it any more.
                _ = self.stop.changed(), if !is_stopping => {
                    lock(&self.mapping.tally).is_stopping = true;
                    self.assembly.assigned().for_each(|it| self.control(Flow::Pause(it)));
                    for in_flight in self.in_flight.values() {
                        in_flight.is_last_try.send_replace(true);
                    }
                }
                record = receive(&consumer, &mapping.envelope) => match record {
                    // It comes again another time.
                    Ok(_) if is_stopping => {}
                    Ok(record) => {
                        let logical_id = &mapping.settings.logical_id;
                        let record = record.with_context(|| format!("`{logical_id}`"))?;
                        // What came before it.
                        self.follow_assignments();
                        self.assembly.push(record, self.begin.elapsed());
                    }
                    Err(KafkaError::PartitionEOF(partition)) => {
                        self.at_end.insert(partition);
                    }
                    Err(error) => self.trouble(&error)?,
                },
                () = sleep(until_due.unwrap_or_default()), if can_begin && until_due.is_some() => {}
                _ = look.tick() => {
                    if self.is_at_end().await {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn follow_assignments(&mut self) {
        while let Some(change) = self.consumer.context().next_change() {
            match change {
                Change::Assigned(partitions) => {
                    for (partition, offset) in partitions {
                        // The client remembers from an earlier assignment that it was paused.
                        self.control(Flow::Resume(partition));
                        self.assembly.assign(partition);
                        self.at_end.remove(&partition);
                        self.offsets.remove(&partition);
                        if let Some(offset) = offset {
                            // So that a group that began at the topic's end begins there again.
                            self.commit(&BTreeMap::from([(partition, offset)]));
                        }
                    }
                }
                Change::Revoked(partitions) => {
                    for partition in partitions {
                        self.assembly.revoke(partition);
                        self.at_end.remove(&partition);
                        self.offsets.remove(&partition);
                    }
                    for InFlight { batch, is_last_try } in self.in_flight.values() {
                        if self.assembly.is_lost(batch) {
                            is_last_try.send_replace(true);
                        }
                    }
                }
            }
        }
    }

    /// What comes nevertheless of a partition that pauses is taken, or comes again another time.
    fn control(&self, flow: Flow) {
        let (Flow::Pause(partition) | Flow::Resume(partition)) = flow;
        let partitions = list(&self.mapping.settings.topic, [(partition, Offset::Invalid)]);
        let result = partitions.and_then(|partitions| match flow {
            Flow::Pause(_) => self.consumer.pause(&partitions),
            Flow::Resume(_) => self.consumer.resume(&partitions),
        });
        if let Err(error) = result {
            let name = &self.mapping.function.binary;
            self.mapping.report.trouble(&format!("{name}: cannot control the flow: {error}"));
        }
    }

    fn begin_batches(&mut self) {
        while self.batches.len() < self.mapping.esm.environments {
            let Some(batch) = self.assembly.take(self.begin.elapsed()) else { return };
            {
                let mut tally = lock(&self.mapping.tally);
                tally.summary.records += batch.records.len();
                tally.summary.batches += 1;
                tally.in_flight += 1;
            }
            let mapping = Arc::clone(&self.mapping);
            let partial_retry = mapping.esm.partial_retry;
            let life = Life::new(&mapping.settings, partial_retry, batch.records.clone());
            let (is_last_try, last_try) = watch::channel(false);
            let task = self.batches.spawn(async move { live(&mapping, life, last_try).await });
            self.in_flight.insert(task.id(), InFlight { batch, is_last_try });
        }
    }

    fn end_batch(&mut self, id: task::Id, end: End) {
        lock(&self.mapping.tally).in_flight -= 1;
        // A change that is not followed yet would let an offset through that is not the group's any more.
        self.follow_assignments();
        let Some(InFlight { batch, .. }) = self.in_flight.remove(&id) else { return };
        match end {
            End::Done => {
                let offsets = self.assembly.done(&batch);
                self.commit(&offsets);
            }
            End::Abandoned => self.assembly.abandon(&batch),
        }
    }

    /// Has the offsets committed soon.
    fn commit(&mut self, offsets: &BTreeMap<i32, i64>) {
        self.offsets.extend(offsets);
        lock(&self.mapping.tally).summary.committed.extend(offsets);
        // It fails for partitions that just went, whose records then come again.
        let _: KafkaResult<()> = list(&self.mapping.settings.topic, known(offsets))
            .and_then(|offsets| self.consumer.store_offsets(&offsets));
    }

    fn trouble(&self, error: &KafkaError) -> anyhow::Result<()> {
        let Mapping { function, settings, report, .. } = &*self.mapping;
        let name = &function.binary;
        if let KafkaError::MessageConsumptionFatal(_) = error {
            return Err(error.clone()).with_context(|| cannot_work(&self.mapping));
        }
        let line = match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::UnknownTopicOrPartition) => {
                format!("{name}: waiting for the topic `{}`: there is none so far", settings.topic)
            }
            // The client reported it already, and goes on by itself.
            Some(RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::AllBrokersDown) => {
                return Ok(());
            }
            _ => format!("{name}: {error}"),
        };
        report.trouble(&line);
        Ok(())
    }

    /// Whether all is committed that it was to end with.
    async fn is_at_end(&self) -> bool {
        let Some(ends) = &self.ends else { return false };
        let mut elsewhere = BTreeMap::new();
        for (&partition, &Span { first, end }) in ends {
            let is_committed = self.offsets.get(&partition).is_some_and(|&offset| offset >= end);
            match self.assembly.is_idle(partition) {
                _ if first == end || is_committed => {}
                // What a transaction writes beside its records has offsets, too.
                Some(true) if self.at_end.contains(&partition) => {}
                Some(_) => return false,
                None => {
                    elsewhere.insert(partition, end);
                }
            }
        }
        elsewhere.is_empty() || self.is_committed_elsewhere(elsewhere).await
    }

    async fn is_committed_elsewhere(&self, ends: BTreeMap<i32, i64>) -> bool {
        let (consumer, topic) = (Arc::clone(&self.consumer), self.mapping.settings.topic.clone());
        let committed = task::spawn_blocking(move || {
            let partitions = list(&topic, ends.keys().map(|&it| (it, Offset::Invalid)))?;
            let committed = consumer.committed_offsets(partitions, ANSWER_TIME)?;
            KafkaResult::Ok(committed.elements().iter().all(|element| {
                match (element.offset(), ends.get(&element.partition())) {
                    (Offset::Offset(offset), Some(&end)) => offset >= end,
                    _ => false,
                }
            }))
        });
        matches!(committed.await, Ok(Ok(true)))
    }

    /// Commits what the group goes on from, and leaves the group.
    async fn last_commit(mut self) -> anyhow::Result<()> {
        self.follow_assignments();
        let offsets = list(&self.mapping.settings.topic, known(&self.offsets))?;
        let consumer = Arc::clone(&self.consumer);
        consumer.context().close();
        let committed = task::spawn_blocking(move || {
            let mut committed = Ok(());
            if offsets.count() > 0 {
                for _ in 0..LAST_COMMITS {
                    committed = consumer.commit(&offsets, CommitMode::Sync);
                    if committed.is_ok() {
                        break;
                    }
                    std::thread::sleep(Duration::from_secs(1));
                }
            }
            consumer.unsubscribe();
            committed
        });
        if let Err(error) = committed.await? {
            let name = &self.mapping.function.binary;
            self.mapping.report.line(&format!(
                "{name}: the last offsets are not committed, so records come again: {error}"
            ));
        }
        Ok(())
    }
}

fn known(offsets: &BTreeMap<i32, i64>) -> impl Iterator<Item = (i32, Offset)> {
    offsets.iter().map(|(&partition, &offset)| (partition, Offset::Offset(offset)))
}

impl Drop for Poller {
    fn drop(&mut self) {
        self.consumer.context().close();
    }
}

async fn receive(consumer: &Consumer, envelope: &Envelope) -> KafkaResult<anyhow::Result<Record>> {
    let message = consumer.recv().await?;
    Ok(envelope.record(&message))
}
