//! What came of the records, in numbers.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use local::lock::lock;
use serde::Serialize;

use crate::text::counted;

/// A function's numbers, while they grow.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) records: Count,
    pub(super) batches: Count,
    pub(super) in_flight: Count,
    pub(super) invocations: Count,
    pub(super) retries: Count,
    pub(super) bisections: Count,
    pub(super) partial_failures: Count,
    pub(super) invalid_responses: Count,
    pub(super) timeouts: Count,
    pub(super) environments_gone: Count,
    pub(super) function_errors: Count,
    pub(super) not_reached: Count,
    pub(super) given_up: Count,
    pub(super) expired: Count,
    pub(super) too_large: Count,
    pub(super) committed: Mutex<BTreeMap<i32, i64>>,
}

#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self, more: usize) {
        self.0.fetch_add(more as u64, Ordering::Relaxed);
    }

    pub(super) fn subtract(&self, less: usize) {
        self.0.fetch_sub(less as u64, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The numbers of all functions, by the names of their binaries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Summary {
    pub functions: BTreeMap<String, FunctionSummary>,
}

/// A function's numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FunctionSummary {
    /// Records that batches were made of.
    pub records: u64,
    /// Those batches.
    pub batches: u64,
    /// Invocations that came to the function.
    pub invocations: u64,
    /// Those of them that tried a batch, or a part of one, again; the first of a half that was split off is none.
    pub retries: u64,
    /// Batches that were split in two.
    pub bisections: u64,
    /// Answers that named records that failed.
    pub partial_failures: u64,
    /// Answers that could not be understood.
    pub invalid_responses: u64,
    /// Invocations that were not answered in time.
    pub timeouts: u64,
    /// Invocations whose process ended before it answered.
    pub environments_gone: u64,
    /// Invocations that ended in an error of the function.
    pub function_errors: u64,
    /// Invocations that did not come to the function, which count nowhere else.
    pub not_reached: u64,
    /// Records that were given up, and went to the destination if there was one.
    pub given_up: u64,
    /// Those of them that were too old.
    pub expired: u64,
    /// Those of them that no event could hold.
    pub too_large: u64,
    /// By partition the offset that the group goes on from.
    pub committed: BTreeMap<i32, i64>,
}

impl Counts {
    pub(super) fn summary(&self) -> FunctionSummary {
        FunctionSummary {
            records: self.records.get(),
            batches: self.batches.get(),
            invocations: self.invocations.get(),
            retries: self.retries.get(),
            bisections: self.bisections.get(),
            partial_failures: self.partial_failures.get(),
            invalid_responses: self.invalid_responses.get(),
            timeouts: self.timeouts.get(),
            environments_gone: self.environments_gone.get(),
            function_errors: self.function_errors.get(),
            not_reached: self.not_reached.get(),
            given_up: self.given_up.get(),
            expired: self.expired.get(),
            too_large: self.too_large.get(),
            committed: lock(&self.committed).clone(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_a_line_or_json() {
        let counts = Counts::default();
        counts.records.add(7);
        counts.batches.add(2);
        counts.invocations.add(3);
        counts.retries.add(1);
        lock(&counts.committed).insert(3, 9);
        let summary = counts.summary();
        assert_eq!(summary.to_string(), "7 records, 2 batches, 3 invocations, 1 retry");

        let summary = Summary { functions: BTreeMap::from([("f".to_owned(), summary)]) };
        assert_eq!(
            serde_json::to_string(&summary).unwrap(),
            concat!(
                r#"{"f":{"records":7,"batches":2,"invocations":3,"retries":1,"bisections":0,"partialFailures":0,"#,
                r#""invalidResponses":0,"timeouts":0,"environmentsGone":0,"functionErrors":0,"notReached":0,"#,
                r#""givenUp":0,"expired":0,"tooLarge":0,"committed":{"3":9}}}"#
            )
        );
    }
}
