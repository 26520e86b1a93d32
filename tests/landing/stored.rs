//! What is stored, to the letter: readers and later releases rely on it.

use dynamo_sink::outcome::Outcome;
use serde_json::{Value, json};

use crate::support::{
    APPIAN, Change, Event, Record, SEATOOL, TOMBSTONES, dynamodb, dynamodb_with_streams, handler,
    land,
};

fn seatool(offset: i64, value: Option<&Value>) -> Record {
    Record::seatool("MD-22-0001", 2, offset, 1_763_700_000_000 + offset, value)
}

#[tokio::test]
async fn items_and_tombstones_are_the_same_in_every_release() {
    let dynamodb = dynamodb().await;
    let epoch = [("EPOCH", "12")];
    let mut appian = handler(&dynamodb.endpoint(), sink_appian_data::SINK, &epoch).await;
    let payload = json!({"SPA_ID": "MD-22-0001", "DLTD_FLAG": 1, "NOTES": null});
    let row = Record::appian(21782, 1_763_700_000_123, 1, 40211, payload);
    assert_eq!(land(&mut appian, &Event::new([row])).await.summary.outcomes, [Outcome::Written]);
    assert_eq!(
        dynamodb.items(APPIAN),
        [json!({
            "PK": {"S": "21782"},
            "SK": {"S": "21782"},
            "payload": {"M": {
                "PCKG_ID": {"N": "21782"},
                "REPLICA_TIMESTAMP": {"N": "1763700000123"},
                "SPA_ID": {"S": "MD-22-0001"},
                "DLTD_FLAG": {"N": "1"},
                "NOTES": {"NULL": true},
            }},
            "_sink": {"M": {
                "version": {"S": "000000001200000001763700000123000000017000000402110000000000000000000100000000000000040211"},
                "topic": {"S": "aws.appian.cmcs.MCP_SPA_PCKG"},
                "partition": {"N": "1"},
                "offset": {"N": "40211"},
                "timestamp": {"N": "1700000040211"},
                "shape": {"S": "6662f361f2461d352742385fb8d3b55f"},
            }},
        })]
    );

    let mut seatool_handler = handler(&dynamodb.endpoint(), sink_seatool_data::SINK, &epoch).await;
    let value = json!({"STATE_PLAN": {"ID_NUMBER": "MD-22-0001", "ACTIONS": [1.5, true, {}]}, "VERSION": "2"});
    let event = Event::new([seatool(7, Some(&value))]);
    assert_eq!(land(&mut seatool_handler, &event).await.summary.outcomes, [Outcome::Written]);
    assert_eq!(
        dynamodb.items(SEATOOL),
        [json!({
            "PK": {"S": "MD-22-0001"},
            "SK": {"S": "MD-22-0001"},
            "STATE_PLAN": {"M": {
                "ID_NUMBER": {"S": "MD-22-0001"},
                "ACTIONS": {"L": [{"N": "1.5"}, {"BOOL": true}, {"M": {}}]},
            }},
            "VERSION": {"S": "2"},
            "_sink": {"M": {
                "version": {"S": "000000001200000000000000000007"},
                "topic": {"S": "aws.ksqldb.seatool.agg.State_Plan"},
                "partition": {"N": "2"},
                "offset": {"N": "7"},
                "timestamp": {"N": "1763700000007"},
                "shape": {"S": "e453aa9bf35d4076f0eafe1ce322ba65"},
            }},
        })]
    );

    let event = Event::new([seatool(8, None)]);
    assert_eq!(land(&mut seatool_handler, &event).await.summary.outcomes, [Outcome::Deleted]);
    assert_eq!(dynamodb.items(SEATOOL), Vec::<Value>::new());
    let mut tombstones = dynamodb.items(TOMBSTONES);
    assert!(tombstones[0]["expiresAt"]["N"].take().is_string());
    assert_eq!(
        tombstones,
        [json!({
            "PK": {"S": "MD-22-0001"},
            "SK": {"S": "MD-22-0001"},
            "version": {"S": "000000001200000000000000000008"},
            "topic": {"S": "aws.ksqldb.seatool.agg.State_Plan"},
            "partition": {"N": "2"},
            "offset": {"N": "8"},
            "timestamp": {"N": "1763700000008"},
            "expiresAt": {"N": null},
        })]
    );
}

/// Each service shows the stored item in another way when its statement is refused.
#[tokio::test]
async fn whatever_is_stored_can_be_compared_with() {
    let values = [
        r#"{"a":{}}"#,
        r#"{"a":[]}"#,
        r#"{"a":[{}]}"#,
        r#"{"a":[[],[[{}]]]}"#,
        r#"{"a":{"c":[{"b":{}},null]}}"#,
        r#"{"a":""}"#,
        r#"{"a":null,"b":[null,true]}"#,
        r#"{"a":-0.10,"b":[1e-100,9.9e125]}"#,
        r#"{"a":"\u0000\u2028🦀","b":{"\ud83e\udd80":{}}}"#,
        r#"{"dotted.name":[{}]}"#,
    ]
    .map(|text| serde_json::from_str::<Value>(text).unwrap());
    for value in values {
        let dynamodb = dynamodb().await;
        let mut handler = handler(&dynamodb.endpoint(), sink_seatool_data::SINK, &[]).await;
        for (offset, outcome) in
            [(2, Outcome::Written), (2, Outcome::Duplicate), (1, Outcome::Stale)]
        {
            let event = Event::new([seatool(offset, Some(&value))]);
            assert_eq!(land(&mut handler, &event).await.summary.outcomes, [outcome], "{value}");
        }
    }
}

#[tokio::test]
async fn a_redriven_record_keeps_its_epoch() {
    for statements in ["25", "1"] {
        let dynamodb = dynamodb().await;
        let settings = [("EPOCH", "7"), ("DYNAMODB_STATEMENTS_PER_REQUEST", statements)];
        let mut handler = handler(&dynamodb.endpoint(), sink_seatool_data::SINK, &settings).await;
        let (old, new) = (json!({"a": "old"}), json!({"a": "new"}));
        let redriven = |offset, value| Record { epoch: Some(5), ..seatool(offset, value) };

        let mut send =
            async |record| land(&mut handler, &Event::new([record])).await.summary.outcomes;
        assert_eq!(send(redriven(90, Some(&old))).await, [Outcome::Written]);
        let version = |table| dynamodb.items(table)[0].clone();
        let item = version(SEATOOL);
        assert_eq!(item["_sink"]["M"]["version"]["S"], "000000000500000000000000000090");

        // What the running epoch wrote is never outranked, by an item or by a delete.
        assert_eq!(send(seatool(3, Some(&new))).await, [Outcome::Written]);
        assert_eq!(send(redriven(91, Some(&old))).await, [Outcome::Stale]);
        assert_eq!(send(redriven(92, None)).await, [Outcome::Stale]);
        assert_eq!(version(SEATOOL)["a"]["S"], "new");
        assert_eq!(version(TOMBSTONES)["version"]["S"], "000000000500000000000000000092");
        assert_eq!(send(seatool(4, None)).await, [Outcome::Deleted]);
        assert_eq!(send(redriven(93, Some(&old))).await, [Outcome::Stale]);
        assert_eq!(dynamodb.items(SEATOOL), Vec::<Value>::new());
    }
}

/// A later release may have added a member to `_sink` before it was rolled back.
#[tokio::test]
async fn a_member_of_a_later_release_is_no_obstacle() {
    let other_lineage =
        |value: Option<&Value>| Record::seatool("MD-22-0001", 3, 1, 1_763_700_000_099, value);
    let (same_shape, other_shape) = (json!({"a": 2}), json!({"b": 2}));
    for statements in ["25", "1"] {
        for (record, outcome) in [
            (seatool(2, Some(&same_shape)), Outcome::Written),
            (seatool(2, Some(&other_shape)), Outcome::Written),
            (seatool(2, None), Outcome::Deleted),
            (other_lineage(Some(&same_shape)), Outcome::Written),
            (other_lineage(None), Outcome::Deleted),
        ] {
            let dynamodb = dynamodb().await;
            let settings = [("DYNAMODB_STATEMENTS_PER_REQUEST", statements)];
            let mut handler =
                handler(&dynamodb.endpoint(), sink_seatool_data::SINK, &settings).await;
            let first = seatool(1, Some(&json!({"a": 1})));
            assert!(land(&mut handler, &Event::new([first])).await.answer.is_ok());
            let mut item = dynamodb.items(SEATOOL).remove(0);
            item["_sink"]["M"]["later"] = json!({"S": "x"});
            dynamodb.put(SEATOOL, &item);

            let landed = land(&mut handler, &Event::new([record])).await;
            assert_eq!(landed.summary.outcomes, [outcome]);
        }
    }
}

/// Both transports take the same items for this sink's own.
#[tokio::test]
async fn an_item_whose_sink_has_no_shape_is_left_alone() {
    for statements in ["25", "1"] {
        let dynamodb = dynamodb().await;
        let settings = [("DYNAMODB_STATEMENTS_PER_REQUEST", statements)];
        let mut handler = handler(&dynamodb.endpoint(), sink_seatool_data::SINK, &settings).await;
        let value = json!({"a": 1});
        let put_at = |offset| Event::new([seatool(offset, Some(&value))]);
        assert!(land(&mut handler, &put_at(1)).await.answer.is_ok());
        let mut item = dynamodb.items(SEATOOL).remove(0);
        item["_sink"]["M"].as_object_mut().unwrap().remove("shape");
        dynamodb.put(SEATOOL, &item);

        assert_eq!(land(&mut handler, &put_at(2)).await.summary.outcomes, [Outcome::Failed]);
        assert_eq!(dynamodb.items(SEATOOL), [item]);
    }
}

/// A workflow starts for each entry of the Appian table's stream.
#[tokio::test]
async fn readers_of_the_stream_see_each_state_once() {
    for statements in ["25", "1"] {
        let dynamodb = dynamodb_with_streams().await;
        let settings = [("DYNAMODB_STATEMENTS_PER_REQUEST", statements)];
        let mut handler = handler(&dynamodb.endpoint(), sink_appian_data::SINK, &settings).await;
        let row = |source_time: i64, partition, offset| {
            Record::appian(1, source_time, partition, offset, json!({}))
        };
        let events = [
            Event::new([row(10, 0, 1), row(20, 0, 2)]),
            Event::new([row(10, 0, 1), row(20, 0, 2)]),
            Event::new([row(15, 1, 1)]),
            Event::new([row(30, 1, 2), row(25, 0, 3)]),
            Event::new([row(10, 0, 1), row(20, 0, 2), row(15, 1, 1), row(30, 1, 2), row(25, 0, 3)]),
        ];
        for event in &events {
            assert!(land(&mut handler, event).await.answer.is_ok());
        }
        let time = |image: &Option<Value>| {
            let payload = image.as_ref().map(|image| &image["payload"]["M"]);
            payload.map(|payload| payload["REPLICA_TIMESTAMP"]["N"].as_str().unwrap().to_owned())
        };
        let seen: Vec<_> = dynamodb
            .changes(APPIAN)
            .iter()
            .map(|Change { old, new }| (time(old), time(new)))
            .collect();
        let (first, second) = (Some("20".to_owned()), Some("30".to_owned()));
        assert_eq!(seen, [(None, first.clone()), (first, second)]);
    }
}
