//! The line of each batch, which is its metrics too.

use std::collections::BTreeMap;

use dynamo_sink::outcome::{Metric, Outcome, metrics};
use serde_json::Value;

use super::embedded_metrics::violations;
use crate::support::{
    Act, Event, Proxy, Record, Refusal,
    contract::contract,
    dynamodb,
    function::{batch_lines, counts, function, samples},
};

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
            assert_eq!(violations(line), Vec::<String>::new(), "{line}");
            let contract = contract();
            let unit = |it: Metric| (it.name.to_owned(), it.unit().to_owned());
            assert_eq!(units(line), metrics().map(unit).collect());
            let directive = &line["_aws"]["CloudWatchMetrics"][0];
            assert_eq!(directive["Namespace"], contract.namespace.as_str());
            assert_eq!(directive["Dimensions"], serde_json::json!([contract.dimensions]));
            assert_eq!(line["function"], function.settings.name.as_str());
            assert_eq!(line["stage"], "val");

            let count = |name: &str| line[name].as_u64().unwrap();
            assert_eq!(count("received"), sample.records().unwrap() as u64, "{}", sample.file);
            assert_eq!(
                Outcome::ALL.map(|it| count(it.name())).iter().sum::<u64>(),
                count("received"),
                "{line}"
            );
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
            assert!(Outcome::ALL.iter().any(|it| it.name() == outcome), "{outcome}");
            count.as_u64().unwrap()
        })
        .sum()
}

fn now() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    now.as_millis().try_into().unwrap()
}

/// The units of the metrics that a line defines, by their names.
fn units(line: &Value) -> BTreeMap<String, String> {
    let metrics = line["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    metrics.iter().map(|it| (text(&it["Name"]), text(&it["Unit"]))).collect()
}
