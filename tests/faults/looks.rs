//! Looks that do not come about, or show little: they hold up nothing, and decide nothing.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use dynamo_sink::outcome::Outcome::{self, Duplicate, Stale, Written};
use serde_json::json;

use crate::{
    faults::batch::{appian, seatool},
    support::{
        Act, Applied, Event, Proxy, Record, Refusal, Request, TestDynamoDb, dynamodb, handler,
        is_aws_local, land,
    },
};

const LOOK: &str = "BatchGetItem";

/// Records, half of which changed nothing when they came before.
const RECORDS: i64 = 200;

/// A handler that has learnt to look gets a batch, one half of which it has seen, while all looks fare like this; says
/// whether the next batch looks, as if nothing had been.
async fn check(
    record: impl Fn(i64, i64) -> Record,
    act: impl Fn() -> Act + Send + 'static,
    looks_again: bool,
) {
    let dynamodb = dynamodb().await;
    let is_on = Arc::new(AtomicBool::new(false));
    let acts = Arc::clone(&is_on);
    let rule = move |request: &Request| match request.operation.as_str() {
        LOOK if acts.load(Ordering::Relaxed) => act(),
        _ => Act::Pass,
    };
    let proxy = Proxy::start(&dynamodb, rule).await;
    let is_seatool = record(0, 0).key.is_some();
    let sink = if is_seatool { sink_seatool_data::SINK } else { sink_appian_data::SINK };
    let mut handler = handler(&proxy.endpoint(), sink, &[]).await;
    let event = |time: fn(i64) -> i64| Event::new((0..RECORDS).map(|key| record(key, time(key))));
    let mut looks = 0;
    let mut land = async |event: &Event, expected: &[Outcome]| {
        let landed = land(&mut handler, event).await;
        landed.answer.unwrap();
        // On a machine that stood still, a request that was late is sent again.
        let is_met = |(found, expected): (&Outcome, &Outcome)| {
            found == expected || (*found, *expected) == (Duplicate, Written)
        };
        assert!(landed.summary.outcomes.iter().zip(expected).all(is_met));
        let before = std::mem::replace(&mut looks, proxy.count(LOOK));
        looks - before
    };
    let all = |outcome| vec![outcome; usize::try_from(RECORDS).unwrap()];

    let first = event(|key| key);
    land(&first, &all(Written)).await;
    land(&first, &all(Duplicate)).await;
    let n_looks = land(&first, &all(Duplicate)).await;
    assert!(n_looks > 0 || is_aws_local(), "it has learnt to look");

    is_on.store(true, Ordering::Relaxed);
    let half = event(|key| if key % 2 == 0 { key } else { RECORDS + key });
    let outcomes: Vec<_> =
        (0..RECORDS).map(|key| if key % 2 == 0 { Duplicate } else { Written }).collect();
    assert!(land(&half, &outcomes).await > 0 || is_aws_local());
    assert_eq!(stored(&dynamodb, is_seatool), usize::try_from(RECORDS).unwrap());

    is_on.store(false, Ordering::Relaxed);
    let n_looks = land(&half, &all(Duplicate)).await;
    // Where DynamoDB is slow, a look that would have come about may have been given up.
    assert!(n_looks > 0 || !looks_again || is_aws_local());
    assert!(n_looks == 0 || looks_again);
    let old: Vec<_> =
        (0..RECORDS).map(|key| if key % 2 == 0 { Duplicate } else { Stale }).collect();
    land(&first, &old).await;
}

fn stored(dynamodb: &TestDynamoDb, is_seatool: bool) -> usize {
    let table = if is_seatool { crate::support::SEATOOL } else { crate::support::APPIAN };
    dynamodb.items(table).len()
}

/// Both sinks, since one has tombstones to look at and the other has not.
async fn check_both(act: impl Fn() -> Act + Clone + Send + 'static, looks_again: bool) {
    let value = json!({"a": "VALUE"});
    let state = |key: i64, offset| seatool(&format!("KEY-{key}"), 0, offset, Some(&value));
    let row = |key: i64, time| appian(&format!("KEY-{key}"), time, time, json!({"a": "VALUE"}));
    tokio::join!(check(state, act.clone(), looks_again), check(row, act, looks_again));
}

#[tokio::test]
async fn what_a_look_does_not_show_goes_the_usual_way() {
    let refused = |code| {
        let refusal = Refusal { code, message: "VALUE" };
        move || Act::Refuse(refusal)
    };
    check_both(|| Act::LeaveOut, true).await;
    check_both(|| Act::Garble, false).await;
    check_both(|| Act::Status(413), false).await;
    check_both(|| Act::Close(Applied::Yes), false).await;
    check_both(|| Act::Silence(Applied::No), false).await;
    for code in [
        "ProvisionedThroughputExceededException",
        "InternalServerError",
        "ExpiredTokenException",
        "AccessDeniedException",
        "ValidationException",
    ] {
        check_both(refused(code), false).await;
    }
}

/// Looks that are not answered end the looking: what waits for its look is written without.
#[tokio::test]
async fn looks_that_hang_hold_up_nothing() {
    let dynamodb = dynamodb().await;
    let rule = |request: &Request| match request.operation.as_str() {
        LOOK => Act::Silence(Applied::No),
        _ => Act::Pass,
    };
    let proxy = Proxy::start(&dynamodb, rule).await;
    let event = |step: i64| {
        let value = json!({"a": "VALUE"});
        let state =
            |key: i64| seatool(&format!("KEY-{key}"), 0, key + 2000 * (key % step), Some(&value));
        Event::new((0..2000).map(state))
    };
    let mut first = handler(&dynamodb.endpoint(), sink_seatool_data::SINK, &[]).await;
    land(&mut first, &event(1)).await.answer.unwrap();

    let mut handler = handler(&proxy.endpoint(), sink_seatool_data::SINK, &[]).await;
    let landed = land(&mut handler, &event(2)).await;
    landed.answer.unwrap();
    assert_eq!(landed.summary.count(Outcome::Failed), 0);
    // Those that were in flight when the first of them was given up.
    assert!((1..=12).contains(&proxy.count(LOOK)), "{}", proxy.count(LOOK));
}
