//! One mapping at work: records in, batches to the function, offsets back.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use local::{invoke::Invoker, lock::lock};
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{CommitMode, Consumer as _},
    error::KafkaError,
    types::RDKafkaErrorCode,
};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep},
};

use super::{
    assembly::{Assembly, Batch, Flow},
    consumer::{self, Change, Consumer, UnreadableHeaderName},
    event::{Envelope, Record},
    live::{End, life, live},
    report::Report,
    settings::MappingSettings,
    summary::Counts,
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
    /// The name of the function's binary.
    pub(super) name: String,
    pub(super) function: String,
    pub(super) logical_id: String,
    pub(super) settings: MappingSettings,
    pub(super) envelope: Envelope,
    pub(super) bootstrap_servers: String,
    pub(super) invoker: Invoker,
    pub(super) environments: usize,
    pub(super) on_failure: Option<PathBuf>,
    pub(super) counts: Arc<Counts>,
    pub(super) tally: Arc<Tally>,
    pub(super) report: Arc<Report>,
}

/// Polls until `stop` says so, or until all before `ends` is committed.
pub(super) async fn run(
    mapping: Arc<Mapping>,
    consumer: Arc<Consumer>,
    ends: Option<Spans>,
    stop: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let settings = &mapping.settings;
    let envelope = mapping.envelope.clone();
    consumer.subscribe(&[&settings.topic]).with_context(|| cannot_work(&mapping))?;
    let mut poller = Poller {
        assembly: Assembly::new(envelope, settings.batch_size, settings.batching_window),
        consumer,
        begin: Instant::now(),
        batches: JoinSet::new(),
        in_flight: BTreeMap::new(),
        begun: 0,
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
    format!("`{}`: the Kafka client cannot work", mapping.logical_id)
}

struct Poller {
    mapping: Arc<Mapping>,
    consumer: Arc<Consumer>,
    assembly: Assembly,
    begin: Instant,
    batches: JoinSet<anyhow::Result<(u64, End)>>,
    in_flight: BTreeMap<u64, InFlight>,
    begun: u64,
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
                self.control_flow();
                self.begin_batches();
            }
            let until_due = self.assembly.due().map(|due| due.saturating_sub(self.begin.elapsed()));
            let can_begin = !is_stopping && self.batches.len() < self.mapping.environments;
            tokio::select! {
                biased;
                Some(ended) = self.batches.join_next() => {
                    let (number, end) = ended??;
                    self.end_batch(number, end);
                }
                // An error says that nobody can stop it any more.
                _ = self.stop.changed(), if !is_stopping => {
                    self.mapping.tally.stops();
                    self.pause(self.assembly.assigned());
                    for in_flight in self.in_flight.values() {
                        in_flight.is_last_try.send_replace(true);
                    }
                }
                record = receive(&consumer, &mapping.envelope) => match record {
                    // It comes again another time.
                    Ok(_) if is_stopping => {}
                    Ok(Err(UnreadableHeaderName { partition, offset })) => {
                        bail!(
                            "`{}`: a header's name is no UTF-8 in partition {partition} at offset {offset}: the Kafka \
                             client cannot read it",
                            mapping.logical_id
                        );
                    }
                    Ok(Ok(record)) => {
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
                    // The client remembers from an earlier assignment that one was paused.
                    self.resume(partitions.keys().copied());
                    for (&partition, &offset) in &partitions {
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

    fn control_flow(&mut self) {
        for flow in self.assembly.flow() {
            match flow {
                Flow::Pause(partition) => self.pause([partition]),
                Flow::Resume(partition) => self.resume([partition]),
            }
        }
    }

    /// What comes nevertheless is taken, or comes again another time.
    fn pause(&self, partitions: impl IntoIterator<Item = i32>) {
        self.report_failure(
            self.unset(partitions).and_then(|partitions| self.consumer.pause(&partitions)),
        );
    }

    fn resume(&self, partitions: impl IntoIterator<Item = i32>) {
        self.report_failure(
            self.unset(partitions).and_then(|partitions| self.consumer.resume(&partitions)),
        );
    }

    fn unset(
        &self,
        partitions: impl IntoIterator<Item = i32>,
    ) -> Result<TopicPartitionList, KafkaError> {
        let partitions = partitions.into_iter().map(|partition| (partition, Offset::Invalid));
        consumer::list(&self.mapping.settings.topic, partitions)
    }

    fn report_failure(&self, result: Result<(), KafkaError>) {
        if let Err(error) = result {
            let name = &self.mapping.name;
            self.mapping.report.trouble(&format!("{name}: cannot control the flow: {error}"));
        }
    }

    fn begin_batches(&mut self) {
        while self.batches.len() < self.mapping.environments {
            let Some(batch) = self.assembly.take(self.begin.elapsed()) else { return };
            let counts = &self.mapping.counts;
            counts.records.add(batch.records.len());
            counts.batches.add(1);
            counts.in_flight.add(1);
            self.begun += 1;
            let (number, mapping) = (self.begun, Arc::clone(&self.mapping));
            let life = life(&mapping, &batch);
            let (is_last_try, last_try) = watch::channel(false);
            self.in_flight.insert(number, InFlight { batch, is_last_try });
            self.batches.spawn(async move { Ok((number, live(&mapping, life, last_try).await?)) });
        }
    }

    fn end_batch(&mut self, number: u64, end: End) {
        self.mapping.counts.in_flight.subtract(1);
        // A change that is not followed yet would let an offset through that is not the group's any more.
        self.follow_assignments();
        let Some(InFlight { batch, .. }) = self.in_flight.remove(&number) else { return };
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
        lock(&self.mapping.counts.committed).extend(offsets);
        let stored = self.list(offsets).and_then(|offsets| self.consumer.store_offsets(&offsets));
        // It fails for partitions that just went, whose records then come again.
        drop(stored);
    }

    fn list(&self, offsets: &BTreeMap<i32, i64>) -> Result<TopicPartitionList, KafkaError> {
        let offsets =
            offsets.iter().map(|(&partition, &offset)| (partition, Offset::Offset(offset)));
        consumer::list(&self.mapping.settings.topic, offsets)
    }

    fn trouble(&self, error: &KafkaError) -> anyhow::Result<()> {
        let Mapping { name, settings, .. } = &*self.mapping;
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
        self.mapping.report.trouble(&line);
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
        let consumer = Arc::clone(&self.consumer);
        let Ok(partitions) = self.unset(ends.keys().copied()) else { return false };
        let committed = tokio::task::spawn_blocking(move || {
            consumer.committed_offsets(partitions, ANSWER_TIME)
        });
        let Ok(Ok(committed)) = committed.await else { return false };
        committed.elements().iter().all(|element| {
            match (element.offset(), ends.get(&element.partition())) {
                (Offset::Offset(offset), Some(&end)) => offset >= end,
                _ => false,
            }
        })
    }

    /// Commits what the group goes on from, and leaves the group.
    async fn last_commit(mut self) -> anyhow::Result<()> {
        self.follow_assignments();
        let offsets = self.list(&self.offsets);
        let consumer = Arc::clone(&self.consumer);
        consumer.context().close();
        let committed = tokio::task::spawn_blocking(move || {
            let mut committed = Ok(());
            if let Ok(offsets) = offsets
                && offsets.count() > 0
            {
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
            let name = &self.mapping.name;
            self.mapping.report.line(&format!(
                "{name}: the last offsets are not committed, so records come again: {error}"
            ));
        }
        Ok(())
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        self.consumer.context().close();
    }
}

async fn receive(
    consumer: &Consumer,
    envelope: &Envelope,
) -> Result<Result<Record, UnreadableHeaderName>, KafkaError> {
    let message = consumer.recv().await?;
    Ok(consumer::record(envelope, &message))
}
