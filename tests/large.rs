//! Events as large as they get, in time and memory.

use std::{
    io::{self, Write as _},
    time::Duration,
};

use dynamo_sink::sink::Sink;
use serde_json::{Value, json};

use crate::support::{
    Event, Record, dynamodb,
    function::{build_directory, counts, function, no_failures},
};

/// What one invocation may hold in memory, and how long it may take a program that is deployed.
const MAX_MEMORY: u64 = 128 * 1024 * 1024;
const MAX_DURATION: Duration = Duration::from_secs(20);

/// The most bytes of an event.
const MAX_PAYLOAD: usize = 6 * 1024 * 1024;

/// Sends the event twice to a fresh environment: all new, then all known. The time is only held to its limit where
/// the programs are those that are deployed.
async fn check(what: &str, sink: &Sink, event: &Event, first: &str, second: &str) {
    let payload = event.json();
    assert!(payload.len() <= MAX_PAYLOAD, "{what}: {} bytes", payload.len());
    let dynamodb = dynamodb().await;
    let function = function(sink, &dynamodb.endpoint(), &[]);
    for (round, expected) in [("new", first), ("again", second)] {
        let invocation = function.invoke(payload.clone()).await.unwrap();
        assert_eq!(invocation.answer, no_failures(), "{what}, {round}");
        // On a busy machine a request that is sent again after a time-out finds what it has written itself.
        let found = match round {
            "new" => without_own_duplicates(&counts(&invocation)),
            _ => counts(&invocation),
        };
        assert_eq!(found, expected, "{what}, {round}");
        let (memory, duration) = (invocation.peak_memory, invocation.duration);
        let megabytes = memory.map_or("?".to_owned(), |memory| mb(memory).to_string());
        // Unlike a captured `println!` it is seen when the test passes.
        let _: io::Result<()> = writeln!(
            io::stderr(),
            "large: {}, {what} ({} bytes), {round}: {} ms, at most {megabytes} MB",
            sink.name,
            payload.len(),
            duration.as_millis()
        );
        assert!(
            memory.is_none_or(|memory| memory <= MAX_MEMORY),
            "{what}, {round}: {megabytes} MB"
        );
        if build_directory().is_some() {
            assert!(duration <= MAX_DURATION, "{what}, {round}: {duration:?}");
        }
    }
}

/// Counts in which records that are duplicates of what their own event wrote count as written.
fn without_own_duplicates(counts: &str) -> String {
    let Some((rest, duplicates)) = counts.split_once(", duplicate ") else {
        return counts.to_owned();
    };
    let (received, written) = rest.split_once(", written ").unwrap();
    let number = |text: &str| text.parse::<u64>().unwrap();
    format!("{received}, written {}", number(written) + number(duplicates))
}

fn mb(bytes: u64) -> u64 {
    bytes.div_ceil(1024 * 1024)
}

/// About as many bytes as the largest event has for each of 4,000 records.
fn text(number: i64) -> String {
    format!("{number:08} ").repeat(104)
}

#[tokio::test]
async fn a_large_event_of_4000_records_lands() {
    let appian = (0..4_000_i64).map(|at| {
        let payload = json!({"SMRY_DESC_TXT": text(at), "UPDT_TS": at, "DLTD_FLAG": null});
        Record::appian(at.cast_unsigned(), at, (at % 3).try_into().unwrap(), at, payload)
    });
    let event = Event::new(appian);
    assert!(event.json().len() > MAX_PAYLOAD * 95 / 100, "{} bytes", event.json().len());
    let (first, second) = ("received 4000, written 4000", "received 4000, duplicate 4000");
    check("6 MB of 4,000 records", &sink_appian_data::SINK, &event, first, second).await;

    let seatool = (0..4_000_i64).map(|at| {
        let value = json!({"STATE_PLAN": {"SUMMARY_MEMO": text(at), "SUBMISSION_DATE": at}});
        seatool(&format!("MD-{at:04}"), (at % 3).try_into().unwrap(), at, &value)
    });
    let event = Event::new(seatool);
    check("6 MB of 4,000 records", &sink_seatool_data::SINK, &event, first, second).await;
}

#[tokio::test]
async fn a_large_event_of_10000_small_records_lands() {
    let (first, second) = ("received 10000, written 10000", "received 10000, duplicate 10000");
    let appian = (0..10_000_i64).map(|at| Record::appian(at.cast_unsigned(), at, 0, at, json!({})));
    let event = Event::new(appian);
    check("10,000 small records", &sink_appian_data::SINK, &event, first, second).await;

    let seatool = (0..10_000_i64).map(|at| seatool(&at.to_string(), 0, at, &json!({"n": at})));
    let event = Event::new(seatool);
    check("10,000 small records", &sink_seatool_data::SINK, &event, first, second).await;
}

#[tokio::test]
async fn a_large_event_of_10000_records_of_one_key_lands() {
    let first = "received 10000, written 1, superseded 9999";
    let second = "received 10000, superseded 9999, duplicate 1";
    let appian = (0..10_000_i64).map(|at| Record::appian(7, at, 0, at, json!({})));
    let event = Event::new(appian);
    check("10,000 records of one key", &sink_appian_data::SINK, &event, first, second).await;

    let seatool = (0..10_000_i64).map(|at| seatool("MD-22-0001", 0, at, &json!({"n": at})));
    let event = Event::new(seatool);
    check("10,000 records of one key", &sink_seatool_data::SINK, &event, first, second).await;
}

fn seatool(key: &str, partition: i32, offset: i64, value: &Value) -> Record {
    Record::seatool(key, partition, offset, 1_700_000_000_000 + offset, Some(value))
}
