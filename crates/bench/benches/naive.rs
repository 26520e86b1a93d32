//! The straightforward way from an event's bytes to items; `sinks` measures the same events.

mod common;

use std::hint::black_box;

use aws_lambda_events::kafka::KafkaEvent;
use bench::workload::Kind;
use common::{KINDS, measure};
use divan::Bencher;

fn main() {
    divan::main();
}

/// Reading the event alone, into owned strings.
#[divan::bench(args = KINDS)]
fn event(bencher: Bencher<'_, '_>, kind: Kind) {
    measure(bencher, kind, |payload| {
        black_box(serde_json::from_slice::<KafkaEvent>(payload)).is_ok()
    });
}

/// To maps of attributes.
#[divan::bench(args = KINDS)]
fn items(bencher: Bencher<'_, '_>, kind: Kind) {
    measure(bencher, kind, |payload| {
        let event = serde_json::from_slice::<KafkaEvent>(payload);
        event.is_ok_and(|event| black_box(bench::naive::writes(event)).is_ok())
    });
}
