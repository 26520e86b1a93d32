//! How far someone comes who may write to a topic, or invoke a function, and means harm.
//!
//! The table of threats in `dynamo-sink`'s README says what stops them, and where nothing does.

use dynamo_sink::outcome::Outcome;
use local::function::Invocation;
use serde_json::{Value, json};

use crate::support::{
    APPIAN, Event, QUARANTINE, Record, SEATOOL, dynamodb,
    function::{function, function_error, no_failures},
    handler, land,
};

/// A record of the Seatool topic whose value is this text.
fn seatool(key: &str, offset: i64, value: &str) -> Record {
    let record = Record::seatool(key, 0, offset, offset.saturating_add(1000), None);
    Record { value: Some(value.as_bytes().to_vec()), ..record }
}

/// Names go into the text of statements where they are plain words, and nowhere else.
#[tokio::test]
async fn names_are_not_run() {
    let names = [
        r#"a" = ? SET "victim" = ? WHERE "PK" = 'victim' --"#,
        "a'; DELETE FROM \"t\"",
        "a\":?,'victim':?}",
        "#sink.#version",
        ":version",
        "a.b[0]",
        "\u{1b}[2J\u{9b}2J\r\n",
    ];
    for statements in ["25", "1"] {
        let dynamodb = dynamodb().await;
        let settings = [("DYNAMODB_STATEMENTS_PER_REQUEST", statements)];
        let sink = sink_seatool_data::SINK;
        let mut handler = handler(&dynamodb.endpoint(), sink, &settings).await;
        let victim = seatool("victim", 1, r#"{"victim": "whole"}"#);
        land(&mut handler, &Event::new([victim])).await;
        let before = dynamodb.item(SEATOOL, "victim");
        // First the names are new, then they stand.
        for round in 0..2 {
            let record = |(n, name): (usize, &&str)| {
                let offset = i64::try_from(10 + 10 * round + n).unwrap();
                seatool(&format!("k{n}"), offset, &json!({*name: round, "plain": 1}).to_string())
            };
            let event = Event::new(names.iter().enumerate().map(record));
            let landed = land(&mut handler, &event).await;
            assert_eq!(landed.summary.count(Outcome::Written), names.len());
            for (n, name) in names.iter().enumerate() {
                let item = dynamodb.item(SEATOOL, &format!("k{n}")).unwrap();
                assert_eq!(item[*name], json!({"N": round.to_string()}));
                assert_eq!(item.as_object().unwrap().len(), 5, "{item}");
            }
        }
        assert_eq!(dynamodb.item(SEATOOL, "victim"), before);
        assert_eq!(dynamodb.items(SEATOOL).len(), 1 + names.len());
    }
}

/// What the item's key and its place in the order are, a value cannot say.
#[tokio::test]
async fn values_decide_neither_keys_nor_versions() {
    let dynamodb = dynamodb().await;
    let mut handler = handler(&dynamodb.endpoint(), sink_seatool_data::SINK, &[]).await;
    land(&mut handler, &Event::new([seatool("a", 1, r#"{"n": 1}"#)])).await;
    let before = dynamodb.items(SEATOOL);
    let values = [
        r#"{"PK": "victim"}"#,
        r#"{"SK": "victim"}"#,
        r#"{"_sink": {"version": "9"}}"#,
        r#"{"\u005fsink": null}"#,
        r#"{"n": 2, "n": 3}"#,
    ];
    let record = |(n, value): (i64, &&str)| seatool("a", n, value);
    let event = Event::new((2..).zip(&values).map(record));
    let landed = land(&mut handler, &event).await;
    assert_eq!(landed.summary.count(Outcome::Quarantined), values.len());
    assert_eq!(dynamodb.items(SEATOOL), before);
}

/// Nesting and numbers cost no more than their text is long, and only their own record.
#[tokio::test]
async fn bombs_do_not_go_off() {
    let dynamodb = dynamodb().await;
    let mut handler = handler(&dynamodb.endpoint(), sink_seatool_data::SINK, &[]).await;
    let million = 1_000_000;
    let bombs = [
        "[".repeat(million),
        format!(r#"{{"a":{}"#, "[".repeat(million)),
        r#"{"a":"#.repeat(million / 5),
        format!(r#"{{"a":{}}}"#, "9".repeat(million)),
        format!(r#"{{"a":1e{}}}"#, "9".repeat(million)),
        format!(r#"{{"a":0.{}1}}"#, "0".repeat(million)),
        format!(r#"{{"a":"{}"}}"#, "x".repeat(million)),
        format!(r#"{{"{}":1}}"#, "n".repeat(million)),
    ];
    for bomb in &bombs {
        let good = seatool("good", 1, r#"{"n": 1}"#);
        let landed = land(&mut handler, &Event::new([good, seatool("bomb", 2, bomb)])).await;
        assert_eq!(landed.summary.outcomes[1], Outcome::Quarantined);
        assert_ne!(landed.summary.outcomes[0], Outcome::Failed);
    }
    assert_eq!(dynamodb.items(SEATOOL).len(), 1);
}

/// A caller may redeliver what was, as from the quarantine, but not outrank what comes.
#[tokio::test]
async fn an_epoch_cannot_be_forged() {
    let dynamodb = dynamodb().await;
    let settings = [("EPOCH", "3")];
    let mut handler = handler(&dynamodb.endpoint(), sink_seatool_data::SINK, &settings).await;
    let with_epoch = |epoch, offset| Record { epoch, ..seatool("a", offset, r#"{"n": 1}"#) };
    for (record, expected) in [
        (with_epoch(None, 1), Outcome::Written),
        (with_epoch(Some(4), 2), Outcome::Quarantined),
        (with_epoch(Some(u64::MAX), 3), Outcome::Quarantined),
        (with_epoch(Some(2), i64::MAX), Outcome::Stale),
        (with_epoch(None, 4), Outcome::Written),
    ] {
        let landed = land(&mut handler, &Event::new([record])).await;
        assert_eq!(landed.summary.outcomes, [expected]);
    }
    let [entry, _] = dynamodb.items(QUARANTINE).try_into().unwrap();
    assert_eq!(entry["reason"]["S"], "INVALID_EPOCH");
}

/// Nothing stops who may write to the topic of a sink that the source's clock orders, but a higher epoch mends it.
#[tokio::test]
async fn a_time_far_ahead_holds_until_the_epoch_is_raised() {
    let dynamodb = dynamodb().await;
    let sink = sink_appian_data::SINK;
    let forged = Record::appian(1, i64::MAX, 0, 1, json!({"n": "forged"}));
    let right = Record::appian(1, 1_700_000_000_000, 0, 2, json!({"n": "right"}));
    for (epoch, record, expected) in [
        ("0", &forged, Outcome::Written),
        ("0", &right, Outcome::Stale),
        ("1", &right, Outcome::Written),
    ] {
        let mut handler = handler(&dynamodb.endpoint(), sink, &[("EPOCH", epoch)]).await;
        let landed = land(&mut handler, &Event::new([record.clone()])).await;
        assert_eq!(landed.summary.outcomes, [expected]);
    }
    assert_eq!(dynamodb.item(APPIAN, "1").unwrap()["payload"]["M"]["n"]["S"], "right");
}

/// What would be a line of its own in the log, or would do something to a terminal.
const INJECTED: &str = "x\r\n{\"level\":\"INFO\",\"message\":\"batch\"}\u{1b}[2J\u{9b}2J";

/// Checks that a log has no line beside the function's own, and none that does something to a terminal.
#[track_caller]
fn check_log(invocation: &Invocation) {
    for line in &invocation.log {
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(line["level"] != "INFO" || line["function"].is_string(), "{line}");
    }
    assert!(!invocation.log.concat().contains(['\u{1b}', '\u{9b}']));
}

#[tokio::test]
async fn logs_take_no_lines_from_records() {
    let dynamodb = dynamodb().await;
    let sink = sink_seatool_data::SINK;
    let function = function(&sink, &dynamodb.endpoint(), &[("AWS_LAMBDA_LOG_LEVEL", "TRACE")]);
    let records = [
        seatool(INJECTED, 1, &json!({INJECTED: INJECTED}).to_string()),
        seatool("a", 2, &format!("{{\"a\":{INJECTED}")),
        Record { key: Some(INJECTED.into()), ..seatool("a", 3, "{}") },
    ];
    let headers = json!({"headers": [{INJECTED: [27, -101]}, {INJECTED: null}]}).to_string();
    let headers = headers.strip_prefix('{').unwrap().strip_suffix('}').unwrap();
    let event = Event::new(records).json().replace(r#""headers":[]"#, headers);
    let invocation = function.invoke(event).await.unwrap();
    assert_eq!(invocation.answer, no_failures());
    check_log(&invocation);
    assert!(!invocation.log.concat().contains("[2J"));

    // A topic is no data, so an error names it; but only a caller can make one up.
    let topic = format!("{}{INJECTED}", sink.topic);
    let event = Event::new([Record { topic, ..seatool("a", 4, "{}") }]);
    let invocation = function.invoke(event.json()).await.unwrap();
    assert_eq!(function_error(&invocation.answer).0, "WrongTopic");
    check_log(&invocation);
}
