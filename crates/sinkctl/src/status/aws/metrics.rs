//! What `CloudWatch` counted of the functions, by one request.

use std::collections::BTreeMap;

use aws_sdk_cloudwatch::{
    Client,
    primitives::DateTime,
    types::{Dimension, Metric, MetricDataQuery, MetricStat, StatusCode},
};
use dynamo_sink::outcome::METRICS_NAMESPACE;
use local::template::{Function, Template};

use crate::{
    aws_error::explained,
    status::{Activity, OLDEST_RECORD_AGE, record_counts},
};

/// The seconds of a period; a longer one would not begin with the first of the minutes that are asked for.
const PERIOD: i32 = 60;

/// How long it may have been since the lag was counted: it is counted once a minute, and comes late.
const LAG_MINUTES: u64 = 15;

/// Namespace, name and statistic of a metric.
type Wanted = (&'static str, &'static str, &'static str);

fn wanted() -> impl Iterator<Item = Wanted> {
    let of_lambda = [
        ("AWS/Lambda", "OffsetLag", "Maximum"),
        ("AWS/Lambda", "Invocations", "Sum"),
        ("AWS/Lambda", "Errors", "Sum"),
        ("AWS/Lambda", "Throttles", "Sum"),
    ];
    let of_records = record_counts().map(|name| (METRICS_NAMESPACE, name, "Sum"));
    let oldest = (METRICS_NAMESPACE, OLDEST_RECORD_AGE, "Maximum");
    of_lambda.into_iter().chain([oldest]).chain(of_records)
}

/// What each function of the template did, in its order.
pub async fn activities(
    client: &Client,
    template: &Template,
    minutes: u64,
    time: u64,
) -> Result<Vec<Activity>, String> {
    let mut asked = BTreeMap::new();
    let mut queries = Vec::new();
    for (position, function) in template.functions.iter().enumerate() {
        for metric in wanted() {
            let id = format!("m{}", queries.len());
            queries.push(query(&id, metric, function, template.stage()));
            asked.insert(id, (position, metric.1));
        }
    }
    let end = time.div_ceil(60_000) * 60;
    let begin = end.saturating_sub(minutes.max(LAG_MINUTES) * 60);
    let first = end.saturating_sub(minutes * 60);
    let seconds = |it: u64| DateTime::from_secs(i64::try_from(it).unwrap_or(i64::MAX));
    let mut pages = client
        .get_metric_data()
        .set_metric_data_queries(Some(queries))
        .start_time(seconds(begin))
        .end_time(seconds(end))
        .into_paginator()
        .send();
    let mut activities = vec![Activity::default(); template.functions.len()];
    while let Some(page) = pages.next().await {
        let page =
            page.map_err(|error| explained(&error, "cloudwatch:GetMetricData", METRICS_NAMESPACE))?;
        for result in page.metric_data_results.unwrap_or_default() {
            let found = asked.get(result.id.as_deref().unwrap_or_default());
            let Some(&(position, name)) = found else { continue };
            if let Some(StatusCode::Forbidden | StatusCode::InternalError) = result.status_code {
                return Err(format!("CloudWatch did not give the metric `{name}`: try again"));
            }
            let times = result.timestamps.unwrap_or_default();
            let points: Vec<_> = times
                .iter()
                .map(|it| u64::try_from(it.secs()).unwrap_or_default())
                .zip(result.values.unwrap_or_default())
                .collect();
            take(&mut activities[position], name, &points, first);
        }
    }
    Ok(activities)
}

/// Adds a page's points, of which those before `first` count for the lag only.
fn take(activity: &mut Activity, metric: &str, points: &[(u64, f64)], first: u64) {
    let counted = points.iter().filter(|(time, _)| *time >= first).map(|(_, value)| *value);
    let is_empty = counted.clone().next().is_none();
    let sum = whole(counted.clone().sum());
    let add = |number: &mut Option<u64>| *number = Some(number.unwrap_or_default() + sum);
    match metric {
        "OffsetLag" => {
            let last = points.iter().max_by_key(|(time, _)| *time);
            activity.lag = last.map(|(_, value)| whole(*value)).or(activity.lag);
        }
        OLDEST_RECORD_AGE => {
            let oldest = counted.reduce(f64::max).map(whole);
            activity.oldest_record_age = activity.oldest_record_age.max(oldest);
        }
        _ if is_empty => {}
        "Invocations" => add(&mut activity.invocations),
        "Errors" => add(&mut activity.errors),
        "Throttles" => add(&mut activity.throttles),
        name => {
            *activity.records.entry(name.to_owned()).or_default() += sum;
        }
    }
}

fn query(
    id: &str,
    (namespace, name, statistic): Wanted,
    function: &Function,
    stage: &str,
) -> MetricDataQuery {
    let dimension = |name: &str, value: &str| Dimension::builder().name(name).value(value).build();
    let dimensions = if namespace == METRICS_NAMESPACE {
        vec![dimension("function", &function.name), dimension("stage", stage)]
    } else {
        vec![dimension("FunctionName", &function.name)]
    };
    let metric = Metric::builder()
        .namespace(namespace)
        .metric_name(name)
        .set_dimensions(Some(dimensions))
        .build();
    let statistic = MetricStat::builder().metric(metric).period(PERIOD).stat(statistic).build();
    MetricDataQuery::builder().id(id).metric_stat(statistic).build()
}

/// A count, or milliseconds, which come as floating point numbers.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "they are whole numbers, and far from the limits"
)]
fn whole(number: f64) -> u64 {
    number.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_make_an_activity() {
        #[track_caller]
        fn check(metric: &str, pages: &[&[(u64, f64)]], expected: &Activity) {
            let mut activity = Activity::default();
            for page in pages {
                take(&mut activity, metric, page, 100);
            }
            assert_eq!(&activity, expected);
        }

        let none = Activity::default();
        // What is not counted is not 0.
        check("Errors", &[&[]], &none);
        check("Errors", &[&[(40, 9.0)]], &none);
        let errors = Activity { errors: Some(6), ..none.clone() };
        check("Errors", &[&[(100, 1.0), (160, 2.0), (40, 9.0)], &[(220, 3.0)]], &errors);
        let invocations = Activity { invocations: Some(0), ..none.clone() };
        check("Invocations", &[&[(100, 0.0)]], &invocations);
        let throttles = Activity { throttles: Some(2), ..none.clone() };
        check("Throttles", &[&[(100, 2.0)]], &throttles);
        // The last one, however old.
        let lag = Activity { lag: Some(4), ..none.clone() };
        check("OffsetLag", &[&[(40, 4.0), (20, 9.0)]], &lag);
        check("OffsetLag", &[&[]], &none);
        let age = Activity { oldest_record_age: Some(90), ..none.clone() };
        check(OLDEST_RECORD_AGE, &[&[(100, 90.0), (160, 7.0)], &[(220, 3.0)]], &age);
        let records = BTreeMap::from([("stale".to_owned(), 3)]);
        check("stale", &[&[(100, 1.0)], &[(160, 2.0)]], &Activity { records, ..none });
    }
}
