use local::template::Template;
use serde_json::Value;

use super::*;

const TABLE: &str = "compare-connector-local-seatool";
const TOMBSTONES: &str = "compare-connector-local-seatool-tombstones";

fn operations(faults: Faults) -> Operations {
    let template = include_str!("../../../../../template.yaml");
    let template = Template::parse(template, &[("Stage", template::LOCAL_STAGE)]).unwrap();
    Operations::new(&template.tables, faults, 1)
}

/// The answer of a request, or what is wrong with it.
fn answer(
    operations: &mut Operations,
    operation: &str,
    body: &Value,
) -> Result<(u16, Value), String> {
    let answer = operations.answer(operation, body.to_string().as_bytes())?;
    Ok((answer.status, serde_json::from_str(&answer.body).unwrap()))
}

fn text(text: &str) -> Value {
    json!({ "S": text })
}

fn sink(version: &str) -> Value {
    json!({"M": {"version": text(version)}})
}

fn put(key: &str, version: &str) -> Value {
    json!({"TableName": TABLE, "Item": {"PK": text(key), "SK": text(key), "_sink": sink(version)}})
}

fn replace(key: &str, version: &str) -> Value {
    let statement = format!(
        r#"UPDATE "{TABLE}" SET "a"=? SET "_sink"=? WHERE "PK"=? AND "SK"=? AND "_sink"."version" < ?"#
    );
    json!({
        "Statement": statement,
        "Parameters": [text("new"), sink(version), text(key), text(key), text(version)],
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    })
}

fn insert(key: &str) -> Value {
    let statement = format!(r#"INSERT INTO "{TABLE}" VALUE {{'PK':?,'SK':?,'_sink':?}}"#);
    json!({"Statement": statement, "Parameters": [text(key), text(key), sink("5")]})
}

fn remove(key: &str, version: &str) -> Value {
    let statement =
        format!(r#"DELETE FROM "{TABLE}" WHERE "PK"=? AND "SK"=? AND "_sink"."version" < ?"#);
    json!({"Statement": statement, "Parameters": [text(key), text(key), text(version)]})
}

#[test]
fn each_statement_has_its_own_answer() {
    #[track_caller]
    fn check(statement: &Value, code: Option<&str>, has_item: bool) {
        let mut operations = operations(Faults::default());
        answer(&mut operations, "PutItem", &put("stands", "3")).unwrap();
        let statements = json!({"Statements": [statement, replace("absent", "1")]});
        let (status, answer) =
            answer(&mut operations, "BatchExecuteStatement", &statements).unwrap();
        let answer = &answer["Responses"];
        assert_eq!((status, answer.as_array().unwrap().len()), (200, 2));
        assert_eq!(answer[0]["Error"]["Code"].as_str(), code);
        assert_eq!(answer[0]["Error"]["Item"]["PK"] == text("stands"), has_item);
        assert_eq!(answer[0]["TableName"], TABLE);
        assert_eq!(answer[1]["Error"]["Code"], "ConditionalCheckFailed");
        assert_eq!(answer[1]["Error"].get("Item"), None);
    }

    check(&replace("stands", "4"), None, false);
    check(&replace("stands", "3"), Some("ConditionalCheckFailed"), true);
    check(&replace("stands", "2"), Some("ConditionalCheckFailed"), true);
    check(&insert("stands"), Some("DuplicateItem"), false);
    check(&insert("new"), None, false);
    check(&remove("stands", "4"), None, false);
    check(&remove("stands", "3"), Some("ConditionalCheckFailed"), false);
    check(&remove("none", "3"), None, false);
}

#[test]
fn conditions_of_calls_are_held() {
    #[track_caller]
    fn check(condition: &str, key: &str, holds: bool) {
        let mut operations = operations(Faults::default());
        answer(&mut operations, "PutItem", &put("stands", "3")).unwrap();
        let mut call = put(key, "4");
        call["ConditionExpression"] = condition.into();
        call["ExpressionAttributeNames"] =
            json!({"#pk": "PK", "#sink": "_sink", "#version": "version"});
        call["ExpressionAttributeValues"] = json!({":version": text("4"), ":number": {"N": "4"}});
        call["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD".into();
        let (status, answer) = answer(&mut operations, "PutItem", &call).unwrap();
        assert_eq!(status, if holds { 200 } else { 400 }, "{condition}");
        let code = "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException";
        assert_eq!(answer["__type"] == code, !holds);
        assert_eq!(answer.get("Item").is_some(), !holds && key == "stands");
    }

    check("attribute_not_exists(#pk)", "new", true);
    check("attribute_not_exists(#pk)", "stands", false);
    check("attribute_exists(PK)", "stands", true);
    check("#sink.#version < :version", "stands", true);
    check("#sink.#version < :version", "new", false);
    check("#sink.#version = :version", "stands", false);
    check("NOT #sink.#version >= :version", "stands", true);
    check("#sink.#version < :number", "stands", false);
    check(
        "attribute_not_exists(#pk) OR (#sink.#version < :version AND #pk <> :version)",
        "stands",
        true,
    );
    check(
        "attribute_not_exists(#pk) OR (#sink.#version > :version AND #pk <> :version)",
        "stands",
        false,
    );
}

#[test]
fn a_transaction_is_all_or_nothing() {
    #[track_caller]
    fn check(key: &str, reasons: Option<[&str; 2]>, created: u64) {
        let mut operations = operations(Faults::default());
        answer(&mut operations, "PutItem", &put("stands", "3")).unwrap();
        operations.take_counts();
        let mut put = put(key, "4");
        put["ConditionExpression"] = "attribute_not_exists(PK)".into();
        let check = json!({
            "TableName": TOMBSTONES, "Key": {"PK": text(key), "SK": text(key)},
            "ConditionExpression": "attribute_not_exists(PK)",
        });
        let actions = json!({"TransactItems": [{"Put": put}, {"ConditionCheck": check}]});
        let (status, answer) = answer(&mut operations, "TransactWriteItems", &actions).unwrap();
        assert_eq!(status == 200, reasons.is_none());
        let found = answer["CancellationReasons"].as_array();
        let found =
            found.map(|reasons| reasons.iter().map(|reason| reason["Code"].as_str().unwrap()));
        assert_eq!(found.map(Iterator::collect::<Vec<_>>), reasons.map(|reasons| reasons.to_vec()));
        assert_eq!(operations.take_counts().created, created);
    }

    check("new", None, 1);
    check("stands", Some(["ConditionalCheckFailed", "None"]), 0);
}

/// A read of keys, whose items are projected in the first table only.
fn reads(items: &[&str], tombstones: &[&str]) -> Value {
    let keys = |keys: &[&str]| -> Vec<_> {
        keys.iter().map(|key| json!({"PK": text(key), "SK": text(key)})).collect()
    };
    let mut tables = json!({});
    if !items.is_empty() {
        tables[TABLE] = json!({
            "Keys": keys(items), "ProjectionExpression": "PK,SK,#s", "ExpressionAttributeNames": {"#s": "_sink"},
        });
    }
    if !tombstones.is_empty() {
        tables[TOMBSTONES] = json!({ "Keys": keys(tombstones) });
    }
    json!({ "RequestItems": tables })
}

#[test]
fn a_batch_reads_of_several_tables() {
    #[track_caller]
    fn check(items: &[&str], tombstones: &[&str], found: &[&str], buried: &[&str]) {
        let mut operations = operations(Faults::default());
        for key in ["a", "b"] {
            let mut item = put(key, "3");
            item["Item"]["payload"] = text("not asked for");
            answer(&mut operations, "PutItem", &item).unwrap();
        }
        let mut tombstone = put("b", "4");
        tombstone["TableName"] = TOMBSTONES.into();
        answer(&mut operations, "PutItem", &tombstone).unwrap();
        let (status, answer) =
            answer(&mut operations, "BatchGetItem", &reads(items, tombstones)).unwrap();
        let items = |keys: &[&str], version: &str| -> Vec<_> {
            let item = |key| json!({"PK": text(key), "SK": text(key), "_sink": sink(version)});
            keys.iter().map(|key| item(key)).collect()
        };
        let mut expected = json!({"Responses": {TABLE: items(found, "3")}, "UnprocessedKeys": {}});
        if !tombstones.is_empty() {
            expected["Responses"][TOMBSTONES] = items(buried, "4").into();
        }
        assert_eq!((status, answer), (200, expected));
    }

    check(&["a"], &[], &["a"], &[]);
    check(&["none"], &[], &[], &[]);
    check(&["b", "none", "a"], &["b", "none", "a"], &["b", "a"], &["b"]);
}

#[test]
fn read_units_follow_the_whole_item() {
    #[track_caller]
    fn check(body: &Value, halves: u64) {
        let mut operations = operations(Faults::default());
        for (key, bytes) in [("small", 1), ("large", 9000)] {
            let mut item = put(key, "3");
            item["Item"]["payload"] = text(&"x".repeat(bytes));
            answer(&mut operations, "PutItem", &item).unwrap();
        }
        operations.take_counts();
        answer(&mut operations, "BatchGetItem", body).unwrap();
        let expected = Counts { requests: 1, half_read_units: halves, ..Counts::default() };
        assert_eq!(operations.take_counts(), expected);
    }

    check(&reads(&["small"], &[]), 1);
    check(&reads(&["none"], &[]), 1);
    check(&reads(&["large"], &[]), 3);
    check(&reads(&["small", "none", "large"], &["none", "small"]), 7);
    let mut told = reads(&["large"], &["small"]);
    told["ReturnConsumedCapacity"] = "TOTAL".into();
    let (_, answer) = answer(&mut operations(Faults::default()), "BatchGetItem", &told).unwrap();
    let consumed = |table| json!({"TableName": table, "CapacityUnits": 0.5});
    assert_eq!(answer["ConsumedCapacity"], json!([consumed(TABLE), consumed(TOMBSTONES)]));
    let mut consistent = reads(&["large"], &[]);
    consistent["RequestItems"][TABLE]["ConsistentRead"] = true.into();
    check(&consistent, 6);
}

#[test]
fn write_units_of_transactions_are_doubled() {
    /// What a transaction is charged that inserts at these keys, with a check of each tombstone.
    #[track_caller]
    fn check(keys: &[&str], units: u64) {
        let mut operations = operations(Faults::default());
        for table in [TABLE, TOMBSTONES] {
            let mut item = put("stands", "3");
            item["TableName"] = table.into();
            item["Item"]["a"] = text(&"x".repeat(3000));
            answer(&mut operations, "PutItem", &item).unwrap();
        }
        operations.take_counts();
        let actions = keys.iter().flat_map(|key| {
            let mut put = put(key, "4");
            put["Item"]["a"] = text(&"x".repeat(1500));
            put["ConditionExpression"] = "attribute_not_exists(PK)".into();
            let check = json!({
                "TableName": TOMBSTONES, "Key": {"PK": text(key), "SK": text(key)},
                "ConditionExpression": "attribute_not_exists(PK)",
            });
            [json!({ "Put": put }), json!({ "ConditionCheck": check })]
        });
        let body = json!({"TransactItems": actions.collect::<Vec<_>>()});
        answer(&mut operations, "TransactWriteItems", &body).unwrap();
        assert_eq!(operations.take_counts().write_units, units);
    }

    // A put of two units and a check of nothing.
    check(&["new"], 4 + 2);
    check(&["new", "other"], 12);
    // A refused put and a refused check of three units each.
    check(&["stands"], 6 + 6);
    // What is cancelled for the other's sake costs what it would have cost.
    check(&["new", "stands"], 6 + 12);
}

#[test]
fn write_units_follow_the_larger_item() {
    #[track_caller]
    fn check(operation: &str, body: &Value, units: u64) {
        let mut operations = operations(Faults::default());
        let mut large = put("large", "3");
        large["Item"]["a"] = text(&"x".repeat(3000));
        answer(&mut operations, "PutItem", &large).unwrap();
        assert_eq!(operations.take_counts().write_units, 3);
        answer(&mut operations, operation, body).unwrap();
        assert_eq!(operations.take_counts().write_units, units);
    }

    let statements = |statement: Value| json!({ "Statements": [statement] });
    let batch = "BatchExecuteStatement";
    check("PutItem", &put("new", "1"), 1);
    check("PutItem", &put("large", "1"), 3);
    check(batch, &statements(replace("large", "4")), 3);
    check(batch, &statements(replace("large", "2")), 3);
    check(batch, &statements(replace("none", "2")), 1);
    check(batch, &statements(insert("large")), 3);
    check(batch, &statements(remove("large", "4")), 3);
    check("TransactWriteItems", &json!({"TransactItems": [{"Put": put("large", "1")}]}), 6);
    let requests = json!({ TABLE: [{"PutRequest": {"Item": put("new", "1")["Item"]}}] });
    check("BatchWriteItem", &json!({ "RequestItems": requests }), 1);
    let key = json!({"PK": text("large"), "SK": text("large")});
    check("DeleteItem", &json!({"TableName": TABLE, "Key": key}), 3);
}

#[test]
fn a_wrong_request_is_told() {
    #[track_caller]
    fn check(operation: &str, body: &Value, expected: &str) {
        let mut operations = operations(Faults::default());
        assert_eq!(answer(&mut operations, operation, body).unwrap_err(), expected);
    }

    let batch = "BatchExecuteStatement";
    check("Query", &json!({}), "the stub doesn't know the operation `Query`: try a real endpoint");
    check(batch, &json!({}), "a request's body is malformed at line 1, column 2");
    check(batch, &json!({"Statements": []}), "a batch has 0 statements");
    check(batch, &json!({"Statements": vec![insert("a"); 26]}), "a batch has 26 statements");
    check(
        batch,
        &json!({"Statements": [insert("a"), insert("a")]}),
        "a batch has two statements for one key",
    );
    let mut few = insert("a");
    few["Parameters"].as_array_mut().unwrap().pop();
    check(
        batch,
        &json!({"Statements": [few]}),
        "a statement has 3 question marks and 2 parameters",
    );
    let mut malformed = insert("a");
    malformed["Parameters"][2] = json!({"S": 1});
    check(batch, &json!({"Statements": [malformed]}), "an attribute's value is malformed");
    check("PutItem", &json!({"TableName": "t", "Item": {}}), "there is no table `t`");
    let get = "BatchGetItem";
    let many: Vec<_> = (0..60).map(|number| number.to_string()).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    check(get, &reads(&many, &many[..41]), "a batch reads 101 keys of 2 tables");
    check(get, &reads(&[], &[]), "a batch reads 0 keys of 0 tables");
    let empty = json!({"RequestItems": {TABLE: {"Keys": []}}});
    check(get, &empty, "a batch reads 0 keys of 1 tables");
    check(get, &reads(&["a", "b", "a"], &["a"]), "a batch reads one key twice");
    let mut wrong = reads(&["a"], &[]);
    wrong["RequestItems"][TABLE]["ProjectionExpression"] = "PK,#t".into();
    check(get, &wrong, "the name `#t` is not given");
    wrong["RequestItems"][TABLE]["ProjectionExpression"] = "#s.version".into();
    check(get, &wrong, "the end was expected at byte 2");
    wrong["RequestItems"][TABLE]["Keys"][0] = json!({"PK": text("a")});
    wrong["RequestItems"][TABLE]["ProjectionExpression"] = "PK".into();
    check(get, &wrong, "a `Key` has other attributes than the table's key");
    let unknown = json!({"RequestItems": {"t": {"Keys": [{"PK": text("a")}]}}});
    check(get, &unknown, "there is no table `t`");
    check("PutItem", &json!({"TableName": TABLE, "Item": {}}), "the key attribute `PK` is missing");
    check("PutItem", &put("", "1"), "the key attribute `PK` is no filled string");
    let mut large = put("a", "1");
    large["Item"]["a"] = text(&"x".repeat(400 * 1024));
    check("PutItem", &large, "an item has 409624 bytes: 409600 are allowed");
}

#[test]
fn tables_are_described() {
    let mut operations = operations(Faults::default());
    let (_, table) =
        answer(&mut operations, "DescribeTable", &json!({"TableName": TABLE})).unwrap();
    assert_eq!(table["Table"]["KeySchema"][1], json!({"AttributeName": "SK", "KeyType": "RANGE"}));
    let (status, error) =
        answer(&mut operations, "DescribeTable", &json!({"TableName": "t"})).unwrap();
    assert_eq!(status, 400);
    assert_eq!(error["__type"], "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException");
    assert_eq!(operations.take_counts(), Counts::default(), "a description costs nothing");
}

#[test]
fn a_share_does_not_go_through() {
    #[track_caller]
    fn check(faults: Faults, code: &str) {
        let mut operations = operations(faults);
        let (mut requests, mut statements) = (0, 0);
        for number in 0..200 {
            let body = json!({"Statements": [insert(&number.to_string())]});
            let (status, answer) = answer(&mut operations, "BatchExecuteStatement", &body).unwrap();
            requests += usize::from(status != 200);
            statements += usize::from(answer["Responses"][0]["Error"]["Code"] == code);
        }
        assert!((40..80).contains(&requests), "{requests}");
        assert!((25..60).contains(&statements), "{statements}");
    }

    check(Faults { refused: 0.3, throttled: 0.0 }, "InternalServerError");
    check(Faults { refused: 0.0, throttled: 0.3 }, "ThrottlingError");
}
