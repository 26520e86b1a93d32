//! The quarantine as an operator works on it: entries that the real function made, mended by it, or dropped.

#![expect(clippy::unwrap_used, reason = "tests end on what they don't expect")]

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    slice,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{StatusCode, header::HeaderName},
    response::IntoResponse as _,
    routing::{get, post},
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use dynoxide::actions::{delete_item::DeleteItemRequest, put_item::PutItemRequest};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use local::{
    build::{Profile, Programs},
    dynamodb::{LocalDynamoDb, Storage, without_streams},
    function::{FunctionSettings, LocalFunction},
    invoke::{Invoker, Outcome},
    samconfig,
};
use serde_json::{Value, json};

const TOPIC: &str = "aws.appian.cmcs.MCP_SPA_PCKG";
const SINK: &str = "sinkAppianData";
const APPIAN: &str = "compare-connector-local-appian";
const QUARANTINE: &str = "compare-connector-local-quarantine";

/// How the function was set up when it rejected what it need not: it stores a schema that has no room.
const BROKEN: &[&str] = &["KeepConnectSchema=true"];
const MENDED: &[&str] = &[];

static TEMPLATE: LazyLock<PathBuf> =
    LazyLock::new(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../template.yaml"));

/// A stage whose tables are in an embedded DynamoDB.
struct Stage {
    name: Option<&'static str>,
    dynamodb: LocalDynamoDb,
}

impl Stage {
    /// The local one, whose function got these records while it was broken.
    async fn new(records: &[String]) -> Self {
        Self::named(None, records).await
    }

    async fn named(name: Option<&'static str>, records: &[String]) -> Self {
        let template = samconfig::template(&TEMPLATE, name, &[]).unwrap();
        let tables = without_streams(&template.tables);
        let dynamodb = LocalDynamoDb::start(Storage::Memory, 0, &tables).await.unwrap();
        let stage = Self { name, dynamodb };
        stage.deliver(BROKEN, records).await;
        stage
    }

    /// The function, set up with these parameters of the template.
    fn function(&self, parameters: &[&str]) -> Invoker {
        let parameters = parameters.iter().map(|it| it.split_once('=').unwrap());
        let parameters: Vec<_> =
            parameters.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let template = samconfig::template(&TEMPLATE, self.name, &parameters).unwrap();
        let function = template.functions.into_iter().find(|it| it.binary == SINK).unwrap();
        let programs = Programs::Cargo(Profile::Dev);
        let programs = programs.find(TEMPLATE.parent().unwrap(), slice::from_ref(&function));
        let program = programs.unwrap().remove(SINK).unwrap();
        let settings = FunctionSettings::local(&function, program, &self.dynamodb.endpoint());
        Invoker::Local(Box::new(LocalFunction::new(settings)))
    }

    async fn deliver(&self, parameters: &[&str], records: &[String]) {
        let event = format!(
            r#"{{"eventSource":"SelfManagedKafka","records":{{"{TOPIC}-0":[{}]}}}}"#,
            records.join(",")
        );
        let reply = self.function(parameters).invoke(event).await;
        assert!(matches!(reply.outcome, Outcome::Answered(_)), "{reply:?}");
    }

    /// Runs the program on this stage.
    async fn sinkctl(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        self.sinkctl_at(&self.dynamodb.endpoint(), arguments).await
    }

    async fn sinkctl_at(
        &self,
        endpoint: &str,
        arguments: &[&str],
    ) -> (Option<i32>, String, String) {
        let mut arguments = [arguments, &["--dynamodb-endpoint", endpoint]].concat();
        if let Some(stage) = self.name {
            arguments.extend(["--stage", stage]);
        }
        sinkctl(&arguments, &[]).await
    }

    async fn list(&self) -> Value {
        let (status, out, errors) = self.sinkctl(&["list", "--json", "--limit", "100"]).await;
        assert_eq!(status, Some(0), "{errors}");
        serde_json::from_str(&out).unwrap()
    }

    /// Redrives everything to the function that is set up with these parameters.
    async fn redrive(&self, parameters: &[&str]) -> Value {
        let (_, out, errors) = self.redrive_at(&self.dynamodb.endpoint(), parameters).await;
        assert!(out.starts_with('{'), "{out}{errors}");
        serde_json::from_str(&out).unwrap()
    }

    async fn redrive_at(
        &self,
        endpoint: &str,
        parameters: &[&str],
    ) -> (Option<i32>, String, String) {
        let mut arguments = vec!["redrive", "--json", "--rate", "1000000"];
        arguments.extend(parameters.iter().flat_map(|it| ["--parameter", it]));
        self.sinkctl_at(endpoint, &arguments).await
    }

    /// The offsets of the entries with their attempts.
    async fn entries(&self) -> Vec<(i64, u64)> {
        let listing = self.list().await;
        let entries = listing["entries"].as_array().unwrap();
        assert!(entries.iter().all(|entry| entry["isWhole"] == true), "{listing}");
        let entry = |it: &Value| (it["offset"].as_i64().unwrap(), it["attempts"].as_u64().unwrap());
        entries.iter().map(entry).collect()
    }

    /// The keys of the Appian items.
    fn items(&self) -> Vec<String> {
        let items = self.dynamodb.items(APPIAN).unwrap();
        items.iter().map(|item| item["PK"]["S"].as_str().unwrap().to_owned()).collect()
    }

    fn quarantined(&self) -> Vec<Value> {
        self.dynamodb.items(QUARANTINE).unwrap()
    }

    fn put(&self, table: &str, item: &Value) {
        let request = PutItemRequest {
            table_name: table.to_owned(),
            item: serde_json::from_value(item.clone()).unwrap(),
            ..PutItemRequest::default()
        };
        self.dynamodb.database().put_item(request).unwrap();
    }
}

/// Runs the program, and returns its exit status, its output and its errors.
async fn sinkctl(arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_sinkctl"));
    command.arg("--template").arg(&*TEMPLATE).arg("quarantine").args(arguments);
    let output = command.envs(variables.iter().copied()).stdin(Stdio::null()).output();
    let output = output.await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn record(offset: i64, value: &str) -> String {
    format!(
        r#"{{"topic":"{TOPIC}","partition":0,"offset":{offset},"timestamp":{},"value":"{}","headers":[{{"\u001b[2J":[104]}}]}}"#,
        1_763_700_000_000 + offset,
        BASE64.encode(value)
    )
}

/// A row whose schema the item has no room for.
fn large(offset: i64) -> String {
    let schema = "x".repeat(400 * 1024);
    record(offset, &format!(r#"{{"schema":"{schema}","payload":{{"PCKG_ID":{offset}}}}}"#))
}

/// A row whose schema DynamoDB does not take.
fn deep(offset: i64) -> String {
    let schema = format!("{}{}", "[".repeat(40), "]".repeat(40));
    record(offset, &format!(r#"{{"schema":{schema},"payload":{{"PCKG_ID":{offset}}}}}"#))
}

/// What is no row at all.
fn bad(offset: i64) -> String {
    record(offset, "[]")
}

/// The offsets of the entries that stay, and why they do.
fn whys(summary: &Value) -> Vec<(i64, &str)> {
    let left = summary["left"].as_array().unwrap().iter();
    left.map(|it| (it["offset"].as_i64().unwrap(), it["why"].as_str().unwrap())).collect()
}

/// A name for a file that is not there yet.
fn new_file(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("sinkctl-{name}-{}.jsonl", std::process::id()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_mended_lands_and_the_rest_is_dropped() {
    let stage = Stage::new(&[large(1), deep(2), bad(3)]).await;
    let listing = stage.list().await;
    let reasons = listing["byReason"].as_object().unwrap();
    assert!(reasons.values().all(|group| group["records"] == 1), "{listing}");
    let reasons: Vec<_> = reasons.keys().collect();
    assert_eq!(reasons, ["ITEM_TOO_LARGE", "NESTED_TOO_DEEP", "NOT_AN_OBJECT"]);
    for (name, count) in [("records", 3), ("incomplete", 0), ("leftovers", 0)] {
        assert_eq!(listing[name], count, "{name}");
    }
    assert_eq!(stage.quarantined().len(), 3 + 2);

    // Nothing is mended yet.
    let summary = stage.redrive(BROKEN).await;
    assert_eq!(whys(&summary), [1, 2, 3].map(|offset| (offset, "rejectedAgain")));
    assert_eq!(summary["accepted"], 0);
    let message = summary["left"][0]["message"].as_str().unwrap();
    assert!(message.starts_with("ITEM_TOO_LARGE: "), "{message}");
    assert_eq!(stage.entries().await, [(1, 2), (2, 2), (3, 2)]);
    assert_eq!(stage.items(), Vec::<String>::new());

    let summary = stage.redrive(MENDED).await;
    assert_eq!(whys(&summary), [(3, "rejectedAgain")]);
    assert_eq!(summary["outcomes"], json!({"written": 2}));
    for (name, value) in [
        ("entries", json!(3)),
        ("accepted", json!(2)),
        ("remaining", json!(0)),
        ("endedBy", Value::Null),
    ] {
        assert_eq!(summary[name], value, "{name}");
    }
    assert_eq!(stage.items(), ["1", "2"]);
    assert_eq!(stage.entries().await, [(3, 3)]);
    assert_eq!(stage.quarantined().len(), 1);

    stage.deliver(BROKEN, &[large(4)]).await;
    let stored = stage.quarantined();
    let copy = new_file("drop");
    let path = copy.to_str().unwrap();
    let (status, out, errors) = stage.sinkctl(&["drop", "--all", "--yes", "--copy", path]).await;
    assert_eq!(out, format!("2 of 2 records dropped; {path} has them\n"), "{errors}");
    assert_eq!(status, Some(0));
    let lines = std::fs::read_to_string(&copy).unwrap();
    std::fs::remove_file(copy).unwrap();
    assert_eq!(stage.quarantined(), Vec::<Value>::new());

    // The copy is all that it was.
    for line in lines.lines() {
        stage.put(QUARANTINE, &serde_json::from_str(line).unwrap());
    }
    assert_eq!(stage.quarantined(), stored);
    assert_eq!(stage.entries().await, [(3, 3), (4, 1)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_split_record_is_one() {
    let stage = Stage::new(&[large(1)]).await;
    let (_, shown, _) = stage.sinkctl(&["show", "--raw", "--json"]).await;
    assert!(shown.contains(&large(1)));
    let (_, shown, _) = stage.sinkctl(&["show"]).await;
    let expected = format!("record     {} bytes in 2 items\n", large(1).len());
    assert!(shown.contains(&expected), "{shown}");
    assert!(!shown.contains("xxx"));

    // A part goes: then it is incomplete, and is neither redriven nor forgotten.
    let items = stage.quarantined();
    let part = items.iter().find(|it| it["SK"]["S"].as_str().unwrap().contains('#')).unwrap();
    let key = json!({"PK": part["PK"], "SK": part["SK"]});
    let request = DeleteItemRequest {
        table_name: QUARANTINE.to_owned(),
        key: serde_json::from_value(key).unwrap(),
        ..DeleteItemRequest::default()
    };
    stage.dynamodb.database().delete_item(request).unwrap();
    assert_eq!(stage.list().await["entries"][0]["isWhole"], false);
    assert_eq!(whys(&stage.redrive(MENDED).await), [(1, "incomplete")]);

    // Its copy has all that is left of it.
    let copy = new_file("incomplete");
    let path = copy.to_str().unwrap();
    let (status, _, errors) = stage.sinkctl(&["drop", "--all", "--yes", "--copy", path]).await;
    assert_eq!(status, Some(0), "{errors}");
    let lines = std::fs::read_to_string(&copy).unwrap();
    std::fs::remove_file(copy).unwrap();
    assert_eq!(lines.lines().count(), 2);
    assert_eq!(stage.quarantined(), Vec::<Value>::new());
}

/// Stands in front of a DynamoDB, and lets only so many items be removed, as if the program had been killed then.
async fn killing(endpoint: String, removals: usize) -> String {
    let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
    let left = Arc::new(AtomicUsize::new(removals));
    let answer = move |request: Request| {
        let (client, left, endpoint) = (client.clone(), Arc::clone(&left), endpoint.clone());
        async move {
            let (mut parts, body) = request.into_parts();
            let is_removal = parts.headers["x-amz-target"].as_bytes().ends_with(b".DeleteItem");
            let one_less = |left: usize| left.checked_sub(1);
            if is_removal
                && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_err()
            {
                let kind = "com.amazonaws.dynamodb.v20120810#AccessDeniedException";
                let error = json!({"__type": kind, "message": "killed"}).to_string();
                return (StatusCode::BAD_REQUEST, error).into_response();
            }
            parts.uri = endpoint.parse().unwrap();
            let response = client.request(Request::from_parts(parts, body)).await;
            response.unwrap().map(Body::new)
        }
    };
    serve(Router::new().fallback(answer)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redrive_that_is_killed_goes_on() {
    let stage = Stage::new(&[large(1), deep(2), large(3)]).await;
    // Before the first head, and after it; the second entry has no parts; then after the last one's first part.
    for (removals, heads, leftovers) in [(0, 3, 0), (1, 2, 2), (1, 1, 2), (0, 1, 2), (2, 0, 3)] {
        let endpoint = killing(stage.dynamodb.endpoint(), removals).await;
        let (status, out, errors) = stage.redrive_at(&endpoint, MENDED).await;
        assert_eq!(status, Some(2), "{out}{errors}");
        let summary: Value = serde_json::from_str(&out).unwrap();
        let cause = summary["endedBy"]["fault"].as_str().unwrap();
        assert!(cause.contains("killed"), "{cause}");
        assert_eq!(stage.entries().await.len(), heads);
        assert!(stage.entries().await.iter().all(|(_, attempts)| *attempts == 1));
        assert_eq!(stage.list().await["leftovers"], leftovers);
        // All that was sent has landed, and it was safe to send it again.
        assert_eq!(stage.items(), ["1", "2", "3"]);
    }
    assert_eq!(stage.list().await["records"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_the_records_fault_ends_it() {
    let stage = Stage::new(&[deep(1), deep(2)]).await;
    let entries = stage.entries().await;
    // Nothing listens there.
    let nobody = ["redrive", "--json", "--invoke-address", "http://127.0.0.1:9"];
    let (status, out, _) = stage.sinkctl(&nobody).await;
    let summary: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (status, &summary["accepted"], &summary["remaining"]),
        (Some(2), &json!(0), &json!(2))
    );
    assert_eq!(whys(&summary), []);
    let cause = summary["endedBy"]["fault"].as_str().unwrap();
    assert!(cause.contains("2 records, could not be reached"), "{cause}");
    assert_eq!(stage.entries().await, entries);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_the_answer_names_stay() {
    let stage = Stage::new(&[deep(1), deep(2), deep(3)]).await;
    // An item that somebody else stamped, which no record can overwrite.
    stage.put(APPIAN, &json!({"PK": {"S": "2"}, "SK": {"S": "2"}, "_sink": {"S": "mine"}}));

    let summary = stage.redrive(&["PollerMode=provisioned"]).await;
    assert_eq!(whys(&summary), [(2, "failed"), (3, "failed")]);
    assert_eq!((&summary["accepted"], &summary["endedBy"]), (&json!(1), &Value::Null));
    assert_eq!(stage.entries().await, [(2, 1), (3, 1)]);

    // Without it the invocation fails as a whole.
    let summary = stage.redrive(MENDED).await;
    let cause = summary["endedBy"]["fault"].as_str().unwrap();
    assert!(cause.contains("offset 2"), "{cause}");
    assert_eq!(summary["remaining"], 2);
    assert_eq!(stage.entries().await, [(2, 1), (3, 1)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_keeps_its_epoch() {
    let stage = Stage::new(&[deep(1), bad(2)]).await;
    let epoch_1 = ["AppianEpoch=1"];
    stage.deliver(&epoch_1, &[record(0, r#"{"payload":{"PCKG_ID":1},"new":true}"#)]).await;
    let newer = stage.dynamodb.items(APPIAN).unwrap();

    let summary = stage.redrive(&epoch_1).await;
    assert_eq!((&summary["accepted"], &summary["outcomes"]), (&json!(1), &json!({"stale": 1})));
    assert_eq!(stage.dynamodb.items(APPIAN).unwrap(), newer);
    // What was rejected again has no other entry than before.
    assert_eq!(stage.entries().await, [(2, 2)]);

    // A function that was set back would take it for another entry's.
    stage.deliver(&["KeepConnectSchema=true", "AppianEpoch=1"], &[deep(3)]).await;
    let summary = stage.redrive(MENDED).await;
    assert_eq!(whys(&summary), [(3, "lowerEpoch"), (2, "rejectedAgain")]);
    assert_eq!(stage.entries().await, [(2, 3), (3, 1)]);
    assert_eq!(stage.redrive(&epoch_1).await["accepted"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exit_statuses_say_what_came_of_it() {
    let stage = Stage::new(&[deep(1), bad(2)]).await;
    let (status, out, _) = stage.sinkctl(&["list"]).await;
    assert_eq!(status, Some(0));
    assert!(out.starts_with(&format!("2 records in {QUARANTINE}\n")), "{out}");
    let (status, out, _) = stage.sinkctl(&["list", "--json", "--reason", "NOT_AN_OBJECT"]).await;
    let listing: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((status, &listing["entries"][0]["offset"]), (Some(0), &2.into()));

    let place = format!("{TOPIC}-0");
    let (status, out, _) = stage.sinkctl(&["show", &place, "2"]).await;
    assert_eq!(status, Some(0));
    assert!(out.contains("value      2 bytes\n") && !out.contains('\u{1b}'), "{out}");
    let (_, out, _) = stage.sinkctl(&["show", &place, "2", "--decoded"]).await;
    assert!(out.contains("value      2 bytes, JSON: []\n"), "{out}");
    let (status, out, errors) = stage.sinkctl(&["show", &place, "9"]).await;
    assert_eq!((status, out.as_str()), (Some(1), ""));
    assert!(errors.contains("has no such record"), "{errors}");

    let (status, out, _) = stage.sinkctl(&["redrive", "--dry-run"]).await;
    assert_eq!(status, Some(0));
    assert!(out.starts_with("2 records would be delivered to sinkAppianData\n"), "{out}");
    let redrive = ["redrive", "--rate", "1000000"];
    let (status, out, errors) = stage.sinkctl(&redrive).await;
    assert_eq!(status, Some(1), "{errors}");
    assert!(out.starts_with("1 of 2 records accepted and removed (by the functions' logs 1 written)\n1 record left, rejected again\n"), "{out}");
    let wrong = ["redrive", "--invoke-address", "http://127.0.0.1:9"];
    let (status, out, _) = stage.sinkctl(&wrong).await;
    assert_eq!(status, Some(2));
    assert!(out.contains("could not be reached"), "{out}");

    let (status, _, errors) = stage.sinkctl(&["drop", "--all"]).await;
    assert_eq!(status, Some(2));
    assert!(errors.contains("no `--yes`"), "{errors}");
    let (status, _, errors) = stage.sinkctl(&["drop", "--yes"]).await;
    assert_eq!(status, Some(2));
    assert!(errors.contains("`--all`"), "{errors}");
    let copy = new_file("cli");
    let path = copy.to_str().unwrap();
    let (status, out, _) = stage.sinkctl(&["drop", &place, "2", "--yes", "--copy", path]).await;
    assert_eq!(status, Some(0));
    assert_eq!(out, format!("1 of 1 record dropped; {path} has them\n"));
    assert_eq!(stage.quarantined(), Vec::<Value>::new());

    // A copy is never overwritten.
    stage.deliver(BROKEN, &[bad(3)]).await;
    let (status, _, errors) = stage.sinkctl(&["drop", "--all", "--yes", "--copy", path]).await;
    std::fs::remove_file(path).unwrap();
    assert_eq!(status, Some(2));
    assert!(errors.contains("nothing was dropped"), "{errors}");
    assert_eq!(stage.entries().await, [(3, 1)]);
    // Options that fit no record may be misspelt.
    let (status, _, errors) = stage.sinkctl(&["redrive", "--topic", "other"]).await;
    assert_eq!(status, Some(1));
    assert!(errors.contains("has no such record"), "{errors}");
}

async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    format!("http://{address}")
}

/// What Lambda says of a function that is deployed under this name, and does with it.
async fn lambda(name: &str, function: Invoker) -> String {
    let variables = json!({"KAFKA_TOPIC": TOPIC, "EPOCH": "0"});
    let configuration = json!({"Environment": {"Variables": variables}}).to_string();
    let function = Arc::new(function);
    let invocation = move |body: String| async move {
        let reply = function.invoke(body).await;
        // Lambda gives the last 4 KB.
        let log = reply.log.join("\n");
        let tail = &log.as_bytes()[log.len().saturating_sub(4096)..];
        let log = [(HeaderName::from_static("x-amz-log-result"), BASE64.encode(tail))];
        match reply.outcome {
            Outcome::Answered(body) => (StatusCode::OK, log, body),
            _ => (StatusCode::INTERNAL_SERVER_ERROR, log, Vec::new()),
        }
    };
    let path = |what: &str| format!("/2015-03-31/functions/{name}/{what}");
    let router = Router::new()
        .route(&path("configuration"), get(|| async move { configuration }))
        .route(&path("invocations"), post(invocation));
    serve(router).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployed_stage_is_mended_through_lambda() {
    let stage = Stage::named(Some("master"), &[deep(1), bad(2)]).await;
    let endpoint = stage.dynamodb.endpoint();
    let function = stage.function(MENDED);
    let lambda = lambda("compare-sinks-master-sinkAppianData", function).await;
    let variables = [
        ("AWS_ACCESS_KEY_ID", "local"),
        ("AWS_SECRET_ACCESS_KEY", "local"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL_DYNAMODB", endpoint.as_str()),
        ("AWS_ENDPOINT_URL_LAMBDA", lambda.as_str()),
    ];
    let (status, out, errors) = sinkctl(&["redrive", "--stage", "master"], &variables).await;
    assert_eq!((status, errors.as_str()), (Some(1), ""));
    let expected = format!(
        "1 of 2 records accepted and removed (by the functions' logs 1 written)\n\
         1 record left, rejected again\n  \
         {TOPIC}-0 offset 2 epoch 0: was NOT_AN_OBJECT; now NOT_AN_OBJECT: the JSON text is not an object\n"
    );
    assert_eq!(out, expected);
    assert_eq!(stage.entries().await, [(2, 2)]);
    // Nothing is deployed under that name.
    let other = ("AWS_ENDPOINT_URL_LAMBDA", "http://127.0.0.1:9");
    let variables = [&variables[..4], &[other]].concat();
    let (status, _, errors) = sinkctl(&["redrive", "--stage", "master"], &variables).await;
    assert_eq!(status, Some(2));
    assert!(errors.contains("is the stage deployed in this region?"), "{errors}");
    assert_eq!(stage.entries().await, [(2, 2)]);
}
