//! Faults of one table: the counts that say whether rejections or tombstones could not be stored.

use std::time::Duration;

use dynamo_sink::outcome::Outcome::{Failed, Quarantined};
use serde_json::{Value, json};

use crate::{
    faults::{
        TRANSPORTS,
        batch::{Batch, seatool},
        run,
    },
    support::{
        Act, Applied, Event, QUARANTINE, Refusal, Request, SEATOOL, TIME, TOMBSTONES, dynamodb,
        handler, land,
    },
};

/// Of the records of [`Batch::seatool`]: those that are rejected, that delete, and that insert.
const REJECTED: usize = 2;
const DELETES: usize = 4;
const INSERTS: usize = 4;

/// Time enough to begin.
const SHORT: Duration = Duration::from_millis(1500);

/// How a table refuses: the code on a request, and on a part of one.
#[derive(Clone, Copy, Debug)]
struct Trouble {
    code: &'static str,
    part_code: &'static str,
    message: &'static str,
    /// How long the batch has.
    time: Duration,
}

/// Is asked about for as long as there is time.
const FAULT: Trouble = Trouble {
    code: "AccessDeniedException",
    part_code: "AccessDenied",
    message: "not authorized",
    time: SHORT,
};

/// Fails what it meets.
const DOUBT: Trouble = Trouble {
    code: "ValidationException",
    part_code: "ValidationError",
    message: "One or more parameter values were invalid",
    time: TIME,
};

/// Is tried again for as long as there is time.
const THROTTLE: Trouble = Trouble {
    code: "ThrottlingException",
    part_code: "ThrottlingError",
    message: "slow down",
    time: SHORT,
};

/// Refuses whatever asks this table for something, and nothing else.
fn refuse(table: &'static str, trouble: Trouble) -> impl Fn(&Request) -> Act + Clone + Send {
    let Trouble { code, part_code, message, .. } = trouble;
    move |request| {
        let parts = request.parts().iter().enumerate();
        let parts = parts.filter(|(_, part)| is_part_for(part, table));
        let parts: Vec<(usize, Refusal)> =
            parts.map(|(at, _)| (at, Refusal { code: part_code, message })).collect();
        match request.operation.as_str() {
            "BatchExecuteStatement" => Act::RefuseStatements(parts),
            "TransactWriteItems" if !parts.is_empty() => Act::Cancel(parts),
            _ if request.body["TableName"] == table => Act::Refuse(Refusal { code, message }),
            _ => Act::Pass,
        }
    }
}

/// Whether a statement or an action is for this table, whose name may be the start of another's.
fn is_part_for(part: &Value, table: &str) -> bool {
    let quoted = format!("\"{table}\"");
    part["Statement"].as_str().is_some_and(|statement| statement.contains(&quoted))
        || ["Put", "ConditionCheck"].iter().any(|action| part[action]["TableName"] == table)
}

/// Lands a batch, one request in flight at a time, and checks how many records count as failed by the quarantine and by
/// the tombstones.
async fn check(
    batch: &Batch,
    time: Duration,
    statements: &str,
    rule: impl Fn(&Request) -> Act + Send + 'static,
    (quarantine_failed, tombstone_failed): (usize, usize),
) {
    let changes =
        [("DYNAMODB_STATEMENTS_PER_REQUEST", statements), ("DYNAMODB_MAX_CONCURRENCY", "1")];
    let summary = run(batch, &changes, Some(time), rule).await.landed.summary;
    assert_eq!(
        (summary.quarantine_failed, summary.tombstone_failed),
        (quarantine_failed, tombstone_failed),
        "{summary:?}"
    );
    assert!(quarantine_failed + tombstone_failed <= summary.count(Failed), "{summary:?}");
}

/// As [`check`], of a table that refuses everything.
async fn check_table(table: &'static str, trouble: Trouble, expected: (usize, usize)) {
    for statements in TRANSPORTS {
        let rule = refuse(table, trouble);
        check(&Batch::seatool(), trouble.time, statements, rule, expected).await;
    }
}

#[tokio::test]
async fn records_that_the_quarantine_does_not_take_are_counted() {
    for trouble in [FAULT, DOUBT, THROTTLE] {
        check_table(QUARANTINE, trouble, (REJECTED, 0)).await;
    }
    for statements in TRANSPORTS {
        let rule = |request: &Request| match request.operation.as_str() {
            "UpdateItem" => Act::Silence(Applied::No),
            _ => Act::Pass,
        };
        let only_rejected = Batch::seatool().only("KEY-rejected");
        check(&only_rejected, SHORT, statements, rule, (1, 0)).await;
    }
}

#[tokio::test]
async fn records_whose_tombstone_is_not_stored_or_checked_are_counted() {
    for trouble in [FAULT, DOUBT, THROTTLE] {
        check_table(TOMBSTONES, trouble, (0, DELETES + INSERTS)).await;
    }
}

#[tokio::test]
async fn the_items_own_trouble_is_none_of_the_other_tables() {
    for trouble in [FAULT, DOUBT, THROTTLE] {
        check_table(SEATOOL, trouble, (0, 0)).await;
    }
    for statements in TRANSPORTS {
        // What was never sent for lack of time has met no trouble.
        check(&Batch::seatool(), Duration::ZERO, statements, |_| Act::Pass, (0, 0)).await;
        check(&Batch::seatool(), TIME, statements, |_| Act::Pass, (0, 0)).await;
    }
}

/// Which table it is that cannot be reached does not show: what counts is what was asked for.
#[tokio::test]
async fn an_endpoint_out_of_reach_counts_for_each_table() {
    let delete = Batch::seatool().only("KEY-deleted");
    let rejected = Batch::seatool().only("KEY-rejected");
    let put = Batch::seatool().only("KEY-new");
    for statements in TRANSPORTS {
        for (batch, expected) in [(&delete, (0, 1)), (&rejected, (1, 0)), (&put, (0, 0))] {
            check(batch, SHORT, statements, |_| Act::Close(Applied::No), expected).await;
        }
    }
}

#[tokio::test]
async fn what_a_delete_supersedes_counts_with_it() {
    let value = json!({"a": "VALUE"});
    let put = |key: &str, offset| seatool(key, 0, offset, Some(&value));
    let batch = Batch {
        event: Event::new([
            put("KEY", 1),
            put("KEY-other", 2),
            seatool("KEY", 0, 3, None),
            // Another lineage is a write of its own, which is not superseded.
            seatool("KEY", 1, 9, Some(&value)),
        ]),
        earlier: vec![Event::new([put("KEY", 0), put("KEY-other", 0)])],
        ..Batch::inserts(0)
    };
    for statements in TRANSPORTS {
        check(&batch, TIME, statements, refuse(TOMBSTONES, DOUBT), (0, 2)).await;
        check(&batch, TIME, statements, refuse(SEATOOL, DOUBT), (0, 0)).await;
    }
}

#[tokio::test]
async fn a_tombstone_that_is_not_ours_counts() {
    for statements in TRANSPORTS {
        for value in [None, Some(json!({"a": "VALUE"}))] {
            let dynamodb = dynamodb().await;
            let key = json!({"S": "KEY"});
            dynamodb.put(TOMBSTONES, &json!({"PK": key, "SK": key, "version": {"N": "1"}}));
            let settings = [("DYNAMODB_STATEMENTS_PER_REQUEST", statements)];
            let sink = sink_seatool_data::SINK;
            let mut handler = handler(&dynamodb.endpoint(), sink, &settings).await;
            let event = Event::new([seatool("KEY", 0, 1, value.as_ref())]);
            let summary = land(&mut handler, &event).await.summary;
            assert_eq!(summary.outcomes, [Failed]);
            assert_eq!((summary.quarantine_failed, summary.tombstone_failed), (0, 1));
        }
    }
}

/// Attempts don't count: only what a batch ends with does.
#[tokio::test]
async fn trouble_that_passes_does_not_count() {
    for table in [QUARANTINE, TOMBSTONES] {
        for statements in TRANSPORTS {
            let refuse = refuse(table, Trouble { time: TIME, ..THROTTLE });
            let rule = move |request: &Request| {
                if request.number < 12 { refuse(request) } else { Act::Pass }
            };
            check(&Batch::seatool(), TIME, statements, rule, (0, 0)).await;
        }
    }
}

/// The quarantine goes on while another table is at fault.
#[tokio::test]
async fn the_fault_of_one_table_does_not_count_for_another() {
    let batch = Batch::seatool();
    let run = run(&batch, &[("DYNAMODB_MAX_CONCURRENCY", "1")], Some(SHORT), |request| {
        if request.body["TableName"] == QUARANTINE {
            return Act::Pass;
        }
        Act::Refuse(Refusal { code: FAULT.code, message: FAULT.message })
    })
    .await;
    let summary = run.landed.summary;
    assert_eq!(summary.count(Quarantined), REJECTED, "{summary:?}");
    assert_eq!(summary.count(Failed), batch.expected.len() - REJECTED, "{summary:?}");
    assert_eq!(summary.quarantine_failed, 0);
}

/// Records that can be written go before those that are rejected, and whatever the quarantine does slows none of them.
#[tokio::test]
async fn good_records_go_first() {
    let mut batch = Batch::replacements(100);
    let rejected = seatool("KEY-rejected", 0, 1, Some(&json!(["VALUE"])));
    batch.event.records.insert(0, rejected);
    batch.expected.insert(0, ("KEY-rejected", Quarantined));
    let throttle = refuse(QUARANTINE, THROTTLE);
    let run =
        run(
            &batch,
            &[("DYNAMODB_MAX_CONCURRENCY", "1")],
            Some(SHORT),
            move |request| match throttle(request) {
                Act::Refuse(refusal) => Act::Refuse(refusal),
                act => Act::After(Duration::from_millis(20), Box::new(act)),
            },
        )
        .await;
    assert_eq!(run.landed.summary.count(Failed), 1);
    let requests = run.proxy.requests();
    let first = requests.iter().position(|request| request.operation == "UpdateItem").unwrap();
    // It may start together with the last of the others.
    assert!(first >= 3, "{first}");
}
