//! What is told of a mapping while it runs, in the words and metrics of Lambda.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use local::{invoke::Outcome, lock::lock};
use serde_json::Value;

use crate::status::{document::FunctionDocument, series::Metrics};

const LAMBDA: &str = "AWS/Lambda";

/// What is known of a mapping that does not change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) function: String,
    pub(super) mapping: String,
    pub(super) topic: String,
    pub(super) group: String,
    pub(super) epoch: String,
}

/// What happens to a mapping.
#[derive(Debug, Default)]
pub(super) struct Tally {
    metrics: Mutex<Metrics>,
    result: Mutex<LastResult>,
    lag: Mutex<BTreeMap<i32, u64>>,
    is_stopping: AtomicBool,
    /// Whether the brokers did not answer when they were asked last.
    is_cut_off: AtomicBool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum LastResult {
    #[default]
    None,
    Ok,
    Failed,
    NotReached,
}

impl Tally {
    /// Counts an invocation, and what the function counted itself.
    pub(super) fn invoked(&self, outcome: &Outcome, duration: Duration, log: &[String]) {
        let minute = minute();
        let is_error = match outcome {
            Outcome::NotReached(_) => {
                *lock(&self.result) = LastResult::NotReached;
                return;
            }
            Outcome::Answered(_) => false,
            Outcome::FunctionError(_) | Outcome::TimedOut | Outcome::EnvironmentGone(_) => true,
        };
        let mut metrics = lock(&self.metrics);
        metrics.add(LAMBDA, "Invocations", minute, 1.0);
        metrics.add(LAMBDA, "Errors", minute, f64::from(is_error));
        metrics.add(LAMBDA, "Duration", minute, duration.as_secs_f64() * 1000.0);
        for line in log {
            for (namespace, name, value) in embedded_metrics(line) {
                metrics.add(&namespace, &name, minute, value);
            }
        }
    }

    /// Remembers whether the last invocation did all of its records.
    pub(super) fn ended(&self, is_success: bool) {
        let mut result = lock(&self.result);
        // That the function was not reached is said better already.
        if is_success {
            *result = LastResult::Ok;
        } else if *result != LastResult::NotReached {
            *result = LastResult::Failed;
        }
    }

    /// Counts records that were given up, which a destination has or nobody.
    pub(super) fn gave_up(&self, records: usize, has_destination: bool) {
        let (namespace, name) = if has_destination {
            ("AWS/S3", "PutRequests")
        } else {
            (LAMBDA, "DestinationDeliveryFailures")
        };
        let records = u32::try_from(records).unwrap_or(u32::MAX);
        let count = if has_destination { 1.0 } else { f64::from(records) };
        lock(&self.metrics).add(namespace, name, minute(), count);
    }

    /// Remembers by partition how many records the topic is ahead; `None` if no broker says.
    pub(super) fn measured(&self, lag: Option<BTreeMap<i32, u64>>) {
        self.is_cut_off.store(lag.is_none(), Ordering::Relaxed);
        if let Some(lag) = lag {
            let highest = lag.values().copied().max().unwrap_or_default();
            let highest = u32::try_from(highest).unwrap_or(u32::MAX);
            lock(&self.metrics).add(LAMBDA, "OffsetLag", minute(), f64::from(highest));
            *lock(&self.lag) = lag;
        }
    }

    /// Remembers that nothing new begins.
    pub(super) fn stops(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
    }

    /// All that is told now.
    pub(super) fn document(&self, identity: &Identity) -> FunctionDocument {
        let Identity { function, mapping, topic, group, epoch } = identity.clone();
        let result = *lock(&self.result);
        let is_cut_off = self.is_cut_off.load(Ordering::Relaxed);
        let last_processing_result = match result {
            _ if is_cut_off => "PROBLEM: Connection error: no broker answers",
            LastResult::None => "No records processed",
            LastResult::Ok => "OK",
            LastResult::Failed => "PROBLEM: Function call failed",
            LastResult::NotReached => "PROBLEM: The function could not be invoked",
        };
        let is_stopping = self.is_stopping.load(Ordering::Relaxed);
        FunctionDocument {
            name: function,
            mapping,
            topic,
            group,
            epoch,
            state: if is_stopping { "Disabling" } else { "Enabled" }.to_owned(),
            last_processing_result: last_processing_result.to_owned(),
            lag: lock(&self.lag).clone(),
            metrics: lock(&self.metrics).clone(),
        }
    }
}

fn minute() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / 60
}

/// Namespace, name and value of each metric in a log line of the embedded metric format.
fn embedded_metrics(line: &str) -> Vec<(String, String, f64)> {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let list = |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
    if !line.contains("\"_aws\"") {
        return Vec::new();
    }
    let line: Value = serde_json::from_str(line).unwrap_or_default();
    let mut metrics = Vec::new();
    for directive in list(line["_aws"].get("CloudWatchMetrics")) {
        let Some(namespace) = text(directive.get("Namespace")) else { continue };
        for metric in list(directive.get("Metrics")) {
            let Some(name) = text(metric.get("Name")) else { continue };
            if let Some(value) = line[&name].as_f64() {
                metrics.push((namespace.clone(), name, value));
            }
        }
    }
    metrics
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_read_from_their_lines() {
        #[track_caller]
        fn check(line: &str, expected: &[(&str, &str, f64)]) {
            let metrics = embedded_metrics(line);
            let metrics: Vec<_> =
                metrics.iter().map(|(a, b, value)| (a.as_str(), b.as_str(), *value)).collect();
            assert_eq!(metrics, expected);
        }

        check(
            r#"{"_aws":{"CloudWatchMetrics":[{"Namespace":"n","Metrics":[{"Name":"a"},{"Name":"b"},{"Name":"c"}]}]},"a":1,"b":2.5}"#,
            &[("n", "a", 1.0), ("n", "b", 2.5)],
        );
        check(r#"{"_aws":{"CloudWatchMetrics":[{"Metrics":[{"Name":"a"}]}]},"a":1}"#, &[]);
        check(r#"{"_aws":1}"#, &[]);
        check(r#""_aws""#, &[]);
        check(r#"{"level":"INFO"}"#, &[]);
    }

    #[test]
    fn a_mapping_is_told_in_lambdas_words() {
        #[track_caller]
        fn check(tally: &Tally, state: &str, result: &str) {
            let identity = Identity {
                function: "f".to_owned(),
                mapping: "m".to_owned(),
                topic: "t".to_owned(),
                group: "g".to_owned(),
                epoch: "0".to_owned(),
            };
            let document = tally.document(&identity);
            let told = (document.state.as_str(), document.last_processing_result.as_str());
            assert_eq!(told, (state, result));
        }

        let tally = Tally::default();
        check(&tally, "Enabled", "No records processed");
        let not_reached = Outcome::NotReached("no".to_owned());
        tally.invoked(&not_reached, Duration::ZERO, &[]);
        tally.ended(false);
        check(&tally, "Enabled", "PROBLEM: The function could not be invoked");
        tally.invoked(&Outcome::Answered(Vec::new()), Duration::ZERO, &[]);
        tally.ended(true);
        check(&tally, "Enabled", "OK");
        tally.invoked(&Outcome::TimedOut, Duration::ZERO, &[]);
        tally.ended(false);
        check(&tally, "Enabled", "PROBLEM: Function call failed");
        tally.measured(None);
        check(&tally, "Enabled", "PROBLEM: Connection error: no broker answers");
        tally.measured(Some(BTreeMap::from([(0, 7), (1, 9)])));
        tally.ended(true);
        tally.stops();
        check(&tally, "Disabling", "OK");

        let metrics = lock(&tally.metrics);
        let all = |name| metrics.get(LAMBDA, name).and_then(|it| it.within(0..=u64::MAX)).unwrap();
        let numbers = [all("Invocations").sum, all("Errors").sum, all("OffsetLag").maximum];
        assert_eq!(format!("{numbers:?}"), "[2.0, 1.0, 9.0]");
    }
}
