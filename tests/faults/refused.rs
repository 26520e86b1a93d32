//! Refusals that stay: of the system, which fail the invocation, and of single records, which go to the quarantine.

use dynamo_sink::{
    handler::{Handled, InvocationError},
    outcome::Outcome::{self, Failed, Quarantined, Superseded, Written},
};
use serde_json::{Value, json};

use crate::{
    faults::{
        TRANSPORTS,
        batch::{Batch, seatool},
        failure, run,
    },
    support::{Act, Event, QUARANTINE, Refusal, Request, SEATOOL, TIME},
};

const DENIED: &str = "User: arn:aws:sts::123456789012:assumed-role/sink/sink is not authorized to perform: dynamodb:PutItem";

/// The system refuses what a rule picks, while one request is in flight at a time: that request must be the last, and
/// the cause must be told.
async fn check_fault(
    batch: &Batch,
    statements: &str,
    written: usize,
    requests: usize,
    cause: &str,
    rule: impl FnMut(&Request) -> Act + Clone + Send + 'static,
) {
    for mode in ["batch", "partial"] {
        let changes = [
            ("DYNAMODB_STATEMENTS_PER_REQUEST", statements),
            ("DYNAMODB_MAX_CONCURRENCY", "1"),
            ("RESPONSE_MODE", mode),
        ];
        let run = run(batch, &changes, Some(TIME), rule.clone()).await;

        let received = batch.expected.len();
        let failed = received - written;
        let text = format!(
            "{failed} of {received} records failed, because the system is not set up rightly: {cause}"
        );
        assert_eq!(failure(&run.landed), text);
        assert!(matches!(run.landed.answer, Err(InvocationError::SystemFault { .. })));
        assert_eq!(run.landed.summary.count(Written), written);
        assert_eq!(run.landed.summary.count(Failed), failed);
        assert_eq!(run.dynamodb.items(QUARANTINE), Vec::<Value>::new());
        assert_eq!(run.proxy.requests().len(), requests, "nothing else is started");
    }
}

#[tokio::test]
async fn a_fault_of_the_system_fails_the_invocation() {
    for (code, message) in [
        ("AccessDeniedException", DENIED),
        ("ResourceNotFoundException", "Requested resource not found"),
    ] {
        let refuse = move |_: &Request| Act::Refuse(Refusal { code, message });
        let cause = format!("DynamoDB answered `{code}`: {message}");
        for statements in TRANSPORTS {
            check_fault(&Batch::replacements(60), statements, 0, 1, &cause, refuse).await;
        }
        let in_transactions = move |request: &Request| match request.operation.as_str() {
            "TransactWriteItems" => Act::Refuse(Refusal { code, message }),
            _ => Act::Pass,
        };
        check_fault(&Batch::inserts(60), "25", 0, 4, &cause, in_transactions).await;
    }
    // Whether a message that is not known quotes data can't be told.
    let unknown = Refusal { code: "NewException", message: "KEY-0000 is VALUE" };
    let cause = "DynamoDB answered `NewException`";
    let refuse = move |_: &Request| Act::Refuse(unknown);
    check_fault(&Batch::replacements(60), "25", 0, 1, cause, refuse).await;
}

#[tokio::test]
async fn a_fault_of_the_system_can_show_at_a_single_statement() {
    for (code, message) in
        [("AccessDenied", DENIED), ("ResourceNotFound", "Requested resource not found")]
    {
        let refusal = Refusal { code, message };
        let cause = format!("DynamoDB answered `{code}`: {message}");
        let refuse = move |_: &Request| Act::RefuseStatements(vec![(7, refusal)]);
        check_fault(&Batch::replacements(60), "25", 24, 1, &cause, refuse).await;

        for action in [4, 5] {
            let cancel = move |request: &Request| match request.operation.as_str() {
                "TransactWriteItems" => Act::Cancel(vec![(action, refusal)]),
                _ => Act::Pass,
            };
            check_fault(&Batch::inserts(5), "25", 0, 2, &cause, cancel).await;
        }
    }
}

#[tokio::test]
async fn a_fault_stops_what_waits_beside_it() {
    // Eight requests are on their way when the first is refused; no other follows.
    let batch = Batch::replacements(1000);
    let refusal = Refusal { code: "AccessDeniedException", message: DENIED };
    let run = run(&batch, &[], Some(TIME), move |request| match request.number {
        0 => Act::Refuse(refusal),
        _ => Act::After(std::time::Duration::from_millis(100), Box::new(Act::Pass)),
    })
    .await;

    failure(&run.landed);
    assert!(run.proxy.requests().len() <= 8);
    let written = run.landed.summary.count(Written);
    assert_eq!(written, (run.proxy.requests().len() - 1) * 25);
    assert_eq!(run.landed.summary.count(Failed), 1000 - written);
}

/// Three states of one key between two neighbours.
fn three_states(earlier: Vec<Event>) -> Batch {
    let put = |key: &str, offset, value: &str| seatool(key, 0, offset, Some(&json!({"a": value})));
    Batch {
        sink: sink_seatool_data::SINK,
        unstamped: Vec::new(),
        earlier,
        event: Event::new([
            put("KEY-first", 10, "VALUE first"),
            put("KEY", 11, "VALUE oldest"),
            put("KEY", 12, "VALUE older"),
            put("KEY", 13, "VALUE newest"),
            put("KEY-last", 14, "VALUE last"),
        ]),
        expected: vec![("KEY", Written); 5],
    }
}

/// `DynamoDB` finds what these texts occur in too large, by whatever request it comes.
fn too_large(texts: &'static [&'static str]) -> impl FnMut(&Request) -> Act + Clone + Send {
    const MESSAGE: &str = "Item size has exceeded the maximum allowed size";
    move |request| {
        let on_part = Refusal { code: "ValidationError", message: MESSAGE };
        let parts = texts.iter().flat_map(|text| request.parts_with(text));
        let parts: Vec<(usize, Refusal)> = parts.map(|at| (at, on_part)).collect();
        match request.operation.as_str() {
            "BatchExecuteStatement" => Act::RefuseStatements(parts),
            "TransactWriteItems" if !parts.is_empty() => Act::Cancel(parts),
            "PutItem" if texts.iter().any(|text| request.has(text)) => {
                Act::Refuse(Refusal { code: "ValidationException", message: MESSAGE })
            }
            _ => Act::Pass,
        }
    }
}

fn value_of(items: &[Value], key: &str) -> Option<String> {
    let item = items.iter().find(|item| item["PK"]["S"] == key)?;
    item["a"]["S"].as_str().map(str::to_owned)
}

#[tokio::test]
async fn a_state_that_dynamodb_refuses_makes_way_for_the_next_older_one() {
    let replaced = || vec![Event::new([seatool("KEY", 0, 1, Some(&json!({"a": "VALUE"})))])];
    let reshaped = || vec![Event::new([seatool("KEY", 0, 1, Some(&json!({"b": "VALUE"})))])];
    let cases: [(&[&str], [Outcome; 3], Option<&str>); 3] = [
        (&["newest"], [Superseded, Written, Quarantined], Some("VALUE older")),
        (&["newest", "older"], [Written, Quarantined, Quarantined], Some("VALUE oldest")),
        (&["newest", "older", "oldest"], [Quarantined, Quarantined, Quarantined], None),
    ];
    for (refused, outcomes, stands) in cases {
        for earlier in [Vec::new(), replaced(), reshaped()] {
            for statements in TRANSPORTS {
                let changes = [("DYNAMODB_STATEMENTS_PER_REQUEST", statements)];
                let batch = three_states(earlier.clone());
                let run = run(&batch, &changes, Some(TIME), too_large(refused)).await;

                run.landed.answer.unwrap();
                let [oldest, older, newest] = outcomes;
                assert_eq!(run.landed.summary.outcomes, [Written, oldest, older, newest, Written]);
                let items = run.dynamodb.items(SEATOOL);
                assert_eq!(value_of(&items, "KEY-first").as_deref(), Some("VALUE first"));
                assert_eq!(value_of(&items, "KEY-last").as_deref(), Some("VALUE last"));
                let before = value_of(&batch.tables().await.items(SEATOOL), "KEY");
                let stands = stands.map(str::to_owned).or(before);
                assert_eq!(value_of(&items, "KEY"), stands);
                let quarantined: Vec<(String, String, String)> = run
                    .dynamodb
                    .items(QUARANTINE)
                    .iter()
                    .map(|item| {
                        let text = |name: &str| item[name]["S"].as_str().unwrap().to_owned();
                        (
                            item["offset"]["N"].as_str().unwrap().to_owned(),
                            text("reason"),
                            text("message"),
                        )
                    })
                    .collect();
                let expected: Vec<_> = (11..)
                    .zip(outcomes)
                    .filter(|(_, outcome)| *outcome == Quarantined)
                    .map(|(offset, _)| {
                        let message = "Item size has exceeded the maximum allowed size";
                        (offset.to_string(), "REFUSED_BY_DYNAMODB".to_owned(), message.to_owned())
                    })
                    .collect();
                assert_eq!(quarantined, expected);
            }
        }
    }
}

#[tokio::test]
async fn what_only_a_statement_cannot_do_goes_by_a_call_of_its_own() {
    let batch =
        three_states(vec![Event::new([seatool("KEY", 0, 1, Some(&json!({"a": "VALUE"})))])]);
    let message = "Item size has exceeded the maximum allowed size";
    let refusal = Refusal { code: "ValidationError", message };
    let run = run(&batch, &[], Some(TIME), move |request| match request.operation.as_str() {
        "BatchExecuteStatement" => Act::RefuseStatements(
            request.parts_with("newest").into_iter().map(|at| (at, refusal)).collect(),
        ),
        _ => Act::Pass,
    })
    .await;

    run.landed.answer.unwrap();
    assert_eq!(run.landed.summary.outcomes, [Written, Superseded, Superseded, Written, Written]);
    assert_eq!(run.dynamodb.items(QUARANTINE), Vec::<Value>::new());
}

#[tokio::test]
async fn a_refused_record_that_the_quarantine_refuses_too_has_failed() {
    let rule = || {
        let mut too_large = too_large(&["newest"]);
        let message = "The provided key element does not match the schema";
        move |request: &Request| match request.operation.as_str() {
            "UpdateItem" => Act::Refuse(Refusal { code: "ValidationException", message }),
            _ => too_large(request),
        }
    };
    let batch = three_states(Vec::new());
    let p = async |mode: &str| {
        let run = run(&batch, &[("RESPONSE_MODE", mode)], Some(TIME), rule()).await;
        assert_eq!(run.landed.summary.outcomes, [Written, Superseded, Written, Failed, Written]);
        assert_eq!(run.landed.summary.quarantine_failed, 1);
        let items = run.dynamodb.items(SEATOOL);
        assert_eq!(value_of(&items, "KEY").as_deref(), Some("VALUE older"));
        run.landed
    };

    assert_eq!(failed_offsets(&p("partial").await), [13, 14]);
    assert_eq!(
        failure(&p("batch").await),
        "1 of 5 records failed; the first at aws.ksqldb.seatool.agg.State_Plan-0 offset 13: not quarantined: \
         DynamoDB refused the request: The provided key element does not match the schema"
    );
}

#[tokio::test]
async fn a_quarantine_that_is_out_of_reach_fails_the_invocation() {
    let refusal = Refusal { code: "AccessDeniedException", message: DENIED };
    for batch in [Batch::seatool(), Batch::appian()] {
        let run = run(&batch, &[], Some(TIME), move |request| match request.operation.as_str() {
            "UpdateItem" => Act::Refuse(refusal),
            _ => Act::Pass,
        })
        .await;

        assert!(failure(&run.landed).ends_with(DENIED));
        let outcomes = batch.expected.iter().zip(&run.landed.summary.outcomes);
        for ((key, expected), found) in outcomes {
            assert!(*expected != Quarantined || *found == Failed, "{key}: {found:?}");
        }
    }
}

/// A refusal that may be due to the record or to the table fails that record only, and never quarantines it.
#[tokio::test]
async fn a_refusal_in_doubt_fails_its_record() {
    const MESSAGE: &str =
        "One or more parameter values were invalid: Type mismatch for KEY-0002 with VALUE";
    let rule = |request: &Request| {
        let parts = request.parts_with("KEY-0002").into_iter();
        let refusal = Refusal { code: "ValidationError", message: MESSAGE };
        let parts: Vec<_> = parts.map(|at| (at, refusal)).collect();
        match request.operation.as_str() {
            "BatchExecuteStatement" => Act::RefuseStatements(parts),
            "TransactWriteItems" if !parts.is_empty() => Act::Cancel(parts),
            "PutItem" if request.has("KEY-0002") => {
                Act::Refuse(Refusal { code: "ValidationException", message: MESSAGE })
            }
            _ => Act::Pass,
        }
    };
    for batch in [Batch::replacements(5), Batch::inserts(5)] {
        for statements in TRANSPORTS {
            let p = async |mode: &str| {
                let changes =
                    [("DYNAMODB_STATEMENTS_PER_REQUEST", statements), ("RESPONSE_MODE", mode)];
                let run = run(&batch, &changes, Some(TIME), rule).await;
                let outcomes = [Written, Written, Failed, Written, Written];
                assert_eq!(run.landed.summary.outcomes, outcomes);
                assert_eq!(run.dynamodb.items(QUARANTINE), Vec::<Value>::new());
                run.landed
            };
            assert_eq!(failed_offsets(&p("partial").await), [10_002, 10_003, 10_004]);
            // What follows the colon quotes data.
            assert_eq!(
                failure(&p("batch").await),
                "1 of 5 records failed; the first at aws.ksqldb.seatool.agg.State_Plan-0 offset 10002: \
                 DynamoDB refused the request: One or more parameter values were invalid"
            );
        }
    }
}

fn failed_offsets(landed: &Handled) -> Vec<i64> {
    let failures = &landed.answer.as_ref().unwrap().batch_item_failures;
    let partition = "aws.ksqldb.seatool.agg.State_Plan-0";
    assert!(failures.iter().all(|failure| failure.item_identifier.partition == partition));
    failures.iter().map(|failure| failure.item_identifier.offset).collect()
}
