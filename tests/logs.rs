//! What the functions write to their logs, and that it is never a record's data.

use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use dynamo_sink::sink::Sink;
use local::{
    function::{Invocation, LocalFunction},
    runtime_api::Answer,
};
use serde_json::{Value, json};

use crate::support::{
    Act, Applied, Event, Proxy, Record, Refusal, Request, SEATOOL, dynamodb,
    function::{
        SHORT, batch_lines, function, function_error, function_within, no_failures,
        panicking_function, samples,
    },
};

/// As much as anyone can ask a function to log.
const ALL: [(&str, &str); 2] = [("AWS_LAMBDA_LOG_LEVEL", "TRACE"), ("RUST_LOG", "trace")];

/// Its coordinates stand nowhere else.
#[tokio::test]
async fn a_regression_is_logged_at_every_level() {
    let dynamodb = dynamodb().await;
    let sink = sink_seatool_data::SINK;
    let value = json!({"a": 1});
    let put = |offset, timestamp| Record::seatool("A", 0, offset, timestamp, Some(&value));
    for level in ["FATAL", "ERROR", "INFO"] {
        let function = function(&sink, &dynamodb.endpoint(), &[("AWS_LAMBDA_LOG_LEVEL", level)]);
        function.invoke(Event::new([put(10, 1000)]).json()).await.unwrap();
        let invocation = function.invoke(Event::new([put(5, 2000)]).json()).await.unwrap();
        assert_eq!(invocation.answer, no_failures());
        let lines: Vec<Value> =
            invocation.log.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        let line = lines.iter().find(|line| line["message"] == "record not applied").unwrap();
        assert_eq!([&line["topic"], &line["level"]], [sink.topic, "ERROR"]);
        let numbers = ["partition", "offset", "timestamp"].map(|name| line[name].as_i64().unwrap());
        assert_eq!(numbers, [0, 5, 2000]);
    }
}

#[tokio::test]
async fn no_sample_leaves_its_data_in_the_log() {
    let dynamodb = dynamodb().await;
    let mut lines = 0;
    for (sink, sample) in samples() {
        let function = function(&sink, &dynamodb.endpoint(), &ALL);
        let secrets = secrets(&sample.payload);
        assert!(!secrets.is_empty(), "{}", sample.file);
        for _ in 0..2 {
            let invocation = function.invoke(sample.payload.clone()).await.unwrap();
            assert_eq!(invocation.answer, no_failures());
            check(&sample.file, &invocation, &secrets);
            assert_eq!(batch_lines(&invocation).len(), 1);
            lines += invocation.log.len();
        }
    }
    assert!(lines > 100, "only {lines} lines, so the rejections are not among them");
}

/// Checks that each line is a JSON object, and that neither the log nor the answer has one of the secrets.
#[track_caller]
fn check(what: &str, invocation: &Invocation, secrets: &BTreeSet<String>) {
    for line in &invocation.log {
        let json: Value = serde_json::from_str(line).unwrap_or_default();
        assert!(json.is_object(), "{what}: no JSON object: {line}");
        let found = leaks(&json, secrets);
        assert_eq!(found, Vec::<&str>::new(), "{what}: {line}");
    }
    let said = match &invocation.answer {
        Answer::Success(body) => body,
        Answer::FunctionError(error) => &error.body,
        other => panic!("{what}: {other:?}"),
    };
    let found = leaks(&serde_json::from_slice(said).unwrap(), secrets);
    assert_eq!(found, Vec::<&str>::new(), "{what}: answered {said:?}");
}

/// The secrets that a line has, in its members' names and values. Times may equal a number by chance.
fn leaks<'a>(line: &Value, secrets: &'a BTreeSet<String>) -> Vec<&'a str> {
    let mut texts = Vec::new();
    collect_texts(line, &mut texts);
    let text = texts.join("\n");
    secrets.iter().map(String::as_str).filter(|secret| has(&text, secret)).collect()
}

fn collect_texts(json: &Value, texts: &mut Vec<String>) {
    const TIMES: [&str; 4] = ["timestamp", "Timestamp", "batchDuration", "oldestRecordAge"];
    match json {
        Value::Object(members) => {
            for (name, value) in members {
                texts.push(name.clone());
                if !TIMES.contains(&name.as_str()) {
                    collect_texts(value, texts);
                }
            }
        }
        Value::Array(elements) => elements.iter().for_each(|it| collect_texts(it, texts)),
        Value::String(text) => texts.push(text.clone()),
        other => texts.push(other.to_string()),
    }
}

/// Whether `text` has `secret`; a number must stand there by itself.
fn has(text: &str, secret: &str) -> bool {
    let is_number = secret.bytes().all(|byte| byte.is_ascii_digit());
    text.match_indices(secret).any(|(start, _)| {
        let before = text[..start].chars().next_back();
        let after = text[start + secret.len()..].chars().next();
        !is_number || ![before, after].iter().flatten().any(char::is_ascii_digit)
    })
}

/// What must not be found of an event: its records' keys, values and headers as they came and decoded, each text and
/// number in them, and the names of members.
fn secrets(payload: &[u8]) -> BTreeSet<String> {
    /// What the functions' own messages say, and the fixed parts of Connect's descriptions of types.
    const SAID: &str = "payload PCKG_ID REPLICA_TIMESTAMP UPDT_TS _sink schema type name fields field optional struct \
                        string int32 int64 double version reason source false true null 1E+126 1E-130";
    let event: Value = serde_json::from_slice(payload).unwrap();
    let records: Vec<&Value> = match &event {
        Value::Array(records) => records.iter().collect(),
        event => {
            let partitions = event["records"].as_object().unwrap().values();
            partitions.flat_map(|records| records.as_array().unwrap()).collect()
        }
    };
    let mut coordinates = vec!["compare-connector-local-sinkAppianData".to_owned()];
    let mut secrets = BTreeSet::new();
    for record in records {
        coordinates
            .extend(["topic", "offset", "timestamp"].map(|member| record[member].to_string()));
        for member in ["key", "value"] {
            if let Some(encoded) = record[member].as_str() {
                add_encoded(encoded, &mut secrets);
            }
        }
        let headers = record["headers"].as_array().map(Vec::as_slice).unwrap_or_default();
        for (name, value) in headers.iter().filter_map(Value::as_object).flatten() {
            secrets.insert(name.clone());
            let bytes = value.as_array().map(Vec::as_slice).unwrap_or_default();
            let bytes = bytes.iter().filter_map(|byte| i8::try_from(byte.as_i64()?).ok());
            let bytes: Vec<u8> = bytes.map(i8::cast_unsigned).collect();
            secrets.insert(String::from_utf8_lossy(&bytes).into_owned());
            secrets.insert(STANDARD.encode(&bytes));
            secrets.insert(value.to_string());
        }
    }
    let coordinates = coordinates.join("\n");
    secrets.retain(|secret| {
        let is_number = secret.bytes().all(|byte| byte.is_ascii_digit());
        let is_long = secret.chars().count() >= if is_number { 5 } else { 4 };
        let is_said = SAID.split(' ').any(|said| said.starts_with(secret.as_str()));
        is_long && !is_said && !has(&coordinates, secret)
    });
    secrets
}

fn add_encoded(encoded: &str, secrets: &mut BTreeSet<String>) {
    /// What an error would quote of a longer text at least.
    const EXCERPT: usize = 16;
    let excerpt = |text: &str| text.chars().take(EXCERPT).collect::<String>();

    secrets.insert(excerpt(encoded));
    let Ok(bytes) = STANDARD.decode(encoded) else { return };
    let text = String::from_utf8_lossy(&bytes);
    secrets.insert(excerpt(&text));
    // The rest of it byte by byte, as `Debug` shows bytes.
    secrets.insert(format!("{:?}", &bytes[..bytes.len().min(8)]));
    for scalar in scalars(&text) {
        secrets.insert(excerpt(&scalar));
        secrets.insert(scalar);
    }
}

/// The strings and numbers of a text that may be JSON, also of one that is broken or has a name twice.
fn scalars(text: &str) -> Vec<String> {
    let mut scalars = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(|it: char| it == '"' || it.is_ascii_digit()) {
        rest = &rest[start..];
        let end = if let Some(inner) = rest.strip_prefix('"') {
            let mut is_escaped = false;
            let end = inner.find(|it| {
                let ends = it == '"' && !is_escaped;
                is_escaped = it == '\\' && !is_escaped;
                ends
            });
            end.map_or(rest.len(), |end| end + 2)
        } else {
            let is_part = |it: char| it.is_ascii_digit() || ".eE+-".contains(it);
            rest.find(|it| !is_part(it)).unwrap_or(rest.len())
        };
        let (scalar, after) = rest.split_at(end);
        let plain = scalar.trim_matches('"').to_owned();
        scalars.push(serde_json::from_str::<String>(scalar).unwrap_or(plain));
        rest = after;
    }
    scalars
}

#[test]
fn a_leak_would_be_found() {
    #[track_caller]
    fn check(secrets: &BTreeSet<String>, line: &Value, expected: &[&str]) {
        assert_eq!(leaks(line, secrets), expected, "{line}");
    }

    let mut record = Record::seatool("MD-22-0001", 3, 71_017, 1_700_000_000_000, None);
    record.value =
        Some(r#"{"PLAN_NAME":"a \"quoted\" plan","n":12345.5,"PLAN_NAME":70011,"x":71017}"#.into());
    let mut payload: Value = serde_json::from_str(&Event::new([record]).json()).unwrap();
    let record = &mut payload["records"]["aws.ksqldb.seatool.agg.State_Plan-3"][0];
    record["headers"] = json!([{"trace-of": [104, 101, -61, -87, 114]}]);
    let secrets = secrets(payload.to_string().as_bytes());
    let p = |line: Value, expected: &[&str]| check(&secrets, &line, expected);

    p(
        json!({"message": "batch", "topic": "aws.ksqldb.seatool.agg.State_Plan", "offset": 71017}),
        &[],
    );
    p(json!({"message": "key MD-22-0001"}), &["MD-22-0001"]);
    p(json!({"MD-22-0001": 1}), &["MD-22-0001"]);
    p(json!({"message": "a \"quoted\" plan"}), &["a \"quoted\" plan"]);
    p(json!({"message": "PLAN_NAME is wrong"}), &["PLAN_NAME"]);
    p(json!({"n": [12345.5]}), &["12345.5"]);
    p(json!({"n": 70011}), &["70011"]);
    p(json!({"n": 170_011, "timestamp": 70_011}), &[]);
    p(json!({"key": "Ik1ELTIyLTAwMDEi"}), &["Ik1ELTIyLTAwMDEi"]);
    p(json!({"headers": "trace-of: heér"}), &["heér", "trace-of"]);
    p(json!({"headers": "[104,101,-61,-87,114]"}), &["[104,101,-61,-87,114]"]);
    p(json!({"bytes": "[34, 77, 68, 45, 50, 50, 45, 48]"}), &["[34, 77, 68, 45, 50, 50, 45, 48]"]);
}

/// The counts come first, then a line for each partition of which several records failed for one cause.
#[tokio::test]
async fn a_cause_that_records_share_is_told_once_a_partition() {
    let dynamodb = dynamodb().await;
    let sink = sink_seatool_data::SINK;
    let message = "not authorized";
    let refusal = Refusal { code: "AccessDeniedException", message };
    let proxy = Proxy::start(&dynamodb, move |request| match request.operation.as_str() {
        "DescribeTable" => Act::Pass,
        _ => Act::Refuse(refusal),
    })
    .await;
    let value = json!({"a": 1});
    let records = (0..200).map(|number| {
        let partition = i32::try_from(number % 2).unwrap();
        Record::seatool(&format!("A{number}"), partition, 1000 + number, 5, Some(&value))
    });
    let lone = Record::seatool("B", 7, 9, 5, Some(&value));
    let event = Event::new(records.chain([lone]));
    let function = function_within(SHORT, &sink, &proxy.endpoint(), &[]);
    let invocation = function.invoke(event.json()).await.unwrap();
    assert_eq!(function_error(&invocation.answer).0, "SystemFault");

    let lines = invocation.log.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let lines: Vec<Value> = lines.collect();
    // The runtime tells of the failure too.
    let is_ours = |line: &&Value| {
        line["message"].as_str().is_some_and(|it| it == "batch" || it.starts_with("record"))
    };
    let told: Vec<String> = lines
        .iter()
        .filter(is_ours)
        .map(|line| match line["message"].as_str().unwrap() {
            "batch" => format!("batch {}", line["failed"]),
            message => {
                let reason = "DynamoDB answered `AccessDeniedException`: not authorized";
                assert_eq!([&line["reason"], &line["level"]], [reason, "ERROR"]);
                let place = ["partition", "offset", "lastOffset", "count"].map(|it| &line[it]);
                format!("{message} {place:?}")
            }
        })
        .collect();
    assert_eq!(
        told,
        [
            "batch 201",
            "records failed [Number(0), Number(1000), Number(1198), Number(100)]",
            "records failed [Number(1), Number(1001), Number(1199), Number(100)]",
            "record failed [Number(7), Number(9), Null, Null]",
        ]
    );
}

/// Rows that a newer state of the source's clock made stale can be found, by whoever looks for them.
#[tokio::test]
async fn stale_rows_are_told_at_debug() {
    let dynamodb = dynamodb().await;
    let sink = sink_appian_data::SINK;
    let row = |time, offset| Event::new([Record::appian(1, time, 3, offset, json!({}))]);
    for (level, n_lines) in [("INFO", 0), ("DEBUG", 1)] {
        let function = function(&sink, &dynamodb.endpoint(), &[("AWS_LAMBDA_LOG_LEVEL", level)]);
        function.invoke(row(2000, 70).json()).await.unwrap();
        let invocation = function.invoke(row(1000, 71).json()).await.unwrap();
        assert_eq!(invocation.answer, no_failures());
        let lines = invocation.log.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let lines: Vec<Value> = lines.filter(|line| line["message"] == "record stale").collect();
        assert_eq!(lines.len(), n_lines);
        for line in lines {
            assert_eq!([&line["topic"], &line["level"]], [sink.topic, "DEBUG"]);
            assert_eq!(["partition", "offset"].map(|it| line[it].as_i64().unwrap()), [3, 71]);
        }
    }
}

/// An event of one record and a rejected one, whose data all begins with [`SECRET`].
fn secret_event(topic: &str) -> Event {
    let record =
        Record::seatool("SECRET-KEY", 0, 1, 1, Some(&json!({"SECRET_NAME": "SECRET-VALUE"})));
    let rejected = Record { offset: 2, value: Some(b"SECRET-VALUE".to_vec()), ..record.clone() };
    let records = [record, rejected].map(|it| Record { topic: topic.to_owned(), ..it });
    Event::new(records)
}

const SECRET: &str = "SECRET";

/// Messages as DynamoDB has them or might have them, but with data.
const QUOTING: &str = "The parameter cannot be converted to a numeric value: SECRET-VALUE";
const QUOTING_KEY: &str =
    "One or more parameter values were invalid: Type mismatch for attribute SECRET_NAME";

const QUOTING_ONLY: &str = "SECRET-VALUE is no SECRET_NAME";
const QUOTING_WRAPPED: &str = "1 validation error detected: Value 'SECRET-VALUE' at 'item' failed: Number overflow of SECRET-VALUE";

async fn check_secret(
    what: &str,
    function: &LocalFunction,
    payload: impl Into<Vec<u8>>,
) -> Invocation {
    let invocation = function.invoke(payload.into()).await.unwrap();
    let secrets = [SECRET.to_owned(), STANDARD.encode("SECRET-VALUE"), "\\\"SECRET".to_owned()];
    check(what, &invocation, &secrets.into());
    invocation
}

/// Sends the event with secrets through a proxy that does `rule` to each request but those at start.
async fn check_fault(
    what: &str,
    sink: &Sink,
    statements: &str,
    mut rule: impl FnMut(&Request) -> Act + Send + 'static,
) {
    let dynamodb = dynamodb().await;
    let proxy = Proxy::start(&dynamodb, move |request| match request.operation.as_str() {
        "DescribeTable" => Act::Pass,
        _ => rule(request),
    })
    .await;
    let changes: Vec<_> =
        ALL.into_iter().chain([("DYNAMODB_STATEMENTS_PER_REQUEST", statements)]).collect();
    let function = function_within(SHORT, sink, &proxy.endpoint(), &changes);
    check_secret(what, &function, secret_event(sink.topic).json()).await;
}

#[tokio::test]
async fn no_fault_leaves_data_in_the_log() {
    let sink = sink_seatool_data::SINK;
    for statements in ["25", "1"] {
        for (code, message) in [
            ("ValidationException", QUOTING),
            ("ValidationException", QUOTING_KEY),
            ("ValidationException", QUOTING_ONLY),
            ("ValidationException", QUOTING_WRAPPED),
            ("NewException", QUOTING_ONLY),
            ("ResourceNotFoundException", "Requested resource not found"),
            ("AccessDeniedException", "not authorized"),
        ] {
            let refusal = Refusal { code, message };
            check_fault(code, &sink, statements, move |_| Act::Refuse(refusal)).await;
        }
        for (code, message) in [
            ("ValidationError", QUOTING),
            ("ValidationError", QUOTING_KEY),
            ("ValidationError", QUOTING_ONLY),
            ("AccessDenied", "not authorized"),
        ] {
            let refusal = Refusal { code, message };
            check_fault(code, &sink, statements, move |request| match request.operation.as_str() {
                "BatchExecuteStatement" => Act::RefuseStatements(vec![(0, refusal)]),
                "TransactWriteItems" => Act::Cancel(vec![(0, refusal)]),
                _ => Act::Pass,
            })
            .await;
        }
        let mut answers = 0;
        check_fault("lost answers", &sink, statements, move |_| {
            answers += 1;
            if answers <= 4 { Act::Close(Applied::Yes) } else { Act::Pass }
        })
        .await;
    }
}

#[tokio::test]
async fn no_foreign_item_leaves_data_in_the_log() {
    let dynamodb = dynamodb().await;
    let (key, name) = (json!({"S": "SECRET-KEY"}), json!({"S": "SECRET-VALUE"}));
    dynamodb.put(SEATOOL, &json!({"PK": key, "SK": key, "_sink": name, "SECRET_NAME": name}));
    let sink = sink_seatool_data::SINK;
    let function = function(&sink, &dynamodb.endpoint(), &ALL);
    let invocation = check_secret("foreign", &function, secret_event(sink.topic).json()).await;
    assert_eq!(function_error(&invocation.answer).0, "RecordsFailed");
}

#[tokio::test]
async fn no_unreadable_payload_leaves_data_in_the_log() {
    let dynamodb = dynamodb().await;
    let sink = sink_seatool_data::SINK;
    let function = function(&sink, &dynamodb.endpoint(), &ALL);
    let event = secret_event(sink.topic).json();
    let payloads = [
        "SECRET".to_owned(),
        "\"SECRET\"".to_owned(),
        event[..event.len() - 10].to_owned(),
        event.replace("\"key\":\"", "\"key\":SECRET\""),
        event.replace("\"offset\":1,", "\"offset\":\"SECRET\","),
        event.replace("\"partition\":0,", "\"partition\":\"SECRET\","),
        json!({"Records": [{"body": "SECRET", "eventSource": "aws:sqs"}]}).to_string(),
        json!({"eventSource": "aws:kafka", "records": {"t-0": ["SECRET"]}}).to_string(),
        json!({"eventSource": "aws:kafka", "records": ["SECRET"]}).to_string(),
        json!({"eventSource": "aws:kafka", "records": "SECRET"}).to_string(),
        json!([{"eventSource": "aws:kafka", "SECRET": "SECRET"}]).to_string(),
        json!(["SECRET"]).to_string(),
        json!({"SECRET": "SECRET"}).to_string(),
    ];
    for payload in payloads {
        let invocation = check_secret(&payload, &function, payload.clone()).await;
        function_error(&invocation.answer);
    }
}

#[tokio::test]
async fn no_panic_leaves_data_in_the_log() {
    let dynamodb = dynamodb().await;
    let function = panicking_function(&dynamodb.endpoint(), &ALL);
    let invocation = check_secret("panic", &function, secret_event("panicking").json()).await;
    assert_eq!(function_error(&invocation.answer).0, "Panicked");
}
