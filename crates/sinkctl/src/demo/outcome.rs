//! What an invocation's answer and log say of it.

use local::runtime_api::Answer;
use serde_json::Value;

use super::show::{MAX_TEXT, shorten};
use crate::status::record_counts;

/// An answer as it is shown, and whether Lambda would go on to the next batch without retrying anything.
pub(super) fn shown(answer: &Answer) -> (String, bool) {
    let failure = match answer {
        Answer::Success(body) => {
            let answer: Value = serde_json::from_slice(body).unwrap_or_default();
            let failures = answer["batchItemFailures"].as_array();
            let has_failures = failures.is_some_and(|failures| !failures.is_empty());
            return (shorten(&String::from_utf8_lossy(body), MAX_TEXT), !has_failures);
        }
        Answer::FunctionError(error) => error.to_string(),
        Answer::InitError(error) => format!("it cannot start: {error}"),
        Answer::EnvironmentGone(end) => format!("none, the process ended: {end}"),
        Answer::TimedOut => "none in time".to_owned(),
    };
    (failure, false)
}

/// What became of the records; `None` if the function did not log it.
pub(super) fn counts(log: &[String]) -> Option<Vec<(&'static str, u64)>> {
    log.iter().rev().find_map(|line| {
        let line: Value = serde_json::from_str(line).ok()?;
        // Some formatters put an event's own members into a member of the line.
        let event = [&line, &line["fields"]].into_iter().find(|it| it["message"] == "batch")?;
        let counts = record_counts().filter_map(|name| Some((name, event[name].as_u64()?)));
        Some(counts.collect())
    })
}

#[cfg(test)]
mod tests {
    use local::runtime_api::FunctionError;

    use super::*;

    #[test]
    fn only_an_answer_without_failures_is_a_success() {
        #[track_caller]
        fn check(answer: &Answer, text: &str, succeeded: bool) {
            assert_eq!(shown(answer), (text.to_owned(), succeeded));
        }

        let error = FunctionError {
            error_type: "Retryable".to_owned(),
            error_message: "throttled".to_owned(),
            body: Vec::new().into(),
        };
        let some = r#"{"batchItemFailures":[{"itemIdentifier":{"partition":"t-0","offset":1}}]}"#;
        let none = r#"{"batchItemFailures":[]}"#;
        check(&Answer::Success("null".into()), "null", true);
        check(&Answer::Success("".into()), "", true);
        check(&Answer::Success(none.into()), none, true);
        check(&Answer::Success(some.into()), some, false);
        check(&Answer::FunctionError(error.clone()), "Retryable: throttled", false);
        check(&Answer::InitError(error), "it cannot start: Retryable: throttled", false);
        check(
            &Answer::EnvironmentGone("signal: 9".to_owned()),
            "none, the process ended: signal: 9",
            false,
        );
        check(&Answer::TimedOut, "none in time", false);
    }

    #[test]
    fn counts_come_from_the_batch_line() {
        #[track_caller]
        fn check(log: &[&str], expected: Option<&[(&str, u64)]>) {
            let log: Vec<_> = log.iter().map(|line| (*line).to_owned()).collect();
            assert_eq!(counts(&log).as_deref(), expected);
        }

        check(&[], None);
        check(&["no JSON", "7", r#"{"message":"record rejected","written":1}"#], None);
        check(
            &[r#"{"message":"batch","written":2,"received":3,"stale":1,"other":9}"#, "after it"],
            Some(&[("received", 3), ("written", 2), ("stale", 1)]),
        );
        check(
            &[r#"{"level":"INFO","fields":{"message":"batch","failed":2}}"#],
            Some(&[("failed", 2)]),
        );
        check(
            &[r#"{"message":"batch","failed":1}"#, r#"{"message":"batch","failed":2}"#],
            Some(&[("failed", 2)]),
        );
    }
}
