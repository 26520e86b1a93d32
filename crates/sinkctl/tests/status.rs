//! `sinkctl status` and `sinkctl tail` as they are run, in front of a stand-in for AWS.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests end on what they don't expect")]

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::Arc,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse as _, Response},
};
use ciborium::Value as Cbor;
use local::{
    dynamodb::{LocalDynamoDb, Storage, without_streams},
    samconfig,
    template::{LOCAL_STAGE, Template},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// As the workspace's `samconfig.toml` has it.
const SEATOOL: &str = "compare-sinks-val-sinkSeatoolData";

/// What the stand-in tells.
#[derive(Clone, Debug)]
struct Account {
    /// The stage that is deployed.
    stage: Template,
    /// The operations that it denies.
    denied: Vec<&'static str>,
    /// The alarms that are raised.
    raised: Vec<&'static str>,
    /// The last result of the Seatool mapping.
    result: &'static str,
    /// The functions whose rejected records wait.
    quarantined: Vec<&'static str>,
}

impl Account {
    fn well() -> Self {
        Self::of(&template(), "val")
    }

    fn of(template: &Path, stage: &str) -> Self {
        Self {
            stage: samconfig::template(template, Some(stage), &[]).unwrap(),
            denied: Vec::new(),
            raised: Vec::new(),
            result: "OK",
            quarantined: Vec::new(),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stage_in_aws_is_one_screen() {
    let function = |name: &str, lag: &str, calls: &str, records: &str| {
        format!(
            "{name}
  mapping    Enabled, last result: OK 00000000-0000-0000-0000-000000000001
  lag        {lag}
  calls      {calls}
  records    {records}
  epoch      3
"
        )
    };
    let expected = format!(
        "compare-sinks-val, AWS us-east-1: all is well

{}
{}
  quarantine empty
  alarms     20 of 20 quiet

Nothing is wrong.
",
        function("sinkAppianData", "not counted yet", "none in 15 min", "0 received"),
        function(
            "sinkSeatoolData",
            "7 records behind the topic; oldest record 90 s",
            "120 invocations, 3 errors (2.5 %) in 15 min",
            "1200 received: 1190 written, 10 quarantined"
        )
    );
    check(Account::well(), &[], 0, &expected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_decides_the_exit_status() {
    let account = Account {
        raised: vec!["sinkSeatoolData-lag", "sinkSeatoolData-stale"],
        result: "PROBLEM: Function call failed",
        quarantined: vec!["sinkSeatoolData", "sinkAppianData", "sinkSeatoolData"],
        ..Account::well()
    };
    let expected = "
  quarantine 3 records wait: 1 of sinkAppianData, 2 of sinkSeatoolData
  alarms     18 of 20 quiet; raised: sinkSeatoolData-lag, sinkSeatoolData-stale

WRONG: sinkSeatoolData: PROBLEM: Function call failed
WRONG: 3 records wait in the quarantine
WRONG: alarm sinkSeatoolData-lag: Threshold crossed
WRONG: alarm sinkSeatoolData-stale: Threshold crossed
What to do: OPERATIONS.md \"Troubleshooting\", --json, `sinkctl quarantine list`.
";
    check(account.clone(), &[], 1, expected).await;

    let output = status(account, &["--json"]).await;
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["problems"].as_array().unwrap().len(), 4);
    assert_eq!(json["functions"][1]["activity"]["records"]["quarantined"], 10);
    assert_eq!(json["isIncomplete"], false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_part_that_is_denied_says_so_and_the_rest_is_shown() {
    #[track_caller]
    fn contains(output: &Output, expected: &[&str]) {
        let text = String::from_utf8(output.stdout.clone()).unwrap();
        // As they stand there without the breaks of lines.
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for expected in expected {
            assert!(text.contains(expected), "{expected}: {text}");
        }
    }

    let account = |denied: &[&'static str]| Account { denied: denied.to_vec(), ..Account::well() };
    let denied = |name: &str, action: &str| {
        format!("{name} not read: access denied: allow {action} to whom these credentials are of")
    };
    let all = [
        ("ListEventSourceMappings", denied("mapping", "lambda:ListEventSourceMappings")),
        ("GetFunctionConfiguration", denied("epoch", "lambda:GetFunctionConfiguration")),
        ("GetMetricData", denied("lag", "cloudwatch:GetMetricData")),
        ("DescribeAlarms", denied("alarms", "cloudwatch:DescribeAlarms")),
        ("Scan", denied("quarantine", "dynamodb:Scan")),
    ];
    for (operation, expected) in &all {
        let output = status(account(&[operation]), &[]).await;
        assert_eq!(output.status.code(), Some(2), "{operation}: {output:?}");
        contains(&output, &[expected, "Nothing is wrong as far as it could be read."]);
        for (other, not_expected) in &all {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(other == operation || !text.contains(not_expected), "{other}: {text}");
        }
    }
    // What is known to be wrong counts more.
    let raised = vec!["sinkAppianData-lag"];
    let output = status(Account { raised, ..account(&["Scan"]) }, &[]).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    contains(&output, &[&all[4].1, "WRONG: alarm sinkAppianData-lag: Threshold crossed"]);

    let other = ["status", "--stage", "other", "--parameter", "Prefix=compare-connector"];
    let output = sinkctl(&other, &serve(Account::well()).await).await;
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    contains(
        &output,
        &[
            "alarms not read: there are no alarms `compare-connector-other-…` in this account and region: is the stage \
             deployed there, with this Prefix?",
        ],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stage_has_the_names_that_samconfig_deploys_it_with() {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("status");
    fs::create_dir_all(&directory).unwrap();
    let beside = directory.join("template.yaml");
    fs::copy(template(), &beside).unwrap();
    let file = directory.join("samconfig.toml");
    let overrides =
        r#"parameter_overrides = "Stage=\"alice\" Prefix=\"ours\" Monitoring=\"none\"""#;
    fs::write(&file, format!("version = 0.1\n[mine.deploy.parameters]\n{overrides}\n")).unwrap();
    let account = Account::of(&beside, "mine");
    assert_eq!(account.stage.functions[1].name, "ours-alice-sinkSeatoolData");
    let address = serve(account).await;

    let output = sinkctl_by(&beside, &["status", "--stage", "mine"], &address).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = without_time(&output);
    assert!(text.starts_with("ours-alice, AWS us-east-1: all is well\n"), "{text}");
    assert!(text.contains("\n  alarms     the stage has no alarms: Monitoring=none\n"), "{text}");
    let output = sinkctl_by(&beside, &["status", "--stage", "alice"], &address).await;
    assert_eq!(without_time(&output), text);
    let tail = ["tail", "sinkSeatoolData", "--stage", "mine", "--no-follow"];
    let output = sinkctl_by(&beside, &tail, &address).await;
    assert!(output.status.success() && output.stdout.ends_with(b"second\n"), "{output:?}");

    // What is given wins.
    let denied = vec!["FilterLogEvents", "GetMetricData"];
    let address = serve(Account { denied, ..Account::of(&beside, "mine") }).await;
    let other = ["--parameter", "Prefix=other", "--parameter", "Monitoring=full"];
    let arguments = [&["status", "--stage", "mine"], &other[..]].concat();
    let text = without_time(&sinkctl_by(&beside, &arguments, &address).await);
    assert!(text.contains("there are no alarms `other-alice-…` in"), "{text}");
    let output = sinkctl_by(&beside, &[&tail, &other[..]].concat(), &address).await;
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(
        error.contains("the log `/aws/lambda/other-alice-sinkSeatoolData` cannot be"),
        "{error}"
    );

    // The template's default prefix may be that of another connector.
    let output = sinkctl_by(&beside, &["status", "--stage", "nobody"], &address).await;
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("has no stage `nobody`: add what it was deployed with"), "{error}");

    fs::write(&file, "[mine").unwrap();
    for arguments in [["status", "--stage", "mine"], ["tail", "sinkSeatoolData", "--stage=mine"]] {
        let output = sinkctl_by(&beside, &arguments, &address).await;
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let error = String::from_utf8(output.stderr).unwrap();
        let expected = format!("error: `{}` cannot be used: it is not TOML: ", file.display());
        assert!(error.starts_with(&expected), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_local_mapping_is_shown_with_what_is_wrong() {
    let template = Template::read(&template(), &[("Stage", LOCAL_STAGE)]).unwrap();
    let tables = without_streams(&template.tables);
    let dynamodb = LocalDynamoDb::start(Storage::Memory, 0, &tables).await.unwrap();
    let now = 30_000_000_u64 * 60_000;
    let minute = |counted: Value| json!({(now / 60_000).to_string(): counted});
    let document = json!({
        "stage": LOCAL_STAGE,
        "parameters": [["SilentHours", "2"]],
        "time": now,
        "functions": [{
            "binary": "sinkSeatoolData",
            "name": "compare-connector-local-sinkSeatoolData",
            "epoch": "2",
            "mapping": {"id": "SeatoolMapping", "state": "Enabled", "lastProcessingResult": "OK"},
            "lag": {"0": 3, "1": 0},
            "minutes": minute(json!({
                "invocations": 2,
                "errors": 1,
                "records": {"received": 5, "written": 5, "tombstoneFailed": 1},
                "givenUp": 4,
            })),
        }],
    });
    let document = document.to_string();
    let address = listen(Router::new().fallback(move || async move { document })).await;
    let endpoint = dynamodb.endpoint();
    let arguments = ["status", "--esm", &address, "--dynamodb-endpoint", &endpoint];
    let output = sinkctl(&arguments, "http://127.0.0.1:1").await;
    let expected = format!(
        "compare-connector-local, {address}: SOMETHING IS WRONG

sinkSeatoolData
  mapping    Enabled, last result: OK SeatoolMapping
  lag        3 records behind the topic (partition 0: 3)
  calls      2 invocations, 1 error (50.0 %) in 15 min
  records    5 received: 5 written, 1 tombstoneFailed
  epoch      2

  quarantine empty

WRONG: sinkSeatoolData: 1 tombstoneFailed in 15 min
  OPERATIONS.md, \"Troubleshooting\": alarm `-tombstone-failed`.
WRONG: sinkSeatoolData: 4 records given up in 15 min
  They are in the folder of `--on-failure`; without one they are lost, and the
  offsets must be set back to read them again; OPERATIONS.md, \"Troubleshooting\":
  alarm `-dropped`.
"
    );
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(without_time(&output), expected);

    let of_one_minute = [&arguments[..], &["--minutes", "1", "--json"]].concat();
    let output = sinkctl(&of_one_minute, "http://127.0.0.1:1").await;
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["functions"][0]["activity"]["invocations"], 2);
    assert_eq!(json["alarms"], Value::Null);

    let nobody = ["status", "--esm", "http://127.0.0.1:1"];
    let output = sinkctl(&nobody, "http://127.0.0.1:1").await;
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.starts_with("error: no mapping answers at `http://127.0.0.1:1`"), "{error}");
    assert!(error.trim_end().ends_with("and name what it prints"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_in_cloudwatch_is_shown_by_its_lines() {
    let address = serve(Account::well()).await;
    let arguments = ["tail", "sinkSeatoolData", "--stage", "val", "--no-follow", "--since", "1h"];
    let output = sinkctl(&arguments, &address).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "22:13:20 sinkSeatoolData batch   2 received, 2 written; 9 ms, 2 requests\nsecond\n"
    );

    let denied = Account { denied: vec!["FilterLogEvents"], ..Account::well() };
    let output = sinkctl(&arguments, &serve(denied).await).await;
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let error = String::from_utf8(output.stderr).unwrap();
    let expected = format!(
        "error: the log `/aws/lambda/{SEATOOL}` cannot be read: access denied: allow logs:FilterLogEvents"
    );
    assert!(error.starts_with(&expected), "{error}");

    let output = sinkctl(&["tail", "sinkOther", "--stage", "val"], &address).await;
    let error = String::from_utf8(output.stderr).unwrap();
    let expected = "error: the template has no function `sinkOther`, but `sinkAppianData`, `sinkSeatoolData`\n";
    assert_eq!(error, expected);
}

#[test]
fn standard_input_is_shown_by_its_lines() {
    let mut tail = Command::new(env!("CARGO_BIN_EXE_sinkctl"))
        .args(["tail", "-"])
        // Elsewhere there is no template, and none is needed.
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = tail.stdin.take().unwrap();
    write!(input, "sinkSeatoolData: {}\nwhatever\u{1b}[2J\n", batch()).unwrap();
    drop(input);
    let output = tail.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "22:13:20 sinkSeatoolData batch   2 received, 2 written; 9 ms, 2 requests\nwhatever\\u{1b}[2J\n"
    );
}

/// Checks what is written of an account, its end at least, and the exit status.
async fn check(account: Account, arguments: &[&str], code: i32, expected: &str) {
    let output = status(account, arguments).await;
    let text = without_time(&output);
    assert!(text.ends_with(expected), "{text}");
    assert_eq!(output.status.code(), Some(code), "{output:?}");
}

async fn status(account: Account, arguments: &[&str]) -> Output {
    let arguments = [&["status", "--stage", "val"], arguments].concat();
    sinkctl(&arguments, &serve(account).await).await
}

/// What was written, without the time in the first line. It is no terminal that reads it, so there are no colours.
fn without_time(output: &Output) -> String {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(!text.contains('\u{1b}'), "{text}");
    let (first, rest) = text.split_once('\n').unwrap();
    let (before, after) = first.split_once(" UTC: ").unwrap();
    let (before, _) = before.rsplit_once(", ").unwrap();
    format!("{before}: {after}\n{rest}")
}

async fn sinkctl(arguments: &[&str], endpoint: &str) -> Output {
    sinkctl_by(&template(), arguments, endpoint).await
}

async fn sinkctl_by(template: &Path, arguments: &[&str], endpoint: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sinkctl"));
    command.args(arguments).arg("--template").arg(template).env("AWS_ENDPOINT_URL", endpoint);
    for (name, value) in [
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_REGION", "us-east-1"),
    ] {
        command.env(name, value);
    }
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn template() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../template.yaml")
}

async fn serve(account: Account) -> String {
    listen(Router::new().fallback(answer).with_state(Arc::new(account))).await
}

async fn listen(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn answer(
    State(account): State<Arc<Account>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let target = headers.get("x-amz-target").map_or("", |it| it.to_str().unwrap());
    let path = uri.path();
    let operation = match (target.rsplit_once('.'), path.rsplit_once("/operation/")) {
        (Some((_, operation)), _) | (None, Some((_, operation))) => operation,
        _ if path.ends_with("/configuration") => "GetFunctionConfiguration",
        _ => "ListEventSourceMappings",
    };
    let is_cbor = path.contains("/operation/");
    let is_denied = account.denied.contains(&operation);
    if is_cbor {
        let request: Cbor = ciborium::from_reader(&*body).unwrap();
        let answer = match operation {
            _ if is_denied => Cbor::serialized(&json!({"__type": "AccessDenied", "message": "no"})),
            "GetMetricData" => Ok(metric_data(&account, &request)),
            _ => Cbor::serialized(&described_alarms(&account, &text(&request, "AlarmNamePrefix"))),
        };
        let mut bytes = Vec::new();
        ciborium::into_writer(&answer.unwrap(), &mut bytes).unwrap();
        let status = if is_denied { StatusCode::FORBIDDEN } else { StatusCode::OK };
        return (status, [("smithy-protocol", "rpc-v2-cbor")], bytes).into_response();
    }
    if is_denied {
        let kind = [("x-amzn-errortype", "AccessDeniedException")];
        let body = json!({"__type": "AccessDeniedException", "message": "no"}).to_string();
        return (StatusCode::FORBIDDEN, kind, body).into_response();
    }
    let answer = match operation {
        "Scan" => {
            let items = account.quarantined.iter().map(|sink| json!({"sink": {"S": sink}}));
            json!({"Items": items.collect::<Vec<_>>()})
        }
        "FilterLogEvents" => {
            let request: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(request["logGroupName"], account.stage.functions[1].log_group);
            let event = |id: &str, time: i64, message: &str| json!({"eventId": id, "timestamp": time, "message": message});
            let batch = format!("{}\n", batch());
            match request["nextToken"].as_str() {
                None => json!({"events": [event("2", 2, "second\n")], "nextToken": "more"}),
                Some(_) => json!({"events": [event("1", 1, &batch)]}),
            }
        }
        "GetFunctionConfiguration" => json!({"Environment": {"Variables": {"EPOCH": "3"}}}),
        _ => {
            assert_eq!(method, Method::GET);
            let is_seatool = uri.query().is_some_and(|it| it.contains("sinkSeatoolData"));
            let mapping = json!({
                "UUID": "00000000-0000-0000-0000-000000000001",
                "State": "Enabled",
                "StateTransitionReason": "USER_INITIATED",
                "LastProcessingResult": if is_seatool { account.result } else { "OK" },
            });
            json!({"EventSourceMappings": [mapping]})
        }
    };
    answer.to_string().into_response()
}

/// The batch line of a function.
fn batch() -> Value {
    json!({
        "_aws": {"Timestamp": 1_700_000_000_000_u64, "CloudWatchMetrics": []},
        "level": "INFO",
        "message": "batch",
        "function": SEATOOL,
        "stage": "val",
        "received": 2,
        "written": 2,
        "batchDuration": 9,
        "requests": 2,
    })
}

/// The stage's alarms.
fn described_alarms(account: &Account, prefix: &str) -> Value {
    let alarms = account.stage.alarms.iter();
    let alarms = alarms.filter(|it| it.starts_with(prefix)).map(|name| {
        let is_raised = account.raised.iter().any(|it| *name == format!("{prefix}{it}"));
        json!({
            "AlarmName": name,
            "AlarmDescription": "It rings.",
            "StateValue": if is_raised { "ALARM" } else { "OK" },
            "StateReason": "Threshold crossed",
        })
    });
    json!({"MetricAlarms": alarms.collect::<Vec<_>>(), "CompositeAlarms": []})
}

/// What was counted of Seatool, in two points; nothing was of Appian.
fn metric_data(account: &Account, request: &Cbor) -> Cbor {
    let queries = member(request, "MetricDataQueries").into_array().unwrap();
    let time = |seconds: i64| Cbor::Tag(1, Box::new(Cbor::Integer(seconds.into())));
    let Cbor::Tag(1, end) = member(request, "EndTime") else { panic!("{request:?}") };
    let end = match *end {
        Cbor::Float(seconds) => seconds.to_string().parse().unwrap(),
        other => i64::try_from(other.into_integer().unwrap()).unwrap(),
    };
    let results = queries.iter().map(|query| {
        let statistic = member(query, "MetricStat");
        let metric = member(&statistic, "Metric");
        let name = text(&metric, "MetricName");
        let dimensions = member(&metric, "Dimensions").into_array().unwrap();
        let dimensions: Vec<_> =
            dimensions.iter().map(|it| (text(it, "Name"), text(it, "Value"))).collect();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let function = &dimensions[0].1;
        let position = account.stage.functions.iter().position(|it| it.name == *function);
        match text(&metric, "Namespace").as_str() {
            "AWS/Lambda" => assert_eq!(dimensions, [pair("FunctionName", function)]),
            _ => assert_eq!(
                dimensions,
                [pair("function", function), pair("stage", account.stage.stage())]
            ),
        }
        let (first, second, expected) = match name.as_str() {
            "OffsetLag" => (9, 7, "Maximum"),
            "oldestRecordAge" => (12_000, 90_000, "Maximum"),
            "Invocations" => (100, 20, "Sum"),
            "Errors" => (1, 2, "Sum"),
            "received" => (1_000, 200, "Sum"),
            "written" => (990, 200, "Sum"),
            "quarantined" => (10, 0, "Sum"),
            _ => (0, 0, "Sum"),
        };
        assert_eq!(text(&statistic, "Stat"), expected);
        let points = match position {
            Some(0) => Vec::new(),
            Some(1) => vec![(end - 60, second), (end - 120, first)],
            _ => panic!("{dimensions:?}"),
        };
        let times = points.iter().map(|(at, _)| time(*at)).collect();
        let values = points.iter().map(|(_, value)| Cbor::Float((*value).into())).collect();
        map([
            ("Id", member(query, "Id")),
            ("StatusCode", Cbor::Text("Complete".to_owned())),
            ("Timestamps", Cbor::Array(times)),
            ("Values", Cbor::Array(values)),
        ])
    });
    map([("MetricDataResults", Cbor::Array(results.collect()))])
}

fn map<const N: usize>(members: [(&str, Cbor); N]) -> Cbor {
    Cbor::Map(
        members.into_iter().map(|(name, value)| (Cbor::Text(name.to_owned()), value)).collect(),
    )
}

fn member(of: &Cbor, name: &str) -> Cbor {
    let found = of.as_map().unwrap().iter().find(|(it, _)| it.as_text() == Some(name));
    found.unwrap_or_else(|| panic!("{name}: {of:?}")).1.clone()
}

fn text(of: &Cbor, name: &str) -> String {
    member(of, name).into_text().unwrap()
}
