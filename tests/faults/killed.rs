//! Invocations that are killed between any two of their requests, after which Lambda delivers the batch again.

use std::time::Duration;

use dynamo_sink::outcome::Outcome;
use serde_json::Value;

use crate::{
    faults::{TRANSPORTS, batch::Batch, contents},
    support::{Act, Applied, Proxy, QUARANTINE, TIME, TestDynamoDb, handler},
};

#[tokio::test]
async fn a_killed_invocation_is_mended_by_the_next() {
    for batch in [Batch::seatool(), Batch::appian()] {
        for statements in TRANSPORTS {
            let expected = batch.contents_without_faults(statements).await;
            let changes = [
                ("DYNAMODB_STATEMENTS_PER_REQUEST", statements),
                // One request after the other, so that each one is a last one.
                ("DYNAMODB_MAX_CONCURRENCY", "1"),
            ];
            for applied in [Applied::No, Applied::Yes] {
                for requests in 0.. {
                    let dynamodb = batch.tables().await;
                    let is_killed =
                        land_until(&batch, &dynamodb, &changes, requests, applied).await;
                    check_heads(&dynamodb);
                    let mut handler = handler(&dynamodb.endpoint(), batch.sink, &changes).await;
                    let again =
                        handler.land(batch.event.json().as_bytes(), Some(TIME)).await.unwrap();

                    again.answer.unwrap();
                    assert_eq!(again.summary.count(Outcome::Failed), 0);
                    assert_eq!(
                        contents(&dynamodb),
                        expected,
                        "killed after {requests} {applied:?}"
                    );
                    for item in dynamodb.items(QUARANTINE) {
                        let attempts = item["attempts"]["N"].as_str();
                        assert!([None, Some("1"), Some("2")].contains(&attempts));
                    }
                    if !is_killed {
                        assert!(requests > 5, "{requests} requests");
                        break;
                    }
                }
            }
        }
    }
}

/// A head in the quarantine stands for all its parts, whoever looks and whenever.
#[track_caller]
fn check_heads(dynamodb: &TestDynamoDb) {
    let items = dynamodb.items(QUARANTINE);
    for head in items.iter().filter(|item| item["attempts"]["N"].is_string()) {
        let parts = format!("{}#", head["SK"]["S"].as_str().unwrap());
        let is_part = |item: &&Value| item["SK"]["S"].as_str().unwrap().starts_with(&parts);
        let found = items.iter().filter(is_part).count();
        assert_eq!(head["parts"]["N"], found.to_string());
    }
}

/// Lands the batch with a handler that vanishes once it has been answered so many requests and sent one more; false
/// where it does not send so many.
async fn land_until(
    batch: &Batch,
    dynamodb: &TestDynamoDb,
    changes: &[(&str, &str)],
    requests: usize,
    applied: Applied,
) -> bool {
    let proxy = Proxy::start(dynamodb, move |request| {
        if request.number < requests { Act::Pass } else { Act::Silence(applied) }
    })
    .await;
    let mut handler = handler(&proxy.endpoint(), batch.sink, changes).await;
    let event = batch.event.json();
    tokio::select! {
        landed = handler.land(event.as_bytes(), Some(TIME)) => {
            landed.unwrap().answer.unwrap();
            false
        }
        () = proxy.silence() => true,
    }
}

/// The same with as many requests in flight as there usually are: which of them are applied is then left to chance.
#[tokio::test]
async fn a_killed_invocation_leaves_several_requests_behind() {
    let batch = Batch::seatool();
    for statements in TRANSPORTS {
        let expected = batch.contents_without_faults(statements).await;
        let changes = [("DYNAMODB_STATEMENTS_PER_REQUEST", statements)];
        for requests in 0..16 {
            let dynamodb = batch.tables().await;
            let proxy = Proxy::start(&dynamodb, move |request| {
                let pass_slowly = Act::After(Duration::from_millis(1), Box::new(Act::Pass));
                match request.number.cmp(&requests) {
                    std::cmp::Ordering::Less => pass_slowly,
                    std::cmp::Ordering::Equal => Act::Silence(Applied::Yes),
                    std::cmp::Ordering::Greater => {
                        Act::After(Duration::from_millis(1), Box::new(Act::Silence(Applied::Yes)))
                    }
                }
            })
            .await;
            let mut killed = handler(&proxy.endpoint(), batch.sink, &changes).await;
            let event = batch.event.json();
            tokio::select! {
                _ = killed.land(event.as_bytes(), Some(TIME)) => {}
                () = proxy.silence() => {}
            }
            // The proxy lives on: what the killed one had sent may still arrive beside the next one's requests.
            let mut next = handler(&dynamodb.endpoint(), batch.sink, &changes).await;
            let again = next.land(event.as_bytes(), Some(TIME)).await.unwrap();
            again.answer.unwrap();
            assert_eq!(contents(&dynamodb), expected, "killed after {requests}");
        }
    }
}
