//! The sinks' way from an event's bytes to request bodies; `naive` measures the same events.

mod common;

use std::{cell::RefCell, hint::black_box};

use bench::workload::Kind;
use common::{KINDS, measure};
use divan::Bencher;
use dynamo_sink::{bodies::Bodies, settings::Settings, sink::Sink};
use kafka_event::Event;

/// The functions' own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    divan::main();
}

/// Reading the event alone: its records stay encoded.
#[divan::bench(args = KINDS)]
fn event(bencher: Bencher<'_, '_>, kind: Kind) {
    measure(bencher, kind, |payload| {
        black_box(Event::read(payload).map(|event| event.records.len())).is_ok()
    });
}

/// To items, checked against all limits, as they stand in a request.
#[divan::bench(args = KINDS)]
fn items(bencher: Bencher<'_, '_>, kind: Kind) {
    let (sink, settings) = sink(kind);
    measure(bencher, kind, |payload| {
        each_item(&sink, &settings, payload, |json| _ = black_box(json))
    });
}

/// To the bodies of the requests that replace the items: all of an invocation up to sending them.
#[divan::bench(args = KINDS)]
fn bodies(bencher: Bencher<'_, '_>, kind: Kind) {
    let (sink, settings) = sink(kind);
    let bodies = RefCell::new(Bodies::new(sink, settings));
    measure(bencher, kind, |payload| {
        bodies.borrow_mut().write(payload, |body| _ = black_box(body))
    });
}

fn each_item(sink: &Sink, settings: &Settings, payload: &[u8], mut take: impl FnMut(&str)) -> bool {
    let Ok(event) = Event::read(payload) else { return false };
    event.records.iter().all(|record| {
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
    #[expect(clippy::expect_used, reason = "a benchmark stops where it cannot begin")]
    let settings = Settings::read(&sink, lookup).expect("the settings are complete");
    (sink, settings)
}
