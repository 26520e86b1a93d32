//! What Lambda is answered, in both modes.

use std::time::Duration;

use dynamo_sink::{
    handler::{BatchItemFailure, InvocationError, ItemIdentifier, Response},
    outcome::Outcome,
    sink::Sink,
};
use lambda_runtime::Diagnostic;
use serde_json::{Value, json};

use crate::support::{
    Event, QUARANTINE, Record, SEATOOL, TIME, TOMBSTONES, TestDynamoDb, dynamodb, handler,
    is_aws_local, land, send,
};

const SINK: Sink = sink_seatool_data::SINK;

/// Tables in which the key `STUCK` has an item that no record can be compared with, so that its records fail.
async fn dynamodb_with_a_stuck_key() -> TestDynamoDb {
    let dynamodb = dynamodb().await;
    let foreign = json!({"PK": {"S": "STUCK"}, "SK": {"S": "STUCK"}, "_sink": {"S": "mine"}});
    dynamodb.put(SEATOOL, &foreign);
    dynamodb
}

fn record(key: &str, partition: i32, offset: i64) -> Record {
    Record::seatool(key, partition, offset, offset, Some(&json!({"a": offset})))
}

/// Three partitions; in partition 1 the record at offset 502 is stuck, and with it that at 500, which it supersedes.
fn mixed() -> Event {
    Event::new([
        record("A", 0, 70),
        record("B", 0, 71),
        record("C", 1, 499),
        record("STUCK", 1, 500),
        record("D", 1, 501),
        record("STUCK", 1, 502),
        record("E", 1, 503),
        record("F", 2, 9_007_199_254_740_993),
    ])
}

fn failure(partition: &str, offset: i64) -> BatchItemFailure {
    let item_identifier = ItemIdentifier { partition: partition.to_owned(), offset };
    BatchItemFailure { item_identifier }
}

/// The error as Lambda is told it: its type and its message.
fn told(error: InvocationError) -> (String, String) {
    let Diagnostic { error_type, error_message } = error.into();
    (error_type, error_message)
}

fn keys(dynamodb: &TestDynamoDb, table: &str) -> Vec<String> {
    let items = dynamodb.items(table);
    items.iter().map(|item| item["PK"]["S"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn partial_answers_name_failed_records_and_those_behind_them() {
    for statements in ["25", "1"] {
        let dynamodb = dynamodb_with_a_stuck_key().await;
        let settings =
            [("RESPONSE_MODE", "partial"), ("DYNAMODB_STATEMENTS_PER_REQUEST", statements)];
        let mut handler = handler(&dynamodb.endpoint(), SINK, &settings).await;
        let landed = land(&mut handler, &mixed()).await;
        let written = Outcome::Written;
        let failed = Outcome::Failed;
        assert_eq!(
            landed.summary.outcomes,
            [written, written, written, failed, written, failed, written, written]
        );
        let partition = "aws.ksqldb.seatool.agg.State_Plan-1";
        let failures = [500, 501, 502, 503].map(|offset| failure(partition, offset)).to_vec();
        assert_eq!(landed.answer.unwrap(), Response { batch_item_failures: failures });
        assert_eq!(keys(&dynamodb, SEATOOL), ["A", "B", "C", "D", "E", "F", "STUCK"]);
        assert_eq!(keys(&dynamodb, QUARANTINE), Vec::<String>::new());
    }
}

#[tokio::test]
async fn partial_answers_are_what_lambda_reads() {
    let dynamodb = dynamodb_with_a_stuck_key().await;
    let settings = [("RESPONSE_MODE", "partial"), ("KAFKA_TOPIC", "state-plans-0")];
    let mut handler = handler(&dynamodb.endpoint(), SINK, &settings).await;
    let on_topic = |record: Record| Record { topic: "state-plans-0".to_owned(), ..record };
    let stuck = [(10, 9_007_199_254_740_993), (2, 7)]
        .map(|(partition, offset)| on_topic(record("STUCK", partition, offset)));
    // A record that is there twice is named once.
    let event =
        Event::new(stuck.clone().into_iter().chain([on_topic(record("A", 0, 1))]).chain(stuck));
    let answer = serde_json::to_value(send(&mut handler, &event).await.unwrap()).unwrap();
    assert_eq!(
        answer,
        json!({"batchItemFailures": [
            {"itemIdentifier": {"partition": "state-plans-0-2", "offset": 7}},
            {"itemIdentifier": {"partition": "state-plans-0-10", "offset": 9_007_199_254_740_993_u64}},
        ]})
    );
    let event = Event::new([on_topic(record("B", 0, 2))]);
    let answer = serde_json::to_value(send(&mut handler, &event).await.unwrap()).unwrap();
    assert_eq!(answer, json!({"batchItemFailures": []}));
}

#[tokio::test]
async fn the_whole_batch_fails_with_counts_and_the_first_failure() {
    let dynamodb = dynamodb_with_a_stuck_key().await;
    let mut handler = handler(&dynamodb.endpoint(), SINK, &[]).await;
    let error = send(&mut handler, &mixed()).await.unwrap_err();
    let (error_type, message) = told(error);
    assert_eq!(error_type, "RecordsFailed");
    assert_eq!(
        message,
        "2 of 8 records failed; the first at aws.ksqldb.seatool.agg.State_Plan-1 offset 500: \
         an item's `_sink` was not written by this sink and cannot be \
         compared"
    );
    // What was written is a duplicate when the batch comes again.
    assert_eq!(keys(&dynamodb, SEATOOL), ["A", "B", "C", "D", "E", "F", "STUCK"]);
    let again = land(&mut handler, &mixed()).await;
    assert_eq!(again.summary.count(Outcome::Duplicate), 6);
    assert_eq!(again.summary.count(Outcome::Failed), 2);

    // Mended, the next attempt has nothing left to complain of.
    let mended = json!({"PK": {"S": "STUCK"}, "SK": {"S": "STUCK"}, "a": {"N": "1"}});
    dynamodb.put(SEATOOL, &mended);
    let landed = land(&mut handler, &mixed()).await;
    assert_eq!(landed.answer.unwrap(), Response::default());
    assert_eq!(landed.summary.count(Outcome::Written), 1);
    assert_eq!(landed.summary.count(Outcome::Superseded), 1);
}

/// A foreign tombstone cannot be compared with either.
#[tokio::test]
async fn a_foreign_tombstone_fails_its_keys_records() {
    for statements in ["25", "1"] {
        let dynamodb = dynamodb().await;
        let foreign = json!({"PK": {"S": "A"}, "SK": {"S": "A"}, "version": {"S": "9"}});
        dynamodb.put(TOMBSTONES, &foreign);
        let settings = [("DYNAMODB_STATEMENTS_PER_REQUEST", statements)];
        let mut handler = handler(&dynamodb.endpoint(), SINK, &settings).await;
        let delete = Record::seatool("A", 0, 2, 2, None);
        for event in [Event::new([record("A", 0, 1)]), Event::new([delete])] {
            let (_, message) = told(send(&mut handler, &event).await.unwrap_err());
            assert!(
                message
                    .ends_with("a tombstone was not written by this sink and cannot be compared"),
                "{message}"
            );
        }
        assert_eq!(dynamodb.items(TOMBSTONES), [foreign]);
        assert_eq!(keys(&dynamodb, SEATOOL), Vec::<String>::new());
    }
}

/// A pipe takes no list of failures: what it is answered counts as a success.
#[tokio::test]
async fn a_pipes_event_fails_as_a_whole_in_either_mode() {
    for mode in ["batch", "partial"] {
        let dynamodb = dynamodb_with_a_stuck_key().await;
        let mut handler = handler(&dynamodb.endpoint(), SINK, &[("RESPONSE_MODE", mode)]).await;
        let mut pipe = async |event: Event| {
            let event: Value = serde_json::from_str(&event.json()).unwrap();
            let records = event["records"].as_object().unwrap().values();
            let mut records: Vec<Value> =
                records.flat_map(|records| records.as_array().unwrap().clone()).collect();
            for record in &mut records {
                record["eventSource"] = "aws:kafka".into();
            }
            handler.handle(Value::from(records).to_string().as_bytes(), Some(TIME)).await
        };
        let (error_type, message) = told(pipe(mixed()).await.unwrap_err());
        assert_eq!(error_type, "RecordsFailed");
        assert!(message.starts_with("2 of 8 records failed; the first at "), "{message}");
        assert_eq!(pipe(Event::new([record("Z", 0, 80)])).await.unwrap(), Response::default());
        assert_eq!(keys(&dynamodb, SEATOOL), ["A", "B", "C", "D", "E", "F", "STUCK", "Z"]);
    }
}

/// Sends an event that no function should get: the error is as expected, in either mode, and nothing is written.
///
/// A fault that may pass is told when the time is used.
async fn check_fault(event: &str, settings: &[(&str, &str)], error_type: &str, message: &str) {
    let short = Duration::from_millis(1500);
    for mode in ["batch", "partial"] {
        let dynamodb = dynamodb().await;
        let settings: Vec<_> = settings.iter().copied().chain([("RESPONSE_MODE", mode)]).collect();
        let mut handler = handler(&dynamodb.endpoint(), SINK, &settings).await;
        let error = handler.handle(event.as_bytes(), Some(short)).await.unwrap_err();
        let (told_type, told_message) = told(error);
        // Each request has a name of its own.
        let told_message = told_message.split(" (request ").next().unwrap();
        assert_eq!((told_type.as_str(), told_message), (error_type, message));
        for table in [SEATOOL, TOMBSTONES, QUARANTINE] {
            assert_eq!(keys(&dynamodb, table), Vec::<String>::new());
        }
    }
}

#[tokio::test]
async fn another_topic_is_the_mappings_fault() {
    let message = "the event has records of topic `other`, but this function is set up for \
                   `aws.ksqldb.seatool.agg.State_Plan`";
    let other = |record: Record| Record { topic: "other".to_owned(), ..record };
    let poison = Record { value: Some(b"{".to_vec()), ..record("B", 1, 2) };
    let event = Event::new([record("A", 0, 1), other(poison), record("C", 2, 1)]);
    check_fault(&event.json(), &[], "WrongTopic", message).await;

    let message = "the event has records of topic `aws.ksqldb.seatool.agg.State_Plan`, but this \
                   function is set up for `other`";
    let settings = [("KAFKA_TOPIC", "other")];
    check_fault(&Event::new([record("A", 0, 1)]).json(), &settings, "WrongTopic", message).await;
}

#[tokio::test]
async fn what_is_no_kafka_event_is_told() {
    let source = "accepted are `SelfManagedKafka` and `aws:kafka`";
    for (event, cause) in [
        ("{", "the payload is not JSON: EOF while parsing an object at line 1 column 1".to_owned()),
        ("{}", format!("no Kafka event: `eventSource` is absent, {source}")),
        (
            r#"{"Records":[{"eventSource":"aws:sqs","body":"{}"}]}"#,
            format!(
                "no Kafka event: `eventSource` is absent beside another service's `Records`, {source}"
            ),
        ),
        (
            r#"{"eventSource":"aws:kafka","records":{"t-0":[{"topic":"t","partition":0}]}}"#,
            "record 0 of the event has no usable `offset`, accepted is an integer from 0 to \
             9223372036854775807"
                .to_owned(),
        ),
    ] {
        let message = format!("the payload cannot be read as a Kafka event: {cause}");
        check_fault(event, &[], "InvalidEvent", &message).await;
    }
}

#[tokio::test]
async fn a_missing_table_is_told_and_quarantines_nothing() {
    // DynamoDB Local has other words for it.
    let words = if is_aws_local() {
        "Cannot do operations on a non-existent table"
    } else {
        "Requested resource not found"
    };
    let message = |records: &str, code: &str| {
        format!(
            "{records} records failed, because something around the function is wrong: DynamoDB answered `{code}`: {words}"
        )
    };
    let event = Event::new([record("A", 0, 1), record("B", 0, 2), record("C", 1, 3)]).json();
    let expected = message("3 of 3", "ResourceNotFound");
    check_fault(&event, &[("TABLE_NAME", "missing")], "SystemFault", &expected).await;
    let expected = message("3 of 3", "ResourceNotFoundException");
    let settings = [("TABLE_NAME", "missing"), ("DYNAMODB_STATEMENTS_PER_REQUEST", "1")];
    check_fault(&event, &settings, "SystemFault", &expected).await;
    let deletes = Event::new([Record::seatool("A", 0, 1, 1, None)]).json();
    let expected = message("1 of 1", "ResourceNotFound");
    check_fault(&deletes, &[("TOMBSTONE_TABLE_NAME", "missing")], "SystemFault", &expected).await;
    // A rejected record that cannot be kept has failed.
    let poison = Record { value: Some(b"{".to_vec()), ..record("A", 0, 1) };
    let expected = message("1 of 1", "ResourceNotFoundException");
    let settings = [("QUARANTINE_TABLE_NAME", "missing")];
    check_fault(&Event::new([poison]).json(), &settings, "SystemFault", &expected).await;
}

#[tokio::test]
async fn an_event_without_records_is_answered() {
    let dynamodb = dynamodb().await;
    let mut handler = handler(&dynamodb.endpoint(), SINK, &[]).await;
    let event = br#"{"eventSource":"SelfManagedKafka","records":{}}"#;
    let landed = handler.land(event, Some(TIME)).await.unwrap();
    assert_eq!(landed.answer.unwrap(), Response::default());
    assert_eq!((landed.summary.outcomes, landed.summary.requests), (Vec::new(), 0));
}
