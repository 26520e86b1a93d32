//! The life of one batch, as a state machine: how invocations ended in, what to do next out.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use clap::ValueEnum;
use local::invoke::{
    Outcome,
    response::{self, Response},
};

use super::event::Record;

/// With a destination, Lambda ends retries without end after so many.
pub const MAX_RETRIES_WITH_DESTINATION: u64 = 10;

/// How long Lambda's pollers wait before they retry is not documented. Here the time doubles from the first to the
/// longest.
pub const FIRST_DELAY: Duration = Duration::from_millis(200);
/// See [`FIRST_DELAY`].
pub const LONGEST_DELAY: Duration = Duration::from_secs(30);

/// How a mapping deals with failures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How often a batch is tried again; `None` is without end.
    pub maximum_retry_attempts: Option<u64>,
    /// The age above which a record is given up; `None` is any age.
    pub maximum_record_age: Option<Duration>,
    /// Whether a batch that failed is split in two.
    pub bisects_batch_on_function_error: bool,
    /// Whether the function's answer is read; else any is a success.
    pub reports_batch_item_failures: bool,
    /// What is sent again after the function named the records that failed.
    pub partial_retry: PartialRetry,
    /// Whether what is given up goes somewhere.
    pub has_destination: bool,
}

/// What is sent again after the function named the records that failed, which AWS leaves open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PartialRetry {
    /// Only the records that it named.
    Listed,
    /// Of each partition the first that it named, and all behind it.
    FromLowest,
}

/// How an invocation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    Answered(Vec<u8>),
    /// The function reported an error, ran out of time, or its environment was gone.
    FunctionError,
    /// It did not come to the function, which does not count.
    NotReached,
}

impl From<Outcome> for Ended {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Answered(body) => Self::Answered(body),
            Outcome::FunctionError(_) | Outcome::TimedOut | Outcome::EnvironmentGone(_) => {
                Self::FunctionError
            }
            Outcome::NotReached(_) => Self::NotReached,
        }
    }
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Invoke the function with these records, and say how it ended.
    Invoke(Vec<Arc<Record>>),
    /// Tell the destination, if there is one, and ask again.
    GiveUp(GivenUp),
    /// All records were done or given up.
    Done,
}

/// Records that are not tried any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenUp {
    pub records: Vec<Arc<Record>>,
    pub condition: Condition,
    /// How often the function was invoked with them.
    pub invocations: u64,
    /// Whether the last time ended in an error, and not in an answer that was no success.
    pub was_function_error: bool,
}

/// Why records are given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// They were tried as often as the mapping allows.
    RetryAttemptsExhausted,
    /// They are older than the mapping allows; how Lambda names this for Kafka is not documented.
    RecordAgeExceeded,
    /// No event can hold the record.
    MaximumPayloadSizeExceeded,
}

/// What came of an invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Succeeded,
    /// Ask what comes next after the delay.
    Failed {
        failure: Failure,
        delay: Duration,
    },
}

/// A kind of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// All of it, to be tried again or given up.
    Whole,
    /// All of it, to be tried again in two halves.
    Bisected,
    /// The function named the records that failed.
    Partial,
    /// The function's answer could not be understood.
    InvalidResponse,
    /// It did not come to the function.
    NotReached,
}

/// A batch until all of its records are done or given up.
#[derive(Clone, Debug)]
pub struct Life {
    topic: String,
    policy: Policy,
    /// What is left, the next one first; a half waits until the one before it is done.
    parts: VecDeque<Part>,
}

#[derive(Clone, Debug)]
struct Part {
    records: Vec<Arc<Record>>,
    invocations: u64,
    retries: u64,
    /// Whether its next invocation is a retry.
    is_retry: bool,
    /// How often in turn the function was not reached.
    not_reached: u64,
    given_up: Option<Condition>,
    was_function_error: bool,
}

impl Life {
    /// A new batch of the topic's records.
    pub fn new(topic: &str, records: Vec<Arc<Record>>, policy: Policy) -> Self {
        Self::with(topic, records, policy, None)
    }

    /// A record that no event can hold.
    pub fn too_large(topic: &str, records: Vec<Arc<Record>>, policy: Policy) -> Self {
        Self::with(topic, records, policy, Some(Condition::MaximumPayloadSizeExceeded))
    }

    fn with(
        topic: &str,
        records: Vec<Arc<Record>>,
        policy: Policy,
        given_up: Option<Condition>,
    ) -> Self {
        let part = Part {
            records,
            invocations: 0,
            retries: 0,
            is_retry: false,
            not_reached: 0,
            given_up,
            was_function_error: false,
        };
        Self { topic: topic.to_owned(), policy, parts: VecDeque::from([part]) }
    }

    /// What comes next at this time, in milliseconds since 1970.
    pub fn next(&mut self, now: i64) -> Next {
        while let Some(part) = self.parts.front_mut() {
            if let Some(condition) = part.given_up {
                let records = std::mem::take(&mut part.records);
                let given_up = part.give_up(records, condition);
                self.parts.pop_front();
                return Next::GiveUp(given_up);
            }
            if let Some(maximum) = self.policy.maximum_record_age {
                let maximum = i64::try_from(maximum.as_millis()).unwrap_or(i64::MAX);
                let is_expired = |record: &Arc<Record>| {
                    record.timestamp >= 0 && now.saturating_sub(record.timestamp) > maximum
                };
                let (expired, rest): (Vec<_>, Vec<_>) =
                    std::mem::take(&mut part.records).into_iter().partition(is_expired);
                part.records = rest;
                if !expired.is_empty() {
                    return Next::GiveUp(part.give_up(expired, Condition::RecordAgeExceeded));
                }
            }
            if !part.records.is_empty() {
                return Next::Invoke(part.records.clone());
            }
            self.parts.pop_front();
        }
        Next::Done
    }

    /// Whether the invocation that comes next is a retry, as the mapping counts them.
    pub fn is_retry(&self) -> bool {
        self.parts.front().is_some_and(|part| part.is_retry)
    }

    /// Says how the invocation that came next ended; `jitter` is between 0 and 1.
    pub fn ended(&mut self, ended: &Ended, jitter: f64) -> Verdict {
        let Some(mut part) = self.parts.pop_front() else { return Verdict::Succeeded };
        if *ended == Ended::NotReached {
            let delay = delay(part.not_reached, jitter);
            part.not_reached += 1;
            self.parts.push_front(part);
            return Verdict::Failed { failure: Failure::NotReached, delay };
        }
        part.not_reached = 0;
        part.invocations += 1;
        part.was_function_error = *ended == Ended::FunctionError;
        let failure = match ended {
            Ended::Answered(body) if self.policy.reports_batch_item_failures => {
                match response::read(body, &self.topic, &coordinates(&part.records)) {
                    Response::Success => return Verdict::Succeeded,
                    Response::Invalid => Failure::InvalidResponse,
                    Response::Failures(failed) => {
                        let lowest = lowest_of(failed.iter().copied());
                        let is_sent_again = |record: &Arc<Record>| match self.policy.partial_retry {
                            PartialRetry::Listed => {
                                failed.contains(&(record.partition, record.offset))
                            }
                            PartialRetry::FromLowest => lowest
                                .get(&record.partition)
                                .is_some_and(|&lowest| record.offset >= lowest),
                        };
                        part.records.retain(is_sent_again);
                        Failure::Partial
                    }
                }
            }
            Ended::Answered(_) => return Verdict::Succeeded,
            _ if self.policy.bisects_batch_on_function_error && part.records.len() > 1 => {
                let delay = delay(part.invocations - 1, jitter);
                part.is_retry = false;
                let second = Part {
                    records: part.records.split_off(part.records.len() / 2),
                    ..part.clone()
                };
                self.parts.push_front(second);
                self.parts.push_front(part);
                return Verdict::Failed { failure: Failure::Bisected, delay };
            }
            _ => Failure::Whole,
        };
        let is_last = self.policy.maximum_retries().is_some_and(|maximum| part.retries >= maximum);
        let delay = if is_last {
            part.given_up = Some(Condition::RetryAttemptsExhausted);
            Duration::ZERO
        } else {
            part.retries += 1;
            part.is_retry = true;
            delay(part.invocations - 1, jitter)
        };
        self.parts.push_front(part);
        Verdict::Failed { failure, delay }
    }
}

impl Policy {
    fn maximum_retries(&self) -> Option<u64> {
        let with_destination = self.has_destination.then_some(MAX_RETRIES_WITH_DESTINATION);
        self.maximum_retry_attempts.or(with_destination)
    }
}

impl Part {
    fn give_up(&self, records: Vec<Arc<Record>>, condition: Condition) -> GivenUp {
        GivenUp {
            records,
            condition,
            invocations: self.invocations,
            was_function_error: self.was_function_error,
        }
    }
}

/// Each partition's lowest offset.
fn coordinates(records: &[Arc<Record>]) -> BTreeSet<(i32, i64)> {
    records.iter().map(|record| (record.partition, record.offset)).collect()
}

fn lowest_of(coordinates: impl Iterator<Item = (i32, i64)>) -> BTreeMap<i32, i64> {
    let mut lowest = BTreeMap::new();
    for (partition, offset) in coordinates {
        lowest.entry(partition).and_modify(|it| *it = offset.min(*it)).or_insert(offset);
    }
    lowest
}

/// The delay after so many failures before: between half and all of a time that doubles.
fn delay(failures_before: u64, jitter: f64) -> Duration {
    let doublings = u32::try_from(failures_before.min(16)).unwrap_or(16);
    let whole = FIRST_DELAY.saturating_mul(1 << doublings).min(LONGEST_DELAY);
    whole / 2 + (whole / 2).mul_f64(jitter.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests;
