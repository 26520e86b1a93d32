//! Refusals of single records, which go to the quarantine.

use std::time::{Duration, Instant};

use dynamo_sink::{
    handler::{Handled, Handler},
    outcome::Outcome::{self, Failed, Quarantined, Superseded, Written},
};
use serde_json::{Value, json};

use crate::{
    faults::{
        TRANSPORTS,
        batch::{Batch, seatool},
        failure, run,
    },
    support::{
        Act, Event, Proxy, QUARANTINE, Record, Refusal, Request, SEATOOL, TIME, handler, land,
    },
};

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

/// What refuses records in words that are not known, whichever they are, may pass: nothing is quarantined for it,
/// though the same call was taken of others before.
#[tokio::test]
async fn refusals_in_doubt_that_pass_quarantine_nothing() {
    let refuse = |code| move || Act::Refuse(Refusal { code, message: "VALUE" });
    let p = async |act: Box<dyn Fn() -> Act + Send>| {
        let batch = Batch::replacements(30);
        let changes = [("DYNAMODB_STATEMENTS_PER_REQUEST", "1")];
        let mut end = None;
        let rule = move |request: &Request| {
            let end = *end.get_or_insert_with(|| Instant::now() + Duration::from_secs(2));
            if request.number < 3 || Instant::now() >= end { Act::Pass } else { act() }
        };
        let run = run(&batch, &changes, Some(TIME), rule).await;
        run.landed.answer.unwrap();
        assert_eq!(run.landed.summary.outcomes, [Written; 30]);
        assert_eq!(run.dynamodb.items(QUARANTINE), Vec::<Value>::new());
    };
    tokio::join!(
        p(Box::new(refuse("ValidationException"))),
        p(Box::new(refuse("SerializationException"))),
        p(Box::new(|| Act::Status(413))),
    );
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

/// `DynamoDB` finds what `text` occurs in invalid, by whatever request it comes.
fn invalid(
    text: &'static str,
    message: &'static str,
) -> impl FnMut(&Request) -> Act + Clone + Send {
    move |request| {
        let on_part = Refusal { code: "ValidationError", message };
        let parts = request.parts_with(text).into_iter();
        let parts: Vec<_> = parts.map(|at| (at, on_part)).collect();
        match request.operation.as_str() {
            "BatchExecuteStatement" => Act::RefuseStatements(parts),
            "TransactWriteItems" if !parts.is_empty() => Act::Cancel(parts),
            "PutItem" if request.has(text) => {
                Act::Refuse(Refusal { code: "ValidationException", message })
            }
            _ => Act::Pass,
        }
    }
}

/// In words that quote data and don't say whose fault it is.
const IN_DOUBT: &str =
    "One or more parameter values were invalid: Type mismatch for KEY-0002 with VALUE";

/// Lands a batch of which one record is refused like this: it alone must be quarantined, with what is told of it.
async fn check_quarantined(batch: &Batch, message: &'static str, told: &str) {
    for statements in TRANSPORTS {
        for mode in ["batch", "partial"] {
            let changes =
                [("DYNAMODB_STATEMENTS_PER_REQUEST", statements), ("RESPONSE_MODE", mode)];
            let run = run(batch, &changes, Some(TIME), invalid("KEY-0002", message)).await;
            assert_eq!(failed_offsets(&run.landed), Vec::<i64>::new());
            let outcomes = [Written, Written, Quarantined, Written, Written];
            assert_eq!(run.landed.summary.outcomes, outcomes, "{message} by {statements}");
            let entries = run.dynamodb.items(QUARANTINE);
            assert_eq!(entries.len(), 1);
            let found = ["offset", "reason", "message"].map(|name| {
                let value = &entries[0][name];
                value["S"].as_str().or(value["N"].as_str()).unwrap()
            });
            assert_eq!(found, ["10002", "REFUSED_BY_DYNAMODB", told]);
        }
    }
}

#[tokio::test]
async fn a_refusal_is_known_by_any_part_of_its_message() {
    let p = async |message, told| {
        // No other record is there to compare with.
        check_quarantined(&Batch::replacements(5), message, told).await;
        let alone = Batch::replacements(3).only_last();
        let run = run(&alone, &[], Some(TIME), invalid("KEY-0002", message)).await;
        assert_eq!(run.landed.summary.outcomes, [Quarantined], "{message}");
    };
    p("1 validation error detected: Number overflow. VALUE", "Number overflow").await;
    p(
        "One or more parameter values were invalid: Type mismatch for Index Key VALUE Expected: S Actual: N",
        "Type mismatch for Index Key",
    )
    .await;
    p(
        "One or more parameter values are not valid. A value specified for a secondary index key is not supported. \
         IndexName: VALUE, IndexKey: VALUE",
        "A value specified for a secondary index key is not supported",
    )
    .await;
    p(
        "One or more parameter values were invalid: Size limit exceeded for Index Key VALUE Actual Size: 2049 bytes",
        "Size limit exceeded",
    )
    .await;
    p("Attribute name is too large, must be less than 65536 bytes", "Attribute name is too large")
        .await;
}

/// What is refused of one record and taken of another is due to the record.
#[tokio::test]
async fn a_refusal_in_doubt_is_the_records_where_others_are_taken() {
    let (replacements, inserts) = (Batch::replacements(5), Batch::inserts(5));
    let known = "One or more parameter values were invalid";
    let (unknown, told) =
        ("KEY-0002 is no VALUE", "its message is not shown, since it may quote data");
    tokio::join!(
        check_quarantined(&replacements, IN_DOUBT, known),
        check_quarantined(&replacements, unknown, told),
        check_quarantined(&inserts, IN_DOUBT, known),
        check_quarantined(&inserts, unknown, told),
    );
}

/// A refusal that may be due to the record or to the table fails its record, and never quarantines it.
#[tokio::test]
async fn a_refusal_in_doubt_fails_its_record_where_no_other_is_taken() {
    let check = async |batch: Batch, statements: &str| {
        let p = async |mode: &str| {
            let changes =
                [("DYNAMODB_STATEMENTS_PER_REQUEST", statements), ("RESPONSE_MODE", mode)];
            let run = run(&batch, &changes, Some(TIME), invalid("KEY-", IN_DOUBT)).await;
            assert_eq!(run.landed.summary.outcomes, [Failed; 5]);
            assert_eq!(run.dynamodb.items(QUARANTINE), Vec::<Value>::new());
            run.landed
        };
        let (partial, whole) = tokio::join!(p("partial"), p("batch"));
        let offsets: Vec<i64> = (10_000..10_005).collect();
        assert_eq!(failed_offsets(&partial), offsets);
        // What follows the colon quotes data.
        assert_eq!(
            failure(&whole),
            "5 of 5 records failed; the first at aws.ksqldb.seatool.agg.State_Plan-0 offset 10000: \
             DynamoDB refused the request: One or more parameter values were invalid"
        );
    };
    let [one, other] = TRANSPORTS;
    tokio::join!(
        check(Batch::replacements(5), one),
        check(Batch::replacements(5), other),
        check(Batch::inserts(5), one),
        check(Batch::inserts(5), other),
    );
}

/// What was taken once in an environment counts for all later batches.
#[tokio::test]
async fn what_was_taken_before_counts() {
    let batch = Batch::replacements(3);
    let dynamodb = batch.tables().await;
    let proxy = Proxy::start(&dynamodb, invalid("KEY-0002", IN_DOUBT)).await;
    let mut handler = handler(&proxy.endpoint(), batch.sink, &[]).await;
    let event = |records: &[Record]| Event::new(records.iter().cloned());
    let (others, refused) = batch.event.records.split_at(2);
    let land = async |handler: &mut Handler, records: &[Record]| {
        land(handler, &event(records)).await.summary.outcomes
    };
    assert_eq!(land(&mut handler, refused).await, [Failed]);
    assert_eq!(land(&mut handler, others).await, [Written; 2]);
    assert_eq!(land(&mut handler, refused).await, [Quarantined]);
}

fn failed_offsets(landed: &Handled) -> Vec<i64> {
    let failures = &landed.answer.as_ref().unwrap().batch_item_failures;
    let partition = "aws.ksqldb.seatool.agg.State_Plan-0";
    assert!(failures.iter().all(|failure| failure.item_identifier.partition == partition));
    failures.iter().map(|failure| failure.item_identifier.offset).collect()
}
