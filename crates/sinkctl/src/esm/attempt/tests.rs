use super::*;
use local::template::StartingPosition;

use crate::esm::event::{Envelope, tests::message};

fn policy() -> Mapping {
    Mapping {
        logical_id: "M".to_owned(),
        function: "F".to_owned(),
        is_enabled: true,
        topic: "t".to_owned(),
        consumer_group: None,
        starting_position: StartingPosition::Latest,
        batch_size: 100,
        batching_window: Duration::ZERO,
        is_provisioned: true,
        reports_batch_item_failures: false,
        bisects_batch_on_function_error: false,
        maximum_retry_attempts: None,
        maximum_record_age: None,
        has_destination: false,
    }
}

/// Plays a batch: the answers are `ok`, `error`, `lost`, or a body. Each record's timestamp is its offset.
#[track_caller]
fn check(
    policy: &Mapping,
    coordinates: &[(i32, i64)],
    now: i64,
    answers: &[&str],
    expected: &[&str],
) {
    let mut life = life(policy, coordinates);
    assert_eq!(play(&mut life, now, answers), expected);
}

fn life(policy: &Mapping, coordinates: &[(i32, i64)]) -> Life {
    Life::new(policy, PartialRetry::Listed, records(coordinates))
}

fn records(coordinates: &[(i32, i64)]) -> Vec<Arc<Record>> {
    let envelope = Envelope::new("t", "");
    let record = |&(partition, offset): &(i32, i64)| {
        Arc::new(envelope.record(&message(partition, offset, offset, None)).unwrap())
    };
    coordinates.iter().map(record).collect()
}

fn outcome(answer: &str) -> Outcome {
    match answer {
        "ok" => Outcome::Answered(b"null".to_vec()),
        "error" => Outcome::FunctionError(String::new()),
        "lost" => Outcome::NotReached(String::new()),
        body => Outcome::Answered(body.as_bytes().to_vec()),
    }
}

fn play(life: &mut Life, now: i64, answers: &[&str]) -> Vec<String> {
    let mut answers = answers.iter();
    let mut trace = Vec::new();
    loop {
        match life.next(now) {
            Next::Done => {
                trace.push("done".to_owned());
                break;
            }
            Next::GiveUp(GivenUp { records, condition, invocations, was_function_error }) => {
                let how = if was_function_error { " in error" } else { "" };
                trace.push(format!("{condition:?} {records:?} after {invocations}{how}"));
            }
            Next::Invoke(records) => {
                let Some(answer) = answers.next() else { break };
                let verdict = match life.ended(&outcome(answer), 1.0) {
                    None => "succeeded".to_owned(),
                    Some((failure, delay)) => format!("{failure:?} {}", delay.as_millis()),
                };
                trace.push(format!("{records:?} {verdict}"));
            }
        }
    }
    assert_eq!(answers.next(), None, "{trace:?}");
    trace
}

fn failures(coordinates: &[(i32, i64)]) -> String {
    let failure = |(partition, offset): &(i32, i64)| {
        format!(r#"{{"itemIdentifier":{{"partition":"t-{partition}","offset":{offset}}}}}"#)
    };
    let failures: Vec<_> = coordinates.iter().map(failure).collect();
    format!(r#"{{"batchItemFailures":[{}]}}"#, failures.join(","))
}

#[test]
fn a_batch_is_tried_until_it_succeeds() {
    check(&policy(), &[(0, 1)], 0, &["ok"], &["[0@1] succeeded", "done"]);
    check(
        &policy(),
        &[(0, 1), (1, 7)],
        0,
        &["error", "error", "ok"],
        &["[0@1, 1@7] Whole 200", "[0@1, 1@7] Whole 400", "[0@1, 1@7] succeeded", "done"],
    );
    let errors = ["error"; 50];
    let mut life = life(&policy(), &[(0, 1)]);
    let trace = play(&mut life, 0, &errors);
    assert_eq!(trace[7], "[0@1] Whole 25600");
    assert_eq!(trace[8], "[0@1] Whole 30000");
    assert_eq!(trace[49], "[0@1] Whole 30000");
}

#[test]
fn delays_vary_between_half_and_all() {
    #[track_caller]
    fn check(jitter: f64, failures_before: u64, milliseconds: u64) {
        assert_eq!(delay(failures_before, jitter), Duration::from_millis(milliseconds));
    }

    check(0.0, 0, 100);
    check(0.5, 0, 150);
    check(1.0, 0, 200);
    check(0.0, 1, 200);
    check(0.0, u64::MAX, 15_000);
    check(9.0, u64::MAX, 30_000);
}

#[test]
fn retries_are_limited() {
    let limited = |maximum| Mapping { maximum_retry_attempts: Some(maximum), ..policy() };
    let exhausted =
        |invocations: u64| format!("RetryAttemptsExhausted [0@1] after {invocations} in error");
    check(&limited(0), &[(0, 1)], 0, &["error"], &["[0@1] Whole 0", &exhausted(1), "done"]);
    check(
        &limited(2),
        &[(0, 1)],
        0,
        &["error", "error", "error"],
        &["[0@1] Whole 200", "[0@1] Whole 400", "[0@1] Whole 0", &exhausted(3), "done"],
    );
    // What does not come to the function does not count.
    check(
        &limited(0),
        &[(0, 1)],
        0,
        &["lost", "lost", "error"],
        &["[0@1] NotReached 200", "[0@1] NotReached 400", "[0@1] Whole 0", &exhausted(1), "done"],
    );

    for (maximum_retry_attempts, invocations) in [(None, 11), (Some(12), 13)] {
        let policy = Mapping { maximum_retry_attempts, has_destination: true, ..policy() };
        let mut life = life(&policy, &[(0, 1)]);
        let trace = play(&mut life, 0, &vec!["error"; invocations]);
        assert_eq!(trace[invocations], exhausted(invocations as u64));
    }
}

#[test]
fn a_batch_that_failed_is_split() {
    let policy = Mapping {
        bisects_batch_on_function_error: true,
        maximum_retry_attempts: Some(1),
        ..policy()
    };
    check(
        &policy,
        &[(0, 1), (0, 2), (0, 3), (1, 1)],
        0,
        &["error", "error", "ok", "error", "error", "ok"],
        &[
            "[0@1, 0@2, 0@3, 1@1] Bisected 200",
            "[0@1, 0@2] Bisected 400",
            "[0@1] succeeded",
            "[0@2] Whole 800",
            "[0@2] Whole 0",
            "RetryAttemptsExhausted [0@2] after 4 in error",
            "[0@3, 1@1] succeeded",
            "done",
        ],
    );
    check(
        &policy,
        &[(0, 1), (0, 2), (0, 3)],
        0,
        &["error", "ok", "ok"],
        &["[0@1, 0@2, 0@3] Bisected 200", "[0@1] succeeded", "[0@2, 0@3] succeeded", "done"],
    );
    // Only errors split.
    let reporting = Mapping { reports_batch_item_failures: true, ..policy.clone() };
    check(
        &reporting,
        &[(0, 1), (0, 2)],
        0,
        &["7", "ok"],
        &["[0@1, 0@2] InvalidResponse 200", "[0@1, 0@2] succeeded", "done"],
    );
    // And what did not come to the function tells nothing of the batch.
    check(
        &policy,
        &[(0, 1), (0, 2)],
        0,
        &["lost", "ok"],
        &["[0@1, 0@2] NotReached 200", "[0@1, 0@2] succeeded", "done"],
    );
}

#[test]
fn records_that_the_function_named_are_sent_again() {
    let listed = Mapping { reports_batch_item_failures: true, ..policy() };
    let sent = [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (2, 9)];
    let failed = failures(&[(0, 2), (1, 1)]);
    let whole = "[0@1, 0@2, 0@3, 1@1, 1@2, 2@9]";
    check(
        &listed,
        &sent,
        0,
        &[&failed, &failures(&[(0, 2)]), "ok"],
        &[&format!("{whole} Partial 200"), "[0@2, 1@1] Partial 400", "[0@2] succeeded", "done"],
    );
    let mut from_lowest = Life::new(&listed, PartialRetry::FromLowest, records(&sent));
    assert_eq!(
        play(&mut from_lowest, 0, &[&failed, "ok"]),
        [&format!("{whole} Partial 200"), "[0@2, 0@3, 1@1, 1@2] succeeded", "done"],
    );
    // A record that succeeded before was not sent this time.
    check(
        &listed,
        &sent,
        0,
        &[&failed, &failures(&[(0, 1)]), "{}"],
        &[
            &format!("{whole} Partial 200"),
            "[0@2, 1@1] InvalidResponse 400",
            "[0@2, 1@1] succeeded",
            "done",
        ],
    );
    // It counts as a retry.
    check(
        &Mapping { maximum_retry_attempts: Some(0), ..listed.clone() },
        &sent,
        0,
        &[&failed],
        &[&format!("{whole} Partial 0"), "RetryAttemptsExhausted [0@2, 1@1] after 1", "done"],
    );
    // An error after it splits what is left.
    check(
        &Mapping { bisects_batch_on_function_error: true, ..listed.clone() },
        &sent,
        0,
        &[&failed, "error", "ok", "ok"],
        &[
            &format!("{whole} Partial 200"),
            "[0@2, 1@1] Bisected 400",
            "[0@2] succeeded",
            "[1@1] succeeded",
            "done",
        ],
    );
    // Where the mapping does not ask for it, nobody reads the answer.
    check(&policy(), &sent, 0, &[&failed], &[&format!("{whole} succeeded"), "done"]);
    check(&policy(), &sent, 0, &["no JSON"], &[&format!("{whole} succeeded"), "done"]);
}

#[test]
fn records_can_grow_too_old() {
    let policy = Mapping { maximum_record_age: Some(Duration::from_mins(1)), ..policy() };
    check(&policy, &[(0, 1), (0, 2)], 60_001, &["ok"], &["[0@1, 0@2] succeeded", "done"]);
    check(
        &policy,
        &[(0, 1), (0, 2)],
        60_002,
        &["ok"],
        &["RecordAgeExceeded [0@1] after 0", "[0@2] succeeded", "done"],
    );
    check(&policy, &[(0, 1)], 60_002, &[], &["RecordAgeExceeded [0@1] after 0", "done"]);
    // A record without a timestamp has no age.
    check(&policy, &[(0, -1)], 60_002, &["ok"], &["[0@-1] succeeded", "done"]);

    let mut life = life(&policy, &[(0, 1), (0, 9)]);
    assert_eq!(play(&mut life, 5, &["error"]), ["[0@1, 0@9] Whole 200"]);
    assert_eq!(
        play(&mut life, 60_005, &["ok"]),
        ["RecordAgeExceeded [0@1] after 1 in error", "[0@9] succeeded", "done"]
    );
}

#[test]
fn a_record_that_no_event_holds_is_given_up() {
    let mut record = Arc::unwrap_or_clone(records(&[(0, 1)]).remove(0));
    record.is_too_large = true;
    let mut life = Life::new(&policy(), PartialRetry::Listed, vec![Arc::new(record)]);
    assert_eq!(play(&mut life, 0, &[]), ["MaximumPayloadSizeExceeded [0@1] after 0", "done"]);
}

#[test]
fn only_what_is_tried_again_is_a_retry() {
    #[track_caller]
    fn check(answers: &[&str], expected: &[bool]) {
        let policy = Mapping { bisects_batch_on_function_error: true, ..policy() };
        let mut life = life(&policy, &[(0, 1), (0, 2)]);
        let mut retries = Vec::new();
        for answer in answers {
            let Next::Invoke(_) = life.next(0) else { break };
            retries.push(life.is_retry());
            life.ended(&outcome(answer), 0.0);
        }
        assert_eq!(retries, expected);
    }

    check(&["ok"], &[false]);
    check(&["lost", "ok"], &[false, false]);
    // Halves, each of which holds one record and cannot be split any more.
    check(&["error", "ok", "ok"], &[false, false, false]);
    check(&["error", "error", "error", "ok", "ok"], &[false, false, true, true, false]);
}
