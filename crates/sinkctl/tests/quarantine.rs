//! The quarantine as an operator works on it: entries that the real function made, mended by it, or dropped.

#![expect(clippy::unwrap_used, reason = "tests end on what they don't expect")]

use std::{
    collections::{BTreeMap, BTreeSet},
    future::{pending, ready},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use aws_sdk_dynamodb::{
    Client,
    config::{ConfigBag, Intercept, interceptors::BeforeSerializationInterceptorContextRef},
    error::BoxError,
    operation::delete_item::DeleteItemInput,
};
use axum::{
    Router,
    http::{StatusCode, header::HeaderName},
    routing::{get, post},
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use dynoxide::actions::put_item::PutItemRequest;
use indicatif::ProgressBar;
use local::{
    build::{Profile, Programs},
    dynamodb::{LocalDynamoDb, Storage, without_streams},
    invoke::Outcome,
    samconfig,
};
use serde_json::{Value, json};
use sinkctl::{
    quarantine::{
        Place, drop,
        filter::Filter,
        list::Listing,
        now,
        redrive::{self, Pace},
        show::{Detail, Shown},
        store::{Found, Removal, Store},
        summary::{EndedBy, Summary, Why},
        target::{Functions, Target},
    },
    tables,
};

const TOPIC: &str = "aws.appian.cmcs.MCP_SPA_PCKG";
const SINK: &str = "sinkAppianData";
const APPIAN: &str = "compare-connector-local-appian";
const QUARANTINE: &str = "compare-connector-local-quarantine";

/// How the function was set up when it rejected what it need not: it stores a schema that has no room.
const BROKEN: &[(&str, &str)] = &[("KeepConnectSchema", "true")];
const MENDED: &[(&str, &str)] = &[];

const PACE: Pace = Pace { rate: 1_000_000, batch_size: 10 };

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

    fn place(&self, parameters: &[(&str, &str)]) -> Place {
        let parameters = parameters.iter().map(|&(name, it)| (name.to_owned(), it.to_owned()));
        Place {
            stage: self.name.map(str::to_owned),
            parameters: parameters.collect(),
            dynamodb_endpoint: Some(self.dynamodb.endpoint()),
        }
    }

    async fn targets(
        &self,
        parameters: &[(&str, &str)],
        endpoint: &str,
    ) -> BTreeMap<String, Target> {
        let functions = Functions::Here {
            programs: Programs::Cargo(Profile::Dev),
            endpoint: endpoint.to_owned(),
        };
        let (template, _) = self.place(parameters).open(&TEMPLATE).await.unwrap();
        let sinks = BTreeSet::from([SINK.to_owned(), "unknownSink".to_owned()]);
        functions.targets(&TEMPLATE, &template.functions, &sinks).await.unwrap()
    }

    async fn deliver(&self, parameters: &[(&str, &str)], records: &[String]) {
        let event = format!(
            r#"{{"eventSource":"SelfManagedKafka","records":{{"{TOPIC}-0":[{}]}}}}"#,
            records.join(",")
        );
        let targets = self.targets(parameters, &self.dynamodb.endpoint()).await;
        let reply = targets[SINK].invoker.invoke(event).await;
        assert!(matches!(reply.outcome, Outcome::Answered(_)), "{reply:?}");
    }

    async fn store(&self) -> Store {
        self.place(&[]).open(&TEMPLATE).await.unwrap().1
    }

    async fn found(&self) -> Found {
        self.store().await.find(&Filter::default(), now()).await.unwrap()
    }

    /// Redrives everything.
    async fn redrive(&self, parameters: &[(&str, &str)]) -> Summary {
        let targets = self.targets(parameters, &self.dynamodb.endpoint()).await;
        self.redrive_by(&targets, &self.store().await).await
    }

    async fn redrive_by(&self, targets: &BTreeMap<String, Target>, store: &Store) -> Summary {
        let entries = self.found().await.entries;
        let progress = ProgressBar::hidden();
        redrive::run(store, entries, targets, PACE, now(), &progress, pending()).await
    }

    /// The offsets of the entries with their attempts.
    async fn entries(&self) -> Vec<(i64, u64)> {
        let entries = self.found().await.entries;
        assert!(entries.iter().all(|entry| entry.is_whole));
        entries.iter().map(|entry| (entry.head.offset, entry.head.attempts)).collect()
    }

    /// The keys of the Appian items.
    fn items(&self) -> Vec<String> {
        let items = self.dynamodb.items(APPIAN).unwrap();
        items.iter().map(|item| item["PK"]["S"].as_str().unwrap().to_owned()).collect()
    }

    /// Runs the program on the local stage.
    async fn sinkctl(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let endpoint = self.dynamodb.endpoint();
        sinkctl(&[arguments, &["--dynamodb-endpoint", &endpoint]].concat(), &[]).await
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

fn whys(summary: &Summary) -> Vec<(i64, Why)> {
    summary.left.iter().map(|left| (left.offset, left.why)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_mended_lands_and_the_rest_is_dropped() {
    let stage = Stage::new(&[large(1), deep(2), bad(3)]).await;
    let listing = Listing::new(QUARANTINE, stage.found().await, 1, now());
    let reasons: Vec<_> =
        listing.by_reason.iter().map(|(reason, group)| (reason.as_str(), group.records)).collect();
    assert_eq!(reasons, [("ITEM_TOO_LARGE", 1), ("NESTED_TOO_DEEP", 1), ("NOT_AN_OBJECT", 1)]);
    assert_eq!((listing.records, listing.incomplete, listing.leftovers), (3, 0, 0));
    assert_eq!(stage.dynamodb.items(QUARANTINE).unwrap().len(), 3 + 2);

    // Nothing is mended yet.
    let summary = stage.redrive(BROKEN).await;
    let again = [1, 2, 3].map(|offset| (offset, Why::RejectedAgain));
    assert_eq!((whys(&summary), summary.accepted), (again.to_vec(), 0));
    assert!(summary.left[0].message.as_ref().unwrap().starts_with("ITEM_TOO_LARGE: "));
    assert_eq!(stage.entries().await, [(1, 2), (2, 2), (3, 2)]);
    assert_eq!(stage.items(), Vec::<String>::new());

    let summary = stage.redrive(MENDED).await;
    assert_eq!(whys(&summary), [(3, Why::RejectedAgain)]);
    assert_eq!((summary.entries, summary.accepted, summary.outcomes["written"]), (3, 2, 2));
    assert_eq!((summary.remaining, summary.ended_by.as_ref()), (0, None));
    assert_eq!(stage.items(), ["1", "2"]);
    assert_eq!(stage.entries().await, [(3, 3)]);
    assert_eq!(stage.dynamodb.items(QUARANTINE).unwrap().len(), 1);

    let copy = std::env::temp_dir().join(format!("sinkctl-drop-{}.jsonl", std::process::id()));
    stage.deliver(BROKEN, &[large(4)]).await;
    let stored = stage.dynamodb.items(QUARANTINE).unwrap();
    let dropped =
        drop::run(&stage.store().await, stage.found().await.entries, &copy).await.unwrap();
    assert_eq!((dropped.dropped, dropped.left, dropped.were_gone), (2, 0, 0));
    let lines = std::fs::read_to_string(&copy).unwrap();
    std::fs::remove_file(copy).unwrap();
    assert_eq!(stage.dynamodb.items(QUARANTINE).unwrap(), Vec::<Value>::new());

    // The copy is all that it was.
    for line in lines.lines() {
        let request = PutItemRequest {
            table_name: QUARANTINE.to_owned(),
            item: serde_json::from_str(line).unwrap(),
            ..PutItemRequest::default()
        };
        stage.dynamodb.database().put_item(request).unwrap();
    }
    assert_eq!(stage.dynamodb.items(QUARANTINE).unwrap(), stored);
    assert_eq!(stage.entries().await, [(3, 3), (4, 1)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_split_record_is_one() {
    let stage = Stage::new(&[large(1)]).await;
    let store = stage.store().await;
    let listed = stage.found().await.entries.remove(0);
    let entry = store.read(&listed.head.key).await.unwrap().unwrap();
    assert_eq!(entry.record.as_deref(), Some(large(1).as_bytes()));
    let mut shown = Vec::new();
    Shown::new(&entry, Detail::Sizes).write(now(), &mut shown).unwrap();
    let shown = String::from_utf8(shown).unwrap();
    let expected = format!("record     {} bytes in 2 items\n", large(1).len());
    assert!(shown.contains(&expected), "{shown}");
    assert!(!shown.contains("xxx"));

    // A part goes: then it is incomplete, and is neither redriven nor forgotten.
    let client = tables::client(Some(&stage.dynamodb.endpoint())).await;
    let delete = client.delete_item().table_name(QUARANTINE).set_key(Some(
        entry.items[0]
            .iter()
            .filter(|(name, _)| ["PK", "SK"].contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
    ));
    delete.send().await.unwrap();
    assert!(!stage.found().await.entries[0].is_whole);
    assert_eq!(whys(&stage.redrive(MENDED).await), [(1, Why::Incomplete)]);

    // Its copy has all that is left of it.
    let copy = std::env::temp_dir().join(format!("sinkctl-incomplete-{}", std::process::id()));
    let dropped = drop::run(&store, stage.found().await.entries, &copy).await.unwrap();
    let lines = std::fs::read_to_string(&copy).unwrap();
    std::fs::remove_file(copy).unwrap();
    assert_eq!((dropped.dropped, lines.lines().count()), (1, 2));
    assert_eq!(stage.dynamodb.items(QUARANTINE).unwrap(), Vec::<Value>::new());
}

/// Refuses the removal of an item once some were removed, as a process does that was killed.
#[derive(Clone, Debug)]
struct Killed {
    removals_before: Arc<AtomicUsize>,
}

impl Intercept for Killed {
    fn name(&self) -> &'static str {
        "Killed"
    }

    fn read_before_execution(
        &self,
        context: &BeforeSerializationInterceptorContextRef<'_>,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if context.input().downcast_ref::<DeleteItemInput>().is_none() {
            return Ok(());
        }
        let one_less = |left: usize| left.checked_sub(1);
        match self.removals_before.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less) {
            Ok(_) => Ok(()),
            Err(_) => Err("killed".into()),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redrive_that_is_killed_goes_on() {
    let stage = Stage::new(&[large(1), deep(2), large(3)]).await;
    let targets = stage.targets(MENDED, &stage.dynamodb.endpoint()).await;
    let config = tables::config(Some(&stage.dynamodb.endpoint())).load().await;
    // Before the first head, and after it; the second entry has no parts; then after the last one's first part.
    for (removals, heads, leftovers) in [(0, 3, 0), (1, 2, 2), (1, 1, 2), (0, 1, 2), (2, 0, 3)] {
        let killed = Killed { removals_before: Arc::new(AtomicUsize::new(removals)) };
        let config = aws_sdk_dynamodb::config::Builder::from(&config).interceptor(killed).build();
        let store = Store::new(Client::from_conf(config), QUARANTINE);
        let summary = stage.redrive_by(&targets, &store).await;
        let found = stage.found().await;
        assert_eq!((found.entries.len(), found.leftovers), (heads, leftovers), "{summary:?}");
        assert!(found.entries.iter().all(|entry| entry.is_whole && entry.head.attempts == 1));
        // All that was sent has landed, and it was safe to send it again.
        assert_eq!(stage.items(), ["1", "2", "3"]);
        match summary.ended_by {
            Some(EndedBy::Fault(cause)) => assert!(cause.contains("killed"), "{cause}"),
            other => panic!("{other:?}"),
        }
    }
    let listing = Listing::new(QUARANTINE, stage.found().await, 1, now());
    assert_eq!((listing.records, listing.leftovers), (0, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_the_records_fault_ends_it() {
    let stage = Stage::new(&[deep(1), deep(2)]).await;
    let entries = stage.entries().await;
    // Nothing listens there, so the function does not even start.
    let targets = stage.targets(MENDED, "http://127.0.0.1:9").await;
    let summary = stage.redrive_by(&targets, &stage.store().await).await;
    assert_eq!((summary.accepted, summary.remaining, summary.left.len()), (0, 2, 0));
    assert!(matches!(summary.ended_by, Some(EndedBy::Fault(_))), "{summary:?}");
    assert_eq!(stage.entries().await, entries);

    // Someone does not want it.
    let targets = stage.targets(MENDED, &stage.dynamodb.endpoint()).await;
    let (store, listed) = (stage.store().await, stage.found().await.entries);
    let progress = ProgressBar::hidden();
    let summary = redrive::run(&store, listed, &targets, PACE, now(), &progress, ready(())).await;
    assert_eq!((summary.remaining, summary.ended_by), (2, Some(EndedBy::Stop)));
    assert_eq!(stage.entries().await, entries);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_the_answer_names_stay() {
    let stage = Stage::new(&[deep(1), deep(2), deep(3)]).await;
    // An item that somebody else stamped, which no record can overwrite.
    let client = tables::client(Some(&stage.dynamodb.endpoint())).await;
    let text = |text: &str| aws_sdk_dynamodb::types::AttributeValue::S(text.to_owned());
    let put = client.put_item().table_name(APPIAN);
    let put = put.item("PK", text("2")).item("SK", text("2")).item("_sink", text("mine"));
    put.send().await.unwrap();

    let partial = [("PollerMode", "provisioned")];
    let summary = stage.redrive(&partial).await;
    assert_eq!(whys(&summary), [(2, Why::Failed), (3, Why::Failed)]);
    assert_eq!((summary.accepted, summary.ended_by), (1, None));
    assert_eq!(stage.entries().await, [(2, 1), (3, 1)]);

    // Without it the invocation fails as a whole.
    let summary = stage.redrive(MENDED).await;
    match summary.ended_by {
        Some(EndedBy::Fault(cause)) => assert!(cause.contains("offset 2"), "{cause}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(stage.entries().await, [(2, 1), (3, 1)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_keeps_its_epoch() {
    let stage = Stage::new(&[deep(1), bad(2)]).await;
    let (epoch_1, raised) =
        ([("AppianEpoch", "1")], [("KeepConnectSchema", "true"), ("AppianEpoch", "1")]);
    stage.deliver(&epoch_1, &[record(0, r#"{"payload":{"PCKG_ID":1},"new":true}"#)]).await;
    let newer = stage.dynamodb.items(APPIAN).unwrap();

    let summary = stage.redrive(&epoch_1).await;
    assert_eq!((summary.accepted, summary.outcomes), (1, BTreeMap::from([("stale", 1)])));
    assert_eq!(stage.dynamodb.items(APPIAN).unwrap(), newer);
    // What was rejected again has no other entry than before.
    assert_eq!(stage.entries().await, [(2, 2)]);

    // A function that was set back would take it for another entry's.
    stage.deliver(&raised, &[deep(3)]).await;
    let summary = stage.redrive(MENDED).await;
    assert_eq!(whys(&summary), [(3, Why::LowerEpoch), (2, Why::RejectedAgain)]);
    assert_eq!(stage.entries().await, [(2, 3), (3, 1)]);
    assert_eq!(stage.redrive(&epoch_1).await.accepted, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_goes_only_as_it_was_read() {
    let stage = Stage::new(&[deep(1)]).await;
    let store = stage.store().await;
    let key = stage.found().await.entries.remove(0).head.key;
    let first = store.read(&key).await.unwrap().unwrap();
    stage.deliver(BROKEN, &[deep(1)]).await;
    assert_eq!(store.remove(&first).await.unwrap(), Removal::RejectedAgain);
    let second = store.read(&key).await.unwrap().unwrap();
    assert_eq!(store.remove(&second).await.unwrap(), Removal::Removed);
    assert_eq!(store.remove(&second).await.unwrap(), Removal::WasGone);
    // The same record in an entry of its own, with as many attempts as the first.
    stage.deliver(BROKEN, &[deep(1)]).await;
    assert_eq!(store.remove(&first).await.unwrap(), Removal::RejectedAgain);
    assert_eq!(stage.entries().await, [(1, 1)]);
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
    let copy = std::env::temp_dir().join(format!("sinkctl-cli-{}.jsonl", std::process::id()));
    let path = copy.to_str().unwrap();
    let (status, out, _) = stage.sinkctl(&["drop", &place, "2", "--yes", "--copy", path]).await;
    assert_eq!(status, Some(0));
    assert_eq!(out, format!("1 of 1 record dropped; {path} has them\n"));
    assert_eq!(stage.dynamodb.items(QUARANTINE).unwrap(), Vec::<Value>::new());

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

/// What Lambda says of a function that is deployed under this name, and does with it.
async fn lambda(name: &str, target: Target) -> String {
    let variables = json!({"KAFKA_TOPIC": target.topic, "EPOCH": target.epoch.to_string()});
    let configuration = json!({"Environment": {"Variables": variables}}).to_string();
    let target = Arc::new(target);
    let invocation = move |body: String| async move {
        let reply = target.invoker.invoke(body).await;
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
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    format!("http://{address}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployed_stage_is_mended_through_lambda() {
    let stage = Stage::named(Some("master"), &[deep(1), bad(2)]).await;
    let endpoint = stage.dynamodb.endpoint();
    let target = stage.targets(MENDED, &endpoint).await.remove(SINK).unwrap();
    let lambda = lambda("compare-sinks-master-sinkAppianData", target).await;
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
