//! Every variable: its default, what it may hold, and what is said of anything else.

use std::fmt::Debug;

use super::*;
use crate::{
    order::version::Order,
    sink::{Rejection, Sink},
};

const WITHOUT_DELETES: Sink = Sink {
    name: "sinkOfTests",
    topic: "topic.of.tests",
    order: Order::SourceClock,
    deletes: false,
    has_connect_schema: false,
    map: |_, _| Err(Rejection::new("NOTHING", "nothing is mapped here")),
};
const WITH_DELETES: Sink =
    Sink { deletes: true, has_connect_schema: true, order: Order::Offset, ..WITHOUT_DELETES };

/// The settings with these variables beside the required ones.
fn read(sink: &Sink, changes: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    let required = [
        (TABLE_NAME, "items"),
        (TOMBSTONE_TABLE_NAME, "tombstones"),
        (QUARANTINE_TABLE_NAME, "quarantine"),
    ];
    Settings::read(sink, |variable| {
        let found = changes.iter().chain(&required).find(|(name, _)| *name == variable);
        Ok(found.map(|(_, value)| (*value).to_owned()))
    })
}

/// What a variable may hold and what it means, and what it may not.
#[track_caller]
fn check<T: PartialEq + Debug>(
    variable: &str,
    get: fn(Settings) -> T,
    accepted: &[(&str, T)],
    refused: &[&str],
    expected: &str,
) {
    for (value, meaning) in accepted {
        let found = get(read(&WITH_DELETES, &[(variable, value)]).unwrap());
        assert_eq!(found, *meaning, "{variable}={value}");
    }
    for value in refused {
        let error = read(&WITH_DELETES, &[(variable, value)]).unwrap_err();
        let message =
            format!("environment variable `{variable}` is `{value}`: expected {expected}");
        assert_eq!(error.to_string(), message);
    }
}

fn days(days: u64) -> Duration {
    Duration::from_hours(24 * days)
}

#[test]
fn defaults_serve_where_nothing_is_required() {
    let expected = Settings {
        table: "items".to_owned(),
        tombstone_table: Some("tombstones".to_owned()),
        quarantine_table: "quarantine".to_owned(),
        topic: "topic.of.tests".to_owned(),
        epoch: 0,
        response_mode: ResponseMode::Batch,
        statements_per_request: 25,
        max_concurrency: 64,
        tombstone_retention: Some(days(365)),
        quarantine_retention: Some(days(90)),
        keep_connect_schema: false,
        stage: "local".to_owned(),
        log_level: LevelFilter::INFO,
        function_name: "sinkOfTests".to_owned(),
    };
    assert_eq!(read(&WITH_DELETES, &[]), Ok(expected.clone()));
    // A sink without deletes has no tombstones, whatever the variables say; nor has one without a schema any to keep.
    let expected = Settings { tombstone_table: None, tombstone_retention: None, ..expected };
    let unknown =
        [(TOMBSTONE_TABLE_NAME, "?"), (TOMBSTONE_RETENTION_DAYS, "?"), (KEEP_CONNECT_SCHEMA, "?")];
    for changes in [&[][..], &unknown, &[(KEEP_CONNECT_SCHEMA, "true")]] {
        assert_eq!(read(&WITHOUT_DELETES, changes), Ok(expected.clone()));
    }
}

#[test]
fn required_variables_are_asked_for() {
    for variable in [TABLE_NAME, TOMBSTONE_TABLE_NAME, QUARANTINE_TABLE_NAME] {
        let error = read(&WITH_DELETES, &[(variable, "")]).unwrap_err();
        let message = format!(
            "environment variable `{variable}` is not set: expected the name of a DynamoDB table"
        );
        assert_eq!(error.to_string(), message);
    }
    assert!(read(&WITHOUT_DELETES, &[(TOMBSTONE_TABLE_NAME, "")]).is_ok());
}

#[test]
fn tables_have_names_that_dynamodb_allows() {
    let longest = "n".repeat(255);
    let too_long = "n".repeat(256);
    let check_name = |variable, get: fn(Settings) -> String| {
        check(
            variable,
            get,
            &["abc", "A-b_c.9", &longest, ARN, CHINESE_ARN].map(|name| (name, name.to_owned())),
            &[
                "ab",
                &too_long,
                "a b",
                "a\"b",
                "a'b",
                "tablé",
                "a/b",
                "arn:aws:table",
                "arn:aws:dynamodb:us-east-1:123456789012:table/",
                "arn:aws:dynamodb:us-east-1:123456789012:table/a\"b",
                "arn:aws:dynamodb:us-east-1:123456789012:table/plans/index/i",
                "arn:aws:dynamodb:us-east-1:12345678901:table/plans",
                "arn:aws:dynamodb::123456789012:table/plans",
                "arn:aws:s3:us-east-1:123456789012:table/plans",
            ],
            "the name of a DynamoDB table (3 to 255 of a-z, A-Z, 0-9, `_`, `-` and `.`) or its ARN",
        );
    };
    check_name(TABLE_NAME, |settings| settings.table);
    check_name(TOMBSTONE_TABLE_NAME, |settings| settings.tombstone_table.unwrap_or_default());
    check_name(QUARANTINE_TABLE_NAME, |settings| settings.quarantine_table);
}

const ARN: &str = "arn:aws:dynamodb:us-east-1:123456789012:table/A-b_c.9";
const CHINESE_ARN: &str = "arn:aws-cn:dynamodb:cn-north-1:123456789012:table/plans";

#[test]
fn statements_take_no_arn() {
    let p = |changes: &[(&'static str, &str)]| {
        read(&WITH_DELETES, changes).unwrap().may_use_statements()
    };
    assert!(p(&[]));
    assert!(!p(&[(DYNAMODB_STATEMENTS_PER_REQUEST, "1")]));
    assert!(!p(&[(TABLE_NAME, ARN)]));
    assert!(!p(&[(TOMBSTONE_TABLE_NAME, ARN)]));
    // Its entries go by calls of their own in any case.
    assert!(p(&[(QUARANTINE_TABLE_NAME, ARN)]));
}

#[test]
fn texts_are_taken_as_they_are() {
    let topic = |settings: Settings| settings.topic;
    let default = "topic.of.tests".to_owned();
    check(KAFKA_TOPIC, topic, &[("", default), ("a-b_c.0", "a-b_c.0".to_owned())], &[], "");
    let stage = |settings: Settings| settings.stage;
    check(STAGE, stage, &[("", "local".to_owned()), ("val", "val".to_owned())], &[], "");
    let name = |settings: Settings| settings.function_name;
    let default = "sinkOfTests".to_owned();
    check(AWS_LAMBDA_FUNCTION_NAME, name, &[("", default), ("f", "f".to_owned())], &[], "");
}

#[test]
fn numbers_have_bounds() {
    check(
        EPOCH,
        |settings| settings.epoch,
        &[("", 0), ("0", 0), ("1", 1), ("9999999999", 9_999_999_999)],
        &["-1", "10000000000", "99999999999999999999", "1.5", "1e3", "one", " 1"],
        "a whole number from 0 to 9999999999",
    );
    check(
        DYNAMODB_STATEMENTS_PER_REQUEST,
        |settings| settings.statements_per_request,
        &[("", 25), ("1", 1), ("25", 25)],
        &["0", "26", "-1", "all"],
        "a whole number from 1 to 25",
    );
    check(
        DYNAMODB_MAX_CONCURRENCY,
        |settings| settings.max_concurrency,
        &[("", 64), ("1", 1), ("256", 256)],
        &["0", "257", "8.0", "eight"],
        "a whole number from 1 to 256",
    );
}

#[test]
fn choices_are_spelled_in_any_case() {
    use ResponseMode::{Batch, Partial};
    check(
        RESPONSE_MODE,
        |settings| settings.response_mode,
        &[("", Batch), ("batch", Batch), ("partial", Partial), ("Partial", Partial)],
        &["none", "partial ", "ReportBatchItemFailures"],
        "`batch` or `partial`",
    );
    check(
        KEEP_CONNECT_SCHEMA,
        |settings| settings.keep_connect_schema,
        &[("", false), ("false", false), ("true", true), ("TRUE", true)],
        &["1", "yes", "on"],
        "`true` or `false`",
    );
    check(
        AWS_LAMBDA_LOG_LEVEL,
        |settings| settings.log_level,
        &[
            ("", LevelFilter::INFO),
            ("TRACE", LevelFilter::TRACE),
            ("DEBUG", LevelFilter::DEBUG),
            ("INFO", LevelFilter::INFO),
            ("WARN", LevelFilter::WARN),
            ("ERROR", LevelFilter::ERROR),
            ("FATAL", LevelFilter::ERROR),
            ("debug", LevelFilter::DEBUG),
        ],
        &["WARNING", "OFF", "5"],
        "`TRACE`, `DEBUG`, `INFO`, `WARN`, `ERROR` or `FATAL`",
    );
}

#[test]
fn retention_is_in_days_or_unlimited() {
    let refused = ["0", "36501", "-1", "90d", "forever", "1.5"];
    let expected = "a whole number of days from 1 to 36500, or `unlimited`";
    check(
        TOMBSTONE_RETENTION_DAYS,
        |settings| settings.tombstone_retention,
        &[
            ("", Some(days(365))),
            ("91", Some(days(91))),
            ("36500", Some(days(36_500))),
            ("unlimited", None),
        ],
        &refused,
        expected,
    );
    check(
        QUARANTINE_RETENTION_DAYS,
        |settings| settings.quarantine_retention,
        &[("", Some(days(90))), ("1", Some(days(1))), ("364", Some(days(364)))],
        &refused,
        expected,
    );
}

#[test]
fn tombstones_outlive_the_quarantine() {
    #[track_caller]
    fn check(quarantine: &str, tombstone: &str, is_accepted: bool) {
        let changes =
            [(QUARANTINE_RETENTION_DAYS, quarantine), (TOMBSTONE_RETENTION_DAYS, tombstone)];
        let found = read(&WITH_DELETES, &changes).map(|_| ());
        let refused = Err(SettingsError::TombstoneBeforeQuarantine);
        assert_eq!(found, if is_accepted { Ok(()) } else { refused });
        assert!(read(&WITHOUT_DELETES, &changes).is_ok());
    }

    check("364", "365", true);
    check("365", "365", false);
    check("366", "365", false);
    check("", "90", false);
    check("365", "", false);
    check("unlimited", "36500", false);
    check("unlimited", "unlimited", true);
    check("36500", "unlimited", true);
    assert_eq!(
        SettingsError::TombstoneBeforeQuarantine.to_string(),
        "`TOMBSTONE_RETENTION_DAYS` must be greater than `QUARANTINE_RETENTION_DAYS`: an old \
         record that is redriven from the quarantine after its key's tombstone expired would \
         bring the deleted item back"
    );
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    let lookup = |variable| Err(SettingsError::NotUnicode { variable });
    let error = Settings::read(&WITH_DELETES, lookup).unwrap_err();
    assert_eq!(error.to_string(), "environment variable `TABLE_NAME` is not valid Unicode");
}

#[test]
fn each_table_has_one_role() {
    for (first, second, same) in [
        (TABLE_NAME, QUARANTINE_TABLE_NAME, "items"),
        (TABLE_NAME, TOMBSTONE_TABLE_NAME, "items"),
        (TOMBSTONE_TABLE_NAME, QUARANTINE_TABLE_NAME, "tombstones"),
    ] {
        let error = read(&WITH_DELETES, &[(second, same)]).unwrap_err();
        let expected = SettingsError::SameTable { first, second, table: same.to_owned() };
        assert_eq!(error, expected);
        // Whether a name and an ARN are one table cannot be known; two ARNs can.
        let arn = |region: &str| format!("arn:aws:dynamodb:{region}:123456789012:table/{same}");
        let (one, other) = (arn("us-east-1"), arn("us-east-2"));
        assert!(matches!(
            read(&WITH_DELETES, &[(second, &one)]),
            Err(SettingsError::SameTable { .. })
        ));
        assert!(matches!(
            read(&WITH_DELETES, &[(first, &one), (second, same)]),
            Err(SettingsError::SameTable { .. })
        ));
        assert!(read(&WITH_DELETES, &[(first, &one), (second, &other)]).is_ok());
    }
    // A sink without deletes does not read the tombstones' table.
    assert!(read(&WITHOUT_DELETES, &[(TOMBSTONE_TABLE_NAME, "items")]).is_ok());
}
