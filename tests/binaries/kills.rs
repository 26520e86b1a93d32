//! Environments that end in the middle of a batch.

use dynamo_sink::sink::Sink;
use local::runtime_api::Answer;
use serde_json::{Value, json};

use crate::support::{
    APPIAN, Act, Applied, Event, Proxy, QUARANTINE, Record, SEATOOL, TOMBSTONES, TestDynamoDb,
    dynamodb,
    function::{function, no_failures},
};

/// Sends `events`. Before or after each request that the last one takes, in turn, the environment is killed while it
/// waits for the answer. The same event, delivered again to a fresh environment, must leave the tables as if there had
/// been no kill.
async fn check(sink: Sink, statements: &str, events: &[Event], least_requests: usize) {
    let changes = [("DYNAMODB_STATEMENTS_PER_REQUEST", statements)];
    let (last, firsts) = events.split_last().unwrap();

    let expected = dynamodb().await;
    let proxy = Proxy::counting(&expected).await;
    let function_of_all = function(&sink, &proxy.endpoint(), &changes);
    for event in firsts {
        assert_eq!(function_of_all.invoke(event.json()).await.unwrap().answer, no_failures());
    }
    let before = proxy.requests().len();
    assert_eq!(function_of_all.invoke(last.json()).await.unwrap().answer, no_failures());
    let requests = proxy.requests().len() - before;
    assert!(requests >= least_requests, "{requests} requests with {statements} statements");

    for kill_at in 0..requests {
        for applied in [Applied::No, Applied::Yes] {
            let dynamodb = dynamodb().await;
            let silent = before + kill_at;
            let proxy = Proxy::start(&dynamodb, move |request| match request.number {
                number if number == silent => Act::Silence(applied),
                _ => Act::Pass,
            })
            .await;
            let function = function(&sink, &proxy.endpoint(), &changes);
            for event in firsts {
                assert_eq!(function.invoke(event.json()).await.unwrap().answer, no_failures());
            }
            let kill = async {
                proxy.silence().await;
                function.kill_environments();
            };
            let (killed, ()) = tokio::join!(function.invoke(last.json()), kill);
            let killed = killed.unwrap();
            let at = format!("request {kill_at} of {requests}, applied: {applied:?}");
            let end = Answer::EnvironmentGone("signal: 9 (SIGKILL)".to_owned());
            assert_eq!(killed.answer, end, "{at}");

            let again = function.invoke(last.json()).await.unwrap();
            assert_eq!((&again.answer, again.cold_start), (&no_failures(), true), "{at}");
            assert_eq!(tables(&dynamodb), tables(&expected), "{at}");
        }
    }
}

/// All tables' items, without what depends on the time and the number of deliveries.
fn tables(dynamodb: &TestDynamoDb) -> Vec<Value> {
    let mut items = Vec::new();
    for table in [APPIAN, SEATOOL, TOMBSTONES, QUARANTINE] {
        items.extend(dynamodb.items(table));
    }
    for item in &mut items {
        let members = item.as_object_mut().unwrap();
        members.retain(|name, _| !["attempts", "expiresAt", "firstSeen"].contains(&name.as_str()));
    }
    items
}

fn seatool(key: &str, offset: i64, value: &Value) -> Record {
    Record::seatool(key, 0, offset, 1000 + offset, Some(value))
}

fn deleted(key: &str, offset: i64) -> Record {
    Record::seatool(key, 0, offset, 1000 + offset, None)
}

#[tokio::test]
async fn a_killed_seatool_batch_is_mended_by_its_redelivery() {
    let mut poison = deleted("poison", 17);
    poison.value = Some(vec![b'x'; 600 * 1024]);
    let events = [
        Event::new([
            seatool("same shape", 1, &json!({"a": 1})),
            seatool("other shape", 2, &json!({"a": 1})),
            seatool("deleted", 3, &json!({"a": 1})),
            deleted("back again", 4),
        ]),
        Event::new([
            seatool("same shape", 11, &json!({"a": 2})),
            seatool("other shape", 12, &json!({"b": 2})),
            deleted("deleted", 13),
            seatool("back again", 14, &json!({"a": 2})),
            seatool("new", 15, &json!({"a": 2})),
            deleted("new and deleted", 16),
            poison,
            seatool("new and updated", 18, &json!({"a": 2})),
            seatool("new and updated", 19, &json!({"a": 3})),
        ]),
    ];
    check(sink_seatool_data::SINK, "25", &events, 7).await;
    check(sink_seatool_data::SINK, "1", &events, 12).await;
}

#[tokio::test]
async fn a_killed_appian_batch_is_mended_by_its_redelivery() {
    let mut poison = Record::appian(9, 30, 0, 14, json!({}));
    poison.value = None;
    let events = [
        Event::new([
            Record::appian(1, 10, 0, 1, json!({"a": 1})),
            Record::appian(2, 10, 1, 1, json!({"a": 1})),
        ]),
        Event::new([
            Record::appian(1, 20, 0, 11, json!({"b": 2})),
            Record::appian(2, 5, 0, 12, json!({"a": 2})),
            Record::appian(3, 20, 0, 13, json!({"a": 2})),
            poison,
            Record::appian(3, 30, 1, 11, json!({"a": 3})),
        ]),
    ];
    check(sink_appian_data::SINK, "25", &events, 3).await;
    check(sink_appian_data::SINK, "1", &events, 4).await;
}
