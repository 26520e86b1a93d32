//! What the template declares for the functions is what they read, and what its own tests take for granted is so.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use dynamo_sink::{
    outcome::{METRICS_NAMESPACE, metrics},
    settings::{AWS_LAMBDA_FUNCTION_NAME, AWS_LAMBDA_LOG_LEVEL, Settings},
    sink::Sink,
};

use crate::support::{contract::contract, template};

/// The variables that Lambda itself sets.
const SET_BY_LAMBDA: [&str; 2] = [AWS_LAMBDA_FUNCTION_NAME, AWS_LAMBDA_LOG_LEVEL];

#[test]
fn the_template_declares_each_variable_that_a_function_reads_and_no_other() {
    check(&sink_appian_data::SINK);
    check(&sink_seatool_data::SINK);
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
    let expected: BTreeSet<_> = contract.variables[sink.name].iter().map(String::as_str).collect();
    assert_eq!(read, expected, "{}: read, and expected", sink.name);
}
