//! Faults of the system: access denied, a missing table and the like. They are asked about as long as there is time,
//! while records of other tables go on, and fail the invocation when they last.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use dynamo_sink::{
    handler::InvocationError,
    outcome::Outcome::{self, Failed, Quarantined, Written},
};
use serde_json::Value;

use crate::{
    faults::{Run, TRANSPORTS, batch::Batch, check_unharmed, failure, run},
    support::{APPIAN, Act, QUARANTINE, Refusal, Request, SEATOOL, TOMBSTONES},
};

const DENIED: &str = "User: arn:aws:sts::123456789012:assumed-role/sink/sink is not authorized to perform: dynamodb:PutItem";

/// Time enough to ask several times.
const SHORT: Duration = Duration::from_secs(2);

/// Lands `batch` where the system refuses what a rule picks for ever: the time is used, and then the cause told.
async fn check_lasting(
    batch: &Batch,
    statements: &str,
    written: usize,
    cause: &str,
    rule: impl FnMut(&Request) -> Act + Clone + Send + 'static,
) {
    for mode in ["batch", "partial"] {
        let changes = [("DYNAMODB_STATEMENTS_PER_REQUEST", statements), ("RESPONSE_MODE", mode)];
        let start = Instant::now();
        let run = run(batch, &changes, Some(SHORT), rule.clone()).await;
        assert!(start.elapsed() > SHORT / 2, "it gave up after {:?}", start.elapsed());

        let received = batch.expected.len();
        let failed = received - written;
        let text = format!(
            "{failed} of {received} records failed, because something around the function is wrong: {cause}"
        );
        assert_eq!(failure(&run.landed), text);
        assert!(matches!(run.landed.answer, Err(InvocationError::SystemFault { .. })));
        assert_eq!(run.landed.summary.count(Written), written);
        assert_eq!(run.landed.summary.count(Failed), failed);
        assert_eq!(run.dynamodb.items(QUARANTINE), Vec::<Value>::new());
        check_questions(&run);
    }
}

/// After the requests that were on their way when the fault showed there is one at a time, and not many.
#[track_caller]
fn check_questions(run: &Run) {
    let requests = run.proxy.requests();
    let questions: Vec<usize> = requests.iter().skip(8).map(|request| request.in_flight).collect();
    assert!(questions.len() < 40, "{} questions", questions.len());
    assert!(requests.len() > 1);
    assert!(questions.iter().all(|in_flight| *in_flight == 1), "{questions:?}");
}

#[tokio::test]
async fn a_fault_that_lasts_fails_the_invocation_when_its_time_is_used() {
    for (code, message) in [
        ("AccessDeniedException", DENIED),
        ("ResourceNotFoundException", "Requested resource not found"),
    ] {
        let refuse = move |_: &Request| Act::Refuse(Refusal { code, message });
        let cause = format!("DynamoDB answered `{code}`: {message}");
        let in_transactions = move |request: &Request| match request.operation.as_str() {
            "TransactWriteItems" => Act::Refuse(Refusal { code, message }),
            _ => Act::Pass,
        };
        let (replacements, inserts) = (Batch::replacements(300), Batch::inserts(60));
        tokio::join!(
            check_lasting(&replacements, "25", 0, &cause, refuse),
            check_lasting(&replacements, "1", 0, &cause, refuse),
            check_lasting(&inserts, "25", 0, &cause, in_transactions),
        );
    }
    // Whether a message that is not known quotes data cannot be told.
    let unknown = Refusal { code: "NewException", message: "KEY-0000 is VALUE" };
    let cause = "DynamoDB answered `NewException`";
    let refuse = move |_: &Request| Act::Refuse(unknown);
    check_lasting(&Batch::replacements(60), "25", 0, cause, refuse).await;
}

#[tokio::test]
async fn a_fault_that_shows_at_one_record_holds_up_no_other() {
    for (code, message) in
        [("AccessDenied", DENIED), ("ResourceNotFound", "Requested resource not found")]
    {
        let refusal = Refusal { code, message };
        let cause = format!("DynamoDB answered `{code}`: {message}");
        let refuse = move |request: &Request| {
            let parts = request.parts_with("KEY-0007").into_iter();
            Act::RefuseStatements(parts.map(|at| (at, refusal)).collect())
        };
        let replacements = Batch::replacements(60);
        let inserts = Batch::inserts(9);
        let cancel = |action: usize| {
            move |request: &Request| match request.operation.as_str() {
                "TransactWriteItems" if request.has("KEY-0007") => {
                    Act::Cancel(vec![(request.parts_with("KEY-0007")[action], refusal)])
                }
                _ => Act::Pass,
            }
        };
        tokio::join!(
            check_lasting(&replacements, "25", 59, &cause, refuse),
            check_lasting(&inserts, "25", 8, &cause, cancel(0)),
            check_lasting(&inserts, "25", 8, &cause, cancel(1)),
        );
    }
}

#[tokio::test]
async fn the_first_cause_is_told() {
    let batch = Batch::replacements(60);
    let run = run(&batch, &[], Some(SHORT), |request| {
        let message = if request.number == 0 { DENIED } else { "another" };
        let code = "AccessDeniedException";
        let act = Act::Refuse(Refusal { code, message });
        let time = Duration::from_millis(if request.number == 0 { 0 } else { 50 });
        Act::After(time, Box::new(act))
    })
    .await;
    assert!(failure(&run.landed).ends_with(DENIED));
}

/// A fault that ends costs its time, and little more.
#[tokio::test]
async fn a_fault_that_passes_costs_its_time_only() {
    let p = async |batch: &Batch, statements: &str, table: Option<&'static str>| {
        let time = Duration::from_secs(5);
        let mut end = None;
        let start = Instant::now();
        let asked_at = Arc::new(Mutex::new(start));
        let last_asked_at = Arc::clone(&asked_at);
        let run = check_unharmed(batch, statements, false, move |request| {
            *last_asked_at.lock().unwrap() = Instant::now();
            let end = *end.get_or_insert_with(|| Instant::now() + time);
            let is_hit = table.is_none_or(|table| request.has(&format!("\"{table}\"")));
            if is_hit && Instant::now() < end {
                Act::Refuse(Refusal { code: "AccessDeniedException", message: DENIED })
            } else {
                Act::Pass
            }
        })
        .await;
        let took = *asked_at.lock().unwrap() - start;
        assert!(took > time && took < time + Duration::from_secs(4), "{took:?}");
        assert!(run.landed.summary.retries > 0);
    };
    let (seatool, appian, many) = (Batch::seatool(), Batch::appian(), Batch::replacements(500));
    tokio::join!(
        p(&seatool, "25", None),
        p(&seatool, "1", None),
        p(&appian, "25", None),
        p(&many, "25", None),
        p(&seatool, "1", Some(TOMBSTONES)),
        p(&seatool, "1", Some(QUARANTINE)),
        p(&appian, "1", Some(APPIAN)),
    );
}

/// The outcomes of a batch of which one table is out of reach.
async fn outcomes_without(
    batch: &Batch,
    statements: &str,
    table: &'static str,
) -> Vec<(&'static str, Outcome, Outcome)> {
    let refusal = Refusal { code: "AccessDeniedException", message: DENIED };
    let on_part = Refusal { code: "AccessDenied", message: DENIED };
    let changes = [("DYNAMODB_STATEMENTS_PER_REQUEST", statements)];
    let run = run(batch, &changes, Some(SHORT), move |request| {
        let parts = request.parts().iter().enumerate();
        let parts = parts.filter(|(_, part)| is_for(part, table));
        let parts: Vec<_> = parts.map(|(at, _)| (at, on_part)).collect();
        match request.operation.as_str() {
            "BatchExecuteStatement" => Act::RefuseStatements(parts),
            "TransactWriteItems" if !parts.is_empty() => Act::Cancel(parts),
            _ if request.body["TableName"] == table => Act::Refuse(refusal),
            _ => Act::Pass,
        }
    })
    .await;
    assert!(failure(&run.landed).ends_with(DENIED));
    let outcomes = batch.expected.iter().zip(&run.landed.summary.outcomes);
    outcomes.map(|((key, expected), found)| (*key, *expected, *found)).collect()
}

/// Whether a statement or an action is for this table, whose name may be the start of another's.
fn is_for(part: &Value, table: &str) -> bool {
    part["Statement"].as_str().is_some_and(|it| it.contains(&format!("\"{table}\"")))
        || ["Put", "ConditionCheck"].iter().any(|action| part[action]["TableName"] == table)
}

#[tokio::test]
async fn records_of_other_tables_go_on() {
    for statements in TRANSPORTS {
        for (key, expected, found) in
            outcomes_without(&Batch::seatool(), statements, QUARANTINE).await
        {
            let outcome = if expected == Quarantined { Failed } else { expected };
            assert_eq!(found, outcome, "{key} by {statements}");
        }
        for (key, expected, found) in outcomes_without(&Batch::seatool(), statements, SEATOOL).await
        {
            let outcome = if expected == Quarantined { Quarantined } else { Failed };
            assert_eq!(found, outcome, "{key} by {statements}");
        }
        // Inserts check a tombstone, and deletes store one.
        for (key, expected, found) in
            outcomes_without(&Batch::seatool(), statements, TOMBSTONES).await
        {
            let needs_none =
                ["KEY-replaced", "KEY-reshaped", "KEY-odd", "KEY-moved", "KEY-earlier"];
            let goes_on =
                needs_none.contains(&key) || expected == Quarantined || expected == Outcome::Stale;
            assert_eq!(found, if goes_on { expected } else { Failed }, "{key} by {statements}");
        }
        for (key, expected, found) in
            outcomes_without(&Batch::appian(), statements, QUARANTINE).await
        {
            let outcome = if expected == Quarantined { Failed } else { expected };
            assert_eq!(found, outcome, "{key} by {statements}");
        }
    }
}
