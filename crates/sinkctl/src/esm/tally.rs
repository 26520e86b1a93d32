//! What is known of a mapping while it runs, in Lambda's words.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use local::{invoke::Outcome, lock::lock};
use serde_json::Value;

use crate::{
    status::{Activity, MappingStatus, OLDEST_RECORD_AGE, record_counts},
    text,
};

/// How many minutes are kept.
const KEPT_MINUTES: u64 = 24 * 60;

/// What happens to a mapping.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// What was counted, by the minute since 1970.
    minutes: Mutex<BTreeMap<u64, Activity>>,
    result: Mutex<LastResult>,
    lag: Mutex<BTreeMap<i32, u64>>,
    is_stopping: AtomicBool,
    /// Whether the brokers did not answer when they were asked last.
    is_cut_off: AtomicBool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum LastResult {
    #[default]
    None,
    Ok,
    Failed,
    NotReached,
}

impl Tally {
    /// Counts an invocation, and what the function counted itself.
    pub(super) fn invoked(&self, outcome: &Outcome, log: &[String]) {
        let is_error = match outcome {
            Outcome::NotReached(_) => {
                *lock(&self.result) = LastResult::NotReached;
                return;
            }
            Outcome::Answered(_) => false,
            Outcome::FunctionError(_) | Outcome::TimedOut | Outcome::EnvironmentGone(_) => true,
        };
        let mut counted = Activity {
            invocations: Some(1),
            errors: Some(u64::from(is_error)),
            ..Activity::default()
        };
        for line in log {
            counted.add(&counted_by_function(line));
        }
        self.count(&counted, minute());
    }

    fn count(&self, counted: &Activity, minute: u64) {
        let mut minutes = lock(&self.minutes);
        minutes.entry(minute).or_default().add(counted);
        *minutes = minutes.split_off(&minute.saturating_sub(KEPT_MINUTES));
    }

    /// Remembers whether the last invocation did all of its records.
    pub(super) fn ended(&self, is_success: bool) {
        let mut result = lock(&self.result);
        // That the function was not reached says more.
        if is_success {
            *result = LastResult::Ok;
        } else if *result != LastResult::NotReached {
            *result = LastResult::Failed;
        }
    }

    /// Counts records that were given up.
    pub(super) fn gave_up(&self, records: usize) {
        let given_up = Some(records as u64);
        self.count(&Activity { given_up, ..Activity::default() }, minute());
    }

    /// Remembers by partition how many records the topic is ahead; `None` if no broker says.
    pub(super) fn measured(&self, lag: Option<BTreeMap<i32, u64>>) {
        self.is_cut_off.store(lag.is_none(), Ordering::Relaxed);
        if let Some(lag) = lag {
            *lock(&self.lag) = lag;
        }
    }

    /// Remembers that nothing new begins.
    pub(super) fn stops(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
    }

    pub(super) fn lag(&self) -> BTreeMap<i32, u64> {
        lock(&self.lag).clone()
    }

    pub(super) fn minutes(&self) -> BTreeMap<u64, Activity> {
        lock(&self.minutes).clone()
    }

    /// The mapping's state, in Lambda's words.
    pub(super) fn mapping(&self, id: &str) -> MappingStatus {
        let result = *lock(&self.result);
        let is_cut_off = self.is_cut_off.load(Ordering::Relaxed);
        let last_processing_result = match result {
            _ if is_cut_off => "PROBLEM: Connection error: no broker answers",
            LastResult::None => "No records processed",
            LastResult::Ok => "OK",
            LastResult::Failed => "PROBLEM: Function call failed",
            LastResult::NotReached => "PROBLEM: The function could not be invoked",
        };
        let is_stopping = self.is_stopping.load(Ordering::Relaxed);
        MappingStatus {
            id: id.to_owned(),
            state: if is_stopping { "Disabling" } else { "Enabled" }.to_owned(),
            state_transition_reason: None,
            last_processing_result: Some(last_processing_result.to_owned()),
        }
    }
}

fn minute() -> u64 {
    text::now() / 60_000
}

/// What a line of the function's log counts, if it is a line of metrics.
fn counted_by_function(line: &str) -> Activity {
    if !line.contains("\"_aws\"") {
        return Activity::default();
    }
    let line: Value = serde_json::from_str(line).unwrap_or_default();
    let number = |name: &str| line[name].as_u64();
    let of_records = record_counts().filter_map(|name| Some((name.to_owned(), number(name)?)));
    Activity {
        records: of_records.collect(),
        oldest_record_age: number(OLDEST_RECORD_AGE),
        ..Activity::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_from_lines_of_metrics() {
        #[track_caller]
        fn check(line: &str, records: &[(&str, u64)], age: Option<u64>) {
            let counted = counted_by_function(line);
            let found = counted.records.iter().map(|(name, number)| (name.as_str(), *number));
            assert_eq!(
                (found.collect::<Vec<_>>().as_slice(), counted.oldest_record_age),
                (records, age)
            );
        }

        check(
            r#"{"_aws":{},"received":3,"stale":1,"requests":7,"oldestRecordAge":42,"message":"batch"}"#,
            &[("received", 3), ("stale", 1)],
            Some(42),
        );
        check(r#"{"_aws":{},"received":"3"}"#, &[], None);
        check(r#"{"message":"batch","received":3}"#, &[], None);
        check(r#""_aws""#, &[], None);
        check(r#"no JSON with "_aws""#, &[], None);
    }

    #[test]
    fn counts_are_kept_for_a_day() {
        let tally = Tally::default();
        let counted = |number| Activity { invocations: Some(number), ..Activity::default() };
        for (minute, number) in [(100, 1), (100, 4), (102, 2)] {
            tally.count(&counted(number), minute);
        }
        assert_eq!(tally.minutes(), BTreeMap::from([(100, counted(5)), (102, counted(2))]));
        tally.count(&counted(1), 101 + KEPT_MINUTES);
        let kept = [(102, counted(2)), (101 + KEPT_MINUTES, counted(1))];
        assert_eq!(tally.minutes(), BTreeMap::from(kept));
    }

    #[test]
    fn a_mapping_is_described_in_lambdas_words() {
        #[track_caller]
        fn check(tally: &Tally, state: &str, result: &str) {
            let mapping = tally.mapping("m");
            let described = (mapping.state.as_str(), mapping.last_processing_result.as_deref());
            assert_eq!(described, (state, Some(result)));
        }

        let tally = Tally::default();
        check(&tally, "Enabled", "No records processed");
        let not_reached = Outcome::NotReached("no".to_owned());
        tally.invoked(&not_reached, &[]);
        tally.ended(false);
        check(&tally, "Enabled", "PROBLEM: The function could not be invoked");
        tally.invoked(&Outcome::Answered(Vec::new()), &[]);
        tally.ended(true);
        check(&tally, "Enabled", "OK");
        tally.invoked(&Outcome::TimedOut, &[]);
        tally.ended(false);
        check(&tally, "Enabled", "PROBLEM: Function call failed");
        tally.measured(None);
        check(&tally, "Enabled", "PROBLEM: Connection error: no broker answers");
        tally.measured(Some(BTreeMap::from([(0, 7), (1, 9)])));
        tally.ended(true);
        tally.stops();
        check(&tally, "Disabling", "OK");

        tally.gave_up(3);
        let mut all = Activity::default();
        tally.minutes().values().for_each(|it| all.add(it));
        assert_eq!((all.invocations, all.errors, all.given_up), (Some(2), Some(1), Some(3)));
        assert_eq!(tally.lag(), BTreeMap::from([(0, 7), (1, 9)]));
    }
}
