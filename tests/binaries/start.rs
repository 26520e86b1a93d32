//! What a function says that cannot start.

use std::process::Command;

use dynamo_sink::sink::Sink;
use dynoxide::types::ScalarAttributeType;
use local::{
    function::{FunctionSettings, LocalFunction},
    runtime_api::Answer,
    template::Table,
};

use crate::support::{
    APPIAN, Act, Applied, Event, Proxy, QUARANTINE, Record, Refusal, SEATOOL, TOMBSTONES,
    TestDynamoDb, dynamodb,
    function::{function, function_settings, no_failures},
    template,
};

const SINK: Sink = sink_seatool_data::SINK;

/// Starts the function; it must report `expected` as an init error, on standard error, and by a status that is not 0.
async fn check(settings: FunctionSettings, error_type: &str, expected: &str) {
    let function = LocalFunction::new(settings.clone());
    let invocation = function.invoke("{}").await.unwrap();
    let Answer::InitError(error) = &invocation.answer else { panic!("{invocation:#?}") };
    assert_eq!((error.error_type.as_str(), error.error_message.as_str()), (error_type, expected));
    assert_eq!(function.processes().len(), 0);

    check_by_hand(&settings, expected).await;
}

/// Starts the program without a Runtime API; it must end with `expected` on standard error.
async fn check_by_hand(settings: &FunctionSettings, expected: &str) {
    let mut command = Command::new(&settings.executable);
    command.env_clear().envs(&settings.variables);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(errors, format!("Error: {expected:?}\n"));
}

/// As [`check`], of changed variables.
async fn check_variables(sink: &Sink, changes: &[(&str, &str)], expected: &str) {
    let settings = function_settings(sink, "http://127.0.0.1:9", changes);
    check(settings, "Settings", expected).await;
}

#[tokio::test]
async fn a_missing_variable_is_named() {
    let name = "the name of a DynamoDB table";
    for variable in ["TABLE_NAME", "TOMBSTONE_TABLE_NAME", "QUARANTINE_TABLE_NAME"] {
        let expected = format!("environment variable `{variable}` is not set: expected {name}");
        let mut settings = function_settings(&SINK, "http://127.0.0.1:9", &[]);
        settings.variables.remove(variable).unwrap();
        check(settings, "Settings", &expected).await;
        // An empty one counts as missing.
        check_variables(&SINK, &[(variable, "")], &expected).await;
    }
}

#[tokio::test]
async fn a_malformed_variable_is_named_with_what_was_found() {
    check_variables(
        &SINK,
        &[("EPOCH", "-1")],
        "environment variable `EPOCH` is `-1`: expected a whole number from 0 to 9999999999",
    )
    .await;
    check_variables(
        &sink_appian_data::SINK,
        &[("RESPONSE_MODE", "some")],
        "environment variable `RESPONSE_MODE` is `some`: expected `batch` or `partial`",
    )
    .await;
    check_variables(
        &SINK,
        &[("QUARANTINE_RETENTION_DAYS", "365")],
        "`TOMBSTONE_RETENTION_DAYS` must be greater than `QUARANTINE_RETENTION_DAYS`: an old record that is redriven \
         from the quarantine after its key's tombstone expired would bring the deleted item back",
    )
    .await;
}

/// Starts the Seatool function on tables that differ from the template's.
async fn check_tables(change: impl FnOnce(&mut Vec<Table>), error_type: &str, expected: &str) {
    let mut tables = template().tables;
    change(&mut tables);
    let dynamodb = TestDynamoDb::start(&tables).await;
    check(function_settings(&SINK, &dynamodb.endpoint(), &[]), error_type, expected).await;
}

#[tokio::test]
async fn a_missing_table_is_named() {
    for missing in [SEATOOL, TOMBSTONES, QUARANTINE] {
        check_tables(
            |tables| tables.retain(|table| table.name != missing),
            "MissingTable",
            &format!("table `{missing}` does not exist in this account and region"),
        )
        .await;
    }
}

#[tokio::test]
async fn a_wrong_key_schema_is_shown() {
    for wrong in [SEATOOL, TOMBSTONES, QUARANTINE] {
        check_tables(
            |tables| {
                let table = tables.iter_mut().find(|table| table.name == wrong).unwrap();
                table.key_schema.truncate(1);
                table.attribute_definitions.truncate(1);
            },
            "KeySchema",
            &format!(
                "table `{wrong}` has the key schema PK (S, HASH): expected PK (S, HASH), SK (S, RANGE)"
            ),
        )
        .await;
    }
    check_tables(
        |tables| {
            let table = tables.iter_mut().find(|table| table.name == SEATOOL).unwrap();
            table.attribute_definitions[1].attribute_type = ScalarAttributeType::N;
        },
        "KeySchema",
        &format!(
            "table `{SEATOOL}` has the key schema PK (S, HASH), SK (N, RANGE): expected PK (S, HASH), SK (S, RANGE)"
        ),
    )
    .await;
    check_tables(
        |tables| {
            let table = tables.iter_mut().find(|table| table.name == SEATOOL).unwrap();
            "id".clone_into(&mut table.key_schema[0].attribute_name);
            "id".clone_into(&mut table.attribute_definitions[0].attribute_name);
        },
        "KeySchema",
        &format!(
            "table `{SEATOOL}` has the key schema id (S, HASH), SK (S, RANGE): expected PK (S, HASH), SK (S, RANGE)"
        ),
    )
    .await;
}

#[tokio::test]
async fn a_function_that_is_started_by_hand_says_so() {
    let dynamodb = dynamodb().await;
    let settings = function_settings(&SINK, &dynamodb.endpoint(), &[]);
    let expected = "`AWS_LAMBDA_RUNTIME_API` is not set: this is a Lambda function, started by Lambda, `sinkctl demo` or \
                    `cargo lambda`";
    check_by_hand(&settings, expected).await;
}

/// A function whose tables cannot be looked at starts all the same, and warns of each with the cause.
async fn check_undescribed(act: impl Fn() -> Act + Send + 'static, cause: &str) {
    let dynamodb = dynamodb().await;
    let proxy = Proxy::start(&dynamodb, move |request| match request.operation.as_str() {
        "DescribeTable" => act(),
        _ => Act::Pass,
    })
    .await;
    let function = function(&sink_appian_data::SINK, &proxy.endpoint(), &[]);
    let event = Event::new([Record::appian(1, 1, 0, 1, serde_json::json!({}))]);
    let invocation = function.invoke(event.json()).await.unwrap();
    assert_eq!(invocation.answer, no_failures());
    assert_eq!(dynamodb.items(APPIAN).len(), 1);
    for table in [APPIAN, QUARANTINE] {
        let warnings = invocation.log.iter().filter(|line| {
            line.contains("the table's key schema is not checked")
                && line.contains(&format!("\"table\":\"{table}\""))
                && line.contains(cause)
        });
        assert_eq!(warnings.count(), 1, "{:#?}", invocation.log);
    }
}

#[tokio::test]
async fn tables_that_cannot_be_looked_at_are_no_failure() {
    let refuse = |code, message| move || Act::Refuse(Refusal { code, message });
    check_undescribed(refuse("AccessDeniedException", "no"), "`AccessDeniedException`: no").await;
    check_undescribed(refuse("UnrecognizedClientException", "no such token"), "no such token")
        .await;
    check_undescribed(refuse("ThrottlingException", "slow down"), "throttled by DynamoDB").await;
    check_undescribed(refuse("InternalServerError", "later"), "InternalServerError").await;
    check_undescribed(|| Act::Close(Applied::No), "no usable answer from DynamoDB: ").await;
    check_undescribed(|| Act::Silence(Applied::No), "no answer from DynamoDB in time").await;
}

#[tokio::test]
async fn the_tables_are_looked_at_side_by_side() {
    let dynamodb = dynamodb().await;
    let rule = |_: &_| Act::Hold(std::time::Duration::from_millis(300));
    let proxy = Proxy::start(&dynamodb, rule).await;
    let function = function(&SINK, &proxy.endpoint(), &[]);
    function.invoke(Event::default().json()).await.unwrap();
    let in_flight = proxy.requests().iter().map(|request| request.in_flight).max();
    assert_eq!((proxy.count("DescribeTable"), in_flight), (3, Some(3)));
}
