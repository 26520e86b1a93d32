//! The template's alarms, judged on what a local event source mapping has counted.
//!
//! Unlike `CloudWatch`, whose periods begin at full minutes and hours, the last period ends now: what just happened is
//! told at once.

use std::collections::BTreeMap;

use local::template::{Alarm, AlarmMetric};

use super::{
    AlarmState, AlarmStatus,
    document::{Document, FunctionDocument},
    math::Expression,
};

/// What an alarm would say of what was counted.
pub fn judge(alarm: &Alarm, document: &Document) -> AlarmStatus {
    let (state, reason) = match state(alarm, document) {
        Ok((state, beyond)) => {
            let Alarm { evaluation_periods: of, threshold, is_raised_above, .. } = alarm;
            let side = if *is_raised_above { "above" } else { "not above" };
            let minutes = minutes_of_a_period(alarm);
            let when = format!("{beyond} of the last {of} periods of {minutes} min");
            (state, format!("{side} {threshold} in {when}"))
        }
        Err(reason) => (AlarmState::InsufficientData, reason),
    };
    let (name, description) = (alarm.name.clone(), alarm.description.clone());
    AlarmStatus { name, state, description, reason }
}

fn state(alarm: &Alarm, document: &Document) -> Result<(AlarmState, u64), String> {
    let period = minutes_of_a_period(alarm);
    // The minute that has begun is the last one.
    let now = document.time / 60_000;
    let periods = alarm.evaluation_periods;
    if alarm.is_raised_by_silence && now.saturating_sub(document.began / 60_000) < periods * period
    {
        let minutes = periods * period;
        return Err(format!("it looks at {minutes} minutes, and so long nothing was counted"));
    }
    // One more in front, for differences.
    let windows: Vec<_> = (0..=periods)
        .rev()
        .map(|back| {
            let last = now.saturating_sub(back * period);
            last.saturating_sub(period - 1)..=last
        })
        .collect();
    let mut values = BTreeMap::new();
    for metric in &alarm.metrics {
        let of_window = |minutes: &std::ops::RangeInclusive<u64>| {
            let functions = document.functions.values().filter(|it| is_of(metric, it));
            let points = functions.filter_map(|function| {
                let series = function.metrics.get(&metric.namespace, &metric.name)?;
                let point = series.within(minutes.clone())?;
                Some(if metric.statistic == "Maximum" { point.maximum } else { point.sum })
            });
            points.reduce(if metric.statistic == "Maximum" { f64::max } else { |a, b| a + b })
        };
        if !["Sum", "Maximum"].contains(&metric.statistic.as_str()) {
            return Err(format!("the statistic {} is not kept here", metric.statistic));
        }
        values.insert(metric.id.clone(), windows.iter().map(of_window).collect::<Vec<_>>());
    }
    let expression = match &alarm.expression {
        Some(text) => Expression::parse(text).map_err(|error| error.to_string())?,
        None => {
            Expression::Metric(alarm.metrics.first().map_or_else(String::new, |it| it.id.clone()))
        }
    };
    let is_beyond = |value: Option<f64>| match value {
        Some(value) if alarm.is_raised_above => value > alarm.threshold,
        Some(value) => value <= alarm.threshold,
        None => alarm.is_raised_by_silence,
    };
    let beyond = (1..windows.len()).filter(|&it| is_beyond(expression.value(&values, it))).count();
    let beyond = u64::try_from(beyond).unwrap_or(u64::MAX);
    let is_raised = beyond >= alarm.datapoints_to_alarm;
    Ok((if is_raised { AlarmState::Alarm } else { AlarmState::Ok }, beyond))
}

fn minutes_of_a_period(alarm: &Alarm) -> u64 {
    alarm.metrics.iter().map(|it| it.period.div_ceil(60).max(1)).max().unwrap_or(1)
}

/// Whether a metric counts what this function and its mapping do: it names one of them, or neither.
fn is_of(metric: &AlarmMetric, function: &FunctionDocument) -> bool {
    let names = [
        ("FunctionName", &function.name),
        ("function", &function.name),
        ("EventSourceMappingUUID", &function.mapping),
    ];
    let mut is_own = names.iter().filter_map(|(dimension, own)| {
        metric.dimensions.get(*dimension).map(|value| value == *own)
    });
    is_own.all(|it| it)
}

#[cfg(test)]
mod tests {
    use local::template::{LOCAL_STAGE, Template};

    use super::*;
    use crate::status::{NAMESPACE, series::Metrics};

    const WORKSPACE_TEMPLATE: &str = include_str!("../../../../template.yaml");

    /// The minute that is now.
    const NOW: u64 = 30_000_000;

    /// Values by namespace, metric, and minutes before now.
    type Values<'a> = &'a [(&'a str, &'a str, &'a [(u64, f64)])];

    #[test]
    fn the_workspace_alarms_are_raised_by_what_was_counted() {
        #[track_caller]
        fn check(suffix: &str, values: Values<'_>, expected: AlarmState) {
            let template = Template::parse(
                WORKSPACE_TEMPLATE,
                &[("Stage", LOCAL_STAGE), ("PollerMode", "provisioned")],
            )
            .unwrap();
            let mut metrics = Metrics::default();
            for (namespace, name, values) in values {
                for &(before, value) in *values {
                    metrics.add(namespace, name, NOW - before, value);
                }
            }
            let function = |name: &str, mapping: &str, metrics| FunctionDocument {
                name: format!("compare-connector-local-{name}"),
                mapping: mapping.to_owned(),
                topic: "t".to_owned(),
                group: "g".to_owned(),
                state: "Enabled".to_owned(),
                last_processing_result: "OK".to_owned(),
                epoch: "0".to_owned(),
                lag: BTreeMap::new(),
                metrics,
            };
            let functions = [
                ("sinkAppianData", "AppianMapping", Metrics::default()),
                ("sinkSeatoolData", "SeatoolMapping", metrics),
            ];
            let document = Document {
                stage: LOCAL_STAGE.to_owned(),
                began: (NOW - 97 * 60) * 60_000,
                time: NOW * 60_000 + 59_999,
                functions: functions
                    .map(|(name, mapping, metrics)| {
                        (name.to_owned(), function(name, mapping, metrics))
                    })
                    .into(),
                parameters: Vec::new(),
            };
            let judged: Vec<_> = template.alarms.iter().map(|it| judge(it, &document)).collect();
            let state = |function: &str| {
                let name = format!("compare-connector-local-{function}{suffix}");
                judged.iter().find(|it| it.name == name).map(|it| it.state)
            };
            let seatool = state("sinkSeatoolData-").or_else(|| state(""));
            assert_eq!(seatool, Some(expected), "{judged:#?}");
            if let Some(appian) = state("sinkAppianData-").filter(|_| suffix != "silent") {
                assert_eq!(appian, AlarmState::Ok, "the other function has nothing of it");
            }
        }

        let (own, lambda) = (NAMESPACE, "AWS/Lambda");
        check("quarantined", &[], AlarmState::Ok);
        check("quarantined", &[(own, "quarantined", &[(0, 1.0)])], AlarmState::Alarm);
        check("quarantined", &[(own, "quarantined", &[(59, 1.0)])], AlarmState::Alarm);
        check("quarantined", &[(own, "quarantined", &[(60, 1.0)])], AlarmState::Ok);
        check("quarantined", &[(own, "quarantined", &[(0, 0.0)])], AlarmState::Ok);
        check("tombstone-failed", &[(own, "tombstoneFailed", &[(1, 2.0)])], AlarmState::Alarm);

        let five = [(0, 1.0), (2, 1.0), (4, 3.0), (6, 1.0), (14, 1.0)];
        check("errors", &[(lambda, "Errors", &five)], AlarmState::Alarm);
        check("errors", &[(lambda, "Errors", &five[1..])], AlarmState::Ok);
        check("duration", &[(lambda, "Duration", &[(1, 48_001.0)])], AlarmState::Alarm);
        check("duration", &[(lambda, "Duration", &[(1, 48_000.0)])], AlarmState::Ok);

        // More than ten batches of 500.
        let growing = [(0, 5004.0), (10, 5003.0), (20, 5002.0), (30, 5001.0), (40, 5000.0)];
        check("lag", &[(lambda, "OffsetLag", &growing)], AlarmState::Alarm);
        check("lag", &[(lambda, "OffsetLag", &growing[..4])], AlarmState::Ok);
        let few = [(0, 5003.0), (10, 5002.0), (20, 5001.0), (30, 5000.0), (40, 4999.0)];
        check("lag", &[(lambda, "OffsetLag", &few)], AlarmState::Ok);
        let standing = [(0, 5004.0), (10, 5004.0), (20, 5003.0), (30, 5002.0), (40, 5001.0)];
        check("lag", &[(lambda, "OffsetLag", &standing)], AlarmState::Ok);

        let hundred = [(0, 100.0), (5, 100.0), (10, 100.0)];
        let received = (own, "received", hundred.as_slice());
        let regressed = [(0, 2.0), (5, 2.0)];
        check("regressions", &[received, (own, "regression", &regressed)], AlarmState::Alarm);
        check("regressions", &[received, (own, "regression", &regressed[1..])], AlarmState::Ok);

        // Four days without a record.
        check("silent", &[(own, "received", &[(96 * 60 - 1, 1.0)])], AlarmState::Ok);
        check("silent", &[], AlarmState::Alarm);
        check("failures-bucket", &[("AWS/S3", "PutRequests", &[(0, 1.0)])], AlarmState::Alarm);
        check(
            "polling",
            &[(lambda, "PollingErrorCount", &[(0, 1.0), (5, 1.0), (10, 1.0)])],
            AlarmState::Alarm,
        );
    }
}
