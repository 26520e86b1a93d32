//! A batch that lives: invocations until all of its records are done or given up.

use anyhow::Context as _;
use local::{invoke::Outcome, lock::lock};
use tokio::{sync::watch, time::sleep};

use super::{
    attempt::{Condition, Failure, GivenUp, Life, Next},
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

/// Lets a batch live until its end, or until it is not to be tried again.
pub(super) async fn live(
    mapping: &Mapping,
    mut life: Life,
    mut last_try: watch::Receiver<bool>,
) -> anyhow::Result<End> {
    let Mapping { report, tally, .. } = mapping;
    let name = &mapping.function.binary;
    let mut is_first = true;
    loop {
        let now = text::now().cast_signed();
        let records = match life.next(now) {
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
        report.log(name, &reply.log);
        let what = match &reply.outcome {
            Outcome::Answered(_) => None,
            Outcome::FunctionError(error) => Some(format!("failed: {error}")),
            Outcome::TimedOut => Some("did not answer in time".to_owned()),
            Outcome::EnvironmentGone(end) => Some(format!("ended before it answered: {end}")),
            Outcome::NotReached(reason) => Some(format!("could not be invoked: {reason}")),
        };
        if let Some(what) = what {
            let records = counted(records.len(), "record");
            report.trouble(&format!("{name}: with {records} the function {what}"));
        }
        let failed = life.ended(&reply.outcome, fastrand::f64());
        {
            let mut tally = lock(tally);
            tally.invoked(&reply.outcome, &reply.log, failed.is_none());
            if !matches!(reply.outcome, Outcome::NotReached(_)) {
                tally.summary.retries += usize::from(is_retry);
                is_first = false;
            }
            match failed {
                Some((Failure::Bisected, _)) => tally.summary.bisections += 1,
                Some((Failure::Partial, _)) => tally.summary.partial_failures += 1,
                Some((Failure::InvalidResponse, _)) => tally.summary.invalid_responses += 1,
                Some((Failure::Whole | Failure::NotReached, _)) | None => {}
            }
        }
        let Some((failure, delay)) = failed else { continue };
        if failure == Failure::InvalidResponse {
            report.trouble(&format!(
                "{name}: the answer names a record that was not sent, or has another form: all failed"
            ));
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

/// Counts the records, and keeps them where there is a destination.
fn give_up(mapping: &Mapping, given_up: &GivenUp, now: i64) -> anyhow::Result<()> {
    let records = given_up.records.len();
    {
        let mut tally = lock(&mapping.tally);
        tally.gave_up(records);
        match given_up.condition {
            Condition::RetryAttemptsExhausted => {}
            Condition::RecordAgeExceeded => tally.summary.expired += records,
            Condition::MaximumPayloadSizeExceeded => tally.summary.too_large += records,
        }
    }
    let place = match &mapping.esm.overrides.on_failure {
        Some(directory) => {
            let id = format!("{:016x}-{:016x}", fastrand::u64(..), fastrand::u64(..));
            let circumstances = Circumstances {
                function: &mapping.function.name,
                mapping: &mapping.settings.logical_id,
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
    let (name, condition) = (&mapping.function.binary, given_up.condition);
    let records = counted(records, "record");
    mapping.report.line(&format!("{name}: {records} given up ({condition:?}), {shown}: {place}"));
    Ok(())
}
