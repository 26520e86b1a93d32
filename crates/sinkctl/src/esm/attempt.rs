//! The life of one batch, as a state machine: how invocations ended in, what to do next out.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use clap::ValueEnum;
use local::{
    invoke::{
        Outcome,
        response::{self, Response},
    },
    template::Mapping,
};

use super::event::Record;

/// With a destination, Lambda ends retries without end after so many.
const MAX_RETRIES_WITH_DESTINATION: u64 = 10;

/// How long Lambda's pollers wait before they retry is not documented. Here the time doubles from the first to the
/// longest.
const FIRST_DELAY: Duration = Duration::from_millis(200);
const LONGEST_DELAY: Duration = Duration::from_secs(30);

/// What is sent again after the function named the records that failed, which AWS leaves open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PartialRetry {
    /// Only the records that it named.
    Listed,
    /// Of each partition the first that it named, and all behind it.
    FromLowest,
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
    mapping: Mapping,
    partial_retry: PartialRetry,
    /// What is left, the next one first; a half waits until the one before it is done.
    parts: VecDeque<Part>,
}

#[derive(Clone, Debug, Default)]
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
    /// A new batch of the mapping's records, or a record that no event can hold.
    pub fn new(mapping: &Mapping, partial_retry: PartialRetry, records: Vec<Arc<Record>>) -> Self {
        let is_too_large = records.iter().any(|record| record.is_too_large);
        let given_up = is_too_large.then_some(Condition::MaximumPayloadSizeExceeded);
        let part = Part { records, given_up, ..Part::default() };
        Self { mapping: mapping.clone(), partial_retry, parts: VecDeque::from([part]) }
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
            if let Some(maximum) = self.mapping.maximum_record_age {
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

    /// Says how the invocation that came next ended; `jitter` is between 0 and 1. After a failure it says the time
    /// after which to ask what comes next.
    pub fn ended(&mut self, outcome: &Outcome, jitter: f64) -> Option<(Failure, Duration)> {
        let mut part = self.parts.pop_front()?;
        if let Outcome::NotReached(_) = outcome {
            let delay = delay(part.not_reached, jitter);
            part.not_reached += 1;
            self.parts.push_front(part);
            return Some((Failure::NotReached, delay));
        }
        part.not_reached = 0;
        part.invocations += 1;
        part.was_function_error = !matches!(outcome, Outcome::Answered(_));
        let failure = match outcome {
            Outcome::Answered(body) if self.mapping.reports_batch_item_failures => {
                let coordinates = |record: &Arc<Record>| (record.partition, record.offset);
                let sent = part.records.iter().map(coordinates).collect();
                match response::read(body, &self.mapping.topic, &sent) {
                    Response::Success => return None,
                    Response::Invalid => Failure::InvalidResponse,
                    Response::Failures(failed) => {
                        part.records.retain(|record| match self.partial_retry {
                            PartialRetry::Listed => failed.contains(&coordinates(record)),
                            PartialRetry::FromLowest => {
                                let before = (record.partition, i64::MIN)..=coordinates(record);
                                failed.range(before).next().is_some()
                            }
                        });
                        Failure::Partial
                    }
                }
            }
            Outcome::Answered(_) => return None,
            _ if self.mapping.bisects_batch_on_function_error && part.records.len() > 1 => {
                let delay = delay(part.invocations - 1, jitter);
                part.is_retry = false;
                let records = part.records.split_off(part.records.len() / 2);
                self.parts.push_front(Part { records, ..part.clone() });
                self.parts.push_front(part);
                return Some((Failure::Bisected, delay));
            }
            _ => Failure::Whole,
        };
        let with_destination = self.mapping.has_destination.then_some(MAX_RETRIES_WITH_DESTINATION);
        let maximum = self.mapping.maximum_retry_attempts.or(with_destination);
        let delay = if maximum.is_some_and(|maximum| part.retries >= maximum) {
            part.given_up = Some(Condition::RetryAttemptsExhausted);
            Duration::ZERO
        } else {
            part.retries += 1;
            part.is_retry = true;
            delay(part.invocations - 1, jitter)
        };
        self.parts.push_front(part);
        Some((failure, delay))
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

/// The delay after so many failures before: between half and all of a time that doubles.
fn delay(failures_before: u64, jitter: f64) -> Duration {
    let doublings = u32::try_from(failures_before.min(16)).unwrap_or(16);
    let whole = FIRST_DELAY.saturating_mul(1 << doublings).min(LONGEST_DELAY);
    whole / 2 + (whole / 2).mul_f64(jitter.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests;
