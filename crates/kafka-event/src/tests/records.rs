//! One record at a time: what each field accepts, and what its errors say.

use super::{show, show_record};
use crate::Event;

/// Reads a record with some members between two good ones, which must come through, and gives what it became.
#[track_caller]
fn check(members: &str, expected: &str) {
    let good = |offset: i64| {
        format!(r#"{{"topic": "t", "partition": 0, "offset": {offset}, "value": "e30="}}"#)
    };
    let record = format!(r#"{{"topic": "t", "partition": 0, "offset": 1, {members}}}"#);
    let payload = format!(
        r#"{{"eventSource": "aws:kafka", "records": {{"t-0": [{}, {record}, {}]}}}}"#,
        good(0),
        good(2)
    );

    let event = Event::read(payload.as_bytes()).unwrap();
    let records = &event.records;
    assert_eq!(show_record(&records[1].decode()), expected, "{members}");
    for neighbour in [&records[0], &records[2]] {
        assert_eq!(show_record(&neighbour.decode()), r#"none -> "{}" at -1"#, "{members}");
    }
    // A pipe's record has the same members.
    let pipe = format!(
        r#"[{{"eventSource": "aws:kafka", "topic": "t", "partition": 0, "offset": 1, {members}}}]"#
    );
    assert_eq!(show(&pipe), format!("AmazonMsk, 1 records\nt 0\n  [0] 1: {expected}\n"));
}

fn error(code: &str, message: &str) -> String {
    format!("{code}, record at t-0 offset 1: {message}")
}

#[test]
fn absent_and_null_are_none_and_empty_is_empty() {
    check(r#""x": 1"#, "none -> none at -1");
    check(r#""key": null, "value": null"#, "none -> none at -1");
    check(r#""key": "", "value": """#, r#""" -> "" at -1"#);
    check(r#""key": null, "value": "bnVsbA==""#, r#"none -> "null" at -1"#);
    check(r#""key": "bnVsbA==""#, r#""null" -> none at -1"#);
}

#[test]
fn base64_is_standard_and_lenient_at_its_end_only() {
    check(r#""value": "SGVsbG8=""#, r#"none -> "Hello" at -1"#);
    check(r#""value": "SGVsbG8""#, r#"none -> "Hello" at -1"#);
    check(r#""value": "+\/8=""#, r#"none -> "\xfb\xff" at -1"#);
    check(r#""value": "\u0053GVsbG8=""#, r#"none -> "Hello" at -1"#);
    // So is it in the key of the sample event of AWS: bits are set that belong to no byte.
    check(r#""key": "QR==""#, r#""A" -> none at -1"#);

    let at = |position: usize| {
        error(
            "INVALID_BASE64_VALUE",
            &format!("`value` is not valid base64 at byte {position} of its text"),
        )
    };
    check(r#""value": "SGVs!G8=""#, &at(4));
    check(r#""value": "SGVs bG8=""#, &at(4));
    check(r#""value": "-_8=""#, &at(0));
    check(r#""value": "SGVsb""#, &at(5));
    check(r#""value": "SG=sbG8=""#, &at(2));
    check(r#""value": "SGVsbG8=SGVs""#, &at(7));
    check(r#""value": "SGVsbG8==""#, &at(7));
    check(r#""value": "===""#, &at(0));
    check(r#""value": "é""#, &at(0));
    check(
        r#""key": "?""#,
        &error("INVALID_BASE64_KEY", "`key` is not valid base64 at byte 0 of its text"),
    );
    // Long enough for the vectorised way.
    check(&format!(r#""value": "{}?{}""#, "QUFB".repeat(100), "QUFB".repeat(100)), &at(400));
    check(
        &format!(r#""value": "{}""#, "QUFB".repeat(100)),
        &format!("none -> \"{}\" at -1", "AAA".repeat(100)),
    );
}

#[test]
fn keys_and_values_of_other_types() {
    let types = [
        ("5", "a number"),
        ("-5.5", "a number"),
        ("true", "a boolean"),
        ("[1, \"x\", {\"a\": []}]", "an array"),
        ("{\"a\": {\"b\": 1}}", "an object"),
        ("1e999", "a value that cannot be read"),
        (r#""\ud800""#, "a value that cannot be read"),
    ];
    for (json, found) in types {
        let key =
            error("KEY_NOT_A_STRING", &format!("`key` is {found}, accepted is a base64 string"));
        check(&format!(r#""key": {json}, "value": "e30=""#), &key);
        let value = error(
            "VALUE_NOT_A_STRING",
            &format!("`value` is {found}, accepted is a base64 string"),
        );
        check(&format!(r#""key": "e30=", "value": {json}"#), &value);
    }
}

#[test]
fn headers_keep_order_repetitions_and_every_byte() {
    check(r#""headers": null"#, "none -> none at -1");
    check(r#""headers": []"#, "none -> none at -1");
    check(r#""headers": [{}]"#, "none -> none at -1");
    check(r#""headers": [{"h": []}]"#, r#"none -> none at -1, h="""#);
    check(r#""headers": [{"h": null}]"#, "none -> none at -1, h=none");
    check(
        r#""headers": [{"h": [118, -36, 0, 127, -128, -1, 255, 128]}]"#,
        r#"none -> none at -1, h="v\xdc\x00\x7f\x80\xff\xff\x80""#,
    );
    check(
        r#""headers": [{"b": [49]}, {"a": [50]}, {"b": [51]}, {"": [52]}, {"\u00e9": [53]}]"#,
        r#"none -> none at -1, b="1", a="2", b="3", ="4", é="5""#,
    );
    check(
        r#""headers": [{"z": [49], "a": null, "z": [50]}]"#,
        r#"none -> none at -1, z="1", a=none, z="2""#,
    );
}

#[test]
fn malformed_headers() {
    for (json, found) in [
        ("{}", "an object"),
        ("\"h\"", "a string"),
        ("false", "a boolean"),
        ("[1e999]", "a value that cannot be read"),
    ] {
        let message = format!("`headers` is {found}, accepted is an array of objects");
        check(&format!(r#""headers": {json}"#), &error("MALFORMED_HEADERS", &message));
    }
    let malformed = [
        "5",
        "null",
        "[]",
        "\"h\"",
        "{\"h\": \"aGk=\"}",
        "{\"h\": 5}",
        "{\"h\": {}}",
        "{\"h\": [256]}",
        "{\"h\": [-129]}",
        "{\"h\": [1.5]}",
        "{\"h\": [\"1\"]}",
        "{\"h\": [null]}",
        "{\"h\": [true]}",
        "{\"h\": [1], \"i\": false}",
    ];
    for header in malformed {
        let message = "header 1 is not an object of arrays of bytes from -128 to 255";
        check(
            &format!(r#""headers": [{{"good": [1]}}, {header}, 7]"#),
            &error("MALFORMED_HEADERS", message),
        );
    }
}

#[test]
fn no_timestamp_is_an_error() {
    let timestamps = [
        ("0", 0),
        ("1763700000007", 1_763_700_000_007),
        ("-1", -1),
        ("-62135596800000", -62_135_596_800_000),
        ("9223372036854775807", i64::MAX),
        ("-9223372036854775808", i64::MIN),
        ("9223372036854775808", -1),
        ("99999999999999999999", -1),
        ("1595035749700.5", 1_595_035_749_700),
        ("-1.5", -1),
        ("-2.5", -2),
        ("1.5e12", 1_500_000_000_000),
        ("1e400", -1),
        ("1e30", -1),
        ("-9.3e18", -1),
        ("\"1763700000007\"", 1_763_700_000_007),
        ("\"99999999999999999999\"", -1),
        ("\"2026-01-01T00:00:00Z\"", -1),
        ("\"\"", -1),
        ("null", -1),
        ("true", -1),
        ("[1763700000007]", -1),
        ("{\"ms\": 5}", -1),
    ];
    for (json, timestamp) in timestamps {
        check(&format!(r#""timestamp": {json}"#), &format!("none -> none at {timestamp}"));
    }
}

#[test]
fn the_timestamp_type_is_any_text() {
    check(r#""timestampType": "LOG_APPEND_TIME""#, "none -> none at -1 LOG_APPEND_TIME");
    check(r#""timestampType": "SOMETHING_NEW""#, "none -> none at -1 SOMETHING_NEW");
    check(r#""timestampType": null"#, "none -> none at -1");
    check(r#""timestampType": 1"#, "none -> none at -1");
}

#[test]
fn schema_metadata_is_kept_and_never_an_error() {
    check(
        r#""keySchemaMetadata": {"schemaId": "1", "dataFormat": "JSON"}, "valueSchemaMetadata": {"dataFormat": "AVRO"}"#,
        r#"none -> none at -1, key schema Some("1") Some("JSON"), value schema None Some("AVRO")"#,
    );
    check(
        r#""keySchemaMetadata": {"schemaId": 1, "dataFormat": null, "x": [1]}"#,
        "none -> none at -1, key schema None None",
    );
    for json in ["null", "5", "\"AVRO\"", "[]"] {
        check(
            &format!(r#""keySchemaMetadata": {json}, "valueSchemaMetadata": {json}"#),
            "none -> none at -1",
        );
    }
}

/// An old record must not outrank newer ones because its epoch got lost.
#[test]
fn the_epoch_is_strict() {
    check(r#""epoch": 3"#, "none -> none at -1, epoch 3");
    check(r#""epoch": 0"#, "none -> none at -1, epoch 0");
    check(r#""epoch": null"#, "none -> none at -1");
    for (json, found) in [
        ("-1", "a number"),
        ("1.0", "a number"),
        ("\"3\"", "a string"),
        ("18446744073709551616", "a number"),
        ("false", "a boolean"),
    ] {
        let message =
            format!("`epoch` is {found}, accepted is a whole number of 64 bits, not negative");
        check(&format!(r#""epoch": {json}"#), &error("INVALID_EPOCH", &message));
    }
}

#[test]
fn of_a_repeated_field_the_last_counts() {
    check(r#""value": "YQ==", "value": "Yg==""#, r#"none -> "b" at -1"#);
    check(r#""value": 5, "value": "Yg==""#, r#"none -> "b" at -1"#);
    check(r#""value": "YQ==", "value": null"#, "none -> none at -1");
    check(r#""headers": 5, "headers": []"#, "none -> none at -1");
    check(r#""offset": 7, "offset": 1"#, "none -> none at -1");
}

#[test]
fn names_are_read_with_their_escapes() {
    check(r#""\u006bey": "eQ==""#, r#""y" -> none at -1"#);
    check(r#""\ud800": "eA==", "key": "eQ==""#, r#""y" -> none at -1"#);
}

#[test]
fn what_is_known_before_decoding() {
    let payload = r#"[{"eventSource": "aws:kafka", "topic": "t", "partition": 3, "offset": 4, "timestamp": 5, "epoch": 6, "value": 7}]"#;
    let event = Event::read(payload.as_bytes()).unwrap();
    let record = &event.records[0];
    let known =
        (record.topic(), record.partition(), record.offset(), record.timestamp(), record.epoch());
    assert_eq!(known, ("t", 3, 4, 5, Some(6)));
    let error = record.decode().unwrap_err();
    assert_eq!(
        (error.coordinates.to_string().as_str(), error.code()),
        ("t-3 offset 4", "VALUE_NOT_A_STRING")
    );
}
