//! HTTP connections that are dead, and requests that are too large for what stands before DynamoDB.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use dynamo_sink::outcome::Outcome::Written;

use crate::{
    faults::{
        batch::{Batch, seatool},
        check_unharmed,
    },
    support::{Act, Applied, Event, Proxy, Request, handler, land},
};

/// How many requests the events of [`dead`] take at most, each with so many records.
const CONNECTIONS: usize = 8;
const RECORDS: usize = 50;

/// Opens some connections, eight and more where the machine is not busy, waits, lets all that there are go dead, and
/// sends an event with so many records; says how long its batch took, and how many of its requests went to dead
/// connections.
async fn dead(wait: Duration, records: usize) -> (Duration, usize) {
    let dynamodb = Batch::inserts(0).tables().await;
    let dead = Arc::new(AtomicUsize::new(0));
    let n_dead = Arc::clone(&dead);
    let rule = move |request: &Request| match n_dead.load(Ordering::Relaxed) {
        0 => Act::Hold(Duration::from_millis(50)),
        n_dead if request.connection < n_dead => Act::Silence(Applied::No),
        _ => Act::Pass,
    };
    let proxy = Proxy::start(&dynamodb, rule).await;
    let mut handler = handler(&proxy.endpoint(), sink_seatool_data::SINK, &[]).await;
    let value = serde_json::json!({"a": 1});
    let event =
        |start: i64, records: usize| {
            Event::new((0..records).zip(start..).map(|(number, offset)| {
                seatool(&format!("KEY-{number:04}"), 0, offset, Some(&value))
            }))
        };
    land(&mut handler, &event(0, RECORDS * 6 * CONNECTIONS)).await.answer.unwrap();
    let opened = proxy.requests().iter().map(|request| request.connection).max().unwrap() + 1;
    assert!(opened > 1, "{opened}");

    tokio::time::sleep(wait).await;
    dead.store(opened, Ordering::Relaxed);
    let before = proxy.requests().len();
    let start = Instant::now();
    let landed = land(&mut handler, &event(10_000, records)).await;
    let time = start.elapsed();
    landed.answer.unwrap();
    assert_eq!(landed.summary.count(Written), records);
    let requests = proxy.requests();
    (time, requests[before..].iter().filter(|request| request.connection < opened).count())
}

#[tokio::test]
async fn dead_connections_cost_one_short_time_out_in_all() {
    // One request finds one of them dead, and none finds the others; or eight find all of them at one time.
    let found = tokio::join!(dead(Duration::ZERO, 1), dead(Duration::ZERO, RECORDS * CONNECTIONS));
    for ((time, requests), expected) in [(found.0, 1), (found.1, CONNECTIONS)] {
        // On a busy machine fewer are in flight at one time.
        assert!((expected.div_ceil(4)..=expected).contains(&requests), "{requests}");
        // A second time-out would be one of four seconds.
        assert!((2000..6000).contains(&time.as_millis()), "{time:?}");
    }
}

#[tokio::test]
async fn connections_that_were_idle_for_long_are_not_used_again() {
    let (time, requests) = dead(Duration::from_secs(21), 1).await;
    assert_eq!(requests, 0);
    assert!(time < Duration::from_millis(1900), "{time:?}");
}

#[tokio::test]
async fn a_request_that_is_too_large_is_split() {
    for batch in [Batch::seatool(), Batch::appian()] {
        let rule = |request: &Request| {
            if request.parts().len() > 2 { Act::Status(413) } else { Act::Pass }
        };
        let run = check_unharmed(&batch, "25", false, rule).await;
        assert!(run.landed.summary.retries > 0);
        let requests = run.proxy.requests();
        assert!(requests.iter().any(|request| request.parts().len() > 2));
    }
}
