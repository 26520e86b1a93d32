//! What a line must be for `CloudWatch` to take metrics from it.
//!
//! See
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Value, json};

/// An event of a log is at most this large.
const MAX_BYTES: usize = 1024 * 1024;

/// A metric has so many values in a line at most.
const MAX_VALUES: usize = 100;

const UNITS: &str = "Seconds Microseconds Milliseconds Bytes Kilobytes Megabytes Gigabytes Terabytes Bits Kilobits \
                     Megabits Gigabits Terabits Percent Count None Bytes/Second Kilobytes/Second Megabytes/Second \
                     Gigabytes/Second Terabytes/Second Bits/Second Kilobits/Second Megabits/Second Gigabits/Second \
                     Terabits/Second Count/Second";

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "_aws")]
    metadata: Metadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Metadata {
    /// Milliseconds since 1970.
    #[serde(rename = "Timestamp")]
    _timestamp: u64,
    cloud_watch_metrics: Vec<Directive>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Directive {
    namespace: String,
    dimensions: Vec<Vec<String>>,
    metrics: Vec<Metric>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Metric {
    name: String,
    unit: Option<String>,
    storage_resolution: Option<u64>,
}

/// What is wrong with a line; `CloudWatch` itself says nothing and leaves such metrics out.
pub(super) fn violations(line: &Value) -> Vec<String> {
    let metadata = match Line::deserialize(line) {
        Ok(Line { metadata }) => metadata,
        Err(error) => return vec![error.to_string()],
    };
    let mut violations = Vec::new();
    let mut check = |holds: bool, violation: &dyn Fn() -> String| {
        if !holds {
            violations.push(violation());
        }
    };
    check(line.to_string().len() <= MAX_BYTES, &|| "an event of a log is smaller".to_owned());
    let mut names = BTreeSet::new();
    for Directive { namespace, dimensions, metrics } in &metadata.cloud_watch_metrics {
        let is_in_namespace = |it: u8| it.is_ascii_alphanumeric() || b"._/#:-".contains(&it);
        check(is_text(namespace, 1024) && namespace.bytes().all(is_in_namespace), &|| {
            format!("namespace `{namespace}`")
        });
        check(!dimensions.is_empty() && metrics.len() <= 100, &|| "a directive's sizes".to_owned());
        for set in dimensions {
            let distinct: BTreeSet<_> = set.iter().collect();
            check(distinct.len() == set.len() && set.len() <= 30, &|| {
                format!("dimensions {set:?}")
            });
            for dimension in set {
                let value = line[dimension].as_str().unwrap_or_default();
                check(is_text(dimension, 250) && is_text(value, 1024), &|| {
                    format!("dimension `{dimension}` has no text that is one")
                });
            }
        }
        for Metric { name, unit, storage_resolution } in metrics {
            let is_unit = unit.as_deref().is_none_or(|it| UNITS.split(' ').any(|unit| unit == it));
            let is_resolution = matches!(storage_resolution, None | Some(1 | 60));
            check((1..=1024).contains(&name.len()) && is_unit && is_resolution, &|| {
                format!("metric `{name}`, unit {unit:?}, resolution {storage_resolution:?}")
            });
            let is_value = match &line[name] {
                Value::Array(values) => {
                    values.len() <= MAX_VALUES && values.iter().all(Value::is_number)
                }
                value => value.is_number(),
            };
            check(is_value, &|| format!("metric `{name}` has no number"));
            check(names.insert((namespace, name)), &|| format!("metric `{name}` stands twice"));
        }
    }
    violations
}

/// Whether it is so long at most, not empty, and printable.
fn is_text(text: &str, max_bytes: usize) -> bool {
    (1..=max_bytes).contains(&text.len()) && text.bytes().all(|it| matches!(it, b' '..=b'~'))
}

/// Were any of these let through, the check of the functions' own lines would say little.
#[test]
fn what_cloudwatch_would_leave_out_is_found() {
    #[track_caller]
    fn check(pointer: &str, change: impl FnOnce(&mut Value), is_refused: bool) {
        let mut line = json!({
            "_aws": {
                "Timestamp": 1_700_000_000_000_u64,
                "CloudWatchMetrics": [{
                    "Namespace": "compare-connector",
                    "Dimensions": [["function", "stage"]],
                    "Metrics": [
                        {"Name": "a", "Unit": "Count"},
                        {"Name": "b", "Unit": "Milliseconds", "StorageResolution": 60},
                        {"Name": "c"},
                    ],
                }],
            },
            "function": "f",
            "stage": "s",
            "a": 1,
            "b": 2.5,
            "c": [1, 2],
        });
        change(line.pointer_mut(pointer).unwrap());
        assert_eq!(!violations(&line).is_empty(), is_refused, "{:?}: {line}", violations(&line));
    }
    fn set(value: Value) -> impl FnOnce(&mut Value) {
        move |place| *place = value
    }
    fn without(member: &'static str) -> impl FnOnce(&mut Value) {
        move |place| {
            place.as_object_mut().unwrap().remove(member).unwrap();
        }
    }

    let directive = "/_aws/CloudWatchMetrics/0";
    let metric = "/_aws/CloudWatchMetrics/0/Metrics/0";
    let dimensions = "/_aws/CloudWatchMetrics/0/Dimensions";
    let many = |count: usize| (0..count).map(|it| format!("d{it}")).collect::<Vec<_>>();

    check("", |_| {}, false);
    check("", without("_aws"), true);
    check("/_aws", without("Timestamp"), true);
    check("/_aws/Timestamp", set(json!("2026-11-21T22:13:20Z")), true);
    check("/_aws/Timestamp", set(json!(1.5)), true);
    check("/_aws", without("CloudWatchMetrics"), true);
    check("/_aws/CloudWatchMetrics", set(json!({})), true);
    for member in ["Namespace", "Dimensions", "Metrics"] {
        check(directive, without(member), true);
    }
    check("/_aws/CloudWatchMetrics/0/Namespace", set(json!("")), true);
    check("/_aws/CloudWatchMetrics/0/Namespace", set(json!("a b")), true);
    check("/_aws/CloudWatchMetrics/0/Namespace", set(json!("n".repeat(1025))), true);

    check(dimensions, set(json!([])), true);
    check(dimensions, set(json!([[]])), false);
    check(dimensions, set(json!(["function"])), true);
    check(dimensions, set(json!([["function"], ["stage"]])), false);
    check(dimensions, set(json!([["function", "function"]])), true);
    check(dimensions, set(json!([["function", "other"]])), true);
    check(dimensions, set(json!([many(31)])), true);
    check("/stage", set(json!("")), true);
    check("/stage", set(json!(1)), true);
    check("/stage", set(json!("ä")), true);
    check("/stage", set(json!("s".repeat(1025))), true);
    check("", without("function"), true);

    check(metric, without("Name"), true);
    check(metric, without("Unit"), false);
    check("/_aws/CloudWatchMetrics/0/Metrics/0/Unit", set(json!("count")), true);
    check("/_aws/CloudWatchMetrics/0/Metrics/0/Unit", set(json!("Hours")), true);
    check("/_aws/CloudWatchMetrics/0/Metrics/1/StorageResolution", set(json!(1)), false);
    check("/_aws/CloudWatchMetrics/0/Metrics/1/StorageResolution", set(json!(30)), true);
    check("/_aws/CloudWatchMetrics/0/Metrics/1/Name", set(json!("a")), true);
    let metrics: Vec<_> = many(101).iter().map(|name| json!({"Name": name})).collect();
    check("/_aws/CloudWatchMetrics/0/Metrics", set(json!(metrics)), true);
    check("/a", set(json!("1")), true);
    check("/a", set(json!(null)), true);
    check("", without("a"), true);
    check("/c", set(json!([1, "2"])), true);
    check("/c", set(json!(vec![1; 100])), false);
    check("/c", set(json!(vec![1; 101])), true);
    check("/function", |it| *it = json!("f"), false);
    check("", |it| it["padding"] = json!("p".repeat(MAX_BYTES)), true);
}
