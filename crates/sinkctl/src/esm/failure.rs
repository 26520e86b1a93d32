//! What Lambda writes to an S3 bucket of batches that it gives up, in a folder.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use aws_smithy_types::{DateTime, date_time::Format};
use serde_json::{Value, json};

use super::{attempt::GivenUp, event::Envelope};

/// What a failure record says beside the records.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    pub function: &'a str,
    /// The mapping's name, which stands in the object's key.
    pub mapping: &'a str,
    /// When it happened, in milliseconds since 1970.
    pub now: i64,
    /// An id that no other failure has.
    pub id: &'a str,
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
    fs::write(&path, record(envelope, given_up, circumstances).to_string())?;
    Ok(path)
}

fn record(envelope: &Envelope, given_up: &GivenUp, circumstances: &Circumstances<'_>) -> Value {
    let GivenUp { records, condition, invocations, was_function_error } = given_up;
    let Circumstances { function, now, id, mapping: _ } = *circumstances;
    let mut records_info = BTreeMap::<String, Value>::new();
    for record in records {
        let (offset, timestamp) = (record.offset.to_string(), date_time(record.timestamp));
        let name = format!("{}-{}", envelope.topic, record.partition);
        let info = records_info.entry(name).or_insert_with(
            || json!({"firstRecordOffset": offset, "firstRecordTimestamp": timestamp}),
        );
        info["lastRecordOffset"] = offset.into();
        info["lastRecordTimestamp"] = timestamp.into();
    }
    let payload = envelope.event(records);
    let response = json!({
        "statusCode": 200,
        "executedVersion": "$LATEST",
        "functionError": was_function_error.then_some("Unhandled"),
    });
    json!({
        "requestContext": {
            "requestId": id,
            "functionArn": format!("arn:aws:lambda:us-east-1:000000000000:function:{function}"),
            "condition": format!("{condition:?}"),
            "approximateInvokeCount": invocations,
        },
        "responseContext": (*invocations > 0).then_some(response),
        "version": "1.0",
        "timestamp": date_time(now),
        "KafkaBatchInfo": {
            "batchSize": records.len(),
            "bootstrapServers": envelope.bootstrap_servers,
            "payloadSize": payload.len(),
            "recordsInfo": records_info,
        },
        "payload": payload,
    })
}

/// Milliseconds since 1970 as AWS writes them.
fn date_time(milliseconds: i64) -> String {
    // Only years that no clock shows cannot be written.
    DateTime::from_millis(milliseconds).fmt(Format::DateTime).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::esm::{attempt::Condition, event::tests::message};

    fn given_up(condition: Condition, invocations: u64, was_function_error: bool) -> GivenUp {
        let record = |(partition, offset)| {
            let message = message(partition, offset, 1_600_000_000_000 + offset, Some(b"\"v\""));
            Arc::new(Envelope::new("t", "b:9092").record(&message).unwrap())
        };
        let records = [(0, 7), (0, 9), (1, 1)].map(record).into();
        GivenUp { records, condition, invocations, was_function_error }
    }

    const CIRCUMSTANCES: Circumstances<'_> =
        Circumstances { function: "f", mapping: "M", now: 1_700_000_000_123, id: "1-2" };

    #[test]
    fn the_record_has_lambdas_form() {
        #[track_caller]
        fn check(given_up: &GivenUp, condition: &str, invocations: u64, response: &Value) {
            let envelope = Envelope::new("t", "b:9092");
            let record = record(&envelope, given_up, &CIRCUMSTANCES);
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
            assert_eq!(record, expected);
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
