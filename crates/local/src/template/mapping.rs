//! The event source mappings that a template declares.

use std::{fmt, time::Duration};

use anyhow::{Context as _, anyhow, bail};

use super::{Function, Resource, Value, number, resolve::UnknownAttribute, scalar, structure};

/// A Kafka event source mapping of a function; where the template is silent, with Lambda's defaults.
#[expect(clippy::struct_excessive_bools, reason = "each is a property of its own in the template")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Its name within the template.
    pub logical_id: String,
    /// The function's name within the template.
    pub function: String,
    /// Whether it polls.
    pub is_enabled: bool,
    pub topic: String,
    /// The consumer group; Lambda makes one up where the template names none.
    pub consumer_group: Option<String>,
    /// Where a group begins that has no committed offsets.
    pub starting_position: StartingPosition,
    /// The most records of a batch.
    pub batch_size: u64,
    /// How long a batch's first record waits for more.
    pub batching_window: Duration,
    /// Whether it has pollers of its own, which some of the following members need.
    pub is_provisioned: bool,
    /// Whether the function may report the records that failed.
    pub reports_batch_item_failures: bool,
    /// Whether a failed batch is split in two.
    pub bisects_batch_on_function_error: bool,
    /// How often a batch is tried again; `None` is without end.
    pub maximum_retry_attempts: Option<u64>,
    /// The age from which a record is not tried any more; `None` is any age.
    pub maximum_record_age: Option<Duration>,
    /// Whether what is given up goes somewhere.
    pub has_destination: bool,
}

/// Where a consumer group begins that has no committed offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartingPosition {
    /// Behind the last record.
    Latest,
    /// At the first record that the topic still holds.
    TrimHorizon,
    /// At the first record that is not older than this time, in seconds since 1970.
    AtTimestamp(u64),
}

impl fmt::Display for StartingPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str("LATEST"),
            Self::TrimHorizon => f.write_str("TRIM_HORIZON"),
            Self::AtTimestamp(seconds) => write!(f, "AT_TIMESTAMP {seconds}"),
        }
    }
}

impl Resource<'_> {
    /// Reads the mapping of one of these functions.
    pub(super) fn mapping(&self, functions: &[Function]) -> anyhow::Result<Mapping> {
        let [topic] = self.required("Properties.Topics", |topics| {
            let topics: Vec<String> = structure(topics)?;
            <[String; 1]>::try_from(topics).map_err(|_| anyhow!("expected exactly one element"))
        })?;
        let window = self.get("Properties.MaximumBatchingWindowInSeconds", number)?;
        let response_types = self.get("Properties.FunctionResponseTypes", structure)?;
        let response_types: Vec<String> = response_types.unwrap_or_default();
        let provisioned = self.get("Properties.ProvisionedPollerConfig", |it| {
            Ok(it.as_mapping().is_some_and(|members| !members.is_empty()))
        })?;
        let maximum_record_age = self.get("Properties.MaximumRecordAgeInSeconds", limit)?;
        let group = "Properties.SelfManagedKafkaEventSourceConfig.ConsumerGroupId";
        let bisects = "Properties.BisectBatchOnFunctionError";
        Ok(Mapping {
            logical_id: self.logical_id.to_owned(),
            function: self.function_of(functions)?,
            is_enabled: self.get("Properties.Enabled", scalar)?.is_none_or(|it| it == "true"),
            topic,
            consumer_group: self.get(group, scalar)?,
            starting_position: self.starting_position()?,
            batch_size: self.get("Properties.BatchSize", number)?.unwrap_or(100),
            batching_window: window.map_or(Duration::from_millis(500), Duration::from_secs),
            // An empty configuration turns the mode off.
            is_provisioned: provisioned.unwrap_or_default(),
            reports_batch_item_failures: response_types
                .iter()
                .any(|it| it == "ReportBatchItemFailures"),
            bisects_batch_on_function_error: self.is_true(bisects)?,
            maximum_retry_attempts: self.get("Properties.MaximumRetryAttempts", limit)?.flatten(),
            maximum_record_age: maximum_record_age.flatten().map(Duration::from_secs),
            has_destination: self.has_destination()?,
        })
    }

    /// The logical id of the function that the mapping invokes, which may be given by name or by ARN.
    fn function_of(&self, functions: &[Function]) -> anyhow::Result<String> {
        self.required("Properties.FunctionName", |target| {
            let target = scalar(target)?;
            let name = target.rsplit(':').next().unwrap_or_default();
            let function = functions.iter().find(|function| function.name == name);
            let function = function.with_context(|| {
                format!("`{target}` is neither a parameter nor a resource with a name")
            })?;
            Ok(function.logical_id.clone())
        })
    }

    fn starting_position(&self) -> anyhow::Result<StartingPosition> {
        let seconds = || self.required("Properties.StartingPositionTimestamp", number);
        let path = "Properties.StartingPosition";
        match self.required(path, scalar)?.as_str() {
            "LATEST" => Ok(StartingPosition::Latest),
            "TRIM_HORIZON" => Ok(StartingPosition::TrimHorizon),
            "AT_TIMESTAMP" => seconds().map(StartingPosition::AtTimestamp),
            other => {
                self.at(path, || bail!("`{other}` is none of LATEST, TRIM_HORIZON, AT_TIMESTAMP"))
            }
        }
    }

    /// Whether there is a destination, which as a rule is a resource that only a deployment gives an ARN.
    fn has_destination(&self) -> anyhow::Result<bool> {
        let path = "Properties.DestinationConfig.OnFailure";
        match self.resolver.find(self.declaration, path) {
            Err(error) if error.is::<UnknownAttribute>() => Ok(true),
            found => self.at(path, || Ok(found?.is_some())),
        }
    }
}

/// A number where `-1` stands for no limit.
fn limit(value: &Value) -> anyhow::Result<Option<u64>> {
    if scalar(value)? == "-1" { Ok(None) } else { number(value).map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::{LOCAL_STAGE, Template};

    const WORKSPACE_TEMPLATE: &str = include_str!("../../../../template.yaml");

    #[test]
    fn the_workspace_template_declares_the_mappings() {
        #[track_caller]
        fn check(parameters: &[(&str, &str)], expected: &[Mapping]) {
            let parameters = [&[("Stage", LOCAL_STAGE)], parameters].concat();
            let mut mappings = Template::parse(WORKSPACE_TEMPLATE, &parameters).unwrap().mappings;
            mappings
                .retain(|it| ["AppianMapping", "SeatoolMapping"].contains(&it.logical_id.as_str()));
            assert_eq!(mappings, expected);
        }

        let appian = Mapping {
            logical_id: "AppianMapping".to_owned(),
            function: "SinkAppianDataFunction".to_owned(),
            is_enabled: true,
            topic: "aws.appian.cmcs.MCP_SPA_PCKG".to_owned(),
            consumer_group: Some("esm.compare-connector-local-sinkAppianData".to_owned()),
            starting_position: StartingPosition::Latest,
            batch_size: 100,
            batching_window: Duration::from_secs(5),
            is_provisioned: false,
            reports_batch_item_failures: false,
            bisects_batch_on_function_error: false,
            maximum_retry_attempts: None,
            maximum_record_age: None,
            has_destination: false,
        };
        let seatool = Mapping {
            logical_id: "SeatoolMapping".to_owned(),
            function: "SinkSeatoolDataFunction".to_owned(),
            topic: "aws.ksqldb.seatool.agg.State_Plan".to_owned(),
            consumer_group: Some("esm.compare-connector-local-sinkSeatoolData".to_owned()),
            batch_size: 500,
            batching_window: Duration::from_secs(2),
            ..appian.clone()
        };
        check(&[], &[appian.clone(), seatool.clone()]);

        let provisioned = |mapping: &Mapping| Mapping {
            is_provisioned: true,
            reports_batch_item_failures: true,
            bisects_batch_on_function_error: true,
            maximum_retry_attempts: Some(10_000),
            has_destination: true,
            ..mapping.clone()
        };
        check(&[("PollerMode", "provisioned")], &[provisioned(&appian), provisioned(&seatool)]);
        // What a deployment names, what the team has, and a topic.
        let queue = "arn:aws:sqs:us-east-1:000000000000:mine";
        for destination in [
            &[("OnFailureDestination", "sqs")][..],
            &[("OnFailureDestination", "sqs"), ("FailuresQueueArn", queue)],
            &[("OnFailureDestination", "kafka"), ("FailuresTopic", "failures")],
        ] {
            let parameters = [destination, &[("PollerMode", "provisioned")]].concat();
            check(&parameters, &[provisioned(&appian), provisioned(&seatool)]);
        }
        check(
            &[("OnFailureDestination", "s3")],
            &[&appian, &seatool].map(|it| Mapping { has_destination: true, ..it.clone() }),
        );
        check(&[("AppianEnabled", "absent")], std::slice::from_ref(&seatool));
        check(&[("AppianEnabled", "absent"), ("SeatoolEnabled", "absent")], &[]);
        check(
            &[
                ("PollerMode", "provisioned"),
                ("MaximumRetryAttempts", "-1"),
                ("MaximumRecordAge", "60"),
                ("OnFailureDestination", "none"),
                ("AppianStartingPosition", "AT_TIMESTAMP"),
                ("AppianStartingPositionTimestamp", "1700000000"),
                ("SeatoolStartingPosition", "TRIM_HORIZON"),
                ("SeatoolConsumerGroupId", "g"),
                ("SeatoolEnabled", "false"),
                ("TopicNamespace", "mine."),
            ],
            &[&appian, &seatool].map(|mapping| Mapping {
                is_enabled: mapping.function == "SinkAppianDataFunction",
                topic: format!("mine.{}", mapping.topic),
                maximum_retry_attempts: None,
                maximum_record_age: Some(Duration::from_mins(1)),
                has_destination: false,
                starting_position: match mapping.function.as_str() {
                    "SinkAppianDataFunction" => StartingPosition::AtTimestamp(1_700_000_000),
                    _ => StartingPosition::TrimHorizon,
                },
                consumer_group: match mapping.function.as_str() {
                    "SinkAppianDataFunction" => mapping.consumer_group.clone(),
                    _ => Some("g".to_owned()),
                },
                ..provisioned(mapping)
            }),
        );
    }

    fn read(properties: &str) -> anyhow::Result<Mapping> {
        let text = format!(
            "
Resources:
  M: {{Type: AWS::Lambda::EventSourceMapping, Properties: {{{properties}}}}}
  F:
    Type: AWS::Serverless::Function
    Metadata: {{BuildProperties: {{Binary: f}}}}
    Properties: {{FunctionName: f, CodeUri: ., MemorySize: 128, Timeout: 3}}
"
        );
        Template::parse(&text, &[]).map(|mut template| template.mappings.remove(0))
    }

    #[test]
    fn lambdas_defaults_hold_where_the_template_is_silent() {
        #[track_caller]
        fn check(properties: &str) {
            let expected = Mapping {
                logical_id: "M".to_owned(),
                function: "F".to_owned(),
                is_enabled: true,
                topic: "t".to_owned(),
                consumer_group: None,
                starting_position: StartingPosition::TrimHorizon,
                batch_size: 100,
                batching_window: Duration::from_millis(500),
                is_provisioned: false,
                reports_batch_item_failures: false,
                bisects_batch_on_function_error: false,
                maximum_retry_attempts: None,
                maximum_record_age: None,
                has_destination: false,
            };
            assert_eq!(read(properties).unwrap(), expected);
        }

        let all = "FunctionName: !Ref F, Topics: [t], StartingPosition: TRIM_HORIZON";
        check(all);
        check(&all.replace("!Ref F", "!GetAtt F.Arn"));
        check(&all.replace("!Ref F", "f"));
        check(&format!("{all}, ProvisionedPollerConfig: {{}}, FunctionResponseTypes: []"));
        check(&format!("{all}, MaximumRetryAttempts: -1, MaximumRecordAgeInSeconds: '-1'"));
        check(&format!("{all}, DestinationConfig: !Ref AWS::NoValue"));
    }

    #[test]
    fn what_makes_no_mapping_is_an_error() {
        #[track_caller]
        fn check(properties: &str, property: &str, reason: &str) {
            let error = read(properties).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("template resource `M`: cannot read `Properties.{property}`")
            );
            assert_eq!(error.source().unwrap().to_string(), reason);
        }

        check("FunctionName: f, StartingPosition: LATEST", "Topics", "it is missing");
        check(
            "FunctionName: f, Topics: [a, b], StartingPosition: LATEST",
            "Topics",
            "expected exactly one element",
        );
        check("FunctionName: f, Topics: [a]", "StartingPosition", "it is missing");
        check(
            "FunctionName: f, Topics: [a], StartingPosition: Newest",
            "StartingPosition",
            "`Newest` is none of LATEST, TRIM_HORIZON, AT_TIMESTAMP",
        );
        check(
            "FunctionName: f, Topics: [a], StartingPosition: AT_TIMESTAMP",
            "StartingPositionTimestamp",
            "it is missing",
        );
        check(
            "FunctionName: g, Topics: [a], StartingPosition: LATEST",
            "FunctionName",
            "`g` is neither a parameter nor a resource with a name",
        );
        check(
            "FunctionName: f, Topics: [a], StartingPosition: LATEST, BatchSize: many",
            "BatchSize",
            "`many` is not a whole number",
        );
    }
}
