//! From an event's bytes to items and request bodies: the sinks' way beside the straightforward one.
//!
//! Throughput counts the bytes of the event, so that all of a workload's figures can be compared.

use std::{cell::RefCell, hint::black_box};

use aws_lambda_events::kafka::KafkaEvent;
use divan::{
    Bencher,
    counter::{BytesCount, ItemsCount},
};
use dynamo_sink::{settings::Settings, sink::Sink};
use kafka_event::Event;
use sinkctl::bench::workload::{BenchEvent, Kind, Mix, State, Workload};

const RECORDS: usize = 500;
const KINDS: [Kind; 2] = [Kind::Appian, Kind::Seatool];

fn main() {
    divan::main();
}

/// Reading the event alone: its records stay encoded.
#[divan::bench(args = KINDS)]
fn event_sink(bencher: Bencher<'_, '_>, kind: Kind) {
    measure(bencher, kind, |payload| {
        black_box(Event::read(payload).map(|event| event.len())).is_ok()
    });
}

/// Reading the event alone, into owned strings.
#[divan::bench(args = KINDS)]
fn event_naive(bencher: Bencher<'_, '_>, kind: Kind) {
    measure(bencher, kind, |payload| {
        black_box(serde_json::from_slice::<KafkaEvent>(payload)).is_ok()
    });
}

/// To items, checked against all limits, as they stand in a request.
#[divan::bench(args = KINDS)]
fn items_sink(bencher: Bencher<'_, '_>, kind: Kind) {
    let (sink, settings) = sink(kind);
    measure(bencher, kind, |payload| {
        each_item(&sink, &settings, payload, |json| _ = black_box(json))
    });
}

/// To maps of attributes.
#[divan::bench(args = KINDS)]
fn items_naive(bencher: Bencher<'_, '_>, kind: Kind) {
    measure(bencher, kind, |payload| {
        let event = serde_json::from_slice::<KafkaEvent>(payload);
        event.is_ok_and(|event| black_box(naive_sink::writes(event)).is_ok())
    });
}

/// To items and on into one buffer, as into a request's body.
#[divan::bench(args = KINDS)]
fn body_sink(bencher: Bencher<'_, '_>, kind: Kind) {
    let (sink, settings) = sink(kind);
    let body = RefCell::new(Vec::new());
    measure(bencher, kind, |payload| {
        let mut body = body.borrow_mut();
        body.clear();
        let is_done = each_item(&sink, &settings, payload, |json| {
            body.extend_from_slice(json.as_bytes());
        });
        black_box(&*body);
        is_done
    });
}

/// Runs `pipeline` on an event of that kind; one that fails must not look fast.
fn measure(bencher: Bencher<'_, '_>, kind: Kind, pipeline: impl Fn(&[u8]) -> bool) {
    let mix = Mix { seed: 1, schema: false, repeated: 0.0, duplicates: 0.0, deletes: 0.0 };
    let workload = Workload { kind, state: State::Existing, records: RECORDS, mix };
    let BenchEvent { payload, records, .. } = workload.event(1);
    assert!(pipeline(&payload), "the pipeline failed");
    bencher
        .counter(BytesCount::new(payload.len()))
        .counter(ItemsCount::new(records))
        .bench_local(|| pipeline(&payload));
}

fn each_item(sink: &Sink, settings: &Settings, payload: &[u8], mut take: impl FnMut(&str)) -> bool {
    let Ok(event) = Event::read(payload) else { return false };
    event.partitions.iter().flat_map(|partition| &partition.records).all(|record| {
        let Ok(record) = record.decode() else { return false };
        let Ok(mutation) = sink.mutation(&record, settings) else { return false };
        mutation.item.is_some_and(|item| {
            take(item.json());
            true
        })
    })
}

fn sink(kind: Kind) -> (Sink, Settings) {
    let sink = match kind {
        Kind::Seatool => sink_seatool_data::SINK,
        Kind::Appian | Kind::Small => sink_appian_data::SINK,
    };
    let lookup = |name: &'static str| {
        Ok(name.ends_with("TABLE_NAME").then(|| format!("table-{}", name.to_lowercase())))
    };
    #[expect(clippy::expect_used, reason = "a benchmark stops where it can't begin")]
    let settings = Settings::read(&sink, lookup).expect("the settings are complete");
    (sink, settings)
}
