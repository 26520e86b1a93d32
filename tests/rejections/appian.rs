//! What `sinkAppianData` rejects.

use sink_appian_data::SINK;

use super::{Case, Field, check};

fn value(value: impl Into<Field>, code: &'static str, message: impl Into<String>) -> Case {
    Case::new(Field::Absent, value, code, message)
}

/// A record with this payload.
fn payload(payload: &str, code: &'static str, message: impl Into<String>) -> Case {
    value(format!(r#"{{"payload":{payload}}}"#), code, message)
}

/// A record with this package's id.
fn package(id: &str, code: &'static str, message: impl Into<String>) -> Case {
    payload(&format!(r#"{{"PCKG_ID":{id},"REPLICA_TIMESTAMP":1}}"#), code, message)
}

#[tokio::test]
async fn each_reason_is_told() {
    let null = "the value is null, and this sink deletes nothing";
    let no_payload = "the value's `payload` is not an object";
    let missing = "`payload.PCKG_ID` is missing or null";
    let other_type = "`payload.PCKG_ID` is neither a number nor a string";
    let fraction = "`payload.PCKG_ID` is a number, but not a whole one";
    let time = "`payload.REPLICA_TIMESTAMP`, or in its absence `payload.UPDT_TS`, is not a whole number of 64 bits";
    let times = [
        r#"{"PCKG_ID":1,"REPLICA_TIMESTAMP":"1700000000000"}"#,
        r#"{"PCKG_ID":1,"REPLICA_TIMESTAMP":1.5,"UPDT_TS":1}"#,
        r#"{"PCKG_ID":1,"REPLICA_TIMESTAMP":9223372036854775808}"#,
        r#"{"PCKG_ID":1,"REPLICA_TIMESTAMP":{}}"#,
        r#"{"PCKG_ID":1,"REPLICA_TIMESTAMP":null,"UPDT_TS":false}"#,
        r#"{"PCKG_ID":1,"UPDT_TS":[]}"#,
    ];
    let mut cases = vec![
        value(Field::Absent, "NULL_VALUE", null),
        value(Field::Json("null"), "NULL_VALUE", null),
        value("", "INVALID_JSON", "invalid JSON at byte 0: expected a value"),
        value("null", "NOT_AN_OBJECT", "the JSON text is not an object"),
        Case::new(
            Field::Json("7"),
            r#"{"payload":{"PCKG_ID":1}}"#,
            "KEY_NOT_A_STRING",
            "`key` is a number, accepted is a base64 string",
        ),
        value(r#"{"PCKG_ID":1}"#, "INVALID_PAYLOAD", no_payload),
        payload("null", "INVALID_PAYLOAD", no_payload),
        payload(r#""{}""#, "INVALID_PAYLOAD", no_payload),
        payload("[1]", "INVALID_PAYLOAD", no_payload),
        payload("{}", "MISSING_PACKAGE_ID", missing),
        payload(r#"{"pckg_id":1}"#, "MISSING_PACKAGE_ID", missing),
        package("null", "MISSING_PACKAGE_ID", missing),
        package("true", "INVALID_PACKAGE_ID", other_type),
        package("{}", "INVALID_PACKAGE_ID", other_type),
        package("[1]", "INVALID_PACKAGE_ID", other_type),
        package("1.5", "INVALID_PACKAGE_ID", fraction),
        package("1e38", "INVALID_PACKAGE_ID", fraction),
        package(r#""""#, "EMPTY_KEY", "the item's key is empty, which DynamoDB does not store"),
        package(
            &format!("\"{}\"", "1".repeat(1025)),
            "KEY_TOO_LONG",
            "the item's key has 1025 bytes: a sort key may have 1024",
        ),
        package(
            r#"1,"PCKG_ID":2"#,
            "DUPLICATE_MEMBER",
            "second member of the same name at byte 24",
        ),
        value(
            r#"{"_sink":1,"payload":{"PCKG_ID":1}}"#,
            "RESERVED_MEMBER",
            "top-level member with the reserved name `_sink`",
        ),
    ];
    cases.extend(times.map(|it| payload(it, "INVALID_SOURCE_TIME", time)));
    let good = |number| {
        let value = format!(r#"{{"payload":{{"PCKG_ID":1{number}}}}}"#);
        (Field::Absent, value.into())
    };
    check(SINK, &cases, good).await;
}
