//! What a function's answer says of the records that it was sent.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

/// An answer as a mapping with `ReportBatchItemFailures` understands it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// All records are done.
    Success,
    /// These failed, by partition and offset; there is at least one.
    Failures(BTreeSet<(i32, i64)>),
    /// It has another form, or names a record that was not sent: as if all had failed.
    Invalid,
}

/// Reads the answer to an event of the topic's records at these partitions and offsets.
///
/// By AWS's guide `{}`, `null` and an empty list are success, and a partition or offset that was not sent makes the
/// whole batch fail. Of answers in another form it says nothing for Kafka: they fail here, as Lambda has it for SQS, so
/// that a misspelt member loses nothing.
pub fn read(body: &[u8], topic: &str, sent: &BTreeSet<(i32, i64)>) -> Response {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Failure {
        item_identifier: ItemIdentifier,
    }

    #[derive(Deserialize)]
    struct ItemIdentifier {
        partition: String,
        offset: i64,
    }

    let failures = match serde_json::from_slice(body) {
        Ok(Value::Null) => return Response::Success,
        Ok(Value::Object(members)) if members.is_empty() => return Response::Success,
        Ok(Value::Object(mut members)) => match members.remove("batchItemFailures") {
            Some(Value::Null) => return Response::Success,
            Some(failures) => serde_json::from_value::<Vec<Failure>>(failures),
            None => return Response::Invalid,
        },
        _ => return Response::Invalid,
    };
    let Ok(failures) = failures else { return Response::Invalid };
    let mut failed = BTreeSet::new();
    for Failure { item_identifier: ItemIdentifier { partition, offset } } in failures {
        let number = partition.strip_prefix(topic).and_then(|rest| rest.strip_prefix('-'));
        let number = number.and_then(|number| number.parse::<i32>().ok());
        match number {
            Some(number)
                if sent.contains(&(number, offset)) && partition == format!("{topic}-{number}") =>
            {
                failed.insert((number, offset));
            }
            _ => return Response::Invalid,
        }
    }
    if failed.is_empty() { Response::Success } else { Response::Failures(failed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_as_the_guide_says() {
        #[track_caller]
        fn check(body: &str, expected: &Response) {
            let sent = BTreeSet::from([(0, 5), (0, 6), (12, 5)]);
            assert_eq!(&read(body.as_bytes(), "my-topic", &sent), expected, "{body}");
        }

        fn failure(partition: &str, offset: &str) -> String {
            format!(r#"{{"itemIdentifier":{{"partition":"{partition}","offset":{offset}}}}}"#)
        }

        fn failures(elements: &[String]) -> String {
            format!(r#"{{"batchItemFailures":[{}]}}"#, elements.join(","))
        }

        for success in
            ["null", "{}", r#"{"batchItemFailures":[]}"#, r#"{"batchItemFailures":null}"#]
        {
            check(success, &Response::Success);
        }
        check(
            &failures(&[failure("my-topic-0", "6")]),
            &Response::Failures(BTreeSet::from([(0, 6)])),
        );
        check(
            &failures(&[
                failure("my-topic-12", "5"),
                failure("my-topic-0", "5"),
                failure("my-topic-0", "5"),
            ]),
            &Response::Failures(BTreeSet::from([(0, 5), (12, 5)])),
        );
        for unknown in [
            failure("my-topic-0", "7"),
            failure("my-topic-1", "5"),
            failure("my-topic-00", "5"),
            failure("my-topic-+0", "5"),
            failure("my-topic", "5"),
            failure("topic-0", "5"),
            failure("0", "5"),
            failure("my-topic-0", "\"5\""),
            failure("my-topic-0", "5.0"),
            failure("my-topic-0", "null"),
            r#"{"itemIdentifier":"my-topic-0-5"}"#.to_owned(),
            r#"{"itemIdentifier":null}"#.to_owned(),
            "{}".to_owned(),
            "null".to_owned(),
        ] {
            check(&failures(&[failure("my-topic-0", "5"), unknown]), &Response::Invalid);
        }
        for malformed in [
            "",
            " ",
            "[]",
            "7",
            "\"ok\"",
            "true",
            "{",
            r#"{"batchItemFailure":[]}"#,
            r#"{"batchItemFailures":{}}"#,
        ] {
            check(malformed, &Response::Invalid);
        }
    }
}
