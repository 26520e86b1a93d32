//! What is known of a mapping while it runs: what came of the records, in numbers, and in Lambda's words.

use std::{collections::BTreeMap, fmt};

use local::invoke::Outcome;
use serde::Serialize;
use serde_json::Value;

use crate::{
    status::{Activity, MappingStatus, OLDEST_RECORD_AGE, record_counts},
    text::{self, counted},
};

/// How many minutes are kept.
const KEPT_MINUTES: u64 = 24 * 60;

/// What happens to a mapping.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) summary: FunctionSummary,
    /// The batches in flight.
    pub(super) in_flight: usize,
    /// What was counted, by the minute since 1970.
    pub(super) minutes: BTreeMap<u64, Activity>,
    /// By partition how many records the topic is ahead.
    pub(super) lag: BTreeMap<i32, u64>,
    /// Whether nothing new begins.
    pub(super) is_stopping: bool,
    /// Whether the brokers did not answer when they were asked last.
    is_cut_off: bool,
    last_result: Option<&'static str>,
}

/// A function's numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FunctionSummary {
    /// Records that batches were made of.
    pub records: usize,
    /// Those batches.
    pub batches: usize,
    /// Invocations that came to the function.
    pub invocations: usize,
    /// Those of them that tried a batch, or a part of one, again; the first of a half that was split off is none.
    pub retries: usize,
    /// Batches that were split in two.
    pub bisections: usize,
    /// Answers that named records that failed.
    pub partial_failures: usize,
    /// Answers that could not be understood.
    pub invalid_responses: usize,
    /// Invocations that were not answered in time.
    pub timeouts: usize,
    /// Invocations whose process ended before it answered.
    pub environments_gone: usize,
    /// Invocations that ended in an error of the function.
    pub function_errors: usize,
    /// Invocations that did not come to the function, which count nowhere else.
    pub not_reached: usize,
    /// Records that were given up, and went to the destination if there was one.
    pub given_up: usize,
    /// Those of them that were too old.
    pub expired: usize,
    /// Those of them that no event could hold.
    pub too_large: usize,
    /// By partition the offset that the group goes on from.
    pub committed: BTreeMap<i32, i64>,
}

impl Tally {
    /// Counts an invocation, and what the function counted itself.
    pub(super) fn invoked(&mut self, outcome: &Outcome, log: &[String], is_success: bool) {
        self.last_result = Some(match outcome {
            Outcome::NotReached(_) => "PROBLEM: The function could not be invoked",
            _ if is_success => "OK",
            _ => "PROBLEM: Function call failed",
        });
        let count = match outcome {
            Outcome::NotReached(_) => {
                self.summary.not_reached += 1;
                return;
            }
            Outcome::Answered(_) => None,
            Outcome::FunctionError(_) => Some(&mut self.summary.function_errors),
            Outcome::TimedOut => Some(&mut self.summary.timeouts),
            Outcome::EnvironmentGone(_) => Some(&mut self.summary.environments_gone),
        };
        let mut counted = Activity {
            invocations: Some(1),
            errors: Some(u64::from(count.is_some())),
            ..Activity::default()
        };
        if let Some(count) = count {
            *count += 1;
        }
        self.summary.invocations += 1;
        for line in log {
            counted.add(&counted_by_function(line));
        }
        self.count(&counted, minute());
    }

    fn count(&mut self, counted: &Activity, minute: u64) {
        self.minutes.entry(minute).or_default().add(counted);
        self.minutes = self.minutes.split_off(&minute.saturating_sub(KEPT_MINUTES));
    }

    /// Counts records that were given up.
    pub(super) fn gave_up(&mut self, records: usize) {
        self.summary.given_up += records;
        let given_up = Some(records as u64);
        self.count(&Activity { given_up, ..Activity::default() }, minute());
    }

    /// Remembers the lag; `None` if no broker says it.
    pub(super) fn measured(&mut self, lag: Option<BTreeMap<i32, u64>>) {
        self.is_cut_off = lag.is_none();
        if let Some(lag) = lag {
            self.lag = lag;
        }
    }

    /// The mapping's state, in Lambda's words.
    pub(super) fn mapping(&self, id: &str) -> MappingStatus {
        let last_processing_result = match self.last_result {
            _ if self.is_cut_off => "PROBLEM: Connection error: no broker answers",
            result => result.unwrap_or("No records processed"),
        };
        MappingStatus {
            id: id.to_owned(),
            state: if self.is_stopping { "Disabling" } else { "Enabled" }.to_owned(),
            state_transition_reason: None,
            last_processing_result: Some(last_processing_result.to_owned()),
        }
    }
}

/// One line, without the counts that are zero.
impl fmt::Display for FunctionSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, {}, {}",
            counted(self.records, "record"),
            counted(self.batches, "batch"),
            counted(self.invocations, "invocation")
        )?;
        let rest = [
            ("retry", "", self.retries),
            ("bisection", "", self.bisections),
            ("partial failure", "", self.partial_failures),
            ("invalid response", "", self.invalid_responses),
            ("timeout", "", self.timeouts),
            ("environment", " gone", self.environments_gone),
            ("function error", "", self.function_errors),
            ("", "not reached", self.not_reached),
            ("RECORD", " GIVEN UP", self.given_up),
            ("", "of them too old", self.expired),
            ("", "of them too large", self.too_large),
        ];
        for (noun, words, count) in rest {
            match noun {
                _ if count == 0 => {}
                "" => write!(f, ", {count} {words}")?,
                noun => write!(f, ", {}{words}", counted(count, noun))?,
            }
        }
        Ok(())
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
        let mut tally = Tally::default();
        let counted = |number| Activity { invocations: Some(number), ..Activity::default() };
        for (minute, number) in [(100, 1), (100, 4), (102, 2)] {
            tally.count(&counted(number), minute);
        }
        assert_eq!(tally.minutes, BTreeMap::from([(100, counted(5)), (102, counted(2))]));
        tally.count(&counted(1), 101 + KEPT_MINUTES);
        let kept = [(102, counted(2)), (101 + KEPT_MINUTES, counted(1))];
        assert_eq!(tally.minutes, BTreeMap::from(kept));
    }

    #[test]
    fn a_mapping_is_described_in_lambdas_words() {
        #[track_caller]
        fn check(tally: &Tally, state: &str, result: &str) {
            let mapping = tally.mapping("m");
            let described = (mapping.state.as_str(), mapping.last_processing_result.as_deref());
            assert_eq!(described, (state, Some(result)));
        }

        let mut tally = Tally::default();
        check(&tally, "Enabled", "No records processed");
        let not_reached = Outcome::NotReached("no".to_owned());
        tally.invoked(&not_reached, &[], false);
        check(&tally, "Enabled", "PROBLEM: The function could not be invoked");
        tally.invoked(&Outcome::Answered(Vec::new()), &[], true);
        check(&tally, "Enabled", "OK");
        tally.invoked(&Outcome::TimedOut, &[], false);
        check(&tally, "Enabled", "PROBLEM: Function call failed");
        tally.measured(None);
        check(&tally, "Enabled", "PROBLEM: Connection error: no broker answers");
        tally.measured(Some(BTreeMap::from([(0, 7), (1, 9)])));
        check(&tally, "Enabled", "PROBLEM: Function call failed");
        tally.invoked(&Outcome::Answered(Vec::new()), &[], false);
        check(&tally, "Enabled", "PROBLEM: Function call failed");
        tally.is_stopping = true;
        check(&tally, "Disabling", "PROBLEM: Function call failed");

        tally.gave_up(3);
        let mut all = Activity::default();
        tally.minutes.values().for_each(|it| all.add(it));
        assert_eq!((all.invocations, all.errors, all.given_up), (Some(3), Some(1), Some(3)));
        assert_eq!(tally.lag, BTreeMap::from([(0, 7), (1, 9)]));
    }

    #[test]
    fn a_summary_is_a_line_or_json() {
        let summary = FunctionSummary {
            records: 7,
            batches: 2,
            invocations: 3,
            retries: 1,
            committed: BTreeMap::from([(3, 9)]),
            ..FunctionSummary::default()
        };
        assert_eq!(summary.to_string(), "7 records, 2 batches, 3 invocations, 1 retry");
        assert_eq!(
            serde_json::to_string(&summary).unwrap(),
            concat!(
                r#"{"records":7,"batches":2,"invocations":3,"retries":1,"bisections":0,"partialFailures":0,"#,
                r#""invalidResponses":0,"timeouts":0,"environmentsGone":0,"functionErrors":0,"notReached":0,"#,
                r#""givenUp":0,"expired":0,"tooLarge":0,"committed":{"3":9}}"#
            )
        );
    }
}
