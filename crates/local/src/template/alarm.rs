//! The alarms that a template declares.

use std::collections::BTreeMap;

use super::{Properties, Reader, ResolveError, TemplateError, Value, scalar};

/// An alarm of `CloudWatch`.
#[derive(Clone, Debug, PartialEq)]
pub struct Alarm {
    /// Its name within the template.
    pub logical_id: String,
    /// Its name in `CloudWatch`.
    pub name: String,
    /// What it means, and what to do about it.
    pub description: String,
    /// What it looks at.
    pub metrics: Vec<AlarmMetric>,
    /// What it makes of several metrics, as `CloudWatch`'s metric math; `None` takes the only one as it is.
    pub expression: Option<String>,
    /// How many periods it looks at.
    pub evaluation_periods: u64,
    /// How many of them must be beyond the threshold.
    pub datapoints_to_alarm: u64,
    /// What is still right.
    pub threshold: f64,
    /// On which side of the threshold the trouble is.
    pub is_raised_above: bool,
    /// Whether a period without data counts as trouble.
    pub is_raised_by_silence: bool,
}

/// A metric that an alarm looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlarmMetric {
    /// What an expression calls it.
    pub id: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What it is of; instead of a name that only a deployment gives, that within the template.
    pub dimensions: BTreeMap<String, String>,
    /// `Sum` or `Maximum`, say.
    pub statistic: String,
    /// The seconds of a period.
    pub period: u64,
}

impl Reader<'_> {
    pub(super) fn alarm(&self, logical_id: &str, resource: &Value) -> Result<Alarm, TemplateError> {
        let properties =
            Properties { resolver: &self.resolver, logical_id, resource, globals: None };
        let mut expression = None;
        let mut metrics = Vec::new();
        match properties.own(&["Properties", "Metrics"])? {
            None => metrics.push(metric(&properties, String::new(), STANDING_ALONE)?),
            Some(queries) => {
                for query in queries.as_sequence().into_iter().flatten() {
                    let query = Properties {
                        resolver: &self.resolver,
                        logical_id,
                        resource: query,
                        globals: None,
                    };
                    let id = query.required_text(&["Id"])?;
                    match query.text(&["Expression"])? {
                        Some(text) => expression = Some(text),
                        None => metrics.push(metric(&query, id, IN_A_QUERY)?),
                    }
                }
            }
        }
        let evaluation_periods = properties.number(&["Properties", "EvaluationPeriods"])?;
        let comparison = &["Properties", "ComparisonOperator"];
        let is_raised_above = match properties.required_text(comparison)?.as_str() {
            "GreaterThanThreshold" => true,
            "LessThanOrEqualToThreshold" => false,
            other => {
                let function = format!("ComparisonOperator {other}");
                return Err(properties.error(comparison, ResolveError::Unsupported { function }));
            }
        };
        let threshold = &["Properties", "Threshold"];
        let found = properties.required_text(threshold)?;
        Ok(Alarm {
            logical_id: logical_id.to_owned(),
            name: properties.required_text(&["Properties", "AlarmName"])?,
            description: properties.text(&["Properties", "AlarmDescription"])?.unwrap_or_default(),
            metrics,
            expression,
            evaluation_periods,
            datapoints_to_alarm: match properties.text(&["Properties", "DatapointsToAlarm"])? {
                Some(_) => properties.number(&["Properties", "DatapointsToAlarm"])?,
                None => evaluation_periods,
            },
            threshold: found
                .parse()
                .map_err(|_| properties.error(threshold, ResolveError::NotANumber { found }))?,
            is_raised_above,
            is_raised_by_silence: properties
                .text(&["Properties", "TreatMissingData"])?
                .is_some_and(|text| text == "breaching"),
        })
    }
}

/// Where a metric's members stand: namespace, name, dimensions, statistic and period.
type Places = [&'static [&'static str]; 5];

const STANDING_ALONE: Places = [
    &["Properties", "Namespace"],
    &["Properties", "MetricName"],
    &["Properties", "Dimensions"],
    &["Properties", "Statistic"],
    &["Properties", "Period"],
];
const IN_A_QUERY: Places = [
    &["MetricStat", "Metric", "Namespace"],
    &["MetricStat", "Metric", "MetricName"],
    &["MetricStat", "Metric", "Dimensions"],
    &["MetricStat", "Stat"],
    &["MetricStat", "Period"],
];

fn metric(
    properties: &Properties<'_>,
    id: String,
    [namespace, name, dimensions, statistic, period]: Places,
) -> Result<AlarmMetric, TemplateError> {
    let mut values = BTreeMap::new();
    let given = properties.own(dimensions)?.unwrap_or_default();
    let given = properties.resolver.chosen(&given);
    let given = given.map_err(|source| properties.error(dimensions, source))?;
    for dimension in given.as_sequence().into_iter().flatten() {
        let member = |name: &str| {
            let value = dimension.get(name).cloned().unwrap_or_default();
            match properties.resolver.resolve(&value) {
                Ok(value) => scalar(&value.unwrap_or_default()),
                // Only a deployment names it.
                Err(ResolveError::UnknownName { name }) => Ok(name),
                Err(ResolveError::UnknownAttribute { resource, .. }) => Ok(resource),
                Err(other) => Err(other),
            }
        };
        let member = |name: &str| member(name).map_err(|it| properties.error(dimensions, it));
        values.insert(member("Name")?, member("Value")?);
    }
    Ok(AlarmMetric {
        id,
        namespace: properties.required_text(namespace)?,
        name: properties.required_text(name)?,
        dimensions: values,
        statistic: properties.required_text(statistic)?,
        period: properties.number(period)?,
    })
}

#[cfg(test)]
mod tests {
    use crate::template::{LOCAL_STAGE, Template};

    const WORKSPACE_TEMPLATE: &str = include_str!("../../../../template.yaml");

    #[test]
    fn the_workspace_template_declares_the_alarms() {
        #[track_caller]
        fn check(parameters: &[(&str, &str)], logical_id: &str, expected: &str) {
            let parameters = [&[("Stage", LOCAL_STAGE)], parameters].concat();
            let template = Template::parse(WORKSPACE_TEMPLATE, &parameters).unwrap();
            let alarm = template.alarms.iter().find(|it| it.logical_id == logical_id).unwrap();
            let metrics: Vec<_> = alarm
                .metrics
                .iter()
                .map(|it| {
                    let dimensions: Vec<_> = it.dimensions.values().map(String::as_str).collect();
                    format!(
                        "{}{}/{} of {} {} {} s",
                        it.id,
                        it.namespace,
                        it.name,
                        dimensions.join(" "),
                        it.statistic,
                        it.period
                    )
                })
                .collect();
            let sign = if alarm.is_raised_above { ">" } else { "<=" };
            let silence = if alarm.is_raised_by_silence { ", or silence" } else { "" };
            let expression = alarm.expression.as_deref().unwrap_or("it");
            let actual = format!(
                "{}: {}: {expression} {sign} {} in {} of {}{silence}",
                alarm.name.strip_prefix("compare-connector-local-").unwrap(),
                metrics.join(", "),
                alarm.threshold,
                alarm.datapoints_to_alarm,
                alarm.evaluation_periods
            );
            assert_eq!(actual, expected);
            assert!(alarm.description.len() > 80);
        }

        let appian = "compare-connector-local-sinkAppianData";
        check(
            &[],
            "AppianErrorsAlarm",
            &format!(
                "sinkAppianData-errors: AWS/Lambda/Errors of {appian} Sum 60 s: it > 0 in 5 of 15"
            ),
        );
        check(
            &[("SilentHours", "3")],
            "AppianSilentAlarm",
            &format!(
                "sinkAppianData-silent: compare-connector/received of {appian} local Sum 3600 s: it <= 0 in 3 of 3, \
                 or silence"
            ),
        );
        check(
            &[],
            "AppianLagAlarm",
            &format!(
                "sinkAppianData-lag: lagAWS/Lambda/OffsetLag of {appian} Maximum 600 s: IF(lag > 10 * 100, DIFF(lag), 0) \
                 > 0 in 4 of 4"
            ),
        );
        check(
            &[("PollerMode", "provisioned")],
            "AppianPollingAlarm",
            "sinkAppianData-polling: AWS/Lambda/PollingErrorCount of AppianMapping Sum 300 s: it > 0 in 3 of 3",
        );
        check(
            &[("OnFailureDestination", "sqs")],
            "FailuresQueueAlarm",
            "failures-queue: AWS/SQS/ApproximateNumberOfMessagesVisible of FailuresQueue Maximum 60 s: it > 0 in 1 of 60",
        );
    }

    #[test]
    fn alarms_are_of_what_is_there() {
        #[track_caller]
        fn check(parameters: &[(&str, &str)], expected: &[&str]) {
            let names = |parameters| {
                let template = Template::parse(WORKSPACE_TEMPLATE, parameters).unwrap();
                template.alarms.into_iter().map(|it| it.logical_id).collect::<Vec<_>>()
            };
            let (all, found) = (names(&[]), names(parameters));
            let missing: Vec<_> = all.iter().filter(|it| !found.contains(it)).collect();
            assert_eq!(missing, expected);
        }

        check(&[], &[]);
        check(&[("Monitoring", "alarms")], &[]);
        check(&[("SeatoolEnabled", "false")], &["SeatoolSilentAlarm"]);
        check(&[("AppianEnabled", "absent")], &["AppianSilentAlarm", "AppianDroppedAlarm"]);
        let none = Template::parse(WORKSPACE_TEMPLATE, &[("Monitoring", "none")]).unwrap();
        assert_eq!(none.alarms, []);
    }
}
