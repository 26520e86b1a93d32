//! What Lambda is answered: samples, errors, deadlines.

use std::time::Duration;

use local::{
    function::{FunctionSettings, LocalFunction},
    runtime_api::Answer,
};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::support::{
    APPIAN, Act, Applied, Event, Proxy, QUARANTINE, Record, Refusal, SEATOOL, TOMBSTONES,
    TestDynamoDb, dynamodb,
    function::{
        SHORT, batch_lines, counts, function, function_error, function_settings, function_within,
        no_failures, panicking_function, samples,
    },
};

fn seatool(key: &str, partition: i32, offset: i64) -> Record {
    Record::seatool(key, partition, offset, 1000 + offset, Some(&json!({"a": offset})))
}

/// All tables' items, without what a second delivery may change: the quarantine's attempts.
fn tables(dynamodb: &TestDynamoDb) -> Vec<Value> {
    let mut items = Vec::new();
    for table in [APPIAN, SEATOOL, TOMBSTONES, QUARANTINE] {
        items.extend(dynamodb.items(table));
    }
    for item in &mut items {
        item.as_object_mut().unwrap().retain(|name, _| name != "attempts" && name != "expiresAt");
    }
    items
}

#[tokio::test]
async fn every_sample_succeeds_in_both_response_modes() {
    for mode in ["batch", "partial"] {
        let dynamodb = dynamodb().await;
        for sink in [sink_appian_data::SINK, sink_seatool_data::SINK] {
            let function = function(&sink, &dynamodb.endpoint(), &[("RESPONSE_MODE", mode)]);
            for (_, sample) in samples().iter().filter(|(it, _)| it.name == sink.name) {
                let first = function.invoke(sample.payload.clone()).await.unwrap();
                assert_eq!(first.answer, no_failures(), "{} in {mode} mode", sample.file);
                let line = &batch_lines(&first)[0];
                assert_eq!(line["received"], json!(sample.records().unwrap()), "{}", sample.file);
                let landed = tables(&dynamodb);

                let second = function.invoke(sample.payload.clone()).await.unwrap();
                assert_eq!(second.answer, no_failures(), "{} in {mode} mode", sample.file);
                assert!(!second.cold_start);
                let line = &batch_lines(&second)[0];
                assert_eq!((&line["written"], &line["deleted"]), (&json!(0), &json!(0)));
                assert_eq!(tables(&dynamodb), landed, "{} changed something", sample.file);
            }
            assert_eq!(function.processes().len(), 1, "one environment did it all");
        }
        assert!(tables(&dynamodb).len() > 20);
    }
}

#[tokio::test]
async fn environments_work_side_by_side() {
    let dynamodb = dynamodb().await;
    let (has_come, came) = oneshot::channel();
    let (go_on, may_go_on) = oneshot::channel();
    // The first write waits until the second environment, which writes the same items, has done its work.
    let mut first = Some((has_come, may_go_on));
    let proxy = Proxy::start(&dynamodb, move |request| match request.operation.as_str() {
        "BatchExecuteStatement" => match first.take() {
            Some((has_come, may_go_on)) => {
                has_come.send(()).unwrap();
                Act::Await(may_go_on, Box::new(Act::Pass))
            }
            None => Act::Pass,
        },
        _ => Act::Pass,
    })
    .await;
    let function = function(&sink_seatool_data::SINK, &proxy.endpoint(), &[]);
    let event = Event::new([seatool("A", 0, 1), seatool("B", 1, 1)]).json();
    let slow = function.invoke(event.clone());
    let fast = async {
        came.await.unwrap();
        let invocation = function.invoke(event.clone()).await;
        go_on.send(()).unwrap();
        invocation
    };
    let (slow, fast) = tokio::join!(slow, fast);
    let (slow, fast) = (slow.unwrap(), fast.unwrap());
    assert_eq!((&slow.answer, &fast.answer), (&no_failures(), &no_failures()));
    assert_ne!(slow.process, fast.process);
    assert_eq!(counts(&fast), "received 2, written 2");
    assert_eq!(counts(&slow), "received 2, duplicate 2");
    assert_eq!(dynamodb.items(SEATOOL).len(), 2);
}

#[tokio::test]
async fn failed_records_are_answered_in_both_response_modes() {
    let event = Event::new([
        seatool("A", 0, 1),
        seatool("foreign", 0, 2),
        seatool("B", 0, 3),
        seatool("C", 1, 1),
    ]);
    for mode in ["batch", "partial"] {
        let dynamodb = dynamodb().await;
        // Nothing can be compared with a `_sink` that is none, so this record fails each time.
        dynamodb.put(
            SEATOOL,
            &json!({"PK": {"S": "foreign"}, "SK": {"S": "foreign"}, "_sink": {"S": "x"}}),
        );
        let sink = sink_seatool_data::SINK;
        let function = function(&sink, &dynamodb.endpoint(), &[("RESPONSE_MODE", mode)]);
        let invocation = function.invoke(event.json()).await.unwrap();
        assert_eq!(counts(&invocation), "received 4, written 3, failed 1");
        let reason = "an item's `_sink` was not written by this sink and cannot be compared";
        if mode == "batch" {
            let expected = format!(
                "1 of 4 records failed; the first at aws.ksqldb.seatool.agg.State_Plan-0 offset 2: {reason}"
            );
            assert_eq!(function_error(&invocation.answer), ("RecordsFailed", expected.as_str()));
        } else {
            let Answer::Success(body) = &invocation.answer else { panic!("{invocation:#?}") };
            let failure = |offset: i64| {
                let partition = "aws.ksqldb.seatool.agg.State_Plan-0";
                json!({"itemIdentifier": {"partition": partition, "offset": offset}})
            };
            assert_eq!(
                serde_json::from_slice::<Value>(body).unwrap(),
                json!({"batchItemFailures": [failure(2), failure(3)]})
            );
        }
        let is_its_line = |line: &&String| {
            line.contains("\"offset\":2")
                && line.contains("record failed")
                && line.contains("\"requestId\"")
        };
        assert_eq!(invocation.log.iter().filter(is_its_line).count(), 1, "{:#?}", invocation.log);
        // The environment lives on.
        let next = function.invoke(Event::new([seatool("D", 1, 2)]).json()).await.unwrap();
        assert_eq!((&next.answer, next.process), (&no_failures(), invocation.process));
    }
}

#[tokio::test]
async fn an_error_is_reported_with_its_type_and_all_its_causes() {
    let dynamodb = dynamodb().await;
    let message = "User: sink is not authorized to perform: dynamodb:PartiQLUpdate";
    let refusal = Refusal { code: "AccessDeniedException", message };
    let proxy = Proxy::start(&dynamodb, move |request| match request.operation.as_str() {
        "DescribeTable" => Act::Pass,
        _ => Act::Refuse(refusal),
    })
    .await;
    let function = function_within(SHORT, &sink_appian_data::SINK, &proxy.endpoint(), &[]);
    let invocation =
        function.invoke(Event::new([Record::appian(1, 1, 0, 1, json!({}))]).json()).await.unwrap();
    let expected = format!(
        "1 of 1 records failed, because something around the function is wrong: DynamoDB answered \
         `AccessDeniedException`: {message}"
    );
    assert_eq!(function_error(&invocation.answer), ("SystemFault", expected.as_str()));
    assert_eq!(counts(&invocation), "received 1, failed 1");
    assert_eq!(dynamodb.items(QUARANTINE), Vec::<Value>::new());
}

#[tokio::test]
async fn what_is_no_kafka_event_fails_with_a_clear_error() {
    let dynamodb = dynamodb().await;
    let function = function(&sink_appian_data::SINK, &dynamodb.endpoint(), &[]);
    let sqs = json!({"Records": [{"messageId": "1", "body": "{}", "eventSource": "aws:sqs"}]});
    let other_topic = Event::new([seatool("A", 0, 1)]);
    let no_event = "the payload cannot be read as a Kafka event: ";
    let no_json = format!("{no_event}the payload is not JSON: ");
    let cases: [(&str, &str, String); 8] = [
        ("", "InvalidEvent", format!("{no_json}EOF while parsing a value at line 1 column 0")),
        ("no JSON", "InvalidEvent", format!("{no_json}expected ident at line 1 column 2")),
        ("{", "InvalidEvent", format!("{no_json}EOF while parsing an object at line 1 column 1")),
        (
            "null",
            "InvalidEvent",
            format!(
                "{no_event}no Kafka event: the payload is null, accepted are an event source mapping's object and a \
                 pipe's array of records"
            ),
        ),
        (
            "[]",
            "InvalidEvent",
            format!(
                "{no_event}no Kafka event: the payload is an empty array, a pipe sends at least one record"
            ),
        ),
        (
            "{}",
            "InvalidEvent",
            format!(
                "{no_event}no Kafka event: `eventSource` is absent, accepted are `SelfManagedKafka` and `aws:kafka`"
            ),
        ),
        (
            &sqs.to_string(),
            "InvalidEvent",
            format!(
                "{no_event}no Kafka event: `eventSource` is absent beside another service's `Records`, accepted are \
                 `SelfManagedKafka` and `aws:kafka`"
            ),
        ),
        (
            &other_topic.json(),
            "WrongTopic",
            "the event has records of topic `aws.ksqldb.seatool.agg.State_Plan`, but this function is set up for \
             `aws.appian.cmcs.MCP_SPA_PCKG`"
                .to_owned(),
        ),
    ];
    for (payload, error_type, message) in &cases {
        let invocation = function.invoke((*payload).to_owned()).await.unwrap();
        assert_eq!(function_error(&invocation.answer), (*error_type, message.as_str()));
    }
    assert_eq!(tables(&dynamodb), Vec::<Value>::new());
    assert_eq!(function.processes().len(), 1, "one environment answered all");
}

#[tokio::test]
async fn a_deadline_in_the_past_means_none() {
    let dynamodb = dynamodb().await;
    for milliseconds in [0, 1_000] {
        let settings = FunctionSettings {
            deadline: Some(milliseconds),
            ..function_settings(&sink_seatool_data::SINK, &dynamodb.endpoint(), &[])
        };
        let function = LocalFunction::new(settings);
        let event = Event::new([seatool(&milliseconds.to_string(), 0, 1)]);
        let invocation = function.invoke(event.json()).await.unwrap();
        assert_eq!(invocation.answer, no_failures());
        assert_eq!(counts(&invocation), "received 1, written 1");
    }
}

#[tokio::test]
async fn a_slow_table_fails_the_batch_before_the_deadline() {
    let dynamodb = dynamodb().await;
    let mut is_slow = true;
    let proxy = Proxy::start(&dynamodb, move |request| {
        if request.operation == "DescribeTable" {
            return Act::Pass;
        }
        if std::mem::take(&mut is_slow) { Act::Silence(Applied::Yes) } else { Act::Pass }
    })
    .await;
    let settings = FunctionSettings {
        timeout: Duration::from_secs(2),
        ..function_settings(&sink_seatool_data::SINK, &proxy.endpoint(), &[])
    };
    let function = LocalFunction::new(settings);
    let event = Event::new([seatool("A", 0, 1), seatool("B", 0, 2)]).json();

    // Were it late, the answer would be a timeout.
    let slow = function.invoke(event.clone()).await.unwrap();
    let (error_type, message) = function_error(&slow.answer);
    assert_eq!(error_type, "RecordsFailed");
    let expected = "2 of 2 records failed; the first at aws.ksqldb.seatool.agg.State_Plan-0 offset 1: no time was left";
    assert!(message.starts_with(expected), "{message}");
    assert_eq!(counts(&slow), "received 2, failed 2");

    let retry = function.invoke(event).await.unwrap();
    assert_eq!((&retry.answer, retry.process), (&no_failures(), slow.process));
    assert_eq!(dynamodb.items(SEATOOL).len(), 2);
}

#[tokio::test]
async fn a_panic_is_reported_and_ends_nothing() {
    let dynamodb = dynamodb().await;
    let function = panicking_function(&dynamodb.endpoint(), &[]);
    let record = |offset, value: &str| Record {
        topic: "panicking".to_owned(),
        value: Some(value.as_bytes().to_vec()),
        ..seatool("A", 0, offset)
    };

    let good = function.invoke(Event::new([record(1, r#"{"good":1}"#)]).json()).await.unwrap();
    assert_eq!(good.answer, no_failures());
    let event = Event::new([record(2, r#"{"good":2}"#), record(3, r#"{"bad":"secret"}"#)]);
    let bad = function.invoke(event.json()).await.unwrap();
    let expected = ("Panicked", "the function panicked: its log says where");
    assert_eq!(function_error(&bad.answer), expected);
    // The message quotes the record, so only the place is told.
    let said = bad.log.join("\n");
    assert!(said.contains("panicking_sink.rs:"), "{said}");
    assert!(!said.contains("secret"), "{said}");

    let next = function.invoke(Event::new([record(2, r#"{"good":2}"#)]).json()).await.unwrap();
    assert_eq!((&next.answer, next.process), (&no_failures(), good.process));
    assert_eq!(dynamodb.items(APPIAN).len(), 2);

    // It holds where the functions are deployed only if they unwind there.
    let manifest = std::fs::read_to_string(crate::support::function::root().join("Cargo.toml"));
    assert!(manifest.unwrap().contains("\npanic = \"unwind\"\n"));
}
