//! What a person on call types and sees: records are rejected, then the mapping is mended, and they land.

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    process,
    record::{Meaning, Record, Source},
    report::Row,
    run::{PARTITIONS, Run, Stage, now},
};

/// How long a status may take until it is what it is to be: it is measured every few seconds.
const STATUS_TIME: Duration = Duration::from_secs(30);

pub(super) async fn run(run: &mut Run) -> Row {
    let mut stage = Stage::prepare("oncall", run, PARTITIONS).await;
    let source = Source::Appian;
    let (topic, partition) = (stage.topic(source), format!("{}-1", stage.topic(source)));
    let place = ["--dynamodb-endpoint", &run.dynamodb.endpoint()].map(str::to_owned);
    let address = free_address();
    let status = ["status".to_owned(), "--esm".to_owned(), format!("http://{address}")];
    let status = [&status[..], &place].concat();

    // The functions keep Connect's schemas, and some schemas are more than DynamoDB takes.
    let broken = ["--parameter", "KeepConnectSchema=true", "--status-address", &address];
    let mut esm = start(&mut stage, run, &broken);
    stage.produce_records(run, source, rows(0..20, "")).await;
    stage.produce_records(run, source, rows(20..23, &"x".repeat(409_600))).await;
    stage.drain(run, &mut esm).await;

    let screen = eventually(&mut stage, run, &status, 1).await;
    expect(&mut stage, &screen, "3 records wait in the quarantine");
    let list = ["quarantine".to_owned(), "list".to_owned()];
    let list = [&list[..], &place].concat();
    let out = terminal(&mut stage, run, &list, 0).await;
    expect(&mut stage, &out, "3 ITEM_TOO_LARGE");
    expect(&mut stage, &out, &format!("3 {topic}"));
    let rejected = stage.records(source).iter().skip(20).find(|it| it.partition == 1);
    let offset = rejected.map_or(0, |it| it.offset).to_string();
    let one = ["quarantine", "show", &partition, &offset].map(str::to_owned);
    let out = terminal(&mut stage, run, &[&one[..], &place].concat(), 0).await;
    expect(&mut stage, &out, "in 2 items");

    // They are deployed with another setting, and the mapping goes on.
    stage.stop(esm).await;
    let mut esm = start(&mut stage, run, &["--status-address", &address]);
    stage.produce_records(run, source, rows(23..28, "")).await;
    stage.drain(run, &mut esm).await;
    let redrive = ["quarantine", "redrive", "--reason", "ITEM_TOO_LARGE"].map(str::to_owned);
    let functions = ["--build-dir".to_owned(), run.build_directory.display().to_string()];
    let parameters = stage.parameters();
    let redrive = [&redrive[..], &place, &functions, &parameters].concat();
    let out = terminal(&mut stage, run, &redrive, 0).await;
    expect(&mut stage, &out, "3 of 3 records accepted and removed");
    let out = terminal(&mut stage, run, &list, 0).await;
    expect(&mut stage, &out, "0 records in compare-connector-local-quarantine");

    eventually(&mut stage, run, &status, 0).await;
    stage.stop(esm).await;
    let audit = ["audit", source.function(), "--bootstrap-servers"].map(str::to_owned);
    let brokers = [run.kafka.bootstrap_servers()];
    let audit = [&audit[..], &brokers, &place, &parameters].concat();
    let out = terminal(&mut stage, run, &audit, 0).await;
    expect(&mut stage, &out, "no difference");
    stage.check(run, Vec::new()).await
}

/// Rows of these packages whose schemas hold `schema`, unless it is empty.
fn rows(packages: std::ops::Range<u64>, schema: &str) -> Vec<Record> {
    let row = |package: u64| {
        let mut value = json!({"payload": {"PCKG_ID": package, "REPLICA_TIMESTAMP": package}});
        if !schema.is_empty() {
            value["schema"] = schema.into();
        }
        Record {
            partition: Some(i32::try_from(package % 3).unwrap()),
            key: None,
            value: Some(value.to_string().into_bytes()),
            headers: Vec::new(),
            timestamp: now(),
            meaning: Meaning::Put { key: package.to_string(), source_time: package },
        }
    };
    packages.map(row).collect()
}

/// Starts the mappings in the background.
fn start(stage: &mut Stage, run: &Run, more: &[&str]) -> process::Esm {
    println!("e2e:   $ sinkctl esm … {} &", more.join(" "));
    stage.esm(run, more)
}

/// Runs a command as somebody types it, shows what it says, and expects its exit status.
async fn terminal(stage: &mut Stage, run: &Run, arguments: &[String], status: i32) -> String {
    let finished = typed(run, arguments).await;
    show(arguments, &finished);
    let command = arguments.join(" ");
    stage.row.expect(finished.code == Some(status), || {
        format!("`sinkctl {command}` ended with {:?}, not {status}", finished.code)
    });
    finished.output
}

/// The same for a command whose answer takes a while to become what it is to be.
async fn eventually(stage: &mut Stage, run: &Run, arguments: &[String], status: i32) -> String {
    let begin = Instant::now();
    while begin.elapsed() < STATUS_TIME && typed(run, arguments).await.code != Some(status) {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    terminal(stage, run, arguments, status).await
}

async fn typed(run: &Run, arguments: &[String]) -> process::Finished {
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    process::sinkctl(&run.sinkctl, &run.root, &arguments).await
}

fn show(arguments: &[String], finished: &process::Finished) {
    println!("e2e:   $ sinkctl {}", arguments.join(" "));
    for line in finished.output.lines().chain(finished.errors.lines()) {
        println!("e2e:     {line}");
    }
    println!("e2e:     [exit status {}]", finished.code.unwrap_or(-1));
}

/// Expects that the output says this, wherever its lines end.
fn expect(stage: &mut Stage, output: &str, part: &str) {
    let words = output.split_whitespace().collect::<Vec<_>>().join(" ");
    stage.row.expect(words.contains(part), || format!("`{part}` is not said"));
}

/// An address that nothing listens at.
fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}
