//! What a batch costs: the requests that reach the endpoint, and how large they are.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    sync::Arc,
};

use dynamo_sink::{handler::Handler, outcome::Outcome, sink::Sink};
use serde_json::{Value, json};

use crate::support::{Event, Proxy, Record, Request, TestDynamoDb, dynamodb, handler, land};

/// A handler behind a proxy that counts.
struct Counted {
    proxy: Proxy,
    handler: Handler,
    /// Kept, since it ends when it is dropped.
    _dynamodb: TestDynamoDb,
}

impl Counted {
    async fn start(sink: Sink, settings: &[(&str, &str)]) -> Self {
        let dynamodb = dynamodb().await;
        let proxy = Proxy::counting(&dynamodb).await;
        let handler = handler(&proxy.endpoint(), sink, settings).await;
        Self { proxy, handler, _dynamodb: dynamodb }
    }

    /// Sends an event, of which each record must have `outcome`, and returns the requests that it took.
    async fn send(&mut self, event: &Event, outcome: Outcome) -> Vec<Arc<Request>> {
        let (outcomes, requests) = self.land(event).await;
        assert_eq!(outcomes, vec![outcome; event.records.len()]);
        requests
    }

    async fn land(&mut self, event: &Event) -> (Vec<Outcome>, Vec<Arc<Request>>) {
        let n_before = self.proxy.requests().len();
        let landed = land(&mut self.handler, event).await;
        assert!(landed.answer.is_ok());
        let requests = self.proxy.requests().split_off(n_before);
        assert_eq!(u64::try_from(requests.len()).unwrap(), landed.summary.requests);
        for request in &requests {
            check_limits(request);
        }
        (landed.summary.outcomes, requests)
    }
}

/// What DynamoDB allows of a request.
fn check_limits(request: &Request) {
    let megabytes = if request.operation == STATEMENTS { 1 } else { 4 };
    assert!(request.bytes <= megabytes * 1024 * 1024, "{} bytes", request.bytes);
    let parts = request.parts();
    match request.operation.as_str() {
        "BatchExecuteStatement" => assert!((1..=25).contains(&parts.len())),
        "TransactWriteItems" => assert!((1..=100).contains(&parts.len())),
        _ => {}
    }
    let keys: Vec<String> = parts.iter().map(key).collect();
    assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len(), "one write of each key");
}

/// The item that a part of a request is about.
fn key(part: &Value) -> String {
    if let Some(statement) = part["Statement"].as_str() {
        // The key stands first in an insert, and behind what is set in an update.
        let parameters = part["Parameters"].as_array().unwrap();
        let text_before = statement.split_once("\"PK\"=?").map_or("", |(before, _)| before);
        let table = statement.split('"').nth(1).unwrap();
        return format!("{table} {}", parameters[text_before.matches("=?").count()]);
    }
    let action = part.as_object().unwrap().values().next().unwrap();
    let key = if action["Key"].is_null() { &action["Item"]["PK"] } else { &action["Key"]["PK"] };
    format!("{} {key}", action["TableName"])
}

/// How many requests of each operation there are.
fn operations(requests: &[Arc<Request>]) -> Vec<(&str, usize)> {
    let mut counts = BTreeMap::new();
    for request in requests {
        *counts.entry(request.operation.as_str()).or_default() += 1;
    }
    counts.into_iter().collect()
}

const STATEMENTS: &str = "BatchExecuteStatement";
const TRANSACTION: &str = "TransactWriteItems";
const PUT: &str = "PutItem";
const LOOK: &str = "BatchGetItem";

/// 1,000 states of as many keys, over four partitions.
fn thousand(round: i64, record: impl Fn(i64, i32, i64) -> Record) -> Event {
    Event::new(
        (0..1000).map(|number| {
            record(number, i32::try_from(number % 4).unwrap(), round * 1000 + number)
        }),
    )
}

/// The same of 100 keys.
fn hundred(round: i64, record: impl Fn(i64, i32, i64) -> Record) -> Event {
    let mut event = thousand(round, record);
    event.records.truncate(100);
    event
}

fn appian_row(number: i64, partition: i32, offset: i64) -> Record {
    let payload = json!({"SPA_ID": "MD-22-0001", "NOTES": "n".repeat(1500)});
    Record::appian(number.try_into().unwrap(), offset, partition, offset, payload)
}

fn seatool_state(value: Option<&Value>) -> impl Fn(i64, i32, i64) -> Record {
    move |number, partition, offset| {
        Record::seatool(&format!("MD-{number}"), partition, offset, offset, value)
    }
}

#[tokio::test]
async fn a_thousand_rows_of_appian_share_their_requests() {
    let mut counted = Counted::start(sink_appian_data::SINK, &[]).await;
    // The first three requests tell that the keys are new.
    let new = counted.send(&thousand(0, appian_row), Outcome::Written).await;
    check(&new, &[(STATEMENTS, 40..=43)]);
    // They come again: few are refused, and at the others it is looked.
    let duplicates = counted.send(&thousand(0, appian_row), Outcome::Duplicate).await;
    check(&duplicates, &[(STATEMENTS, 3..=5), (LOOK, 9..=10)]);
    let duplicates = counted.send(&thousand(0, appian_row), Outcome::Duplicate).await;
    check(&duplicates, &[(LOOK, 10..=10)]);
    // What is learnt of a replay's end costs reads only.
    let updates = counted.send(&thousand(1, appian_row), Outcome::Written).await;
    check(&updates, &[(STATEMENTS, 40..=40), (LOOK, 1..=10)]);
    let updates = counted.send(&thousand(2, appian_row), Outcome::Written).await;
    check(&updates, &[(STATEMENTS, 40..=40)]);
    let stale = counted.send(&thousand(0, appian_row), Outcome::Stale).await;
    check(&stale, &[(STATEMENTS, 3..=5), (LOOK, 9..=10)]);
}

/// Events of a thousand new keys each.
fn new_thousand(round: i64, record: impl Fn(i64, i32, i64) -> Record) -> Event {
    thousand(round, |number, partition, offset| record(1000 * round + number, partition, offset))
}

#[tokio::test]
async fn keys_that_are_new_are_learnt_and_inserted_first() {
    let mut counted = Counted::start(sink_appian_data::SINK, &[]).await;
    // It is learnt of the first requests.
    for (round, most) in [(0, 43), (1, 40), (2, 40)] {
        let new = counted.send(&new_thousand(round, appian_row), Outcome::Written).await;
        check(&new, &[(STATEMENTS, 40..=most)]);
    }

    let mut counted = Counted::start(sink_seatool_data::SINK, &[]).await;
    let value = json!({"a": 1});
    let state = || seatool_state(Some(&value));
    let new = counted.send(&new_thousand(0, state()), Outcome::Written).await;
    check(&new, &[(STATEMENTS, 3..=3), (TRANSACTION, NEW_TRANSACTIONS)]);
    for round in [1, 2] {
        let new = counted.send(&new_thousand(round, state()), Outcome::Written).await;
        check(&new, &[(TRANSACTION, 20..=20)]);
    }
    // What comes again is not taken for new.
    let mut duplicates = new_thousand(1, state());
    duplicates.records.truncate(50);
    let duplicates = counted.send(&duplicates, Outcome::Duplicate).await;
    check(&duplicates, &[(STATEMENTS, 2..=2)]);
    let duplicates = counted.send(&new_thousand(1, state()), Outcome::Duplicate).await;
    check(&duplicates, &[(LOOK, 20..=20)]);
}

/// A thousand new keys are inserted by full transactions; a few that are not full set off where answers take longer
/// than these wait for company.
const NEW_TRANSACTIONS: RangeInclusive<usize> = 20..=23;

/// These operations were asked for, each as often as is said.
#[track_caller]
fn check(requests: &[Arc<Request>], expected: &[(&str, RangeInclusive<usize>)]) {
    let operations = operations(requests);
    let is_met = |(found, expected): (&(&str, usize), &(&str, RangeInclusive<usize>))| {
        found.0 == expected.0 && expected.1.contains(&found.1)
    };
    let is_all = operations.len() == expected.len() && operations.iter().zip(expected).all(is_met);
    assert!(is_all, "{operations:?} instead of {expected:?}");
}

#[tokio::test]
async fn a_thousand_states_of_seatool_share_their_requests() {
    let mut counted = Counted::start(sink_seatool_data::SINK, &[]).await;
    let value = json!({"STATE_PLAN": {"ID_NUMBER": "MD-22-0001", "MEMO": "n".repeat(4000)}});
    let state = || seatool_state(Some(&value));
    let new = counted.send(&thousand(0, state()), Outcome::Written).await;
    check(&new, &[(STATEMENTS, 3..=3), (TRANSACTION, NEW_TRANSACTIONS)]);
    // What comes again is not taken for new, and the first of it tells of the rest.
    let duplicates = counted.send(&thousand(0, state()), Outcome::Duplicate).await;
    check(&duplicates, &[(STATEMENTS, 3..=5), (LOOK, 17..=19)]);
    let duplicates = counted.send(&thousand(0, state()), Outcome::Duplicate).await;
    check(&duplicates, &[(LOOK, 20..=20)]);
    for (round, looks) in [(1, Some((LOOK, 1..=20))), (2, None)] {
        let updates = counted.send(&thousand(round, state()), Outcome::Written).await;
        let statements = (STATEMENTS, 40..=40);
        check(&updates, &[statements].into_iter().chain(looks).collect::<Vec<_>>());
    }

    // A tombstone, then the item.
    let deletes = counted.send(&thousand(3, seatool_state(None)), Outcome::Deleted).await;
    check(&deletes, &[(STATEMENTS, 80..=80)]);
    // The tombstone is found, then what it is, then the item is removed, should it still be there.
    let again = counted.send(&thousand(3, seatool_state(None)), Outcome::Duplicate).await;
    check(&again, &[(STATEMENTS, 120..=120)]);
    // What was deleted since is stale, and a look is enough to tell.
    let old = counted.send(&thousand(0, state()), Outcome::Stale).await;
    check(&old, &[(STATEMENTS, 3..=8), (LOOK, 16..=20), (TRANSACTION, 1..=4)]);
}

#[tokio::test]
async fn without_statements_each_record_goes_by_itself() {
    let settings = [("DYNAMODB_STATEMENTS_PER_REQUEST", "1")];
    let mut counted = Counted::start(sink_appian_data::SINK, &settings).await;
    let new = counted.send(&hundred(0, appian_row), Outcome::Written).await;
    assert!(new.len() < 200, "what is learnt of the first counts for the last");
    assert_eq!(operations(&new), [(PUT, new.len())]);
    let duplicates = counted.send(&hundred(0, appian_row), Outcome::Duplicate).await;
    assert_eq!(operations(&duplicates), [(PUT, 100)]);
    let updates = counted.send(&hundred(1, appian_row), Outcome::Written).await;
    assert_eq!(operations(&updates), [(PUT, 100)]);

    let mut counted = Counted::start(sink_seatool_data::SINK, &settings).await;
    let value = json!({"a": 1});
    let new = counted.send(&hundred(0, seatool_state(Some(&value))), Outcome::Written).await;
    check(&new, &[(PUT, 25..=60), (TRANSACTION, 100..=100)]);
    let deletes = counted.send(&hundred(1, seatool_state(None)), Outcome::Deleted).await;
    assert_eq!(operations(&deletes), [("DeleteItem", 100), (PUT, 100)]);
}

#[tokio::test]
async fn fewer_statements_a_request_are_kept_to() {
    let settings = [("DYNAMODB_STATEMENTS_PER_REQUEST", "10")];
    let mut counted = Counted::start(sink_appian_data::SINK, &settings).await;
    for round in [0, 1] {
        let new = counted.send(&new_thousand(round, appian_row), Outcome::Written).await;
        assert!(new.iter().all(|request| request.parts().len() == 10));
        check(&new, &[(STATEMENTS, if round == 0 { 100..=110 } else { 100..=100 })]);
    }
}

#[tokio::test]
async fn statements_have_at_most_1_mb_and_transactions_4() {
    let text = "n".repeat(300_000);
    let mut counted = Counted::start(sink_appian_data::SINK, &[]).await;
    let row = |number: i64| {
        Record::appian(number.try_into().unwrap(), 1, 0, number, json!({"NOTES": text}))
    };
    let new = counted.send(&Event::new((0..30).map(row)), Outcome::Written).await;
    // Three of them are less than 1,048,576 bytes, four are more.
    assert_eq!(sizes(&new, STATEMENTS), [3; 20]);

    let mut counted = Counted::start(sink_seatool_data::SINK, &[]).await;
    let value = json!({"MEMO": text});
    let state = |number: i64| Record::seatool(&number.to_string(), 0, number, number, Some(&value));
    let new = counted.send(&Event::new((0..30).map(state)), Outcome::Written).await;
    assert_eq!(sizes(&new, STATEMENTS), [3; 10]);
    // 13 of them are less than 4,194,304 bytes, 14 are more, and each has a check of its tombstone.
    assert_eq!(sizes(&new, TRANSACTION), [8, 26, 26]);
}

/// How many parts the requests of an operation have, which may come in any order.
fn sizes(requests: &[Arc<Request>], operation: &str) -> Vec<usize> {
    let requests = requests.iter().filter(|request| request.operation == operation);
    let mut sizes: Vec<_> = requests.map(|request| request.parts().len()).collect();
    sizes.sort_unstable();
    sizes
}

#[tokio::test]
async fn repeated_keys_cost_one_write() {
    let mut counted = Counted::start(sink_seatool_data::SINK, &[]).await;
    let value = json!({"a": 1});
    let states = |keys: i64, first: i64| {
        let state = |number| {
            let key = format!("MD-{}", number % keys);
            Record::seatool(&key, 0, first + number, first + number, Some(&value))
        };
        Event::new((0..1000).map(state))
    };
    let (outcomes, requests) = counted.land(&states(1, 0)).await;
    assert_eq!(operations(&requests), [(STATEMENTS, 1), (TRANSACTION, 1)]);
    assert_eq!(outcomes[..999], [Outcome::Superseded; 999]);
    assert_eq!(outcomes[999], Outcome::Written);
    let (outcomes, requests) = counted.land(&states(1, 1000)).await;
    assert_eq!(operations(&requests), [(STATEMENTS, 1)]);
    assert_eq!(outcomes.iter().filter(|it| **it == Outcome::Written).count(), 1);
    let (outcomes, requests) = counted.land(&states(25, 2000)).await;
    assert_eq!(operations(&requests), [(STATEMENTS, 1), (TRANSACTION, 1)]);
    assert_eq!(outcomes.iter().filter(|it| **it == Outcome::Written).count(), 25);

    // Rows of one package may lie on any partition: they are one order.
    let mut counted = Counted::start(sink_appian_data::SINK, &[]).await;
    let row = |number: i64| {
        Record::appian(1, (number * 7) % 1000, (number % 5).try_into().unwrap(), number, json!({}))
    };
    let (outcomes, requests) = counted.land(&Event::new((0..1000).map(row))).await;
    assert_eq!(operations(&requests), [(STATEMENTS, 2)]);
    assert_eq!(outcomes.iter().filter(|it| **it == Outcome::Written).count(), 1);
}

/// Two states of which it cannot be told beforehand which is newer: the second is compared with what the first left.
#[tokio::test]
async fn lineages_of_one_key_follow_one_another() {
    for statements in ["25", "1"] {
        let settings = [("DYNAMODB_STATEMENTS_PER_REQUEST", statements)];
        let mut counted = Counted::start(sink_seatool_data::SINK, &settings).await;
        let value = json!({"a": 1});
        let state = |partition, offset, timestamp| {
            Record::seatool("MD", partition, offset, timestamp, Some(&value))
        };
        // The newest of partition 1 is older than that of partition 0, and newer than that of partition 2.
        let event = Event::new([
            state(0, 1, 10),
            state(0, 2, 30),
            state(1, 70, 20),
            state(1, 71, 25),
            state(2, 40, 15),
        ]);
        let (outcomes, requests) = counted.land(&event).await;
        assert_eq!(
            outcomes,
            [
                Outcome::Superseded,
                Outcome::Written,
                Outcome::Superseded,
                Outcome::Written,
                Outcome::Written,
            ]
        );
        assert!(requests.iter().all(|request| request.in_flight == 1));
        let written: Vec<_> = requests.iter().map(|request| written_offset(request)).collect();
        assert_eq!(written, ["40", "40", "71", "71", "2", "2"]);
    }
}

/// The offset in the `_sink` that a request for one item writes.
fn written_offset(request: &Request) -> &str {
    let sink = match request.operation.as_str() {
        STATEMENTS => {
            let parameters = request.parts()[0]["Parameters"].as_array().unwrap();
            parameters.iter().find(|it| it["M"]["version"].is_object()).unwrap()
        }
        TRANSACTION => &request.parts()[0]["Put"]["Item"]["_sink"],
        _ => &request.body["Item"]["_sink"],
    };
    sink["M"]["offset"]["N"].as_str().unwrap()
}

#[tokio::test]
async fn requests_in_flight_are_bounded() {
    for bound in [1, 3, 8] {
        let bound_text = bound.to_string();
        let settings = [
            ("DYNAMODB_MAX_CONCURRENCY", bound_text.as_str()),
            ("DYNAMODB_STATEMENTS_PER_REQUEST", "1"),
        ];
        let mut counted = Counted::start(sink_appian_data::SINK, &settings).await;
        // What is in use is widened.
        counted.send(&hundred(0, appian_row), Outcome::Written).await;
        let requests = counted.send(&hundred(1, appian_row), Outcome::Written).await;
        assert_eq!(requests.iter().map(|request| request.in_flight).max(), Some(bound));
    }
}

/// A statement's text is kept for the next record of its shape, but not those of any number of shapes.
#[tokio::test]
async fn rows_of_ever_new_shapes_share_their_requests() {
    let mut counted = Counted::start(sink_appian_data::SINK, &[]).await;
    let row = |number, partition, offset| {
        let mut record = appian_row(number, partition, offset);
        let value = json!({"payload": {"PCKG_ID": number}, format!("column_{number}"): offset});
        record.value = Some(value.to_string().into_bytes());
        record
    };
    for (round, most) in [(0, 47), (1, 88), (2, 44)] {
        let event = Event::new((0..1100).map(|number| row(number, 0, 2000 * round + number)));
        let requests = counted.send(&event, Outcome::Written).await;
        check(&requests, &[(STATEMENTS, 44..=most)]);
    }
}

/// What a statement cannot say goes by itself: it has at most 8,192 characters and, by our own rule, 100 members.
#[tokio::test]
async fn statements_are_used_up_to_their_limits() {
    let mut counted = Counted::start(sink_appian_data::SINK, &[]).await;
    let mut offset = 0;
    let mut send = async |members: Vec<(String, Value)>| {
        offset += 1;
        let mut record = appian_row(offset, 0, offset);
        let mut value = json!({"payload": {"PCKG_ID": offset}});
        value.as_object_mut().unwrap().extend(members);
        record.value = Some(value.to_string().into_bytes());
        let requests = counted.send(&Event::new([record]), Outcome::Written).await;
        let text = requests[0].parts().first().map(|part| part["Statement"].as_str().unwrap());
        text.map(|text| text.chars().count())
    };
    let many = |count: usize| (0..count).map(|n| (format!("m{n}"), json!(n))).collect();
    assert!(send(many(99)).await.is_some());
    assert!(send(many(100)).await.is_none());

    // Names that could end the quotes around them, or mean something to the parser, never become part of a text.
    let odd =
        ["a'b", "a\"b", "a b", "a-b", "a.b", "a,b", "a=?", "#a", ":a", "1a", "é", "?", "\\", "\n"];
    for name in odd {
        assert!(send(vec![(name.to_owned(), json!(1))]).await.is_none(), "{name}");
    }
    for name in ["a_b", "_", "A1", "SELECT"] {
        assert!(send(vec![(name.to_owned(), json!(1))]).await.is_some(), "{name}");
    }

    let long = |length: usize| vec![("n".repeat(length), json!(1))];
    let base = send(long(1)).await.unwrap() - 1;
    assert_eq!(send(long(8192 - base)).await, Some(8192));
    assert_eq!(send(long(8193 - base)).await, None);
}
