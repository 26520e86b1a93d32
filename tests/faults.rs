//! Faults of DynamoDB and of the way to it: whatever breaks, the tables end right, nothing is lost, and what the answer
//! and the counts say is so.

/// Faults that pass: throttles, service errors, lost connections and answers, transaction conflicts.
mod passing;

/// Requests that DynamoDB takes for no caller's: its clock is another, a signature broke, credentials expired.
mod signatures;

/// HTTP connections that are dead, and requests that are too large for what stands before DynamoDB.
mod connections;

/// Faults of the system: they are waited for, and end the invocation when they last.
mod system;

/// Refusals of single records.
mod refused;

/// Looks that do not come about, or show little.
mod looks;

/// Faults of one table, and the counts that tell of them.
mod tables;

/// Answers that take longer than the invocation has time for.
mod slow;

/// Invocations that are killed between any two of their requests.
mod killed;

/// Two invocations at one time on one partition.
mod overlapping;

/// The batch that most of these tests send: it makes every kind of request.
mod batch;

use std::time::Duration;

use dynamo_sink::{
    handler::{Handled, InvocationError},
    outcome::Outcome,
};
use serde_json::Value;

use crate::{
    faults::batch::Batch,
    support::{
        APPIAN, Act, Proxy, QUARANTINE, Request, SEATOOL, TIME, TOMBSTONES, TestDynamoDb, handler,
    },
};

/// Both transports.
const TRANSPORTS: [&str; 2] = ["25", "1"];

/// What landing a batch through a proxy came to.
struct Run {
    dynamodb: TestDynamoDb,
    proxy: Proxy,
    landed: Handled,
}

/// Lands `batch` through a proxy with this rule, in tables as the batch wants to find them.
async fn run(
    batch: &Batch,
    changes: &[(&str, &str)],
    time: Option<Duration>,
    rule: impl FnMut(&Request) -> Act + Send + 'static,
) -> Run {
    let dynamodb = batch.tables().await;
    let proxy = Proxy::start(&dynamodb, rule).await;
    let mut handler = handler(&proxy.endpoint(), batch.sink, changes).await;
    let landed = handler.land(batch.event.json().as_bytes(), time).await.unwrap();
    Run { dynamodb, proxy, landed }
}

/// Lands `batch` through a proxy with this rule, in the time that any batch has. The tables must end as they do without
/// faults and no record may fail. Where a request may have been `applied` though its answer was lost, a record may
/// count as a duplicate of itself.
async fn check_unharmed(
    batch: &Batch,
    statements: &str,
    may_be_applied: bool,
    rule: impl FnMut(&Request) -> Act + Send + 'static,
) -> Run {
    let changes = [("DYNAMODB_STATEMENTS_PER_REQUEST", statements)];
    let run = run(batch, &changes, Some(TIME), rule).await;
    run.landed.answer.as_ref().unwrap();
    for ((key, expected), found) in batch.expected.iter().zip(&run.landed.summary.outcomes) {
        let is_own_duplicate = may_be_applied
            && *found == Outcome::Duplicate
            && [Outcome::Written, Outcome::Deleted].contains(expected);
        assert!(found == expected || is_own_duplicate, "{key}: {found:?}, not {expected:?}");
    }
    assert_eq!(contents(&run.dynamodb), batch.contents_without_faults(statements).await);
    run
}

/// All tables, without what depends on the time and on the number of attempts.
fn contents(dynamodb: &TestDynamoDb) -> Vec<Value> {
    let mut contents = Vec::new();
    for table in [APPIAN, SEATOOL, TOMBSTONES, QUARANTINE] {
        for mut item in dynamodb.items(table) {
            let members = item.as_object_mut().unwrap();
            for name in ["expiresAt", "firstSeen", "attempts"] {
                members.remove(name);
            }
            contents.push(item);
        }
    }
    contents
}

/// An invocation's failure as Lambda is told of it: the error with all its causes. No record's data may be in it.
#[track_caller]
fn failure(landed: &Handled) -> String {
    let error: &InvocationError = landed.answer.as_ref().unwrap_err();
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    assert!(!batch::has_data(&text), "data of a record in: {text}");
    text
}
