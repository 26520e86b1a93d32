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

/// A row that Connect's schema describes with these fields.
fn described(fields: &str, payload: &str, code: &'static str, message: impl Into<String>) -> Case {
    let schema = format!(r#"{{"type":"struct","optional":false,"fields":[{fields}]}}"#);
    value(format!(r#"{{"schema":{schema},"payload":{payload}}}"#), code, message)
}

async fn check_all(cases: &[Case]) {
    let good = |number| {
        let value = format!(r#"{{"payload":{{"PCKG_ID":1{number}}}}}"#);
        (Field::Absent, value.into())
    };
    check(SINK, cases, good).await;
}

#[tokio::test]
async fn each_reason_is_told() {
    let no_payload = "the value's `payload` is not an object";
    let missing_payload = "the value's `payload` is missing";
    let missing = "`payload.PCKG_ID` is missing or null";
    let other_type = "`payload.PCKG_ID` is neither a number nor a string";
    check_all(&[
        Case::new(
            Field::Json("7"),
            r#"{"payload":{"PCKG_ID":1}}"#,
            "KEY_NOT_A_STRING",
            "`key` is a number, accepted is a base64 string",
        ),
        value(" ", "INVALID_JSON", "invalid JSON at byte 1: expected a value"),
        value("\u{c}null", "INVALID_JSON", "invalid JSON at byte 0: expected a value"),
        value("nullnull", "INVALID_JSON", "invalid JSON at byte 4: expected the end of the text"),
        value(r#""null""#, "NOT_AN_OBJECT", "the JSON text is not an object"),
        value(r#""{\"payload\":{}}""#, "NOT_AN_OBJECT", "the JSON text is not an object"),
        value("{}", "INVALID_PAYLOAD", missing_payload),
        value(r#"{"PCKG_ID":1}"#, "INVALID_PAYLOAD", missing_payload),
        value(r#"{"schema":{"payload":{"PCKG_ID":1}}}"#, "INVALID_PAYLOAD", missing_payload),
        // Debezium's envelope, bare and within Connect's.
        value(
            r#"{"before":null,"after":{"PCKG_ID":1},"op":"c"}"#,
            "INVALID_PAYLOAD",
            missing_payload,
        ),
        payload(r#"{"before":null,"after":{"PCKG_ID":1},"op":"c"}"#, "MISSING_PACKAGE_ID", missing),
        payload(r#""{}""#, "INVALID_PAYLOAD", no_payload),
        payload("[1]", "INVALID_PAYLOAD", no_payload),
        payload("false", "INVALID_PAYLOAD", no_payload),
        payload("0", "INVALID_PAYLOAD", no_payload),
        payload("{}", "MISSING_PACKAGE_ID", missing),
        payload(r#"{"pckg_id":1}"#, "MISSING_PACKAGE_ID", missing),
        package("null", "MISSING_PACKAGE_ID", missing),
        package("true", "INVALID_PACKAGE_ID", other_type),
        package("{}", "INVALID_PACKAGE_ID", other_type),
        package("[1]", "INVALID_PACKAGE_ID", other_type),
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
    ])
    .await;
}

#[tokio::test]
async fn every_form_of_a_delete_is_a_null_value() {
    let null = "the value is absent, empty or null, and this sink deletes nothing";
    let null_payload = "the value's `payload` is null, and this sink deletes nothing";
    check_all(&[
        value(Field::Absent, "NULL_VALUE", null),
        value(Field::Json("null"), "NULL_VALUE", null),
        value("", "NULL_VALUE", null),
        value("null", "NULL_VALUE", null),
        value(" \t\r\nnull \n", "NULL_VALUE", null),
        value(b"\0\0\0\0*null".as_slice(), "NULL_VALUE", null),
        value(b"\x03\0schema version inull".as_slice(), "NULL_VALUE", null),
        payload("null", "NULL_VALUE", null_payload),
        value(r#"{"schema":null,"payload":null}"#, "NULL_VALUE", null_payload),
        value(r#"{"schema":{"type":"struct"},"payload":null}"#, "NULL_VALUE", null_payload),
        value(b"\0\0\0\0*{\"payload\":null}".as_slice(), "NULL_VALUE", null_payload),
    ])
    .await;
}

#[tokio::test]
async fn what_a_schema_registrys_serializer_left_is_named() {
    let not_json = |header: &str| {
        format!(
            "`value` {header}, and is not JSON: if it is Avro or Protobuf, set `EventRecordFormat: JSON` in the schema \
             registry configuration of the event source mapping; otherwise have its producer write JSON"
        )
    };
    let confluent = || not_json("begins like a Confluent header (a zero byte and a schema id)");
    let glue = || not_json("begins with an AWS Glue header");
    let compressed = "`value` is compressed, as its AWS Glue header says: set `compression` to `NONE` in its producer";
    let row = r#"{"payload":{"PCKG_ID":1}}"#;
    let behind = |header: &[u8], text: &[u8]| Field::Bytes([header, text].concat());
    check_all(&[
        // A header alone is no delete: a message of Protobuf may have no bytes.
        value(behind(b"\0\0\0\0*", b""), "SCHEMA_ENCODED_VALUE", confluent()),
        value(behind(b"\0\0\0\0*", b"\x02\x06abc"), "SCHEMA_ENCODED_VALUE", confluent()),
        value(behind(b"\x03\0schema version i", b""), "SCHEMA_ENCODED_VALUE", glue()),
        value(behind(b"\x03\0schema version i", b"\x02\x06abc"), "SCHEMA_ENCODED_VALUE", glue()),
        value(
            behind(b"\x03\x05schema version i", b"x\x9c\xabV"),
            "SCHEMA_ENCODED_VALUE",
            compressed,
        ),
        value(
            behind(b"\x03\x05schema version i", row.as_bytes()),
            "SCHEMA_ENCODED_VALUE",
            compressed,
        ),
        Case {
            rest: r#","valueSchemaMetadata":{"dataFormat":"AVRO"}"#,
            ..value(
                b"\x02\x06abc".as_slice(),
                "SCHEMA_ENCODED_VALUE",
                not_json("was written with a schema, as the event says"),
            )
        },
        // What stands behind a header is a row like any other.
        value(
            b"\0\0\0\0*{\"PCKG_ID\":1}".as_slice(),
            "INVALID_PAYLOAD",
            "the value's `payload` is missing",
        ),
        // No headers: the identifier 0, one of Glue that is cut off, and one with another second byte.
        value(
            behind(b"\0\0\0\0\0", row.as_bytes()),
            "INVALID_JSON",
            "invalid JSON at byte 0: expected a value",
        ),
        value(
            b"\x03\0schema version".as_slice(),
            "INVALID_JSON",
            "invalid JSON at byte 0: expected a value",
        ),
        value(
            behind(b"\x03\x01schema version i", row.as_bytes()),
            "INVALID_JSON",
            "invalid JSON at byte 0: expected a value",
        ),
    ])
    .await;
}

#[tokio::test]
async fn each_number_that_is_no_package_id_is_told() {
    let fraction = "`payload.PCKG_ID` is a number, but not a whole one";
    let too_long = "`payload.PCKG_ID` has more than 38 digits";
    let out_of_range = "number outside the range of 1E-130 to below 1E+126 at byte 22";
    check_all(&[
        package("1.5", "INVALID_PACKAGE_ID", fraction),
        package("-0.1", "INVALID_PACKAGE_ID", fraction),
        package("15e-1", "INVALID_PACKAGE_ID", fraction),
        package("1E-39", "INVALID_PACKAGE_ID", fraction),
        package("1.5E-39", "INVALID_PACKAGE_ID", fraction),
        package("1E-130", "INVALID_PACKAGE_ID", fraction),
        package("1e38", "INVALID_PACKAGE_ID", too_long),
        package("-1e38", "INVALID_PACKAGE_ID", too_long),
        package("1.5E40", "INVALID_PACKAGE_ID", too_long),
        package("1E125", "INVALID_PACKAGE_ID", too_long),
        package(&format!("1{}", "0".repeat(38)), "INVALID_PACKAGE_ID", too_long),
        package(
            &"1".repeat(39),
            "NUMBER_TOO_PRECISE",
            "number of more than 38 significant digits at byte 22",
        ),
        package("1E126", "NUMBER_OUT_OF_RANGE", out_of_range),
        package("1E-131", "NUMBER_OUT_OF_RANGE", out_of_range),
        package("01", "INVALID_JSON", "invalid JSON at byte 22: number with a leading zero"),
        package("+1", "INVALID_JSON", "invalid JSON at byte 22: expected a value"),
        package("1.", "INVALID_JSON", "invalid JSON at byte 24: expected a digit"),
        package("0x1", "INVALID_JSON", "invalid JSON at byte 23: expected `,` or `}`"),
        package("NaN", "INVALID_JSON", "invalid JSON at byte 22: expected a value"),
    ])
    .await;
}

/// Kafka Connect writes a Decimal as base64, which only its schema tells from any other text.
#[tokio::test]
async fn decimals_are_named_with_the_setting_that_mends_them() {
    let decimal = |column| {
        format!(
            "`payload.{column}` is a Decimal in base64, as Connect's schema says: set `numeric.mapping` to `best_fit` in \
             the JDBC source connector, or `decimal.format` to `NUMERIC` in its JSON converter"
        )
    };
    let field = |column: &str| {
        format!(
            r#"{{"type":"bytes","optional":true,"name":"org.apache.kafka.connect.data.Decimal","version":1,"parameters":{{"scale":"0"}},"field":"{column}"}}"#
        )
    };
    let integer = r#"{"type":"int64","optional":false,"field":"PCKG_ID"}"#;
    let id = field("PCKG_ID");
    let [replica, update] =
        ["REPLICA_TIMESTAMP", "UPDT_TS"].map(|column| format!("{integer},{}", field(column)));
    check_all(&[
        described(&id, r#"{"PCKG_ID":"bWfR"}"#, "INVALID_PACKAGE_ID", decimal("PCKG_ID")),
        described(
            &format!(r#"{{"type":"int64","field":"REPLICA_TIMESTAMP"}},{id}"#),
            r#"{"PCKG_ID":"bWfR","REPLICA_TIMESTAMP":1764000000001}"#,
            "INVALID_PACKAGE_ID",
            decimal("PCKG_ID"),
        ),
        value(
            format!(r#"{{"payload":{{"PCKG_ID":"bWfR"}},"schema":{{"n":1e999,"fields":[{id}]}}}}"#),
            "INVALID_PACKAGE_ID",
            decimal("PCKG_ID"),
        ),
        value(
            [
                b"\0\0\0\0*".as_slice(),
                format!(r#"{{"schema":{{"fields":[{id}]}},"payload":{{"PCKG_ID":"bWfR"}}}}"#)
                    .as_bytes(),
            ]
            .concat()
            .as_slice(),
            "INVALID_PACKAGE_ID",
            decimal("PCKG_ID"),
        ),
        described(
            &replica,
            r#"{"PCKG_ID":1,"REPLICA_TIMESTAMP":"AZq4","UPDT_TS":5}"#,
            "INVALID_SOURCE_TIME",
            decimal("REPLICA_TIMESTAMP"),
        ),
        described(
            &update,
            r#"{"PCKG_ID":1,"UPDT_TS":"AZq4"}"#,
            "INVALID_SOURCE_TIME",
            decimal("UPDT_TS"),
        ),
        // Other faults of a Decimal are told as such.
        described(
            &id,
            r#"{"PCKG_ID":null}"#,
            "MISSING_PACKAGE_ID",
            "`payload.PCKG_ID` is missing or null",
        ),
        described(
            &id,
            r#"{"PCKG_ID":217.5}"#,
            "INVALID_PACKAGE_ID",
            "`payload.PCKG_ID` is a number, but not a whole one",
        ),
        described(
            &replica,
            r#"{"PCKG_ID":1,"REPLICA_TIMESTAMP":1.5}"#,
            "INVALID_SOURCE_TIME",
            "`payload.REPLICA_TIMESTAMP` is not a whole number from -2^63 to 2^63 - 1",
        ),
    ])
    .await;
}

#[tokio::test]
async fn what_is_no_source_time_is_told() {
    let replica = "`payload.REPLICA_TIMESTAMP` is not a whole number from -2^63 to 2^63 - 1";
    let update = "`payload.UPDT_TS` is not a whole number from -2^63 to 2^63 - 1";
    let cases = [
        (r#""REPLICA_TIMESTAMP":"1700000000000""#, replica),
        (r#""REPLICA_TIMESTAMP":"2025-11-21T05:20:00.000Z""#, replica),
        (r#""REPLICA_TIMESTAMP":"","UPDT_TS":1"#, replica),
        (r#""REPLICA_TIMESTAMP":1.5,"UPDT_TS":1"#, replica),
        (r#""REPLICA_TIMESTAMP":1700000000000.001"#, replica),
        (r#""REPLICA_TIMESTAMP":1E-39"#, replica),
        (r#""REPLICA_TIMESTAMP":1E19"#, replica),
        (r#""REPLICA_TIMESTAMP":1E125"#, replica),
        (r#""REPLICA_TIMESTAMP":9223372036854775808"#, replica),
        (r#""REPLICA_TIMESTAMP":-9223372036854775809"#, replica),
        (r#""REPLICA_TIMESTAMP":{}"#, replica),
        (r#""REPLICA_TIMESTAMP":null,"UPDT_TS":false"#, update),
        (r#""UPDT_TS":[]"#, update),
        (r#""UPDT_TS":"1700000000000""#, update),
    ];
    let case = |(times, message): (&str, &str)| {
        payload(&format!(r#"{{"PCKG_ID":1,{times}}}"#), "INVALID_SOURCE_TIME", message)
    };
    check_all(&cases.map(case)).await;
}
