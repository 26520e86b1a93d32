//! What Lambda writes to an S3 bucket of batches that it gives up, in a folder.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use aws_smithy_types::{DateTime, date_time::Format};
use serde::Serialize;

use super::{
    attempt::{Condition, GivenUp},
    event::Envelope,
};

/// What a failure record says beside the records.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    pub function: &'a str,
    /// The mapping's name, which stands in the object's key.
    pub mapping: &'a str,
    /// The brokers as they stand in the event.
    pub bootstrap_servers: &'a str,
    /// When it happened, since 1970.
    pub now: Duration,
    /// An id that no other failure has.
    pub id: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FailureRecord<'a> {
    request_context: RequestContext<'a>,
    response_context: Option<ResponseContext>,
    version: &'a str,
    timestamp: String,
    #[serde(rename = "KafkaBatchInfo")]
    kafka_batch_info: KafkaBatchInfo<'a>,
    /// The event, as a text.
    payload: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestContext<'a> {
    request_id: &'a str,
    function_arn: String,
    condition: &'a str,
    approximate_invoke_count: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResponseContext {
    status_code: u16,
    executed_version: &'static str,
    function_error: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct KafkaBatchInfo<'a> {
    batch_size: usize,
    bootstrap_servers: &'a str,
    payload_size: usize,
    records_info: BTreeMap<String, RecordsInfo>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RecordsInfo {
    first_record_offset: String,
    last_record_offset: String,
    first_record_timestamp: String,
    last_record_timestamp: String,
}

impl Condition {
    fn name(self) -> &'static str {
        match self {
            Self::RetryAttemptsExhausted => "RetryAttemptsExhausted",
            Self::RecordAgeExceeded => "RecordAgeExceeded",
            Self::MaximumPayloadSizeExceeded => "MaximumPayloadSizeExceeded",
        }
    }
}

/// Writes the failure record of these records below `directory`, and returns where.
///
/// What Lambda calls the object of a Kafka batch is not documented; this is the key that it gives those of streams.
pub fn write(
    directory: &Path,
    envelope: &Envelope,
    given_up: &GivenUp,
    circumstances: &Circumstances<'_>,
) -> io::Result<PathBuf> {
    let Circumstances { mapping, now, id, .. } = circumstances;
    let moment = date_time(*now);
    let (date, time) = moment.split_once('T').unwrap_or((&moment, ""));
    let time = time.split(['.', 'Z']).next().unwrap_or_default().replace(':', ".");
    let directory = directory.join("aws").join("lambda").join(mapping).join(date.replace('-', "/"));
    fs::create_dir_all(&directory)?;
    let path = directory.join(format!("{date}T{time}-{id}"));
    fs::write(&path, record(envelope, given_up, circumstances)?)?;
    Ok(path)
}

fn record(
    envelope: &Envelope,
    given_up: &GivenUp,
    circumstances: &Circumstances<'_>,
) -> io::Result<Vec<u8>> {
    let GivenUp { records, condition, invocations, was_function_error } = given_up;
    let Circumstances { function, bootstrap_servers, now, id, mapping: _ } = *circumstances;
    let mut records_info = BTreeMap::<String, RecordsInfo>::new();
    for record in records {
        let offset = record.offset.to_string();
        let timestamp = DateTime::from_millis(record.timestamp).fmt(Format::DateTime);
        let timestamp = timestamp.unwrap_or_default();
        records_info
            .entry(format!("{}-{}", envelope.topic(), record.partition))
            .and_modify(|info| {
                info.last_record_offset.clone_from(&offset);
                info.last_record_timestamp.clone_from(&timestamp);
            })
            .or_insert_with(|| RecordsInfo {
                first_record_offset: offset.clone(),
                last_record_offset: offset,
                first_record_timestamp: timestamp.clone(),
                last_record_timestamp: timestamp,
            });
    }
    let payload = envelope.event(records);
    let record = FailureRecord {
        request_context: RequestContext {
            request_id: id,
            function_arn: format!("arn:aws:lambda:us-east-1:000000000000:function:{function}"),
            condition: condition.name(),
            approximate_invoke_count: *invocations,
        },
        response_context: (*invocations > 0).then_some(ResponseContext {
            status_code: 200,
            executed_version: "$LATEST",
            function_error: was_function_error.then_some("Unhandled"),
        }),
        version: "1.0",
        timestamp: date_time(now),
        kafka_batch_info: KafkaBatchInfo {
            batch_size: records.len(),
            bootstrap_servers,
            payload_size: payload.len(),
            records_info,
        },
        payload: &payload,
    };
    Ok(serde_json::to_vec(&record)?)
}

/// A time since 1970 as AWS writes it.
fn date_time(since_1970: Duration) -> String {
    let milliseconds = i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX);
    // Only years that no clock shows cannot be written.
    DateTime::from_millis(milliseconds).fmt(Format::DateTime).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::esm::event::{Source, TimestampType};

    fn given_up(condition: Condition, invocations: u64, was_function_error: bool) -> GivenUp {
        let record = |(partition, offset)| {
            Arc::new(Envelope::new("t", "b:9092").record(&Source {
                partition,
                offset,
                timestamp: 1_600_000_000_000 + offset,
                timestamp_type: TimestampType::CreateTime,
                key: None,
                value: Some(b"\"v\""),
                headers: &[],
            }))
        };
        let records = [(0, 7), (0, 9), (1, 1)].map(record).into();
        GivenUp { records, condition, invocations, was_function_error }
    }

    const CIRCUMSTANCES: Circumstances<'_> = Circumstances {
        function: "f",
        mapping: "M",
        bootstrap_servers: "b:9092",
        now: Duration::from_millis(1_700_000_000_123),
        id: "1-2",
    };

    #[test]
    fn the_record_has_lambdas_form() {
        #[track_caller]
        fn check(given_up: &GivenUp, condition: &str, invocations: u64, response: &Value) {
            let envelope = Envelope::new("t", "b:9092");
            let record = record(&envelope, given_up, &CIRCUMSTANCES).unwrap();
            let event = envelope.event(&given_up.records);
            let expected = json!({
                "requestContext": {
                    "requestId": "1-2",
                    "functionArn": "arn:aws:lambda:us-east-1:000000000000:function:f",
                    "condition": condition,
                    "approximateInvokeCount": invocations,
                },
                "responseContext": response,
                "version": "1.0",
                "timestamp": "2023-11-14T22:13:20.123Z",
                "KafkaBatchInfo": {
                    "batchSize": 3,
                    "bootstrapServers": "b:9092",
                    "payloadSize": event.len(),
                    "recordsInfo": {
                        "t-0": {
                            "firstRecordOffset": "7",
                            "lastRecordOffset": "9",
                            "firstRecordTimestamp": "2020-09-13T12:26:40.007Z",
                            "lastRecordTimestamp": "2020-09-13T12:26:40.009Z",
                        },
                        "t-1": {
                            "firstRecordOffset": "1",
                            "lastRecordOffset": "1",
                            "firstRecordTimestamp": "2020-09-13T12:26:40.001Z",
                            "lastRecordTimestamp": "2020-09-13T12:26:40.001Z",
                        },
                    },
                },
                "payload": event,
            });
            assert_eq!(serde_json::from_slice::<Value>(&record).unwrap(), expected);
        }

        let context = |error: Value| json!({"statusCode": 200, "executedVersion": "$LATEST", "functionError": error});
        check(
            &given_up(Condition::RetryAttemptsExhausted, 3, true),
            "RetryAttemptsExhausted",
            3,
            &context(json!("Unhandled")),
        );
        check(
            &given_up(Condition::RecordAgeExceeded, 1, false),
            "RecordAgeExceeded",
            1,
            &context(Value::Null),
        );
        check(
            &given_up(Condition::MaximumPayloadSizeExceeded, 0, false),
            "MaximumPayloadSizeExceeded",
            0,
            &Value::Null,
        );
    }

    #[test]
    fn the_record_stands_under_its_date() {
        let directory = std::env::temp_dir().join(format!("sinkctl-esm-{}", std::process::id()));
        let given_up = given_up(Condition::RetryAttemptsExhausted, 1, true);
        let path = write(&directory, &Envelope::new("t", ""), &given_up, &CIRCUMSTANCES).unwrap();
        let written = fs::read(&path).unwrap();
        fs::remove_dir_all(&directory).unwrap();
        let path = path.strip_prefix(&directory).unwrap();
        assert_eq!(path, Path::new("aws/lambda/M/2023/11/14/2023-11-14T22.13.20-1-2"));
        assert!(serde_json::from_slice::<Value>(&written).unwrap().is_object());
    }
}
