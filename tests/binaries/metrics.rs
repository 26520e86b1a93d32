//! The line of each batch, which is its metrics too.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::{
    Act, Event, Proxy, Record, Refusal,
    contract::contract,
    dynamodb,
    function::{batch_lines, counts, function, samples},
};

/// The outcomes of which each record has one.
const OUTCOMES: [&str; 8] = [
    "written",
    "deleted",
    "superseded",
    "duplicate",
    "stale",
    "regression",
    "quarantined",
    "failed",
];

#[tokio::test]
async fn each_batch_has_one_line_that_is_embedded_metrics() {
    let dynamodb = dynamodb().await;
    for sink in [sink_appian_data::SINK, sink_seatool_data::SINK] {
        let function = function(&sink, &dynamodb.endpoint(), &[("STAGE", "val")]);
        for (_, sample) in samples().iter().filter(|(it, _)| it.name == sink.name) {
            let begin = now();
            let invocation = function.invoke(sample.payload.clone()).await.unwrap();
            let lines = batch_lines(&invocation);
            let [line] = lines.as_slice() else { panic!("{}: {lines:#?}", sample.file) };

            let timestamp = line["_aws"]["Timestamp"].as_u64().unwrap();
            assert!((begin..=now()).contains(&timestamp), "{timestamp}");
            let metrics = check_embedded_metrics(line);
            let contract = contract();
            assert_eq!(metrics, contract.metrics);
            let directive = &line["_aws"]["CloudWatchMetrics"][0];
            assert_eq!(directive["Namespace"], contract.namespace.as_str());
            assert_eq!(directive["Dimensions"], serde_json::json!([contract.dimensions]));
            assert_eq!(line["function"], function.settings().name.as_str());
            assert_eq!(line["stage"], "val");

            let count = |name: &str| line[name].as_u64().unwrap();
            assert_eq!(count("received"), sample.records().unwrap() as u64, "{}", sample.file);
            assert_eq!(OUTCOMES.map(count).iter().sum::<u64>(), count("received"), "{line}");
            assert_eq!(partition_counts(line), count("received"), "{line}");
            let troubles = ["failed", "quarantineFailed", "tombstoneFailed", "throttles"];
            assert_eq!(troubles.map(count), [0; 4]);
        }
    }
}

#[tokio::test]
async fn what_the_quarantine_and_the_tombstones_refuse_is_counted() {
    let sink = sink_seatool_data::SINK;
    let delete = Record::seatool("A", 0, 1, 1, None);
    let rejected = Record { key: None, offset: 2, ..delete.clone() };
    let event = Event::new([delete.clone(), rejected, Record { offset: 3, ..delete }]);
    let dynamodb = dynamodb().await;
    let refusal = Refusal { code: "ValidationException", message: "no" };
    let proxy = Proxy::start(&dynamodb, move |request| match request.operation.as_str() {
        "DescribeTable" => Act::Pass,
        _ => Act::Refuse(refusal),
    })
    .await;
    let invocation = function(&sink, &proxy.endpoint(), &[]).invoke(event.json()).await.unwrap();
    let expected = "received 3, failed 3, quarantineFailed 1, tombstoneFailed 2";
    assert_eq!(counts(&invocation), expected);
}

/// The sum of the outcomes by partition.
fn partition_counts(line: &Value) -> u64 {
    let partitions = line["partitions"].as_object().unwrap().values();
    let counts = partitions.flat_map(|partition| partition.as_object().unwrap());
    counts
        .map(|(outcome, count)| {
            assert!(OUTCOMES.contains(&outcome.as_str()), "{outcome}");
            count.as_u64().unwrap()
        })
        .sum()
}

fn now() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    now.as_millis().try_into().unwrap()
}

/// Checks a line against the embedded metric format's specification, and returns the metrics' names.
///
/// See <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>.
#[track_caller]
fn check_embedded_metrics(line: &Value) -> BTreeSet<String> {
    const UNITS: [&str; 3] = ["Count", "Milliseconds", "None"];

    assert!(line.to_string().len() < 1024 * 1024, "an event of a log has at most 1 MB");
    let mut names = BTreeSet::new();
    for directive in line["_aws"]["CloudWatchMetrics"].as_array().unwrap() {
        let namespace = directive["Namespace"].as_str().unwrap();
        assert!((1..=1024).contains(&namespace.len()));
        for dimensions in directive["Dimensions"].as_array().unwrap() {
            let dimensions = dimensions.as_array().unwrap();
            assert!(dimensions.len() <= 30);
            for dimension in dimensions {
                let name = dimension.as_str().unwrap();
                let value = line[name].as_str();
                assert!(
                    value.is_some_and(|it| (1..=1024).contains(&it.len())),
                    "{name}: {value:?}"
                );
            }
        }
        let metrics = directive["Metrics"].as_array().unwrap();
        assert!((1..=100).contains(&metrics.len()));
        for metric in metrics {
            let name = metric["Name"].as_str().unwrap();
            assert!((1..=1024).contains(&name.len()));
            assert!(UNITS.contains(&metric["Unit"].as_str().unwrap()), "{metric}");
            assert!(line[name].is_number(), "{name}: {}", line[name]);
            assert!(names.insert(name.to_owned()), "`{name}` stands twice");
        }
    }
    names
}
