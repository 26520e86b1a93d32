//! Faults that pass: throttles, service errors, lost connections and answers, transaction conflicts.

use std::{collections::HashSet, time::Duration};

use dynamo_sink::outcome::Outcome;
use tokio::sync::oneshot;

use crate::{
    faults::{
        Run, TRANSPORTS,
        batch::{Batch, seatool},
        check_unharmed, run,
    },
    support::{Act, Applied, Event, QUARANTINE, Refusal, Request, TIME},
};

const THROTTLED: Refusal = Refusal {
    code: "ProvisionedThroughputExceededException",
    message: "The level of configured provisioned throughput for the table was exceeded",
};
const CONFLICT: Refusal =
    Refusal { code: "TransactionConflict", message: "Transaction is ongoing for the item" };

/// Every kind of request meets the fault once: each second one of the first twenty does.
async fn check(may_be_applied: bool, act: impl Fn() -> Act + Copy + Send + 'static) {
    for batch in [Batch::seatool(), Batch::appian()] {
        for statements in TRANSPORTS {
            let is_hit =
                |request: &Request| request.number < 20 && request.number.is_multiple_of(2);
            let rule = move |request: &Request| if is_hit(request) { act() } else { Act::Pass };
            let run = check_unharmed(&batch, statements, may_be_applied, rule).await;

            let summary = &run.landed.summary;
            let requests = run.proxy.requests();
            assert_eq!(summary.requests, requests.len() as u64);
            let hits = requests.iter().filter(|request| is_hit(request)).count() as u64;
            assert!(summary.retries >= hits, "{} retries of {hits}", summary.retries);
        }
    }
}

#[tokio::test]
async fn requests_that_are_throttled_are_sent_again() {
    for code in
        ["ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded"]
    {
        check(false, move || Act::Refuse(Refusal { code, message: "slow down" })).await;
    }
}

#[tokio::test]
async fn requests_that_meet_a_service_error_are_sent_again() {
    for code in ["InternalServerError", "TransactionInProgressException"] {
        check(false, move || Act::Refuse(Refusal { code, message: "later" })).await;
    }
}

#[tokio::test]
async fn requests_that_got_lost_are_sent_again() {
    check(false, || Act::Close(Applied::No)).await;
}

#[tokio::test]
async fn requests_whose_answer_got_lost_are_duplicates_at_worst() {
    check(true, || Act::Close(Applied::Yes)).await;
}

#[tokio::test]
async fn records_of_a_request_whose_answer_cannot_be_read_go_by_themselves() {
    for batch in [Batch::seatool(), Batch::appian()] {
        let rule = |request: &Request| match request.operation.as_str() {
            "BatchExecuteStatement" => Act::Garble,
            _ => Act::Pass,
        };
        let run = check_unharmed(&batch, "25", true, rule).await;

        let requests = run.proxy.count("BatchExecuteStatement");
        let statements: usize = statements_of(&run).iter().sum();
        assert!(requests > 0 && run.landed.summary.retries == statements as u64);
    }
}

#[tokio::test]
async fn records_of_a_request_that_was_not_answered_in_full_go_by_themselves() {
    // A tombstone that is newer cancels the transaction of many inserts.
    let mut cancelled = Batch::inserts(60);
    cancelled.earlier = vec![Event::new([seatool("KEY-0000", 0, 20_000, None)])];
    cancelled.expected[0].1 = Outcome::Stale;
    for (batch, operation) in [
        (Batch::seatool(), "BatchExecuteStatement"),
        (Batch::appian(), "BatchExecuteStatement"),
        (Batch::replacements(1), "BatchExecuteStatement"),
        (cancelled, "TransactWriteItems"),
    ] {
        // The transaction of one insert has two actions, and cannot become shorter.
        let rule = move |request: &Request| {
            let is_shortened = request.operation == operation && request.parts().len() != 2;
            if is_shortened { Act::Shorten } else { Act::Pass }
        };
        let run = check_unharmed(&batch, "25", true, rule).await;
        assert!(run.landed.summary.retries > 0);
    }
}

/// What stands in the way of a write is not shown with a group's answer, as if that had been too long.
#[tokio::test]
async fn records_whose_item_is_not_shown_go_by_themselves() {
    for batch in [Batch::seatool(), Batch::appian()] {
        let rule = |request: &Request| match request.operation.as_str() {
            "BatchExecuteStatement" => Act::Mute,
            "TransactWriteItems" if request.parts().len() > 2 => Act::Mute,
            _ => Act::Pass,
        };
        let run = check_unharmed(&batch, "25", false, rule).await;
        assert!(run.landed.summary.requests < 60, "{}", run.landed.summary.requests);
    }
}

#[tokio::test]
async fn each_kind_of_write_survives_the_loss_of_its_answer() {
    use Outcome::{Deleted, Duplicate, Quarantined};
    let seatool = Batch::seatool();
    let p = async |key: &str, statements: &str, request: &str, text: &str, outcome: Outcome| {
        let batch = seatool.only(key);
        let (operation, text) = (request.to_owned(), text.to_owned());
        let mut is_lost = false;
        let rule = move |request: &Request| {
            if is_lost || request.operation != operation || !request.has(&text) {
                return Act::Pass;
            }
            is_lost = true;
            Act::Close(Applied::Yes)
        };
        let run = check_unharmed(&batch, statements, true, rule).await;
        let summary = &run.landed.summary;
        assert_eq!(summary.outcomes.last(), Some(&outcome), "{key} by {request} {statements}");
        assert_eq!((summary.retries, summary.throttles), (1, 0), "{key} by {request}");
        run
    };

    // Puts: by a statement, by a call, on what was seen, as an insert.
    p("KEY-replaced", "25", "BatchExecuteStatement", "UPDATE", Duplicate).await;
    p("KEY-replaced", "1", "PutItem", "", Duplicate).await;
    p("KEY-reshaped", "25", "PutItem", "", Duplicate).await;
    p("KEY-earlier", "25", "PutItem", "", Duplicate).await;
    p("KEY-moved", "25", "PutItem", "", Duplicate).await;
    for statements in TRANSPORTS {
        p("KEY-new", statements, "TransactWriteItems", "", Duplicate).await;
        p("KEY-back", statements, "TransactWriteItems", "", Duplicate).await;
        p("KEY-moved-back", statements, "TransactWriteItems", "= :offset", Duplicate).await;
    }
    // Tombstones: new ones, in the place of an older one, in the place of another lineage's.
    p("KEY-deleted", "25", "BatchExecuteStatement", "INSERT", Duplicate).await;
    p("KEY-deleted", "1", "PutItem", "", Duplicate).await;
    p("KEY-deleted-again", "25", "BatchExecuteStatement", "UPDATE", Duplicate).await;
    p("KEY-moved-deleted", "25", "PutItem", "", Duplicate).await;
    // Deletes, of a known state and of an earlier writer's.
    p("KEY-deleted", "25", "BatchExecuteStatement", "DELETE", Deleted).await;
    p("KEY-deleted", "1", "DeleteItem", "", Deleted).await;
    p("KEY-earlier-deleted", "25", "DeleteItem", "", Deleted).await;
    // The quarantine: the only trace of it is the number of attempts.
    for (key, text, attempts) in [
        ("KEY-rejected", "attempts", "2"),
        ("KEY-rejected-large", "#0000", "1"),
        ("KEY-rejected-large", "#0001", "1"),
        ("KEY-rejected-large", "attempts", "2"),
    ] {
        let run = p(key, "25", "UpdateItem", text, Quarantined).await;
        let found = run.dynamodb.items(QUARANTINE);
        assert_eq!(found[0]["attempts"]["N"], attempts, "{key} by {text}");
    }
}

#[tokio::test]
async fn statements_that_are_throttled_share_requests_again() {
    for code in ["ProvisionedThroughputExceeded", "ThrottlingError", "RequestLimitExceeded"] {
        let batch = Batch::replacements(50);
        let refusal = Refusal { code, message: "slow down" };
        let rule = move |request: &Request| match request.number {
            0 => Act::RefuseStatements((0..25).map(|at| (at, refusal)).step_by(2).collect()),
            _ => Act::Pass,
        };
        let run = check_unharmed(&batch, "25", false, rule).await;

        assert_eq!(run.landed.summary.throttles, 13);
        assert_eq!(run.landed.summary.retries, 13);
        assert_eq!(statements_of(&run), [25, 25, 13]);
    }
}

#[tokio::test]
async fn requests_that_are_throttled_keep_together() {
    for refusal in [THROTTLED, Refusal { code: "InternalServerError", message: "later" }] {
        let batch = Batch::replacements(25);
        let rule = move |request: &Request| {
            if request.number < 3 { Act::Refuse(refusal) } else { Act::Pass }
        };
        let run = check_unharmed(&batch, "25", false, rule).await;

        // Each of its statements counts.
        let throttles = if refusal == THROTTLED { 75 } else { 0 };
        assert_eq!(run.landed.summary.throttles, throttles);
        assert_eq!(run.landed.summary.retries, 75);
        assert_eq!(statements_of(&run), [25, 25, 25, 25]);
    }
}

#[tokio::test]
async fn other_troubles_of_single_statements_are_retried_too() {
    for code in ["InternalServerError", "TransactionConflict", "ThrottlingError"] {
        for batch in [Batch::seatool(), Batch::appian()] {
            let refusal = Refusal { code, message: "later" };
            let rule = move |request: &Request| match request.operation.as_str() {
                "BatchExecuteStatement" if request.number < 8 => Act::RefuseStatements(
                    (0..request.parts().len()).map(|at| (at, refusal)).step_by(3).collect(),
                ),
                _ => Act::Pass,
            };
            let run = check_unharmed(&batch, "25", false, rule).await;
            assert!(run.landed.summary.retries > 0);
            assert_eq!(run.landed.summary.throttles > 0, code == "ThrottlingError");
        }
    }
}

#[tokio::test]
async fn throttling_lowers_the_number_of_requests_in_flight() {
    let throttle_all = || Act::Refuse(THROTTLED);
    check_lowered("1", 32, 8, throttle_all).await;
    check_lowered("25", 32 * 25, 8 * 25, throttle_all).await;
    // A request of which only a part is throttled counts as a throttled one, and as one that succeeded.
    let throttle_one = || {
        let refusal = Refusal { code: "ThrottlingError", message: "slow down" };
        Act::RefuseStatements(vec![(3, refusal)])
    };
    check_lowered("25", 32 * 25, 8, throttle_one).await;
}

/// The first five requests widen three in flight to eight. These are throttled once all of them are there; then fewer
/// must be in flight.
async fn check_lowered(
    statements: &str,
    records: usize,
    throttles: u64,
    act: impl Fn() -> Act + Send + 'static,
) {
    let batch = Batch::replacements(records);
    let changes =
        [("DYNAMODB_STATEMENTS_PER_REQUEST", statements), ("DYNAMODB_MAX_CONCURRENCY", "8")];
    let mut waiting: Vec<oneshot::Sender<()>> = Vec::new();
    let rule = move |request: &Request| {
        if !(5..13).contains(&request.number) {
            return Act::After(Duration::from_millis(10), Box::new(Act::Pass));
        }
        let (sender, receiver) = oneshot::channel();
        waiting.push(sender);
        if waiting.len() == 8 {
            waiting.clear();
        }
        Act::Await(receiver, Box::new(act()))
    };
    let run = run(&batch, &changes, Some(TIME), rule).await;

    run.landed.answer.unwrap();
    assert_eq!(run.landed.summary.count(Outcome::Written), records);
    assert_eq!(run.landed.summary.throttles, throttles);
    let requests = run.proxy.requests();
    assert_eq!(requests[12].in_flight, 8);
    // Half of eight, which up to fifteen successes raise to six and a half at most.
    let after: Vec<usize> = requests[13..21].iter().map(|request| request.in_flight).collect();
    assert!(after.iter().all(|in_flight| *in_flight <= 6), "{after:?}");
}

#[tokio::test]
async fn an_insert_that_conflicts_does_not_hold_up_its_group() {
    for refusal in [CONFLICT, Refusal { code: "ThrottlingError", message: "slow down" }] {
        // Each insert has a put and a check of its tombstone: either may conflict.
        for action in [0, 1] {
            let batch = Batch::inserts(5);
            let mut hits = 0;
            let rule = move |request: &Request| match request.operation.as_str() {
                "TransactWriteItems" if hits < 3 && request.has("KEY-0002") => {
                    hits += 1;
                    Act::Cancel(vec![(request.parts_with("KEY-0002")[action], refusal)])
                }
                _ => Act::Pass,
            };
            let run = check_unharmed(&batch, "25", false, rule).await;

            let transactions = transactions_of(&run);
            assert_eq!(transactions[0].len(), 5);
            // The other four go again at once; a very short wait may let the fifth catch up with them once.
            let others = transactions.iter().filter(|keys| keys.contains("KEY-0001")).count();
            assert!((2..=3).contains(&others), "{transactions:?}");
            assert!(run.landed.summary.retries >= 7);
            let is_throttle = refusal.code == "ThrottlingError";
            assert_eq!(run.landed.summary.throttles, if is_throttle { 3 } else { 0 });
        }
    }
}

#[tokio::test]
async fn a_transaction_that_is_cancelled_without_a_reason_is_sent_again() {
    let batch = Batch::inserts(5);
    let mut is_hit = false;
    let rule = move |request: &Request| {
        if is_hit || request.operation != "TransactWriteItems" {
            return Act::Pass;
        }
        is_hit = true;
        Act::Cancel(Vec::new())
    };
    let run = check_unharmed(&batch, "25", false, rule).await;
    assert_eq!(transactions_of(&run).iter().map(HashSet::len).collect::<Vec<_>>(), [5, 5]);
}

#[tokio::test]
async fn a_group_that_is_refused_as_a_whole_is_split() {
    let refusal = Refusal { code: "ValidationException", message: "Transaction is too large" };
    let refuse = move |operation: &'static str| {
        move |request: &Request| {
            let is_group = request.operation == operation
                && request.has("KEY-0000")
                && request.has("KEY-0001");
            if is_group { Act::Refuse(refusal) } else { Act::Pass }
        }
    };
    let run = check_unharmed(&Batch::inserts(5), "25", false, refuse("TransactWriteItems")).await;
    let sizes: Vec<usize> = transactions_of(&run).iter().map(HashSet::len).collect();
    assert_eq!(sizes, [5, 1, 1, 1, 1, 1]);

    let batch = Batch::replacements(5);
    let run = check_unharmed(&batch, "25", false, refuse("BatchExecuteStatement")).await;
    assert_eq!(statements_of(&run), [5]);
    assert_eq!(run.proxy.count("PutItem"), 5);
}

#[tokio::test]
async fn a_statement_that_is_refused_as_a_whole_goes_by_a_call_of_its_own() {
    let refusal = Refusal { code: "ValidationException", message: "Request is too large" };
    for batch in [Batch::replacements(1), Batch::seatool().only("KEY-deleted")] {
        let rule = move |request: &Request| match request.operation.as_str() {
            "BatchExecuteStatement" => Act::Refuse(refusal),
            _ => Act::Pass,
        };
        check_unharmed(&batch, "25", false, rule).await;
    }
}

/// The number of statements of each batch, in the order of the requests.
fn statements_of(run: &Run) -> Vec<usize> {
    let requests = run.proxy.requests();
    let batches = requests.iter().filter(|it| it.operation == "BatchExecuteStatement");
    batches.map(|request| request.parts().len()).collect()
}

/// The keys of each transaction's inserts, in the order of the requests.
fn transactions_of(run: &Run) -> Vec<HashSet<String>> {
    let requests = run.proxy.requests();
    let transactions = requests.iter().filter(|it| it.operation == "TransactWriteItems");
    let key = |part: &serde_json::Value| part["Put"]["Item"]["PK"]["S"].as_str().map(str::to_owned);
    transactions.map(|request| request.parts().iter().filter_map(key).collect()).collect()
}
