//! A batch that lives: invocations until all of its records are done or given up.

use std::time::Duration;

use anyhow::Context as _;
use local::invoke::Outcome;
use tokio::{sync::watch, time::sleep};

use super::{
    assembly::Batch,
    attempt::{Condition, Failure, GivenUp, Life, Next, Verdict},
    failure::{self, Circumstances},
    poll::Mapping,
};
use crate::text::{self, counted};

/// How a batch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// All of its records are done or given up.
    Done,
    /// It was to be tried again, but nothing more is to begin, or its partitions went.
    Abandoned,
}

/// The life of a new batch.
pub(super) fn life(mapping: &Mapping, batch: &Batch) -> Life {
    let (records, policy) = (batch.records.clone(), mapping.settings.policy.clone());
    if batch.is_too_large {
        Life::too_large(mapping.envelope.topic(), records, policy)
    } else {
        Life::new(mapping.envelope.topic(), records, policy)
    }
}

/// Lets a batch live until its end, or until it is not to be tried again.
pub(super) async fn live(
    mapping: &Mapping,
    mut life: Life,
    mut last_try: watch::Receiver<bool>,
) -> anyhow::Result<End> {
    let counts = &mapping.counts;
    let mut is_first = true;
    loop {
        let milliseconds = text::now();
        let now = Duration::from_millis(milliseconds);
        let records = match life.next(milliseconds.cast_signed()) {
            Next::Done => return Ok(End::Done),
            Next::GiveUp(given_up) => {
                give_up(mapping, &given_up, now)?;
                continue;
            }
            Next::Invoke(records) => records,
        };
        if *last_try.borrow() && !is_first {
            return Ok(End::Abandoned);
        }
        let is_retry = life.is_retry();
        let reply = mapping.invoker.invoke(mapping.envelope.event(&records)).await;
        mapping.tally.invoked(&reply.outcome, &reply.log);
        mapping.report.log(&mapping.name, &reply.log);
        count_outcome(mapping, &reply.outcome, records.len());
        if !matches!(reply.outcome, Outcome::NotReached(_)) {
            counts.invocations.add(1);
            counts.retries.add(usize::from(is_retry));
            is_first = false;
        }
        let verdict = life.ended(&reply.outcome.into(), fastrand::f64());
        mapping.tally.ended(verdict == Verdict::Succeeded);
        let Verdict::Failed { failure, delay } = verdict else { continue };
        match failure {
            Failure::Bisected => counts.bisections.add(1),
            Failure::Partial => counts.partial_failures.add(1),
            Failure::InvalidResponse => {
                counts.invalid_responses.add(1);
                let name = &mapping.name;
                mapping.report.trouble(&format!(
                    "{name}: the answer names a record that was not sent, or has another form: all failed"
                ));
            }
            Failure::Whole | Failure::NotReached => {}
        }
        tokio::select! {
            () = sleep(delay) => {}
            _ = last_try.wait_for(|is_last_try| *is_last_try) => {
                // What is to be given up is given up.
                if !delay.is_zero() {
                    return Ok(End::Abandoned);
                }
            }
        }
    }
}

fn count_outcome(mapping: &Mapping, outcome: &Outcome, records: usize) {
    let Mapping { name, counts, report, .. } = mapping;
    let (count, what) = match outcome {
        Outcome::Answered(_) => return,
        Outcome::FunctionError(error) => (&counts.function_errors, format!("failed: {error}")),
        Outcome::TimedOut => (&counts.timeouts, "did not answer in time".to_owned()),
        Outcome::EnvironmentGone(end) => {
            (&counts.environments_gone, format!("ended before it answered: {end}"))
        }
        Outcome::NotReached(reason) => {
            (&counts.not_reached, format!("could not be invoked: {reason}"))
        }
    };
    count.add(1);
    let records = counted(records, "record");
    report.trouble(&format!("{name}: with {records} the function {what}"));
}

/// Counts the records, and keeps them where there is a destination.
fn give_up(mapping: &Mapping, given_up: &GivenUp, now: Duration) -> anyhow::Result<()> {
    let records = given_up.records.len();
    mapping.counts.given_up.add(records);
    mapping.tally.gave_up(records);
    match given_up.condition {
        Condition::RetryAttemptsExhausted => {}
        Condition::RecordAgeExceeded => mapping.counts.expired.add(records),
        Condition::MaximumPayloadSizeExceeded => mapping.counts.too_large.add(records),
    }
    let place = match &mapping.on_failure {
        Some(directory) => {
            let id = format!("{:016x}-{:016x}", fastrand::u64(..), fastrand::u64(..));
            let circumstances = Circumstances {
                function: &mapping.function,
                mapping: &mapping.logical_id,
                bootstrap_servers: &mapping.bootstrap_servers,
                now,
                id: &id,
            };
            let path = failure::write(directory, &mapping.envelope, given_up, &circumstances);
            let path = path.with_context(|| {
                format!("cannot write to `{}` what was given up", directory.display())
            })?;
            format!("they are in {}", path.display())
        }
        None => "they are lost, as there is no `--on-failure`".to_owned(),
    };
    let coordinates: Vec<_> = given_up.records.iter().map(|record| format!("{record:?}")).collect();
    let shown = match coordinates.as_slice() {
        [first, .., last] => format!("{first} to {last}"),
        all => all.join(", "),
    };
    let Mapping { name, .. } = mapping;
    let (condition, records) = (given_up.condition, counted(records, "record"));
    mapping.report.line(&format!("{name}: {records} given up ({condition:?}), {shown}: {place}"));
    Ok(())
}
