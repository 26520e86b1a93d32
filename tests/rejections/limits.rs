//! What lies at DynamoDB's limits is written and reads back exactly; what lies one step beyond is not.

use dynamo_sink::{item::MAX_ITEM_SIZE, outcome::Outcome, sink::Sink};
use serde_json::{Value, json};

use super::{Field, event, text};
use crate::support::{APPIAN, QUARANTINE, SEATOOL, TIME, dynamodb, handler, is_aws_local};

const SEATOOL_SINK: Sink = sink_seatool_data::SINK;

/// Sends records of one partition by both transports, twice each with newer offsets, so that inserts and replacements
/// are seen; the table must hold `expected`, the items without `_sink`.
async fn check(
    sink: Sink,
    settings: &[(&str, &str)],
    records: &[(Field, Field, &'static str)],
    expected: &[Value],
) {
    for statements in ["25", "1"] {
        let dynamodb = dynamodb().await;
        let transport = [("DYNAMODB_STATEMENTS_PER_REQUEST", statements)];
        let settings: Vec<_> = settings.iter().copied().chain(transport).collect();
        let mut handler = handler(&dynamodb.endpoint(), sink, &settings).await;
        for round in 0..2 {
            let texts: Vec<String> = records
                .iter()
                .enumerate()
                .map(|(at, (key, value, rest))| {
                    text(&sink, round * records.len() + at, key, value, rest)
                })
                .collect();
            let landed = handler.land(event(&texts).as_bytes(), Some(TIME)).await.unwrap();
            assert_eq!(dynamodb.items(QUARANTINE), Vec::<Value>::new());
            assert!(landed.summary.outcomes.iter().all(|it| *it == Outcome::Written));
        }
        let table = if sink.deletes { SEATOOL } else { APPIAN };
        let mut items = dynamodb.items(table);
        for item in &mut items {
            item["_sink"] = Value::Null;
        }
        for (item, expected) in items.iter().zip(expected) {
            let mut expected = expected.clone();
            expected["_sink"] = Value::Null;
            assert!(*item == expected, "{} {statements}", item["PK"]);
        }
        assert_eq!(items.len(), expected.len());
    }
}

fn item(key: &str, mut members: Value) -> Value {
    members["PK"] = json!({"S": key});
    members["SK"] = json!({"S": key});
    members
}

/// Values whose items have a member `a`, and that in DynamoDB's JSON.
async fn check_values(cases: &[(String, Value)]) {
    let mut records = Vec::new();
    let mut expected = Vec::new();
    for (number, (value, attribute)) in cases.iter().enumerate() {
        let key = format!("{number:03}");
        let value = format!(r#"{{"a":{value}}}"#);
        records.push((format!("\"{key}\"").into(), value.into(), ""));
        expected.push(item(&key, json!({"a": attribute})));
    }
    check(SEATOOL_SINK, &[], &records, &expected).await;
}

#[tokio::test]
async fn numbers_keep_every_digit() {
    let ones = "1".repeat(38);
    let case = |json: &str, number: &str| (json.to_owned(), json!({"N": number}));
    let zeros = |count| "0".repeat(count);
    check_values(&[
        case("0", "0"),
        case("-0.0", "0"),
        case("1763700000000", "1763700000000"),
        case("9007199254740993", "9007199254740993"),
        case("-9223372036854775809", "-9223372036854775809"),
        case("0.1", "0.1"),
        case("1.10", "1.1"),
        case("1E2", "100"),
        case(&ones, &ones),
        case(&format!("-{ones}"), &format!("-{ones}")),
        case(&format!("{ones}000"), &format!("{ones}000")),
        case(&format!("0.{ones}"), &format!("0.{ones}")),
        case(&format!("1.{}", &ones[1..]), &format!("1.{}", &ones[1..])),
        case("1E125", &format!("1{}", zeros(125))),
        case(&format!("-1{}", zeros(125)), &format!("-1{}", zeros(125))),
        case(&format!("9.{}E+125", "9".repeat(37)), &format!("{}{}", "9".repeat(38), zeros(88))),
        case("1e-130", &format!("0.{}1", zeros(129))),
        case("-1E-130", &format!("-0.{}1", zeros(129))),
        case("5.00E-130", &format!("0.{}5", zeros(129))),
    ])
    .await;
}

#[tokio::test]
async fn texts_lists_and_maps_come_as_they_are() {
    let case = |json: &str, attribute: Value| (json.to_owned(), attribute);
    check_values(&[
        case(r#""""#, json!({"S": ""})),
        case("[]", json!({"L": []})),
        case("{}", json!({"M": {}})),
        case("null", json!({"NULL": true})),
        case("false", json!({"BOOL": false})),
        case("[[],{},\"\",null]", json!({"L": [{"L": []}, {"M": {}}, {"S": ""}, {"NULL": true}]})),
        case(r#""\u0000\b\f\n\r\t\"\\\/""#, json!({"S": "\0\u{8}\u{c}\n\r\t\"\\/"})),
        case(r#""\ud83e\udd80é\u00e9""#, json!({"S": "🦀éé"})),
        case(
            r#"{"é":{"\ud83e\udd80":1},"PK":{"_sink":"x"},"a b":true}"#,
            json!({"M": {
                "é": {"M": {"🦀": {"N": "1"}}},
                "PK": {"M": {"_sink": {"S": "x"}}},
                "a b": {"BOOL": true},
            }}),
        ),
    ])
    .await;
}

#[tokio::test]
async fn values_stand_at_level_32() {
    let in_lists = (0..31).fold(json!({"N": "1"}), |inner, _| json!({"L": [inner]}));
    let in_maps = (0..31).fold(json!({"S": "x"}), |inner, _| json!({"M": {"m": inner}}));
    check_values(&[
        (format!("{}1{}", "[".repeat(31), "]".repeat(31)), in_lists),
        (format!("{}\"x\"{}", r#"{"m":"#.repeat(31), "}".repeat(31)), in_maps),
    ])
    .await;

    let no_value = (0..31).fold(json!({"L": []}), |inner, _| json!({"L": [inner]}));
    let json = format!("{}{}", "[".repeat(32), "]".repeat(32));
    if is_aws_local() {
        // It counts a level inside of an empty list, so that such a record is quarantined.
        check_refused(&json, "Nesting Levels have exceeded supported limits").await;
    } else {
        check_values(&[(json, no_value)]).await;
    }
}

/// A record with this value as its member `a`, which we take and DynamoDB does not, is quarantined with what DynamoDB
/// says, and those beside it are written.
async fn check_refused(value: &str, message: &str) {
    for statements in ["25", "1"] {
        let dynamodb = dynamodb().await;
        let settings = [("DYNAMODB_STATEMENTS_PER_REQUEST", statements)];
        let mut handler = handler(&dynamodb.endpoint(), SEATOOL_SINK, &settings).await;
        let texts = [("\"A\"", "1"), ("\"B\"", value), ("\"C\"", "3")];
        let texts: Vec<String> = (1..)
            .zip(texts)
            .map(|(offset, (key, value))| {
                let value = format!(r#"{{"a":{value}}}"#);
                text(&SEATOOL_SINK, offset, &key.into(), &value.as_str().into(), "")
            })
            .collect();
        let landed = handler.land(event(&texts).as_bytes(), Some(TIME)).await.unwrap();
        let outcomes = [Outcome::Written, Outcome::Quarantined, Outcome::Written];
        assert_eq!(landed.summary.outcomes, outcomes);
        let entries = dynamodb.items(QUARANTINE);
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0]["reason"]["S"], "REFUSED_BY_DYNAMODB");
        let found = entries[0]["message"]["S"].as_str().unwrap();
        assert!(found.starts_with(message), "{found}");
        assert_eq!(dynamodb.items(SEATOOL).len(), 2);
    }
}

#[tokio::test]
async fn keys_and_names_may_be_as_long_as_dynamodb_allows() {
    let keys = ["k".repeat(1024), "é".repeat(512), "\"'\\ 🦀".to_owned(), " ".to_owned()];
    let mut expected: Vec<Value> =
        keys.iter().map(|key| item(key, json!({"a": {"N": "1"}}))).collect();
    expected.sort_by_key(|item| item["PK"].to_string());
    let record = |key: &String| (json!(key).to_string().into(), r#"{"a":1}"#.into(), "");
    let records: Vec<_> = keys.iter().map(record).collect();
    check(SEATOOL_SINK, &[], &records, &expected).await;

    let name = "n".repeat(65_535);
    let value = json!({name.as_str(): 1}).to_string();
    let members = json!({name.as_str(): {"N": "1"}});
    check(SEATOOL_SINK, &[], &[("\"A\"".into(), value.into(), "")], &[item("A", members)]).await;
}

/// Serializers of Confluent's put a zero byte and the schema's identifier before the JSON.
#[tokio::test]
async fn json_behind_a_schema_identifier_is_read() {
    let prefixed = |json: &str| Field::Bytes([b"\0\0\0\x01\xff", json.as_bytes()].concat());
    let schema = r#","keySchemaMetadata":{"schemaId":"1","dataFormat":"JSON"},"valueSchemaMetadata":{"dataFormat":"AVRO"}"#;
    let record = (prefixed("\"A\""), prefixed(r#"{"a":1}"#), "");
    check(SEATOOL_SINK, &[], &[record], &[item("A", json!({"a": {"N": "1"}}))]).await;
    let record = ("\"A\"".into(), r#"{"a":1}"#.into(), schema);
    check(SEATOOL_SINK, &[], &[record], &[item("A", json!({"a": {"N": "1"}}))]).await;
}

#[tokio::test]
async fn package_ids_become_keys() {
    let ids = [
        ("21782", "21782", json!({"N": "21782"})),
        ("2.1783e4", "21783", json!({"N": "21783"})),
        ("\"A-1\"", "A-1", json!({"S": "A-1"})),
        ("-5", "-5", json!({"N": "-5"})),
        ("\"007\"", "007", json!({"S": "007"})),
    ];
    let mut records = Vec::new();
    let mut expected = Vec::new();
    for (json, key, attribute) in ids {
        let value = format!(r#"{{"payload":{{"PCKG_ID":{json}}}}}"#);
        records.push((Field::Absent, value.into(), ""));
        expected.push(item(key, json!({"payload": {"M": {"PCKG_ID": attribute}}})));
    }
    expected.sort_by_key(|item| item["PK"].to_string());
    // Without a time of the source Kafka's timestamp and the offset order the rounds.
    check(sink_appian_data::SINK, &[], &records, &expected).await;
}

#[tokio::test]
async fn connects_schema_is_kept_where_it_is_asked_for() {
    let value = r#"{"schema":{"type":"struct"},"payload":{"PCKG_ID":1,"schema":2}}"#;
    let payload = json!({"M": {"PCKG_ID": {"N": "1"}, "schema": {"N": "2"}}});
    let kept = json!({"payload": payload, "schema": {"M": {"type": {"S": "struct"}}}});
    for (setting, members) in [("false", json!({"payload": payload})), ("true", kept)] {
        let settings = [("KEEP_CONNECT_SCHEMA", setting)];
        let records = [(Field::Absent, value.into(), "")];
        check(sink_appian_data::SINK, &settings, &records, &[item("1", members)]).await;
    }
}

/// The largest item is found by what the function says of one that is too large; that DynamoDB takes it, and would not
/// take one byte more, is for DynamoDB to say.
#[tokio::test]
async fn items_have_up_to_400_kb_with_their_names_and_the_sinks_own() {
    let value = |length: usize| -> Field {
        let text = "é".repeat(length / 2) + &"x".repeat(length % 2);
        let numbers = "[0,-1,12.345,1e100,true,null,{}]";
        format!(r#"{{"text":"{text}","numbers":{numbers},"é":{{"🦀":[[]]}}}}"#).into()
    };
    for statements in ["25", "1"] {
        let dynamodb = dynamodb().await;
        let settings = [("DYNAMODB_STATEMENTS_PER_REQUEST", statements)];
        let mut handler = handler(&dynamodb.endpoint(), SEATOOL_SINK, &settings).await;
        let mut send = async |offset, length| {
            let text = text(&SEATOOL_SINK, offset, &"\"KEY\"".into(), &value(length), "");
            let landed = handler.land(event(&[text]).as_bytes(), Some(TIME)).await.unwrap();
            landed.answer.unwrap();
            landed.summary.outcomes
        };
        assert_eq!(send(1, MAX_ITEM_SIZE - 100).await, [Outcome::Quarantined]);
        let message = dynamodb.items(QUARANTINE)[0]["message"]["S"].clone();
        let message = message.as_str().unwrap();
        let size = message.strip_prefix("the item has ").unwrap();
        let size: usize =
            size.strip_suffix(" bytes: DynamoDB stores at most 409600").unwrap().parse().unwrap();
        let largest = MAX_ITEM_SIZE - 100 - (size - MAX_ITEM_SIZE);

        // Both as a new item and in place of one.
        for offset in [3, 5] {
            assert_eq!(send(offset, largest).await, [Outcome::Written]);
            let items = dynamodb.items(SEATOOL);
            let item = serde_json::from_value(items[0].clone()).unwrap();
            assert_eq!(dynoxide::types::item_size(&item), MAX_ITEM_SIZE);
            assert_eq!(send(offset + 1, largest + 1).await, [Outcome::Quarantined]);
            assert_eq!(dynamodb.items(SEATOOL), items);
        }
        let heads: Vec<_> = dynamodb
            .items(QUARANTINE)
            .into_iter()
            .filter_map(|entry| Some(entry["message"]["S"].as_str()?.to_owned()))
            .collect();
        assert_eq!(heads[1..], ["the item has 409601 bytes: DynamoDB stores at most 409600"; 2]);
    }
}
