//! The integration tests once more, against DynamoDB Local in place of the embedded DynamoDB.

use std::{fs, process::Stdio, time::Instant};

use tokio::process::Command;

use crate::{report::Row, run::Run, services::dynamodb_local::DynamoDbLocal};

/// The tests about which DynamoDB has nothing to say: the first have a table in memory of their own, and the others are
/// about faults that a proxy plants and the time that they cost, which is another on a machine that DynamoDB Local
/// keeps busy.
const WITHOUT_DYNAMODB: [&str; 4] =
    ["exhaustive::", "faults::connections::", "faults::slow::", "faults::system::"];

pub(super) async fn run(run: &mut Run) -> Row {
    let mut row = Row::new("conformance");
    let begin = Instant::now();
    // One of its own: hundreds of databases come to be in it, and stay.
    let local_log = run.directory.join("conformance-dynamodb-local.log");
    let dynamodb = DynamoDbLocal::start(&run.dynamodb_jars, &local_log).await;
    let log = run.directory.join("conformance.log");
    let output = fs::File::create(&log).unwrap();
    let status = Command::new(env!("CARGO"))
        .current_dir(&run.root)
        // As the workspace, so that nothing is built anew for fewer features.
        .args(["test", "--workspace", "--test", "integration", "--locked", "--"])
        .args(WITHOUT_DYNAMODB.iter().flat_map(|name| ["--skip", name]))
        .env("COMPARE_CONNECTOR_TEST_DYNAMODB", dynamodb.endpoint())
        .stdin(Stdio::null())
        .stdout(output.try_clone().unwrap())
        .stderr(output)
        .kill_on_drop(true)
        .status()
        .await
        .unwrap();

    let lines = fs::read_to_string(&log).unwrap();
    let result = lines.lines().rfind(|line| line.starts_with("test result: "));
    row.expect(status.success() && result.is_some_and(|it| passed(it) > 0), || {
        let failed = lines.lines().filter(|line| line.ends_with(" ... FAILED"));
        let failed = failed.collect::<Vec<_>>().join(", ");
        format!("{status}: {failed}; see {}", log.display())
    });
    row.notes.extend(result.map(str::to_owned));
    row.seconds = begin.elapsed().as_secs();
    row
}

/// How many tests passed.
fn passed(result: &str) -> u64 {
    let mut words = result.split_whitespace();
    let count = words.by_ref().zip(result.split_whitespace().skip(1)).find(|it| it.1 == "passed;");
    count.and_then(|(count, _)| count.parse().ok()).unwrap_or_default()
}
