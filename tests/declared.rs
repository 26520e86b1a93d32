//! What the template declares for the functions is what they read, and what its own tests take for granted is so.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use dynamo_sink::{
    outcome::{METRICS_NAMESPACE, metrics},
    settings::{AWS_LAMBDA_FUNCTION_NAME, AWS_LAMBDA_LOG_LEVEL, Settings},
    sink::Sink,
};

use local::{SINKS, dynamodb::DEFAULT_PORT, function::FunctionSettings};

use crate::support::{contract::contract, function::root, template};

/// The variables that Lambda itself sets.
const SET_BY_LAMBDA: [&str; 2] = [AWS_LAMBDA_FUNCTION_NAME, AWS_LAMBDA_LOG_LEVEL];

#[test]
fn the_template_declares_each_variable_that_a_function_reads_and_no_other() {
    for sink in &SINKS {
        check(sink);
    }
    let names: BTreeSet<_> = SINKS.iter().map(|sink| sink.name.to_owned()).collect();
    assert_eq!(names, template().functions.into_iter().map(|it| it.binary).collect());
    assert_eq!(names, contract().sinks.into_keys().collect());
}

/// `cargo lambda watch` sets only what must be set, and for the local stage that is as much as the template sets.
#[test]
fn cargo_lambda_settles_what_the_template_does() {
    for sink in &SINKS {
        let variables = watched(sink);
        let template = template();
        let function = template.functions.iter().find(|it| it.binary == sink.name).unwrap();
        let endpoint = format!("http://127.0.0.1:{DEFAULT_PORT}");
        let local = FunctionSettings::local(function, PathBuf::new(), &endpoint).variables;
        let settings = |variables: &BTreeMap<String, String>| {
            Settings::read(sink, |name| Ok(variables.get(name).cloned())).unwrap()
        };
        assert_eq!(settings(&variables), settings(&local), "{}", sink.name);
        // What the settings do not say: where DynamoDB is.
        for (name, value) in &variables {
            assert_eq!(local.get(name), Some(value), "{}: `{name}`", sink.name);
        }
        let of_aws = |name: &&String| name.starts_with("AWS_");
        assert!(local.keys().filter(of_aws).eq(variables.keys().filter(of_aws)), "{}", sink.name);
    }
}

/// The variables that `cargo lambda watch` sets, from the manifest of the sink.
fn watched(sink: &Sink) -> BTreeMap<String, String> {
    let manifests = fs::read_dir(root().join("crates")).unwrap().filter_map(|entry| {
        let text = fs::read_to_string(entry.unwrap().path().join("Cargo.toml")).ok()?;
        Some(text.parse::<toml::Table>().unwrap())
    });
    let is_its_own = |manifest: &toml::Table| {
        let binaries = manifest.get("bin").and_then(toml::Value::as_array);
        binaries.is_some_and(|it| it.iter().any(|it| it["name"].as_str() == Some(sink.name)))
    };
    let manifest = manifests.into_iter().find(is_its_own).unwrap();
    manifest["package"]["metadata"]["lambda"]["watch"]["env"].clone().try_into().unwrap()
}

#[test]
fn the_templates_tests_know_each_metric_and_its_unit() {
    let contract = contract();
    let unit = |name: String| {
        let is_time = contract.milliseconds.contains(&name);
        (name, if is_time { "Milliseconds" } else { "Count" })
    };
    let known: BTreeMap<_, _> = contract.metrics.iter().cloned().map(unit).collect();
    assert_eq!(known, metrics().map(|it| (it.name.to_owned(), it.unit())).collect());
    assert_eq!(contract.namespace, METRICS_NAMESPACE);
}

#[track_caller]
fn check(sink: &Sink) {
    let functions = template().functions;
    let function = functions.iter().find(|function| function.binary == sink.name).unwrap();
    let read = RefCell::new(BTreeSet::new());
    let settings = Settings::read(sink, |variable| {
        read.borrow_mut().insert(variable);
        Ok(function.variables.get(variable).cloned())
    });
    // One that is refused would leave those unread that come after it.
    settings.unwrap();
    let mut read = read.into_inner();
    for variable in SET_BY_LAMBDA {
        assert!(read.remove(variable), "{}: `{variable}` is not read", sink.name);
    }
    let declared: BTreeSet<_> = function.variables.keys().map(String::as_str).collect();
    assert_eq!(declared, read, "{}: declared, and read", sink.name);
    // The tests of the expanded template know them from there.
    let contract = contract();
    let variables = contract.variables_of(sink.name);
    let expected: BTreeSet<_> = variables.iter().map(String::as_str).collect();
    assert_eq!(read, expected, "{}: read, and expected", sink.name);
    assert_eq!(format!("{:?}", sink.order), contract.sinks[sink.name].order, "{}", sink.name);
}
