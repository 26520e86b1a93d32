//! What `sinkSeatoolData` rejects.

use sink_seatool_data::SINK;

use super::{Case, Field, check};

/// A record whose value is wrong.
fn value(value: impl Into<Field>, code: &'static str, message: impl Into<String>) -> Case {
    Case::new(r#""BAD""#, value, code, message)
}

/// A record whose key is wrong.
fn key(key: impl Into<Field>, code: &'static str, message: impl Into<String>) -> Case {
    Case::new(key, r#"{"a":1}"#, code, message)
}

/// A record with something wrong beside key and value.
fn rest(rest: &'static str, code: &'static str, message: impl Into<String>) -> Case {
    Case { rest, ..value(r#"{"a":1}"#, code, message) }
}

/// Sends the cases between records that are fine.
async fn check_all(cases: &[Case]) {
    let good = |number| {
        let key = format!("\"good-{number}\"");
        (key.into(), r#"{"a":1}"#.into())
    };
    check(SINK, cases, good).await;
}

/// So many lists within each other, the outermost an attribute's value.
fn nested(levels: usize) -> String {
    format!(r#"{{"a":{}{}}}"#, "[".repeat(levels), "]".repeat(levels))
}

#[tokio::test]
async fn what_is_wrong_with_the_event_is_told() {
    let not_a_string = |field, found| format!("`{field}` is {found}, accepted is a base64 string");
    let not_base64 = |field, at| format!("`{field}` is not valid base64 at byte {at} of its text");
    let not_json = |field, header| {
        format!(
            "`{field}` {header}, and is not JSON: if it is Avro or Protobuf, set `EventRecordFormat: JSON` in the schema \
             registry configuration of the event source mapping; otherwise have its producer write JSON"
        )
    };
    let confluent =
        |field| not_json(field, "begins like a Confluent header (a zero byte and a schema id)");
    let glue = |field| not_json(field, "begins with an AWS Glue header");
    let metadata = |field| not_json(field, "was written with a schema, as the event says");
    let compressed = |field| {
        format!(
            "`{field}` is compressed, as its AWS Glue header says: set `compression` to `NONE` in its producer"
        )
    };
    let header =
        |index| format!("header {index} is not an object of arrays of bytes from -128 to 255");
    let epoch =
        |found| format!("`epoch` is {found}, accepted is a whole number of 64 bits, not negative");
    // A zero byte, the identifier of schema 16, and what Avro makes of a short text.
    let avro = b"\0\0\0\0\x10\x02\x14MD-22-0001".as_slice();
    check_all(&[
        key(Field::Json("7"), "KEY_NOT_A_STRING", not_a_string("key", "a number")),
        key(Field::Json("[]"), "KEY_NOT_A_STRING", not_a_string("key", "an array")),
        key(Field::Json(r#""IkEi*""#), "INVALID_BASE64_KEY", not_base64("key", 4)),
        key(avro, "SCHEMA_ENCODED_KEY", confluent("key")),
        key(b"\x03\0schema version i\x02k".as_slice(), "SCHEMA_ENCODED_KEY", glue("key")),
        key(b"\x03\x05schema version ix\x9c".as_slice(), "SCHEMA_ENCODED_KEY", compressed("key")),
        value(Field::Json("{}"), "VALUE_NOT_A_STRING", not_a_string("value", "an object")),
        value(Field::Json("true"), "VALUE_NOT_A_STRING", not_a_string("value", "a boolean")),
        value(Field::Json(r#""e30\u000a""#), "INVALID_BASE64_VALUE", not_base64("value", 3)),
        value(Field::Json(r#""e""#), "INVALID_BASE64_VALUE", not_base64("value", 1)),
        value(avro, "SCHEMA_ENCODED_VALUE", confluent("value")),
        value(b"\0\0\0\0\x10".as_slice(), "SCHEMA_ENCODED_VALUE", confluent("value")),
        value(b"\x03\0schema version i".as_slice(), "SCHEMA_ENCODED_VALUE", glue("value")),
        value(
            b"\x03\x05schema version inull".as_slice(),
            "SCHEMA_ENCODED_VALUE",
            compressed("value"),
        ),
        Case {
            rest: r#","valueSchemaMetadata":{"dataFormat":"PROTOBUF"}"#,
            ..value(b"\n\x02MD".as_slice(), "SCHEMA_ENCODED_VALUE", metadata("value"))
        },
        Case {
            rest: r#","keySchemaMetadata":{"dataFormat":"AVRO"}"#,
            ..key(b"\x04MD".as_slice(), "SCHEMA_ENCODED_KEY", metadata("key"))
        },
        rest(
            r#","headers":{}"#,
            "MALFORMED_HEADERS",
            "`headers` is an object, accepted is an array of objects",
        ),
        rest(r#","headers":[7]"#, "MALFORMED_HEADERS", header(0)),
        rest(r#","headers":[{"h":[1]},{"h":"AQ=="}]"#, "MALFORMED_HEADERS", header(1)),
        rest(r#","headers":[{"h":[256]}]"#, "MALFORMED_HEADERS", header(0)),
        rest(r#","headers":[{"h":[-129]}]"#, "MALFORMED_HEADERS", header(0)),
        rest(r#","epoch":"2""#, "INVALID_EPOCH", epoch("a string")),
        rest(r#","epoch":-1"#, "INVALID_EPOCH", epoch("a number")),
        rest(r#","epoch":18446744073709551616"#, "INVALID_EPOCH", epoch("a number")),
        Case {
            is_decodable: true,
            ..rest(
                r#","epoch":4"#,
                "INVALID_EPOCH",
                "the record's epoch is higher than the function's: it would outrank all records that follow",
            )
        },
    ])
    .await;
}

#[tokio::test]
async fn what_is_wrong_with_the_key_is_told() {
    let no_string = |problem| format!("the key is no JSON string: {problem}");
    let no_value = || no_string("invalid JSON at byte 0: expected a value");
    check_all(&[
        key(Field::Absent, "MISSING_KEY", "the record has no key"),
        key("", "INVALID_KEY", no_string("invalid JSON at byte 0: expected a value")),
        key("MD-22-0001", "INVALID_KEY", no_string("invalid JSON at byte 0: expected a value")),
        key("7", "INVALID_KEY", no_string("the JSON text is not a string")),
        key("null", "INVALID_KEY", no_string("the JSON text is not a string")),
        key(
            r#""A"B"#,
            "INVALID_KEY",
            no_string("invalid JSON at byte 3: expected the end of the text"),
        ),
        key(r#""A"#, "INVALID_KEY", no_string("invalid JSON at byte 2: string without an end")),
        key(r#""\udc00""#, "INVALID_KEY", no_string("lone surrogate in a string at byte 1")),
        key(b"\"\xe9\"".as_slice(), "INVALID_KEY", no_string("invalid UTF-8 at byte 1")),
        // Binary numbers: 2240802, which ends like the text "1", 7001 of eight bytes and of four, one of many digits,
        // and 7001 as a float.
        key(b"\0\0\0\0\0\"1\"".as_slice(), "INVALID_KEY", no_value()),
        key(b"\0\0\0\0\0\0\x1bY".as_slice(), "INVALID_KEY", no_value()),
        key(b"\0\0\x1bY".as_slice(), "INVALID_KEY", no_value()),
        key(b"\x01\0\0\0\0\0\0\x01".as_slice(), "INVALID_KEY", no_value()),
        key(b"@\xbbY\0\0\0\0\0".as_slice(), "INVALID_KEY", no_string("invalid UTF-8 at byte 1")),
        // Connect's envelope, and what stands behind a header that is no string.
        key(
            r#"{"schema":{"type":"string"},"payload":"A"}"#,
            "INVALID_KEY",
            no_string("the JSON text is not a string"),
        ),
        key(b"\0\0\0\0*7".as_slice(), "INVALID_KEY", no_string("the JSON text is not a string")),
        key(r#""""#, "EMPTY_KEY", "the item's key is empty, which DynamoDB does not store"),
        key(
            format!(r#""{}""#, "k".repeat(1025)),
            "KEY_TOO_LONG",
            "the item's key has 1025 bytes: a sort key may have 1024",
        ),
        key(
            format!(r#""{}k""#, r"\u00e9".repeat(512)),
            "KEY_TOO_LONG",
            "the item's key has 1025 bytes: a sort key may have 1024",
        ),
    ])
    .await;
}

#[tokio::test]
async fn what_is_wrong_with_the_values_text_is_told() {
    check_all(&[
        value(" ", "INVALID_JSON", "invalid JSON at byte 1: expected a value"),
        value("{", "INVALID_JSON", "invalid JSON at byte 1: expected a member name"),
        value(
            r#"{"a":1} {}"#,
            "INVALID_JSON",
            "invalid JSON at byte 8: expected the end of the text",
        ),
        value(r#"{"a":NaN}"#, "INVALID_JSON", "invalid JSON at byte 5: expected a value"),
        value(r#"{"a":01}"#, "INVALID_JSON", "invalid JSON at byte 5: number with a leading zero"),
        value("\u{c}null", "INVALID_JSON", "invalid JSON at byte 0: expected a value"),
        value("nulL", "INVALID_JSON", "invalid JSON at byte 0: expected a value"),
        value(r#""null""#, "NOT_AN_OBJECT", "the JSON text is not an object"),
        value("[{}]", "NOT_AN_OBJECT", "the JSON text is not an object"),
        value("7", "NOT_AN_OBJECT", "the JSON text is not an object"),
        value(b"{\"a\":\"\xff\"}".as_slice(), "INVALID_UTF8", "invalid UTF-8 at byte 6"),
        value(r#"{"a":"\ud83d."}"#, "LONE_SURROGATE", "lone surrogate in a string at byte 6"),
        value(r#"{"\ude00":1}"#, "LONE_SURROGATE", "lone surrogate in a string at byte 2"),
        value(r#"{"a":1,"a":1}"#, "DUPLICATE_MEMBER", "second member of the same name at byte 7"),
        value(
            r#"{"a":[{"b":1,"\u0062":2}]}"#,
            "DUPLICATE_MEMBER",
            "second member of the same name at byte 13",
        ),
        value(r#"{"":1}"#, "EMPTY_MEMBER_NAME", "empty member name at byte 1"),
        value(r#"{"a":{"":1}}"#, "EMPTY_MEMBER_NAME", "empty member name at byte 6"),
    ])
    .await;
}

#[tokio::test]
async fn what_dynamodb_does_not_store_is_told() {
    let reserved = |name| format!("top-level member with the reserved name `{name}`");
    let out_of_range = "number outside the range of 1E-130 to below 1E+126 at byte 5";
    let too_precise = "number of more than 38 significant digits at byte 5";
    check_all(&[
        value(
            format!(r#"{{"{}":1}}"#, "n".repeat(65_536)),
            "NAME_TOO_LONG",
            "member name of more than 65535 bytes at byte 1",
        ),
        value(r#"{"PK":"x"}"#, "RESERVED_MEMBER", reserved("PK")),
        value(r#"{"a":1,"SK":null}"#, "RESERVED_MEMBER", reserved("SK")),
        value(r#"{"\u005fsink":{}}"#, "RESERVED_MEMBER", reserved("_sink")),
        value(format!(r#"{{"a":{}}}"#, "1".repeat(39)), "NUMBER_TOO_PRECISE", too_precise),
        value(format!(r#"{{"a":0.{}}}"#, "1".repeat(39)), "NUMBER_TOO_PRECISE", too_precise),
        value(r#"{"a":1E126}"#, "NUMBER_OUT_OF_RANGE", out_of_range),
        value(r#"{"a":-1E+126}"#, "NUMBER_OUT_OF_RANGE", out_of_range),
        value(r#"{"a":9.9E-131}"#, "NUMBER_OUT_OF_RANGE", out_of_range),
        value(nested(33), "NESTED_TOO_DEEP", "value nested deeper than 32 levels at byte 37"),
        value(
            format!(r#"{{"a":{}1{}}}"#, "[".repeat(32), "]".repeat(32)),
            "NESTED_TOO_DEEP",
            "value nested deeper than 32 levels at byte 37",
        ),
        value(
            format!(r#"{{"a":"{}"}}"#, "x".repeat(409_600)),
            "ITEM_TOO_LARGE",
            "item of more than 409600 bytes",
        ),
    ])
    .await;
}
