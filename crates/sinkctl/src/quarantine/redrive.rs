//! Delivers entries again, and removes those whose records were accepted.
//!
//! Nothing is lost wherever this ends: an entry is removed only after the function accepted its record, and what was
//! accepted already changes nothing when it comes a second time.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
    time::Duration,
};

use anyhow::anyhow;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use local::{
    invoke::{
        MAX_EVENT_BYTES, Outcome,
        response::{self, Response},
    },
    stop::stop,
};
use tokio::time::{Instant, sleep};

use super::{
    DRY_RUN_LIMIT, LEFT, NOT_DONE, Place,
    entry::Head,
    filter::Selection,
    list::Listing,
    log::Log,
    none_found,
    record::{event, redelivered},
    store::{Entry, Found, Listed, Removal, Store},
    summary::{EndedBy, Left, Summary, Why},
    target::{Functions, Target},
};
use crate::{
    arguments::at_least_one,
    text::{self, counted},
    visible::{Visible, write_json},
};

/// The reason of records that somebody delivered with a wrong epoch; Lambda gives them none.
const INVALID_EPOCH: &str = "INVALID_EPOCH";

pub const EXAMPLES: &str = "\
Examples:
  sinkctl quarantine redrive --stage master --dry-run
  sinkctl quarantine redrive --stage master --reason ITEM_TOO_LARGE --rate 5
  sinkctl quarantine redrive --dynamodb-endpoint http://127.0.0.1:8000    builds and runs the functions here

A record is removed once the function accepted it, which it does too when a newer state stands. One that is rejected
again stays. It may be stopped or fail anywhere, and be started again: what was accepted changes nothing when it comes a
second time. Ctrl-C stops it after the invocation in flight. On AWS it needs the permissions dynamodb:Scan, Query and
DeleteItem on the quarantine's table, kms:Decrypt on its key, lambda:InvokeFunction and lambda:GetFunctionConfiguration.

Exit status: 0 when all records were accepted, 1 when some came back or were left, or there is none as the options say,
2 when it could not be done.";

#[derive(Args, Clone, Debug)]
pub struct Redrive {
    /// Only say what would be delivered to which function.
    #[arg(long)]
    dry_run: bool,
    /// Print what came of it as one line of JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pace: Pace,
    #[command(flatten)]
    chosen: Selection,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    functions: Functions,
}

/// How fast it goes.
#[derive(Args, Clone, Copy, Debug)]
pub struct Pace {
    /// The most records of a second.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: u32,
    /// The most records of an invocation.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = at_least_one)]
    pub batch_size: usize,
}

impl Redrive {
    pub async fn run(self, template: &Path) -> anyhow::Result<ExitCode> {
        let (declared, store) = self.place.open(template).await?;
        let now = text::now().cast_signed();
        let filter = self.chosen.filter();
        let found = store.find(&filter, now).await?;
        if found.entries.is_empty() && filter.is_empty() {
            writeln!(io::stderr(), "{} is empty: there is nothing to redrive", store.table)?;
            return Ok(ExitCode::SUCCESS);
        }
        if found.entries.is_empty() {
            return none_found(&store);
        }
        if self.dry_run {
            return dry_run(&store, found, self.json, now);
        }
        let sinks: BTreeSet<_> =
            found.entries.iter().map(|entry| entry.head.sink.clone()).collect();
        let endpoint = self.place.dynamodb_endpoint.as_deref();
        let targets =
            self.functions.targets(endpoint, template, declared.functions, &sinks).await?;
        // It shows nothing unless standard error is a terminal.
        let progress = ProgressBar::new(found.entries.len() as u64);
        let style = ProgressStyle::with_template("{bar:30} {pos} of {len} records, {eta} left");
        if let Ok(style) = style {
            progress.set_style(style);
        }
        let entries = found.entries;
        let summary = run(&store, entries, &targets, self.pace, now, &progress, stop()).await;
        progress.finish_and_clear();
        if self.json {
            write_json(&summary, &mut io::stdout())?;
        } else {
            summary.write(&mut io::stdout())?;
        }
        Ok(match summary.ended_by {
            Some(EndedBy::Fault(_)) => ExitCode::from(NOT_DONE),
            None if summary.left.is_empty() => ExitCode::SUCCESS,
            _ => ExitCode::from(LEFT),
        })
    }
}

fn dry_run(store: &Store, found: Found, json: bool, now: i64) -> anyhow::Result<ExitCode> {
    let mut by_sink = BTreeMap::<_, usize>::new();
    for entry in found.entries.iter().filter(|it| it.is_whole && !it.head.has_expired(now)) {
        *by_sink.entry(entry.head.sink.clone()).or_default() += 1;
    }
    let listing = Listing::new(&store.table, found, DRY_RUN_LIMIT, now);
    if json {
        write_json(&listing, &mut io::stdout())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = io::stdout();
    for (sink, records) in by_sink {
        let sink = Visible(&sink);
        writeln!(out, "{} would be delivered to {sink}", counted(records, "record"))?;
    }
    writeln!(
        out,
        "what a function cannot take by its settings or its limits is left, and named then"
    )?;
    listing.write(now, &mut out)?;
    Ok(ExitCode::SUCCESS)
}

/// What the function, if there is one, could not do with an entry, whatever its record holds.
pub fn obstacle(entry: &Listed, target: Option<&Target>, now: i64) -> Option<Why> {
    let Head { topic, epoch, reason, .. } = &entry.head;
    let Some(target) = target else { return Some(Why::NoFunction) };
    if target.topic != *topic {
        Some(Why::OtherTopic)
    } else if target.epoch < *epoch {
        // It would reject the record, and put it into the quarantine under its own epoch.
        Some(Why::LowerEpoch)
    } else if reason == INVALID_EPOCH {
        Some(Why::OddEpoch)
    } else if entry.head.has_expired(now) {
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
    let delivered = async {
        let mut pause = Duration::ZERO;
        for (sink, mut heads) in by_sink {
            while !heads.is_empty() {
                tokio::select! {
                    biased;
                    () = &mut stop => return Err(EndedBy::Stop),
                    () = sleep(pause) => {}
                }
                let start = Instant::now();
                let sent = run.batch(&targets[&sink], &mut heads).await;
                let sent = sent.map_err(|error| EndedBy::Fault(format!("{error:#}")))?;
                pause = pace.pause(sent, start.elapsed());
            }
        }
        Ok(())
    };
    run.summary.ended_by = delivered.await.err();
    let Summary { entries, accepted, were_gone, left, .. } = &run.summary;
    run.summary.remaining = entries - accepted - were_gone - left.len();
    run.summary
}

impl Pace {
    /// How long to wait after so many records that took so long.
    fn pause(self, records: usize, elapsed: Duration) -> Duration {
        let records = u32::try_from(records).unwrap_or(u32::MAX);
        let time = Duration::from_secs(1).saturating_mul(records) / self.rate;
        time.saturating_sub(elapsed)
    }
}

struct Run<'a> {
    store: &'a Store,
    pace: Pace,
    progress: &'a ProgressBar,
    summary: Summary,
}

impl Run<'_> {
    /// Delivers the next entries, and returns how many it were.
    async fn batch(
        &mut self,
        target: &Target,
        heads: &mut VecDeque<Head>,
    ) -> anyhow::Result<usize> {
        let batch = self.gather(heads).await?;
        if batch.is_empty() {
            return Ok(0);
        }
        let records: Vec<_> = batch.iter().map(|(entry, record)| (&entry.head, record)).collect();
        let reply = target.invoker.invoke(event(&records)).await;
        let sent: BTreeSet<_> =
            records.iter().map(|(head, _)| (head.partition, head.offset)).collect();
        let failed = match reply.outcome {
            Outcome::Answered(body) => match response::read(&body, &target.topic, &sent) {
                Response::Success => Ok(BTreeSet::new()),
                Response::Failures(failed) => Ok(failed),
                Response::Invalid => {
                    Err("gave an answer of another form than Lambda expects".to_owned())
                }
            },
            Outcome::FunctionError(error) => Err(format!("failed: {error}")),
            Outcome::TimedOut => Err("did not answer in time".to_owned()),
            Outcome::EnvironmentGone(end) => Err(format!("ended before it answered: {end}")),
            Outcome::NotReached(reason) => Err(format!("could not be reached: {reason}")),
        };
        let failed = failed.map_err(|what| {
            let records = counted(batch.len(), "record");
            anyhow!("`{}`, invoked with {records}, {what}", target.function)
        })?;
        let log = Log::read(&reply.log);
        for (outcome, count) in &log.outcomes {
            *self.summary.outcomes.entry(outcome).or_default() += count;
        }
        for (entry, _) in &batch {
            let has_failed = failed.contains(&(entry.head.partition, entry.head.offset));
            self.settle(entry, has_failed, &log).await.map_err(|error| {
                anyhow!("{error:#}; what the function accepted and still stands changes nothing when it is redriven again")
            })?;
        }
        Ok(batch.len())
    }

    /// Reads the next entries, as many as fit an event.
    async fn gather(&mut self, heads: &mut VecDeque<Head>) -> anyhow::Result<Vec<(Entry, String)>> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while batch.len() < self.pace.batch_size
            && let Some(head) = heads.front()
        {
            let Some(entry) = self.store.read(&head.key).await? else {
                self.summary.were_gone += 1;
                self.progress.inc(1);
                heads.pop_front();
                continue;
            };
            match redelivered(&entry) {
                Ok(record) => {
                    // Several records together take less than each in an event of its own.
                    let alone = event(&[(&entry.head, &record)]).len();
                    if bytes + alone <= MAX_EVENT_BYTES {
                        bytes += alone;
                        batch.push((entry, record));
                    } else if batch.is_empty() {
                        self.leave(&entry.head, Why::TooLarge, None);
                    } else {
                        break;
                    }
                }
                Err(why) => self.leave(&entry.head, why, None),
            }
            heads.pop_front();
        }
        Ok(batch)
    }

    /// Removes an entry whose record was accepted.
    async fn settle(&mut self, entry: &Entry, has_failed: bool, log: &Log) -> anyhow::Result<()> {
        let remark = log.remark(&entry.head);
        let why = if has_failed {
            Why::Failed
        } else if remark.is_some_and(|it| it.is_regression) {
            Why::NotApplied
        } else {
            let gone = match self.store.remove(entry).await? {
                Removal::Removed => Some(&mut self.summary.accepted),
                Removal::WasGone => Some(&mut self.summary.were_gone),
                Removal::RejectedAgain => None,
            };
            if let Some(count) = gone {
                *count += 1;
                self.progress.inc(1);
                return Ok(());
            }
            Why::RejectedAgain
        };
        self.leave(&entry.head, why, remark.map(|it| it.words.clone()));
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
    use crate::tables;

    fn target() -> Target {
        let remote = RemoteFunction::new("http://127.0.0.1:9", "f", Duration::ZERO).unwrap();
        Target {
            function: "f".to_owned(),
            topic: "a-b".to_owned(),
            epoch: 1,
            invoker: Invoker::Remote(Box::new(remote)),
        }
    }

    #[test]
    fn entries_that_cannot_be_delivered_are_told_apart() {
        #[track_caller]
        fn check(head: Head, is_whole: bool, expected: Option<Why>) {
            let entry = Listed { head, is_whole };
            assert_eq!(obstacle(&entry, Some(&target()), 89_999), expected);
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

    #[tokio::test]
    async fn a_redrive_that_is_stopped_asks_nobody() {
        let client = tables::client(Some("http://127.0.0.1:9")).await;
        let store = Store { client, table: "t".to_owned() };
        let entries = [7, 8].map(|offset| Head { offset, expires_at: None, ..Head::example() });
        let entries = entries.map(|head| Listed { head, is_whole: true });
        let targets = BTreeMap::from([("sinkSeatoolData".to_owned(), target())]);
        let pace = Pace { rate: 1, batch_size: 1 };
        let progress = ProgressBar::hidden();
        let summary =
            run(&store, entries.to_vec(), &targets, pace, 0, &progress, std::future::ready(()));
        let summary = summary.await;
        assert_eq!((summary.remaining, summary.ended_by), (2, Some(EndedBy::Stop)));
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
