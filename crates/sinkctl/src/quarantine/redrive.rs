//! Delivers entries again, and removes those whose records were accepted.
//!
//! Nothing is lost wherever this ends: an entry is removed only after the function accepted its record, and what was
//! accepted already changes nothing when it comes a second time.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use indicatif::ProgressBar;
use local::invoke::{
    Outcome,
    response::{self, Response},
};
use tokio::time::{Instant, sleep};

use super::{
    record::{Broken, Redelivered, event},
    store::{Entry, Listed, Removal, Store},
    summary::{EndedBy, Left, Summary, Why},
    target::Target,
    told::Told,
};
use crate::{entry::Head, tables::TableError, text::counted};

/// The most bytes of an event: Lambda's quota for the payload of a synchronous invocation.
const MAX_EVENT_BYTES: usize = 6_291_456;

/// The reason of records that somebody delivered with a wrong epoch; Lambda gives them none.
const INVALID_EPOCH: &str = "INVALID_EPOCH";

/// How fast it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The most records of a second.
    pub rate: u32,
    /// The most records of an invocation.
    pub batch_size: usize,
}

/// What the function, if there is one, could not do with an entry, whatever its record holds.
pub fn obstacle(entry: &Listed, target: Option<&Target>, now: i64) -> Option<Why> {
    let Head { topic, epoch, expires_at, .. } = &entry.head;
    let Some(target) = target else { return Some(Why::NoFunction) };
    if target.topic != *topic {
        Some(Why::OtherTopic)
    } else if target.epoch < *epoch {
        // It would reject the record, and put it into the quarantine under its own epoch.
        Some(Why::LowerEpoch)
    } else if entry.head.reason == INVALID_EPOCH {
        Some(Why::OddEpoch)
    } else if expires_at.is_some_and(|expires_at| expires_at <= now / 1000) {
        Some(Why::Expired)
    } else {
        (!entry.is_whole).then_some(Why::Incomplete)
    }
}

/// Delivers these entries again, by the functions that are named as their sinks, until `stop` is ready.
pub async fn run(
    store: &Store,
    entries: Vec<Listed>,
    targets: &BTreeMap<String, Target>,
    pace: Pace,
    now: i64,
    progress: &ProgressBar,
    stop: impl Future<Output = ()>,
) -> Summary {
    let mut run = Run { store, pace, progress, summary: Summary::default() };
    run.summary.entries = entries.len();
    let mut by_sink: BTreeMap<String, VecDeque<Head>> = BTreeMap::new();
    for entry in entries {
        match obstacle(&entry, targets.get(&entry.head.sink), now) {
            Some(why) => run.leave(&entry.head, why, None),
            None => by_sink.entry(entry.head.sink.clone()).or_default().push_back(entry.head),
        }
    }
    tokio::pin!(stop);
    let mut pause = Duration::ZERO;
    for (sink, mut heads) in by_sink {
        while !heads.is_empty() {
            if run.summary.ended_by.is_none() {
                tokio::select! {
                    biased;
                    () = &mut stop => run.summary.ended_by = Some(EndedBy::Stop),
                    () = sleep(pause) => {}
                }
            }
            if run.summary.ended_by.is_some() {
                run.summary.remaining += heads.len();
                break;
            }
            let start = Instant::now();
            let sent = match run.batch(&targets[&sink], &mut heads).await {
                Ok(sent) => sent,
                Err(fault) => {
                    run.summary.remaining += fault.remaining;
                    run.summary.ended_by = Some(EndedBy::Fault(fault.cause));
                    0
                }
            };
            pause = pace.pause(sent, start.elapsed());
        }
    }
    run.summary
}

impl Pace {
    /// How long to wait after so many records that took so long.
    fn pause(self, records: usize, elapsed: Duration) -> Duration {
        let records = u32::try_from(records).unwrap_or(u32::MAX);
        let time = Duration::from_secs(1).saturating_mul(records) / self.rate.max(1);
        time.saturating_sub(elapsed)
    }
}

struct Run<'a> {
    store: &'a Store,
    pace: Pace,
    progress: &'a ProgressBar,
    summary: Summary,
}

/// What keeps all records from being delivered.
struct Fault {
    cause: String,
    /// How many records it kept from being decided on.
    remaining: usize,
}

impl Run<'_> {
    /// Delivers the next entries, and returns how many it were.
    async fn batch(&mut self, target: &Target, heads: &mut VecDeque<Head>) -> Result<usize, Fault> {
        let batch = self.gather(target, heads).await?;
        if batch.is_empty() {
            return Ok(0);
        }
        let sent: Vec<_> = batch.iter().map(|(entry, it)| (&entry.head, it)).collect();
        let records = counted(batch.len(), "record");
        let reply = target.invoker.invoke(event(&target.topic, &sent)).await;
        let fault = |what: String| Fault {
            cause: format!("`{}`, invoked with {records}, {what}", target.function),
            remaining: batch.len(),
        };
        let body = match reply.outcome {
            Outcome::Answered(body) => body,
            Outcome::FunctionError(error) => return Err(fault(format!("failed: {error}"))),
            Outcome::TimedOut => return Err(fault("did not answer in time".to_owned())),
            Outcome::EnvironmentGone(end) => {
                return Err(fault(format!("ended before it answered: {end}")));
            }
            Outcome::NotReached(reason) => {
                return Err(fault(format!("could not be reached: {reason}")));
            }
        };
        let sent: BTreeSet<_> =
            batch.iter().map(|(entry, _)| (entry.head.partition, entry.head.offset)).collect();
        let failed = match response::read(&body, &target.topic, &sent) {
            Response::Success => BTreeSet::new(),
            Response::Failures(failed) => failed,
            Response::Invalid => {
                let what = "gave an answer of another form than Lambda expects";
                return Err(fault(what.to_owned()));
            }
        };
        let told = Told::read(&reply.log);
        for (outcome, count) in &told.outcomes {
            *self.summary.outcomes.entry(outcome).or_default() += count;
        }
        for (position, (entry, _)) in batch.iter().enumerate() {
            let has_failed = failed.contains(&(entry.head.partition, entry.head.offset));
            self.settle(entry, has_failed, &told).await.map_err(|error| Fault {
                cause: format!(
                    "{}; what the function accepted and still stands changes nothing when it is redriven again",
                    local::chain::chain(&error)
                ),
                remaining: batch.len() - position,
            })?;
        }
        Ok(batch.len())
    }

    /// Reads the next entries, as many as fit an event.
    async fn gather(
        &mut self,
        target: &Target,
        heads: &mut VecDeque<Head>,
    ) -> Result<Vec<(Entry, Redelivered)>, Fault> {
        let mut batch: Vec<(Entry, Redelivered)> = Vec::new();
        let mut bytes = 0;
        while batch.len() < self.pace.batch_size.max(1) {
            let Some(head) = heads.front() else { break };
            let read = self.store.read(&head.key).await;
            let read = read.map_err(|error| Fault {
                cause: local::chain::chain(&error),
                remaining: batch.len(),
            })?;
            let Some(entry) = read else {
                self.summary.were_gone += 1;
                self.progress.inc(1);
                heads.pop_front();
                continue;
            };
            let broken = match Redelivered::new(&entry) {
                Ok(record) => {
                    // Several records together take less than each in an event of its own.
                    let alone = event(&target.topic, &[(&entry.head, &record)]).len();
                    if bytes + alone <= MAX_EVENT_BYTES {
                        bytes += alone;
                        batch.push((entry, record));
                        heads.pop_front();
                        continue;
                    }
                    if !batch.is_empty() {
                        break;
                    }
                    Why::TooLarge
                }
                Err(Broken::Incomplete) => Why::Incomplete,
                Err(Broken::Unreadable) => Why::Unreadable,
            };
            self.leave(&entry.head, broken, None);
            heads.pop_front();
        }
        Ok(batch)
    }

    /// Removes an entry whose record was accepted.
    async fn settle(
        &mut self,
        entry: &Entry,
        has_failed: bool,
        told: &Told,
    ) -> Result<(), TableError> {
        let Head { topic, partition, offset, .. } = &entry.head;
        let trouble = told.trouble(topic, *partition, *offset);
        let message = trouble.map(|it| it.words.clone());
        let why = if has_failed {
            Some(Why::Failed)
        } else if trouble.is_some_and(|it| it.is_regression) {
            Some(Why::NotApplied)
        } else {
            match self.store.remove(entry).await? {
                Removal::Removed => {
                    self.summary.accepted += 1;
                    None
                }
                Removal::WasGone => {
                    self.summary.were_gone += 1;
                    None
                }
                Removal::RejectedAgain => Some(Why::RejectedAgain),
            }
        };
        match why {
            Some(why) => self.leave(&entry.head, why, message),
            None => self.progress.inc(1),
        }
        Ok(())
    }

    fn leave(&mut self, head: &Head, why: Why, message: Option<String>) {
        let Head { topic, partition, offset, epoch, reason, .. } = head;
        self.summary.left.push(Left {
            topic: topic.clone(),
            partition: *partition,
            offset: *offset,
            epoch: *epoch,
            reason: reason.clone(),
            why,
            message,
        });
        self.progress.inc(1);
    }
}

#[cfg(test)]
mod tests {
    use local::invoke::{Invoker, RemoteFunction};

    use super::*;

    #[test]
    fn entries_that_can_not_be_delivered_are_told_apart() {
        #[track_caller]
        fn check(head: Head, is_whole: bool, expected: Option<Why>) {
            let remote = RemoteFunction::new("http://127.0.0.1:9", "f", Duration::ZERO).unwrap();
            let target = Target {
                function: "f".to_owned(),
                topic: "a-b".to_owned(),
                epoch: 1,
                invoker: Invoker::Remote(Box::new(remote)),
            };
            let entry = Listed { head, is_whole };
            assert_eq!(obstacle(&entry, Some(&target), 89_999), expected);
            assert_eq!(obstacle(&entry, None, 89_999), Some(Why::NoFunction));
        }

        let head = Head::example;
        check(head(), true, None);
        check(Head { expires_at: None, ..head() }, true, None);
        check(Head { epoch: 0, ..head() }, true, None);
        check(head(), false, Some(Why::Incomplete));
        check(Head { expires_at: Some(89), ..head() }, true, Some(Why::Expired));
        check(Head { epoch: 2, ..head() }, true, Some(Why::LowerEpoch));
        let odd = Head { reason: "INVALID_EPOCH".to_owned(), ..head() };
        check(odd, true, Some(Why::OddEpoch));
        check(Head { topic: "a".to_owned(), ..head() }, true, Some(Why::OtherTopic));
    }

    #[test]
    fn the_rate_is_kept() {
        #[track_caller]
        fn check(rate: u32, records: usize, elapsed: u64, expected: u64) {
            let pause = Pace { rate, batch_size: 1 }.pause(records, Duration::from_millis(elapsed));
            assert_eq!(pause, Duration::from_millis(expected));
        }

        check(20, 10, 0, 500);
        check(20, 10, 200, 300);
        check(20, 10, 600, 0);
        check(20, 0, 0, 0);
        check(1, 3, 0, 3000);
    }
}
