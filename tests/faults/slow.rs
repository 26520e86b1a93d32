//! Answers that take longer than the invocation has time for.

use std::time::{Duration, Instant};

use dynamo_sink::outcome::Outcome::{Duplicate, Failed, Written};
use serde_json::json;

use crate::{
    faults::{
        batch::{Batch, seatool},
        contents, failure, run,
    },
    support::{Act, Applied, Event, Refusal, Request, TIME, handler, land},
};

const PARTIAL: (&str, &str) = ("RESPONSE_MODE", "partial");

/// Time enough to begin.
const SHORT: Duration = Duration::from_millis(1500);

#[tokio::test]
async fn without_time_nothing_is_started() {
    let batch = Batch::seatool();
    for time in [Duration::ZERO, Duration::from_millis(400)] {
        let found = run(&batch, &[], Some(time), |_| Act::Pass).await;
        assert_eq!(found.proxy.requests().len(), 0);
        assert_eq!(found.landed.summary.count(Failed), batch.expected.len());
        let text = failure(&found.landed);
        assert!(text.ends_with(" offset 100: no time was left"), "{text}");

        let found = run(&batch, &[PARTIAL], Some(time), |_| Act::Pass).await;
        let answer = found.landed.answer.unwrap();
        assert_eq!(answer.batch_item_failures.len(), batch.expected.len());
    }
}

/// The time kept for the answer grows with the number of records, each of which may have to be told.
#[tokio::test]
async fn the_more_records_the_earlier_nothing_is_started() {
    let time = Some(Duration::from_millis(1300));
    for (records, is_started) in [(100, true), (10_000, false)] {
        let value = json!({"a": 1});
        let put = |offset| seatool("KEY", 0, offset, Some(&value));
        let batch = Batch { event: Event::new((0..records).map(put)), ..Batch::inserts(0) };
        let found = run(&batch, &[PARTIAL], time, |_| Act::Pass).await;
        assert_eq!(!found.proxy.requests().is_empty(), is_started, "{records} records");
        let failed = found.landed.summary.count(Failed);
        assert_eq!(failed, if is_started { 0 } else { 10_000 });
        assert_eq!(found.landed.answer.unwrap().batch_item_failures.len(), failed);
    }
}

#[tokio::test]
async fn without_a_known_deadline_there_is_time() {
    for batch in [Batch::seatool(), Batch::appian()] {
        let hold = |_: &_| Act::Hold(Duration::from_millis(20));
        let found = run(&batch, &[], None, hold).await;
        found.landed.answer.unwrap();
        let expected: Vec<_> = batch.expected.iter().map(|(_, outcome)| *outcome).collect();
        assert_eq!(found.landed.summary.outcomes, expected);
    }
}

#[tokio::test]
async fn answers_that_do_not_come_fail_what_waits_for_them() {
    // Whether DynamoDB got the requests shows in the next attempt only.
    for (applied, outcome) in [(Applied::No, Written), (Applied::Yes, Duplicate)] {
        let batch = Batch::replacements(300);
        let time = Duration::from_millis(1200);
        let silent = move |_: &_| Act::Silence(applied);
        let answered = run(&batch, &[PARTIAL], Some(time), silent);
        // Far beyond the deadline, so that only a writer which does not heed it at all comes too late.
        let found = tokio::time::timeout(Duration::from_secs(8), answered).await.unwrap();

        // As many as an environment starts with.
        assert_eq!(found.proxy.requests().len(), 3);
        assert_eq!(found.landed.summary.count(Failed), 300);
        assert_eq!(found.landed.answer.unwrap().batch_item_failures.len(), 300);

        let mut handler = handler(&found.dynamodb.endpoint(), batch.sink, &[]).await;
        let retried = land(&mut handler, &batch.event).await;
        retried.answer.unwrap();
        assert_eq!(retried.summary.count(outcome), if outcome == Written { 300 } else { 75 });
        assert_eq!(retried.summary.count(Failed), 0);
        assert_eq!(contents(&found.dynamodb), batch.contents_without_faults("25").await);
    }
}

#[tokio::test]
async fn what_is_begun_in_time_is_ended() {
    // Each request takes 20 ms and more, and the last may start 700 ms before the end: forty of eighty at most.
    let batch = Batch::replacements(2000);
    let changes = [PARTIAL, ("DYNAMODB_MAX_CONCURRENCY", "1")];
    let hold = |_: &_| Act::Hold(Duration::from_millis(20));
    let found = run(&batch, &changes, Some(Duration::from_millis(1500)), hold).await;

    let requests = found.proxy.requests().len();
    assert!((1..=41).contains(&requests), "{requests}");
    let outcomes = &found.landed.summary.outcomes;
    let written = found.landed.summary.count(Written);
    // On a machine that stood still the last one is not awaited.
    assert!([requests, requests - 1].contains(&(written / 25)), "{written} by {requests}");
    assert_eq!(outcomes[..written], vec![Written; written]);
    assert_eq!(outcomes[written..], vec![Failed; 2000 - written]);
    let failures = found.landed.answer.unwrap().batch_item_failures;
    let offsets: Vec<i64> = failures.iter().map(|it| it.item_identifier.offset).collect();
    let records = batch.event.records[written..].iter();
    assert_eq!(offsets, records.map(|record| record.offset).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_failure_for_lack_of_time_names_what_took_it() {
    let batch = Batch::replacements(30);
    let p = async |act: fn() -> Act, cause: &str| {
        let found = run(&batch, &[], Some(SHORT), move |_| act()).await;
        assert_eq!(found.landed.summary.count(Failed), 30);
        // Delays that double leave time for six or seven attempts, and those of 50 ms for thirty.
        let retries = found.landed.summary.retries;
        assert!(retries < 30 * 14, "{retries} retries");
        let text = failure(&found.landed);
        let start = "30 of 30 records failed; the first at aws.ksqldb.seatool.agg.State_Plan-0 \
                     offset 10000: no time was left; the last attempt ended with: ";
        assert!(text.starts_with(start) && text.contains(cause), "{text}");
    };
    tokio::join!(
        p(
            || Act::Refuse(Refusal { code: "ThrottlingException", message: "slow down" }),
            "throttled by DynamoDB",
        ),
        p(
            || Act::Refuse(Refusal { code: "InternalServerError", message: "later" }),
            "InternalServerError",
        ),
        p(|| Act::Close(Applied::No), "no usable answer from DynamoDB: "),
        p(|| Act::Silence(Applied::No), "no answer from DynamoDB in time"),
        p(|| Act::Garble, "DynamoDB's answer cannot be read"),
    );
}

#[tokio::test]
async fn an_endpoint_out_of_reach_is_named() {
    let batch = Batch::replacements(3);
    // A port that was free a moment ago.
    let endpoint = batch.tables().await.endpoint();
    let mut handler = handler(&endpoint, batch.sink, &[]).await;
    let landed = handler.land(batch.event.json().as_bytes(), Some(SHORT)).await.unwrap();
    let text = failure(&landed);
    assert!(text.contains("no usable answer from DynamoDB: io error: "), "{text}");
    assert!(text.contains("onnection refused"), "{text}");
}

/// Connections that died while they were not used swallow their first requests: those cost one short time-out together.
#[tokio::test]
async fn requests_that_are_swallowed_cost_a_short_time() {
    let batch = Batch::replacements(200);
    let start = Instant::now();
    let rule = |request: &Request| match request.number {
        0..3 => Act::Silence(Applied::No),
        _ => Act::Pass,
    };
    let found = run(&batch, &[], Some(TIME), rule).await;
    found.landed.answer.unwrap();
    assert_eq!(found.landed.summary.count(Written), 200);
    let took = start.elapsed();
    assert!((Duration::from_secs(2)..Duration::from_secs(4)).contains(&took), "{took:?}");
}

/// What takes longer than the first attempt is given, 2 s, is waited for the second time.
#[tokio::test]
async fn a_second_attempt_is_given_more_time() {
    let hold = |_: &_| Act::Hold(Duration::from_millis(2500));
    let found = run(&Batch::replacements(1), &[], Some(TIME), hold).await;
    found.landed.answer.unwrap();
    assert_eq!((found.proxy.requests().len(), found.landed.summary.retries), (2, 1));
}

/// An answer that is late holds up the others of its request only.
#[tokio::test]
async fn what_is_ready_waits_no_longer_than_a_moment_for_company() {
    // Those that are found missing are inserted while one request is still in flight.
    let batch = Batch::inserts(50);
    let start = Instant::now();
    let mut inserted_after = None;
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let rule = move |request: &Request| match (request.number, request.operation.as_str()) {
        (0, _) => Act::Hold(Duration::from_millis(1500)),
        (_, "TransactWriteItems") => {
            sender.send(start.elapsed()).unwrap();
            Act::Pass
        }
        _ => Act::Pass,
    };
    let found = run(&batch, &[], Some(TIME), rule).await;
    found.landed.answer.unwrap();
    while let Ok(after) = receiver.try_recv() {
        inserted_after.get_or_insert(after);
    }
    let after = inserted_after.unwrap();
    assert!(after < Duration::from_millis(1400), "{after:?}");
    assert_eq!(found.proxy.count("TransactWriteItems"), 2);
}
