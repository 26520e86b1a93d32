//! What both benchmarks measure, and how: throughput counts the bytes of the event, so that all figures compare.

use bench::workload::{BenchEvent, Kind, Mix, State, Workload};
use divan::{
    Bencher,
    counter::{BytesCount, ItemsCount},
};

const RECORDS: usize = 500;
pub(crate) const KINDS: [Kind; 2] = [Kind::Appian, Kind::Seatool];

/// Runs `pipeline` on an event of that kind; one that fails must not look fast.
pub(crate) fn measure(bencher: Bencher<'_, '_>, kind: Kind, pipeline: impl Fn(&[u8]) -> bool) {
    let mix = Mix { seed: 1, schema: false, repeated: 0.0, duplicates: 0.0, deletes: 0.0 };
    let workload = Workload { kind, state: State::Existing, records: RECORDS, mix };
    let BenchEvent { payload, records, .. } = workload.event(1);
    assert!(pipeline(&payload), "the pipeline failed");
    bencher
        .counter(BytesCount::new(payload.len()))
        .counter(ItemsCount::new(records))
        .bench_local(|| pipeline(&payload));
}
